//go:build !windows

package main

import (
	"context"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"segsync/importer"
	"segsync/segmentprofiles"
	"segsync/voucherify"
)

func readDocument(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(repository, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// plainText takes out of Markdown what only shapes it.
func plainText(markdown string) string {
	markdown = strings.NewReplacer("`", "", `\|`, "|", `\*`, "*").Replace(markdown)
	return strings.Join(strings.Fields(markdown), " ")
}

// TestDocumentsNameCommandsThatExist parses the flags of every segsync command in the
// documents, in blocks and in `code`.
func TestDocumentsNameCommandsThatExist(t *testing.T) {
	t.Parallel()
	code := regexp.MustCompile("`([^`\n]+)`")
	found := 0
	for _, path := range documents(t) {
		name, _ := filepath.Rel(repository, path)
		text := readDocument(t, name)
		var lines []string
		for _, b := range readBlocks(t, path) {
			for _, line := range strings.Split(strings.ReplaceAll(b.text, "\\\n", " "), "\n") {
				if b.language != "console" || strings.HasPrefix(line, "$ ") || strings.HasPrefix(line, "Continue with: ") {
					lines = append(lines, line)
				}
			}
		}
		for _, m := range code.FindAllStringSubmatch(text, -1) {
			if strings.HasPrefix(m[1], "segsync ") {
				lines = append(lines, m[1])
			}
		}
		for _, line := range lines {
			for _, args := range segsyncCommands(line) {
				found++
				if err := parseCommand(args); err != nil {
					t.Errorf("%s: segsync %s: %v", name, strings.Join(args, " "), err)
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d commands were found", found)
	}
}

var commandStart = regexp.MustCompile(`(?:^\$ |^|[|&;(] *|Continue with: |ExecStart=\S*/|[0-9*] |go run \./cmd/|"|\x60)segsync ((?:import|verify|check|sandbox|inspect|mapping|version|completion)\b.*)`)

// segsyncCommands returns the arguments of each segsync command in a line.
func segsyncCommands(line string) [][]string {
	var all [][]string
	for {
		m := commandStart.FindStringSubmatch(line)
		if m == nil {
			return all
		}
		args, rest := shellWords(m[1])
		all = append(all, args)
		line = rest
	}
}

// shellWords splits a command into words as a shell does, up to where it ends.
func shellWords(s string) (words []string, rest string) {
	word, in, quote := "", false, rune(0)
	flush := func() {
		if in {
			words = append(words, word)
		}
		word, in = "", false
	}
	for i, r := range s {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word += string(r)
		case r == '\'' || r == '"':
			quote, in = r, true
		case r == ' ':
			flush()
		case strings.ContainsRune("|&;<>)`", r), r == '#' && !in:
			if word != "2" { // of 2>file
				flush()
			}
			return words, s[i:]
		default:
			word, in = word+string(r), true
		}
	}
	flush()
	return words, ""
}

func parseCommand(args []string) error {
	cmd, rest, err := newRootCommand().Find(args)
	if err != nil {
		return err
	}
	cmd.InitDefaultHelpFlag()
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if help, _ := cmd.Flags().GetBool("help"); help {
		return nil
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}

// TestDocumentsLinkToWhatIsThere checks the links from one document to another file.
func TestDocumentsLinkToWhatIsThere(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)#:]+)\)`)
	found := 0
	for _, path := range documents(t) {
		name, _ := filepath.Rel(repository, path)
		for _, m := range link.FindAllStringSubmatch(readDocument(t, name), -1) {
			found++
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", name, m[1])
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d links were found", found)
	}
}

func TestEveryFlagIsDocumented(t *testing.T) {
	t.Parallel()
	all := ""
	for _, path := range documents(t) {
		name, _ := filepath.Rel(repository, path)
		all += readDocument(t, name)
	}
	eachCommand(newRootCommand(), func(cmd *cobra.Command) {
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" && !f.Hidden && !regexp.MustCompile(`--`+f.Name+`\b[^-]`).MatchString(all) {
				t.Errorf("no document mentions --%s of %s", f.Name, cmd.CommandPath())
			}
		})
		if cmd.HasParent() && !strings.Contains(all, cmd.CommandPath()) {
			t.Errorf("no document mentions %s", cmd.CommandPath())
		}
	})
}

// eachCommand visits the commands of our own that are not hidden.
func eachCommand(cmd *cobra.Command, visit func(*cobra.Command)) {
	if cmd.Hidden || cmd.Name() == "help" {
		return
	}
	visit(cmd)
	if cmd.Name() == "completion" {
		return
	}
	for _, sub := range cmd.Commands() {
		eachCommand(sub, visit)
	}
}

// sources parses the Go files of the packages, without their tests.
func sources(t *testing.T, dirs ...string) []*ast.File {
	t.Helper()
	var files []*ast.File
	for _, dir := range dirs {
		paths, err := filepath.Glob(filepath.Join(repository, dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, "_mangen.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
		}
	}
	if len(files) == 0 {
		t.Fatalf("no Go files in %q", dirs)
	}
	return files
}

// settingNames returns the settings that the program knows.
func settingNames(t *testing.T) []string {
	t.Helper()
	name := regexp.MustCompile(`^(SEGMENT|VOUCHERIFY|IDENTIFIER|METADATA|SEGSYNC)_[A-Z_]+$`)
	var names []string
	for _, file := range sources(t, "cmd/segsync") {
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if s, err := strconv.Unquote(lit.Value); err == nil && name.MatchString(s) {
					names = append(names, s)
				}
			}
			return true
		})
	}
	loadSettings(func(name string) string { names = append(names, name); return "" })
	slices.Sort(names)
	return slices.Compact(names)
}

func TestEverySettingIsDocumented(t *testing.T) {
	t.Parallel()
	readme, example := readDocument(t, "docs/reference.md"), readDocument(t, ".env-example")
	values, badLine := parseEnv([]byte(example))
	if badLine != 0 {
		t.Fatalf(".env-example, line %d", badLine)
	}
	names := settingNames(t)
	if len(names) < 12 {
		t.Fatalf("only the settings %q were found", names)
	}
	for _, name := range names {
		row := regexp.MustCompile("(?m)^\\| `" + name + "` \\| *(.*?) *\\|").FindStringSubmatch(readme)
		value, there := values[name]
		switch {
		case row == nil:
			t.Errorf("the README's table has no %s", name)
		case !there:
			t.Errorf(".env-example has no %s", name)
		case value == "" && strings.Contains(row[1], "`"):
			t.Errorf("%s is %s in the README, and empty in .env-example", name, row[1])
		case value != "" && row[1] != "`"+value+"`":
			t.Errorf("%s is %s in the README, and %s in .env-example", name, row[1], value)
		}
	}
	for name := range values {
		if !slices.Contains(names, name) {
			t.Errorf(".env-example has %s, which the program does not read", name)
		}
	}
	// What .env-example says are the defaults are the defaults.
	required := func(name string) string {
		switch name {
		case "SEGMENT_ACCESS_TOKEN", "SEGMENT_SPACE_ID", "VOUCHERIFY_APPLICATION_ID", "VOUCHERIFY_SECRET_KEY":
			return "x"
		}
		return ""
	}
	byDefault, err := loadSettings(required)
	if err != nil {
		t.Fatal(err)
	}
	byExample, err := loadSettings(func(name string) string { return values[name] + required(name) })
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(byDefault, byExample) {
		t.Errorf("the defaults are\n%+v\nand .env-example says\n%+v", byDefault, byExample)
	}
}

func TestEveryExitCodeIsDocumented(t *testing.T) {
	t.Parallel()
	readme, unattended := readDocument(t, "README.md"), readDocument(t, "docs/unattended.md")
	found := 0
	for _, file := range sources(t, "cmd/segsync") {
		for _, declaration := range file.Decls {
			g, ok := declaration.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, spec := range g.Specs {
				v := spec.(*ast.ValueSpec)
				for i, name := range v.Names {
					if !strings.HasPrefix(name.Name, "exit") || i >= len(v.Values) {
						continue
					}
					lit, ok := v.Values[i].(*ast.BasicLit)
					if !ok || lit.Kind != token.INT {
						continue
					}
					found++
					if !regexp.MustCompile(`(?m)^  ` + lit.Value + ` |\(` + lit.Value + `:`).MatchString(exitCodes) {
						t.Errorf("the help lacks the exit code %s (%s)", lit.Value, name.Name)
					}
					for document, text := range map[string]string{"README.md": readme, "docs/unattended.md": unattended} {
						if !regexp.MustCompile(`(?m)^\| ` + lit.Value + ` \|`).MatchString(text) {
							t.Errorf("the table of exit codes in %s lacks %s (%s)", document, lit.Value, name.Name)
						}
					}
				}
			}
		}
	}
	if found < 9 {
		t.Errorf("only %d exit codes were found", found)
	}
}

// TestEveryHintIsDocumented checks that docs/errors.md has all hints of the clients.
func TestEveryHintIsDocumented(t *testing.T) {
	t.Parallel()
	text := plainText(readDocument(t, "docs/errors.md"))
	all := map[string]string{} // hint: example of an error
	note := func(err error) {
		for _, hint := range hints(err) {
			all[hint] = err.Error()
		}
	}
	answer := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(answer) }))
	defer server.Close()
	base, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	segment, err := segmentprofiles.NewClient(client, base, "spa_1", "token")
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	for answer = range 600 {
		if answer < 300 {
			continue
		}
		_, list := segment.Profiles(ctx, "0", 1)
		_, traits := segment.TraitsPage(ctx, segmentprofiles.SegmentID("use_1"), "", 1, nil)
		_, ids := segment.ExternalIDsPage(ctx, segmentprofiles.SegmentID("use_1"), "", nil)
		for _, err := range []error{list, traits, ids, &voucherify.Error{Status: answer}} {
			note(err)
		}
	}
	for _, limit := range []string{"api_calls", "bulk_api_calls", "api_calls_cycle", "webhook_calls"} {
		note(&voucherify.Error{Status: http.StatusTooManyRequests, LimitType: limit})
	}
	note(&importer.TooManyRejectsError{})
	if len(all) < 15 {
		t.Errorf("only %d hints were found", len(all))
	}
	for hint, of := range all {
		if !strings.Contains(text, plainText(hint)) {
			t.Errorf("docs/errors.md lacks the hint %q (of %q)", hint, of)
		}
	}
}

// undocumented are messages that need no advice, and why.
var undocumented = map[string]string{
	"segmentprofiles: space id and access token are required": "the settings are checked before",
	"voucherify: application id and secret key are required":  "the settings are checked before",
	"exit code %d":                             "never shown",
	"stopped":                                  "never shown",
	"rewinding the request body: %w":           "cannot happen: all bodies are in memory",
	"refusing to send secrets to %s://%s":      "the settings are checked before, and redirects are not followed",
	"a verdict on the unknown async action %s": "would be a bug",
}

// TestEveryMessageIsDocumented checks that docs/errors.md speaks of every error, hint and
// warning in the source.
func TestEveryMessageIsDocumented(t *testing.T) {
	t.Parallel()
	text := plainText(readDocument(t, "docs/errors.md"))
	found := 0
	for _, file := range sources(t, "cmd/segsync", "importer", "segmentprofiles", "voucherify", "internal/httpretry") {
		ast.Inspect(file, func(n ast.Node) bool {
			for _, message := range messagesOf(n) {
				found++
				if undocumented[message] == "" && !strings.Contains(text, plainText(longestPart(message))) {
					t.Errorf("docs/errors.md lacks %q", message)
				}
			}
			return true
		})
	}
	if found < 80 {
		t.Errorf("only %d messages were found", found)
	}
}

// messagesOf returns the texts with which the node makes an error, a hint or a warning.
func messagesOf(n ast.Node) []string {
	switch n := n.(type) {
	case *ast.CallExpr:
		argument := -1
		switch f := n.Fun.(type) {
		case *ast.SelectorExpr:
			switch name := f.Sel.Name; {
			case name == "Errorf", name == "New" && isIdent(f.X, "errors"), name == "Warn" && len(n.Args) > 0, name == "problem":
				argument = 0
			}
			if f.Sel.Name == "bad" || f.Sel.Name == "badAt" {
				argument = 1
			}
			if f.Sel.Name == "problem" || f.Sel.Name == "warn" && len(n.Args) > 2 && stringOf(n.Args[2]) != "" {
				argument = 1
				if f.Sel.Name == "warn" {
					argument = 2
				}
			}
		case *ast.Ident:
			if f.Name == "bad" {
				argument = 0
			}
		}
		if argument >= 0 && argument < len(n.Args) {
			if s := stringOf(n.Args[argument]); s != "" {
				return []string{s}
			}
		}
	case *ast.CompositeLit:
		if isIdent(n.Type, "hinted") && len(n.Elts) == 2 {
			var parts []string
			ast.Inspect(n.Elts[1], func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					parts = append(parts, constant.StringVal(constant.MakeFromLiteral(lit.Value, token.STRING, 0)))
				}
				return true
			})
			return parts
		}
	}
	return nil
}

// TestEveryReasonIsDocumented checks that docs/errors.md has the reasons that
// not-imported.csv may give.
func TestEveryReasonIsDocumented(t *testing.T) {
	t.Parallel()
	text := readDocument(t, "docs/errors.md")
	found := 0
	for _, file := range sources(t, "importer") {
		ast.Inspect(file, func(n ast.Node) bool {
			reason := ""
			switch n := n.(type) {
			case *ast.CompositeLit: // refusal{"too_large", …}
				if isIdent(n.Type, "refusal") && len(n.Elts) > 0 {
					reason = stringOf(n.Elts[0])
				}
			case *ast.KeyValueExpr: // ActionError{Key: "not_updated", …}
				if isIdent(n.Key, "Key") {
					reason = stringOf(n.Value)
				}
			case *ast.CallExpr: // line(customer, "action_failed", …)
				if isIdent(n.Fun, "line") && len(n.Args) > 1 {
					reason = stringOf(n.Args[1])
				}
			case *ast.FuncDecl:
				if n.Name.Name == "goneReason" {
					ast.Inspect(n, func(n ast.Node) bool {
						if lit, ok := n.(*ast.BasicLit); ok && !strings.Contains(text, "| `"+stringOf(lit)+"` |") {
							t.Errorf("docs/errors.md lacks the reason %s", lit.Value)
						}
						return true
					})
				}
			}
			if reason != "" {
				found++
				if !strings.Contains(text, "| `"+reason+"` |") {
					t.Errorf("docs/errors.md lacks the reason %q", reason)
				}
			}
			return true
		})
	}
	if found < 5 {
		t.Errorf("only %d reasons were found", found)
	}
}

func isIdent(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

// stringOf returns the value of a string literal, or of the literals in a sum.
func stringOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			return constant.StringVal(constant.MakeFromLiteral(e.Value, token.STRING, 0))
		}
	case *ast.BinaryExpr:
		left, right := stringOf(e.X), stringOf(e.Y)
		if left == "" || right == "" {
			return left + right + "%s" // for what is only known when it runs
		}
		return left + right
	}
	return ""
}

// longestPart returns the longest text between the verbs of a format.
func longestPart(format string) string {
	longest := ""
	for _, part := range regexp.MustCompile(`%[-+#.0-9]*[a-zA-Z]|\n`).Split(strings.ReplaceAll(format, "%%", "%"), -1) {
		if part = strings.Trim(part, " :,("); len(part) > len(longest) {
			longest = part
		}
	}
	return longest
}

func TestLongestPart(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{
		"reading the traits of %s: %w": "reading the traits of",
		"--offset %q is no offset":     "is no offset",
		"from 0%% to 99%% (%s)":        "from 0% to 99%",
	} {
		if got := longestPart(format); got != want {
			t.Errorf("longestPart(%q) = %q, want %q", format, got, want)
		}
	}
}
