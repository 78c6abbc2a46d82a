package httpretry

import (
	"context"
	"sync"
	"time"
)

// gate lets the requests of one API through: none during a pause, and at its pace.
type gate struct {
	pace *pace

	mu    sync.Mutex
	until time.Time // end of the pause
}

// wait returns when the next request may be sent. Whoever waited while a pause
// began takes a new place in the line after it, so that a pause ends with an even
// flow and not with a burst.
func (g *gate) wait(ctx context.Context, sleep func(context.Context, time.Duration) error) error {
	for {
		if err := sleep(ctx, time.Until(g.pausedUntil())); err != nil {
			return err
		}
		if err := g.pace.wait(ctx); err != nil {
			return err
		}
		if !time.Now().Before(g.pausedUntil()) {
			return nil
		}
	}
}

// pause holds every request back until t. It reports whether that makes the pause
// longer.
func (g *gate) pause(t time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !t.After(g.until) {
		return false
	}
	g.until = t
	return true
}

func (g *gate) pausedUntil() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.until
}

// sleep waits for d, or less if ctx ends.
func sleep(ctx context.Context, d time.Duration) error { return sleepUnless(ctx, d, nil) }

// sleepUnless waits for d, or less if ctx ends, or with errHurried if hurry is closed; a
// nil hurry never is.
func sleepUnless(ctx context.Context, d time.Duration, hurry <-chan struct{}) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-hurry:
		return errHurried
	case <-timer.C:
		return nil
	}
}
