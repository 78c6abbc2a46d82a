//go:build !windows

package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"segsync/internal/sandbox"
)

// repository is the root of the module, where the documents are.
const repository = "../.."

// documents returns the paths of all documents.
func documents(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		paths, err := filepath.Glob(filepath.Join(repository, pattern))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, paths...)
	}
	if len(all) < 2 {
		t.Fatalf("there are no documents: %q", all)
	}
	return all
}

// A docBlock is a fenced block of a document, with the HTML comments above it.
type docBlock struct {
	file       string
	line       int // of its first line
	language   string
	text       string
	directives map[string]string // such as "sandbox": "profiles=300 plain"
	answers    []string          // of the directive answer, which may be repeated
}

func (b docBlock) String() string { return fmt.Sprintf("%s:%d", filepath.Base(b.file), b.line) }

func (b docBlock) has(directive string) bool { _, has := b.directives[directive]; return has }

var directive = regexp.MustCompile(`^<!-- ([a-z]+)(?:: (.*?))? -->$`)

func readBlocks(t *testing.T, path string) []docBlock {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var blocks []docBlock
	fresh := func() docBlock { return docBlock{file: path, directives: map[string]string{}} }
	current, inside := fresh(), false
	for i, line := range strings.Split(string(data), "\n") {
		fence := strings.HasPrefix(line, "```")
		switch {
		case fence && inside:
			blocks = append(blocks, current)
			current, inside = fresh(), false
		case fence:
			current.language, current.line, inside = strings.TrimPrefix(line, "```"), i+2, true
		case inside:
			current.text += line + "\n"
		case directive.MatchString(line):
			m := directive.FindStringSubmatch(line)
			current.directives[m[1]] = m[2]
			if m[1] == "answer" {
				current.answers = append(current.answers, m[2])
			}
		case strings.TrimSpace(line) != "":
			current = fresh()
		}
	}
	if inside {
		t.Errorf("%s: the block is not closed", current)
	}
	return blocks
}

// TestDocumentsShowTrueOutput runs each console block of the documents: the lines that
// begin with "$ ", by a shell, in a directory of their own. What follows a line is its
// output: a line "…" stands for any lines, "…" within a line for any text. What differs
// from run to run is made equal first, see normal. "go run ./cmd/segsync" is the segsync
// under test. HTML comments above a block say more:
//
//	<!-- sandbox: profiles=300 plain NAME=value -->
//	             there is a sandbox, without quota and latency, and the settings to use it are
//	             in the environment, like NAME. See sandboxOf
//	<!-- answer: REGEXP STATUS [FROM [TO]] -->
//	             the sandbox answers requests so; see answer in TestScripts
//	<!-- leave: N N -->
//	             these profiles are deleted in Segment before the block is run
//	<!-- terminal: ANSWER -->
//	             it is a terminal of 80 columns; ANSWER is typed at the prompt
//	<!-- continued -->
//	             the directory and the sandbox are those of the console block before
//	<!-- file: NAME -->
//	             the block is no console but a file, and is there for those after it
func TestDocumentsShowTrueOutput(t *testing.T) {
	t.Parallel()
	for _, path := range documents(t) {
		var groups [][]docBlock
		files := map[string]string{}
		for _, b := range readBlocks(t, path) {
			switch {
			case b.has("file"):
				files[b.directives["file"]] = b.text
			case b.language != "console":
				if len(b.directives) > 0 {
					t.Errorf("%s: comments for the runner, and no console", b)
				}
			case b.has("continued") && len(groups) > 0:
				groups[len(groups)-1] = append(groups[len(groups)-1], b)
			default:
				groups = append(groups, []docBlock{b})
			}
		}
		for _, group := range groups {
			t.Run(group[0].String(), func(t *testing.T) {
				t.Parallel()
				w := worldOfBlock(t, group[0])
				for name, text := range files {
					if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				for _, b := range group {
					for _, a := range b.answers {
						answerAsTold(t, w, a)
					}
					for _, n := range strings.Fields(b.directives["leave"]) {
						w.box.Delete(w.expand("@" + n))
					}
					runBlock(t, w, b)
					w.mend()
				}
			})
		}
	}
}

// worldOfBlock starts the sandbox of a block; without one there are no settings.
func worldOfBlock(t *testing.T, b docBlock) *world {
	t.Helper()
	o := sandbox.Options{Profiles: 300}
	for _, word := range strings.Fields(b.directives["sandbox"]) {
		name, value, _ := strings.Cut(word, "=")
		n, _ := strconv.Atoi(value)
		switch name {
		case "profiles":
			o.Profiles = n
		case "plain":
			o.Plain = true
		case "stuck":
			o.StuckActions = func(int) bool { return true }
		case "schema":
			o.Schema = []byte(`{"related_object":"customer","allow_defined_only":true,"properties":{"lang":{"type":"string","optional":true}}}`)
			o.EnforceSchema = true
		case "reject":
			o.Reject = func(sourceID string) (key, message, details string) {
				if sourceID != value {
					return "", "", ""
				}
				return "metadata_validation_failed", "Metadata validation failed", "lang: must be equal to one of de,fr (actual value is 'en')"
			}
		default:
			if name != strings.ToUpper(name) {
				t.Fatalf("%s: the runner knows no %q", b, name)
			}
		}
	}
	return startWorld(t, o)
}

func answerAsTold(t *testing.T, w *world, words string) {
	t.Helper()
	match, rest, _ := strings.Cut(words, " ")
	numbers := []int{0, 1, 0} // status, from, to
	for i, word := range strings.Fields(rest) {
		n, err := strconv.Atoi(word)
		if err != nil || i >= len(numbers) {
			t.Fatalf("answer %q is not understood", words)
		}
		numbers[i] = n
	}
	w.answer(match, numbers[1], numbers[2], status(numbers[0]))
}

func runBlock(t *testing.T, w *world, b docBlock) {
	t.Helper()
	env := []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir(), "HOME=" + w.dir}
	if b.has("sandbox") || b.has("continued") {
		env = w.environ("HOME=" + w.dir)
		for _, word := range strings.Fields(b.directives["sandbox"]) {
			if name, _, assigned := strings.Cut(word, "="); assigned && name == strings.ToUpper(name) {
				env = append(env, word)
			}
		}
	}
	commands := commandsOf(b)
	if len(commands) == 0 {
		t.Errorf("%s: there is no line that begins with \"$ \"", b)
		return
	}
	const end = "=== end of "
	script := ""
	for i, c := range commands {
		line := strings.Replace(c.line, "go run ./cmd/segsync", "segsync", 1)
		script += fmt.Sprintf("%s\nexit_code=$?\n", line)
		if line != c.line { // as go run does
			script += "test $exit_code = 0 || echo exit status $exit_code\n"
		}
		script += fmt.Sprintf("echo '%s%d'\n(exit $exit_code)\n", end, i)
	}
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir, cmd.Env = w.dir, env
	var output string
	if answer, isTerminal := b.directives["terminal"]; isTerminal {
		output = runOnTerminal(t, cmd, answer)
	} else {
		out, _ := cmd.CombinedOutput() // the exit code is that of the last command
		output = string(out)
	}
	for i, c := range commands {
		got, rest, found := strings.Cut(output, end+strconv.Itoa(i)+"\n")
		if !found {
			t.Errorf("%s: $ %s\ndid not come to its end:\n%s", b, c.line, output)
			return
		}
		output = rest
		want, got := normal(c.output), normal(strings.ReplaceAll(got, os.TempDir()+"/segsync-", "/tmp/segsync-"))
		if !matcher(want).MatchString(got) {
			t.Errorf("%s: $ %s\n%s\nThe output:\n%s", b, c.line, difference(want, got), got)
		}
	}
}

// A shownCommand is a command in a console block, with the output that follows it.
type shownCommand struct{ line, output string }

func commandsOf(b docBlock) []shownCommand {
	var all []shownCommand
	open := false // the command goes on in the next line
	for line := range strings.Lines(b.text) {
		command, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case open:
			last := &all[len(all)-1]
			last.line += "\n" + strings.TrimSuffix(line, "\n")
		case isCommand:
			all = append(all, shownCommand{line: strings.TrimSuffix(command, "\n")})
		case len(all) > 0:
			all[len(all)-1].output += line
		}
		open = (open || isCommand) && strings.HasSuffix(line, "\\\n")
	}
	return all
}

// runOnTerminal runs the command on a terminal, and types the answer at the prompt.
func runOnTerminal(t *testing.T, cmd *exec.Cmd, answer string) string {
	t.Helper()
	terminal, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	if err := pty.Setsize(terminal, &pty.Winsize{Rows: 24, Cols: 80}); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, stdout: newWritten()}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.Env = append(cmd.Env, "TERM=xterm")
	read := make(chan struct{})
	p.drain = func() { <-read }
	p.run(t)
	tty.Close()
	go func() {
		defer close(read)
		io.Copy(p.stdout, terminal) // until the process has ended
	}()
	if answer != "" {
		p.stdout.await(t, `"yes" or "no": `, 1)
		io.WriteString(terminal, answer+"\r")
	}
	await(t, "the end of the block", p.exited)
	return shown(p.stdout.String())
}

// changing is what differs from run to run, and what stands for it.
var changing = []struct {
	what *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)`), "TIME"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "127.0.0.1:PORT"},
	{regexp.MustCompile(`request id [0-9a-f]+`), "request id ID"},
	{regexp.MustCompile(`\b(aa|v|vch)[_-][0-9a-f]{8,}`), "${1}_ID"},
	{regexp.MustCompile(`/tmp/segsync-\d+`), "/tmp/segsync-N"},
	{regexp.MustCompile(`answers in [0-9a-zµ.]+`), "answers in D"},
	{regexp.MustCompile(`(process) \d+, since`), "$1 N, since"},
	{regexp.MustCompile(`(per_second|elapsed|left)=\S+`), "$1=N"},
	{regexp.MustCompile(`(?m)^([✓!✗] | *)([A-Z][a-z][a-z, A-Z]*?) {2,}(\S)`), "$1$2  $3"}, // the summary: its columns are as wide as they must be
	{regexp.MustCompile(`(?m), \d+/s.*$`), ", N/s"},                                       // the progress bar
	{regexp.MustCompile(`(?m)[ \t]+$`), ""},
}

func normal(s string) string {
	for _, c := range changing {
		s = c.what.ReplaceAllString(s, c.with)
	}
	return s
}

// difference says which line of a document is the first that the output does not have.
func difference(shown, output string) string {
	lines := strings.SplitAfter(shown, "\n")
	for n := range lines {
		begin := strings.Join(lines[:n+1], "")
		if !regexp.MustCompile(strings.TrimSuffix(matcher(begin).String(), `\z`)).MatchString(output) {
			return fmt.Sprintf("The output does not go on as the document does, with line %d:\n%s", n+1, lines[n])
		}
	}
	return "The output has more lines than the document."
}

// matcher returns a regular expression of the outputs that a document shows in this way.
func matcher(shown string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`\A`)
	for line := range strings.Lines(shown) {
		if line == "…\n" {
			b.WriteString(`(?:.*\n)*?`)
			continue
		}
		b.WriteString(strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*"))
	}
	b.WriteString(`\z`)
	return regexp.MustCompile(b.String())
}

func TestMatcher(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		shown, output string
		want          bool
	}{
		{"one\n", "one\n", true},
		{"one\n", "one\ntwo\n", false},
		{"one\n…\n", "one\ntwo\nthree\n", true},
		{"…\nthree\n", "one\ntwo\nthree\n", true},
		{"one\n…\nthree\n", "one\nthree\n", true},
		{"one … three\n", "one two three\n", true},
		{"one … three\n", "one two\n three\n", false},
		{"a.c\n", "abc\n", false},
		{"", "", true},
		{"", "one\n", false},
	} {
		if got := matcher(c.shown).MatchString(c.output); got != c.want {
			t.Errorf("%q shows %q: %v, want %v", c.shown, c.output, got, c.want)
		}
	}
	a, b := normal("time=2026-01-02T03:04:05.678Z at 127.0.0.1:4711\n✓ Confirmed    9\n"), normal("time=2027-11-12T13:14:15Z at 127.0.0.1:1\n✓ Confirmed  9\n")
	if a != b {
		t.Errorf("%q and %q are not made equal", a, b)
	}
	if d := time.Now().Format(time.RFC3339); normal(d) != "TIME" {
		t.Errorf("%q is not taken for a time", d)
	}
}
