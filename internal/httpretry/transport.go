// Package httpretry is the one place that waits for a server. Its Transport is a chain of
// small http.RoundTrippers:
//
//	retry  sends a request again while that can help
//	quota  keeps a reserve of what the server counts by the minute or by the hour
//	pace   keeps the rate of requests, and the pauses that the server asks for
//	guard  bounds one attempt in time and size, checks its answer, and removes secrets
//
// Nothing above it retries or waits.
package httpretry

import (
	"cmp"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"segsync/internal/redact"
)

// Options are the settings of a Transport.
type Options struct {
	API         string  // name, for logs and errors
	Rate        float64 // requests per second; 0: no limit
	RateSetting string  // the setting that Rate comes from, for a warning
	RateScope   string  // what Rate is counted for, such as "space"; likewise

	// Attempts is how often a request is sent at most while others get good answers; 0: ten.
	Attempts int
	// RetryFor is how long a request is retried while nobody gets a good answer, then it ends
	// with an OutageError. 0: 30 minutes; at most one for an API that never gave a good
	// answer. If it is negative, Attempts alone counts.
	RetryFor time.Duration
	// MaxWait is the longest pause asked for by the server that is waited for; a longer one
	// ends the request with a WaitError. 0: five minutes.
	MaxWait time.Duration
	// MaxBody returns how many bytes the decoded answer to a request may have; a larger one
	// is a TooLargeError. A nil function: 16 MiB.
	MaxBody func(*http.Request) int64

	// Compact keeps the bodies of answers compressed in memory. Those of good answers are then io.Seekers,
	// which can be read again from their start.
	Compact bool

	// Quota returns the name of the quota that a request counts in, "" for none, and the
	// documented length of its period. A nil function: no quotas.
	Quota func(*http.Request) (name string, period time.Duration)
	// ReadQuota returns what an answer says of its quota: its size, what is left, and when
	// its period ends, zero for unknown. ok is false if size and rest make no sense.
	ReadQuota func(http.Header) (limit, remaining int, resets time.Time, ok bool)
	// Reserve is the share of each quota that is left to others, from 0 to 1.
	Reserve float64
	// IsFinal reports that another attempt does not help against an answer that is otherwise tried again, such as 429.
	// It may read the body, if that can be read again afterwards. It may be nil.
	IsFinal func(*http.Response) bool

	Secrets   []string          // removed from headers, error bodies and errors
	RedactAll bool              // removes them from the bodies of all answers
	Base      http.RoundTripper // sends the requests; nil: one like http.DefaultTransport
	Log       *slog.Logger      // gets a line for each retry and pause; nil: none
}

func (o *Options) setDefaults() {
	o.Attempts = cmp.Or(o.Attempts, 10)
	o.RetryFor = cmp.Or(o.RetryFor, 30*time.Minute)
	o.MaxWait = cmp.Or(o.MaxWait, 5*time.Minute)
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	if o.MaxBody == nil {
		o.MaxBody = func(*http.Request) int64 { return 16 << 20 }
	}
	if o.Quota == nil {
		o.Quota = func(*http.Request) (string, time.Duration) { return "", 0 }
	}
	if o.ReadQuota == nil {
		o.ReadQuota = func(http.Header) (int, int, time.Time, bool) { return 0, 0, time.Time{}, false }
	}
	if o.Base == nil {
		base := http.DefaultTransport.(*http.Transport).Clone()
		base.MaxIdleConns, base.MaxIdleConnsPerHost = 0, 512 // many requests at once
		base.MaxResponseHeaderBytes = 64 << 10
		base.Protocols = new(http.Protocols)
		base.Protocols.SetHTTP1(true) // what the tests use; releases are built without HTTP/2, which is 0.5 MB
		o.Base = base
	}
}

// Transport is an http.RoundTripper for one API. It must be shared by all callers of that
// API.
type Transport struct {
	opts     Options
	redactor *redact.Redactor
	waits    *waits
	lastGood lastGood
	pacer    *pacer
	governor *governor
	chain    http.RoundTripper

	lastHeader                   atomic.Pointer[http.Header]
	lastWarning                  atomic.Int64 // unix seconds
	requests, retries, throttled atomic.Int64
}

// Stats counts requests.
type Stats struct {
	Requests  int64 // attempts, the first ones included
	Retries   int64 // attempts after the first
	Throttled int64 // answers 429
}

// New returns a Transport.
func New(opts Options) *Transport {
	opts.setDefaults()
	t := &Transport{opts: opts, redactor: redact.New(opts.Secrets...), waits: newWaits()}
	t.pacer = newPacer(&t.opts, t.waits)
	t.governor = newGovernor(&t.opts, t.waits)
	t.chain = t.newChain(&guard{t, t.redactor})
	return t
}

func (t *Transport) newChain(last http.RoundTripper) *retry {
	return &retry{
		Transport: t, attempts: t.opts.Attempts, retryFor: t.opts.RetryFor,
		next: &quotaLink{t.governor, &paceLink{t.pacer, last}},
	}
}

// RoundTrip sends the request, and sends it again while that can help: after network errors,
// timeouts, bodies that are cut or not JSON, and the statuses 429, 500, 502, 503 and 504.
// It returns the last answer, of any status, with its whole body in memory, or the
// error of the last attempt. A request with a body needs GetBody. When the request's
// context ends, the error is the cause of that.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer req.Body.Close() // each attempt sends a copy
	}
	return t.chain.RoundTrip(req)
}

// Client returns an http.Client that uses the Transport and follows no redirect: Go would
// send custom headers, secrets among them, to the other host.
func (t *Transport) Client() *http.Client {
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Stats returns the counts so far.
func (t *Transport) Stats() Stats {
	return Stats{Requests: t.requests.Load(), Retries: t.retries.Load(), Throttled: t.throttled.Load()}
}

// LastHeader returns the header of the last answer, or nil. It must not be changed.
func (t *Transport) LastHeader() http.Header {
	if h := t.lastHeader.Load(); h != nil {
		return *h
	}
	return nil
}

// CloseIdleConnections closes the connections that no request is using.
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.opts.Base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
