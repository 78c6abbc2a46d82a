package httpretry_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"segsync/internal/httpretry"
)

// quotaServer accepts a number of requests in any second, and answers the others 429. An
// answer takes a while.
type quotaServer struct {
	latency time.Duration
	refuse  func(n int) bool // whatever the quota; nil: none

	mu       sync.Mutex
	quota    int
	n        int
	accepted []time.Time
	refused  []time.Time
}

func (s *quotaServer) RoundTrip(*http.Request) (*http.Response, error) {
	s.mu.Lock()
	now := time.Now()
	s.n++
	recent := 0
	for i := len(s.accepted) - 1; i >= 0 && now.Sub(s.accepted[i]) < time.Second; i-- {
		recent++
	}
	ok := recent < s.quota && (s.refuse == nil || !s.refuse(s.n))
	if ok {
		s.accepted = append(s.accepted, now)
	} else {
		s.refused = append(s.refused, now)
	}
	s.mu.Unlock()
	time.Sleep(s.latency)
	if ok {
		return response(200, strings.NewReader(`{}`)), nil
	}
	return response(429, strings.NewReader(`{}`)), nil
}

func (s *quotaServer) setQuota(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quota = n
}

// between counts the requests from one time to another.
func (s *quotaServer) between(from, to time.Time) (accepted, refused int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in := func(all []time.Time) (n int) {
		for _, t := range all {
			if !t.Before(from) && t.Before(to) {
				n++
			}
		}
		return n
	}
	return in(s.accepted), in(s.refused)
}

// load sends as many requests as tr lets through, until the time is up.
func load(t *testing.T, tr *httpretry.Transport, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	var all sync.WaitGroup
	for range 80 {
		all.Go(func() {
			for ctx.Err() == nil {
				if _, err := send(t, tr, ctx); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

// With half of the quota taken by others the rate settles near the other half within ten
// seconds, and comes back when they leave.
func TestPaceFollowsWhatIsLeft(t *testing.T) {
	for _, c := range []struct {
		quota, taken   int
		used, wasteful int // percent of what is left that is used; refused, of what is accepted
	}{
		{100, 50, 85, 14},
		{1000, 500, 85, 14},
		{20, 10, 65, 40},
		{100, 80, 65, 40}, // few requests a second are hard to follow
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &quotaServer{latency: 60 * time.Millisecond, quota: c.quota - c.taken}
			var log bytes.Buffer
			tr := httpretry.New(httpretry.Options{API: "Segment", Rate: float64(c.quota), Base: s, Log: slog.New(slog.NewTextHandler(&log, nil))})
			began := time.Now()
			at := func(second int) time.Time { return began.Add(time.Duration(second) * time.Second) }
			go time.AfterFunc(30*time.Second, func() { s.setQuota(c.quota) })
			load(t, tr, 80*time.Second)

			left := c.quota - c.taken
			accepted, refused := s.between(at(10), at(30))
			if accepted < 20*left*c.used/100 {
				t.Errorf("%d of %d taken: %d requests accepted in 20 s, of %d possible", c.taken, c.quota, accepted, 20*left)
			}
			if refused > accepted*c.wasteful/100 {
				t.Errorf("%d of %d taken: %d refused beside %d accepted", c.taken, c.quota, refused, accepted)
			}
			accepted, refused = s.between(at(70), at(80))
			if accepted < 10*c.quota*96/100 || refused > accepted/100 {
				t.Errorf("%d of %d taken, and given back: %d requests accepted in 10 s, %d refused", c.taken, c.quota, accepted, refused)
			}
			if n := strings.Count(log.String(), "slowing down"); n != 1 {
				t.Errorf("%d of %d taken: told %d times", c.taken, c.quota, n)
			}
		})
	}
}

// Now and then a refusal comes of the network's jitter.
func TestSingleRefusalsDoNotSlowDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &quotaServer{latency: 60 * time.Millisecond, quota: 1000, refuse: func(n int) bool { return n%200 == 150 }}
		var log bytes.Buffer
		tr := httpretry.New(httpretry.Options{Rate: 100, Base: s, Log: slog.New(slog.NewTextHandler(&log, nil))})
		began := time.Now()
		load(t, tr, 30*time.Second)
		accepted, refused := s.between(began, began.Add(30*time.Second))
		if accepted+refused < 2960 || refused < 10 || strings.Contains(log.String(), "slowing down") {
			t.Errorf("%d accepted, %d refused\n%s", accepted, refused, log.String())
		}
	})
}

// Even where everything is refused for a while the rate does not fall to nothing.
func TestPaceComesBackFromNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &quotaServer{latency: 60 * time.Millisecond, quota: 0}
		tr := httpretry.New(httpretry.Options{Rate: 100, Base: s})
		began := time.Now()
		go time.AfterFunc(10*time.Second, func() { s.setQuota(100) })
		load(t, tr, 100*time.Second)
		if _, refused := s.between(began.Add(2*time.Second), began.Add(10*time.Second)); refused > 8*15 {
			t.Errorf("%d requests in 8 s although all were refused", refused)
		}
		if accepted, _ := s.between(began.Add(90*time.Second), began.Add(100*time.Second)); accepted < 960 {
			t.Errorf("%d requests accepted in 10 s", accepted)
		}
	})
}
