package importer_test

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"segsync/internal/sandboxtest"

	"segsync/internal/sandbox"
)

// A run that fails at every page, or profile, or bulk request, and is resumed from the
// offset that it returned each time, leaves what an undisturbed run leaves.
func TestResumeAfterAFailureAtEveryPage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		match func(page int) string
	}{
		{"list", func(page int) string { return `/profiles\?.*next=` + strconv.Itoa(page*10) + `$` }},
		{"first profile of the page", func(page int) string { return `@` + strconv.Itoa(page*10) + `/external_ids` }},
		{"last profile of the page", func(page int) string { return `@` + strconv.Itoa(page*10+9) + `/external_ids` }},
	} {
		for name, restart := range map[string]bool{"same process": false, "new process": true} {
			if !thorough() && restart != (c.name == "list") {
				continue
			}
			t.Run(c.name+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, sandbox.Options{Profiles: 100})
					var mended atomic.Int64 // pages before this one
					for page := range 10 {
						w.On(c.match(page), func(rw answerWriter, r request) bool {
							return mended.Load() <= int64(page) && sandboxtest.Status(401)(rw, r)
						})
					}
					im := w.importer()
					for page := range 10 {
						next, err := run(context.Background(), im)
						if err == nil {
							t.Fatalf("run %d did not fail", page)
						}
						if next != strconv.Itoa(page*10) {
							t.Fatalf("failed at page %d, but the offset is %s", page, next)
						}
						mended.Store(int64(page) + 1)
						w.wantReports(page * 10)
						w.wantCounts(im, page*10)
						w.wantCustomers(page * 10)
						if restart {
							im = w.importer()
						}
					}
					next, err := run(context.Background(), im)
					if err != nil || next != "" {
						t.Fatalf("offset %q, error %v", next, err)
					}
					w.wantComplete()
					w.wantConfirmed(im, 100)
				})
			})
		}
	}
}

func TestResumeAfterAFailureAtEveryBulkRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 200})
		w.settings.BatchSize = 7 // batches do not end where pages end
		im, before := w.importer(), 0
		for n := 1; ; n++ {
			if n > 200 {
				t.Fatal("no progress")
			}
			w.Mend()
			w.On("^POST", sandboxtest.Nth(2, sandboxtest.Status(400))) // the second one of each run
			next, err := run(context.Background(), im)
			if err == nil {
				break
			}
			at, convErr := strconv.Atoi(next)
			if convErr != nil || at < before || at%10 != 0 {
				t.Fatalf("run %d returned the offset %q after %d", n, next, before)
			}
			w.wantReports(at)
			w.wantCounts(im, at)
			if at == before { // each run that begins in a page may send one batch of it only
				w.Mend()
				w.On("^POST", sandboxtest.Nth(4, sandboxtest.Status(400)))
				if next, err = run(context.Background(), im); err == nil {
					break
				}
				at, _ = strconv.Atoi(next)
			}
			before = at
		}
		w.wantComplete()
		w.wantConfirmed(im, 200)
	})
}

// The same when the run is stopped, gently or at once, at the n-th request.
func TestResumeAfterAStopAtEveryRequest(t *testing.T) {
	t.Parallel()
	for name, gentle := range map[string]bool{"gently": true, "at once": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				undisturbed := newWorld(t, sandbox.Options{Profiles: 30})
				if _, err := run(context.Background(), undisturbed.importer()); err != nil {
					t.Fatal(err)
				}
				stats := undisturbed.Box.Stats()
				stopped := 0
				step := 1
				if !thorough() {
					step = 9
				}
				for n := 1; n <= stats.SegmentRequests+stats.VoucherifyRequests; n += step {
					w := newWorld(t, sandbox.Options{Profiles: 30})
					im := w.importer()
					ctx, cancel := context.WithCancel(context.Background())
					w.On(".", sandboxtest.Nth(n, stopping(im, gentle, cancel)))
					offset, err := run(ctx, im)
					cancel()
					if gentle && (err == nil) != (offset == "") || !gentle && err == nil && im.State().IsUnfinished() {
						t.Fatalf("stopped at request %d: offset %q, error %v", n, offset, err)
					}
					if !im.State().IsUnfinished() {
						w.wantComplete()
						continue
					}
					stopped++
					at := 30
					if !im.State().Position.Done {
						if at, err = strconv.Atoi(offset); err != nil {
							t.Fatal(err)
						}
					}
					w.wantReports(at)
					w.wantCounts(im, at)
					im = w.importer()
					if offset, err = run(context.Background(), im); err != nil {
						t.Fatalf("stopped at request %d, resumed: offset %q, error %v", n, offset, err)
					}
					w.wantComplete()
					w.wantConfirmed(im, 30)
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
		w.On(".", func(rw answerWriter, r request) bool {
			// A hash of the number, so that it is the same each time.
			return requests.Add(1)*0x9e3779b97f4a7c15>>56 == 0 && sandboxtest.Status(401)(rw, r)
		})
		im, failures := w.importer(), 0
		for ; im.State().IsUnfinished(); failures++ {
			if failures > 300 {
				t.Fatal("no progress")
			}
			if err := im.Run(context.Background()); (err == nil) == im.State().IsUnfinished() {
				t.Fatalf("%+v, error %v", im.State(), err)
			}
		}
		if failures < 3 {
			t.Errorf("only %d runs", failures)
		}
		w.wantComplete()
		w.wantConfirmed(im, 300)
	})
}

// Where profiles before the position were deleted while nobody read, the rest of the list has
// moved up past it: a run that continues goes back to the profiles that it knows.
func TestResumeAfterDeletions(t *testing.T) {
	for _, deleted := range []int{1, 10, 35, 60, 170} {
		t.Run(fmt.Sprint(deleted), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{Profiles: 200, Plain: true})
				all := w.Profiles()
				list := all
				w.lists(func() []sandbox.Expect { return list })
				w.On(`@65/traits`, sandboxtest.Nth(1, sandboxtest.Status(401)))
				im := w.importer()
				if offset, err := run(t.Context(), im); err == nil || offset != "60" {
					t.Fatalf("offset %s, error %v", offset, err)
				}
				list = all[deleted:]
				im = w.importer()
				if err := im.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				in := w.Box.Customers()
				for _, p := range list {
					if in[p.SourceID] == nil {
						t.Errorf("%s is missing", p.SourceID)
					}
				}
				if want := len(all) - max(deleted-60, 0); im.State().Counts.Read() != want {
					t.Errorf("%d read, want %d", im.State().Counts.Read(), want)
				}
			})
		})
	}
}
