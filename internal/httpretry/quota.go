package httpretry

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// spreadWithin is the longest rest of a period over which requests are spread. Longer periods
// are those of bulk requests, which a live shop hardly makes.
const spreadWithin = 100 * time.Second

// Quota is what is known of a quota at some time.
type Quota struct {
	Limit     int
	Remaining int       // requests under way count as sent
	End       time.Time // of the period
}

// governor keeps the Reserve of each quota.
type governor struct {
	opts  *Options
	waits *waits

	mu         sync.Mutex // of everything below
	quotas     map[string]*quota
	remembered map[string]Quota // see Transport.Remember
}

// quota is what the last answers said. Before the first one, and after the end of a period,
// a single request finds out how much is left.
type quota struct {
	name    string
	period  time.Duration
	head    chan struct{} // holds a token; the request at the head of the line has it
	changed chan struct{} // closed, and made anew, at every answer

	inFlight  int
	unlimited bool // the server reports no quota
	known     bool // the following is from an answer of this period
	limit     int
	remaining int
	resetsAt  time.Time // end of the period
	reported  time.Time // the end that the server told last
	next      time.Time // when the next request may be sent
}

func newGovernor(opts *Options, waits *waits) *governor {
	return &governor{opts: opts, waits: waits, quotas: make(map[string]*quota)}
}

// quotaLink sends requests when their quota has something left for them.
type quotaLink struct {
	*governor
	next http.RoundTripper
}

func (l *quotaLink) RoundTrip(req *http.Request) (*http.Response, error) {
	q := l.quota(req)
	if q == nil {
		return l.next.RoundTrip(req)
	}
	if err := l.acquire(req.Context(), q); err != nil {
		return nil, err
	}
	resp, err := l.next.RoundTrip(req)
	l.record(q, time.Now(), resp)
	return resp, err
}

// quota returns the quota that the request counts in, or nil.
func (g *governor) quota(req *http.Request) *quota {
	name, period := g.opts.Quota(req)
	if name == "" {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.quotas[name] == nil {
		q := &quota{name: name, period: period, head: newToken(), changed: make(chan struct{})}
		g.recall(q, g.remembered[name])
		g.quotas[name] = q
	}
	return g.quotas[name]
}

// recall restores a quota of an earlier process, if only the reserve was left. Else the first request
// finds out what is left now.
func (g *governor) recall(q *quota, before Quota) {
	const skew = 10 * time.Second // of the clocks, and of an end in full seconds
	isPossible := before.Limit > 0 && before.Remaining >= 0 && !before.End.After(time.Now().Add(q.period+skew))
	q.limit = before.Limit
	if isPossible && before.Remaining <= g.reserve(q) {
		q.known, q.remaining, q.resetsAt, q.reported = true, before.Remaining, before.End, before.End
	}
}

// reserve is how many requests of a period are left to others.
func (g *governor) reserve(q *quota) int { return int(float64(q.limit) * g.opts.Reserve) }

// acquire waits until the quota has something left. If that takes longer than Options.MaxWait
// it returns a WaitError.
func (g *governor) acquire(ctx context.Context, q *quota) error {
	if err := receive(ctx, q.head); err != nil {
		return err
	}
	defer func() { q.head <- struct{}{} }()
	for {
		ok, until, exhausted, changed := g.take(q, time.Now())
		var err error
		switch {
		case ok:
			return nil
		case changed != nil:
			err = receive(ctx, changed)
		case exhausted == nil:
			err = g.waits.sleep(ctx, until, nil)
		case time.Until(until) > g.opts.MaxWait:
			return &WaitError{API: g.opts.API, Until: until, Quota: q.name}
		default:
			g.opts.Log.Info("the quota is used up but for the reserve: waiting", "api", g.opts.API,
				"quota", q.name, "until", until.Format(time.RFC3339))
			err = g.waits.sleep(ctx, until, exhausted)
		}
		if err != nil {
			return err
		}
	}
}

// take lets the request at the head of the line through if it can. Else take is to be called
// again when changed is closed or, if that is nil, at the time until. exhausted is not nil
// if only the reserve is left.
func (g *governor) take(q *quota, now time.Time) (ok bool, until time.Time, exhausted *Wait, changed <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	q.known = q.known && now.Before(q.resetsAt)
	usable := q.remaining - q.inFlight - g.reserve(q)
	switch {
	case q.unlimited, !q.known && q.inFlight == 0:
	case !q.known, usable <= 0 && q.inFlight > 0:
		return false, time.Time{}, nil, q.changed
	case usable <= 0:
		return false, q.resetsAt, &Wait{Reason: WaitQuota, Quota: q.name, Limit: q.limit, Since: now, Until: q.resetsAt}, nil
	case now.Before(q.next):
		return false, q.next, nil, nil
	default:
		if left := q.resetsAt.Sub(now); left <= spreadWithin {
			q.next = now.Add(left / time.Duration(usable))
		}
	}
	q.inFlight++
	return true, time.Time{}, nil, nil
}

// record takes note of an answer; nil if there was none.
func (g *governor) record(q *quota, now time.Time, resp *http.Response) {
	g.mu.Lock()
	defer g.mu.Unlock()
	q.inFlight--
	close(q.changed)
	q.changed = make(chan struct{})
	if resp == nil {
		return
	}
	limit, remaining, resets, ok := g.opts.ReadQuota(resp.Header)
	if !ok {
		q.unlimited = q.unlimited || !q.known && isGood(resp, nil)
		return
	}
	isNew := !q.known || resets.After(now) && resets.After(q.reported)
	// Answers overtake each other: within a period the one with the least left is the newest.
	if isNew || remaining < q.remaining {
		q.remaining = remaining
	}
	if isNew {
		q.next = time.Time{}
	}
	switch {
	case resets.After(now):
		q.reported, q.resetsAt = resets, resets
	case !resets.IsZero() && resets.Equal(q.reported):
		// Still the period that should be over: our clock is ahead of the server's.
		q.resetsAt = now.Add(time.Second)
	case isNew:
		q.resetsAt = now.Add(max(q.period, time.Minute))
	}
	q.unlimited, q.known, q.limit = false, true, limit
}

// Quotas returns the quotas whose period is not over, by their names, for Remember in a later process.
func (t *Transport) Quotas() map[string]Quota {
	now, g := time.Now(), t.governor
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make(map[string]Quota)
	for name, q := range g.remembered {
		if g.quotas[name] == nil && q.End.After(now) {
			all[name] = q
		}
	}
	for name, q := range g.quotas {
		if q.known && now.Before(q.resetsAt) {
			all[name] = Quota{q.limit, max(q.remaining-q.inFlight, 0), q.resetsAt.UTC().Round(0)}
		}
	}
	return all
}

// Remember passes on the Quotas of an earlier process. A quota with only its reserve left is not used
// until its period ends. Quotas are ignored that are out of date or impossible, or in which this process
// has sent a request.
func (t *Transport) Remember(quotas map[string]Quota) {
	t.governor.mu.Lock()
	defer t.governor.mu.Unlock()
	t.governor.remembered = quotas
}
