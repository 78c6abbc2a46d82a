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
// without colours and movements of the cursor.
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
	p := &process{cmd: exec.Command("segsync", args...), stdout: newOutput()}
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
	return strings.ReplaceAll(escape.ReplaceAllString(p.stdout.String(), ""), "\r", "")
}

var escape = regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]`)

// Whatever segsync says on a terminal fits it. Only commands to copy may be wider, and then
// they have lines of their own.
func TestNothingIsWiderThanTheTerminal(t *testing.T) {
	t.Parallel()
	const dir = "a-directory-with-a-name/that-is-longer-than-others"
	for _, columns := range []int{40, 60, 80, 120} {
		t.Run(fmt.Sprint(columns, " columns"), func(t *testing.T) {
			t.Parallel()
			w := startWorld(t, sandbox.Options{Profiles: 150})
			w.reject.Store(regexp.MustCompile(`user-00000[0-4]7`))
			missing := []string{"SEGMENT_ACCESS_TOKEN=", "SEGSYNC_WAREHOUSE_SCHEMA_NAME=x", "SEGMENT_SPACEID=x"}
			for _, args := range [][]string{
				{"import", "--dir", dir, "--non-interactive"},
				{"import", "--dir", dir, "--non-interactive", "--limit", "7", "--metrics-file", "a-file-of-metrics.prom"},
				{"import", "--resume", "--verify", "perhaps", "--since", "yesterday"},
				{"plan", "--show", "2"},
				{"plan", "--sample", "30", "--show", "2"},
				{"check", "--dir", dir},
				{"outstanding", "--dir", dir},
				{"inspect", "user_id:user-0000007"},
				{"verify", "--dir", dir},
				{"version"},
				{"help", "exit-codes"},
				{"import", "--help"}, {"plan", "--help"}, {"check", "--help"}, {"sandbox", "--help"}, {"outstanding", "--help"},
				{"inspect", "--help"}, {"sql", "--help"}, {"mapping", "--help"}, {"verify", "--help"}, {"help"},
			} {
				wantFits(t, columns, args, w.atWidth(t, columns, nil, args...))
			}
			for _, args := range [][]string{{"check"}, {"import", "--dir", dir}} {
				wantFits(t, columns, args, w.atWidth(t, columns, missing, args...))
			}
		})
	}
}

func wantFits(t *testing.T, columns int, args []string, output string) {
	t.Helper()
	if output == "" {
		t.Errorf("segsync %s says nothing", strings.Join(args, " "))
	}
	for line := range strings.Lines(output) {
		line = strings.TrimSuffix(line, "\n")
		command := strings.HasPrefix(strings.TrimLeft(line, " "), "segsync ")
		if n := uniseg.StringWidth(line); n > columns && !command {
			t.Errorf("segsync %s: a line has %d columns: %s", strings.Join(args, " "), n, line)
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
	percent := regexp.MustCompile(`\d+ %`)
	w := startWorld(t, sandbox.Options{Profiles: 2500, Plain: true})
	for _, args := range []string{"import --limit 7", "import --resume --limit 5", "import --resume --since last"} {
		got := w.atWidth(t, 80, nil, append(strings.Fields(args), "--non-interactive")...)
		all := percent.FindAllString(got, -1)
		first := slices.Index(all, "100 %")
		if first < 0 || strings.Contains(got, "stopped after") {
			t.Errorf("segsync %s: the bar does not end with 100 %%: %q\n%s", args, all, got)
		}
		for _, other := range all[max(first, 0):] {
			if other != "100 %" {
				t.Errorf("segsync %s: a bar shows %s after 100 %%: %q\n%s", args, other, all, got)
			}
		}
	}
}
