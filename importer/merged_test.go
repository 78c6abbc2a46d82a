package importer_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"segsync/internal/sandbox"
	"segsync/internal/sandboxtest"
)

// Where the profile that a source_id was sent with is not imported, the one that was merged into it
// is sent in its place: the customer arrives all the same.
func TestMergedProfileTakesThePlaceOfTheWinner(t *testing.T) {
	t.Parallel()
	const winner, loser = 5, 25
	refuse := func(w *world) { w.On(`^POST.*"description":"of 5"`, sandboxtest.Status(http.StatusBadRequest)) }
	firstAction := func(n int) bool { return n == 1 }
	for _, c := range []struct {
		name  string
		o     sandbox.Options
		then  func(w *world)
		batch int
	}{
		{"refused, in one batch", sandbox.Options{}, refuse, 100},
		{"refused, in two batches", sandbox.Options{}, refuse, 10},
		{"rejected, in one batch", sandbox.Options{Reject: rejectTwiceOnce()}, nil, 100},
		{"rejected, in two batches", sandbox.Options{Reject: rejectTwiceOnce()}, nil, 10},
		{"its action failed, and it is gone", sandbox.Options{FailActions: firstAction}, func(w *world) {
			w.On(`@5/external_ids`, sandboxtest.Between(2, 99, sandboxtest.Status(http.StatusNotFound)))
		}, 100},
		{"its action failed, and it has lost the id", sandbox.Options{FailActions: firstAction}, func(w *world) {
			w.readSlowly()
			w.On(`@5/external_ids`, sandboxtest.Between(2, 99, sandboxtest.Body(`{"data":[],"cursor":{"has_more":false,"next":""}}`)))
		}, 10},
		{"its action failed, and it cannot be read", sandbox.Options{FailActions: firstAction}, func(w *world) {
			w.readSlowly()
			w.On(`@5/external_ids`, sandboxtest.Between(2, 99, sandboxtest.Status(500)))
		}, 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.o.Profiles, c.o.Plain = 40, true
				w := newWorld(t, c.o)
				w.settings.BatchSize = c.batch
				if c.then != nil {
					c.then(w)
				}
				w.sharing(winner, loser)
				im := w.importer()
				if err := im.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				w.wantConfirmed(im, 40)
				if got := w.twice(); got != "of 25" {
					t.Errorf("the customer is the one %q, want that of the other profile; %+v", got, countsOf(im.State()))
				}
				if merged := w.report(w.names.Merged); strings.Contains(merged, w.Profiles()[loser].SegmentID) {
					t.Errorf("merged.csv still has the profile that was sent:\n%s", merged)
				}
			})
		})
	}
}

// readSlowly has the profiles read one after the other, so that the bulk requests are sent in the
// order of the list.
func (w *world) readSlowly() {
	w.settings.Readers = 1
	w.On(`/traits`, sandboxtest.Slowly(10*time.Millisecond))
}

// The same where the end of the winner is known only in the next import, which reads only what
// changed.
func TestMergedProfileOfTheImportBefore(t *testing.T) {
	for name, o := range map[string]sandbox.Options{
		"its action failed": {FailActions: func(n int) bool { return n == 1 }},
		"rejected":          {Reject: rejectTwiceOnce()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o.Profiles, o.Plain = 40, true
				w := newWorld(t, o)
				w.settings.BatchSize, w.settings.RetryEarlier, w.settings.Verify.Off = 100, true, true
				w.sharing(5, 25)
				if err := w.importer().Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Hour)
				w.settings.Verify.Off = false
				w.Mend()
				w.On(`@5/external_ids`, sandboxtest.Status(http.StatusNotFound)) // it was deleted
				w.sharing(25)
				start := next()
				start.SinceLast = true
				im := w.importerOf(start)
				if err := im.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := w.twice(); got != "of 25" {
					t.Errorf("the customer is the one %q; %+v", got, countsOf(im.State()))
				}
			})
		})
	}
}

func rejectTwiceOnce() func(string) (string, string, string) {
	var seen atomic.Int64
	return func(id string) (string, string, string) {
		if id == "twice" && seen.Add(1) == 1 {
			return "bad", "Bad", ""
		}
		return "", "", ""
	}
}
