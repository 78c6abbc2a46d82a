//go:build !windows

package main

import (
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"

	"segsync/internal/app"
	"segsync/internal/sandbox"
)

const question = `Do you wish to resume the process from the offset: 400? Type "yes" or "no":`

// unfinished asks what to do about an import that is not finished.
const unfinished = `Type "continue" to go on with it`

// barHead is in the progress bar, and nowhere else.
const barHead = "% ░"

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
	p = &process{cmd: exec.Command("segsync", args...), stdout: newWritten(), stderr: newWritten()}
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
	w.answer(`limit=100&next=400$`, 1, times, status(400))
	return w
}

func TestPromptYesContinues(t *testing.T) {
	t.Parallel()
	each(t, sample(2, []string{"yes\r", "  YES  \r", "y\r", "resume\ry\r"}), func(t *testing.T, answer string) {
		w := failing(t, 1)
		p, keyboard := w.onTerminal(t, "import")
		answerEach(t, p, keyboard, question, answer)
		p.wantExit(t, 0)
		check(t, w.complete(), w.reportsExact(w.dir), w.addsUp(p.stdout.String()))
		numbers, err := numbersOf(p.stdout.String())
		check(t, err)
		if numbers["Profiles read"] != 500 {
			t.Errorf("the summary is not of the whole run:\n%s", p.stdout)
		}
		if n := w.requests(`limit=100&next=0$`); n != 2 { // at the beginning, and at the end for profiles that moved
			t.Errorf("the first page was listed %d times, want 2", n)
		}
	})
}

// answerEach types the lines, each after the question was asked once more.
func answerEach(t *testing.T, p *process, keyboard io.Writer, question, lines string) {
	t.Helper()
	for i, line := range strings.SplitAfter(strings.TrimSuffix(lines, "\r"), "\r") {
		p.stderr.await(t, question, i+1)
		if !strings.HasSuffix(line, "\x04") && !strings.HasSuffix(line, "\r") {
			line += "\r"
		}
		io.WriteString(keyboard, line)
	}
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

// The end of the input is a no, and anything else is asked again.
func TestPromptNoStops(t *testing.T) {
	t.Parallel()
	each(t, sample(4, []string{"no\r", "N\r", "\rno\r", "yes please\rn\r", "\x04", "ye\x04\x04\x04"}), func(t *testing.T, answer string) {
		w := failing(t, 1)
		p, keyboard := w.onTerminal(t, "import")
		answerEach(t, p, keyboard, question, answer)
		p.wantExit(t, 1)
		_, offset, err := printedCommand(shown(p.stderr.String()))
		check(t, err)
		if offset != "400" || w.requests(`limit=100&next=400$`) != 1 {
			t.Errorf("answer %q: stopped at %s after %d tries", answer, offset, w.requests(`limit=100&next=400$`))
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
	if !strings.Contains(p.stderr.String(), barHead) {
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
		"stderr": func(c *exec.Cmd) { c.Stderr = newWritten() },
	} {
		w := failing(t, 1)
		p, _ := w.startOnTerminal(t, redirect, "import")
		p.wantExit(t, 1)
		if n := w.requests(`limit=100&next=400$`); n != 1 {
			t.Errorf("with %s redirected the page was asked for %d times", name, n)
		}
	}
}

// The bar is drawn on the terminal, and only there; with -q and a log of JSON there is none.
func TestBarIsDrawnOnTheTerminalOnly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		flag  string
		block bool
	}{{"--verbose", true}, {"-q", false}, {"--log-format=json", false}} {
		t.Run(c.flag, func(t *testing.T) {
			t.Parallel()
			w := startWorld(t, sandbox.Options{Profiles: 300})
			reached := w.hold(`@250/traits`, 1)
			p, _ := w.onTerminal(t, "import", c.flag)
			await(t, "the request", reached)
			if c.block {
				p.stderr.await(t, barHead, 1)
			}
			w.mend()
			p.wantExit(t, 0)
			if strings.ContainsAny(p.stdout.String(), "\x1b\r█") {
				t.Errorf("stdout:\n%q", p.stdout)
			}
			if got := strings.Contains(p.stderr.String(), barHead); got != c.block {
				t.Errorf("a bar is drawn: %v:\n%q", got, p.stderr)
			}
			if got := p.stderr.String(); c.flag == "-q" && got+p.stdout.String() != "" {
				t.Errorf("-q printed %q", got)
			} else if got != "" && !strings.HasSuffix(got, "\n") {
				t.Errorf("the last line does not end: %q", p.stderr)
			}
			if strings.Contains(p.stderr.String(), "level=") {
				t.Errorf("the log of a terminal is for people:\n%s", p.stderr)
			}
		})
	}
}

// A terminal that cannot move its cursor has a person before it, too.
func TestDumbTerminal(t *testing.T) {
	t.Parallel()
	w := startWorld(t, sandbox.Options{Profiles: 100})
	p, _ := w.startOnTerminal(t, func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, "TERM=dumb") }, "import")
	p.wantExit(t, 0)
	got := p.stderr.String()
	if strings.ContainsAny(got+p.stdout.String(), "\x1b█") || strings.Contains(got, "level=") || !strings.Contains(got, "mapping    the default") {
		t.Errorf("stderr:\n%q\nstdout:\n%q", got, p.stdout)
	}
}

// A plain import beside an unfinished one asks whether to continue it.
func TestPromptContinuesAnUnfinishedImport(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		answer  string
		first   int // how often the first page is listed by the second import
		profile string
	}{{"continue\r", 1, "continued"}, {"what\rContinue\r", 1, "continued"}, {"r\r", 2, "anew"}} {
		t.Run(strconv.Quote(c.answer), func(t *testing.T) {
			t.Parallel()
			w := failing(t, 1)
			w.start(t, "import").wantExit(t, 1)
			before := w.requests(`limit=100&next=0$`)
			p, keyboard := w.onTerminal(t, "import")
			answerEach(t, p, keyboard, unfinished, c.answer)
			p.wantExit(t, 0)
			if n := w.requests(`limit=100&next=0$`) - before; n != c.first {
				t.Errorf("%s: the first page was listed %d times, want %d", c.profile, n, c.first)
			}
			check(t, w.complete(), w.reportsExact(w.dir), w.addsUp(p.stdout.String()))
		})
	}
}

// Without an answer, an unfinished import is neither continued nor replaced.
func TestPromptWithoutAnAnswerBeginsNothing(t *testing.T) {
	t.Parallel()
	each(t, sample(3, []string{"\x04", "\r", "cancel\r", "c\rcancel\r"}), func(t *testing.T, answer string) {
		w := failing(t, 1)
		w.start(t, "import").wantExit(t, 1)
		before := w.requests(`.`)
		p, keyboard := w.onTerminal(t, "import")
		answerEach(t, p, keyboard, unfinished, answer)
		p.wantExit(t, app.ExitInterrupted)
		wantMatch(t, p.stderr.String(), `not finished: 400 profiles read, `)
		wantMatch(t, p.stderr.String(), `cancelled: nothing was changed`)
		if n := w.requests(`.`) - before; n != 0 {
			t.Errorf("%d requests", n)
		}
		w.start(t, "import", "--resume").wantExit(t, 0)
		check(t, w.complete(), w.reportsExact(w.dir))
	})
}

// Until something is written, an import that was to be restarted is intact, and can be continued.
func TestRestartThatIsInterruptedAtOnce(t *testing.T) {
	t.Parallel()
	w := failing(t, 1)
	w.start(t, "import").wantExit(t, 1)
	p, keyboard := w.onTerminal(t, "import")
	answerEach(t, p, keyboard, unfinished, "restart\r")
	p.stderr.await(t, "Ctrl-C within 2 seconds writes nothing.", 1)
	p.signal(t, os.Interrupt)
	p.wantExit(t, app.ExitInterrupted)
	command, _, err := printedCommand(shown(p.stderr.String()))
	if err != nil || command != "segsync import --resume" {
		t.Errorf("the last line is %q, %v", command, err)
	}
	before := w.requests(`limit=100&next=0$`)
	w.resume(t, p, 0)
	if n := w.requests(`limit=100&next=0$`) - before; n > 1 { // at the end, for profiles that moved
		t.Errorf("the first page was listed %d times: it was not continued", n)
	}
	check(t, w.complete(), w.reportsExact(w.dir))
}
