package httpretry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// AttemptsHeader is added to an answer whose status came more than once before the request
// ended: how often.
const AttemptsHeader = "X-Attempts"

const (
	// maxUnanswered is how long an API is retried that has not given one good answer: a
	// wrong host must not keep anybody waiting.
	maxUnanswered = time.Minute
	// shortPause is the longest pause that is not told to people: it passes while they read.
	shortPause = 2 * time.Second
)

// lastGood is when the last request with a good answer was sent. An answer that is still under way
// when an outage begins does not hide the outage.
type lastGood struct{ nanos atomic.Int64 }

func (g *lastGood) record(sent time.Time) {
	g.nanos.Store(max(g.nanos.Load(), sent.UnixNano())) // at worst an earlier one wins
}

func (g *lastGood) after(t time.Time) bool { return g.nanos.Load() > t.UnixNano() }
func (g *lastGood) never() bool            { return g.nanos.Load() == 0 }

// retry sends a request again while that can help. Attempts are made in rounds of ten. If
// others had a good answer during a round, the request itself is at fault, and the call ends
// with the round. If nobody had one, the API has an outage, in which rounds follow each
// other for retryFor.
type retry struct {
	*Transport
	attempts int
	retryFor time.Duration
	next     http.RoundTripper
}

// call is one request with all its attempts.
type call struct {
	req            *http.Request
	began          time.Time // about when the first failed attempt was sent
	round          time.Time // when the first attempt of this round failed
	inRound        int       // failed attempts of this round
	othersAnswered bool      // others had a good answer in this round, before the last attempt
	attempts       int
	timeouts       int         // attempts that ran out of time
	statuses       map[int]int // how often each status was answered

	resp *http.Response // of the last attempt
	err  error
}

func (r *retry) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	c := &call{req: req, statuses: make(map[int]int)}
	delays := newBackoff()
	for {
		sent := time.Now()
		c.othersAnswered = c.inRound > 0 && r.lastGood.after(c.round)
		resp, err := r.next.RoundTrip(req)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if isGood(resp, err) {
			r.lastGood.record(sent)
		}
		now := time.Now()
		c.record(now, resp, err)
		if c.attempts > 1 {
			r.retries.Add(1)
		}
		if !r.isTransient(resp, err) {
			return c.result()
		}
		delay, pause := delays.NextBackOff(), r.askedPause(c.resp, now)
		switch {
		case pause > r.opts.MaxWait:
			late := &WaitError{API: r.opts.API, Until: now.Add(pause), Status: c.resp.StatusCode}
			if late.Status == http.StatusTooManyRequests {
				late.Quota, _ = r.opts.Quota(req)
			}
			return nil, late
		case pause > 0:
			delay = pause
			r.pause(c, now, pause)
		}
		if ended, err := r.end(c, now.Add(delay), pause > 0); err != nil {
			return nil, err
		} else if ended {
			return c.result()
		}
		r.opts.Log.Log(ctx, r.level(c), "trying again", "api", r.opts.API, "attempt", c.attempts,
			"wait", delay.Round(time.Millisecond).String(), "cause", c.cause(false).Error())
		if pause > 0 {
			continue // the pacer holds the next attempt back
		}
		wait := &Wait{Reason: WaitOutage, Attempt: c.attempts, Since: c.began, Until: now.Add(delay)}
		if err := r.waits.sleep(ctx, wait.Until, wait); err != nil { // shown in an outage
			return nil, err
		}
	}
}

// end reports whether a failed attempt was the last one. If so, a nil error means that the
// call ends with the result of that attempt.
func (r *retry) end(c *call, next time.Time, pauseAsked bool) (bool, error) {
	roundOver := c.inRound >= r.attempts
	switch {
	case c.maybeApplied():
		late, _ := errors.AsType[*lateError](c.err) // this attempt was the second one
		return true, &TimeoutError{API: r.opts.API, After: late.after, Bytes: int(c.req.ContentLength), Attempts: c.attempts}
	case r.retryFor < 0, c.othersAnswered:
		return roundOver, nil
	case r.lastGood.after(c.round): // an outage ended meanwhile
		return false, nil
	case pauseAsked && !roundOver: // bounded by MaxWait
		return false, nil
	}
	outageTimeout, never := r.retryFor, r.lastGood.never()
	if never {
		outageTimeout = min(outageTimeout, maxUnanswered+uploadTime(c.req))
	}
	if next.Sub(c.began) > outageTimeout {
		outage := &OutageError{API: r.opts.API, Since: c.began, Attempts: c.attempts, Never: never, Err: c.cause(true)}
		if c.resp != nil {
			outage.Status = c.resp.StatusCode
		}
		return true, outage
	}
	if roundOver {
		c.inRound, c.round = 0, time.Time{}
	}
	return false, nil
}

// pause holds all requests back.
func (r *retry) pause(c *call, now time.Time, pause time.Duration) {
	if !r.pacer.pause(now, now.Add(pause)) {
		return
	}
	level := slog.LevelInfo
	if pause <= shortPause {
		level = slog.LevelDebug
	}
	r.opts.Log.Log(c.req.Context(), level, "the server asks for a pause", "api", r.opts.API, "status", c.resp.StatusCode,
		"wait", pause.Round(time.Millisecond).String())
}

// level makes a warning of the second failure in an outage, and of the third one of a
// request where others have answers, but not of many requests that fail together.
func (r *retry) level(c *call) slog.Level {
	const quietSeconds = 10
	now, last := time.Now().Unix(), r.lastWarning.Load()
	isMany := c.attempts >= 3 || c.attempts == 2 && !r.lastGood.after(c.began)
	if isMany && now-last >= quietSeconds && r.lastWarning.CompareAndSwap(last, now) {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// isTransient reports whether another attempt may succeed.
func (r *retry) isTransient(resp *http.Response, err error) bool {
	if err != nil {
		return !isPermanent(err)
	}
	switch resp.StatusCode {
	case http.StatusConflict, http.StatusLocked, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return r.opts.IsFinal == nil || !r.opts.IsFinal(resp)
	}
	return false
}

// isGood reports whether the API works: it may refuse the request, but it understood it.
func isGood(resp *http.Response, err error) bool {
	return err == nil && resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests
}

func (c *call) record(now time.Time, resp *http.Response, err error) {
	c.resp, c.err = resp, err
	c.attempts++
	c.inRound++
	if resp != nil {
		c.statuses[resp.StatusCode]++
	}
	began := now
	if late, ok := errors.AsType[*lateError](err); ok {
		c.timeouts++
		began = now.Add(-late.after)
	}
	if c.began.IsZero() {
		c.began = began
	}
	if c.round.IsZero() {
		c.round = now
	}
}

// maybeApplied reports whether the request may have been applied although it was never
// answered. It is not sent a third time.
func (c *call) maybeApplied() bool { return c.req.Method == http.MethodPost && c.timeouts >= 2 }

// result returns the last answer or error, which says how many attempts there were.
func (c *call) result() (*http.Response, error) {
	switch {
	case c.err != nil && (c.attempts == 1 || isPermanent(c.err)):
		return nil, c.err
	case c.err != nil && c.othersAnswered:
		return nil, &CutError{c.attempts, c.err}
	case c.err != nil:
		return nil, fmt.Errorf("after %d attempts: %w", c.attempts, c.err)
	}
	if n := c.statuses[c.resp.StatusCode]; n > 1 {
		c.resp.Header.Set(AttemptsHeader, strconv.Itoa(n))
	}
	return c.resp, nil
}

// cause returns the last error, or one that describes the last answer and, if quoted, its body.
func (c *call) cause(quoted bool) error {
	if c.err != nil {
		return c.err
	}
	var body []byte
	if quoted {
		body, _ = io.ReadAll(io.LimitReader(c.resp.Body, 200)) // from memory
	}
	return errors.New(summary(c.resp.StatusCode, string(body)))
}

// newBackoff returns exponential delays with full jitter: uniform between zero and a bound
// that doubles from 0.5 s to 30 s. (The randomization factor 1 spreads each delay between
// zero and twice the interval.)
func newBackoff() *backoff.ExponentialBackOff {
	return &backoff.ExponentialBackOff{
		InitialInterval:     250 * time.Millisecond,
		Multiplier:          2,
		MaxInterval:         15 * time.Second,
		RandomizationFactor: 1,
	}
}

// askedPause returns the pause that an answer asks for: by Retry-After (seconds or an HTTP
// date), or on 429 by the end of its quota's period. 0 means that it asks for none.
func (t *Transport) askedPause(resp *http.Response, now time.Time) time.Duration {
	if resp == nil {
		return 0
	}
	if v := resp.Header.Get("Retry-After"); v != "" {
		if seconds, err := strconv.ParseFloat(v, 64); err == nil {
			return boundedSeconds(seconds)
		}
		if at, err := http.ParseTime(v); err == nil {
			return max(at.Sub(now), 0)
		}
	}
	if resp.StatusCode != http.StatusTooManyRequests {
		return 0
	}
	_, _, resets, _ := t.opts.ReadQuota(resp.Header)
	return max(resets.Sub(now), 0)
}

// boundedSeconds converts seconds to a duration. What no clock can hold becomes a year.
func boundedSeconds(s float64) time.Duration {
	const year = 365 * 24 * time.Hour
	if !(s > 0) { // NaN too
		return 0
	}
	return time.Duration(min(s, year.Seconds()) * float64(time.Second))
}
