package httpretry

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Bucket is a quota that the server counts. The server reports it in the headers
// X-Rate-Limit-Limit, X-Rate-Limit-Remaining and X-Rate-Limit-Retry of its answers.
//
// https://docs.voucherify.io/guides/limits
type Bucket struct {
	// Name is for messages.
	Name string
	// Period is the documented length of the quota's period. It counts from the first
	// answer where the headers do not tell when the period ends. 0 means that the
	// length is unknown: then, when the quota is used up, one request a minute finds
	// out whether a new period has begun.
	Period time.Duration
	// Reserve is the share of the quota that is left to others, from 0 to 1.
	Reserve float64
}

// budget keeps within a Bucket. It goes by the last answer: before the first one, and
// after the end of a period, a single request finds out how much is left.
type budget struct {
	bucket Bucket
	head   chan struct{} // holds a token; the request at the head of the line has it (FIFO)

	mu        sync.Mutex
	news      chan struct{} // closed, and made anew, at every answer
	inFlight  int
	sent      int       // requests let through so far
	newest    int       // requests let through when remaining was reported
	asked     time.Time // when the last request was let through
	unlimited bool      // the server reports no quota
	known     bool      // the following is from an answer of this period
	limit     int
	remaining int
	began     time.Time // of the period, as far as it was seen
	end       time.Time // of the period
	told      time.Time // the end that the server told last
	next      time.Time // when the next request may be sent
	waiting   time.Time // since when nothing was left; zero: something was
	announced time.Time // end of the wait that was logged last
}

func newBudget(b Bucket) *budget {
	head := make(chan struct{}, 1)
	head <- struct{}{}
	return &budget{bucket: b, head: head, news: make(chan struct{})}
}

const (
	// spreadWithin is the longest rest of a period over which requests are spread. Longer
	// periods are those of bulk requests, which a live shop hardly makes.
	spreadWithin = 100 * time.Second
	// unknownPeriod is the time between two requests to a used-up quota of which neither
	// the server nor the Bucket tells the period.
	unknownPeriod = time.Minute
	// A request that is to find out what is left, and has no answer for finderPatience,
	// is joined by another one, up to maxFinders at once.
	finderPatience = 10 * time.Second
	maxFinders     = 3
)

// turn says what a request has to wait for. With a number it may be sent now; else it has
// to ask again at the time until, or at news, whichever comes first. A nil news never
// comes, a zero until is no time.
type turn struct {
	number int
	until  time.Time
	news   <-chan struct{}
	dry    bool      // nothing but the reserve is left
	since  time.Time // if dry: since when
}

// take asks whether a request may be sent.
func (b *budget) take(now time.Time) turn {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.known && !now.Before(b.end) {
		b.known = false
	}
	patience := b.asked.Add(finderPatience)
	switch {
	case b.unlimited, !b.known && b.inFlight == 0:
		return b.leave(now)
	case !b.known && b.inFlight >= maxFinders:
		return turn{news: b.news}
	case !b.known && now.Before(patience):
		return turn{news: b.news, until: patience}
	case !b.known:
		return b.leave(now)
	}
	usable := b.remaining - b.inFlight - b.reserve()
	switch {
	case usable <= 0 && b.inFlight > 0:
		return turn{news: b.news}
	case usable <= 0:
		if b.waiting.IsZero() {
			b.waiting = now
		}
		return turn{until: b.end, dry: true, since: b.waiting}
	case now.Before(b.next):
		return turn{until: b.next}
	}
	if left := b.end.Sub(now); left <= spreadWithin {
		b.next = now.Add(left / time.Duration(usable))
	}
	return b.leave(now)
}

// reserve is how many requests of a period are left to others.
func (b *budget) reserve() int { return int(float64(b.limit) * b.bucket.Reserve) }

func (b *budget) leave(now time.Time) turn {
	b.inFlight++
	b.sent++
	b.asked = now
	return turn{number: b.sent}
}

// give records the answer to the request of this number. resp is nil if there was none.
func (b *budget) give(now time.Time, number int, resp *http.Response) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inFlight--
	close(b.news)
	b.news = make(chan struct{})
	if resp == nil {
		return
	}
	limit, remaining, ok := reported(resp.Header)
	if !ok {
		b.unlimited = b.unlimited || !b.known && resp.StatusCode/100 == 2
		return
	}
	b.unlimited = false
	switch told := retryTime(resp, now); {
	case told.After(now) && !b.told.IsZero() && !b.told.After(now):
		b.known = false // the first answer of a new period
	case number <= b.newest && !told.IsZero() && !told.After(now) && told.Before(b.told):
		return // overtaken, and about a period that is over
	}
	// Answers overtake each other: one to a request that was sent before less was left
	// is about an earlier moment, and not about a new period.
	if !b.known || remaining > b.remaining && number > b.newest {
		b.began, b.next = now, time.Time{}
		b.remaining = remaining
	}
	if remaining <= b.remaining {
		b.remaining, b.newest = remaining, b.sent
	}
	b.known, b.limit = true, limit
	if b.remaining > b.reserve() {
		b.waiting = time.Time{}
	}
	b.end = b.periodEnd(now, resp)
}

// periodEnd returns when the period of an answer ends. The headers win over the
// documented length.
func (b *budget) periodEnd(now time.Time, resp *http.Response) time.Time {
	told := retryTime(resp, now)
	if pause := askedPause(resp, now); pause > 0 && resp.StatusCode == http.StatusTooManyRequests {
		told = now.Add(pause)
	}
	switch {
	case told.After(now):
		b.told = told
		return told
	case !told.IsZero() && told.Equal(b.told):
		// Still the period that should be over: the answer was long under way, or
		// our clock is ahead of the server's.
		return now.Add(time.Second)
	case b.bucket.Period == 0:
		return b.began.Add(unknownPeriod)
	}
	return b.began.Add(b.bucket.Period)
}

// Quota is what is known of a Bucket at some time.
type Quota struct {
	Limit     int
	Remaining int       // requests under way count as sent
	End       time.Time // of the period
}

// quota returns what is known of the current period.
func (b *budget) quota(now time.Time) (q Quota, known bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.known || !now.Before(b.end) {
		return Quota{}, false
	}
	return Quota{b.limit, max(b.remaining-b.inFlight, 0), b.end.UTC().Round(0)}, true
}

// recall takes up what an earlier process knew, if nothing but the reserve was left then;
// else the first request finds out what is left now.
func (b *budget) recall(q Quota, now time.Time) {
	const skew = 10 * time.Second // of the clocks, and of an end in full seconds
	if q.Limit <= 0 || q.Remaining < 0 || q.End.After(now.Add(b.bucket.Period+skew)) {
		return
	}
	b.limit = q.Limit
	if q.Remaining <= b.reserve() {
		b.known, b.remaining, b.began, b.end, b.told = true, q.Remaining, now, q.End, q.End
	}
}

// reported returns the quota and what is left of it, and whether the headers make sense.
func reported(h http.Header) (limit, remaining int, ok bool) {
	const largest = 1_000_000_000
	limit, errLimit := strconv.Atoi(h.Get("X-Rate-Limit-Limit"))
	remaining, errRemaining := strconv.Atoi(h.Get("X-Rate-Limit-Remaining"))
	ok = errLimit == nil && errRemaining == nil && limit > 0 && limit <= largest && remaining >= 0
	return limit, min(remaining, limit), ok
}

// longestPeriod is that of a billing cycle. A longer one is a mistake of the server, for
// example milliseconds for seconds.
const longestPeriod = 32 * 24 * time.Hour

// retryTime returns the time of X-Rate-Limit-Retry, in unix seconds, or zero.
func retryTime(resp *http.Response, now time.Time) time.Time {
	unix, err := strconv.ParseInt(resp.Header.Get("X-Rate-Limit-Retry"), 10, 64)
	if err != nil || unix < 0 || unix > now.Add(longestPeriod).Unix() {
		return time.Time{}
	}
	return time.Unix(unix, 0)
}

// Quotas returns what is known of the quotas whose period is not over, by the names of their
// Buckets: what Remember of a later process takes.
func (t *Transport) Quotas() map[string]Quota {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	known := make(map[string]Quota)
	for name, q := range t.remembered {
		if q.End.After(now) {
			known[name] = q
		}
	}
	for bucket, b := range t.budgets {
		delete(known, bucket.Name)
		if q, ok := b.quota(now); ok {
			known[bucket.Name] = q
		}
	}
	return known
}

// Remember tells what an earlier process knew of the quotas, by the names of their Buckets:
// one that was used up but for its reserve is left alone until its period ends. What is out
// of date or cannot be true is ignored, and what is about a quota in which a request was
// sent already.
func (t *Transport) Remember(quotas map[string]Quota) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remembered = quotas
}

// spend waits until the budget lets a request through, and returns its number. If nothing
// but the reserve is left for longer than Options.MaxWait, that is a WaitError.
func (t *Transport) spend(ctx context.Context, b *budget) (number int, err error) {
	if err := t.waits.turn(ctx, b.head, time.Time{}); err != nil {
		return 0, err
	}
	defer func() { b.head <- struct{}{} }()
	for {
		now := time.Now()
		turn := b.take(now)
		switch {
		case turn.number > 0:
			return turn.number, nil
		case turn.dry:
			err = t.waitForPeriod(ctx, b, turn)
		default:
			err = t.waits.turn(ctx, turn.news, turn.until)
		}
		if err != nil {
			return 0, err
		}
	}
}

// waitForPeriod waits for the end of a period of which only the reserve is left.
func (t *Transport) waitForPeriod(ctx context.Context, b *budget, turn turn) error {
	if turn.until.Sub(turn.since) > t.opts.MaxWait {
		return &WaitError{API: t.opts.API, Until: turn.until, Quota: b.bucket.Name}
	}
	limit, isNews := b.announce(turn.until)
	if isNews {
		t.opts.Log.Info("the quota is used up but for the reserve: waiting", "api", t.opts.API,
			"quota", b.bucket.Name, "until", turn.until.Format(time.RFC3339))
	}
	what := &Wait{Reason: WaitQuota, Quota: b.bucket.Name, Limit: limit, Since: turn.since, Until: turn.until}
	return t.waits.sleep(ctx, time.Until(turn.until), what, turnGrace)
}

// announce returns the quota's size, and whether the wait until then was not logged before.
func (b *budget) announce(until time.Time) (limit int, isNews bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	isNews = !until.Equal(b.announced)
	b.announced = until
	return b.limit, isNews
}
