package importer_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"segsync/importer/journal"
	"segsync/importer/outcome"
	"segsync/internal/sandbox"
	"segsync/internal/sandboxtest"
)

// stopAt stops an import at one of the customers that a dry run writes.
type stopAt struct {
	n, at int
	stop  func()
}

func (s *stopAt) Write(b []byte) (int, error) {
	if s.n++; s.n == s.at {
		s.stop()
	}
	return len(b), nil
}

// An import of a file that is stopped has not read what was parsed ahead: it is not
// finished, and goes on there.
func TestStopOfAFileLosesNothing(t *testing.T) {
	for range 10 {
		w := newFromFile(t, sandbox.Options{}, lines(1, 200))
		w.settings.PageSize, w.settings.BatchSize = 64, 64
		s := &stopAt{at: 1}
		w.settings.DryRun = s
		im := w.continued(t)
		s.stop = im.Stop
		err := im.Run(context.Background())
		if st := im.State(); st.Position.Done && st.Counts.Read() < 200 {
			t.Fatalf("done after %d of 200 profiles: %v", st.Counts.Read(), err)
		}
	}
}

// What changed while a warehouse was read is read to its end, however often that is
// interrupted.
func TestChangesOfAWarehouseAreReadToTheirEnd(t *testing.T) {
	w := newFromTables(t, sandbox.Options{}, 60)
	w.settings.Limit = 30
	w.run(t, journal.Start{Mode: journal.Discard})
	w.rename(7, "c7")
	w.rename(20, "c20")
	w.settings.Limit = 31
	w.run(t, journal.Start{Mode: journal.Resume})
	w.settings.Limit = 0
	w.run(t, journal.Start{Mode: journal.Resume})
	want := names(1, 60)
	want["u007"], want["u020"] = "c7", "c20"
	w.wantNames(want)
}

// A profile that could be read the second time, and is not confirmed yet, is not taken
// back once more by the next run.
func TestUnreadableIsTakenBackOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 30, Plain: true})
		w.On(`@3/traits`, sandboxtest.Nth(1, sandboxtest.Status(http.StatusInternalServerError)))
		w.settings.Limit = 10
		w.settings.Verify.Off = true
		for range 2 {
			if err := w.importer().Run(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		state, err := journal.Load(w.names)
		if err != nil {
			t.Fatal(err)
		}
		if n := state.Count(outcome.Unreadable); n != 0 {
			t.Errorf("%d unreadable, want none", n)
		}
	})
}

// When the listing begins is told by the source's clock, also where profiles are tried
// again before.
func TestStartedIsWhenTheListIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 10, Plain: true, Reject: func(id string) (string, string, string) {
			if strings.HasSuffix(id, "002") {
				return "bad", "Bad", ""
			}
			return "", "", ""
		}})
		w.finished(from(""))
		w.settings.RetryEarlier = true
		im := w.importerOf(from(""))
		time.Sleep(time.Hour)
		now := time.Now()
		if err := im.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if off := now.Sub(im.State().Began); off.Abs() > time.Minute {
			t.Errorf("began %s before the list was read", off)
		}
	})
}

// An entry of the list that names no profile stays outstanding: nothing can be asked about
// it.
func TestNamelessEntryStaysOutstanding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 10, Plain: true})
		w.On(`/profiles\?|/profiles$`, sandboxtest.Nth(1, sandboxtest.Body(`{"data":[{"metadata":{}}],"cursor":{"url":"","has_more":false,"next":"","limit":10}}`)))
		w.settings.RetryEarlier = true
		im := w.importer()
		if err := im.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := im.State().Outstanding.Count; n != 1 {
			t.Errorf("%d outstanding, want 1: %+v", n, countsOf(im.State()))
		}
	})
}

// A profile that can be read only the second time has its warnings, too.
func TestWarningsOfTheSecondReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 10, Plain: true})
		w.On(`@3/traits`, sandboxtest.Nth(2, sandboxtest.Body(`{"traits":{"birthdate":"nonsense"},"cursor":{"url":"","has_more":false,"next":"","limit":200}}`)))
		w.On(`@3/traits`, sandboxtest.Nth(1, sandboxtest.Status(http.StatusInternalServerError)))
		s := w.finished(from(""))
		if n := s.Details.Birthdates; n != 1 || s.Details.Identifiers["user_id"] != 10 {
			t.Errorf("%d invalid birthdates, %v; want 1 of 10", n, s.Details.Identifiers)
		}
	})
}
