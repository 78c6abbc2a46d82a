package importer_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"segsync/importer"
	"segsync/importer/journal"
	"segsync/importer/outcome"
	"segsync/importer/source"
	"segsync/internal/sandbox"
	"segsync/internal/sandboxtest"
)

// everyNth returns count numbers from first on, step apart.
func everyNth(first, step, count int) (all []int) {
	for i := range count {
		all = append(all, first+i*step)
	}
	return all
}

// poison lets Voucherify refuse each request that has one of these customers.
func (w *world) poison(bad []int) {
	ids := make(map[string]bool)
	for _, i := range bad {
		ids[w.Profiles()[i].SourceID] = true
	}
	w.On(`^POST`, sandboxtest.Poison(func(id string) bool { return ids[id] }))
}

// spoil lets Segment answer so for the external IDs of these profiles.
func (w *world) spoil(bad []int, answer sandboxtest.Answer) {
	ids := make(map[string]bool)
	for _, i := range bad {
		ids[w.Profiles()[i].SegmentID] = true
	}
	is := sandboxtest.Dead(func(id string) bool { return ids[id] })
	w.On(`/external_ids`, func(rw answerWriter, r request) bool {
		found := is(discard{}, r)
		return found && answer(rw, r)
	})
}

// discard is an answer that nobody gets.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

// Customers that are bad in themselves end no run, wherever they stand, and none after it either:
// those that are known to be bad count for nothing.
func TestBadCustomersEndNoRun(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string][]int{
		"15 of 300, spread out":        everyNth(7, 20, 15),
		"twelve neighbours":            everyNth(100, 1, 12),
		"the first twelve of the list": everyNth(0, 1, 12),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{Profiles: 300, Plain: true})
				w.settings.RetryEarlier, w.settings.CatchUp = true, true
				w.poison(bad)
				first := w.finished(from(""))
				w.wantCountsOf(first, counts{Read: 300, Confirmed: 300 - len(bad), Rejected: len(bad)})
				for night := range 2 {
					time.Sleep(24 * time.Hour)
					w.Box.Touch(w.Profiles()[50].SegmentID)
					start := next()
					start.SinceLast = true
					s := w.finished(start)
					w.wantCountsOf(s, counts{Read: len(bad) + 1, Confirmed: 1, Rejected: len(bad)})
					if s.Outstanding.Count != len(bad) || !s.Outstanding.Oldest.Equal(first.Outstanding.Oldest) {
						t.Errorf("night %d: %+v are outstanding, want %+v", night+2, s.Outstanding, first.Outstanding)
					}
				}
			})
		})
	}
}

// Where Voucherify takes no customer, the run ends early; what it had refused does not end the next
// one at the same place.
func TestVoucherifyTakesNoCustomer(t *testing.T) {
	for _, c := range []struct{ status, limit int }{{http.StatusBadRequest, 120}, {http.StatusInternalServerError, 20}} {
		t.Run(fmt.Sprint(c.status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{Profiles: 400, Plain: true})
				w.settings.RetryEarlier = true
				w.On(`^POST`, sandboxtest.Status(c.status))
				im := w.importer()
				err := im.Run(t.Context())
				if e, ok := errors.AsType[*importer.RefusedError](err); !ok || e.Customers > c.limit {
					t.Errorf("error %v", err)
				}
				if n := im.State().Counts.Read(); n == 0 || n > c.limit {
					t.Errorf("%d profiles were read, want at most %d", n, c.limit)
				}
				w.Mend()
				w.finished(next())
				w.wantComplete()
			})
		})
	}
}

// Customers that make Voucherify fail end a run only if it takes none before them, and then only
// once.
func TestFirstCustomersMakeVoucherifyFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 60, Plain: true})
		bad := map[string]bool{}
		for _, e := range w.Profiles()[:12] {
			bad[e.SourceID] = true
		}
		poison := sandboxtest.Poison(func(id string) bool { return bad[id] })
		w.On(`^POST`, func(rw answerWriter, r request) bool {
			return poison(discard{}, r) && sandboxtest.Status(http.StatusInternalServerError)(rw, r)
		})
		var errs []error
		for range 4 {
			im := w.importer()
			err := im.Run(t.Context())
			if err == nil {
				w.wantCountsOf(im.State(), counts{Read: 60, Confirmed: 48, Rejected: 12})
				// A night on which nothing else changed, so that no good customer is sent.
				time.Sleep(24 * time.Hour)
				w.settings.RetryEarlier = true
				start := next()
				start.SinceLast = true
				w.wantCountsOf(w.finished(start), counts{Read: 12, Rejected: 12})
				return
			}
			errs = append(errs, err)
		}
		t.Errorf("no run came to its end: %v", errs)
	})
}

// Profiles that cannot be read, or are gone, end no run as long as Segment answers for others. The
// source is asked at the same places, however many profiles are read at once.
func TestBadProfilesEndNoRun(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		bad    []int
		answer sandboxtest.Answer
		want   outcome.Outcome
		checks int
	}{
		{"nine that cannot be read", everyNth(100, 1, 9), sandboxtest.Status(500), outcome.Unreadable, 0},
		{"ten that cannot be read", everyNth(100, 1, 10), sandboxtest.Status(500), outcome.Unreadable, 1},
		{"thirty that are malformed", everyNth(100, 1, 30), sandboxtest.Body(`{"data":7}`), outcome.Unreadable, 1},
		{"2 % that are malformed", everyNth(0, 50, 8), sandboxtest.Body(`{"data":7}`), outcome.Unreadable, 0},
		{"199 that are gone", everyNth(150, 1, 199), sandboxtest.Status(404), outcome.Vanished, 0},
		{"230 that are gone", everyNth(150, 1, 230), sandboxtest.Status(404), outcome.Vanished, 1},
	} {
		for _, readers := range []int{1, 50} {
			t.Run(fmt.Sprintf("%s, %d at once", c.name, readers), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, sandbox.Options{Profiles: 400, Plain: true, Latency: 10 * time.Millisecond})
					w.settings.Readers = readers
					w.spoil(c.bad, c.answer)
					checks := w.Count(`/profiles\?limit=100`)
					im := w.importer()
					if err := im.Run(t.Context()); err != nil {
						t.Fatal(err)
					}
					w.wantConfirmed(im, 400)
					if n := im.State().Count(c.want); n != len(c.bad) || im.State().Count(outcome.Confirmed) != 400-n {
						t.Errorf("%+v, want %d %s", countsOf(im.State()), len(c.bad), c.want)
					}
					// those that cannot be read are read again at the end: they are known then
					if *checks != c.checks {
						t.Errorf("the source was asked %d times, want %d", *checks, c.checks)
					}
				})
			})
		}
	}
}

// Where no profile can be read, the run ends; it is continued when Segment answers again.
func TestNoProfileCanBeRead(t *testing.T) {
	for _, readers := range []int{1, 40} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true})
			w.settings.Readers = readers
			w.On(`/external_ids`, sandboxtest.Status(500))
			im := w.importer()
			err := im.Run(t.Context())
			if e, ok := errors.AsType[*importer.UnreadableError](err); !ok || e.Profiles != 10 {
				t.Errorf("error %v", err)
			}
			w.Mend()
			im = w.importer()
			if err := im.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.wantComplete()
			w.wantConfirmed(im, 100)
		})
	}
}

// Where Segment has no profile of its list, however long it is, the import stops each time, and none
// of them counts as vanished.
func TestAllProfilesAreGone(t *testing.T) {
	for _, profiles := range []int{8, 450} {
		t.Run(fmt.Sprint(profiles), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{Profiles: profiles, Plain: true})
				w.settings.RetryEarlier = true
				w.On(`/external_ids`, sandboxtest.Status(http.StatusNotFound))
				for range 2 {
					im := w.importer()
					err := im.Run(t.Context())
					if _, ok := errors.AsType[*source.NoneReadableError](err); !ok {
						t.Fatalf("error %v", err)
					}
					if n := im.State().Count(outcome.Vanished); n != 0 || w.savedState().Outstanding.Count == 0 {
						t.Errorf("%d count as vanished; %+v", n, w.savedState().Outstanding)
					}
				}
				w.Mend()
				im := w.importer()
				if err := im.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				w.wantComplete()
			})
		})
	}
}

// Profiles that are gone leave the records with the next finished import, also one of what changed.
func TestVanishedProfilesLeaveTheRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 30, Plain: true})
		w.settings.RetryEarlier = true
		w.spoil([]int{3, 4}, sandboxtest.Status(http.StatusNotFound))
		w.finished(from(""))
		if n := len(w.notImported()); n != 2 {
			t.Fatalf("%d lines, want 2", n)
		}
		time.Sleep(24 * time.Hour)
		w.finished(journal.Start{Identity: identity(), Mode: journal.StartNew, SinceLast: true})
		if rows := w.notImported(); len(rows) != 0 {
			t.Errorf("%q", rows)
		}
	})
}

// Guards that ended a run let the next one past the same profiles.
func TestGuardThatEndedARunLetsTheNextOnePass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true})
		bad := everyNth(20, 1, 30)
		w.spoil(bad, sandboxtest.Status(500))
		w.On(`/profiles\?limit=100`, sandboxtest.Nth(1, sandboxtest.Status(500))) // the source is asked, and does not answer
		if err := w.importer().Run(t.Context()); err == nil {
			t.Fatal("no error")
		}
		im := w.importer()
		if err := im.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.wantConfirmed(im, 100)
		w.wantCountsOf(im.State(), counts{Read: 100, Confirmed: 70, Unreadable: 30})
	})
}
