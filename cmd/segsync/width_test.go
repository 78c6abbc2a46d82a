//go:build !windows

package main

import (
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/creack/pty"
	"github.com/rivo/uniseg"

	"segsync/internal/sandbox"
)

// atWidth runs segsync on a terminal with so many columns, and returns what it wrote,
// without colours, each draw of the bar as a line.
func (w *world) atWidth(t *testing.T, columns int, env []string, args ...string) string {
	t.Helper()
	terminal, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	if err := pty.Setsize(terminal, &pty.Winsize{Rows: 24, Cols: uint16(columns)}); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command("segsync", args...), stdout: newWritten()}
	p.cmd.Dir, p.cmd.Env = w.dir, w.environ(append(env, "TERM=xterm")...)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = tty, tty, tty
	read := make(chan struct{})
	p.drain = func() { <-read }
	p.run(t)
	tty.Close()
	go func() {
		defer close(read)
		io.Copy(p.stdout, terminal) // until the process has ended
	}()
	await(t, "the end of segsync", p.exited)
	return strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(escape.ReplaceAllString(p.stdout.String(), ""))
}

var escape = regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]`)

// What is printed stays within the terminal; only commands to copy and paths may be longer.
func TestNothingIsWiderThanTheTerminal(t *testing.T) {
	t.Parallel()
	w := startWorld(t, sandbox.Options{Profiles: 150})
	for _, columns := range []int{40, 80} {
		for _, args := range []string{
			"import --dir a-directory-with-a-name/that-is-longer-than-others --non-interactive", "outstanding --dir files", "help", "import --help", "help tuning", "check", "verify", "test", "function --plan 40",
		} {
			got := w.atWidth(t, columns, nil, strings.Fields(args)...)
			if got == "" {
				t.Errorf("segsync %s says nothing", args)
			}
			for line := range strings.Lines(got) {
				line = strings.TrimSuffix(line, "\n")
				free := regexp.MustCompile(`^ *segsync |/|^ +\S*$`).MatchString(line)
				if n := uniseg.StringWidth(line); n > columns && !free {
					t.Errorf("segsync %s: a line has %d of %d columns: %s", args, n, columns, line)
				}
			}
		}
	}
}

// A command that does not fit is whole, on a line of its own.
func TestCommandToCopyIsWhole(t *testing.T) {
	t.Parallel()
	for columns, format := range map[int]string{40: "\nContinue with:\n%s\n", 100: "\nContinue with: %s\n"} {
		w := startWorld(t, sandbox.Options{Profiles: 20, Plain: true})
		got := w.atWidth(t, columns, nil, "import", "--limit", "7", "--dir", "files", "--summary", "summary.json")
		want := fmt.Sprintf(format, "segsync import --resume --summary summary.json --dir files")
		if !strings.HasSuffix(got, want) {
			t.Errorf("at %d columns the output does not end with %q:\n%s", columns, want, got)
		}
	}
}

// What a bar shows last is 100 %, also where the import is one of some profiles only, and
// nothing after it shows another percentage.
func TestBarEndsFull(t *testing.T) {
	t.Parallel()
	percent := regexp.MustCompile(`\d+%`)
	w := startWorld(t, sandbox.Options{Profiles: 2500, Plain: true})
	for _, args := range []string{"import --limit 7", "import --resume --limit 5", "import --resume --since last"} {
		got := w.atWidth(t, 80, nil, append(strings.Fields(args), "--non-interactive")...)
		all := percent.FindAllString(got, -1)
		first := slices.Index(all, "100%")
		if first < 0 || strings.Contains(got, "stopped after") {
			t.Errorf("segsync %s: the bar does not end with 100 %%: %q\n%s", args, all, got)
		}
		for _, other := range all[max(first, 0):] {
			if other != "100%" {
				t.Errorf("segsync %s: a bar shows %s after 100 %%: %q\n%s", args, other, all, got)
			}
		}
	}
}
