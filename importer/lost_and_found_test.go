package importer_test

import (
	"context"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"segsync/importer"
	"segsync/internal/sandbox"
)

// Where a page spans several batches, some of its customers are answered while others
// still wait for theirs: each profile that is not imported has a line all the same.
func TestEachRefusalOfAPageHasItsLine(t *testing.T) {
	w := newWorld(t, sandbox.Options{Profiles: 200, Plain: true})
	w.settings.PageSize, w.settings.BatchSize = 100, 1
	w.settings.Verify.Off = true
	gone := map[string]bool{}
	for i, p := range w.profiles() {
		gone[p.SegmentID] = i%2 == 1
	}
	w.on("external_ids", func(rw http.ResponseWriter, r *http.Request) bool {
		id := strings.Split(strings.SplitAfter(r.URL.Path, "segment_id:")[1], "/")[0]
		return gone[id] && status(http.StatusNotFound)(rw, r)
	})
	w.on("^POST", status(http.StatusRequestEntityTooLarge))
	im := w.importer()
	if err := im.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c, lines := im.State().Counts, len(w.notImported())-1; lines != 200 || c.Rejected != 100 || c.Vanished != 100 {
		t.Errorf("%d lines of not-imported.csv; %+v", lines, c)
	}
}

// Profiles without an identifier need no bulk call, so the position is saved however large
// a batch is.
func TestPositionIsSavedWhereNothingIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 3000, Plain: true, Identified: -1})
		w.settings.PageSize, w.settings.BatchSize = 100, 10_000
		ctx, cancel := context.WithCancel(t.Context())
		w.on(`next=2900`, func(http.ResponseWriter, *http.Request) bool {
			time.Sleep(10 * time.Second)
			cancel()
			return false
		})
		if err := w.importer().Run(ctx); err == nil {
			t.Fatal("the run was not cancelled")
		}
		if s := w.savedState(); s == nil || s.Counts.Read < 2000 {
			t.Errorf("saved: %+v", s)
		}
	})
}

// An import that continues the reports of another one takes back what it wrote, if its
// first state could not be saved.
func TestReportLinesAreThereOnceThoughTheFirstSaveFailed(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("there is no /dev/full")
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true, Identified: -1})
		w.settings.BatchSize = 1
		temporary := w.settings.Files.Path("segsync-state.json.tmp")
		if err := os.Symlink("/dev/full", temporary); err != nil {
			t.Fatal(err)
		}
		im := w.importerOf(newState("10"))
		if err := im.Run(t.Context()); err == nil {
			t.Fatal("the state could be saved")
		}
		os.Remove(temporary)
		if err := im.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for line := range strings.Lines(w.report("profiles-without-identifier.txt")) {
			if seen[line] {
				t.Errorf("twice: %s", line)
			}
			seen[line] = true
		}
		if len(seen) != 90 {
			t.Errorf("%d profiles without identifier, want 90", len(seen))
		}
	})
}

// A source_id that was sent before is not sent again for a profile that was active
// earlier, also where they are in different batches, or runs.
func TestOneCustomerForASourceID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true})
		same := `{"data":[{"id":"twice","type":"user_id"}],"cursor":{"has_more":false,"next":""}}`
		for _, i := range []int{5, 35, 95} {
			w.on("segment_id:"+w.profiles()[i].SegmentID+"/external_ids", func(rw http.ResponseWriter, _ *http.Request) bool {
				rw.Write([]byte(same))
				return true
			})
		}
		w.on("next=60", nth(1, status(http.StatusBadRequest)))
		im := w.importer()
		if err := im.Run(t.Context()); err == nil {
			t.Fatal("the list could be read")
		}
		state, err := importer.LoadState(w.settings.Files.Path(w.settings.Files.State))
		if err != nil {
			t.Fatal(err)
		}
		im = w.importerOf(state)
		if err := im.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if c := im.State().Counts; c.Read != 100 || c.Merged != 2 || c.Confirmed != 98 {
			t.Errorf("%+v", c)
		}
		sent := 0
		for _, body := range w.posts {
			sent += strings.Count(string(body), `"source_id":"twice"`)
		}
		if sent != 1 {
			t.Errorf("sent %d times", sent)
		}
	})
}

// An external ID of spaces would become a source_id for ever.
func TestBlankExternalIDIsNoIdentifier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 1, Plain: true})
		w.on("external_ids", func(rw http.ResponseWriter, _ *http.Request) bool {
			rw.Write([]byte(`{"data":[{"id":"   ","type":"user_id"}],"cursor":{"has_more":false,"next":""}}`))
			return true
		})
		im := w.importer()
		if err := im.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if c := im.State().Counts; c.WithoutIdentifier != 1 {
			t.Errorf("%+v", c)
		}
	})
}
