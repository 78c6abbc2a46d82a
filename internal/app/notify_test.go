package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"segsync/importer/journal"
	"segsync/importer/outcome"
	"segsync/internal/report"
	"segsync/internal/sandboxtest"
	"segsync/internal/settings"
)

// at returns the URL of a path of the receiver.
func at(r *sandboxtest.Receiver, path string) *url.URL {
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
		{ExitDone, "/secret", []string{"GET /secret/start", "GET /secret"}},
		{ExitNotImported, "/secret/", []string{"GET /secret/start", "GET /secret/fail"}},
		{ExitTerminated, "/secret?a=b", []string{"GET /secret/start?a=b", "GET /secret/fail?a=b"}},
	} {
		r := sandboxtest.NewReceiver(t, http.StatusOK)
		var log bytes.Buffer
		n := newNotifier(settings.Ending{Ping: at(r, c.path)}, slog.New(slog.NewTextHandler(&log, nil)), nil)
		n.start(t.Context())
		n.ended(t.Context(), report.Notification{ExitCode: c.code})
		if !slices.Equal(r.Requests, c.want) || log.Len() > 0 {
			t.Errorf("exit code %d: %q, want %q; log: %s", c.code, r.Requests, c.want, &log)
		}
	}
}

// The counts are posted, and nothing that may be about a person.
func TestNotification(t *testing.T) {
	t.Parallel()
	r := sandboxtest.NewReceiver(t, http.StatusNoContent)
	j, _, err := journal.Open(journal.NewNames(t.TempDir(), ""), journal.Start{Identity: journal.Identity{Space: "spa_1", Identifier: "user_id"}})
	if err == nil {
		page := journal.Page{Entries: []journal.Entry{{SegmentID: "use_1", Outcome: outcome.Confirmed}}}
		err = errors.Join(j.Start(), j.AddPage(page), j.Save(), j.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	state := j.State()
	sum := report.Summary{
		Version: 1, Command: "segsync import", ExitCode: 1, Ended: time.Date(2026, 11, 1, 2, 0, 0, 0, time.UTC),
		Error: "reading use_private", Hints: []string{"private hint"}, Offset: "use_private",
		Continue: "segsync import --profiles-from private.csv", Files: report.Files{Warnings: "/home/private/warnings.csv"},
		Counts: report.Counts{State: state}, Settings: report.Settings{Identity: state.Identity, MappingFile: "private.yaml"},
	}
	newNotifier(settings.Ending{Notify: at(r, "/hook")}, slog.New(slog.DiscardHandler), nil).ended(t.Context(), report.NotificationOf(&sum))
	if !slices.Equal(r.Requests, []string{"POST /hook"}) {
		t.Fatalf("requests: %q", r.Requests)
	}
	var got struct {
		ExitCode int       `json:"exit_code"`
		Ended    time.Time `json:"ended"`
		Import   struct {
			Space  string         `json:"space"`
			Counts map[string]any `json:"counts"`
		} `json:"import"`
	}
	if err := json.Unmarshal([]byte(r.Bodies[0]), &got); err != nil {
		t.Fatal(err)
	}
	if got.ExitCode != 1 || !got.Ended.Equal(sum.Ended) || got.Import.Space != "spa_1" || got.Import.Counts["read"] != 1.0 {
		t.Errorf("body: %s", r.Bodies[0])
	}
	if strings.Contains(r.Bodies[0], "private") {
		t.Errorf("the body has what is private: %s", r.Bodies[0])
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
			r := sandboxtest.NewReceiver(t, c.statuses...)
			var log bytes.Buffer
			newNotifier(settings.Ending{Ping: at(r, "/s3cret-path")}, slog.New(slog.NewTextHandler(&log, nil)), nil).
				ended(t.Context(), report.Notification{})
			if len(r.Requests) != c.attempts {
				t.Errorf("%d attempts, want %d", len(r.Requests), c.attempts)
			}
			if strings.Contains(log.String(), "s3cret") || !strings.Contains(log.String(), c.log) || (c.log == "") != (log.Len() == 0) {
				t.Errorf("log: %s", &log)
			}
			if want := "setting=PING_URL host=" + at(r, "").Host; c.log != "" && !strings.Contains(log.String(), want) {
				t.Errorf("the log lacks %q: %s", want, &log)
			}
		})
	}
}

// An address that nobody listens at is no secret, what follows it is. That the start and the
// end could not be told is said once.
func TestNobodyReceives(t *testing.T) {
	t.Parallel()
	r := sandboxtest.NewReceiver(t, 200)
	to := at(r, "/s3cret-path")
	r.Close()
	var log bytes.Buffer
	n := newNotifier(settings.Ending{Notify: to, Ping: to}, slog.New(slog.NewTextHandler(&log, nil)), nil)
	n.start(t.Context())
	n.starting.Wait()
	n.ended(t.Context(), report.Notification{})
	if strings.Contains(log.String(), "s3cret") || strings.Count(log.String(), "refused") != 2 ||
		strings.Count(log.String(), "PING_URL") != 1 {
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
		n := newNotifier(settings.Ending{Ping: to}, slog.New(slog.NewTextHandler(&log, nil)), silent{})
		began := time.Now()
		n.start(t.Context())
		if took := time.Since(began); took > 0 {
			t.Errorf("the import waits %s for its start to be told", took)
		}
		n.ended(t.Context(), report.Notification{ExitCode: ExitInterrupted})
		if took := time.Since(began); took > time.Second {
			t.Errorf("after an interrupt it took %s, more than a second", took)
		}
	})
}

// A receiver that does not answer holds nobody up.
func TestReceiverIsSilent(t *testing.T) {
	for code, limit := range map[int]time.Duration{ExitDone: 10 * time.Second, ExitInterrupted: time.Second} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			to := &url.URL{Scheme: "https", Host: "example.com", Path: "/s3cret-path"}
			began := time.Now()
			newNotifier(settings.Ending{Notify: to, Ping: to}, slog.New(slog.NewTextHandler(&log, nil)), silent{}).
				ended(t.Context(), report.Notification{ExitCode: code})
			if took := time.Since(began); took > limit {
				t.Errorf("exit code %d: it took %s, more than %s", code, took, limit)
			}
			if strings.Contains(log.String(), "s3cret") || strings.Count(log.String(), "no answer") != 2 {
				t.Errorf("log: %s", &log)
			}
		})
	}
}
