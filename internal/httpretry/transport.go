// Package httpretry is the one place that waits for a server. Its Transport
// limits the rate of requests, bounds each attempt in time and size, retries what
// may pass, and holds all callers of one API back together when that API asks for
// a pause. Nothing above it retries or waits.
package httpretry

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"segsync/internal/redact"
)

const (
	defaultAttempts = 10
	defaultMaxWait  = 5 * time.Minute
	defaultRetryFor = 30 * time.Minute
)

// AttemptsHeader is added to the answer that is returned when a request was tried
// more than once: the number of attempts.
const AttemptsHeader = "X-Attempts"

// Options are the settings of a Transport.
type Options struct {
	// API is the name of the API, for logs and errors.
	API string
	// Rate is the quota in requests per second; 0 means no limit.
	Rate float64
	// MaxWait is the longest pause asked for by the server that is waited for; a
	// longer one ends the request with a WaitError. 0 means five minutes.
	MaxWait time.Duration
	// Attempts is how often a request is sent at the most, as long as the API answers
	// other requests. 0 means ten times.
	Attempts int
	// RetryFor is how long requests are retried in an outage, in which the API gives
	// no good answer to anybody; then they end with an OutageError. 0 means 30 minutes. An API
	// that has never given a good answer is retried for at most a minute. A negative one
	// means that Attempts alone bounds every request.
	RetryFor time.Duration
	// Probe returns a cheap GET request that tells, after Attempts, whether the API
	// answers at all. Nil means that only other requests can tell.
	Probe func(context.Context) (*http.Request, error)
	// MaxBody returns how many bytes the decoded answer to a request may have; a larger
	// one is a TooLargeError. A nil function means 16 MiB.
	MaxBody func(*http.Request) int64
	// Bucket returns the server-side quota that a request counts in, or nil for none.
	// It returns the same pointer for the same quota. A nil function means none.
	Bucket func(*http.Request) *Bucket
	// Secrets are taken out of headers, bodies of error answers, and errors, in case
	// the server repeats what it was sent.
	Secrets []string
	// RedactAll takes them out of the bodies of all answers: an async action may repeat
	// what it was sent.
	RedactAll bool
	// Base sends the requests. Nil means a transport like http.DefaultTransport
	// that keeps enough idle connections for many requests at once.
	Base http.RoundTripper
	// Log gets a line for each retry and pause. Nil means none.
	Log *slog.Logger
}

// Transport is an http.RoundTripper for one API. It must be shared by all callers
// of that API.
type Transport struct {
	opts     Options
	redactor *redact.Redactor
	gate     *gate
	waits    *waits
	health   health
	probe    *probe
	held     *semaphore.Weighted // bytes of large bodies

	hurried context.Context // ended by hurry
	hurry   context.CancelFunc

	mu         sync.Mutex
	budgets    map[*Bucket]*budget
	remembered map[string]Quota // see Remember
	last       http.Header      // of the last answer

	warned atomic.Int64 // unix seconds of the last warning

	requests, retries, throttled atomic.Int64
}

// Stats counts what went over the wire.
type Stats struct {
	Requests  int64 // attempts, the first ones included
	Retries   int64 // attempts after the first
	Throttled int64 // answers 429
}

// New returns a Transport.
func New(opts Options) *Transport {
	if opts.MaxWait == 0 {
		opts.MaxWait = defaultMaxWait
	}
	if opts.Attempts == 0 {
		opts.Attempts = defaultAttempts
	}
	if opts.RetryFor == 0 {
		opts.RetryFor = defaultRetryFor
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Base == nil {
		base := http.DefaultTransport.(*http.Transport).Clone()
		base.MaxIdleConns = 0
		base.MaxIdleConnsPerHost = 512
		base.MaxResponseHeaderBytes = 64 << 10
		opts.Base = base
	}
	hurried, hurry := context.WithCancel(context.Background())
	waits := &waits{hurry: hurried.Done(), now: make(map[*Wait]struct{})}
	return &Transport{
		opts:     opts,
		redactor: redact.New(opts.Secrets...),
		gate:     &gate{pace: newPace(opts.Rate), waits: waits},
		waits:    waits,
		probe:    newProbe(),
		held:     semaphore.NewWeighted(maxHeld),
		hurried:  hurried,
		hurry:    hurry,
		budgets:  make(map[*Bucket]*budget),
	}
}

// Client returns an http.Client that uses the Transport and follows no redirect:
// Go would send custom headers, secrets among them, to the other host.
func (t *Transport) Client() *http.Client {
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Hurry ends, with what they have, the requests that wait for a retry, a pause or a quota,
// now and from now on. Those that only wait for their turn have ten seconds, and so have a
// pause or a quota that ends by then, and the retries of requests that were throttled. Those
// under way have at most 30 s.
func (t *Transport) Hurry() {
	now := time.Now()
	t.waits.hurried.CompareAndSwap(nil, &now)
	t.hurry()
}

// Stats returns the counts so far.
func (t *Transport) Stats() Stats {
	return Stats{Requests: t.requests.Load(), Retries: t.retries.Load(), Throttled: t.throttled.Load()}
}

// LastHeader returns the header of the last answer, or nil. It must not be changed.
func (t *Transport) LastHeader() http.Header {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last
}

// CloseIdleConnections closes the connections that no request is using.
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.opts.Base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// RoundTrip sends the request up to Options.Attempts times, and more often in an outage of
// the API (see Options.RetryFor): network errors, timeouts, bodies that are cut or no
// JSON, and the statuses 429, 500, 502, 503 and 504 are tried again. It returns the last
// answer, whatever its status, with its whole body read, or the error of the last
// attempt. A request with a body needs GetBody. The answer's body must be closed.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer req.Body.Close() // each attempt sends a copy
	}
	if !safe(req.URL) {
		return nil, fmt.Errorf("refusing to send secrets to %s://%s", req.URL.Scheme, req.URL.Host)
	}
	return t.persist(&call{req: req, once: t.try})
}
