package internal_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "segsync"

// layers are the rooms of the program, from above to below. A package imports packages of lower
// layers and of its own layer, as far as forbidden does not say otherwise. A name stands for the
// package and those below it, unless a longer name matches.
var layers = [][]string{
	{"cmd", "deploy", "internal/bench", "internal/dist"},
	{"internal/diagnose"},
	{"internal/app"},
	{"internal/function", "internal/report", "internal/settings", "internal/sandboxtest"},
	{"importer"},
	{"importer/coverage"},
	{"importer/journal", "importer/sink", "importer/source"},
	{"importer/mapping", "importer/metadata", "importer/outcome"},
	{"segmentprofiles", "voucherify", "profilessync"},
	{"internal"},
}

// forbidden says what a package and those below it must not import, of what their layer allows.
// Its keys stand for themselves alone where they end with "$".
var forbidden = map[string][]string{
	// The pipeline knows no API.
	"importer$": {"segmentprofiles", "voucherify", "profilessync"},
	// A position, an outcome and a batch are passed on; only the pipeline writes the journal.
	"importer/source":  {"importer/journal", "importer/sink", "voucherify"},
	"importer/sink":    {"importer/journal", "importer/source", "segmentprofiles", "profilessync"},
	"importer/journal": {"segmentprofiles", "voucherify", "profilessync", "importer/sink/bulk", "importer/sink/plan", "importer/sink/ndjson"},
	"importer/outcome": {"importer/mapping"},
	// A fake that shares the structs of the clients agrees with every wrong JSON tag.
	"internal/sandbox": {"segmentprofiles", "voucherify", "profilessync", "importer", "internal/safetext", "internal/redact", "internal/httpretry"},
	// The clients do not know each other.
	"segmentprofiles": {"voucherify", "profilessync", "internal/httpretry"},
	"voucherify":      {"segmentprofiles", "profilessync", "internal/httpretry"},
	"profilessync":    {"segmentprofiles", "voucherify", "internal/httpretry"},
	// What is only for tests and for measuring is in no other package.
	"": {"internal/sandboxtest", "internal/bench", "cmd"},
}

// layerOf returns the layer of a package: that of the longest name which matches.
func layerOf(pkg string) (layer int, found bool) {
	longest := -1
	for i, names := range layers {
		for _, name := range names {
			if isWithin(pkg, name) && len(name) > longest {
				layer, longest = i, len(name)
			}
		}
	}
	return layer, longest >= 0
}

func isWithin(pkg, name string) bool {
	return name == "" || pkg == strings.TrimSuffix(name, "$") || !strings.HasSuffix(name, "$") && strings.HasPrefix(pkg, name+"/")
}

// mayImport reports whether the rules allow the import.
func mayImport(pkg, imported string) bool {
	from, ok := layerOf(pkg)
	to, known := layerOf(imported)
	if !ok || !known || to < from {
		return false
	}
	for name, not := range forbidden {
		if isWithin(pkg, name) && slices.ContainsFunc(not, func(n string) bool { return isWithin(imported, n) && !isWithin(pkg, n) }) {
			return false
		}
	}
	return true
}

func TestImportRules(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"importer", "importer/journal", true},
		{"importer", "importer/sink/plan", true},
		{"importer", "voucherify", false},
		{"importer/sink/bulk", "voucherify", true},
		{"importer/sink/bulk", "importer/journal", false},
		{"importer/source/file", "profilessync", true},
		{"importer/source/file", "importer/journal", false},
		{"importer/source/warehouse", "importer/source/file", true},
		{"importer/journal", "importer", false},
		{"importer/journal", "importer/source", true},
		{"importer/mapping", "voucherify", true},
		{"voucherify", "importer/mapping", false},
		{"voucherify", "segmentprofiles", false},
		{"internal/sandbox", "voucherify", false},
		{"cmd/segsync", "internal/sandbox", true},
		{"cmd/segsync", "internal/sandboxtest", false},
		{"internal/safetext", "importer", false},
	} {
		if got := mayImport(c.from, c.to); got != c.want {
			t.Errorf("%s may import %s: %v, want %v", c.from, c.to, got, c.want)
		}
	}
}

// It reads the files instead of asking the go command, whose answer the test cache
// does not know about: files that a test reads are part of the cache's key.
func TestImportsGoDownwards(t *testing.T) {
	files, tree, imports := token.NewFileSet(), os.DirFS(".."), 0
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
			own, ok := strings.CutPrefix(imported, module+"/")
			if ok {
				imports++
			}
			if pkg := path.Dir(name); ok && !mayImport(pkg, own) {
				t.Errorf("%s: %s must not import %s", files.Position(spec.Pos()), pkg, own)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if imports < 50 {
		t.Errorf("only %d imports were found", imports)
	}
}
