package httpretry

import (
	"cmp"
	"context"
	"sync"
	"time"
)

// WaitReason says what a Wait is for.
type WaitReason string

const (
	WaitQuota  WaitReason = "quota"  // the end of a quota's period
	WaitPause  WaitReason = "pause"  // the end of a pause that the server asked for
	WaitOutage WaitReason = "outage" // the next attempt in an outage
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

// minShown is the shortest wait that is worth showing.
const minShown = time.Second

// waits are the waits of the requests of a Transport.
type waits struct {
	mu  sync.Mutex
	now map[*Wait]struct{}
}

func newWaits() *waits { return &waits{now: make(map[*Wait]struct{})} }

// sleep waits until the given time. Transport.Waiting shows what meanwhile, unless it is nil. If ctx ends
// first, the error is its cause.
func (w *waits) sleep(ctx context.Context, until time.Time, what *Wait) error {
	d := time.Until(until)
	if d <= 0 {
		return context.Cause(ctx)
	}
	if what != nil && d >= minShown {
		w.mu.Lock()
		w.now[what] = struct{}{}
		w.mu.Unlock()
		defer func() {
			w.mu.Lock()
			delete(w.now, what)
			w.mu.Unlock()
		}()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Waiting returns what the API is waiting for at the moment, for at least a second in all,
// and whether there is such a wait. Of several it returns the one that ends first, a quota
// before a pause before an outage.
func (t *Transport) Waiting() (Wait, bool) {
	order := map[WaitReason]int{WaitQuota: 0, WaitPause: 1, WaitOutage: 2}
	t.waits.mu.Lock()
	defer t.waits.mu.Unlock()
	var first *Wait
	for w := range t.waits.now {
		if w.Reason == WaitOutage && t.lastGood.after(w.Since) {
			continue // this request waits for its next attempt, but the API answers others
		}
		if first == nil || cmp.Or(order[w.Reason]-order[first.Reason], w.Until.Compare(first.Until)) < 0 {
			first = w
		}
	}
	if first == nil {
		return Wait{}, false
	}
	wait := *first
	wait.API = t.opts.API
	return wait, true
}

// newToken returns a channel that holds a token. Who receives it is at the head of the line
// (FIFO), and must put it back.
func newToken() chan struct{} {
	token := make(chan struct{}, 1)
	token <- struct{}{}
	return token
}

// receive waits for ch, or returns the cause of ctx's end.
func receive(ctx context.Context, ch <-chan struct{}) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
