package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"segsync/internal/httpretry"
)

const (
	tellAttempts = 3
	tellTimeout  = 2 * time.Second  // of an attempt
	tellWithin   = 10 * time.Second // all attempts
	tellHurried  = time.Second      // likewise, after an interrupt
)

// notifier tells others of an import: PING_URL of its start and its end, NOTIFY_URL of
// what became of it. Both URLs are secrets: of them, only the host is ever shown. What
// cannot be told is a warning in the log, and changes nothing else.
type notifier struct {
	to     endingSettings
	log    *slog.Logger
	client *http.Client

	starting  sync.WaitGroup // for the start to be told
	stopStart context.CancelFunc
}

// newNotifier returns a notifier that sends its requests with base; nil is the network.
func newNotifier(to endingSettings, log *slog.Logger, base http.RoundTripper) *notifier {
	if base == nil { // one request, now and then: no connection is kept
		base = &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
	}
	var secrets []string
	for _, u := range []*url.URL{to.notify, to.ping} {
		if u != nil {
			secrets = append(secrets, u.String(), u.RequestURI())
		}
	}
	transport := httpretry.New(httpretry.Options{
		API: "the receiver", Attempts: tellAttempts, MaxWait: tellTimeout, RetryFor: -1, Secrets: secrets, Base: statusOnly{base},
	})
	return &notifier{to: to, log: log, client: transport.Client(), stopStart: func() {}}
}

// start tells that an import begins, which does not wait for that; ended must follow.
func (n *notifier) start(ctx context.Context) {
	ctx, n.stopStart = context.WithTimeout(ctx, tellWithin)
	n.starting.Go(func() { n.ping(ctx, "start") })
}

// tellEarly tells of an import that ended with an error before it began, such as one of the
// settings. One that another import keeps from running is no news.
func (s *session) tellEarly(err error) {
	var early *exitError
	if !errors.As(err, &early) || early.err == nil || early.code == exitLocked {
		return
	}
	file, _ := s.run.settings.readEnvFile(s.flags) // it may be what is wrong: then the environment is left
	set := new(settings)
	set.load(set.endingRows(), needs{}, lookupIn(file)) // likewise
	what := notification{Version: 1, Program: programOf(), Command: s.command, ExitCode: early.code, Ended: time.Now().UTC()}
	newNotifier(set.ending, s.tell.log, nil).ended(context.Background(), what)
}

// ended tells what became of the import. It takes ten seconds at most, and after an
// interrupt one. Every exit code but 0 is a failure.
//
// https://healthchecks.io/docs/http_api/
func (n *notifier) ended(ctx context.Context, what notification) {
	within := tellWithin
	if what.ExitCode == exitInterrupted || what.ExitCode == exitTerminated {
		within = tellHurried
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	patience := time.AfterFunc(within/4, n.stopStart) // the start comes before the end, or not at all
	n.starting.Wait()
	patience.Stop()
	n.stopStart()
	var both sync.WaitGroup
	both.Go(func() {
		if what.ExitCode == exitDone {
			n.ping(ctx)
		} else {
			n.ping(ctx, "fail")
		}
	})
	both.Go(func() { n.post(ctx, what) })
	both.Wait()
}

func (n *notifier) ping(ctx context.Context, path ...string) {
	if n.to.ping != nil {
		n.tell(ctx, "PING_URL", http.MethodGet, n.to.ping.JoinPath(path...), nil)
	}
}

func (n *notifier) post(ctx context.Context, what notification) {
	if n.to.notify == nil {
		return
	}
	body, err := json.Marshal(what)
	if err != nil {
		n.log.Warn("the summary is no JSON", aboutSetting, "NOTIFY_URL", "cause", err)
		return
	}
	n.tell(ctx, "NOTIFY_URL", http.MethodPost, n.to.notify, body)
}

// tell sends the request, and says in the log if nobody took it.
func (n *notifier) tell(ctx context.Context, setting, method string, to *url.URL, body []byte) {
	if err := n.send(ctx, method, to, body); err != nil {
		n.log.Warn("nobody was told of this import: the receiver did not take it", aboutSetting, setting, "host", to.Host, "cause", err)
	}
}

// send returns an error without the path of the URL.
func (n *notifier) send(ctx context.Context, method string, to *url.URL, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, method, to.String(), bytes.NewReader(body))
	if err != nil {
		return errors.New("it is not a URL")
	}
	req.Header.Set("User-Agent", "segsync/"+buildVersion())
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := n.client.Do(req)
	var withURL *url.Error
	switch {
	case ctx.Err() != nil:
		return errors.New("no answer in time")
	case errors.As(err, &withURL):
		return withURL.Err
	case err != nil:
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("it answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	return nil
}

// statusOnly bounds each attempt in time, and puts an empty JSON object in the place of
// the answer's body: httpretry takes nothing but JSON, and receivers answer OK, or nothing.
type statusOnly struct{ base http.RoundTripper }

func (s statusOnly) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(req.Context(), tellTimeout)
	defer cancel()
	resp, err := s.base.RoundTrip(req.WithContext(ctx))
	if err != nil && ctx.Err() != nil && req.Context().Err() == nil {
		return nil, fmt.Errorf("no answer within %s", tellTimeout)
	}
	if err != nil {
		return nil, err
	}
	resp.Body.Close()
	resp.Body, resp.ContentLength = io.NopCloser(strings.NewReader("{}")), 2
	return resp, nil
}

// notification is what NOTIFY_URL is sent: the summary without all that may be about a
// person or this machine, such as errors, positions, commands and files.
type notification struct {
	Version  int              `json:"version"` // of this format
	Program  programVersion   `json:"program"`
	Command  string           `json:"command"`
	ExitCode int              `json:"exit_code"`
	Ended    time.Time        `json:"ended"`
	Import   *notifiedSummary `json:"import"` // null: it ended before it began
}

// notifiedSummary is what a notification has of a summary.
type notifiedSummary struct {
	Space    string          `json:"space"`
	DryRun   bool            `json:"dry_run"`
	Started  time.Time       `json:"started"` // the import, not this run of it
	Began    time.Time       `json:"began"`   // this run
	Seconds  float64         `json:"seconds"` // of this run
	Finished bool            `json:"finished"`
	Counts   summaryCounts   `json:"counts"`
	AddsUp   bool            `json:"adds_up"`
	Requests summaryRequests `json:"requests"`
}

// notificationOf returns what may be told of the summary.
func notificationOf(sum summary) notification {
	return notification{
		Version: 1, Program: sum.Program, Command: sum.Command, ExitCode: sum.ExitCode, Ended: sum.Ended,
		Import: &notifiedSummary{
			Space: sum.Settings.Space, DryRun: sum.Settings.DryRun, Started: sum.Started, Began: sum.Began, Seconds: sum.Seconds,
			Finished: sum.Finished, Counts: sum.Counts, AddsUp: sum.AddsUp, Requests: sum.Requests,
		},
	}
}
