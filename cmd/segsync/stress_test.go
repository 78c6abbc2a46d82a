//go:build !windows

package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"segsync/importer/journal"
	"segsync/internal/app"
	"segsync/internal/pgtest"
	"segsync/internal/sandbox"
)

// TestStress kills imports at random requests: from every kind of source, with lists that move, rejected
// customers, failed actions, outages, --only-changes and --limit. It goes on for as long as SEGSYNC_STRESS
// says, such as 10m.
func TestStress(t *testing.T) {
	t.Parallel()
	sources := []string{"api", "file", "warehouse"}
	text := os.Getenv("SEGSYNC_STRESS")
	if text == "" {
		for seed, from := range sample(3, sources) {
			t.Run(from, func(t *testing.T) {
				t.Parallel()
				if stress(t, from, uint64(seed)) == 0 {
					t.Error("nothing was killed")
				}
			})
		}
		return
	}
	limit, err := time.ParseDuration(text)
	check(t, err)
	end := time.Now().Add(limit)
	var kills atomic.Int64
	for worker, from := range slices.Repeat(sources, 2) {
		t.Run(fmt.Sprint("worker", worker), func(t *testing.T) {
			t.Parallel()
			for time.Now().Before(end) && !t.Failed() {
				seed := rand.Uint64()
				t.Run(fmt.Sprint(from, seed), func(t *testing.T) { kills.Add(int64(stress(t, from, seed))) })
			}
		})
	}
	t.Cleanup(func() { t.Logf("%d kills", kills.Load()) })
}

// stress imports a random world from a source, and returns how many runs were killed.
func stress(t *testing.T, from string, seed uint64) (kills int) {
	dice := rand.New(rand.NewPCG(seed, 0))
	k := newStressWorld(t, from, dice)
	args := []string{"import", "--resume", "--dir", "out", "--verify-interval", "1s", "--retry-for", "1s"}
	env := k.environ(small...)
	switch from {
	case "file":
		if err := writeNDJSON(filepath.Join(k.dir, "people.ndjson"), os.Stdout, k.box.People()); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--from", "people.ndjson")
	case "warehouse":
		url := pgtest.URL(t)
		schema := pgtest.Schema(t, url)
		pgtest.Fill(t, url, schema, k.box.People())
		args, env = append(args, "--from", "warehouse"), append(env, "SEGSYNC_WAREHOUSE_URL="+url, "SEGSYNC_WAREHOUSE_SCHEMA="+schema)
	}
	if dice.IntN(3) == 0 {
		args = append(args, "--only-changes")
	}
	limited := dice.IntN(3) == 0
	names := journal.NewNames(filepath.Join(k.dir, "out"), "")
	for runs := 0; ; runs++ {
		now := args
		if limited && runs < 10 {
			now = append(slices.Clip(args), "--limit", itoa(5+dice.IntN(40)))
		}
		k.mu.Lock()
		p := startProcess(t, k.dir, env, nil, now...)
		k.running = p
		k.mu.Unlock()
		await(t, "the end of segsync", p.exited)
		code := p.cmd.ProcessState.ExitCode()
		if code == killed {
			kills++
			continue
		}
		state, err := journal.Load(names)
		if err == nil && state != nil && !state.IsUnfinished() && len(state.Actions) == 0 {
			check(t, k.addsUp(p.stdout.String()))
			break
		}
		if err != nil || runs > 60 || code == app.ExitUsage {
			t.Fatalf("seed %d: %v after %d runs, exit code %d: %v\n%s\n%s", seed, now, runs, code, err, p.stdout, p.stderr)
		}
	}
	records, _, err := journal.ReadOutstanding(names)
	check(t, err)
	var failedTwice []string // with their actions
	for _, r := range records {
		if r.Reason == "action_failed" {
			failedTwice = append(failedTwice, r.SourceID)
		}
	}
	if err := k.complete(failedTwice...); err != nil {
		t.Errorf("seed %d, %v, rejected %v: %v", seed, args, k.reject.Load(), err)
	}
	return kills
}

// newStressWorld returns a world with trouble and points at which segsync is killed, as the dice say.
func newStressWorld(t *testing.T, from string, dice *rand.Rand) *killer {
	isFailing := func(int) bool { return false }
	if dice.IntN(2) == 0 {
		first := dice.IntN(10)
		isFailing = func(n int) bool { return n%10 == first }
	}
	o := sandbox.Options{
		Profiles: 60 + dice.IntN(140), ActionDelay: []time.Duration{0, 300 * time.Millisecond}[dice.IntN(2)],
		FailActions: isFailing, MaxErrors: dice.IntN(2), Plain: from != "api", Identified: 0.8,
	}
	if from == "api" {
		o.Activity, o.Order = []float64{0, 0.3}[dice.IntN(2)], []sandbox.Order{sandbox.ByActivity, sandbox.Shuffled}[dice.IntN(2)]
	}
	var points []point
	for range 2 + dice.IntN(6) {
		p := point{".", 5 + dice.IntN(o.Profiles/2), moment(dice.IntN(3))}
		if dice.IntN(2) == 0 {
			p = point{"(POST|actions)", 1 + dice.IntN(20), moment(dice.IntN(3))}
		}
		points = append(points, p)
	}
	k := newKiller(t, o, kill, points...)
	if dice.IntN(2) == 0 {
		k.reject.Store(regexp.MustCompile(`[37]$`))
	}
	if begin := 1 + dice.IntN(40); dice.IntN(2) == 0 { // some requests in a row fail
		k.answer(".", begin, begin+dice.IntN(40), status(http.StatusServiceUnavailable))
	}
	return k
}
