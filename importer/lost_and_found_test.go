package importer_test

import (
	"context"
	"net/http"
	"path"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"segsync/internal/sandboxtest"

	"segsync/internal/sandbox"
)

// Where a page spans several batches, some of its customers are answered while others
// still wait for theirs: each profile that is not imported has a line all the same.
func TestEachRefusalOfAPageHasItsLine(t *testing.T) {
	w := newWorld(t, sandbox.Options{Profiles: 200, Plain: true})
	w.settings.PageSize, w.settings.BatchSize = 100, 1
	w.settings.Verify.Off = true
	gone := map[string]bool{}
	for i, p := range w.Profiles() {
		gone[p.SegmentID] = i%2 == 1
	}
	w.On("external_ids", func(rw http.ResponseWriter, r *http.Request) bool {
		id := strings.TrimPrefix(path.Base(path.Dir(r.URL.Path)), "segment_id:") // either form
		return gone[id] && sandboxtest.Status(http.StatusNotFound)(rw, r)
	})
	var sent atomic.Int64
	w.On("^POST .*/bulk", func(rw http.ResponseWriter, r *http.Request) bool { // all at once would be no matter of the customers
		return sent.Add(1)%5 != 0 && sandboxtest.Status(http.StatusRequestEntityTooLarge)(rw, r)
	})
	im := w.importer()
	if err := im.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c, lines := countsOf(im.State()), len(w.notImported()); lines != 180 || c.Rejected != 80 || c.Vanished != 100 {
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
		w.On(`next=2900`, func(http.ResponseWriter, *http.Request) bool {
			time.Sleep(10 * time.Second)
			cancel()
			return false
		})
		if err := w.importer().Run(ctx); err == nil {
			t.Fatal("the run was not cancelled")
		}
		if s := w.savedState(); s == nil || s.Counts.Read() < 2000 {
			t.Errorf("saved: %+v", s)
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
			w.On(w.Profiles()[i].SegmentID+"/external_ids", func(rw http.ResponseWriter, _ *http.Request) bool {
				rw.Write([]byte(same))
				return true
			})
		}
		w.On("next=60", sandboxtest.Nth(1, sandboxtest.Status(http.StatusBadRequest)))
		im := w.importer()
		if err := im.Run(t.Context()); err == nil {
			t.Fatal("the list could be read")
		}
		im = w.importer()
		if err := im.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if c := countsOf(im.State()); c.Read != 100 || c.Merged != 2 || c.Confirmed != 98 {
			t.Errorf("%+v", c)
		}
		sent := 0
		for _, body := range w.Bulk() {
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
		w.On("external_ids", func(rw http.ResponseWriter, _ *http.Request) bool {
			rw.Write([]byte(`{"data":[{"id":"   ","type":"user_id"}],"cursor":{"has_more":false,"next":""}}`))
			return true
		})
		im := w.importer()
		if err := im.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if c := countsOf(im.State()); c.WithoutIdentifier != 1 {
			t.Errorf("%+v", c)
		}
	})
}
