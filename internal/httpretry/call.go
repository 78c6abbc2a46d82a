package httpretry

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// call is one request with all its attempts.
type call struct {
	req  *http.Request
	once func(*call) (*http.Response, error) // makes an attempt

	probe bool // it is a probe, and has less time

	began    time.Time // when the first attempt was sent
	since    time.Time // when the last pause began, else began
	attempts int
	allowed  int // attempts while the API answers other requests
	timeouts int // attempts that ran out of time
	delays   *backoff.ExponentialBackOff

	outage  bool // it failed while the API answered nobody
	renewed bool // there were more attempts after an outage

	resp *http.Response // of the last attempt
	err  error
}

// persist makes attempts until the answer is final, and returns the last answer or error.
func (t *Transport) persist(c *call) (*http.Response, error) {
	ctx := c.req.Context()
	c.allowed, c.delays = t.opts.Attempts, newBackoff()
	for {
		send := !c.doubtful() && (c.attempts == 0 || t.health.trial(time.Now()))
		if send {
			resp, err := t.pass(c)
			switch {
			case ctx.Err() != nil:
				if resp != nil {
					resp.Body.Close() // nobody else will
				}
				return nil, ctx.Err()
			case errors.Is(err, ErrInterrupted) && c.attempts > 0:
				return c.result()
			}
			c.record(resp, err)
			if !passing(resp, err) {
				return c.result()
			}
		}
		delay, asked, err := t.delay(c, send)
		if err != nil {
			return nil, err
		}
		if ended, err := t.ended(c, delay, asked); ended {
			if err != nil {
				return nil, err
			}
			return c.result()
		}
		if send {
			t.opts.Log.Log(ctx, t.level(c), "trying again", "api", t.opts.API, "attempt", c.attempts,
				"wait", delay.Round(time.Millisecond).String(), "cause", c.describe())
		}
		shown := t.shown(c, delay, asked)
		c.since = time.Now()
		if t.waits.sleep(ctx, delay, shown, c.grace()) != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return c.result()
		}
	}
}

// shortPause is the longest pause that is not told to people: it passes while they read.
const shortPause = 2 * time.Second

// delay returns how long to wait before the next attempt, and whether the server asked
// for that in its answer; then it holds every request back. A call that was not sent looks
// again soon.
func (t *Transport) delay(c *call, sent bool) (delay time.Duration, asked bool, err error) {
	if !sent {
		return rand.N(2 * trialEvery), false, nil
	}
	delay = c.delays.NextBackOff()
	if c.resp == nil {
		return delay, false, nil
	}
	now := time.Now()
	pause := askedPause(c.resp, now)
	switch {
	case pause == 0:
		return delay, false, nil
	case pause > t.opts.MaxWait:
		return 0, false, &WaitError{API: t.opts.API, Until: now.Add(pause), Status: c.resp.StatusCode}
	}
	t.health.recordPause()
	if t.gate.pause(now, now.Add(pause)) {
		level := slog.LevelInfo
		if pause <= shortPause {
			level = slog.LevelDebug
		}
		t.opts.Log.Log(c.req.Context(), level, "the server asks for a pause", "api", t.opts.API, "status", c.resp.StatusCode,
			"wait", pause.Round(time.Millisecond).String())
	}
	return pause, true, nil
}

// ended reports whether a failed attempt was the last one. If so, a nil error means that
// the call ends with the result of that attempt.
//
// What is next depends on whether the API answers others, on whether the attempts are used
// up, and on whether the time is, which is Options.RetryFor and patience in an outage:
//
//	API      attempts  time  next
//	answers  left      left  another attempt
//	answers  left      over  the end; another attempt if it is the second one, if the server
//	                         asked for the pause before it, or if an outage took the time
//	answers  used      any   the end; after an outage, once, as many attempts as at first
//	silent   left      left  another attempt
//	silent   left      over  OutageError; another attempt if the server asked for the pause
//	silent   used      left  another attempt: this is an outage
//	silent   used      over  OutageError
//
// When many requests fail the probe is asked at once. In an outage that it knows of, most of
// them are not sent, and come here again and again until they end or the API is back.
//
// A POST that may have been applied is not sent again: in an outage it waits for the API,
// and then ends with a TimeoutError. With a negative Options.RetryFor only the attempts count.
func (t *Transport) ended(c *call, delay time.Duration, asked bool) (bool, error) {
	if t.opts.RetryFor < 0 {
		if c.doubtful() {
			return true, t.timeoutError(c)
		}
		return c.used(), nil
	}
	takes := time.Since(c.began) + delay // up to the next attempt
	over := takes > t.patience(c)
	known, suspected := t.health.outage()
	answers := t.answered(c) || (c.used() || over || suspected && !asked) && t.probeGood(c.req.Context(), c.since)
	switch {
	case c.doubtful() && (answers || t.opts.Probe == nil):
		return true, t.timeoutError(c)
	case answers:
		return t.endedAlone(c, takes > t.opts.RetryFor && !asked), nil
	}
	c.outage = c.outage || c.used() || known
	if waits := asked && !c.used(); over && !waits { // a pause is bounded by MaxWait
		return true, t.outageError(c)
	}
	return false, nil
}

// endedAlone is ended for a call that fails while the API answers others. late says that
// its time is over.
func (t *Transport) endedAlone(c *call, late bool) bool {
	switch {
	case c.used() && c.outage && !c.renewed:
		c.renew(time.Now(), t.opts.Attempts)
		return false
	case c.used():
		return true
	}
	return late && c.attempts > 1 && !c.outage
}

// answered reports whether the API has given other requests a good answer. Where the probe
// can tell, only one since the last pause counts: at the beginning of an outage, requests
// that were sent together with this one still have good answers.
func (t *Transport) answered(c *call) bool {
	if t.opts.Probe == nil {
		return t.health.goodSince(c.began)
	}
	return t.health.goodSince(c.since)
}

// patience returns how long an outage may last, from the first attempt of the call.
func (t *Transport) patience(c *call) time.Duration {
	switch {
	case !t.health.never():
		return t.opts.RetryFor
	case t.opts.Probe != nil:
		return min(t.opts.RetryFor, neverFor-probeTimeout+upload(c.req))
	}
	return min(t.opts.RetryFor, neverFor+upload(c.req))
}

func (t *Transport) timeoutError(c *call) error {
	late, _ := errors.AsType[*lateError](c.err)
	return &TimeoutError{API: t.opts.API, After: late.after, Bytes: int(c.req.ContentLength), Attempts: c.attempts}
}

func (t *Transport) outageError(c *call) error {
	err := c.err
	if c.resp != nil {
		body, _ := io.ReadAll(io.LimitReader(c.resp.Body, 200))
		c.resp.Body.Close()
		err = errors.New(summary(c.resp.StatusCode, string(body)))
	}
	since := t.health.failing()
	if since.IsZero() {
		since = c.began
	}
	return &OutageError{API: t.opts.API, Since: since, Attempts: c.attempts, Never: t.health.never(), Err: err}
}

// shown returns what Waiting tells of the pause before the next attempt; nil: nothing.
func (t *Transport) shown(c *call, delay time.Duration, asked bool) *Wait {
	now := time.Now()
	switch {
	case asked:
		since, until := t.gate.paused()
		return &Wait{Reason: WaitPause, Since: since, Until: until}
	case t.answered(c):
		return nil
	}
	return &Wait{Reason: WaitOutage, Attempt: c.attempts, Since: t.health.failing(), Until: now.Add(delay)}
}

// level makes a warning of the second failure in an outage, and of the third one of a
// request where others have answers, but not of many requests that fail together.
func (t *Transport) level(c *call) slog.Level {
	const quietSeconds = 10
	now, last := time.Now().Unix(), t.warned.Load()
	many := c.attempts >= 3 || c.attempts == 2 && !t.answered(c)
	if many && now-last >= quietSeconds && t.warned.CompareAndSwap(last, now) {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// doubtful reports whether the request may have been applied although it was never
// answered. It is not sent again.
func (c *call) doubtful() bool { return c.req.Method == http.MethodPost && c.timeouts >= 2 }

// used reports whether there are no attempts left while the API answers other requests.
func (c *call) used() bool { return c.attempts >= c.allowed || c.doubtful() }

func (c *call) record(resp *http.Response, err error) {
	c.attempts++
	c.resp, c.err = resp, err
	if _, late := errors.AsType[*lateError](err); late {
		c.timeouts++
	}
}

// grace is how long after Hurry the call is still retried: one that was throttled is to be
// finished, an outage is not waited for.
func (c *call) grace() time.Duration {
	if c.resp != nil && c.resp.StatusCode == http.StatusTooManyRequests {
		return turnGrace
	}
	return 0
}

// renew gives the call as many attempts as a new one has: those during an outage say
// nothing about the request.
func (c *call) renew(now time.Time, attempts int) {
	c.outage, c.renewed = false, true
	c.allowed = c.attempts + attempts
	c.began, c.since = now, now
}

// result returns the last answer or error, which says how many attempts there were.
func (c *call) result() (*http.Response, error) {
	if c.attempts == 1 {
		return c.resp, c.err
	}
	if c.err != nil {
		return nil, fmt.Errorf("after %d attempts: %w", c.attempts, c.err)
	}
	c.resp.Header.Set(AttemptsHeader, strconv.Itoa(c.attempts))
	return c.resp, nil
}

func (c *call) describe() string {
	if c.err != nil {
		return c.err.Error()
	}
	return c.resp.Status
}

// pass makes one attempt, when its turn has come.
func (t *Transport) pass(c *call) (*http.Response, error) {
	ctx := c.req.Context()
	budget, number := t.budget(c.req), 0
	if budget != nil {
		var err error
		if number, err = t.spend(ctx, budget); err != nil {
			return nil, err
		}
	}
	if err := t.gate.wait(ctx); err != nil {
		if budget != nil {
			budget.give(time.Now(), number, nil)
		}
		return nil, err
	}
	sent := time.Now()
	if c.began.IsZero() {
		c.began, c.since = sent, sent
	}
	if c.attempts > 0 {
		t.retries.Add(1)
	}
	resp, err := c.once(c)
	now := time.Now()
	if budget != nil {
		budget.give(now, number, resp)
	}
	if good := isGood(resp, err); good || ctx.Err() == nil {
		t.health.record(sent, now, good)
	}
	if resp != nil {
		t.observe(now, resp)
	}
	return resp, err
}

// observe takes note of an answer's header and of the pace that the server accepts.
func (t *Transport) observe(now time.Time, resp *http.Response) {
	t.mu.Lock()
	t.last = resp.Header.Clone()
	t.mu.Unlock()
	if limit := t.gate.pace.observe(now, resp.StatusCode == http.StatusTooManyRequests); limit > 0 {
		t.opts.Log.Warn("requests are refused below the limit: slowing down; does somebody else use the quota?",
			"api", t.opts.API, "limit", t.opts.Rate, "requests_per_second", math.Round(limit*10)/10)
	}
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
		b.recall(t.remembered[bucket.Name], time.Now())
		t.budgets[bucket] = b
	}
	return b
}

// cycleQuota is Voucherify's name for the calls of a billing cycle. Nobody waits for its
// end.
const cycleQuota = "api_calls_cycle"

// passing reports whether another attempt may go better.
func passing(resp *http.Response, err error) bool {
	if err != nil {
		return !permanent(err)
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
