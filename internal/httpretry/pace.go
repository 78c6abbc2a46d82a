package httpretry

import (
	"context"
	"sync"
	"time"
)

// headroom is the share of the quota that is left unused, and margin how much more than a
// second as many requests as the quota are given: the network brings some closer together
// than they were sent, and they must stay within a quota that is counted by the second.
const (
	headroom = 0.005
	margin   = 8 * time.Millisecond
)

// largestCounted is the largest quota whose requests of the last second are remembered; a
// larger one is that of nobody, and only spaced.
const largestCounted = 10_000

// maxLate is how late a request may be for those after it to follow on its heels: a busy
// machine wakes who waits too late, and would never use all of the quota.
const maxLate = 50 * time.Millisecond

// pace spaces requests evenly, and follows what the server accepts: where it refuses
// requests below the quota, because others use it too, the rate falls to what it did
// accept, and creeps back. Only who is next waits for a time, the others for their turn,
// so that a new rate is at once that of all.
type pace struct {
	full float64       // the quota less its headroom; 0: no limit
	next chan struct{} // holds one, from when it is next until it is sent

	mu      sync.Mutex
	limit   float64     // requests per second
	due     time.Time   // when the request before was to be sent
	sent    []time.Time // when the last ones were: a ring, as many as the quota has in a second, or none
	oldest  int
	answers [tenths]struct{ accepted, refused int } // of the last second
	last    int64                                   // the tenth of a second, since began, of the last answer
	began   time.Time
	cut     time.Time // when the rate fell last
	told    bool
}

const (
	tenths = 10
	// What counts as being refused: single refusals come from the network's jitter.
	leastRefused = 3
	refusedShare = 0.03
	// creep is the share of the quota by which the rate rises in a second.
	creep = 0.02
)

func newPace(quota float64) *pace {
	p := &pace{full: quota * (1 - headroom), next: make(chan struct{}, 1)}
	p.limit = p.full
	if quota <= largestCounted {
		p.sent = make([]time.Time, max(int(quota), 1))
	}
	return p
}

// wait returns when the next request may be sent.
func (p *pace) wait(ctx context.Context) error {
	if p.full == 0 {
		return ctx.Err()
	}
	joined := time.Now()
	select {
	case p.next <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-p.next }()
	for {
		wait := p.send(time.Now(), joined)
		if wait <= 0 {
			return nil
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// send takes note of a request that is sent now, unless it returns how long that has to
// wait. The request is waiting since it joined the line.
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
	for _, least := range []time.Time{joined, now.Add(-maxLate)} { // nobody waited before that
		if due.Before(least) {
			due = least
		}
	}
	p.due = due
	return 0
}

// observe takes note of an answer. It returns the new rate if that falls for the first
// time, else 0.
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
