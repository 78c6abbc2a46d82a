package httpretry

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// WaitReason says what a Wait is for.
type WaitReason string

const (
	WaitQuota  WaitReason = "quota"  // the end of a quota's period
	WaitPause  WaitReason = "pause"  // the end of a pause that the server asked for
	WaitOutage WaitReason = "outage" // the next attempt at an API that answers nothing
)

// Wait is what an API is waiting for at the moment.
type Wait struct {
	API     string
	Reason  WaitReason
	Quota   string    // name of the quota, if that is the reason
	Limit   int       // calls in a period of the quota; 0: unknown
	Attempt int       // attempts so far, in an outage
	Since   time.Time // start of the wait, or of the outage
	Until   time.Time // of the next request
}

// shortestWait is the shortest wait that is worth showing.
const shortestWait = time.Second

// turnGrace is how long after Hurry requests may still wait in a queue, for their turn at the
// pace of the API, or for the end of a pause: what is being read is to be finished.
const turnGrace = 10 * time.Second

// ErrInterrupted is the error of a request that would have had to wait after Hurry.
var ErrInterrupted = errors.New("interrupted while waiting")

// waits holds everything that the requests of a Transport are waiting for.
type waits struct {
	hurry <-chan struct{} // closed by Transport.Hurry

	hurried atomic.Pointer[time.Time] // when that was
	mu      sync.Mutex
	now     map[*Wait]struct{}
}

// sleep waits for d. It ends early, with an error, when ctx ends, or after Hurry unless it
// ends within the grace after that.
// Meanwhile what is shown by Transport.Waiting, unless it is nil or d is short.
func (w *waits) sleep(ctx context.Context, d time.Duration, what *Wait, grace time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	if what != nil && d >= shortestWait {
		w.mu.Lock()
		w.now[what] = struct{}{}
		w.mu.Unlock()
		defer func() {
			w.mu.Lock()
			delete(w.now, what)
			w.mu.Unlock()
		}()
	}
	end := time.Now().Add(d)
	timer := time.NewTimer(d)
	defer timer.Stop()
	hurry := w.hurry
	for {
		select {
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-hurry:
			if end.After(w.hurried.Load().Add(grace)) {
				return ErrInterrupted
			}
			hurry = nil
		}
	}
}

// turn waits for the turn of a request until ready can be received from, or until the time t;
// a nil ready never can, a zero t is no time. It ends early, with an error, when ctx ends or
// turnGrace after Hurry.
func (w *waits) turn(ctx context.Context, ready <-chan struct{}, t time.Time) error {
	bounded := ctx
	if !t.IsZero() {
		var cancel context.CancelFunc
		bounded, cancel = context.WithDeadline(ctx, t)
		defer cancel()
	}
	grace := turnGrace
	if since := w.hurried.Load(); since != nil {
		grace -= time.Since(*since)
	}
	err := await(bounded, ready, w.hurry, max(grace, 0))
	if ctx.Err() == nil && bounded.Err() != nil {
		return nil
	}
	return err
}

func await[T any](ctx context.Context, ready <-chan T, hurry <-chan struct{}, grace time.Duration) error {
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-hurry:
	}
	patience := time.NewTimer(grace)
	defer patience.Stop()
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-patience.C:
		return ErrInterrupted
	}
}

// Waiting returns what the API is waiting for at the moment, for at least a second in
// all, and whether there is such a wait. Of several it returns the one that ends first,
// a quota before a pause before an outage.
func (t *Transport) Waiting() (Wait, bool) {
	order := map[WaitReason]int{WaitQuota: 0, WaitPause: 1, WaitOutage: 2}
	t.waits.mu.Lock()
	defer t.waits.mu.Unlock()
	var found *Wait
	for w := range t.waits.now {
		if w.Reason == WaitOutage && t.health.goodSince(w.Since) {
			continue // that request waits for its next attempt, but the API answers others
		}
		sooner := found == nil || order[w.Reason] < order[found.Reason] ||
			order[w.Reason] == order[found.Reason] && w.Until.Before(found.Until)
		if sooner {
			found = w
		}
	}
	if found == nil {
		return Wait{}, false
	}
	wait := *found
	wait.API = t.opts.API
	return wait, true
}
