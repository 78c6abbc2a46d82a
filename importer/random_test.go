package importer_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"segsync/internal/sandbox"
	"segsync/internal/sandboxtest"
)

// Whatever fails and wherever the program dies, the import comes to its end, with every
// profile accounted for once.
func TestRandomCrashesAndFaults(t *testing.T) {
	t.Parallel()
	crashes, all := 0, seeds(24, 4)
	for seed := range all {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { crashes += importWithCrashes(t, seed+1) })
		})
	}
	if crashes < int(all) {
		t.Errorf("only %d crashes", crashes)
	}
}

// TestStress imports with other seeds for as long as SEGSYNC_STRESS says, such as 10m.
func TestStress(t *testing.T) {
	if os.Getenv("SEGSYNC_STRESS") == "" {
		t.Skip("SEGSYNC_STRESS does not say for how long")
	}
	limit, err := time.ParseDuration(os.Getenv("SEGSYNC_STRESS"))
	if err != nil {
		t.Fatal(err)
	}
	first := uint64(time.Now().UnixNano())
	for seed, end := first, time.Now().Add(limit); time.Now().Before(end) && !t.Failed(); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { importWithTrouble(t, seed) })
		})
	}
}

// randomOptions returns a sandbox that misbehaves as the dice say.
func randomOptions(dice *rand.Rand, rejects func(string) bool) sandbox.Options {
	chosen := func(share float64) func(int) bool {
		seed := dice.Uint64()
		return func(n int) bool { return rand.New(rand.NewPCG(seed, uint64(n))).Float64() < share }
	}
	o := sandbox.Options{
		Profiles:          40 + dice.IntN(120),
		Order:             []sandbox.Order{sandbox.ByActivity, sandbox.Shuffled, sandbox.NoUpdatedAt}[dice.IntN(3)],
		Latency:           time.Duration(dice.IntN(3)) * 100 * time.Millisecond,
		VoucherifyLatency: time.Duration(dice.IntN(3)) * 300 * time.Millisecond,
		ActionDelay:       []time.Duration{0, time.Second, 3 * time.Minute}[dice.IntN(3)],
		HideFresh:         []time.Duration{0, 0, 30 * time.Second, time.Hour}[dice.IntN(4)],
		OperationStatus:   []string{"", "FAILED", "-"}[dice.IntN(3)],
		LegacyResults:     dice.IntN(4) == 0,
		FailActions:       chosen([]float64{0, 0.2}[dice.IntN(2)]),
		ForgetActions:     chosen([]float64{0, 0, 0.1}[dice.IntN(3)]),
		Reject: func(sourceID string) (string, string, string) {
			if rejects(sourceID) {
				return "bad", "Bad customer", ""
			}
			return "", "", ""
		},
	}
	if dice.IntN(2) == 0 {
		o.Faults = 0.05
	}
	if dice.IntN(2) == 0 {
		o.Activity = 0.3
	}
	if dice.IntN(3) == 0 {
		o.MaxCustomers = 100
	}
	return o
}

// trouble says which profiles and customers can never be imported.
type trouble struct {
	rejects, poison, dead func(id string) bool
}

func never(string) bool { return false }

// of returns a function that chooses a share of ids by the seed.
func of(share, seed uint64) func(id string) bool {
	if share == 0 {
		return never
	}
	return func(id string) bool {
		return rand.New(rand.NewPCG(seed, uint64(len(id))<<32+uint64(sum64(id)))).Uint64N(share) == 0
	}
}

func importWithCrashes(t *testing.T, seed uint64) (crashes int) {
	dice := rand.New(rand.NewPCG(seed, 0))
	share := []uint64{0, 0, 10}[dice.IntN(3)]
	return importTo(t, seed, dice, trouble{of(share, seed), never, never})
}

func importWithTrouble(t *testing.T, seed uint64) {
	dice := rand.New(rand.NewPCG(seed, 0))
	share := func() uint64 { return []uint64{0, 12, 40}[dice.IntN(3)] }
	importTo(t, seed, dice, trouble{of(share(), seed), of(share(), seed+1), of(share(), seed+2)})
}

func importTo(t *testing.T, seed uint64, dice *rand.Rand, tr trouble) (crashes int) {
	o := randomOptions(dice, tr.rejects)
	o.Seed = seed
	wrongEnd := dice.IntN(4) == 0
	w := newWorld(t, o)
	vanished := map[string]bool{}
	for _, e := range w.Profiles() {
		vanished[e.SegmentID] = e.Vanished
	}
	dead := func(id string) bool { return tr.dead(id) && !vanished[id] }
	retrying := dice.IntN(4) > 0 || o.Faults > 0
	w.settings.SegmentRetries, w.settings.SinkRetries = retrying, retrying
	w.settings.PageSize, w.settings.BatchSize, w.settings.Readers = 3+dice.IntN(20), 1+dice.IntN(30), 1+dice.IntN(8)
	w.settings.CatchUp = true

	var im *process
	var last error
	for runs := 0; ; runs++ {
		if runs > 60 {
			t.Fatalf("seed %d: no end after %d runs: %v\n%+v", seed, runs, last, im.State())
		}
		im = w.importer()
		ctx, cancel := context.WithCancel(t.Context())
		var left map[string]string // what a crash left on the disk
		w.Mend()
		w.On(`^POST /v1/customers`, sandboxtest.Poison(tr.poison))
		w.On(`^GET .*/(external_ids|traits)`, sandboxtest.Dead(dead))
		if wrongEnd && runs < 3 { // a list that claims more, and does not say where
			w.On("/profiles?", sandboxtest.Nth(2+dice.IntN(4), sandboxtest.Body(`{"data":[],"cursor":{"has_more":true}}`)))
		}
		if runs < 20 {
			w.On(".", sandboxtest.Nth(1+dice.IntN(150), func(answer answerWriter, r request) bool {
				if dice.IntN(2) == 0 { // after the request had its effect
					w.Serve(answer, r)
				}
				left = w.files()
				cancel()
				return true
			}))
		}
		err := im.Run(ctx)
		cancel()
		last = err
		if left != nil {
			crashes++
			w.restore(left)
			continue
		}
		w.wantCounts(im, im.State().Counts.Read())
		if state := im.State(); err == nil && !state.IsUnfinished() && len(state.Actions) == 0 {
			break
		}
		time.Sleep(5 * time.Hour)
	}
	w.wantConfirmed(im, o.Profiles)
	w.wantEveryProfileOnce(im, tr)
	if t.Failed() {
		t.Logf("seed %d: %+v\n%+v", seed, o, im.State())
	}
	return crashes
}

// sum64 is a simple hash.
func sum64(s string) (h uint32) {
	for _, c := range s {
		h = h*31 + uint32(c)
	}
	return h
}

// wantEveryProfileOnce checks that each profile is a customer or stands in one line of
// one report, and that the counts say so.
func (w *world) wantEveryProfileOnce(im *process, tr trouble) {
	t := w.t
	t.Helper()
	without := map[string]int{}
	for line := range strings.Lines(w.report(w.names.WithoutIdentifier)) {
		without[strings.TrimSuffix(line, "\n")]++
	}
	lines, refused := map[string]string{}, map[string]bool{}
	vanished, unreadable := 0, 0
	for _, row := range w.notImported() {
		if _, twice := lines[row[0]]; twice {
			t.Errorf("%s has two lines", row[0])
		}
		lines[row[0]] = row[2]
		refused[row[1]] = true
		if row[2] == "vanished" {
			vanished++
		} else if tr.dead(row[0]) {
			unreadable++
		}
	}
	customers := w.Box.Customers()
	missing, none := 0, 0
	for _, e := range w.Profiles() {
		_, there := customers[e.SourceID]
		reason, line := lines[e.SegmentID]
		switch {
		case e.Vanished:
			if reason != "vanished" {
				t.Errorf("%s is gone, but its line is %q", e.SegmentID, reason)
			}
			continue
		case tr.dead(e.SegmentID):
			if reason != "unreadable" {
				t.Errorf("%s cannot be read, but its line is %q", e.SegmentID, reason)
			}
			continue
		case e.SourceID == "":
			none++
			if without[e.SegmentID] != 1 || line {
				t.Errorf("%s has no identifier: %d lines, %q", e.SegmentID, without[e.SegmentID], reason)
			}
			continue
		case tr.rejects(e.SourceID) || tr.poison(e.SourceID):
			if there || !refused[e.SourceID] {
				t.Errorf("%s is rejected: customer %v, line %v", e.SourceID, there, refused[e.SourceID])
			}
			continue
		}
		if !there && !refused[e.SourceID] { // by the line of this profile, or of another with its source_id
			missing++
		}
		if line && reason != "action_failed" || without[e.SegmentID] != 0 {
			t.Errorf("%s is good, but has the line %q", e.SourceID, reason)
		}
	}
	c := countsOf(im.State())
	if missing > 0 || len(without) != none || c.WithoutIdentifier != none || c.Vanished != vanished || c.Rejected != len(lines)-vanished-unreadable {
		t.Errorf("%d customers are missing; %d profiles without identifier, %d vanished, %d lines; %+v", missing, none, vanished, len(lines), c)
	}
}
