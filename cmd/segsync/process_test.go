package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what must come before it fails, also on a machine
// that is busy with much else.
const patience = 4 * time.Minute

// output is what a process has written so far.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed and replaced with each write
}

func newWritten() *output { return &output{changed: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.text.Write(p)
}

func (o *output) now() (string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String(), o.changed
}

func (o *output) String() string {
	text, _ := o.now()
	return text
}

// await returns when the text was written n times.
func (o *output) await(t *testing.T, text string, n int) {
	t.Helper()
	deadline := time.After(patience)
	for {
		got, changed := o.now()
		if strings.Count(got, text) >= n {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("waited in vain for %q (%d times) in:\n%s", text, n, got)
		}
	}
}

func await(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("waited in vain for " + what)
	}
}

// process is a segsync that is running.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr *output
	exited         chan struct{} // closed when it has ended and all its output is here
	drain          func()        // nil, or waits for the last of the output
}

// start starts segsync in the world.
func (w *world) start(t *testing.T, args ...string) *process {
	t.Helper()
	return startProcess(t, w.dir, w.environ(), nil, args...)
}

func startProcess(t *testing.T, dir string, env []string, stdin io.Reader, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command("segsync", args...), stdout: newWritten(), stderr: newWritten()}
	p.cmd.Dir, p.cmd.Env = dir, env
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = stdin, p.stdout, p.stderr
	p.run(t)
	return p
}

func (p *process) run(t *testing.T) {
	t.Helper()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.exited = make(chan struct{})
	go func() {
		defer close(p.exited)
		p.cmd.Wait() // the exit code tells
		if p.drain != nil {
			p.drain()
		}
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.exited
	})
}

func (p *process) signal(t *testing.T, sig os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// wantExit waits for the end and checks the exit code.
func (p *process) wantExit(t *testing.T, code int) {
	t.Helper()
	await(t, "the end of segsync; stderr:\n"+p.stderr.String(), p.exited)
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		t.Fatalf("exit code %d, want %d\nstdout:\n%s\nstderr:\n%s", got, code, p.stdout, p.stderr)
	}
}

// resume runs the command that a stopped segsync has printed.
func (w *world) resume(t *testing.T, p *process, code int) *process {
	t.Helper()
	command, _, err := printedCommand(shown(p.stderr.String()))
	if err != nil {
		t.Fatal(err)
	}
	next := &process{cmd: exec.Command("sh", "-c", command), stdout: newWritten(), stderr: newWritten()}
	next.cmd.Dir, next.cmd.Env = w.dir, w.environ()
	next.cmd.Stdout, next.cmd.Stderr = next.stdout, next.stderr
	next.run(t)
	next.wantExit(t, code)
	return next
}

func check(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

// shown returns what a terminal has shown in the end: of each line what came after the
// last carriage return.
func shown(text string) string {
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for i, line := range lines {
		lines[i] = line[strings.LastIndex(line, "\r")+1:]
	}
	return strings.Join(lines, "\n")
}
