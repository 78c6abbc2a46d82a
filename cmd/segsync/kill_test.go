//go:build !windows

package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"segsync/importer/journal"
	"segsync/internal/app"
	"segsync/internal/sandbox"
)

// moment is when a request of the sandbox is met.
type moment int

const (
	arrives  moment = iota // read, and without effect so far
	answered               // it has had its effect; the answer is not written yet
	after                  // it was answered, and the next request arrives
)

// point is an instant in a run of segsync, told by the requests that it makes.
type point struct {
	match  string // of "METHOD /path?query"
	number int    // of those that match, over all runs, from 1
	when   moment
}

// A killer ends segsync at points. Each point must be reached, and each kill must be one.
type killer struct {
	*world
	do func(*process) // at each point

	mu      sync.Mutex
	points  []point
	matches []*regexp.Regexp
	seen    []int // by point
	due     bool  // at the next request
	running *process
	struck  *process // the last one to which something happened: it is left alone from then on
	reached int
	ends    []int // exit codes of the runs
}

// killed is the exit code of a process that a signal ended.
const killed = -1

// newKiller starts a world in which something happens at the points.
func newKiller(t *testing.T, o sandbox.Options, do func(*process), points ...point) *killer {
	k := &killer{do: do, points: points, seen: make([]int, len(points))}
	for _, p := range points {
		k.matches = append(k.matches, regexp.MustCompile(p.match))
	}
	o.OnRequest, o.OnAnswer = both(k.onRequest, o.OnRequest), both(k.onAnswer, o.OnAnswer)
	k.world = startWorld(t, o)
	check(t, os.Mkdir(filepath.Join(k.dir, "out"), 0o700)) // or --resume would refuse it
	return k
}

func both(a, b func(sandbox.Request)) func(sandbox.Request) {
	return func(r sandbox.Request) {
		if b != nil {
			b(r)
		}
		a(r)
	}
}

func (k *killer) onRequest(r sandbox.Request) { k.meet(r, arrives) }
func (k *killer) onAnswer(r sandbox.Request)  { k.meet(r, answered) }

func (k *killer) meet(r sandbox.Request, when moment) {
	if p := k.met(r, when); p != nil {
		k.do(p)
	}
}

// met returns the process to which something is to happen now, or nil.
func (k *killer) met(r sandbox.Request, when moment) *process {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.running == k.struck {
		return nil
	}
	now := when == arrives && k.due
	if now {
		k.due = false
	}
	line := r.Method + " " + r.Path + "?" + r.Query.Encode()
	for i, p := range k.points {
		if when != p.when && !(p.when == after && when == answered) || !k.matches[i].MatchString(line) {
			continue
		}
		if k.seen[i]++; k.seen[i] == p.number {
			now, k.due = now || p.when != after, k.due || p.when == after
		}
	}
	if !now {
		return nil
	}
	k.reached++
	k.struck = k.running
	return k.running
}

// kill ends the process as a crash would, before anything else happens.
func kill(p *process) {
	p.cmd.Process.Kill()
	<-p.exited
}

func terminate(p *process) { p.cmd.Process.Signal(syscall.SIGTERM) }

// lose takes the answer away on its way.
func lose(*process) { panic(http.ErrAbortHandler) }

// small settings, so that few profiles are many steps.
var small = []string{"SEGMENT_REQUEST_LIMIT=10", "VOUCHERIFY_BATCH_SIZE=8"}

func (k *killer) start(t *testing.T, args ...string) *process {
	t.Helper()
	return k.run(t, append([]string{"import", "--resume", "--dir", "out", "--verify-interval", "1s"}, args...)...)
}

// run starts segsync as the process to which something happens at the points.
func (k *killer) run(t *testing.T, args ...string) *process {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.running = startProcess(t, k.dir, k.environ(small...), nil, args...)
	return k.running
}

// untilDone runs segsync import --resume until it is neither killed nor interrupted.
func (k *killer) untilDone(t *testing.T) *process {
	t.Helper()
	for range 10 {
		p := k.start(t)
		await(t, "the end of segsync", p.exited)
		code := p.cmd.ProcessState.ExitCode()
		k.ends = append(k.ends, code)
		switch code {
		case killed:
			if status := p.cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGKILL {
				t.Fatalf("ended by %s", status.Signal())
			}
		case app.ExitTerminated:
			_, _, err := printedCommand(p.stderr.String())
			check(t, err, k.addsUp(p.stdout.String()))
		default:
			return p
		}
	}
	t.Fatal("segsync does not come to its end")
	return nil
}

// wantKilled checks that all points were reached, and that a run died at each.
func (k *killer) wantKilled(t *testing.T, times int) {
	t.Helper()
	died := 0
	for _, code := range k.ends {
		if code == killed {
			died++
		}
	}
	if k.reached != times || died != times || len(k.ends) != times+1 {
		t.Errorf("%d of %d points were reached, and the runs ended with %v", k.reached, times, k.ends)
	}
}

// awaitState returns when there is such a state, or none will come.
func (k *killer) awaitState(t *testing.T, such func(*journal.State) bool) {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for deadline := time.After(patience); ; {
		if s, err := journal.Load(journal.NewNames(filepath.Join(k.dir, "out"), "")); err == nil && s != nil && such(s) {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			t.Error("waited in vain for the state")
			return
		}
	}
}

// right checks that nothing is lost, and nothing there twice.
func (k *killer) right(t *testing.T, p *process, code int) {
	t.Helper()
	p.wantExit(t, code)
	check(t, k.complete(), k.reportsComplete(filepath.Join(k.dir, "out")), k.addsUp(p.stdout.String()))
	n, err := numbersOf(p.stdout.String())
	check(t, err)
	profiles := len(k.box.Want())
	if n["Profiles read"] != profiles || n["Without identifier"] != profiles*16/100 || n["Vanished"] != profiles/50 ||
		n["Confirmed"] != n["Customers sent"] {
		t.Errorf("the summary is not that of %d profiles:\n%s", profiles, p.stdout)
	}
}

const (
	list   = `^GET .*/profiles\?`
	traits = `^GET .*/traits\?`
	post   = `^POST`
	look   = `^GET /v1/async-actions\?`
	judge  = `^GET /v1/async-actions/`
)

// Wherever segsync is killed, the next runs account for every profile. The random test of
// package importer has the states between; these are the steps of the real process.
func TestKilledImportIsContinued(t *testing.T) {
	t.Parallel()
	for _, c := range sample(3, []struct {
		name   string
		points []point
	}{
		{"three times", []point{{traits, 30, answered}, {post, 7, answered}, {judge, 3, answered}}},
		{"before anything is read", []point{{list, 1, arrives}}},
		{"while profiles are read", []point{{traits, 40, arrives}}},
		{"before the answer to a batch", []point{{post, 5, answered}}},
		{"before a batch is sent", []point{{post, 5, arrives}}},
		{"at the last action", []point{{judge, 10, answered}}},
		{"while it sends, and while it verifies", []point{{post, 1, after}, {judge, 2, answered}}},
		{"while it waits for confirmation", []point{{look, 1, answered}}},
	}) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k := newKiller(t, sandbox.Options{Profiles: 100}, kill, c.points...)
			p := k.untilDone(t)
			k.right(t, p, app.ExitDone)
			k.wantKilled(t, len(c.points))
		})
	}
}

// The list moves while it is read, and segsync is killed while it looks for what moved.
func TestKilledWhileCatchingUp(t *testing.T) {
	t.Parallel()
	for _, p := range sample(3, []point{{`next=0$`, 3, answered}, {`next=0$`, 2, arrives}, {post, 10, answered}}) {
		t.Run(fmt.Sprint(p), func(t *testing.T) {
			t.Parallel()
			var box atomic.Pointer[sandbox.Sandbox]
			var once sync.Once
			moves := func(r sandbox.Request) {
				if r.Query.Get("next") == "50" {
					once.Do(func() { // these are not at their old places any more
						for _, n := range []int{97, 80, 61, 3, 99, 77} {
							box.Load().Touch(box.Load().Want()[n].SegmentID)
						}
					})
				}
			}
			var k *killer
			ready := make(chan struct{})
			k = newKiller(t, sandbox.Options{Profiles: 100, OnRequest: moves}, func(p *process) {
				<-ready
				k.awaitState(t, func(s *journal.State) bool { return s.Position.At != "" })
				kill(p)
			}, p)
			box.Store(k.box)
			close(ready)
			done := k.untilDone(t)
			k.right(t, done, app.ExitDone)
			n, err := numbersOf(done.stdout.String())
			check(t, err)
			if n["Found late"] == 0 {
				t.Errorf("none was found late:\n%s", done.stdout)
			}
			k.wantKilled(t, 1)
		})
	}
}

// SIGTERM in the middle of every kind of step.
func TestTerminatedImportIsContinued(t *testing.T) {
	t.Parallel()
	for _, p := range sample(2, []point{
		{list, 4, answered}, {traits, 30, answered}, {post, 5, answered}, {judge, 1, answered},
	}) {
		t.Run(fmt.Sprint(p), func(t *testing.T) {
			t.Parallel()
			k := newKiller(t, sandbox.Options{Profiles: 100}, terminate, p)
			k.right(t, k.untilDone(t), app.ExitDone)
			if k.reached != 1 || k.ends[0] != app.ExitTerminated {
				t.Errorf("%d points were reached, and the runs ended with %v", k.reached, k.ends)
			}
		})
	}
}

// Voucherify has taken the customers, but its answer is lost: they are sent again.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	for _, p := range []point{{post, 5, answered}, {look, 1, answered}, {judge, 3, answered}} {
		t.Run(fmt.Sprint(p), func(t *testing.T) {
			t.Parallel()
			k := newKiller(t, sandbox.Options{Profiles: 100}, lose, p)
			done := k.start(t)
			k.right(t, done, app.ExitDone)
			n, err := numbersOf(done.stdout.String())
			check(t, err)
			if k.reached != 1 || p.match == post && n["Retries"] != 1 { // net/http itself repeats a GET
				t.Errorf("%d retries, reached %d times", n["Retries"], k.reached)
			}
		})
	}
}

// Faults of all kinds in both APIs: the run ends by itself, and everything is right. One in
// thirteen asks for a pause of a second: many profiles would take long.
func TestFaultsOfAllKinds(t *testing.T) {
	t.Parallel()
	w := startWorld(t, sandbox.Options{Profiles: 500, Faults: 0.1, Stall: 200 * time.Millisecond})
	p := startProcess(t, w.dir, w.environ(), nil, "import", "--verify-interval", "1s")
	p.wantExit(t, app.ExitDone)
	check(t, w.complete(), w.reportsExact(w.dir), w.addsUp(p.stdout.String()))
	n, err := numbersOf(p.stdout.String())
	check(t, err)
	if n["Profiles read"] != 500 || n["Confirmed"] != 400 || n["Retries"] < 50 {
		t.Errorf("summary:\n%s", p.stdout)
	}
	if faults := w.box.Stats().Faults; faults < 50 {
		t.Errorf("%d faults", faults)
	}
}

// A second import in the directory ends at once, and says whose it is. A crash leaves
// nothing to clean up.
func TestOneImportAtATime(t *testing.T) {
	t.Parallel()
	w := startWorld(t, sandbox.Options{Profiles: 300})
	reached := w.hold(`@250/traits`, 1)
	first := w.start(t, "import", "--dir", "out")
	await(t, "the request", reached)
	for _, command := range []string{"import", "import --resume", "import --offset 0", "verify"} {
		second := w.start(t, append(strings.Fields(command), "--dir", "out")...)
		second.wantExit(t, app.ExitLocked)
		want := regexp.MustCompile(fmt.Sprintf(`^segsync: error: another import is running in out: process %d, since 20\d\d-\d\d-\d\dT\S+\nsegsync: hint: wait for it, or use another --dir\n$`,
			first.cmd.Process.Pid))
		if got := second.stderr.String(); !want.MatchString(got) || second.stdout.String() != "" {
			t.Errorf("%s: stdout %q, stderr:\n%s", command, second.stdout, got)
		}
		if w.requests("next=0$") > 2 { // of the first: the list, and a look for what moved
			t.Errorf("%s: the list was read", command)
		}
	}
	other := w.start(t, "import", "--dir", "other", "--profiles-from", "/dev/null")
	other.wantExit(t, app.ExitDone)

	kill(first)
	w.mend()
	p := w.start(t, "import", "--resume", "--dir", "out")
	p.wantExit(t, app.ExitDone)
	check(t, w.complete(), w.reportsExact(filepath.Join(w.dir, "out")), w.addsUp(p.stdout.String()))
}
