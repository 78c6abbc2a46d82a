//go:build !windows

package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"segsync/internal/sandbox"
)

func TestInterruptedImportCanBeContinued(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		signal os.Signal
		hold   string // the request during which the signal comes
		code   int
	}{
		{"SIGINT while listing", os.Interrupt, `next=500$`, 130},
		{"SIGINT while reading", os.Interrupt, `@250/traits`, 130},
		{"SIGINT while sending", os.Interrupt, `^POST`, 130},
		{"SIGTERM while reading", syscall.SIGTERM, `@250/external_ids`, 143},
		{"SIGHUP while reading", syscall.SIGHUP, `@250/external_ids`, 143},
		{"SIGINT at the first request", os.Interrupt, `next=0$`, 130},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := startWorld(t, sandbox.Options{Profiles: 1000})
			reached := w.hold(c.hold, 1)
			w.hold(`next=600$`, 1) // so that the list is not at its end by then
			p := w.start(t, "import", "--dir", "out")
			await(t, "the request", reached)
			p.signal(t, c.signal)
			p.stderr.await(t, "interrupted: finishing", 1)
			w.mend()
			p.wantExit(t, c.code)
			_, offset, err := printedCommand(p.stderr.String())
			check(t, err, w.addsUp(p.stdout.String()))
			if n := w.requests("next=700$"); n != 0 {
				t.Error("listing went on")
			}
			if strings.Contains(p.stderr.String(), "segsync: error:") {
				t.Errorf("an interrupt is no error:\n%s", p.stderr)
			}
			numbers, err := numbersOf(p.stdout.String())
			check(t, err)
			if read := numbers["Profiles read"]; offset != itoa(read) {
				t.Errorf("offset %s after %d profiles", offset, read)
			}

			rest := w.resume(t, p, 0)
			check(t, w.addsUp(rest.stdout.String()), w.complete(), w.reportsExact(filepath.Join(w.dir, "out")))
		})
	}
}

func TestSecondInterruptEndsAtOnce(t *testing.T) {
	t.Parallel()
	w := startWorld(t, sandbox.Options{Profiles: 500})
	reached := w.hold(`@250/traits`, 1)
	p := w.start(t, "import")
	await(t, "the request", reached)
	p.signal(t, os.Interrupt)
	p.stderr.await(t, "interrupted: finishing", 1)
	p.signal(t, os.Interrupt)
	p.wantExit(t, 130) // although the request is held still
	_, _, err := printedCommand(p.stderr.String())
	check(t, err)
	w.mend()
	w.resume(t, p, 0)
	check(t, w.complete(), w.reportsExact(w.dir))
}

func TestInterruptDuringABackoffEndsSoon(t *testing.T) {
	t.Parallel()
	w := startWorld(t, sandbox.Options{Profiles: 500})
	w.answer(`next=100$`, 1, 0, status(503))
	p := w.start(t, "import", "-v")
	p.stderr.await(t, "attempt=2", 1)
	p.signal(t, os.Interrupt)
	p.wantExit(t, 130)
	_, _, err := printedCommand(p.stderr.String())
	check(t, err)
	w.mend()
	w.resume(t, p, 0)
	check(t, w.complete(), w.reportsExact(w.dir))
}

// The output of segsync sandbox is a file for --env-file, and can be sourced.
func TestSandboxServesUntilItIsInterrupted(t *testing.T) {
	t.Parallel()
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		dir := t.TempDir()
		env := []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + dir, "SEGMENT_RATE_LIMIT=100000"}
		printed, write := io.Pipe()
		box := exec.Command("segsync", "sandbox", "--profiles", "50", "--rate-limit", "0", "--latency", "0")
		box.Env, box.Stdout = env, write
		server := &process{cmd: box, stdout: newOutput(), stderr: newOutput()}
		box.Stderr = server.stderr
		server.run(t)

		var lines strings.Builder
		for in := bufio.NewScanner(printed); strings.Count(lines.String(), "\n") < 6 && in.Scan(); {
			lines.WriteString(in.Text() + "\n")
		}
		if err := os.WriteFile(filepath.Join(dir, "box.env"), []byte(lines.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		go io.Copy(io.Discard, printed)
		startProcess(t, dir, env, nil, "import", "--env-file", "box.env").wantExit(t, 0)

		sourced := exec.Command("sh", "-c", ". ./box.env && segsync import")
		sourced.Dir, sourced.Env = dir, env
		if out, err := sourced.CombinedOutput(); sourced.ProcessState.ExitCode() != 3 {
			t.Errorf("%v\n%s", err, out)
		}

		server.signal(t, sig)
		server.wantExit(t, 0)
		write.Close()
	}
}
