package importer_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"segsync/importer/journal"
	"segsync/importer/source/profileapi"
	"segsync/internal/sandboxtest"

	"segsync/internal/sandbox"
)

// changedSince begins an import of the first n profiles: profile i of the sandbox was
// updated an hour and i seconds before its start.
func changedSince(n int) journal.Start {
	start := from("")
	start.Since = time.Now().UTC().Add(-time.Hour - time.Duration(n)*time.Second + time.Second/2 + journal.ClockMargin)
	return start
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
				lists := w.Count(`/profiles\?`)
				im := w.importerOf(changedSince(c.n))
				if err := im.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				w.wantCustomers(c.n)
				w.wantConfirmed(im, c.n)
				if *lists != c.lists || w.Box.Stats().ExternalIDsRequests != c.n {
					t.Errorf("%d list requests and %d profiles, want %d and %d", *lists, w.Box.Stats().ExternalIDsRequests, c.lists, c.n)
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
				w.On(`next=20$`, sandboxtest.Nth(1, func(answerWriter, request) bool {
					w.Box.Touch(all[99])
					w.Box.Touch(all[50])
					return false
				}))
				im := w.importerOf(changedSince(26))
				if err := im.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				late := im.State().Details.Late
				w.wantConfirmed(im, im.State().Counts.Read())
				if order == sandbox.ByActivity && (late != 2 || im.State().Counts.Read() != 28) || late == 0 {
					t.Errorf("%+v", countsOf(im.State()))
				}
			})
		})
	}
}

func TestSinceNeedsTheListToShowUpdates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true, Order: sandbox.NoUpdatedAt})
		im := w.importerOf(changedSince(26))
		if err := im.Run(t.Context()); !errors.Is(err, profileapi.ErrUndated) {
			t.Errorf("error %v", err)
		}
		if n := w.Box.Stats(); n.ExternalIDsRequests+n.VoucherifyRequests != 0 || !im.State().IsUnfinished() {
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
				w.On(match, sandboxtest.Nth(1, sandboxtest.Status(401)))
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

// A list that an earlier import saw in no order is read to its end, even where it begins
// with profiles that have not changed.
func TestSinceRemembersThatTheListIsInNoOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true, Order: sandbox.Shuffled})
		start := changedSince(26)
		if err := w.importer().Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(w.savedState().Position.State, []byte(`"unordered":true`)) {
			t.Fatal("the first import has not seen that the list is in no order")
		}
		w.settings.PageSize = 1
		start.Mode = journal.StartNew
		im := w.importerOf(start)
		if err := im.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.wantConfirmed(im, 26)
	})
}

// An entry of the list without a time may have changed: it is imported, and the others are
// known by their times.
func TestSinceWhereAnEntryHasNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 3, Plain: true})
		p := w.Profiles()
		at := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(`"` + time.RFC3339 + `"`) }
		w.On(`/profiles\?`, sandboxtest.Body(fmt.Sprintf(
			`{"data":[{"segment_id":%q,"metadata":{"updated_at":null}},{"segment_id":%q,"metadata":{"updated_at":%s}},{"segment_id":%q,"metadata":{"updated_at":%s}}],"cursor":{"has_more":false,"next":""}}`,
			p[0].SegmentID, p[1].SegmentID, at(-time.Minute), p[2].SegmentID, at(-48*time.Hour))))
		start := from("")
		start.Since = time.Now().Add(-time.Hour)
		im := w.importerOf(start)
		if err := im.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.wantConfirmed(im, 2)
	})
}
