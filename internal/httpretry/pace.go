package httpretry

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// headroom is the share of the limit that is left unused.
	headroom = 0.01
	// burst is the time that is made up for when timers fire late, as they do on a busy
	// machine. In a second, and in margin, no more requests are sent than the limit all the
	// same. margin allows for the network, which brings requests closer together.
	burst, margin = 50 * time.Millisecond, 10 * time.Millisecond
	// maxCounted is the largest limit for which the requests of a second are counted.
	maxCounted = 10_000
	// The rate falls to rateCut of itself, and rises by rateRise of the limit in a second.
	rateCut, rateRise = 0.75, 0.02
	// Fewer refusals in a second than minRefused, and than this share of the limit, are the
	// network's jitter.
	minRefused, minRefusedShare = 3, 0.05
	// goesOn is the time after a cut within which another one is worth a warning.
	goesOn = 5 * time.Second
)

// pacer lets requests through one after the other: none during a pause that the server
// asked for, and at a rate that follows what the server accepts.
type pacer struct {
	opts    *Options
	waits   *waits
	head    chan struct{} // holds a token; the request at the head of the line has it
	limiter *rate.Limiter
	sent    []time.Time // when the last requests were sent, as many as the limit; of the head
	n       int         // requests sent; of the head

	mu          sync.Mutex
	pausedSince time.Time
	pausedUntil time.Time
	raised      time.Time // when the rate rose last
	cut         time.Time // when the rate fell last
	second      time.Time // start of the second in which refusals are counted
	refused     int
	warned      bool
}

func newPacer(opts *Options, waits *waits) *pacer {
	p := &pacer{opts: opts, waits: waits, head: newToken(), limiter: rate.NewLimiter(rate.Inf, 1)}
	if opts.Rate > 0 {
		p.limiter = rate.NewLimiter(p.fullRate(), max(int(opts.Rate*burst.Seconds()), 1))
		if opts.Rate <= maxCounted {
			p.sent = make([]time.Time, max(int(opts.Rate), 1))
		}
	}
	return p
}

func (p *pacer) fullRate() rate.Limit { return rate.Limit(p.opts.Rate * (1 - headroom)) }

// paceLink sends requests when their turn has come.
type paceLink struct {
	*pacer
	next http.RoundTripper
}

func (l *paceLink) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := l.wait(req.Context()); err != nil {
		return nil, err
	}
	resp, err := l.next.RoundTrip(req)
	if err == nil && l.opts.Rate > 0 {
		l.observe(time.Now(), resp.StatusCode == http.StatusTooManyRequests)
	}
	return resp, err
}

// wait returns when the next request may be sent. Only the head of the line waits for a
// time, so that a pause or another rate holds for all in line.
func (p *pacer) wait(ctx context.Context) error {
	if err := receive(ctx, p.head); err != nil {
		return err
	}
	defer func() { p.head <- struct{}{} }()
	for {
		since, until := p.paused()
		if err := p.waits.sleep(ctx, until, &Wait{Reason: WaitPause, Since: since, Until: until}); err != nil {
			return err
		}
		if err := p.limiter.Wait(ctx); ctx.Err() != nil {
			return context.Cause(ctx)
		} else if err != nil { // the turn comes after the context's deadline
			return context.DeadlineExceeded
		}
		if len(p.sent) > 0 {
			if err := p.waits.sleep(ctx, p.sent[p.n%len(p.sent)].Add(time.Second+margin), nil); err != nil {
				return err
			}
		}
		if _, until := p.paused(); !time.Now().Before(until) {
			break
		}
	}
	if len(p.sent) > 0 {
		p.sent[p.n%len(p.sent)] = time.Now()
		p.n++
	}
	return nil
}

func (p *pacer) paused() (since, until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pausedSince, p.pausedUntil
}

// pause holds every request back until then. It reports whether that makes the pause longer.
func (p *pacer) pause(now, until time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !until.After(p.pausedUntil) {
		return false
	}
	if !now.Before(p.pausedUntil) {
		p.pausedSince = now
	}
	p.pausedUntil = until
	return true
}

// observe adapts the rate to an answer.
func (p *pacer) observe(now time.Time, refused bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	limit, full := p.limiter.Limit(), p.fullRate()
	if !refused {
		if elapsed := now.Sub(p.raised); limit < full && elapsed > 0 {
			limit += full * rate.Limit(rateRise*min(elapsed.Seconds(), 1))
			p.limiter.SetLimitAt(now, min(limit, full))
		}
		p.raised = now
		return
	}
	if now.Sub(p.second) >= time.Second {
		p.second, p.refused = now, 0
	}
	p.refused++
	sinceCut := now.Sub(p.cut)
	if p.refused < max(minRefused, int(p.opts.Rate*minRefusedShare)) || sinceCut < time.Second {
		return
	}
	limit = max(limit*rateCut, full/50)
	p.limiter.SetLimitAt(now, limit)
	if sinceCut < goesOn && !p.warned {
		p.warned = true
		p.opts.Log.Warn(fmt.Sprintf("%s refused requests although we are below %s (%g/s); slowing to %.0f/s. Is another program using this %s?",
			p.opts.API, p.opts.RateSetting, p.opts.Rate, max(float64(limit), 1), p.opts.RateScope))
	}
	p.cut = now
}
