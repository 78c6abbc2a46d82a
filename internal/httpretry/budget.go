package httpretry

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// Bucket is a quota that the server counts by itself and tells of in the headers
// X-Rate-Limit-Limit, X-Rate-Limit-Remaining and X-Rate-Limit-Retry of its answers.
//
// https://docs.voucherify.io/guides/limits
type Bucket struct {
	// Name is for the log.
	Name string
	// Period is the length of the quota's period where the headers do not tell when
	// it ends. Of a longer one than a minute it is first found out whether it is not of a
	// minute after all.
	Period time.Duration
	// Reserve is the share of the quota that is left to others, from 0 to 1.
	Reserve float64
}

// budget keeps within a Bucket. It goes by the last answer: until there is one, and
// after the end of a period, a single request finds out how much is left.
type budget struct {
	bucket Bucket
	queue  *semaphore.Weighted // whoever came first has the next leave

	mu        sync.Mutex
	news      chan struct{} // closed, and made anew, at every answer
	inFlight  int
	sent      int  // requests that had leave so far
	newest    int  // requests that had leave when remaining was heard of
	unlimited bool // the server tells of no quota
	known     bool // the following is from an answer of this period
	limit     int
	remaining int
	began     time.Time // of the period, as far as it was seen
	end       time.Time // of the period
	told      time.Time // the end that the server told of last
	guessed   bool      // end is a guess
	longer    bool      // than shortPeriod: the period was not over then
	next      time.Time // when the next request may be sent
	waiting   time.Time // since when nothing was left; zero: something was
	announced time.Time // end of the wait that was logged last
}

func newBudget(b Bucket) *budget {
	return &budget{bucket: b, queue: semaphore.NewWeighted(1), news: make(chan struct{})}
}

// spreadWithin is the longest rest of a period over which requests are spread. A longer
// period is that of bulk requests, which the live shop hardly makes.
const spreadWithin = 100 * time.Second

// shortPeriod is the first guess of how long a period is.
const shortPeriod = time.Minute

// turn says what a request has to wait for: until a time, for news, or for nothing. Then
// number counts it.
type turn struct {
	number int
	until  time.Time
	news   <-chan struct{}
	dry    bool      // nothing but the reserve is left until then
	since  time.Time // if dry: since when
}

// take asks for leave to send a request; if it has to wait, it has to ask again after.
func (b *budget) take(now time.Time) turn {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.known && !now.Before(b.end) {
		b.known = false
	}
	switch {
	case b.unlimited:
		return b.leave()
	case !b.known && b.inFlight > 0:
		return turn{news: b.news}
	case !b.known:
		return b.leave()
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
	sure := !b.guessed || b.longer || b.bucket.Period <= shortPeriod
	if left := b.end.Sub(now); sure && left <= spreadWithin {
		b.next = now.Add(left / time.Duration(usable))
	}
	return b.leave()
}

// reserve is how many requests of a period are left to others.
func (b *budget) reserve() int { return int(float64(b.limit) * b.bucket.Reserve) }

func (b *budget) leave() turn {
	b.inFlight++
	b.sent++
	return turn{number: b.sent}
}

// give takes note of the answer to the request of this number, which is nil if there was
// none.
func (b *budget) give(now time.Time, number int, resp *http.Response) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inFlight--
	close(b.news)
	b.news = make(chan struct{})
	if resp == nil {
		return
	}
	limit, errLimit := strconv.Atoi(resp.Header.Get("X-Rate-Limit-Limit"))
	remaining, errRemaining := strconv.Atoi(resp.Header.Get("X-Rate-Limit-Remaining"))
	if errLimit != nil || errRemaining != nil {
		b.unlimited = b.unlimited || !b.known && resp.StatusCode/100 == 2
		return
	}
	b.unlimited = false
	// Answers overtake each other: one to a request that was sent before less was left
	// tells of an earlier moment, and not of a new period.
	switch {
	case !b.known && b.guessed && !b.longer && limit == b.limit && remaining < b.remaining:
		b.longer = true // nothing was given back: the period goes on
	case !b.known || remaining > b.remaining && number > b.newest:
		b.began, b.next, b.longer = now, time.Time{}, false
		b.remaining = remaining
	}
	if remaining <= b.remaining {
		b.remaining, b.newest = remaining, b.sent
	}
	b.known, b.limit = true, limit
	if b.remaining > b.reserve() {
		b.waiting = time.Time{}
	}
	b.guessed, b.end = true, b.began.Add(b.bucket.Period)
	if !b.longer {
		b.end = b.began.Add(min(b.bucket.Period, shortPeriod))
	}
	switch end := retryTime(resp, now); {
	case end.After(now):
		b.guessed, b.end, b.told = false, end, end
	case !end.IsZero() && end.Equal(b.told):
		// Still of the period that should be over: the answer was long under way, or
		// our clock is ahead of the server's.
		b.guessed, b.end = false, now.Add(time.Second)
	}
}

// longestPeriod is that of a billing cycle. A server that asks for more means something
// else, milliseconds for example.
const longestPeriod = 32 * 24 * time.Hour

// retryTime returns the time of X-Rate-Limit-Retry, in unix seconds, or zero.
func retryTime(resp *http.Response, now time.Time) time.Time {
	unix, err := strconv.ParseInt(resp.Header.Get("X-Rate-Limit-Retry"), 10, 64)
	if at := time.Unix(unix, 0); err == nil && at.Sub(now) <= longestPeriod {
		return at
	}
	return time.Time{}
}

// spend waits for leave to send a request, and returns its number. Nothing but the reserve
// being left for longer than the longest wait is a WaitError.
func (t *Transport) spend(ctx context.Context, b *budget) (number int, err error) {
	if err := b.queue.Acquire(ctx, 1); err != nil {
		return 0, err
	}
	defer b.queue.Release(1)
	for {
		now := time.Now()
		turn := b.take(now)
		switch {
		case turn.news != nil:
			select {
			case <-turn.news:
			case <-ctx.Done():
				return 0, ctx.Err()
			}
			continue
		case turn.until.IsZero():
			return turn.number, nil
		}
		if turn.dry {
			if turn.until.Sub(turn.since) > t.opts.MaxWait {
				return 0, &WaitError{API: t.opts.API, Until: turn.until, Quota: b.bucket.Name}
			}
			if b.announce(turn.until) {
				t.opts.Log.Info("the quota is used up but for the reserve: waiting", "api", t.opts.API,
					"quota", b.bucket.Name, "until", turn.until.Format(time.RFC3339))
			}
		}
		wait := sleep // its turn comes soon
		if turn.dry {
			wait = t.sleep
		}
		if err := wait(ctx, turn.until.Sub(now)); err != nil {
			return 0, err
		}
	}
}

// announce reports whether waiting until then is news.
func (b *budget) announce(until time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	news := !until.Equal(b.announced)
	b.announced = until
	return news
}
