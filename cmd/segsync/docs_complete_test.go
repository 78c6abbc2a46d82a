//go:build !windows

package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/joho/godotenv"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"segsync/internal/settings"
)

func readDocument(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(repository, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
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

var commandStart = regexp.MustCompile(`(?:^\$ |^|[|&;(] *|Continue with: |ExecStart=\S*/|[0-9*] |go run \./cmd/|"|\x60)segsync ((?:import|verify|plan|delete|check|sandbox|inspect|mapping|function|outstanding|sql|status|test|version|completion)\b.*)`)

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
		if name == "README.md" || filepath.Dir(name) == "docs" { // the others are not for users
			all += readDocument(t, name)
		}
	}
	eachCommand(newRootCommand(), func(cmd *cobra.Command) {
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" && !f.Hidden && !regexp.MustCompile(`--`+f.Name+`\b[^-]`).MatchString(all) {
				t.Errorf("no document mentions --%s of %s", f.Name, cmd.CommandPath())
			}
		})
		path := cmd.CommandPath()
		if cmd.IsAdditionalHelpTopicCommand() {
			path = "segsync help " + cmd.Name()
		}
		if cmd.HasParent() && !strings.Contains(all, path) {
			t.Errorf("no document mentions %s", path)
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

func TestEverySettingIsDocumented(t *testing.T) {
	t.Parallel()
	readme, example := readDocument(t, "docs/reference.md"), readDocument(t, ".env-example")
	values, err := godotenv.Unmarshal(example)
	if err != nil {
		t.Fatal(err)
	}
	names := settings.Names()
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
	file, err := settings.ReadFile(filepath.Join(repository, ".env-example"), true)
	if err != nil {
		t.Fatal(err)
	}
	byDefault, err := settings.Load(settings.Env{}, settings.Needs{})
	if err != nil {
		t.Fatal(err)
	}
	byExample, err := settings.Load(settings.Env{File: file}, settings.Needs{})
	if err != nil {
		t.Fatal(err)
	}
	withoutFrom := cmpopts.IgnoreFields(settings.Item{}, "From")
	if diff := cmp.Diff(byDefault.List(), byExample.List(), withoutFrom); diff != "" {
		t.Errorf("the defaults (-) and what .env-example says (+):\n%s", diff)
	}
}

func TestEveryExitCodeIsDocumented(t *testing.T) {
	t.Parallel()
	reference, unattended := readDocument(t, "docs/reference.md"), readDocument(t, "docs/unattended.md")
	found := 0
	for _, file := range sources(t, "internal/app") {
		for _, declaration := range file.Decls {
			g, ok := declaration.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, spec := range g.Specs {
				v := spec.(*ast.ValueSpec)
				for i, name := range v.Names {
					if !strings.HasPrefix(name.Name, "Exit") || i >= len(v.Values) {
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
					for document, text := range map[string]string{"docs/reference.md": reference, "docs/unattended.md": unattended} {
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
