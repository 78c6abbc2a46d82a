package httpretry_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"segsync/internal/httpretry"
)

// In a bubble the clock begins at a full second, so X-Rate-Limit-Retry and an HTTP
// date can name the end of a pause exactly.
func TestAskedPauseIsWaitedExactly(t *testing.T) {
	unix := func(d time.Duration) string { return strconv.FormatInt(time.Now().Add(d).Unix(), 10) }
	date := func(d time.Duration) string { return time.Now().UTC().Add(d).Format(http.TimeFormat) }
	for _, c := range []struct {
		name   string
		status int
		header func() []string
		want   time.Duration
	}{
		{"seconds", 429, func() []string { return []string{"Retry-After", "7"} }, 7 * time.Second},
		{"seconds on 503", 503, func() []string { return []string{"Retry-After", "7"} }, 7 * time.Second},
		{"fraction of a second", 429, func() []string { return []string{"Retry-After", "1.5"} }, 1500 * time.Millisecond},
		{"longest pause", 429, func() []string { return []string{"Retry-After", "300"} }, 5 * time.Minute},
		{"date", 429, func() []string { return []string{"Retry-After", date(90 * time.Second)} }, 90 * time.Second},
		{"date on 503", 503, func() []string { return []string{"Retry-After", date(90 * time.Second)} }, 90 * time.Second},
		{"Voucherify's unix seconds", 429, func() []string { return []string{"X-Rate-Limit-Retry", unix(42 * time.Second)} }, 42 * time.Second},
		{"Retry-After before unix seconds", 429, func() []string {
			return []string{"Retry-After", "3", "X-Rate-Limit-Retry", unix(42 * time.Second)}
		}, 3 * time.Second},
		{"unix seconds beside nonsense", 429, func() []string {
			return []string{"Retry-After", "soon", "X-Rate-Limit-Retry", unix(42 * time.Second)}
		}, 42 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				s := &script{answers: []server{answer(c.status, "", c.header()...), answer(200, `{}`)}}
				if _, err := get(t, httpretry.New(httpretry.Options{Base: s})); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff([]time.Duration{0, c.want}, s.times(start)); diff != "" {
					t.Errorf("times of the requests (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// What asks for no pause leaves the first wait to the backoff: up to 0.5 s.
func TestNoPauseAsked(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		header func() []string
	}{
		{"zero", 429, func() []string { return []string{"Retry-After", "0"} }},
		{"negative", 429, func() []string { return []string{"Retry-After", "-5"} }},
		{"not a number", 429, func() []string { return []string{"Retry-After", "NaN"} }},
		{"words", 429, func() []string { return []string{"Retry-After", "later"} }},
		{"a date that has passed", 429, func() []string { return []string{"Retry-After", "Mon, 02 Jan 2006 15:04:05 +0000"} }},
		{"unix seconds that have passed", 429, func() []string { return []string{"X-Rate-Limit-Retry", "3"} }},
		{"unix seconds in words", 429, func() []string { return []string{"X-Rate-Limit-Retry", "later"} }},
		{"unix seconds on another status", 503, func() []string {
			return []string{"X-Rate-Limit-Retry", strconv.FormatInt(time.Now().Add(time.Minute).Unix(), 10)}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				s := &script{answers: []server{answer(c.status, "", c.header()...), answer(200, `{}`)}}
				if _, err := get(t, httpretry.New(httpretry.Options{Base: s})); err != nil {
					t.Fatal(err)
				}
				if times := s.times(start); len(times) != 2 || times[1] > 500*time.Millisecond+time.Microsecond {
					t.Errorf("requests at %v, want the second within 0.5 s", times)
				}
			})
		})
	}
}

func TestPauseThatIsTooLongEndsTheRequest(t *testing.T) {
	for _, c := range []struct {
		name    string
		maxWait time.Duration
		status  int
		header  []string
		want    time.Duration // from now
	}{
		{"more than five minutes", 0, 429, []string{"Retry-After", "301"}, 301 * time.Second},
		{"on 503", 0, 503, []string{"Retry-After", "3600"}, time.Hour},
		{"date", 0, 429, []string{"Retry-After", "Sat, 01 Jan 2000 06:00:00 GMT"}, 6 * time.Hour},
		{"Voucherify's unix seconds", 0, 429, []string{"X-Rate-Limit-Retry", "946688400"}, time.Hour}, // 2000-01-01T01:00Z
		{"more than MaxWait", time.Second, 429, []string{"Retry-After", "2"}, 2 * time.Second},
		{"more than a clock holds", 0, 429, []string{"Retry-After", "1e300"}, 365 * 24 * time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				tr := httpretry.New(httpretry.Options{API: "Voucherify", MaxWait: c.maxWait, Base: answer(c.status, `{}`, c.header...)})
				_, err := tr.Client().Get(apiURL)
				var wait *httpretry.WaitError
				if !errors.As(err, &wait) {
					t.Fatalf("error %v, want a WaitError", err)
				}
				want := &httpretry.WaitError{API: "Voucherify", Until: start.Add(c.want), Status: c.status}
				if diff := cmp.Diff(want, wait); diff != "" {
					t.Errorf("WaitError (-want +got):\n%s", diff)
				}
				text := fmt.Sprintf("Voucherify answered %d and asks to wait until %s, longer than this run waits",
					c.status, start.Add(c.want).Format(time.RFC3339))
				if wait.Error() != text {
					t.Errorf("%q\nwant %q", wait, text)
				}
				if d := time.Since(start); d != 0 {
					t.Errorf("it came after %s, want at once", d)
				}
				if n := tr.Stats().Requests; n != 1 {
					t.Errorf("%d requests, want 1", n)
				}
			})
		})
	}
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
		if d, most := times[callers]-times[21], (callers-21)*time.Second/rate*3/2; d > most {
			t.Errorf("the requests after the pause took %s, want less than %s", d, most)
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
				if most := time.Duration(float64(requests-1) / (0.95 * rate) * float64(time.Second)); took > most {
					t.Errorf("%d requests took %s, want at most %s", requests, took, most)
				}
				time.Sleep(time.Minute) // what is not used is not saved up
				burst()
				checkRate(t, s.at, rate)
			})
		})
	}
}

// checkRate fails the test if more than rate requests came in any one second, or two
// closer together than an even flow has them.
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
		if i > 0 && at[i].Sub(at[i-1]) < time.Duration(float64(time.Second)/rate) {
			t.Fatalf("request %d came %s after the one before it, want at least 1/%v s", i+1, at[i].Sub(at[i-1]), rate)
		}
	}
}

func TestNoLimitWithoutARate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		tr := httpretry.New(httpretry.Options{Base: answer(200, `{}`)})
		for range 1000 {
			if _, err := get(t, tr); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("1000 requests took %s, want no wait", d)
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

func TestCancelLeavesThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := &script{answers: []server{answer(429, `{}`, "Retry-After", "60"), answer(200, `{}`)}}
		tr := httpretry.New(httpretry.Options{Base: s})
		var all sync.WaitGroup
		all.Go(func() { get(t, tr) })
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(4*time.Second, cancel)
		if _, err := send(t, tr, ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want context.Canceled", err)
		}
		if d := time.Since(start); d != 4*time.Second {
			t.Errorf("it returned after %s, want 4s", d)
		}
		all.Wait()
		if diff := cmp.Diff([]time.Duration{0, time.Minute}, s.times(start)); diff != "" {
			t.Errorf("times of the requests (-want +got):\n%s", diff)
		}
	})
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
