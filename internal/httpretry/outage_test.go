package httpretry_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"segsync/internal/httpretry"
)

// failing is a server that fails for some time, from the time that it was made on. It
// answers good ones after a moment.
type failing struct {
	from, to time.Time
	bad      server

	mu       sync.Mutex
	requests int // while it failed
}

func newFailing(after, lasts time.Duration, bad server) *failing {
	from := time.Now().Add(after)
	return &failing{from: from, to: from.Add(lasts), bad: bad}
}

func (s *failing) RoundTrip(r *http.Request) (*http.Response, error) {
	now := time.Now()
	if now.Before(s.from) || !now.Before(s.to) {
		time.Sleep(10 * time.Millisecond)
		return answer(200, `{}`).RoundTrip(r)
	}
	s.mu.Lock()
	s.requests++
	s.mu.Unlock()
	return s.bad.RoundTrip(r)
}

// An outage of the API ends no request that is shorter than RetryFor, however it fails.
func TestOutageIsSatOut(t *testing.T) {
	for name, bad := range map[string]server{
		"503":                      answer(503, ""),
		"500":                      answer(500, "{}"),
		"429 that tells no end":    answer(429, "{}"),
		"network error":            networkError,
		"cut body":                 cut(200),
		"HTML":                     answer(200, "<html>"),
		"no answer":                silence,
		"503 that asks for pauses": answer(503, "", "Retry-After", "20"),
		"429 that asks for pauses": answer(429, "{}", "Retry-After", "20"),
		"504":                      answer(504, ""),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const outage = 20 * time.Minute
				s := newFailing(time.Second, outage, bad)
				tr := httpretry.New(httpretry.Options{API: "Segment", Base: s})
				if _, err := get(t, tr); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				began := time.Now()
				var all sync.WaitGroup
				for range 20 {
					all.Go(func() {
						if _, err := get(t, tr); err != nil {
							t.Error(err)
						}
					})
				}
				all.Wait()
				if d := time.Since(began); d < outage-time.Second || d > outage+61*time.Second {
					t.Errorf("it took %s", d)
				}
				if s.requests < 60 {
					t.Errorf("%d requests in the outage", s.requests)
				}
			})
		})
	}
}

// An outage ends after RetryFor with an error that tells about it.
func TestOutageThatIsTooLong(t *testing.T) {
	for _, c := range []struct {
		name     string
		retryFor time.Duration
		bad      server
		never    bool
		min      time.Duration
		max      time.Duration
		want     string
	}{
		{"half an hour by default", 0, answer(503, `{"error":"down"}`), false, 29 * time.Minute, 30 * time.Minute, `503 Service Unavailable: "{\"error\":\"down\"}"`},
		{"a message of JSON within JSON", 0, answer(503, `{"code":503,"message":"{\"message\":\"it is \\\"down\\\"\"}"}`), false, 29 * time.Minute, 30 * time.Minute, `503 Service Unavailable: it is "down"`},
		{"three minutes", 3 * time.Minute, networkError, false, 2 * time.Minute, 3 * time.Minute, "connection reset by peer"},
		{"no answer", 3 * time.Minute, silence, false, 2 * time.Minute, 3*time.Minute + 30*time.Second, "no answer within 30s"},
		{"429", 3 * time.Minute, answer(429, strings.Repeat("é", 300)), false, 2 * time.Minute, 3 * time.Minute, `429 Too Many Requests: "` + strings.Repeat("é", 100) + `"`},
		{"never answered", 0, answer(500, ""), true, 20 * time.Second, time.Minute, "500 Internal Server Error"},
		{"never answered, silent", 0, silence, true, 30 * time.Second, 61 * time.Second, "no answer within 30s"},
		{"never answered, less time", 10 * time.Second, networkError, true, time.Second, 10 * time.Second, "connection reset by peer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				after := time.Second
				if c.never {
					after = 0
				}
				s := newFailing(after, 24*time.Hour, c.bad)
				tr := httpretry.New(httpretry.Options{API: "Segment", Base: s, RetryFor: c.retryFor})
				if !c.never {
					if _, err := get(t, tr); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(time.Minute)
				began := time.Now()
				_, err := get(t, tr)
				var outage *httpretry.OutageError
				if !errors.As(err, &outage) {
					t.Fatalf("error %v, want an OutageError", err)
				}
				if d := time.Since(began); d < c.min || d > c.max {
					t.Errorf("it took %s, want %s to %s", d, c.min, c.max)
				}
				want := &httpretry.OutageError{API: "Segment", Since: began, Attempts: s.requests, Never: c.never}
				if status, _, ok := strings.Cut(c.want, " "); ok {
					want.Status, _ = strconv.Atoi(status) // 0 for what is no answer
				}
				if refused := strings.Contains(err.Error(), "has refused all requests since"); refused != (want.Status == 429) {
					t.Errorf("status %d: %v", want.Status, err)
				}
				got := *outage
				got.Err = nil
				if diff := cmp.Diff(*want, got); diff != "" {
					t.Errorf("OutageError (-want +got):\n%s", diff)
				}
				if !strings.HasPrefix(c.want, "no answer") && outage.Err.Error() != c.want {
					t.Errorf("cause %q, want %q", outage.Err, c.want)
				}
			})
		})
	}
}

// Answers that are still on their way when an outage begins are no sign that the API
// answers others: requests that were sent together with them wait it out as well.
func TestLastGoodAnswersBeforeAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const outage = 10 * time.Minute
		began := time.Now()
		tr := httpretry.New(httpretry.Options{API: "Segment", Base: server(func(r *http.Request) (*http.Response, error) {
			late := strings.HasSuffix(r.URL.Path, "/late")
			if late {
				time.Sleep(100 * time.Millisecond)
			}
			if !late && time.Since(began) < outage {
				return response(503, strings.NewReader("")), nil
			}
			return response(200, strings.NewReader(`{}`)), nil
		})})
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := tr.Client().Get(apiURL + "/late"); err != nil {
				t.Error(err)
			}
		})
		for range 20 {
			all.Go(func() {
				if resp, err := get(t, tr); err != nil || resp.StatusCode != 200 {
					t.Errorf("%v, %v, want the answer after the outage", resp, err)
				}
			})
		}
		all.Wait()
	})
}

// A request that always fails has ten attempts while the API answers others, also where
// that was only at the beginning.
func TestOneBadRequestIsNoOutage(t *testing.T) {
	for name, others := range map[string]time.Duration{"all the time": 10 * time.Minute, "at first": 5 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				tr := httpretry.New(httpretry.Options{Base: server(func(r *http.Request) (*http.Response, error) {
					time.Sleep(50 * time.Millisecond)
					if strings.HasSuffix(r.URL.Path, "/fine") {
						return response(404, strings.NewReader(`{}`)), nil
					}
					return response(500, strings.NewReader(`{}`)), nil
				})})
				var all sync.WaitGroup
				for range 8 {
					all.Go(func() {
						resp, err := get(t, tr)
						if err != nil || resp.StatusCode != 500 || resp.Header.Get(httpretry.AttemptsHeader) != "10" {
							t.Errorf("%v, %v, want 500 after ten attempts", resp, err)
						}
					})
				}
				ended := make(chan struct{})
				go func() { all.Wait(); close(ended) }()
				for time.Since(began) < others {
					select {
					case <-ended:
						return
					case <-time.After(time.Second):
					}
					if _, err := tr.Client().Get(apiURL + "/fine"); err != nil {
						t.Error(err)
					}
				}
				<-ended
			})
		})
	}
}

// A long outage leaves a request attempts for when it is over: one more failure does not end it,
// unless it comes at the end of a round of ten.
func TestAttemptsAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFailing(time.Second, 10*time.Minute, answer(503, ""))
		var mu sync.Mutex
		failed := map[string]bool{}
		tr := httpretry.New(httpretry.Options{Base: server(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			fails := !time.Now().Before(s.to) && !failed[r.URL.Path]
			failed[r.URL.Path] = failed[r.URL.Path] || fails
			mu.Unlock()
			if fails {
				return answer(500, "").RoundTrip(r)
			}
			return s.RoundTrip(r)
		})})
		if _, err := get(t, tr); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		var all sync.WaitGroup
		var good atomic.Int64
		for i := range 100 {
			all.Go(func() {
				if resp, err := tr.Client().Get(apiURL + strings.Repeat("/x", i)); err == nil && resp.StatusCode == 200 {
					good.Add(1)
				}
			})
		}
		all.Wait()
		if n := good.Load(); n < 70 {
			t.Errorf("%d of 100 requests succeeded after the outage", n)
		}
	})
}

// The time limit of an attempt grows with the body.
func TestTimeLimitGrowsWithTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var took []time.Duration
		tr := httpretry.New(httpretry.Options{API: "Voucherify", RetryFor: -1, Base: server(func(r *http.Request) (*http.Response, error) {
			start := time.Now()
			<-r.Context().Done()
			took = append(took, time.Since(start))
			return nil, r.Context().Err()
		})})
		_, err := tr.Client().Post(apiURL, "application/json", strings.NewReader(strings.Repeat("x", 640<<10)))
		var late *httpretry.TimeoutError
		if !errors.As(err, &late) {
			t.Fatalf("error %v, want a TimeoutError", err)
		}
		want := &httpretry.TimeoutError{API: "Voucherify", After: 40 * time.Second, Bytes: 640 << 10, Attempts: 2}
		if diff := cmp.Diff(want, late); diff != "" {
			t.Errorf("TimeoutError (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]time.Duration{40 * time.Second, 40 * time.Second}, took); diff != "" {
			t.Errorf("time of each attempt (-want +got):\n%s", diff)
		}
	})
}

// A POST without an answer is sent twice, in an outage, too.
func TestPostThatMayHaveBeenApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		posts := 0
		tr := httpretry.New(httpretry.Options{Base: server(func(r *http.Request) (*http.Response, error) {
			io.Copy(io.Discard, r.Body)
			if posts++; posts == 2 {
				return nil, errNetwork // was not sent
			}
			return silence(r)
		})})
		_, err := tr.Client().Post(apiURL, "application/json", strings.NewReader("{}"))
		var late *httpretry.TimeoutError
		if !errors.As(err, &late) || !late.TimedOut() || posts != 3 || late.Attempts != 3 {
			t.Errorf("error %v after %d requests, want a TimeoutError after the second without an answer", err, posts)
		}
	})
}

// Pauses that the server asks for are bounded by MaxWait, not by RetryFor.
func TestPauseThatIsLongerThanRetryFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []server{answer(429, `{}`, "Retry-After", "250"), answer(503, ``, "Retry-After", "250"), answer(200, `{}`)}}
		if _, err := get(t, httpretry.New(httpretry.Options{Base: s, RetryFor: time.Minute})); err != nil {
			t.Error(err)
		}
	})
}

// A request that its caller ends is no failure of the API.
func TestCanceledRequestBeginsNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := answer(200, `{}`)
		tr := httpretry.New(httpretry.Options{RetryFor: 3 * time.Minute, Base: server(func(r *http.Request) (*http.Response, error) {
			return now.RoundTrip(r)
		})})
		if _, err := get(t, tr); err != nil {
			t.Fatal(err)
		}
		now = silence
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := send(t, tr, ctx); err == nil {
			t.Fatal("no error")
		}
		time.Sleep(time.Hour)
		began := time.Now()
		now = networkError
		_, err := get(t, tr)
		var outage *httpretry.OutageError
		if !errors.As(err, &outage) || !outage.Since.Equal(began) {
			t.Errorf("%v, want an outage since %s", err, began)
		}
	})
}
