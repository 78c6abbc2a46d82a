//go:build !windows

package main

import (
	"io"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"

	"segsync/internal/sandbox"
)

const question = `Do you wish to resume the process from the offset: 400? Type "yes" or "no":`

// onTerminal starts segsync with a terminal as its stdin and stderr, and a pipe as its
// stdout. What it writes to the terminal is the stderr of the process.
func (w *world) onTerminal(t *testing.T, args ...string) (p *process, keyboard io.Writer) {
	t.Helper()
	return w.startOnTerminal(t, nil, args...)
}

// startOnTerminal lets change set what is no terminal after all.
func (w *world) startOnTerminal(t *testing.T, change func(*exec.Cmd), args ...string) (p *process, keyboard io.Writer) {
	t.Helper()
	terminal, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	p = &process{cmd: exec.Command("segsync", args...), stdout: newOutput(), stderr: newOutput()}
	p.cmd.Dir, p.cmd.Env = w.dir, w.environ("TERM=xterm")
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = tty, p.stdout, tty
	if change != nil {
		change(p.cmd)
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: change == nil}
	read := make(chan struct{})
	p.drain = func() { <-read }
	t.Cleanup(func() { terminal.Close() }) // after the process has ended
	p.run(t)
	tty.Close()
	go func() {
		defer close(read)
		io.Copy(p.stderr, terminal) // until the process has ended
	}()
	return p, terminal
}

// failing returns a world in which the page at 400 cannot be listed, the first times
// that it is asked for.
func failing(t *testing.T, times int) *world {
	w := startWorld(t, sandbox.Options{Profiles: 500})
	w.answer(`next=400$`, 1, times, status(400))
	return w
}

func TestPromptYesContinues(t *testing.T) {
	t.Parallel()
	each(t, []string{"yes\r", "  YES  \r"}, func(t *testing.T, answer string) {
		w := failing(t, 1)
		p, keyboard := w.onTerminal(t, "import")
		p.stderr.await(t, question+" ", 1)
		io.WriteString(keyboard, answer)
		p.wantExit(t, 0)
		check(t, w.complete(), w.reportsExact(w.dir), w.addsUp(p.stdout.String()))
		numbers, err := numbersOf(p.stdout.String())
		check(t, err)
		if numbers["Profiles read"] != 500 {
			t.Errorf("the summary is not of the whole run:\n%s", p.stdout)
		}
		if n := w.requests(`next=0$`); n != 2 { // at the beginning, and at the end for profiles that moved
			t.Errorf("the first page was listed %d times, want 2", n)
		}
	})
}

// each runs a test for each of the answers, all at once.
func each(t *testing.T, answers []string, test func(*testing.T, string)) {
	for _, answer := range answers {
		t.Run(strconv.Quote(answer), func(t *testing.T) {
			t.Parallel()
			test(t, answer)
		})
	}
}

func TestPromptAnythingElseStops(t *testing.T) {
	t.Parallel()
	each(t, []string{"no\r", "\r", "y\r", "yes please\r", "resume\r", "\x04", "ye\x04\x04"}, func(t *testing.T, answer string) {
		w := failing(t, 1)
		p, keyboard := w.onTerminal(t, "import")
		p.stderr.await(t, question+" ", 1)
		io.WriteString(keyboard, answer)
		p.wantExit(t, 1)
		_, offset, err := printedCommand(shown(p.stderr.String()))
		check(t, err)
		if offset != "400" || w.requests(`next=400$`) != 1 {
			t.Errorf("answer %q: stopped at %s after %d tries", answer, offset, w.requests(`next=400$`))
		}
		w.resume(t, p, 0)
		check(t, w.complete(), w.reportsExact(w.dir))
	})
}

func TestPromptComesOnce(t *testing.T) {
	t.Parallel()
	w := failing(t, 2)
	p, keyboard := w.onTerminal(t, "import")
	p.stderr.await(t, question+" ", 1)
	io.WriteString(keyboard, "yes\r")
	p.wantExit(t, 1)
	if n := strings.Count(p.stderr.String(), "Do you wish"); n != 1 {
		t.Errorf("asked %d times:\n%s", n, p.stderr)
	}
	w.resume(t, p, 0)
	check(t, w.complete(), w.reportsExact(w.dir))
}

func TestPromptNotWithNonInteractive(t *testing.T) {
	t.Parallel()
	w := failing(t, 1)
	p, _ := w.onTerminal(t, "import", "--non-interactive")
	p.wantExit(t, 1)
	if strings.Contains(p.stderr.String(), "Do you wish") {
		t.Errorf("asked:\n%s", p.stderr)
	}
	if !strings.Contains(p.stderr.String(), "Importing profiles") {
		t.Errorf("a terminal has a bar all the same:\n%s", p.stderr)
	}
	w.resume(t, p, 0)
}

func TestPromptCtrlCInterrupts(t *testing.T) {
	t.Parallel()
	w := failing(t, 1)
	p, keyboard := w.onTerminal(t, "import")
	p.stderr.await(t, question+" ", 1)
	io.WriteString(keyboard, "\x03")
	p.wantExit(t, 130)
	w.resume(t, p, 0)
	check(t, w.complete(), w.reportsExact(w.dir))
}

// The question needs both: a terminal to show it and one to answer it.
func TestPromptNeedsATerminalForStdinAndStderr(t *testing.T) {
	t.Parallel()
	for name, redirect := range map[string]func(*exec.Cmd){
		"stdin":  func(c *exec.Cmd) { c.Stdin = strings.NewReader("yes\n") },
		"stderr": func(c *exec.Cmd) { c.Stderr = newOutput() },
	} {
		w := failing(t, 1)
		p, _ := w.startOnTerminal(t, redirect, "import")
		p.wantExit(t, 1)
		if n := w.requests(`next=400$`); n != 1 {
			t.Errorf("with %s redirected the page was asked for %d times", name, n)
		}
	}
}

func TestBarIsDrawnOnTheTerminalOnly(t *testing.T) {
	t.Parallel()
	w := startWorld(t, sandbox.Options{Profiles: 500})
	reached := w.hold(`@250/traits`, 1)
	p, _ := w.onTerminal(t, "import")
	await(t, "the request", reached)
	p.stderr.await(t, "Importing profiles", 2)
	w.mend()
	p.wantExit(t, 0)
	if strings.ContainsAny(p.stdout.String(), "\x1b\r█") || strings.Contains(p.stdout.String(), "Importing") {
		t.Errorf("stdout:\n%q", p.stdout)
	}
	if got := p.stderr.String(); !strings.Contains(got, "500") || !strings.HasSuffix(got, "\n") {
		t.Errorf("the last bar does not show all profiles, on a line of its own: %q", got)
	}
	// A line of the log begins where the bar began.
	for line := range strings.SplitSeq(p.stderr.String(), "\n") {
		if before, _, ok := strings.Cut(line, "time="); ok && !strings.HasSuffix(before, "\r") && before != "" {
			t.Errorf("a line of the log follows a bar: %q", line)
		}
	}

	for _, flag := range []string{"-q", "--log-format=json"} {
		p, _ := w.onTerminal(t, "import", flag)
		p.wantExit(t, 0)
		if strings.Contains(p.stderr.String(), "Importing profiles") {
			t.Errorf("%s: a bar is drawn:\n%s", flag, p.stderr)
		}
	}
}
