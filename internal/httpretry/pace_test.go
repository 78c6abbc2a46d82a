package httpretry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

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
			if n := strings.Count(log.String(), "slowing to"); n != 1 {
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
		if accepted+refused < 2960 || refused < 10 || strings.Contains(log.String(), "slowing to") {
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
		if _, refused := s.between(began.Add(8*time.Second), began.Add(10*time.Second)); refused > 2*15 {
			t.Errorf("%d requests in 2 s although all were refused", refused)
		}
		if accepted, _ := s.between(began.Add(90*time.Second), began.Add(100*time.Second)); accepted < 960 {
			t.Errorf("%d requests accepted in 10 s", accepted)
		}
	})
}

func TestNeverMoreThanTheQuotaInAnySecond(t *testing.T) {
	for _, rate := range []float64{0.5, 1, 3, 10, 99.9, 100, 250} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				requests := max(int(rate*3), 4)
				s := &script{answers: []server{answer(200, `{}`)}}
				tr := httpretry.New(httpretry.Options{Rate: rate, Base: s})
				burst := func() (took time.Duration) {
					start := time.Now()
					var all sync.WaitGroup
					for range requests {
						all.Go(func() { get(t, tr) })
					}
					all.Wait()
					return time.Since(start)
				}
				took := burst()
				if limit := time.Duration(float64(requests-1) / (0.95 * rate) * float64(time.Second)); took > limit {
					t.Errorf("%d requests took %s, want at most %s", requests, took, limit)
				}
				time.Sleep(time.Minute) // what is not used is not saved up
				burst()
				checkRate(t, s.at, rate)
			})
		})
	}
}

// checkRate fails the test if more than rate requests came in any one second.
func checkRate(t *testing.T, at []time.Time, rate float64) {
	t.Helper()
	for i := range at {
		n := 1
		for i+n < len(at) && at[i+n].Sub(at[i]) < time.Second {
			n++
		}
		if float64(n) > max(rate, 1) {
			t.Fatalf("%d requests within a second, want at most %v", n, rate)
		}
	}
}

// A network that holds some requests up for a few milliseconds does not bring more than
// the quota to the server in any second.
func TestQuotaIsKeptInSpiteOfTheNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate = 100
		delays := rand.New(rand.NewPCG(1, 2))
		var mu sync.Mutex
		var at []time.Time
		tr := httpretry.New(httpretry.Options{Rate: rate, Base: server(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			at = append(at, time.Now().Add(time.Duration(delays.Int64N(int64(8*time.Millisecond)))))
			mu.Unlock()
			return answer(200, `{}`).RoundTrip(r)
		})})
		sendAll(t, tr, 10*rate)
		slices.SortFunc(at, time.Time.Compare)
		for i := rate; i < len(at); i++ {
			if d := at[i].Sub(at[i-rate]); d < time.Second {
				t.Fatalf("%d requests within %s", rate+1, d)
			}
		}
	})
}

// Retries take their place in the line like every other request.
func TestRetriesStayWithinTheQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []server{answer(503, "")}}
		tr := httpretry.New(httpretry.Options{Rate: 5, Base: s, RetryFor: -1})
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { get(t, tr) })
		}
		all.Wait()
		if len(s.at) != 200 {
			t.Errorf("%d requests, want 200", len(s.at))
		}
		checkRate(t, s.at, 5)
	})
}

// Whoever comes while the API rests waits for the end of the pause.
func TestPauseHoldsEveryCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := &script{answers: []server{answer(429, `{}`, "Retry-After", "10"), answer(200, `{}`)}}
		tr := httpretry.New(httpretry.Options{Base: s})
		var all sync.WaitGroup
		all.Go(func() { get(t, tr) })
		for i := range 3 {
			all.Go(func() {
				time.Sleep(time.Duration(i+1) * 3 * time.Second)
				get(t, tr)
			})
		}
		all.Go(func() {
			time.Sleep(12 * time.Second)
			get(t, tr)
		})
		all.Wait()
		const end = 10 * time.Second
		if diff := cmp.Diff([]time.Duration{0, end, end, end, end, 12 * time.Second}, s.times(start)); diff != "" {
			t.Errorf("times of the requests (-want +got):\n%s", diff)
		}
	})
}

// The pause counts for the others even if the caller that was told gives up.
func TestPauseOfTheLastAttemptHoldsTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: slices.Concat(
			slices.Repeat([]server{answer(503, "")}, 9),
			[]server{answer(429, `{}`, "Retry-After", "10"), answer(200, `{}`)},
		)}
		tr := httpretry.New(httpretry.Options{Base: s, RetryFor: -1})
		resp, err := get(t, tr)
		if err != nil || resp.StatusCode != 429 {
			t.Fatalf("%v, %v, want 429", resp, err)
		}
		start := time.Now()
		if _, err := get(t, tr); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d != 10*time.Second {
			t.Errorf("the next caller waited %s, want 10s", d)
		}
	})
}

// A pause grows, but a later answer that asks for less does not shorten it.
func TestLongestPauseCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		answers := map[string]struct {
			after time.Duration
			pause string
		}{
			"/a": {time.Second, "10"},
			"/b": {2 * time.Second, "3"},
			"/c": {3 * time.Second, "20"},
			"/d": {4 * time.Second, "1"},
		}
		var mu sync.Mutex
		seen := map[string][]time.Duration{}
		tr := httpretry.New(httpretry.Options{Base: server(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			seen[r.URL.Path] = append(seen[r.URL.Path], time.Since(start))
			first := len(seen[r.URL.Path]) == 1
			mu.Unlock()
			if !first {
				return response(200, strings.NewReader(`{}`)), nil
			}
			time.Sleep(answers[r.URL.Path].after)
			return response(429, strings.NewReader(`{}`), "Retry-After", answers[r.URL.Path].pause), nil
		})})
		var all sync.WaitGroup
		for path := range answers {
			all.Go(func() {
				resp, err := tr.Client().Get("https://api.example.com" + path)
				if err != nil {
					t.Error(err)
					return
				}
				body(t, resp)
			})
		}
		all.Wait()
		want := []time.Duration{0, 23 * time.Second}
		if diff := cmp.Diff(map[string][]time.Duration{"/a": want, "/b": want, "/c": want, "/d": want}, seen); diff != "" {
			t.Errorf("times of the requests (-want +got):\n%s", diff)
		}
	})
}

// Many callers, some in line for the rate limit and some waiting for their own
// retry, must not all go at once when a pause ends.
func TestPauseEndsWithAnEvenFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate, callers = 10, 60
		start := time.Now()
		answers := slices.Repeat([]server{answer(200, `{}`)}, callers+1)
		answers[20] = answer(429, `{}`, "Retry-After", "10")
		s := &script{answers: answers}
		tr := httpretry.New(httpretry.Options{Rate: rate, Base: s})
		var all sync.WaitGroup
		for range callers {
			all.Go(func() {
				if _, err := get(t, tr); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		times := s.times(start)
		if len(times) != callers+1 {
			t.Fatalf("%d requests, want %d", len(times), callers+1)
		}
		if pause := times[21] - times[20]; pause < 10*time.Second || pause > 10*time.Second+time.Second/rate*3/2 {
			t.Errorf("the request after the pause came %s after the answer that asked for 10 s", pause)
		}
		checkRate(t, s.at, rate)
		if d, limit := times[callers]-times[21], (callers-21)*time.Second/rate*3/2; d > limit {
			t.Errorf("the requests after the pause took %s, want less than %s", d, limit)
		}
	})
}

func TestCancelLeavesTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := &script{answers: []server{answer(200, `{}`)}}
		tr := httpretry.New(httpretry.Options{Rate: 0.1, Base: s})
		if _, err := get(t, tr); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(4*time.Second, cancel)
		if _, err := send(t, tr, ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want context.Canceled", err)
		}
		if d := time.Since(start); d != 4*time.Second {
			t.Errorf("it returned after %s, want 4s", d)
		}
		if len(s.at) != 1 {
			t.Errorf("%d requests, want 1", len(s.at))
		}
	})
}

// One cut is not worth a warning, for it may come of the network. A second one soon after is.
func TestWarningWhenRefusalsGoOn(t *testing.T) {
	const want = `level=WARN msg="Segment refused requests although we are below SEGMENT_RATE_LIMIT \(100/s\); ` +
		`slowing to 5\d/s\. Is another program using this space\?"`
	for name, lasts := range map[string]time.Duration{"a moment": 500 * time.Millisecond, "a while": 3 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			var log bytes.Buffer
			s := &quotaServer{latency: 60 * time.Millisecond, quota: 100, refuse: func(n int) bool {
				at := time.Since(began) - 5*time.Second
				return at > 0 && at < lasts && n%5 == 0
			}}
			tr := httpretry.New(httpretry.Options{API: "Segment", Rate: 100, RateSetting: "SEGMENT_RATE_LIMIT", RateScope: "space",
				Base: s, Log: slog.New(slog.NewTextHandler(&log, nil))})
			load(t, tr, 60*time.Second)
			if _, refused := s.between(began, began.Add(time.Minute)); refused < 3 {
				t.Errorf("%s: %d requests were refused", name, refused)
			}
			if isMatch := regexp.MustCompile(want).MatchString(log.String()); isMatch != (name == "a while") {
				t.Errorf("%s: the log is\n%s", name, log.String())
			}
			if n, _ := s.between(began.Add(50*time.Second), began.Add(60*time.Second)); n < 970 {
				t.Errorf("%s: %d requests accepted in the last ten seconds", name, n)
			}
		})
	}
}
