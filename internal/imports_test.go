package internal_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "segsync"

// allowedImports says which of our own packages each package may import: downwards
// only. The sandbox in particular must not import the clients: a fake that shares
// their structs agrees with every wrong JSON tag.
var allowedImports = map[string][]string{
	"cmd/segsync":        {"importer", "importer/journal", "importer/mapping", "segmentprofiles", "voucherify", "profilessync", "internal/httpretry", "internal/safetext", "internal/redact", "internal/sandbox", "internal/screen"},
	"importer":           {"importer/journal", "importer/mapping", "segmentprofiles", "profilessync", "voucherify", "internal/safetext"},
	"importer/journal":   {"importer/mapping", "internal/safetext"},
	"importer/mapping":   {"segmentprofiles", "voucherify", "internal/safetext"},
	"segmentprofiles":    {"internal/safetext"},
	"voucherify":         {"internal/safetext"},
	"profilessync":       {},
	"internal/httpretry": {"internal/redact", "internal/safetext"},
	"internal/safetext":  {},
	"internal/redact":    {},
	"internal/sandbox":   {},
	"internal/screen":    {"internal/safetext"},
	// The harness of tests: no package that is built into the program may import it.
	"internal/sandboxtest": {"importer/mapping", "segmentprofiles", "voucherify", "internal/sandbox"},
	"internal/pgtest":      {},
	"internal/bench":       {"internal/pgtest", "profilessync"},
	"internal/dist":        {},
	"internal/screenshot":  {},
}

// It reads the files instead of asking the go command, whose answer the test cache
// does not know about: files that a test reads are part of the cache's key.
func TestImportsGoDownwards(t *testing.T) {
	found := map[string]bool{}
	files := token.NewFileSet()
	tree := os.DirFS("..")
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if base := d.Name(); name != "." && (base == "testdata" || base[0] == '.' || base[0] == '_') {
				return fs.SkipDir // as the go command does
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		pkg := path.Dir(name)
		allowed, ok := allowedImports[pkg]
		if !ok {
			t.Errorf("%s: the package %s is not in the table of this test", name, pkg)
			return nil
		}
		found[pkg] = true
		source, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(files, name, source, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			own, ok := strings.CutPrefix(imported+"/", module+"/")
			if own = strings.TrimSuffix(own, "/"); ok && !slices.Contains(allowed, own) {
				t.Errorf("%s: %s must not import %s", files.Position(spec.Pos()), pkg, imported)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, pkg := range slices.Sorted(maps.Keys(allowedImports)) {
		if !found[pkg] {
			t.Errorf("the package %s of the table has no files", pkg)
		}
	}
}
