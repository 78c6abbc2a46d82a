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
)

// health knows whether an API answers.
type health struct {
	mu     sync.Mutex
	good   time.Time // of the last good answer; zero: there was none
	failed time.Time // start of the first attempt that failed since then; zero: none did
	asked  bool      // the API asked for a pause once: it is there
}

// record takes note of an attempt.
func (h *health) record(sent, now time.Time, good bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case good:
		h.good, h.failed = now, time.Time{}
	case h.failed.IsZero():
		h.failed = sent
	}
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
	if t.opts.Probe == nil || t.waits.queue(ctx, t.probe.token) != nil {
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
	}
	return isGood(resp, err)
}
