package sandbox

import (
	"net/http"
	"strconv"
	"sync"
	"time"
)

// window accepts a number of requests in any period of one second. It
// remembers when the last ones were accepted: the oldest of them must be a
// second ago before the next is.
type window struct {
	mu       sync.Mutex
	accepted []time.Time // a ring
	oldest   int
}

// newWindow returns the window for limit requests a second of which others
// take a part, or nil when limit is 0.
func newWindow(limit, taken int) *window {
	if limit <= 0 {
		return nil
	}
	return &window{accepted: make([]time.Time, max(0, limit-taken))}
}

func (w *window) allow() bool {
	if w == nil {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.accepted) == 0 {
		return false
	}
	now := time.Now()
	if t := w.accepted[w.oldest]; !t.IsZero() && now.Sub(t) < time.Second {
		return false
	}
	w.accepted[w.oldest] = now
	w.oldest = (w.oldest + 1) % len(w.accepted)
	return true
}

// bucket counts the calls of one Voucherify quota.
type bucket struct {
	name   string
	limit  int
	period time.Duration

	mu    sync.Mutex
	since time.Time // start of the running period
	used  int
}

// newBucket returns the counter for b, or nil when b has no limit.
func newBucket(name string, b Bucket) *bucket {
	if b.Limit <= 0 {
		return nil
	}
	if b.Period <= 0 {
		b.Period = time.Hour
	}
	return &bucket{name: name, limit: b.Limit, period: b.Period}
}

// take counts a call. It returns the headers that tell the client, and
// whether the quota had room for the call.
func (b *bucket) take(now time.Time) (http.Header, bool) {
	if b == nil {
		return nil, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.since.IsZero() {
		b.since = now
	}
	if gone := now.Sub(b.since) / b.period; gone > 0 {
		b.since, b.used = b.since.Add(gone*b.period), 0
	}
	ok := b.used < b.limit
	if ok {
		b.used++
	}
	end := b.since.Add(b.period)
	retry := end.Add(time.Second - 1).Unix()
	h := http.Header{}
	h.Set("X-Rate-Limit-Limit", strconv.Itoa(b.limit))
	h.Set("X-Rate-Limit-Remaining", strconv.Itoa(b.limit-b.used))
	h.Set("X-Rate-Limit-Retry", strconv.FormatInt(retry, 10))
	if !ok {
		left := (end.Sub(now) + time.Second - 1) / time.Second
		h.Set("Retry-After", strconv.Itoa(int(left)))
		h.Set("X-Rate-Limit-Type", b.name)
	}
	return h, ok
}
