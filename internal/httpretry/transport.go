// Package httpretry is the one place that waits for a server. Its Transport
// limits the rate of requests, bounds each attempt in time and size, retries what
// may pass, and holds all callers of one API back together when that API asks for
// a pause. Nothing above it retries or waits.
package httpretry

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	defaultAttempts = 10
	attemptTimeout  = 30 * time.Second
	maxBody         = 16 << 20
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
	// MaxWait is the longest pause asked for by the server that is sat out; a
	// longer one ends the request with a WaitError. 0 means five minutes.
	MaxWait time.Duration
	// Attempts is how often a request is sent at the most. 0 means ten times.
	Attempts int
	// Bucket returns the server-side quota that a request counts in, or nil for none.
	// It returns the same pointer for the same quota. A nil function means none.
	Bucket func(*http.Request) *Bucket
	// Secrets are taken out of the bodies of error answers and out of errors, in
	// case the server repeats what it was sent.
	Secrets []string
	// RedactAll takes them out of all answers: an async action may repeat what it was
	// sent.
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
	gate     *gate
	redacted *strings.Replacer

	mu      sync.Mutex
	budgets map[*Bucket]*budget
	last    http.Header // of the last answer

	hurry     chan struct{} // closed by Hurry
	hurryOnce sync.Once

	warned atomic.Int64 // unix seconds of the last warning

	requests, retries, throttled atomic.Int64
}

// Stats counts what went over the wire.
type Stats struct {
	Requests  int64 // attempts, the first ones included
	Retries   int64 // attempts after the first
	Throttled int64 // answers 429
}

// WaitError says that the server asks for a longer pause than Options.MaxWait.
type WaitError struct {
	API    string
	Until  time.Time // when the server may be asked again
	Status int       // of the answer that asked for the pause; 0: only the reserve is left of Quota
	Quota  string
}

func (e *WaitError) Error() string {
	if e.Status == 0 {
		return fmt.Sprintf("only the reserve is left of %s's quota %s until %s, longer than this run waits",
			e.API, e.Quota, e.Until.Format(time.RFC3339))
	}
	return fmt.Sprintf("%s answered %d and asks to wait until %s, longer than this run waits",
		e.API, e.Status, e.Until.Format(time.RFC3339))
}

// Hint says what to do about the error.
func (e *WaitError) Hint() string {
	return "continue after that time with the command below, or wait longer with --max-wait"
}

// New returns a Transport.
func New(opts Options) *Transport {
	if opts.MaxWait == 0 {
		opts.MaxWait = 5 * time.Minute
	}
	if opts.Attempts == 0 {
		opts.Attempts = defaultAttempts
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Base == nil {
		base := http.DefaultTransport.(*http.Transport).Clone()
		base.MaxIdleConns = 0
		base.MaxIdleConnsPerHost = 512
		opts.Base = base
	}
	return &Transport{
		opts:     opts,
		gate:     &gate{pace: newPace(opts.Rate)},
		redacted: newRedacted(opts.Secrets),
		budgets:  make(map[*Bucket]*budget),
		hurry:    make(chan struct{}),
	}
}

// shortestSecret is the length below which a value is no secret: taking out single letters
// would leave nothing to read.
const shortestSecret = 4

// newRedacted returns a replacer of the secrets, in the forms that they have in JSON,
// in URLs and in Basic authentication.
func newRedacted(secrets []string) *strings.Replacer {
	encode := base64.StdEncoding.EncodeToString
	var forms []string
	for _, s := range secrets {
		if len(s) < shortestSecret {
			continue
		}
		escaped, _ := json.Marshal(s) // a string always marshals
		inJSON, quoted := string(escaped), strconv.Quote(s)
		forms = append(forms, s, inJSON[1:len(inJSON)-1], quoted[1:len(quoted)-1],
			url.QueryEscape(s), url.PathEscape(s), encode([]byte(s)), encode([]byte(s+":")))
	}
	// The longest first, so that nothing is left of one that begins like another.
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, form := range forms {
		pairs = append(pairs, form, "[secret]")
	}
	return strings.NewReplacer(pairs...)
}

func (t *Transport) redact(body []byte) []byte { return []byte(t.redacted.Replace(string(body))) }

// Client returns an http.Client that uses the Transport and follows no redirect:
// Go would send custom headers, secrets among them, to the other host.
func (t *Transport) Client() *http.Client {
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// errHurried is the error of a request that would have had to wait.
var errHurried = errors.New("interrupted while waiting")

// Hurry makes requests end that wait for a retry, a pause or a quota, now and from now on,
// with what they have. Those that only wait for their turn go on.
func (t *Transport) Hurry() { t.hurryOnce.Do(func() { close(t.hurry) }) }

// sleep waits for d, or less if ctx ends or the Transport is in a hurry.
func (t *Transport) sleep(ctx context.Context, d time.Duration) error {
	return sleepUnless(ctx, d, t.hurry)
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

// RoundTrip sends the request up to Options.Attempts times: network errors, timeouts, bodies
// that are cut or no JSON, and the statuses 429, 500, 502, 503 and 504 are tried
// again. It returns the last answer, whatever its status, with its whole body read,
// or the error of the last attempt. A request with a body needs GetBody.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer req.Body.Close() // each attempt sends a copy
	}
	if !safe(req.URL) {
		return nil, fmt.Errorf("refusing to send secrets to %s://%s", req.URL.Scheme, req.URL.Host)
	}
	ctx := req.Context()
	delays := newBackoff()
	for attempt := 1; ; attempt++ {
		resp, err := t.pass(req, attempt)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !passing(resp, err) {
			return finish(resp, err, attempt)
		}
		delay, asked := t.delay(resp, delays)
		if asked > t.opts.MaxWait {
			return nil, &WaitError{API: t.opts.API, Until: time.Now().Add(asked), Status: resp.StatusCode}
		}
		if asked > 0 && t.gate.pause(time.Now().Add(asked)) {
			t.opts.Log.Info("the server asks for a pause", "api", t.opts.API, "status", resp.StatusCode,
				"wait", asked.Round(time.Millisecond).String())
		}
		if attempt >= t.opts.Attempts {
			return finish(resp, err, attempt)
		}
		t.opts.Log.Log(ctx, t.level(attempt), "trying again", "api", t.opts.API, "attempt", attempt,
			"wait", delay.Round(time.Millisecond).String(), "cause", describe(resp, err))
		if t.sleep(ctx, delay) != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return finish(resp, err, attempt)
		}
	}
}

// level makes a warning of what has failed several times, but not of many requests that
// fail together.
func (t *Transport) level(attempt int) slog.Level {
	const quietSeconds = 10
	now, last := time.Now().Unix(), t.warned.Load()
	if attempt >= 3 && now-last >= quietSeconds && t.warned.CompareAndSwap(last, now) {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// pass sends the request once, when its turn has come.
func (t *Transport) pass(req *http.Request, attempt int) (*http.Response, error) {
	budget, number := t.budget(req), 0
	if budget != nil {
		var err error
		if number, err = t.spend(req.Context(), budget); err != nil {
			return nil, err
		}
	}
	var resp *http.Response
	err := t.gate.wait(req.Context(), t.sleep)
	if err == nil {
		if attempt > 1 {
			t.retries.Add(1)
		}
		resp, err = t.try(req)
	}
	now := time.Now()
	if resp != nil {
		t.mu.Lock()
		t.last = resp.Header.Clone()
		t.mu.Unlock()
	}
	if budget != nil {
		budget.give(now, number, resp)
	}
	if resp != nil {
		if limit := t.gate.pace.observe(now, resp.StatusCode == http.StatusTooManyRequests); limit > 0 {
			t.opts.Log.Warn("requests are refused below the limit, for somebody else uses the quota too: slowing down",
				"api", t.opts.API, "limit", t.opts.Rate, "requests_per_second", math.Round(limit*10)/10)
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("no answer within %s", attemptTimeout)
	}
	return resp, err
}

// budget returns the budget that the request counts in, or nil.
func (t *Transport) budget(req *http.Request) *budget {
	if t.opts.Bucket == nil {
		return nil
	}
	bucket := t.opts.Bucket(req)
	if bucket == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.budgets[bucket]
	if b == nil {
		b = newBudget(*bucket)
		t.budgets[bucket] = b
	}
	return b
}

// try sends the request once and reads the whole answer.
func (t *Transport) try(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(req.Context(), attemptTimeout)
	defer cancel()
	once := req.WithContext(ctx)
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, fmt.Errorf("rewinding the request body: %w", err)
		}
		once.Body = body
	}
	t.requests.Add(1)
	resp, err := t.opts.Base.RoundTrip(once)
	if err != nil {
		// net/http quotes an answer that is no HTTP.
		if clean := t.redacted.Replace(err.Error()); clean != err.Error() {
			err = errors.New(clean)
		}
		return nil, err
	}
	if resp.StatusCode == http.StatusTooManyRequests {
		t.throttled.Add(1)
	}
	body, err := readBody(resp)
	if err != nil {
		return nil, fmt.Errorf("reading the answer (status %d): %w", resp.StatusCode, err)
	}
	if resp.StatusCode/100 == 2 && !json.Valid(body) {
		body = t.redact(body)
		return nil, fmt.Errorf("the answer (status %d) is not valid JSON: %q", resp.StatusCode, body[:min(len(body), 200)])
	}
	if resp.StatusCode/100 != 2 || t.opts.RedactAll {
		body = t.redact(body)
	}
	if resp.StatusCode/100 != 2 {
		for _, values := range resp.Header {
			for i, v := range values {
				values[i] = t.redacted.Replace(v)
			}
		}
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

var errTooLarge = errors.New("larger than 16 MB")

func readBody(resp *http.Response) ([]byte, error) {
	defer resp.Body.Close()
	var buf bytes.Buffer
	if n := resp.ContentLength; n > 0 && n <= maxBody {
		buf.Grow(int(n) + bytes.MinRead)
	}
	if _, err := buf.ReadFrom(io.LimitReader(resp.Body, maxBody+1)); err != nil {
		return nil, err
	}
	if buf.Len() > maxBody {
		return nil, errTooLarge
	}
	return buf.Bytes(), nil
}

// cycleQuota is Voucherify's name for the calls of a billing cycle. Nobody waits for its
// end.
const cycleQuota = "api_calls_cycle"

// passing reports whether another attempt may go better.
func passing(resp *http.Response, err error) bool {
	if err != nil {
		var wait *WaitError
		var certificate *tls.CertificateVerificationError
		return !errors.Is(err, errTooLarge) && !errors.Is(err, errHurried) && !errors.As(err, &wait) && !errors.As(err, &certificate)
	}
	if resp.Header.Get("X-Rate-Limit-Type") == cycleQuota {
		return false
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// finish makes the result of the last attempt say how many there were.
func finish(resp *http.Response, err error, attempts int) (*http.Response, error) {
	if attempts == 1 {
		return resp, err
	}
	if err != nil {
		return nil, fmt.Errorf("after %d attempts: %w", attempts, err)
	}
	resp.Header.Set(AttemptsHeader, strconv.Itoa(attempts))
	return resp, nil
}

// delay returns how long to wait before the next attempt, and how much of that was
// asked for by the server; then it concerns every caller.
func (t *Transport) delay(resp *http.Response, delays *backoff.ExponentialBackOff) (delay, asked time.Duration) {
	delay = delays.NextBackOff()
	if resp == nil {
		return delay, 0
	}
	asked = askedPause(resp, time.Now())
	if asked > 0 {
		return asked, asked
	}
	return delay, 0
}

// newBackoff returns exponential delays with full jitter: uniform between zero and
// a bound that doubles from 0.5 s to 30 s. (The randomization factor 1 spreads each
// delay between zero and twice the interval.)
func newBackoff() *backoff.ExponentialBackOff {
	return &backoff.ExponentialBackOff{
		InitialInterval:     250 * time.Millisecond,
		Multiplier:          2,
		MaxInterval:         15 * time.Second,
		RandomizationFactor: 1,
	}
}

// askedPause returns the pause that an answer asks for: by Retry-After (seconds or
// an HTTP date), or on 429 by Voucherify's X-Rate-Limit-Retry (unix seconds).
// 0 means that it asks for none.
//
// https://docs.voucherify.io/guides/limits
func askedPause(resp *http.Response, now time.Time) time.Duration {
	if v := resp.Header.Get("Retry-After"); v != "" {
		if seconds, err := strconv.ParseFloat(v, 64); err == nil {
			return boundedSeconds(seconds)
		}
		if at, err := http.ParseTime(v); err == nil {
			return max(at.Sub(now), 0)
		}
	}
	if resp.StatusCode == http.StatusTooManyRequests {
		return max(retryTime(resp, now).Sub(now), 0)
	}
	return 0
}

// boundedSeconds converts seconds to a duration; what no clock can hold becomes a
// year.
func boundedSeconds(s float64) time.Duration {
	const year = 365 * 24 * time.Hour
	if !(s > 0) { // NaN too
		return 0
	}
	if s > year.Seconds() {
		return year
	}
	return time.Duration(s * float64(time.Second))
}

func describe(resp *http.Response, err error) string {
	if err != nil {
		return err.Error()
	}
	return resp.Status
}
