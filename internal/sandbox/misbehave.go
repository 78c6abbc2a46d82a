package sandbox

import (
	"net/http"
	"sync"
	"time"
)

// Misbehaviour is what goes wrong on purpose. The zero value is nothing.
// Its functions may be called from several goroutines at once.
type Misbehaviour struct {
	// Poison chooses records by source_id: a bulk request that holds one is
	// refused as a whole, and the single upsert of it as well.
	Poison func(sourceID string) bool
	// PoisonStatus is the status of that refusal, such as 422. 0: 400.
	PoisonStatus int

	// Gone chooses profiles that are listed, but whose reads answer 404.
	Gone func(segmentID string) bool
	// Dead chooses profiles whose external IDs and traits are answered with
	// 500, or with DeadNonsense with 200 and JSON of another kind.
	Dead         func(segmentID string) bool
	DeadNonsense bool
	// ListFault decides about each list page by its offset, ProfileFault about
	// the external IDs and the traits of each profile.
	ListFault    func(offset int) ListFault
	ProfileFault func(segmentID string) ProfileFault

	// Swallow chooses requests that are read and never answered, until the
	// client or the server goes away. They take effect with SwallowApplies.
	Swallow        func(Request) bool
	SwallowApplies bool
	// Outage is a time in which an API answers nothing but 503.
	Outage Outage
	// Hostile, if not nil, answers all requests of its route.
	Hostile *Hostile
}

// Outage is the time in which requests are answered 503. It begins when After
// requests have been answered, and ends For later. A For of 0: no outage.
type Outage struct {
	API   string // "segment", "voucherify", or "" for both
	After int
	For   time.Duration
	Close bool // the connection is closed instead
}

// outages knows which API is out.
type outages struct {
	mu    sync.Mutex
	on    map[string]bool // by SetOutage
	seen  int             // requests to the API of Options.Misbehave.Outage
	begun time.Time
}

// SetOutage begins or ends an outage of an API, "segment" or "voucherify".
func (s *Sandbox) SetOutage(api string, on bool) {
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	if s.out.on == nil {
		s.out.on = map[string]bool{}
	}
	s.out.on[api] = on
}

// isOut counts a request to api and reports whether api is out.
func (t *outages) isOut(o Outage, api string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.on[api] {
		return true
	}
	if o.For <= 0 || o.API != "" && o.API != api {
		return false
	}
	t.seen++
	if t.begun.IsZero() && t.seen > o.After {
		t.begun = now
	}
	return !t.begun.IsZero() && now.Sub(t.begun) < o.For
}

// misbehave answers c wrongly, and returns true, where Options say so before
// anything else is looked at.
func (s *Sandbox) misbehave(w http.ResponseWriter, c *call) bool {
	m := &s.o.Misbehave
	if m.Hostile != nil && m.Hostile.Route == c.route {
		seen := &statusWriter{ResponseWriter: w}
		defer func() { s.log.finish(c, seen.status) }()
		m.Hostile.Handler(seen, c.r)
		return true
	}
	if !s.out.isOut(m.Outage, c.API, c.Time) {
		return false
	}
	c.fault = "outage"
	if m.Outage.Close {
		s.done(c, 0)
		reset(c.r)
	}
	s.reply(w, c, faultAnswer(c, http.StatusServiceUnavailable, nil))
	return true
}

// swallow keeps c without an answer, and returns true, where Options say so.
func (s *Sandbox) swallow(c *call) bool {
	if m := &s.o.Misbehave; m.Swallow == nil || !m.Swallow(*c.Request) {
		return false
	}
	if s.o.Misbehave.SwallowApplies {
		s.answer(c)
	}
	c.fault = "swallow"
	<-c.r.Context().Done()
	s.done(c, 0)
	return true
}

// deadProfile is the answer to a read of a dead profile.
func (s *Sandbox) deadProfile() answer {
	if s.o.Misbehave.DeadNonsense {
		return answer{status: http.StatusOK, body: []byte(`["nonsense",[1],{"data":7}]`)}
	}
	return segmentError(http.StatusInternalServerError, "internal_error", "Internal Server Error")
}
