package app

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
	"segsync/internal/report"
	"segsync/internal/settings"
	"segsync/internal/term"
)

const (
	notifyAttempts    = 3
	notifyTimeout     = 2 * time.Second  // of an attempt
	notifyWithin      = 10 * time.Second // all attempts
	notifyInterrupted = time.Second      // likewise, after an interrupt
)

// notifier tells others of an import: PING_URL of its start and its end, NOTIFY_URL of
// its result. Both URLs are secrets: of them, only the host is ever shown. What
// cannot be told is a warning in the log, and changes nothing else.
type notifier struct {
	to     settings.Ending
	log    *slog.Logger
	client *http.Client

	starting  sync.WaitGroup // for the start to be told
	reported  sync.Map       // settings whose receiver failed: one that does not answer is said once
	stopStart context.CancelFunc
}

// newNotifier returns a notifier that sends its requests with base; nil is the network.
func newNotifier(to settings.Ending, log *slog.Logger, base http.RoundTripper) *notifier {
	if base == nil { // one request, now and then: no connection is kept
		base = &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
	}
	var secrets []string
	for _, u := range []*url.URL{to.Notify, to.Ping} {
		if u != nil {
			secrets = append(secrets, u.String(), u.RequestURI())
		}
	}
	transport := httpretry.New(httpretry.Options{
		API: "the receiver", Attempts: notifyAttempts, MaxWait: notifyTimeout, RetryFor: -1, Secrets: secrets, Base: statusOnly{base},
	})
	return &notifier{to: to, log: log, client: transport.Client(), stopStart: func() {}}
}

// start tells that an import begins, which does not wait for that; ended must follow.
func (n *notifier) start(ctx context.Context) {
	ctx, n.stopStart = context.WithTimeout(ctx, notifyWithin)
	n.starting.Go(func() { n.ping(ctx, "start") })
}

// notifyEarly tells of an import that ended with an error before it began, such as one of the
// settings. One that another import keeps from running is no news.
func notifyEarly(out *term.Output, o *ImportOptions, err error) {
	var early *Error
	if !errors.As(err, &early) || early.Err == nil || early.Code == ExitLocked {
		return
	}
	env, _ := ReadEnv(o.Settings)                  // the file may be what is wrong: then the environment is left
	set, _ := settings.Load(env, settings.Needs{}) // other settings may be wrong
	n := report.Notification{Version: 1, Program: report.ProgramOf(Version), Command: o.Command, ExitCode: early.Code, Ended: time.Now().UTC()}
	newNotifier(set.Ending, out.Log, nil).ended(context.Background(), n)
}

// ended tells the result of the import. It takes ten seconds at most, and after an
// interrupt one. Every exit code but 0 is a failure.
//
// https://healthchecks.io/docs/http_api/
func (n *notifier) ended(ctx context.Context, what report.Notification) {
	within := notifyWithin
	if what.ExitCode == ExitInterrupted || what.ExitCode == ExitTerminated {
		within = notifyInterrupted
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	giveUp := time.AfterFunc(within/4, n.stopStart) // the start comes before the end, or not at all
	n.starting.Wait()
	giveUp.Stop()
	n.stopStart()
	var both sync.WaitGroup
	both.Go(func() {
		if what.ExitCode == ExitDone {
			n.ping(ctx)
		} else {
			n.ping(ctx, "fail")
		}
	})
	both.Go(func() { n.post(ctx, what) })
	both.Wait()
}

func (n *notifier) ping(ctx context.Context, path ...string) {
	if n.to.Ping != nil {
		n.send(ctx, "PING_URL", http.MethodGet, n.to.Ping.JoinPath(path...), nil)
	}
}

func (n *notifier) post(ctx context.Context, what report.Notification) {
	if n.to.Notify == nil {
		return
	}
	body, err := json.Marshal(what)
	if err != nil {
		n.log.Warn("the summary could not be encoded", "setting", "NOTIFY_URL", "cause", err)
		return
	}
	n.send(ctx, "NOTIFY_URL", http.MethodPost, n.to.Notify, body)
}

// send sends the request. The first failure of a receiver is a warning.
func (n *notifier) send(ctx context.Context, setting, method string, to *url.URL, body []byte) {
	err := n.request(ctx, method, to, body)
	if err == nil {
		return
	}
	if _, again := n.reported.LoadOrStore(setting, true); !again {
		n.log.Warn("the notification failed", "setting", setting, "host", to.Host, "cause", err)
	}
}

// request returns an error without the path of the URL.
func (n *notifier) request(ctx context.Context, method string, to *url.URL, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, method, to.String(), bytes.NewReader(body))
	if err != nil {
		return errors.New("it is not a URL")
	}
	req.Header.Set("User-Agent", "segsync/"+Version)
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

// Receiver is one who is told how imports end, and what came of a test.
type Receiver struct {
	Setting string
	Host    string // all of the URL that is shown
	Err     error
}

// TestReceivers sends a test to those who are told how imports end. The test says that all is well.
func TestReceivers(ctx context.Context, to settings.Ending, command string) (all []Receiver, err error) {
	ctx, cancel := context.WithTimeout(ctx, notifyWithin)
	defer cancel()
	body, err := json.Marshal(report.Notification{Version: 1, Program: report.ProgramOf(Version), Command: command, Ended: time.Now().UTC()})
	if err != nil {
		return nil, err
	}
	n := newNotifier(to, nil, nil)
	if to.Notify != nil {
		all = append(all, Receiver{"NOTIFY_URL", to.Notify.Host, n.request(ctx, http.MethodPost, to.Notify, body)})
	}
	if to.Ping != nil {
		all = append(all, Receiver{"PING_URL", to.Ping.Host, n.request(ctx, http.MethodGet, to.Ping, nil)})
	}
	return all, nil
}

// statusOnly bounds each attempt in time, and puts an empty JSON object in the place of
// the answer's body: httpretry takes nothing but JSON, and receivers answer OK, or nothing.
type statusOnly struct{ base http.RoundTripper }

func (s statusOnly) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(req.Context(), notifyTimeout)
	defer cancel()
	resp, err := s.base.RoundTrip(req.WithContext(ctx))
	if err != nil && ctx.Err() != nil && req.Context().Err() == nil {
		return nil, fmt.Errorf("no answer within %s", notifyTimeout)
	}
	if err != nil {
		return nil, err
	}
	resp.Body.Close()
	resp.Body, resp.ContentLength = io.NopCloser(strings.NewReader("{}")), 2
	return resp, nil
}
