package importer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"segsync/internal/sandboxtest"

	"github.com/google/go-cmp/cmp"

	"segsync/importer"
	"segsync/internal/sandbox"
	"segsync/segmentprofiles"
	"segsync/voucherify"
)

// stopping returns an answer that stops the import while the request is answered, and
// lets the sandbox answer.
func stopping(im *process, gentle bool, cancel context.CancelFunc) func(answerWriter, request) bool {
	return func(answerWriter, request) bool {
		if gentle {
			im.Stop()
		} else {
			cancel()
		}
		return false
	}
}

func TestRunImportsTheWholeList(t *testing.T) {
	for _, c := range []struct {
		name                         string
		profiles, page, batch, width int
		o                            sandbox.Options
	}{
		{name: "pages and batches of one", profiles: 60, page: 1, batch: 1, width: 1},
		{name: "one page, one batch", profiles: 60, page: 100, batch: 100, width: 8},
		{name: "batches across pages", profiles: 230, page: 7, batch: 30, width: 8},
		{name: "pages across batches", profiles: 230, page: 100, batch: 7, width: 50},
		{name: "more readers than profiles", profiles: 5, page: 2, batch: 3, width: 200},
		{name: "nothing", profiles: 0, page: 10, batch: 10, width: 4},
		{name: "no identifier at all", profiles: 150, page: 10, batch: 10, width: 4, o: sandbox.Options{Plain: true, Identified: -1}},
		{name: "few identifiers", profiles: 500, page: 10, batch: 20, width: 4, o: sandbox.Options{Plain: true, Identified: 0.01}},
		{name: "slow answers", profiles: 120, page: 10, batch: 20, width: 16, o: sandbox.Options{Latency: time.Second, VoucherifyLatency: 3 * time.Second}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.o.Profiles = c.profiles
				w := newWorld(t, c.o)
				w.settings.PageSize, w.settings.BatchSize, w.settings.Readers = c.page, c.batch, c.width
				im := w.importer()
				offset, err := run(context.Background(), im)
				if err != nil || offset != "" {
					t.Fatalf("offset %q, error %v", offset, err)
				}
				w.wantComplete()
				w.wantConfirmed(im, c.profiles)
				if im.ProfilesRead() != c.profiles {
					t.Errorf("%d profiles read, want %d", im.ProfilesRead(), c.profiles)
				}
			})
		})
	}
}

// Each stage that fails ends the run: nothing is left running, what was complete before
// is sent and reported, and the offset is its end.
func TestRunEndsWithTheStageThatFails(t *testing.T) {
	for _, c := range []struct {
		name  string
		match string
		fault func(answerWriter, request) bool
		want  string // the offset
		err   string
	}{
		{"listing the first page", `next=0$`, sandboxtest.Status(400), "0", "listing profiles at offset 0: Segment answered 400: made_up: made up"},
		{"listing a page", `next=50$`, sandboxtest.Status(500), "50", "listing profiles at offset 50: Segment answered 500: made_up: made up"},
		{"a list that does not end", `next=90$`, endless, "90", `listing profiles at offset 90: the cursor "90" came a second time: the pages do not end`},
		{"reading external IDs", `@57/external_ids`, sandboxtest.Status(401), "50", "reading the external IDs of @57: Segment answered 401: made_up: made up"},
		{"reading traits", `@50/traits`, sandboxtest.Status(401), "50", "reading the traits of @50: Segment answered 401: made_up: made up"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true, Latency: time.Second})
				w.On(c.match, c.fault)
				im := w.importer()
				offset, err := run(context.Background(), im)
				want := c.err
				for _, n := range []int{50, 57} {
					want = strings.ReplaceAll(want, fmt.Sprintf("@%d", n), w.Profiles()[n].SegmentID)
				}
				if offset != c.want || err == nil || err.Error() != want {
					t.Errorf("offset %s, error %v\nwant   %s, error %v", offset, err, c.want, want)
				}
				var n int
				fmt.Sscan(c.want, &n)
				w.wantCustomers(n)
				w.wantReports(n)
				w.wantCounts(im, n)
			})
		})
	}
}

// endless answers with a page whose next is its own cursor.
func endless(w answerWriter, r request) bool {
	next := r.URL.Query().Get("next")
	fmt.Fprintf(w, `{"data":[{"segment_id":"use_x"}],"cursor":{"has_more":true,"next":%q}}`, next)
	return true
}

// The page that fails first in the order of the list ends the run, even if a later one
// fails at an earlier time.
func TestRunReportsTheFirstOfTwoFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true})
		w.settings.Readers = 100
		w.On(`@25/traits`, func(rw answerWriter, r request) bool {
			sandboxtest.Slowly(time.Minute)(rw, r)
			return sandboxtest.Status(401)(rw, r)
		})
		w.On(`@75/traits`, sandboxtest.Status(401))
		offset, err := run(context.Background(), w.importer())
		var answer *segmentprofiles.Error
		if offset != "20" || !errors.As(err, &answer) || answer.Status != 401 {
			t.Errorf("offset %s, error %v", offset, err)
		}
		w.wantCustomers(20)
	})
}

// What comes after a page that failed is not asked for any more, although the pages
// before it take their time.
func TestNothingIsListedAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 1000, Plain: true})
		w.settings.Readers = 100
		w.On(`@5/traits`, sandboxtest.Slowly(time.Minute))
		w.On(`next=40$`, sandboxtest.Slowly(time.Second))
		w.On(`@25/traits`, sandboxtest.Status(401))
		offset, err := run(context.Background(), w.importer())
		if offset != "20" || err == nil {
			t.Errorf("offset %s, error %v", offset, err)
		}
		if stats := w.Box.Stats(); stats.ListRequests > 5 || stats.ExternalIDsRequests > 40 {
			t.Errorf("%d pages were listed and %d profiles read", stats.ListRequests, stats.ExternalIDsRequests)
		}
		w.wantCustomers(20)
	})
}

func TestRunEndsWithTheUploadThatFails(t *testing.T) {
	for _, c := range []struct {
		name   string
		failed int // the number of the bulk request that fails
		want   string
	}{
		{"the first", 1, "0"},
		{"the third", 3, "40"},
		{"the last", 5, "80"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true, VoucherifyLatency: time.Second})
				first := w.Profiles()[20*(c.failed-1)]
				w.On("^POST", func(rw answerWriter, r request) bool {
					body, err := io.ReadAll(r.Body)
					if err != nil {
						t.Error(err)
					}
					mine := strings.Contains(string(body), first.SourceID)
					return mine && sandboxtest.Status(402)(rw, r)
				})
				w.settings.Readers = 1 // so that the bulk requests come one by one
				im := w.importer()
				offset, err := run(context.Background(), im)
				var answer *voucherify.Error
				if offset != c.want || !errors.As(err, &answer) || answer.Status != 402 {
					t.Errorf("offset %s, error %v", offset, err)
				}
				if prefix := "sending 20 customers (of " + first.SegmentID + " to use_"; err != nil && !strings.HasPrefix(err.Error(), prefix) {
					t.Errorf("%v", err)
				}
				n := 20 * (c.failed - 1)
				w.wantCounts(im, n)
				w.wantReports(n)
			})
		})
	}
}

// A directory that cannot be used is noticed before anything is asked for.
func TestRunNeedsItsDirectory(t *testing.T) {
	w := newWorld(t, sandbox.Options{Profiles: 100})
	im := w.importerOf(from("30"))
	if err := errors.Join(os.RemoveAll(w.names.Dir), os.WriteFile(w.names.Dir, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	offset, err := run(context.Background(), im)
	if offset != "30" || err == nil {
		t.Errorf("offset %s, error %v", offset, err)
	}
	if stats := w.Box.Stats(); stats.SegmentRequests+stats.VoucherifyRequests != 0 {
		t.Errorf("%+v", stats)
	}
}

// Stop: no further page is listed; those that are being read are finished and sent.
func TestStopFinishesWhatIsBeingRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 1000, Plain: true, Latency: time.Second, VoucherifyLatency: time.Second})
		im := w.importer()
		w.On(`@25/traits`, stopping(im, true, nil))
		offset, err := run(context.Background(), im)
		if !errors.Is(err, importer.ErrStopped) {
			t.Errorf("error %v", err)
		}
		var n int
		fmt.Sscan(offset, &n)
		if n < 30 || n > 200 {
			t.Errorf("stopped at %s", offset)
		}
		w.wantCustomers(n)
		w.wantCounts(im, n)
		if read := w.Box.Stats().ExternalIDsRequests; read != n {
			t.Errorf("%d profiles were read, but %d sent", read, n)
		}

		// A later run of the same importer does nothing.
		if again, err := run(context.Background(), im); again != offset || !errors.Is(err, importer.ErrStopped) {
			t.Errorf("offset %s, error %v", again, err)
		}
		w.wantCounts(im, n)
	})
}

// Stop waits for no list request: the page that it would give is not wanted.
func TestStopDoesNotWaitForTheList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true})
		im := w.importer()
		w.On(`next=50$`, func(rw answerWriter, r request) bool {
			im.Stop()
			return sandboxtest.Slowly(time.Hour)(rw, r)
		})
		began := time.Now()
		offset, err := run(context.Background(), im)
		if !errors.Is(err, importer.ErrStopped) || time.Since(began) > time.Minute {
			t.Errorf("after %s: offset %s, error %v", time.Since(began), offset, err)
		}
		var n int
		fmt.Sscan(offset, &n)
		w.wantCustomers(n)
	})
}

// The end of the context ends the run at once, wherever it is.
func TestCancelEndsAtOnce(t *testing.T) {
	for name, match := range map[string]string{
		"listing":              `next=50$`,
		"reading external IDs": `@55/external_ids`,
		"reading traits":       `@55/traits`,
		"sending":              `^POST`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{Profiles: 1000, Plain: true})
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				w.On(match, sandboxtest.Slowly(time.Hour))
				began := time.Now()
				time.AfterFunc(time.Minute, cancel)
				im := w.importer()
				offset, err := run(ctx, im)
				if !errors.Is(err, context.Canceled) || time.Since(began) != time.Minute {
					t.Errorf("after %s: offset %s, error %v", time.Since(began), offset, err)
				}
				var n int
				fmt.Sscan(offset, &n)
				w.wantCounts(im, n)
				w.wantReports(n)
			})
		})
	}
}

// An answer that is held up holds up neither the reading nor, for ever, the memory: the
// pages ahead of it are bounded.
func TestSlowProfileHoldsBackNoMoreThanTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 1500, Plain: true})
		ahead := 0
		w.On(`@5/traits`, func(answerWriter, request) bool {
			time.Sleep(time.Minute) // of the bubble's clock: until nothing else moves
			ahead = w.Box.Stats().TraitsRequests
			return false
		})
		if _, err := run(context.Background(), w.importer()); err != nil {
			t.Fatal(err)
		}
		if ahead < 40 || ahead > 500 {
			t.Errorf("%d profiles were read while one was held up", ahead)
		}
		w.wantComplete()
	})
}

func TestBatchesAreFilledAcrossPages(t *testing.T) {
	for _, c := range []struct {
		identified float64
		want       []int
	}{
		{1, []int{30, 30, 30, 30, 30, 30, 20}},
		{0.5, []int{30, 30, 30, 10}},
		{-1, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, sandbox.Options{Profiles: 200, Plain: true, Identified: c.identified})
			w.settings.PageSize, w.settings.BatchSize = 7, 30
			w.settings.Readers = 1
			if _, err := run(context.Background(), w.importer()); err != nil {
				t.Fatal(err)
			}
			got := w.Batches(t)
			if diff := cmp.Diff(c.want, got, cmp.Transformer("sorted", sum)); diff != "" {
				t.Errorf("identified %v: batches %v, want %v", c.identified, got, c.want)
			}
		})
	}
}

// The last calls of a quota go to the batches that come first: a later one that is accepted
// before them is sent again, and the call is wasted.
func TestTheLastCallsOfAQuotaAreUsedInOrder(t *testing.T) {
	t.Parallel()
	for _, calls := range []int{1, 7, 19} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, sandbox.Options{Profiles: 200, Plain: true, BulkCalls: sandbox.Bucket{Limit: calls}})
			w.settings.BatchSize, w.settings.Readers, w.settings.SinkRetries = 10, 200, true
			offset, err := run(t.Context(), w.importer())
			if want := strconv.Itoa(10 * calls); err == nil || offset != want {
				t.Errorf("with %d calls: offset %s, want %s; error %v", calls, offset, want, err)
			}
		})
	}
}

// sum counts the batches of each size: uploads may overtake each other.
func sum(sizes []int) map[int]int {
	m := map[int]int{}
	for _, n := range sizes {
		m[n]++
	}
	return m
}

// A profile that is gone when it is read, or whose traits are, is reported and the run
// goes on.
func TestVanishedProfilesAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 30, Plain: true})
		w.On(`@3/external_ids`, sandboxtest.Status(404))
		w.On(`@17/traits`, sandboxtest.Status(404))
		im := w.importer()
		if _, err := run(context.Background(), im); err != nil {
			t.Fatal(err)
		}
		want := [][]string{
			{w.Profiles()[3].SegmentID, "", "vanished", "Segment answered 404: made_up: made up", "", ""},
			{w.Profiles()[17].SegmentID, w.Profiles()[17].SourceID, "vanished", "Segment answered 404: made_up: made up", "", ""},
		}
		if diff := cmp.Diff(want, w.notImported()); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if diff := cmp.Diff(counts{Read: 30, Confirmed: 28, Vanished: 2}, countsOf(im.State())); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

// A customer that is too large even alone is reported, those around it are sent.
func TestTooLargeCustomerIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 50, Plain: true, MaxBody: 6000})
		fat := strings.Repeat("x", 8000)
		w.On(`@13/traits`, func(rw answerWriter, _ request) bool {
			fmt.Fprintf(rw, `{"traits":{"description":%q,"birthdate":"never"},"cursor":{"has_more":false,"next":""}}`, fat)
			return true
		})
		im := w.importer()
		if _, err := run(context.Background(), im); err != nil {
			t.Fatal(err)
		}
		e := w.Profiles()[13]
		rows := w.notImported()
		if len(rows) != 1 || !cmp.Equal(rows[0][:3], []string{e.SegmentID, e.SourceID, "too_large"}) || !strings.HasPrefix(rows[0][3], "Voucherify answered 413") {
			t.Errorf("%q", rows)
		}
		if diff := cmp.Diff(counts{Read: 50, Confirmed: 49, Rejected: 1}, countsOf(im.State())); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if _, ok := w.Box.Customers()[e.SourceID]; ok || len(w.Box.Customers()) != 49 {
			t.Errorf("%d customers", len(w.Box.Customers()))
		}
	})
}

// Where Voucherify takes fewer customers or bytes than the settings say, the batches to
// come are smaller from the beginning.
func TestBatchesShrinkToWhatIsTaken(t *testing.T) {
	t.Run("customers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, sandbox.Options{Profiles: 2000, Plain: true, MaxCustomers: 100})
			w.settings.PageSize, w.settings.BatchSize = 100, 500
			if _, err := run(context.Background(), w.importer()); err != nil {
				t.Fatal(err)
			}
			w.wantComplete()
			// As many as were under way when the first was refused may be larger.
			large := 0
			for _, n := range w.Batches(t) {
				if n > 100 {
					large++
				}
			}
			if large > 4 {
				t.Errorf("batches %v", w.Batches(t))
			}
			if n := strings.Count(w.log.String(), "using smaller batches from here on\" customers=100"); n != 1 {
				t.Errorf("said %d times", n)
			}
		})
	})
	t.Run("bytes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, sandbox.Options{Profiles: 1000, Plain: true, MaxBody: 20_000})
			w.settings.PageSize, w.settings.BatchSize = 100, 200
			w.settings.Readers = 1
			if _, err := run(context.Background(), w.importer()); err != nil {
				t.Fatal(err)
			}
			w.wantComplete()
			if refused := w.Box.Stats().BulkRequests - w.Box.Stats().BulkAccepted; refused > 12 {
				t.Errorf("%d bulk requests were too large", refused)
			}
		})
	})
}
