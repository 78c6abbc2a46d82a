package httpretry

import (
	"context"
	"sync"
	"time"
)

// gate lets the requests of one API through: none during a pause, and at its pace.
type gate struct {
	pace  *pace
	waits *waits

	mu    sync.Mutex
	since time.Time // start of the pause
	until time.Time // end of the pause
}

// wait returns when the next request may be sent. A request that was in line when a
// pause began gets a new place in the line after it, so that a pause ends with an even
// flow and not with a burst.
func (g *gate) wait(ctx context.Context) error {
	for {
		since, until := g.paused()
		what := &Wait{Reason: WaitPause, Since: since, Until: until}
		if err := g.waits.sleep(ctx, time.Until(until), what, turnGrace); err != nil {
			return err
		}
		if err := g.pace.wait(ctx, g.waits); err != nil {
			return err
		}
		if _, until := g.paused(); !time.Now().Before(until) {
			return nil
		}
	}
}

// pause holds every request back until t. It reports whether that makes the pause
// longer.
func (g *gate) pause(now, t time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !t.After(g.until) {
		return false
	}
	if !now.Before(g.until) {
		g.since = now
	}
	g.until = t
	return true
}

func (g *gate) paused() (since, until time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.since, g.until
}
