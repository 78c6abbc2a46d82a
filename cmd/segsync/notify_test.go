package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"segsync/importer/journal"
)

// receiver takes what a notifier tells, and answers with the statuses in turn, then with
// the last of them.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	statuses []int
	requests []string // such as GET /secret/start
	bodies   []string
}

func newReceiver(t *testing.T, statuses ...int) *receiver {
	r := &receiver{statuses: statuses}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.requests = append(r.requests, req.Method+" "+req.URL.RequestURI())
		r.bodies = append(r.bodies, string(body))
		status := r.statuses[0]
		if len(r.statuses) > 1 {
			r.statuses = r.statuses[1:]
		}
		w.WriteHeader(status)
		if status != http.StatusNoContent {
			io.WriteString(w, "OK, but no JSON: "+req.URL.Path)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) at(path string) *url.URL {
	u, err := url.Parse(r.URL + path)
	if err != nil {
		panic(err)
	}
	return u
}

// The start and the end are told as healthchecks.io wants it, and every exit code but 0 is
// a failure.
func TestPing(t *testing.T) { // not beside others: after an interrupt it has a second
	for _, c := range []struct {
		code int
		path string
		want []string
	}{
		{exitDone, "/secret", []string{"GET /secret/start", "GET /secret"}},
		{exitNotImported, "/secret/", []string{"GET /secret/start", "GET /secret/fail"}},
		{exitTerminated, "/secret?a=b", []string{"GET /secret/start?a=b", "GET /secret/fail?a=b"}},
	} {
		r := newReceiver(t, http.StatusOK)
		var log bytes.Buffer
		n := newNotifier(endingSettings{ping: r.at(c.path)}, slog.New(slog.NewTextHandler(&log, nil)), nil)
		n.start(t.Context())
		n.ended(t.Context(), notification{ExitCode: c.code})
		if !slices.Equal(r.requests, c.want) || log.Len() > 0 {
			t.Errorf("exit code %d: %q, want %q; log: %s", c.code, r.requests, c.want, &log)
		}
	}
}

// The counts are posted, and nothing that may be about a person.
func TestNotification(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, http.StatusNoContent)
	state := journal.NewState(journal.Identity{Space: "spa_1", Identifier: "user_id"}, "0")
	state.Counts.Read = 7
	sum := summary{
		Version: 1, Command: "segsync import", ExitCode: 1, Ended: time.Date(2026, 11, 1, 2, 0, 0, 0, time.UTC),
		Error: "reading use_private", Hints: []string{"private hint"}, Offset: "use_private",
		Continue: "segsync import --profiles-from private.csv", Files: summaryFiles{State: "/home/private/state.json"},
		Counts: summaryCounts{state: state}, Settings: summarySettings{Identity: state.Identity, MappingFile: "private.yaml"},
	}
	newNotifier(endingSettings{notify: r.at("/hook")}, slog.New(slog.DiscardHandler), nil).ended(t.Context(), notificationOf(sum))
	if !slices.Equal(r.requests, []string{"POST /hook"}) {
		t.Fatalf("requests: %q", r.requests)
	}
	var got struct {
		ExitCode int       `json:"exit_code"`
		Ended    time.Time `json:"ended"`
		Import   struct {
			Space  string         `json:"space"`
			Counts map[string]any `json:"counts"`
		} `json:"import"`
	}
	check(t, json.Unmarshal([]byte(r.bodies[0]), &got))
	if got.ExitCode != 1 || !got.Ended.Equal(sum.Ended) || got.Import.Space != "spa_1" || got.Import.Counts["read"] != 7.0 {
		t.Errorf("body: %s", r.bodies[0])
	}
	if strings.Contains(r.bodies[0], "private") {
		t.Errorf("the body has what is private: %s", r.bodies[0])
	}
}

// A receiver that is ill is asked three times; what it was asked stays out of the log.
func TestReceiverIsIll(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		statuses []int
		attempts int
		log      string // "" for none
	}{
		"for a moment":     {[]int{503, 200}, 2, ""},
		"all the time":     {[]int{503}, 3, "503"},
		"it redirects":     {[]int{302}, 1, "302"},
		"it does not know": {[]int{404}, 1, "404"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t, c.statuses...)
			var log bytes.Buffer
			newNotifier(endingSettings{ping: r.at("/s3cret-path")}, slog.New(slog.NewTextHandler(&log, nil)), nil).
				ended(t.Context(), notification{})
			if len(r.requests) != c.attempts {
				t.Errorf("%d attempts, want %d", len(r.requests), c.attempts)
			}
			if strings.Contains(log.String(), "s3cret") || !strings.Contains(log.String(), c.log) || (c.log == "") != (log.Len() == 0) {
				t.Errorf("log: %s", &log)
			}
			if want := "setting=PING_URL host=" + r.at("").Host; c.log != "" && !strings.Contains(log.String(), want) {
				t.Errorf("the log lacks %q: %s", want, &log)
			}
		})
	}
}

// An address that nobody listens at is no secret, what follows it is.
func TestNobodyReceives(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, 200)
	to := r.at("/s3cret-path")
	r.Close()
	var log bytes.Buffer
	newNotifier(endingSettings{notify: to, ping: to}, slog.New(slog.NewTextHandler(&log, nil)), nil).
		ended(t.Context(), notification{})
	if strings.Contains(log.String(), "s3cret") || strings.Count(log.String(), "refused") != 2 {
		t.Errorf("log: %s", &log)
	}
}

// silent is a network that swallows requests.
type silent struct{}

func (silent) RoundTrip(req *http.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, errors.New("swallowed: " + req.URL.String())
}

// A receiver that does not answer holds nobody up.
func TestReceiverIsSilent(t *testing.T) {
	for code, most := range map[int]time.Duration{exitDone: 10 * time.Second, exitInterrupted: time.Second} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			to := &url.URL{Scheme: "https", Host: "example.com", Path: "/s3cret-path"}
			began := time.Now()
			newNotifier(endingSettings{notify: to, ping: to}, slog.New(slog.NewTextHandler(&log, nil)), silent{}).
				ended(t.Context(), notification{ExitCode: code})
			if took := time.Since(began); took > most {
				t.Errorf("exit code %d: it took %s, more than %s", code, took, most)
			}
			if strings.Contains(log.String(), "s3cret") || strings.Count(log.String(), "no answer") != 2 {
				t.Errorf("log: %s", &log)
			}
		})
	}
}
