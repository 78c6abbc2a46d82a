//go:build !windows

package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"segsync/internal/app"
	"segsync/internal/sandbox"
)

func TestInterruptedImportCanBeContinued(t *testing.T) {
	t.Parallel()
	cases := []struct {
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
	}
	for _, c := range sample(3, cases) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := startWorld(t, sandbox.Options{Profiles: 750})
			reached := w.hold(c.hold, 1)
			w.hold(`next=600$`, 1) // so that the list is not at its end by then
			p := w.start(t, "import", "--dir", "out")
			await(t, "the request", reached)
			p.signal(t, c.signal)
			p.stderr.await(t, "interrupted: finishing", 1)
			w.mend()
			p.wantExit(t, c.code)
			wantMatch(t, p.stderr.String(), `\nInterrupted\.\n`)
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

// What was throttled when the interrupt came is tried again, and finished.
func TestInterruptFinishesWhatIsThrottled(t *testing.T) {
	t.Parallel()
	w := startWorld(t, sandbox.Options{Profiles: 400, Plain: true})
	reached := make(chan struct{})
	throttled := sync.OnceFunc(func() { close(reached) })
	w.answer(`/traits`, 200, 220, func(rw http.ResponseWriter, req *http.Request) {
		throttled()
		status(429)(rw, req)
	})
	p := w.start(t, "import")
	await(t, "the request", reached)
	p.signal(t, os.Interrupt)
	p.wantExit(t, app.ExitInterrupted)
	if n := w.requests(`/traits`); n <= 220 {
		t.Fatalf("%d requests of those that are throttled: not all were tried again", n)
	}
	if strings.Contains(p.stderr.String(), "could not be finished") {
		t.Errorf("it was not finished:\n%s", p.stderr)
	}
	w.resume(t, p, 0)
	check(t, w.complete(), w.reportsExact(w.dir))
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

// Whatever segsync waits for, it ends when it is interrupted: once, within 10*time.Second and
// with everything saved; twice, at once.
func TestInterruptsEndEveryWait(t *testing.T) {
	t.Parallel()
	for _, wait := range sample(3, []struct {
		name    string
		options sandbox.Options
		match   string // requests that are answered so
		answer  http.HandlerFunc
		hold    bool // they are not answered at all
		args    string
		waiting string // in the log, once it waits
		once    bool   // whether one interrupt is tried, too
	}{
		{name: "outage of Segment", match: `next=100$`, answer: status(503), waiting: "attempt=3", once: true},
		{name: "outage of Voucherify", match: `^POST`, answer: status(503), waiting: "attempt=3"},
		{name: "swallowed bulk request", match: `^POST`, hold: true, once: true},
		{name: "swallowed list", match: `next=100$`, hold: true},
		{
			name: "quota", options: sandbox.Options{BulkCalls: sandbox.Bucket{Limit: 2}}, args: "--max-wait 2h",
			waiting: "the quota is used up but for the reserve: waiting", once: true,
		},
		{name: "pause that Segment asks for", match: `next=100$`, answer: pauseOf("200"), waiting: "the server asks for a pause"},
		{name: "pause that Voucherify asks for", match: `^POST`, answer: pauseOf("200"), waiting: "the server asks for a pause", once: true},
		{
			name: "export of the customers", options: sandbox.Options{Exports: sandbox.ExportOptions{Delay: time.Hour}}, args: "--only-changes",
			waiting: "asking Voucherify for an export of its customers", once: true,
		},
		{
			name: "verification", options: sandbox.Options{StuckActions: func(int) bool { return true }},
			waiting: "waiting for Voucherify to confirm", once: true,
		},
	}) {
		for sig, twice := range map[syscall.Signal]bool{syscall.SIGINT: true, syscall.SIGTERM: false} {
			if !twice && !wait.once {
				continue
			}
			t.Run(fmt.Sprintf("%s, %s, twice %v", wait.name, sig, twice), func(t *testing.T) {
				t.Parallel()
				options := wait.options // a copy for this test alone
				options.Profiles, options.Plain = 300, true
				w := startWorld(t, options)
				var reached <-chan struct{}
				if wait.hold {
					reached = w.hold(wait.match, 1)
				} else if wait.match != "" {
					w.answer(wait.match, 1, 0, wait.answer)
				}
				p := w.start(t, append([]string{"import", "-v"}, strings.Fields(wait.args)...)...)
				if wait.hold {
					await(t, "the request", reached)
				} else {
					p.stderr.await(t, wait.waiting, 1)
				}
				p.signal(t, sig)
				if twice {
					p.stderr.await(t, "interrupted: finishing", 1)
					p.cmd.Process.Signal(sig) // it may have ended
				}
				began := time.Now()
				p.wantExit(t, map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143}[sig])
				within := endsWithin
				if !twice {
					within += 10 * time.Second
				}
				if took := time.Since(began); took > within {
					t.Errorf("it ended after %s", took)
				}
				_, _, err := printedCommand(p.stderr.String())
				check(t, err, w.addsUp(p.stdout.String()))
			})
		}
	}
}

// A plan has nothing to finish: one interrupt ends it at once, and nothing is left of it.
func TestInterruptedPlan(t *testing.T) {
	t.Parallel()
	for _, hold := range sample(2, []string{`@250/traits`, `next=200$`, `^POST /v1/exports`, `^GET /v1/exports/`}) {
		t.Run(hold, func(t *testing.T) {
			t.Parallel()
			w, imports := startWorld(t, sandbox.Options{Profiles: 300}), t.TempDir()
			w.start(t, "import", "--dir", imports).wantExit(t, app.ExitDone)
			reached, temporary := w.hold(hold, 1), t.TempDir()
			p := startProcess(t, w.dir, w.environ("TMPDIR="+temporary), nil, "plan", "--orphans", "orphans.txt", "--dir", imports)
			await(t, "the request", reached)
			p.signal(t, os.Interrupt)
			began := time.Now()
			p.wantExit(t, app.ExitInterrupted)
			if took := time.Since(began); took > endsWithin {
				t.Errorf("it ended after %s", took)
			}
			if strings.Contains(p.stderr.String(), "segsync: error:") || p.stdout.String() != "" {
				t.Errorf("an interrupted plan said\n%s\n%s", p.stderr, p.stdout)
			}
			for _, dir := range []string{temporary, w.dir} {
				if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
					t.Errorf("left behind: %v, error %v", left, err)
				}
			}
			w.mend()
		})
	}
}

// On a terminal the profiles are counted before anything else is done.
func TestInterruptedWhileCounting(t *testing.T) {
	t.Parallel()
	for _, held := range []bool{false, true} {
		t.Run(fmt.Sprintf("request held %v", held), func(t *testing.T) {
			t.Parallel()
			w := startWorld(t, sandbox.Options{Profiles: 300, Plain: true})
			p, keyboard := (*process)(nil), io.Writer(nil)
			if held { // two interrupts end it at once
				reached := w.hold(`/profiles\?`, 1)
				p, keyboard = w.onTerminal(t, "import")
				await(t, "the request", reached)
				io.WriteString(keyboard, "\x03")
				p.stderr.await(t, "interrupted: finishing", 1)
			} else { // one ends a wait
				w.answer(`/profiles\?`, 1, 0, pauseOf("200"))
				p, keyboard = w.onTerminal(t, "import", "-v")
				p.stderr.await(t, "the server asks for a pause", 1)
			}
			io.WriteString(keyboard, "\x03")
			began := time.Now()
			p.wantExit(t, app.ExitInterrupted)
			within := endsWithin
			if !held {
				within += 10 * time.Second
			}
			if took := time.Since(began); took > within {
				t.Errorf("it ended after %s", took)
			}
			if n := w.requests(`^POST|external_ids|traits`); n != 0 {
				t.Errorf("%d requests came after those that count", n)
			}
			w.mend()
			w.resume(t, p, app.ExitDone)
			check(t, w.complete(), w.reportsExact(w.dir))
		})
	}
}

// endsWithin is how long the end may take on a busy machine. What is waited for in these tests
// takes longer.
const endsWithin = 25 * time.Second

// pauseOf returns an answer that asks for a pause of so many seconds.
func pauseOf(seconds string) http.HandlerFunc {
	return func(rw http.ResponseWriter, req *http.Request) {
		rw.Header().Set("Retry-After", seconds)
		status(429)(rw, req)
	}
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
		server := &process{cmd: box, stdout: newWritten(), stderr: newWritten()}
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
		if out, err := sourced.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}

		server.signal(t, sig)
		server.wantExit(t, 0)
		write.Close()
	}
}

// Before the first request that writes, a terminal shows what is about to be done, and gives
// time to stop it.
func TestInterruptedBeforeAnythingIsWritten(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"import", "import --limit 20"} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			w := startWorld(t, sandbox.Options{Profiles: 250})
			p, _ := w.startOnTerminal(t, func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, "VOUCHERIFY_BATCH_SIZE=1") }, strings.Fields(args)...)
			p.stderr.await(t, "Ctrl-C within 2 seconds writes nothing.", 1)
			for _, want := range []string{
				"  from       Segment space spa_sandbox\r\n", "  to         Voucherify 127.0.0.1:", "less than 1 min at 100000 requests/s\r\n",
				"  source_id  from user_id: permanent\r\n", "  mapping    the default\r\n",
			} {
				if !strings.Contains(p.stderr.String(), want) {
					t.Errorf("the terminal does not show %q:\n%s", want, p.stderr)
				}
			}
			p.signal(t, os.Interrupt)
			p.stderr.await(t, "interrupted: finishing", 1)
			p.wantExit(t, 130)
			if n := w.requests(`^POST`); n > 0 {
				t.Errorf("%d requests that write were sent", n)
			}
			check(t, w.addsUp(p.stdout.String()))
			command, offset, err := printedCommand(shown(p.stderr.String()))
			if err != nil || offset != "0" || command != "segsync "+args {
				t.Errorf("the end is not the command that starts it: %q, %v", command, err)
			}
			w.resume(t, p, 0)
		})
	}
}

// The last line of the bar has the numbers of the table below it, although more was being read when
// an error ended it.
func TestBarAgreesWithTheTable(t *testing.T) {
	t.Parallel()
	w := startWorld(t, sandbox.Options{Profiles: 500})
	w.answer(`@150/external_ids`, 1, 0, status(401))
	p, _ := w.onTerminal(t, "import", "--non-interactive")
	p.wantExit(t, 2)
	last := regexp.MustCompile(` (\d+) of 500 · stopped after`).FindStringSubmatch(shown(p.stderr.String()))
	numbers, err := numbersOf(p.stdout.String())
	check(t, err)
	if last == nil || last[1] != itoa(numbers["Profiles read"]) {
		t.Errorf("the bar ends with %q:\n%s\n%s", last, p.stderr, p.stdout)
	}
}
