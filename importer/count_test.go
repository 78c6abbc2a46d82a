package importer_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"segsync/internal/sandboxtest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"segsync/importer"
	"segsync/internal/sandbox"
)

// counting runs an import beside Count. It returns what Count found, and the number of list
// requests that are not the import's own.
func counting(t *testing.T, w *world) (total, requests int) {
	t.Helper()
	lists := w.Count(`/profiles\?(.*&)?limit=1(&|$)`)
	w.settings.PageSize, w.settings.BatchSize = 100, 100
	// Reading takes a while.
	w.On(`/traits`, sandboxtest.Slowly(time.Second))
	im := w.importer()
	counted := make(chan int, 1)
	go func() { counted <- im.Count(t.Context()) }()
	if err := im.Run(t.Context()); err != nil {
		t.Error(err)
	}
	w.wantConfirmed(im, len(w.Profiles()))
	return <-counted, *lists
}

func TestCountFindsTheSizeOfTheSpace(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2500, 3999, 7777} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{Profiles: n, Plain: true})
				total, requests := counting(t, w)
				if total < n || total > n+n/100+1 {
					t.Errorf("%d profiles were found, want %d to within one percent", total, n)
				}
				if requests == 0 || requests > 25 {
					t.Errorf("%d extra list requests", requests)
				}
			})
		})
	}
}

// A large space is counted from an import of which only the state is there.
func TestCountOfALargeSpace(t *testing.T) {
	for _, n := range []int{100_001, 1_000_000, 30_000_000} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, sandbox.Options{Plain: true})
			requests := 0
			im := countOnly(t, w, "2000", func(rw http.ResponseWriter, r *http.Request) bool {
				requests++
				at, err := strconv.Atoi(r.URL.Query().Get("next"))
				if err != nil {
					t.Error(err)
				}
				list(rw, at < n)
				return true
			})
			if total := im.Count(t.Context()); total < n || total > n+n/100 || requests > 25 {
				t.Errorf("%d profiles were found with %d requests, want %d", total, requests, n)
			}
		})
	}
}

// countOnly returns an importer that has read enough to count, and is at the offset. answer
// answers for the list from then on.
func countOnly(t *testing.T, w *world, offset string, answer func(http.ResponseWriter, *http.Request) bool) *importer.Importer {
	t.Helper()
	w.On(`/profiles\?`, answer)
	return importer.Counting(w.importerOf(from(offset)))
}

// list answers with a page of one profile, or of none.
func list(rw http.ResponseWriter, there bool) {
	data := `[]`
	if there {
		data = `[{"segment_id":"use_1","metadata":{}}]`
	}
	fmt.Fprintf(rw, `{"data":%s,"cursor":{"url":"","has_more":false,"next":"","limit":1}}`, data)
}

func TestCountSpendsNothingOnASmallSpace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 1900, Plain: true})
		if total, requests := counting(t, w); total != 0 || requests != 0 {
			t.Errorf("%d profiles were counted with %d requests", total, requests)
		}
	})
}

// Cursors that are no numbers are left alone.
func TestCountOfOpaqueCursors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 2500, Plain: true})
		w.On(`/profiles\?`, func(rw http.ResponseWriter, r *http.Request) bool {
			q := r.URL.Query()
			q.Set("next", strings.TrimPrefix(q.Get("next"), "opaque-"))
			r.URL.RawQuery = q.Encode()
			page := httptest.NewRecorder()
			w.Serve(page, r)
			var body map[string]any
			if err := json.Unmarshal(page.Body.Bytes(), &body); err != nil {
				t.Error(err)
			}
			cursor := body["cursor"].(map[string]any)
			if next, _ := cursor["next"].(string); next != "" {
				cursor["next"] = "opaque-" + next
			}
			json.NewEncoder(rw).Encode(body)
			return true
		})
		if total, requests := counting(t, w); total != 0 || requests != 0 {
			t.Errorf("%d profiles were counted with %d requests", total, requests)
		}
	})
}

// Nor does a list do harm that takes any number for a cursor and always has profiles, or one
// that refuses.
func TestCountGivesUp(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"always there": func(rw http.ResponseWriter, _ *http.Request) bool { list(rw, true); return true },
		"refused":      sandboxtest.Status(http.StatusBadRequest),
		"gone":         sandboxtest.Status(http.StatusNotFound),
		"broken":       func(rw http.ResponseWriter, _ *http.Request) bool { fmt.Fprint(rw, "<html>"); return true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{Plain: true})
				requests := 0
				im := countOnly(t, w, "2000", func(rw http.ResponseWriter, r *http.Request) bool {
					requests++
					return answer(rw, r)
				})
				if total := im.Count(t.Context()); total != 0 || requests > 25 {
					t.Errorf("%d profiles were counted with %d requests", total, requests)
				}
			})
		})
	}
}

// An error of a counting request does not end the import.
func TestCountThatFailsDoesNotFailTheImport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 2500, Plain: true})
		w.On(`/profiles\?(.*&)?limit=1(&|$)`, sandboxtest.Status(http.StatusBadRequest))
		if total, requests := counting(t, w); total != 0 || requests != 1 {
			t.Errorf("%d profiles were counted with %d requests", total, requests)
		}
	})
}
