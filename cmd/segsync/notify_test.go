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
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"segsync/importer/journal"
	"segsync/internal/sandbox"
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

// An import does not wait until its start is told, and its end comes after that.
func TestStartIsToldMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		to := &url.URL{Scheme: "https", Host: "example.com", Path: "/s3cret-path"}
		n := newNotifier(endingSettings{ping: to}, slog.New(slog.NewTextHandler(&log, nil)), silent{})
		began := time.Now()
		n.start(t.Context())
		if took := time.Since(began); took > 0 {
			t.Errorf("the import waits %s for its start to be told", took)
		}
		n.ended(t.Context(), notification{ExitCode: exitInterrupted})
		if took := time.Since(began); took > time.Second {
			t.Errorf("after an interrupt it took %s, more than a second", took)
		}
	})
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

// The end of an import is told whatever it was: also that it never began, or was interrupted;
// and the exit code is what it would have been.
func TestEndIsToldByTheProgram(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env   []string
		args  string
		code  int
		pings []string
		began bool
	}{
		"done":                      {nil, "import", exitDone, []string{"GET /ping/s3cret/start", "GET /ping/s3cret"}, true},
		"rejected":                  {[]string{"REJECT=1"}, "import", exitNotImported, []string{"GET /ping/s3cret/start", "GET /ping/s3cret/fail"}, true},
		"wrong credentials":         {[]string{"SEGMENT_ACCESS_TOKEN=x"}, "import", exitUsage, []string{"GET /ping/s3cret/start", "GET /ping/s3cret/fail"}, true},
		"missing settings":          {[]string{"SEGMENT_ACCESS_TOKEN="}, "import", exitUsage, []string{"GET /ping/s3cret/fail"}, false},
		"a wrong .env file":         {nil, "import --env-file missing.env", exitUsage, []string{"GET /ping/s3cret/fail"}, false},
		"nothing to verify":         {nil, "verify", exitUsage, []string{"GET /ping/s3cret/fail"}, false},
		"a missing directory":       {nil, "import --resume --dir nowhere", exitUsage, []string{"GET /ping/s3cret/fail"}, false},
		"a mistyped flag":           {nil, "import --since yesterdy", exitUsage, nil, false},
		"plan, which tells nothing": {[]string{"SEGMENT_ACCESS_TOKEN="}, "plan", exitUsage, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := startWorld(t, sandbox.Options{Profiles: 10, Plain: true})
			if slices.Contains(c.env, "REJECT=1") {
				w.reject.Store(regexp.MustCompile("7$"))
			}
			r := newReceiver(t, http.StatusOK)
			env := append(c.env, "PING_URL="+r.URL+"/ping/s3cret", "NOTIFY_URL="+r.URL+"/hook/s3cret")
			p := startProcess(t, w.dir, w.environ(env...), nil, strings.Fields(c.args)...)
			p.wantExit(t, c.code)
			var pings []string
			for i, request := range r.requests {
				if request != "POST /hook/s3cret" {
					pings = append(pings, request)
					continue
				}
				var got notification
				check(t, json.Unmarshal([]byte(r.bodies[i]), &got))
				if got.ExitCode != c.code || got.Command != "segsync "+strings.Fields(c.args)[0] || (got.Import != nil) != c.began {
					t.Errorf("told: %s", r.bodies[i])
				}
			}
			if !slices.Equal(pings, c.pings) || len(r.requests)-len(pings) != min(len(pings), 1) {
				t.Errorf("requests %q, want the pings %q", r.requests, c.pings)
			}
			if strings.Contains(p.stdout.String()+p.stderr.String(), "s3cret") {
				t.Errorf("the secret is shown:\n%s%s", p.stdout, p.stderr)
			}
		})
	}
}
