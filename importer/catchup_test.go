package importer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"segsync/internal/sandboxtest"

	"segsync/internal/sandbox"
)

// list returns the segment ids that the list has from the offset on, at most 100.
func (w *world) list(offset int) []string {
	w.t.Helper()
	r := httptest.NewRequest("GET", fmt.Sprintf("/v1/spaces/spa_sandbox/collections/users/profiles?limit=100&next=%d", offset), nil)
	r.SetBasicAuth("sandbox-access-token", "")
	answer := httptest.NewRecorder()
	w.Serve(answer, r)
	var list struct {
		Data []struct {
			SegmentID string `json:"segment_id"`
		}
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &list); err != nil {
		w.t.Error(err)
	}
	var ids []string
	for _, p := range list.Data {
		ids = append(ids, p.SegmentID)
	}
	return ids
}

// touchLast makes the last n profiles of the list active, before the request is answered.
func (w *world) touchLast(n int) func(answerWriter, request) bool {
	return func(answerWriter, request) bool {
		ids := w.list(len(w.Profiles()) - n)
		for _, id := range ids {
			w.Box.Touch(id)
		}
		return false
	}
}

var orders = map[string]sandbox.Order{
	"by activity": sandbox.ByActivity, "in no order": sandbox.Shuffled, "without updated_at": sandbox.NoUpdatedAt,
}

// Profiles that move to the head of the list while it is read are found by a later pass;
// those that are pushed back onto a page that is still to be read are read once.
func TestCatchUp(t *testing.T) {
	t.Parallel()
	for name, order := range orders {
		for _, c := range []struct {
			name  string
			moves func(w *world)
			late  int
			lists int // in falling order of updated_at
		}{
			{"nothing moves", func(*world) {}, 0, 10 + 1},
			{"what was read moves", func(w *world) {
				w.On(`next=50$`, sandboxtest.Nth(1, func(answerWriter, request) bool {
					for _, id := range w.list(0)[10:15] {
						w.Box.Touch(id)
					}
					return false
				}))
			}, 0, 10 + 2},
			{"one moves", func(w *world) { w.On(`next=50$`, sandboxtest.Nth(1, w.touchLast(1))) }, 1, 10 + 2 + 2},
			{"the last one moves before it is listed", func(w *world) { w.On(`next=90$`, sandboxtest.Nth(1, w.touchLast(1))) }, 1, 10 + 2 + 2},
			{"several pages move", func(w *world) { w.On(`next=50$`, sandboxtest.Nth(1, w.touchLast(35))) }, 35, 10 + 5 + 5},
			{"all move before the first page", func(w *world) { w.On(`next=0$`, sandboxtest.Nth(1, w.touchLast(100))) }, 0, 10 + 10},
			{"one moves again while a later pass is under way", func(w *world) {
				w.On(`next=50$`, sandboxtest.Nth(1, w.touchLast(25)))
				w.On(`next=20$`, sandboxtest.Nth(2, func(answerWriter, request) bool {
					w.Box.Touch(w.list(22)[0])
					return false
				}))
			}, 25, 10 + 4 + 4 + 4},
		} {
			t.Run(name+", "+c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true, Order: order, Latency: 100 * time.Millisecond})
					w.settings.CatchUp = true
					c.moves(w)
					lists := w.Count(`/profiles\?`)
					im := w.importer()
					if err := im.Run(t.Context()); err != nil {
						t.Fatal(err)
					}
					w.wantComplete()
					w.wantConfirmed(im, 100)
					if n := w.Box.Stats(); n.ExternalIDsRequests != 100 || n.TraitsRequests != 100 || n.Customers != 100 {
						t.Errorf("read or sent twice: %+v", n)
					}
					if got := im.State().Details.Late; got != c.late {
						t.Errorf("%d found late, want %d", got, c.late)
					}
					if order == sandbox.ByActivity && *lists != c.lists || order != sandbox.ByActivity && *lists%10 != 0 {
						t.Errorf("%d list requests, want %d in order, else whole passes", *lists, c.lists)
					}
				})
			})
		}
	}
}

// Without catching up, and where the run began in the middle, there is one pass.
func TestNoCatchUp(t *testing.T) {
	for name, offset := range map[string]string{"left out": "0", "began in the middle": "20"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true})
				w.settings.CatchUp = offset != "0"
				w.On(`next=50$`, sandboxtest.Nth(1, w.touchLast(7)))
				lists := w.Count(`/profiles\?`)
				im := w.importerOf(from(offset))
				if err := im.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				want, pages := 93, 10
				if offset != "0" {
					want, pages = 73, 8
				}
				w.wantConfirmed(im, want)
				if *lists != pages || im.State().Details.Late != 0 {
					t.Errorf("%d list requests, %d found late", *lists, im.State().Details.Late)
				}
			})
		})
	}
}

// A list that moves faster than it is read does not keep the import for ever.
func TestAtMostFivePasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true, Order: sandbox.NoUpdatedAt})
		w.settings.CatchUp = true
		pass := 0
		w.On(`next=10$`, func(answerWriter, request) bool {
			for i := 80 + pass; i < 90; i++ { // one of them less in each pass
				w.Box.Touch(w.Profiles()[i].SegmentID)
			}
			pass++
			return false
		})
		w.On(`next=0$`, func(answerWriter, request) bool {
			for i := range 30 { // others are active, too
				w.Box.Touch(w.Profiles()[i].SegmentID)
			}
			return false
		})
		lists := w.Count(`/profiles\?`)
		im := w.importer()
		if err := im.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if *lists != 60 || im.State().Details.Late != 5 {
			t.Errorf("%d list requests, %+v", *lists, countsOf(im.State()))
		}
		w.wantConfirmed(im, 95)
		if !strings.Contains(w.log.String(), "moves faster than it is read") {
			t.Errorf("log:\n%s", w.log.String())
		}
	})
}

// Whatever moves, at random and all the time, nothing is missed.
func TestCatchUpWithAListThatMovesAllTheTime(t *testing.T) {
	t.Parallel()
	for name, order := range orders {
		t.Run(name, func(t *testing.T) {
			late := 0
			for seed := range seeds(5, 1) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, sandbox.Options{Profiles: 300, Seed: seed + 1, Plain: true, Order: order, Activity: 0.5, Latency: 50 * time.Millisecond})
					w.settings.CatchUp = true
					w.settings.PageSize = 20
					im := w.importer()
					if err := im.Run(t.Context()); err != nil {
						t.Fatal(err)
					}
					w.wantComplete()
					w.wantConfirmed(im, 300)
					if n := w.Box.Stats(); n.ExternalIDsRequests != 300 || n.Customers != 300 {
						t.Errorf("seed %d: read or sent twice: %+v", seed, n)
					}
					late += im.State().Details.Late
				})
			}
			if late == 0 {
				t.Error("no profile was found late")
			}
		})
	}
}

// An import that is ended at any list request, in a later pass too, and continued by
// another process misses nothing and reads nothing twice that was saved.
func TestCatchUpIsContinued(t *testing.T) {
	t.Parallel()
	for name, order := range orders {
		t.Run(name, func(t *testing.T) {
			requests := []int{1, 5, 10, 11, 12, 13, 14, 17, 21}
			if !thorough() {
				requests = []int{1, 11, 13}
			}
			for _, n := range requests {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true, Order: order, Latency: 100 * time.Millisecond})
					w.settings.CatchUp = true
					w.On(`next=50$`, sandboxtest.Nth(1, w.touchLast(25)))
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					w.On(`/profiles\?`, sandboxtest.Nth(n, stopping(nil, false, cancel)))
					im := w.importer()
					if err := im.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
						t.Fatal(err)
					}
					w.wantCounts(im, im.State().Counts.Read())
					if n == 1 && im.State().Counts.Read() != 0 {
						t.Errorf("%+v", im.State())
					}
					w.Box.Touch(w.list(60)[0])
					time.Sleep(10 * time.Minute)
					w.Box.Touch(w.list(70)[0])
					if im = w.importer(); !im.State().IsUnfinished() || im.State().From != "" {
						t.Errorf("%+v", im.State())
					}
					if err := im.Run(t.Context()); err != nil {
						t.Fatal(err)
					}
					w.wantComplete()
					w.wantConfirmed(im, 100)
				})
			}
		})
	}
}

// Where profiles are deleted while the list is read, those behind them move up, past the
// reader; only a pass over the whole list finds them.
func TestRecheckFindsWhatDeletionsMovedPast(t *testing.T) {
	for _, recheck := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true})
			w.settings.CatchUp, w.settings.Recheck = true, recheck
			list, asked := w.Profiles(), 0
			w.lists(func() []sandbox.Expect {
				if asked++; asked == 4 {
					list = list[5:]
				}
				return list
			})
			im := w.importer()
			if err := im.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			want := 95
			if recheck {
				want = 100
			}
			if c := countsOf(im.State()); c.Read != want || c.Late != want-95 {
				t.Errorf("recheck %v: %+v", recheck, c)
			}
		})
	}
}

// lists makes the list of the space have these profiles at each request for it.
func (w *world) lists(now func() []sandbox.Expect) {
	long := time.Now().UTC().Add(-time.Hour)
	w.On(`/profiles\?`, func(rw http.ResponseWriter, r *http.Request) bool {
		list := now()
		from, _ := strconv.Atoi(r.URL.Query().Get("next"))
		to := min(from+10, len(list))
		data := []map[string]any{}
		for i := from; i < to; i++ {
			data = append(data, map[string]any{"segment_id": list[i].SegmentID, "metadata": map[string]any{
				"updated_at": long.Add(-time.Duration(i) * time.Second),
			}})
		}
		cursor := map[string]any{"has_more": to < len(list), "next": ""}
		if to < len(list) {
			cursor["next"] = strconv.Itoa(to)
		}
		json.NewEncoder(rw).Encode(map[string]any{"data": data, "cursor": cursor})
		return true
	})
}
