package httpretry

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// headroom is the share of the quota that is left unused, so that requests which the
// network brings closer together than they were sent stay within a quota that is counted
// by the second.
const headroom = 0.01

// pace spaces requests evenly, and follows what the server accepts: where it refuses
// requests below the quota, because others use it too, the rate falls to what it did
// accept, and creeps back.
type pace struct {
	limiter *rate.Limiter
	full    rate.Limit // the quota less its headroom

	mu      sync.Mutex
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
	p := &pace{full: rate.Inf}
	if quota > 0 {
		p.full = rate.Limit(quota * (1 - headroom))
	}
	// A burst of one spaces the requests from the first one on.
	p.limiter = rate.NewLimiter(p.full, 1)
	return p
}

func (p *pace) wait(ctx context.Context) error { return p.limiter.Wait(ctx) }

// observe takes note of an answer. It returns the new rate if that falls for the first
// time, else 0.
func (p *pace) observe(now time.Time, refused bool) (told rate.Limit) {
	if p.full == rate.Inf {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	slot := p.slot(now)
	if !refused {
		slot.accepted++
		if limit := p.limiter.Limit(); limit < p.full {
			p.limiter.SetLimitAt(now, min(p.full, limit+p.full*creep/limit))
		}
		return 0
	}
	slot.refused++
	accepted, all := p.lastSecond()
	if all < leastRefused || float64(all) < refusedShare*float64(accepted) || now.Sub(p.cut) < time.Second {
		return 0
	}
	p.cut = now
	seconds := min(max(now.Sub(p.began).Seconds(), 0.1), 1) // there are answers of
	observed := rate.Limit(float64(accepted) / seconds)
	limit := min(p.limiter.Limit(), max(observed, p.full/50)*0.97)
	p.limiter.SetLimitAt(now, limit)
	if p.told {
		return 0
	}
	p.told = true
	return limit
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
