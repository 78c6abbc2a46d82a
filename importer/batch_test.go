package importer_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"segsync/internal/sandboxtest"

	"github.com/google/go-cmp/cmp"

	"segsync/internal/sandbox"
	"segsync/segmentprofiles"
)

// Several bulk requests are under way at once, so that a slow Voucherify does not hold
// back the reading; what is in flight is bounded.
func TestUploadsRunAtOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		batch  int
		max    time.Duration // for 3,000 customers at a second a request
		atOnce int           // requests
	}{
		{100, 8 * time.Second, 2000 / 100},
		{500, 4 * time.Second, 2000 / 500},
		{3000, 2 * time.Second, 1},
	} {
		if !thorough() && c.batch != 500 {
			continue
		}
		t.Run(fmt.Sprint(c.batch), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{Profiles: 3000, Plain: true})
				w.settings.PageSize, w.settings.BatchSize, w.settings.Readers = 100, c.batch, 50
				w.settings.Verify.Off = true
				now, peak := 0, 0
				w.On("^POST", func(rw answerWriter, r request) bool {
					w.mu.Lock()
					now++
					peak = max(peak, now)
					w.mu.Unlock()
					sandboxtest.Slowly(time.Second)(rw, r)
					w.mu.Lock()
					now--
					w.mu.Unlock()
					return false
				})
				im := w.importer()
				began := time.Now()
				if err := im.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				if d := time.Since(began); d > c.max || peak != c.atOnce {
					t.Errorf("it took %s, with %d requests at once, want %d", d, peak, c.atOnce)
				}
				w.wantComplete()
			})
		})
	}
}

// Uploads that overtake each other are committed in the order of the list.
func TestUploadsAreCommittedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 200, Plain: true})
		first, slow := w.Profiles()[0].SourceID, false
		w.On("^POST", func(rw answerWriter, r request) bool {
			data, err := io.ReadAll(r.Body)
			if err != nil || !bytes.Contains(data, []byte(first)) {
				return false
			}
			slow = true
			return sandboxtest.Slowly(10*time.Second)(rw, r)
		})
		im := w.importer()
		time.AfterFunc(9*time.Second, func() {
			if n := im.State().Counts.Read(); n != 0 || len(w.Batches(t)) < 10 {
				t.Errorf("%d profiles are committed before the first batch, %d batches", n, len(w.Batches(t)))
			}
		})
		if err := im.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !slow {
			t.Error("no bulk request was slow")
		}
		w.wantComplete()
		w.wantConfirmed(im, 200)
	})
}

// Profiles that were given one by one: each once, whatever it is called, and their offset
// counts them.
func TestGivenProfiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true})
		w.settings.CatchUp = true
		all := w.Profiles()
		w.settings.Profiles = nil
		for i := 40; i < 65; i++ {
			w.settings.Profiles = append(w.settings.Profiles, segmentprofiles.SegmentID(all[i].SegmentID), segmentprofiles.SegmentID(all[40].SegmentID))
		}
		w.settings.Profiles = append(w.settings.Profiles, segmentprofiles.SegmentID("use_unknown"), segmentprofiles.Identifier{Type: "user_id", Value: all[70].SourceID})
		lists := w.Count(`/profiles\?`)
		w.On(`@60/external_ids`, sandboxtest.Nth(1, sandboxtest.Status(401)))
		im := w.importer()
		if offset, err := run(t.Context(), im); err == nil || offset != "40" {
			t.Fatalf("offset %s, error %v", offset, err)
		}
		im = w.importer()
		if err := im.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.wantConfirmed(im, 27)
		if diff := cmp.Diff(counts{Read: 27, Confirmed: 26, Vanished: 1}, countsOf(im.State())); diff != "" || *lists != 0 {
			t.Errorf("%d list requests; counts (-want +got):\n%s", *lists, diff)
		}
		if rows := w.notImported(); len(rows) != 1 || rows[0][0] != "use_unknown" || rows[0][2] != "unknown" {
			t.Errorf("%q", rows)
		}
	})
}
