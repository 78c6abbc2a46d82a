package sandbox

import (
	"sync"
	"time"
)

// Outage is the time in which both APIs answer nothing but 503. It begins when
// After requests have been answered, and ends For later. A For of 0: no outage.
type Outage struct {
	After int
	For   time.Duration
}

// outage counts the requests before the Outage and knows when it began.
type outage struct {
	Outage
	mu    sync.Mutex
	seen  int
	began time.Time
}

// isOn counts a request and reports whether it falls into the outage.
func (o *outage) isOn(now time.Time) bool {
	if o.For <= 0 {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen++
	if o.began.IsZero() && o.seen > o.After {
		o.began = now
	}
	return !o.began.IsZero() && now.Sub(o.began) < o.For
}
