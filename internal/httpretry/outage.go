package httpretry

import (
	"context"
	"net/http"
	"sync"
	"time"
)

const (
	// neverFor is how long an API is retried that has not given one good answer: a wrong
	// host must not keep anybody waiting.
	neverFor = time.Minute
	// probeShared is how long the bad result of a probe holds for other requests.
	probeShared = 5 * time.Second
	// probeTimeout is the time limit of a probe.
	probeTimeout = 10 * time.Second
	// suspicious is how many attempts fail, and none succeeds, until the probe is asked
	// whether that is an outage; trialEvery is the time between two attempts in one.
	suspicious = 20
	trialEvery = time.Second
)

// health knows whether an API answers.
type health struct {
	mu     sync.Mutex
	good   time.Time // of the last good answer; zero: there was none
	failed time.Time // start of the first attempt that failed since then; zero: none did
	fails  int       // attempts that failed since then
	out    bool      // the probe was bad since then: this is an outage
	tried  time.Time // when a request was tried again in an outage
	asked  bool      // the API asked for a pause once: it is there
}

// record takes note of an attempt.
func (h *health) record(sent, now time.Time, good bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if good {
		h.good, h.failed, h.fails, h.out = now, time.Time{}, 0, false
		return
	}
	if h.fails++; h.failed.IsZero() {
		h.failed = sent
	}
}

// recordOutage takes note of a bad probe.
func (h *health) recordOutage() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.out = true
}

// outage reports whether there is one for all that is known, and whether there may be one.
func (h *health) outage() (known, suspected bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.out, h.fails >= suspicious
}

// trial reports whether a request may be tried again now: in an outage one a second is
// enough to see whether it is over.
func (h *health) trial(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.out && now.Sub(h.tried) < trialEvery {
		return false
	}
	h.tried = now
	return true
}

func (h *health) recordPause() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = true
}

// goodSince reports whether there was a good answer after t.
func (h *health) goodSince(t time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.good.After(t)
}

// never reports whether the API has given no sign of life yet.
func (h *health) never() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.good.IsZero() && !h.asked
}

// failing returns since when every attempt failed.
func (h *health) failing() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failed
}

// isGood reports whether the API works: it may refuse the request, but it understood it.
func isGood(resp *http.Response, err error) bool {
	return err == nil && resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests
}

// probe asks Options.Probe's question for all requests that want to know whether the API
// answers at all.
type probe struct {
	token chan struct{} // holds one; its holder may ask, and use the fields below
	bad   time.Time     // of the last bad result
}

func newProbe() *probe {
	p := &probe{token: make(chan struct{}, 1)}
	p.token <- struct{}{}
	return p
}

// probeGood reports whether the API answers the probe, or has given any other good answer
// since that time.
func (t *Transport) probeGood(ctx context.Context, since time.Time) bool {
	if t.opts.Probe == nil || t.waits.turn(ctx, t.probe.token, time.Time{}) != nil {
		return false
	}
	defer func() { t.probe.token <- struct{}{} }()
	if t.health.goodSince(since) {
		return true
	}
	if time.Since(t.probe.bad) < probeShared {
		return false
	}
	req, err := t.opts.Probe(ctx)
	if err != nil || !safe(req.URL) {
		return false
	}
	resp, err := t.pass(&call{req: req, once: t.try, probe: true})
	if err == nil {
		resp.Body.Close()
	}
	if !isGood(resp, err) && ctx.Err() == nil {
		t.probe.bad = time.Now()
		t.health.recordOutage()
	}
	return isGood(resp, err)
}
