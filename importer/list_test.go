package importer_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"segsync/importer/outcome"
	"segsync/importer/source/profileapi"
	"segsync/internal/sandbox"
	"segsync/internal/sandboxtest"
)

// A list that repeats its pages under new cursors comes to an end, also where only what changed
// is read of it.
func TestListThatRepeatsItself(t *testing.T) {
	for name, since := range map[string]bool{"everything": false, "what changed": true} {
		for _, different := range []int{1, 2, 3} { // pages
			t.Run(fmt.Sprintf("%s, %d pages", name, different), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, sandbox.Options{Profiles: 10 * different, Plain: true})
					pages := 0
					w.pagesOf(func(string) (ids []string, more string) {
						for _, e := range w.Profiles()[pages%different*10:][:10] {
							ids = append(ids, e.SegmentID)
						}
						if pages++; pages > 2000 {
							return nil, ""
						}
						return ids, fmt.Sprint("more-", pages)
					})
					start := from("")
					if since {
						start.Since = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
					}
					im := w.importerOf(start)
					err := im.Run(t.Context())
					if _, ok := errors.AsType[*profileapi.EndlessListError](err); !ok || pages > 150 {
						t.Errorf("%d pages, error %v", pages, err)
					}
					w.wantComplete()
					w.wantCounts(im, 10*different)
				})
			})
		}
	}
}

// So does a list whose further pages are empty, or have known profiles in ever another order.
func TestListThatGoesOnWithoutNewProfiles(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 1))
	for name, further := range map[string]func(ids []string) []string{
		"empty": func([]string) []string { return nil },
		"known": func(ids []string) []string {
			dice.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
			return ids[:10]
		},
	} {
		for _, since := range []time.Time{{}, time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)} {
			t.Run(fmt.Sprintf("%s since %d", name, since.Year()), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, sandbox.Options{Profiles: 30, Plain: true})
					pages := 0
					w.pagesOf(func(string) (ids []string, more string) {
						for _, e := range w.Profiles() {
							ids = append(ids, e.SegmentID)
						}
						if pages++; pages > 2000 {
							return nil, ""
						}
						if pages <= 3 {
							return ids[10*(pages-1) : 10*pages], fmt.Sprint("more-", pages)
						}
						return further(ids), fmt.Sprint("more-", pages)
					})
					start := from("")
					start.Since = since
					im := w.importerOf(start)
					err := im.Run(t.Context())
					if _, ok := errors.AsType[*profileapi.EndlessListError](err); !ok || pages > 150 {
						t.Errorf("%d pages, error %v", pages, err)
					}
				})
			})
		}
	}
}

// All profiles may have become active while the list was read, as a computed trait makes them: a
// later pass finds none that is new, page after page, and comes to its end.
func TestAllProfilesBecomeActive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 1050, Plain: true, Identified: -1, Latency: time.Millisecond})
		w.settings.CatchUp, w.settings.Readers = true, 20
		w.On(`next=1040$`, sandboxtest.Nth(1, func(answerWriter, request) bool {
			time.Sleep(10 * time.Second)
			for _, e := range w.Profiles()[:1000] {
				w.Box.Touch(e.SegmentID)
			}
			return false
		}))
		lists := w.Count(`/profiles\?`)
		im := w.importer()
		if err := im.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.wantConfirmed(im, 1050)
		if *lists < 205 {
			t.Errorf("%d list requests: the profiles were not read again", *lists)
		}
	})
}

// entry is a profile of a list that a test has made, and when it says that it was updated.
type entry struct {
	id      string
	updated time.Time
}

// clockedList answers for the list, by a clock of Segment's that is so far behind.
func (w *world) clockedList(behind func() time.Duration, list func() []entry) {
	w.On(`/profiles\?`, func(rw answerWriter, r request) bool {
		all := list()
		from, _ := strconv.Atoi(r.URL.Query().Get("next"))
		to := min(from+10, len(all))
		data := []map[string]any{}
		for _, e := range all[min(from, to):to] {
			data = append(data, map[string]any{"segment_id": e.id, "metadata": map[string]any{"updated_at": e.updated.UTC()}})
		}
		cursor := map[string]any{"has_more": to < len(all), "next": ""}
		if to < len(all) {
			cursor["next"] = strconv.Itoa(to)
		}
		rw.Header().Set("Date", time.Now().Add(-behind()).UTC().Format(http.TimeFormat))
		json.NewEncoder(rw).Encode(map[string]any{"data": data, "cursor": cursor})
		return true
	})
}

// What changed after Segment's clock went back has an earlier time than it would have: it is read all
// the same, whether the clock went back between two imports or between two passes.
func TestSegmentsClockGoesBack(t *testing.T) {
	t.Run("between two imports", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, sandbox.Options{Profiles: 50, Plain: true})
			behind, all := time.Duration(0), []entry(nil)
			for i, e := range w.Profiles() {
				all = append(all, entry{e.SegmentID, time.Now().Add(-10*time.Hour - time.Duration(i)*time.Minute)})
			}
			w.clockedList(func() time.Duration { return behind }, func() []entry { return all })
			w.finished(from(""))
			time.Sleep(time.Hour)
			behind = 3 * time.Hour
			changed := entry{all[40].id, time.Now().Add(-behind)}
			all = append([]entry{changed}, append(all[:40:40], all[41:]...)...)
			time.Sleep(time.Hour)
			start := next()
			start.SinceLast = true
			w.wantCountsOf(w.finished(start), counts{Read: 1, Confirmed: 1})
			if !strings.Contains(w.log.String(), "Segment's clock went back") {
				t.Errorf("nothing is said about it:\n%s", w.log.String())
			}
		})
	})
	t.Run("between two passes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, sandbox.Options{Profiles: 50, Plain: true})
			w.settings.CatchUp = true
			behind, all, asked := time.Duration(0), []entry(nil), 0
			for i, e := range w.Profiles() {
				all = append(all, entry{e.SegmentID, time.Now().Add(-10*time.Hour - time.Duration(i)*time.Minute)})
			}
			w.clockedList(func() time.Duration { return behind }, func() []entry {
				if asked++; asked == 4 { // the last one moves to the head, past the reader
					time.Sleep(5 * time.Minute)
					behind = 3 * time.Hour
					moved := entry{all[49].id, time.Now().Add(-behind)}
					all = append([]entry{moved}, all[:49:49]...)
				}
				return all
			})
			s := w.finished(from(""))
			w.wantCountsOf(s, counts{Read: 50, Confirmed: 50, Late: 1})
		})
	})
	t.Run("it is ahead of ours", func(t *testing.T) { // what changes until then must not be passed over
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, sandbox.Options{Profiles: 3, Plain: true, ClockOffset: 2 * time.Hour})
			if began := w.finished(from("")).Before.Began; began.After(time.Now()) {
				t.Errorf("the import began at %s, and it is %s", began, time.Now())
			}
		})
	})
}

// The next import of what changed begins where the last one that left nothing out began.
func TestSinceLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 30, Plain: true, Latency: time.Second})
		w.finished(changedSince(30)) // of which it is not known what changed before
		if began := w.savedState().Before.Began; !began.IsZero() {
			t.Errorf("began %s after an import of what changed since a time", began)
		}
		time.Sleep(time.Hour)
		whole := w.finished(from(""))
		for _, start := range []string{"10", "since"} { // these leave something out
			time.Sleep(time.Hour)
			s := from("10")
			if start == "since" {
				s = from("")
				s.Since = time.Now().Add(-time.Minute)
			}
			if got := w.finished(s).Before.Began; !got.Equal(whole.Began) {
				t.Errorf("%s: began %s, want %s", start, got, whole.Began)
			}
		}
		time.Sleep(time.Hour)
		start := from("")
		start.SinceLast = true
		last := w.finished(start)
		if want := whole.Began.Add(-time.Minute); !last.Since.Equal(want) || !last.Before.Began.Equal(last.Began) {
			t.Errorf("since %s, want %s; %s, %s", last.Since, want, last.Before.Began, last.Began)
		}
		if last.Count(outcome.Confirmed) != last.Counts.Read() {
			t.Errorf("%+v", countsOf(last))
		}
	})
}
