package importer_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"segsync/importer"
	"segsync/internal/sandbox"
)

// changedSince returns the state of an import of the first n profiles: profile i of the
// sandbox was updated an hour and i seconds before its start.
func changedSince(n int) *importer.State {
	state := newState(importer.Beginning)
	state.Since = time.Now().UTC().Add(-time.Hour - time.Duration(n)*time.Second + time.Second/2)
	return state
}

// Only what changed since is read; a list in falling order of updated_at is not read
// further than to the first page that is older throughout.
func TestSinceReadsWhatChanged(t *testing.T) {
	for _, c := range []struct {
		order    sandbox.Order
		n, lists int
		catchUp  bool
	}{
		{sandbox.ByActivity, 0, 1, false},
		{sandbox.ByActivity, 1, 2, false},
		{sandbox.ByActivity, 26, 4, false},
		{sandbox.ByActivity, 30, 4, false},
		{sandbox.ByActivity, 100, 10, false},
		{sandbox.ByActivity, 26, 4 + 1, true},
		{sandbox.Shuffled, 26, 10, false},
		{sandbox.Shuffled, 26, 10 + 10, true},
	} {
		t.Run(fmt.Sprintf("order %d, %d profiles, catch up %v", c.order, c.n, c.catchUp), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true, Order: c.order})
				w.settings.CatchUp = c.catchUp
				lists := w.count(`/profiles\?`)
				im := w.importerOf(changedSince(c.n))
				if err := im.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				w.wantCustomers(c.n)
				w.wantConfirmed(im, c.n)
				if *lists != c.lists || w.box.Stats().ExternalIDsRequests != c.n {
					t.Errorf("%d list requests and %d profiles, want %d and %d", *lists, w.box.Stats().ExternalIDsRequests, c.lists, c.n)
				}
				if told := strings.Contains(w.log.String(), "not in order of activity"); told != (c.order == sandbox.Shuffled) {
					t.Errorf("told of the order: %v\n%s", told, w.log.String())
				}
			})
		})
	}
}

// What becomes active while the changes are read is found late, whether it had changed
// before or not.
func TestSinceCatchesUp(t *testing.T) {
	for name, order := range map[string]sandbox.Order{"by activity": sandbox.ByActivity, "in no order": sandbox.Shuffled} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true, Order: order})
				w.settings.CatchUp = true
				all := w.list(0)
				w.on(`next=20$`, nth(1, func(answerWriter, request) bool {
					w.box.Touch(all[99])
					w.box.Touch(all[50])
					return false
				}))
				im := w.importerOf(changedSince(26))
				if err := im.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				late := im.State().Counts.FoundLate
				w.wantConfirmed(im, im.State().Counts.Read)
				if order == sandbox.ByActivity && (late != 2 || im.State().Counts.Read != 28) || late == 0 {
					t.Errorf("%+v", im.State().Counts)
				}
			})
		})
	}
}

func TestSinceNeedsTheListToShowUpdates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true, Order: sandbox.NoUpdatedAt})
		im := w.importerOf(changedSince(26))
		if err := im.Run(t.Context()); !errors.Is(err, importer.ErrUndated) {
			t.Errorf("error %v", err)
		}
		if n := w.box.Stats(); n.ExternalIDsRequests+n.VoucherifyRequests != 0 || !im.State().Unfinished() {
			t.Errorf("%+v, %+v", n, im.State())
		}
	})
}

// An import of what changed that is ended continues as one.
func TestSinceIsContinued(t *testing.T) {
	for _, match := range []string{`next=10$`, `next=20$`, `next=30$`, `@12/traits`, `@25/external_ids`} {
		t.Run(match, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true})
				w.settings.CatchUp = true
				w.settings.BatchSize = 5
				w.on(match, nth(1, status(400)))
				im := w.importerOf(changedSince(26))
				if err := im.Run(t.Context()); err == nil {
					t.Fatal("it did not fail")
				}
				if saved := w.savedState(); saved != nil {
					im = w.importer()
				}
				if err := im.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				w.wantCustomers(26)
				w.wantConfirmed(im, 26)
			})
		})
	}
}

// The next import of what changed since the last one begins where the last one of the
// whole list began; others do not count.
func TestLastStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 30, Plain: true, Latency: time.Second})
		finish := func(state *importer.State) *importer.State {
			t.Helper()
			im := w.importerOf(state)
			if err := im.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.wantConfirmed(im, im.State().Counts.Read)
			time.Sleep(time.Hour)
			return im.State()
		}
		whole := finish(newState(importer.Beginning))
		got := []time.Time{whole.LastStarted}
		want := []time.Time{whole.Started, whole.Started, whole.Started}

		next := newState("10") // not all
		next.LastStarted = whole.LastStarted
		got = append(got, finish(next).LastStarted)

		next = newState(importer.Beginning) // a list that was given
		next.Input, next.LastStarted = "sha", whole.LastStarted
		got = append(got, finish(next).LastStarted)

		next = changedSince(30) // of which it is not known what changed before
		want = append(want, time.Time{})
		got = append(got, finish(next).LastStarted)

		next = changedSince(30) // with a gap
		next.Since, next.LastStarted = whole.LastStarted.Add(time.Second), whole.LastStarted
		want = append(want, whole.LastStarted)
		got = append(got, finish(next).LastStarted)

		next = changedSince(30) // without one
		next.Since, next.LastStarted = whole.LastStarted.Add(-time.Minute), whole.LastStarted
		want = append(want, next.Started)
		got = append(got, finish(next).LastStarted)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("LastStarted (-want +got):\n%s", diff)
		}
	})
}
