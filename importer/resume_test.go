package importer_test

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"segsync/importer"
	"segsync/internal/sandbox"
)

// A run that fails at every page, or profile, or bulk request, and is resumed from the
// offset that it returned each time, leaves what an undisturbed run leaves.
func TestResumeAfterAFailureAtEveryPage(t *testing.T) {
	for _, c := range []struct {
		name  string
		match func(page int) string
	}{
		{"list", func(page int) string { return `/profiles\?.*next=` + strconv.Itoa(page*10) + `$` }},
		{"first profile of the page", func(page int) string { return `@` + strconv.Itoa(page*10) + `/external_ids` }},
		{"last profile of the page", func(page int) string { return `@` + strconv.Itoa(page*10+9) + `/external_ids` }},
	} {
		for name, restart := range map[string]bool{"same process": false, "new process": true} {
			t.Run(c.name+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, sandbox.Options{Profiles: 100})
					var mended atomic.Int64 // pages before this one
					for page := range 10 {
						w.on(c.match(page), func(rw answerWriter, r request) bool {
							return mended.Load() <= int64(page) && status(400)(rw, r)
						})
					}
					im, offset, committed := w.importer(), importer.Beginning, 0
					for page := range 10 {
						next, err := im.Run(context.Background(), offset)
						if err == nil {
							t.Fatalf("run %d did not fail", page)
						}
						if next != strconv.Itoa(page*10) {
							t.Fatalf("failed at page %d, but the offset is %s", page, next)
						}
						offset = next
						mended.Store(int64(page) + 1)
						w.wantReports(page * 10)
						wantCounts(t, im.Counts(), page*10-committed)
						w.wantCustomers(page * 10)
						if restart {
							im, committed = w.importer(), page*10
						}
					}
					next, err := im.Run(context.Background(), offset)
					if err != nil || next != "" {
						t.Fatalf("offset %q, error %v", next, err)
					}
					w.wantComplete()
					wantCounts(t, im.Counts(), 100-committed)
				})
			})
		}
	}
}

func TestResumeAfterAFailureAtEveryBulkRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 200})
		w.settings.BatchSize = 7 // batches do not end where pages end
		im, offset, before := w.importer(), importer.Beginning, 0
		for n := 1; ; n++ {
			if n > 200 {
				t.Fatal("no progress")
			}
			w.mend()
			w.on("^POST", nth(2, status(400))) // the second one of each run
			next, err := im.Run(context.Background(), offset)
			if err == nil {
				break
			}
			at, convErr := strconv.Atoi(next)
			if convErr != nil || at < before || at%10 != 0 {
				t.Fatalf("run %d returned the offset %q after %d", n, next, before)
			}
			w.wantReports(at)
			wantCounts(t, im.Counts(), at)
			if at == before { // each run that begins in a page may send one batch of it only
				w.mend()
				w.on("^POST", nth(4, status(400)))
				if next, err = im.Run(context.Background(), next); err == nil {
					break
				}
				at, _ = strconv.Atoi(next)
			}
			offset, before = next, at
		}
		w.wantComplete()
		wantCounts(t, im.Counts(), 200)
	})
}

// The same when the run is stopped, gently or at once, at the n-th request.
func TestResumeAfterAStopAtEveryRequest(t *testing.T) {
	for name, gentle := range map[string]bool{"gently": true, "at once": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				undisturbed := newWorld(t, sandbox.Options{Profiles: 30})
				if _, err := undisturbed.importer().Run(context.Background(), importer.Beginning); err != nil {
					t.Fatal(err)
				}
				stats := undisturbed.box.Stats()
				stopped := 0
				for n := 1; n <= stats.SegmentRequests+stats.VoucherifyRequests; n++ {
					w := newWorld(t, sandbox.Options{Profiles: 30})
					im := w.importer()
					ctx, cancel := context.WithCancel(context.Background())
					w.on(".", nth(n, stopping(im, gentle, cancel)))
					offset, err := im.Run(ctx, importer.Beginning)
					cancel()
					if (err == nil) != (offset == "") {
						t.Fatalf("stopped at request %d: offset %q, error %v", n, offset, err)
					}
					if err == nil {
						w.wantComplete()
						continue
					}
					stopped++
					at, err := strconv.Atoi(offset)
					if err != nil {
						t.Fatal(err)
					}
					w.wantReports(at)
					wantCounts(t, im.Counts(), at)
					im = w.importer()
					if offset, err = im.Run(context.Background(), offset); err != nil {
						t.Fatalf("stopped at request %d, resumed: offset %q, error %v", n, offset, err)
					}
					w.wantComplete()
					wantCounts(t, im.Counts(), 30-at)
				}
				if stopped == 0 {
					t.Error("no run was stopped")
				}
			})
		})
	}
}

// Faults that the sandbox draws make the run fail somewhere; whatever the seed, it can
// be resumed to the same end.
func TestResumeAfterRandomFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 300})
		var requests atomic.Uint64
		w.on(".", func(rw answerWriter, r request) bool {
			// A hash of the number, so that it is the same each time.
			return requests.Add(1)*0x9e3779b97f4a7c15>>56 == 0 && status(400)(rw, r)
		})
		im, offset, failures := w.importer(), importer.Beginning, 0
		for ; offset != ""; failures++ {
			if failures > 300 {
				t.Fatal("no progress")
			}
			next, err := im.Run(context.Background(), offset)
			if (err == nil) != (next == "") {
				t.Fatalf("offset %q, error %v", next, err)
			}
			offset = next
		}
		if failures < 3 {
			t.Errorf("only %d runs", failures)
		}
		w.wantComplete()
		wantCounts(t, im.Counts(), 300)
	})
}
