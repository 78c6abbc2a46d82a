package httpretry

import (
	"context"
	"sync"
	"time"
)

// headroom is the share of the quota that is left unused. margin is added to the second in
// which at most as many requests as the quota are sent. Both allow for the network, which
// delivers some requests closer together than they were sent.
const (
	headroom = 0.005
	margin   = 8 * time.Millisecond
)

// largestCounted is the largest quota for which the requests of the last second are
// counted. Larger ones are only spaced.
const largestCounted = 10_000

// maxLate bounds catching up after a late wake-up: on a busy machine timers fire late, and
// without catching up the quota would never be used in full.
const maxLate = 50 * time.Millisecond

// pace spaces requests evenly, and follows what the server accepts: where it refuses
// requests below the quota, because others use it too, the rate falls to the accepted
// one, and creeps back. Only the request at the head of the line waits for a time; the
// others wait for their turn, so that a new rate applies to all of them at once.
type pace struct {
	full float64       // the quota less its headroom; 0: no limit
	head chan struct{} // holds a token; the request at the head of the line has it

	mu      sync.Mutex
	limit   float64     // requests per second
	due     time.Time   // when the previous request was due
	sent    []time.Time // when the last ones were: a ring, as many as the quota has in a second, or none
	oldest  int
	answers [tenths]struct{ accepted, refused int } // of the last second
	last    int64                                   // the tenth of a second, since began, of the last answer
	began   time.Time
	cut     time.Time // when the rate fell last
	told    bool      // observe returned a new rate before
}

const (
	tenths = 10
	// Fewer refusals than these are the network's jitter.
	leastRefused = 3
	refusedShare = 0.03
	// creep is the share of the quota by which the rate rises in a second.
	creep = 0.02
)

func newPace(quota float64) *pace {
	p := &pace{full: quota * (1 - headroom), head: make(chan struct{}, 1)}
	p.head <- struct{}{}
	p.limit = p.full
	if quota <= largestCounted {
		p.sent = make([]time.Time, max(int(quota), 1))
	}
	return p
}

// wait returns when the next request may be sent.
func (p *pace) wait(ctx context.Context, waits *waits) error {
	if p.full == 0 {
		return ctx.Err()
	}
	joined := time.Now()
	if err := waits.turn(ctx, p.head, time.Time{}); err != nil {
		return err
	}
	defer func() { p.head <- struct{}{} }()
	for {
		now := time.Now()
		wait := p.send(now, joined)
		if wait <= 0 {
			return nil
		}
		if err := waits.turn(ctx, nil, now.Add(wait)); err != nil {
			return err
		}
	}
}

// send records a request as sent now, or returns how long it still has to wait. joined
// is when the request joined the line.
func (p *pace) send(now, joined time.Time) (wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	due := p.due.Add(time.Duration(float64(time.Second) / p.limit))
	if due.After(now) {
		return due.Sub(now)
	}
	if len(p.sent) > 0 {
		if after := p.sent[p.oldest].Add(time.Second + margin); after.After(now) {
			return after.Sub(now)
		}
		p.sent[p.oldest] = now
		p.oldest = (p.oldest + 1) % len(p.sent)
	}
	for _, least := range []time.Time{joined, now.Add(-maxLate)} {
		if due.Before(least) {
			due = least
		}
	}
	p.due = due
	return 0
}

// observe records an answer. It returns the new rate when that falls for the first time,
// else 0.
func (p *pace) observe(now time.Time, refused bool) (told float64) {
	if p.full == 0 {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	slot := p.slot(now)
	if !refused {
		slot.accepted++
		p.limit = min(p.full, p.limit+p.full*creep/p.limit)
		return 0
	}
	slot.refused++
	accepted, refusals := p.lastSecond()
	if refusals < leastRefused || float64(refusals) < refusedShare*float64(accepted) || now.Sub(p.cut) < time.Second {
		return 0
	}
	p.cut = now
	// The share that was accepted, not how many a second: a busy machine sends fewer.
	p.limit = max(p.limit*float64(accepted)/float64(accepted+refusals)*0.97, p.full/50)
	if p.told {
		return 0
	}
	p.told = true
	return p.limit
}

// slot returns the counts of the current tenth of a second, and empties those that are
// more than a second old.
func (p *pace) slot(now time.Time) *struct{ accepted, refused int } {
	if p.began.IsZero() {
		p.began = now
	}
	current := int64(now.Sub(p.began) / (time.Second / tenths))
	for t := max(p.last+1, current-tenths+1); t <= current; t++ {
		p.answers[t%tenths] = struct{ accepted, refused int }{}
	}
	p.last = max(p.last, current)
	return &p.answers[p.last%tenths]
}

func (p *pace) lastSecond() (accepted, refused int) {
	for _, a := range p.answers {
		accepted += a.accepted
		refused += a.refused
	}
	return accepted, refused
}
