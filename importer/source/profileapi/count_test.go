package profileapi_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"testing"

	"segsync/importer/source/profileapi"
	"segsync/internal/sandbox"
	"segsync/internal/sandboxtest"
)

// counted counts the profiles of the world, and the requests that this takes.
func counted(t *testing.T, w *sandboxtest.World) (total, requests int) {
	t.Helper()
	lists := w.Count(`/profiles\?`)
	segment, _ := sandboxtest.Clients(t, w, sandboxtest.NoNetwork)
	return profileapi.CountProfiles(t.Context(), segment, slog.New(slog.DiscardHandler)), *lists
}

func TestCountFindsTheSizeOfTheSpace(t *testing.T) {
	for _, n := range []int{1, 120, 2500, 7777} {
		total, requests := counted(t, sandboxtest.New(sandbox.Options{Profiles: n, Plain: true}))
		if total < n || total > n+n/100+1 || requests > 25 {
			t.Errorf("%d profiles were found with %d requests, want %d to within one percent", total, requests, n)
		}
	}
}

func TestCountOfALargeSpace(t *testing.T) {
	for _, n := range []int{100_001, 1_000_000, 30_000_000} {
		w := sandboxtest.New(sandbox.Options{})
		w.On(`/profiles\?`, func(rw http.ResponseWriter, r *http.Request) bool {
			at, err := strconv.Atoi(r.URL.Query().Get("next"))
			if err != nil {
				t.Error(err)
			}
			list(rw, at < n)
			return true
		})
		if total, requests := counted(t, w); total < n || total > n+n/100 || requests > 35 {
			t.Errorf("%d profiles were found with %d requests, want %d", total, requests, n)
		}
	}
}

// list answers with a page of one profile, or of none.
func list(rw http.ResponseWriter, found bool) {
	data := `[]`
	if found {
		data = `[{"segment_id":"use_1","metadata":{}}]`
	}
	fmt.Fprintf(rw, `{"data":%s,"cursor":{"url":"","has_more":false,"next":"","limit":1}}`, data)
}

// A list that takes any number for a cursor and always has profiles, or one that refuses, is
// not counted.
func TestCountGivesUp(t *testing.T) {
	for name, answer := range map[string]sandboxtest.Answer{
		"always there": func(rw http.ResponseWriter, _ *http.Request) bool { list(rw, true); return true },
		"refused":      sandboxtest.Status(http.StatusBadRequest),
		"gone":         sandboxtest.Status(http.StatusNotFound),
		"broken":       sandboxtest.Body("<html>"),
	} {
		w := sandboxtest.New(sandbox.Options{})
		w.On(`/profiles\?`, answer)
		if total, requests := counted(t, w); total != 0 || requests > 30 {
			t.Errorf("%s: %d profiles were counted with %d requests", name, total, requests)
		}
	}
}
