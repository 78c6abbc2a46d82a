package httpretry_test

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"segsync/internal/httpretry"
)

// hung answers 101, and reading what follows never ends.
func hung(*http.Request) (*http.Response, error) {
	r, _ := io.Pipe()
	return response(101, r), nil
}

// bodyWithoutContext is a body that knows nothing of the request's context.
func bodyWithoutContext(*http.Request) (*http.Response, error) {
	r, w := io.Pipe()
	resp := response(200, r)
	resp.Body = r
	_ = w
	return resp, nil
}

// unixIn returns the time that is d from now, in unix seconds.
func unixIn(d time.Duration) string { return strconv.FormatInt(time.Now().Add(d).Unix(), 10) }

// Every wait ends within a second of Hurry, one for a turn within ten, and at once when the
// context ends. A request that is under way, or gets its turn after Hurry, has at most 30 s.
func TestEveryWaitEnds(t *testing.T) {
	quota := func(limit, remaining string, until time.Duration) server {
		return func(r *http.Request) (*http.Response, error) {
			return response(200, strings.NewReader(`{}`), "X-Rate-Limit-Limit", limit, "X-Rate-Limit-Remaining", remaining,
				"X-Rate-Limit-Retry", unixIn(until)), nil
		}
	}
	bucket := always(&httpretry.Bucket{Name: "b", Period: time.Hour})
	for _, c := range []struct {
		name    string
		opts    httpretry.Options
		before  int    // requests before
		first   server // the answer to them
		bad     server
		callers int
		hurry   time.Duration // longest time that it takes after Hurry
	}{
		{"pause before a retry", httpretry.Options{}, 1, answer(200, `{}`), answer(503, ""), 1, 0},
		{"retry in an outage", httpretry.Options{Attempts: 2}, 1, answer(200, `{}`), networkError, 1, 0},
		{"pause asked for, its request", httpretry.Options{}, 0, nil, answer(429, "", "Retry-After", "200"), 1, 0},
		{"pause asked for, others", httpretry.Options{}, 0, nil, answer(429, "", "Retry-After", "200"), 20, time.Second},
		{"quota", httpretry.Options{Bucket: bucket}, 1, quota("10", "0", 200*time.Second), silence, 1, 0},
		{"queue for a quota", httpretry.Options{Bucket: bucket}, 1, quota("10", "0", 200*time.Second), silence, 20, time.Second},
		{"spread over a minute", httpretry.Options{Bucket: bucket}, 2, quota("10", "3", 90*time.Second), silence, 1, 10 * time.Second},
		{"news of a quota", httpretry.Options{Bucket: bucket}, 0, nil, silence, 20, 40 * time.Second},
		{"the pace", httpretry.Options{Rate: 0.01}, 1, answer(200, `{}`), silence, 1, 10 * time.Second},
		{"the queue of the pace", httpretry.Options{Rate: 0.01}, 1, answer(200, `{}`), silence, 20, 10 * time.Second},
		{"no answer", httpretry.Options{}, 0, nil, silence, 20, 30 * time.Second},
		{"a body that stalls", httpretry.Options{}, 0, nil, stalled, 20, 30 * time.Second},
		{"a body without a context", httpretry.Options{}, 0, nil, bodyWithoutContext, 20, 30 * time.Second},
		{"the probe", httpretry.Options{Attempts: 1, Probe: func(ctx context.Context) (*http.Request, error) {
			return http.NewRequestWithContext(ctx, http.MethodGet, apiURL+"/probe", nil)
		}}, 1, answer(200, `{}`), func(r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, "/probe") {
				return silence(r)
			}
			return nil, errNetwork
		}, 20, 30 * time.Second},
	} {
		for _, how := range []string{"hurry", "cancel"} {
			t.Run(c.name+", "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					now := c.first
					opts := c.opts
					opts.Base = server(func(r *http.Request) (*http.Response, error) { return now(r) })
					tr := httpretry.New(opts)
					for range c.before {
						if _, err := get(t, tr); err != nil {
							t.Fatal(err)
						}
					}
					now = c.bad
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					var all sync.WaitGroup
					var ended atomic.Int64
					for range c.callers {
						all.Go(func() {
							resp, err := send(t, tr, ctx)
							if err == nil {
								resp.Body.Close()
							}
							ended.Add(1)
						})
					}
					time.Sleep(2*time.Second + time.Millisecond)
					if n := ended.Load(); n > 0 {
						t.Errorf("%d requests ended before the interrupt", n)
					}
					most := c.hurry
					if how == "hurry" {
						tr.Hurry()
					} else {
						cancel()
						most = 0
					}
					began := time.Now()
					all.Wait()
					if d := time.Since(began); d > most {
						t.Errorf("it took %s, want at most %s", d, most)
					}
				})
			})
		}
	}
}

// A large upload has at most 30 s after Hurry, and the requests that come later, too.
func TestUploadAfterHurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := httpretry.New(httpretry.Options{Base: server(silence)})
		large := strings.Repeat("x", 10<<20) // 160 s
		began := time.Now()
		time.AfterFunc(10*time.Second, tr.Hurry)
		if _, err := tr.Client().Post(apiURL, "", strings.NewReader(large)); err == nil {
			t.Error("no error")
		}
		if d := time.Since(began); d != 40*time.Second {
			t.Errorf("it took %s, want 40s", d)
		}
		began = time.Now()
		if _, err := tr.Client().Post(apiURL, "", strings.NewReader(large)); err == nil {
			t.Error("no error")
		}
		if d := time.Since(began); d != 30*time.Second {
			t.Errorf("after Hurry it took %s, want 30s", d)
		}
	})
}

// After Hurry a request that need not wait is still sent, and one that waited has its last
// answer.
func TestHurryEndsWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := httpretry.New(httpretry.Options{API: "Segment", Base: server(func(r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, "/fine") {
				return response(200, strings.NewReader(`{}`)), nil
			}
			return response(503, strings.NewReader(`{}`), "Retry-After", "240"), nil
		})})
		began := time.Now()
		time.AfterFunc(10*time.Second, tr.Hurry)
		resp, err := tr.Client().Get(apiURL + "/waits")
		if err != nil || resp.StatusCode != 503 {
			t.Errorf("%v, %v", resp, err)
		}
		if waited := time.Since(began); waited != 10*time.Second {
			t.Errorf("it ended after %s, want 10s", waited)
		}
		if _, err := tr.Client().Get(apiURL + "/paused"); err == nil || !strings.Contains(err.Error(), "interrupted while waiting") {
			t.Errorf("during the pause: %v", err)
		}
		time.Sleep(5 * time.Minute)
		if _, err := tr.Client().Get(apiURL + "/fine"); err != nil {
			t.Errorf("after the pause: %v", err)
		}
		if waited := time.Since(began); waited > 6*time.Minute {
			t.Errorf("it took %s", waited)
		}
	})
}

// A retry that is in line when Hurry comes has the answer to the attempt before.
func TestHurryWhileARetryIsInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := httpretry.New(httpretry.Options{Rate: 0.01, Base: answer(503, `{}`)})
		time.AfterFunc(10*time.Second, tr.Hurry)
		if resp, err := get(t, tr); err != nil || resp.StatusCode != 503 {
			t.Errorf("%v, %v, want 503", resp, err)
		}
	})
}

// What was throttled is finished after Hurry, as long as that takes no more than ten
// seconds; an API that does not answer is not waited for.
func TestThrottledRequestsAreFinishedAfterHurry(t *testing.T) {
	for _, c := range []struct {
		name     string
		fails    server
		finished bool
	}{
		{"throttled", answer(429, `{}`), true},
		{"throttled with a short pause", answer(429, `{}`, "Retry-After", "2"), true},
		{"throttled with a long pause", answer(429, `{}`, "Retry-After", "60"), false},
		{"an outage", answer(503, `{}`), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				tr := httpretry.New(httpretry.Options{Base: server(func(r *http.Request) (*http.Response, error) {
					if time.Since(began) < 300*time.Millisecond { // the third delay is 8 s at the most
						return c.fails(r)
					}
					return response(200, strings.NewReader(`{}`)), nil
				})})
				time.AfterFunc(100*time.Millisecond, tr.Hurry)
				var all sync.WaitGroup
				for range 5 {
					all.Go(func() {
						resp, err := get(t, tr)
						if finished := err == nil && resp.StatusCode == 200; finished != c.finished {
							t.Errorf("%v, %v, want finished %v", resp, err, c.finished)
						}
					})
				}
				all.Wait()
				if d := time.Since(began); d > 11*time.Second {
					t.Errorf("it took %s", d)
				}
			})
		})
	}
}

// Requests that join the line after Hurry end with those before them.
func TestRequestsThatComeAfterHurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := httpretry.New(httpretry.Options{Rate: 0.01, Base: answer(200, `{}`)})
		if _, err := get(t, tr); err != nil {
			t.Fatal(err)
		}
		tr.Hurry()
		began := time.Now()
		time.Sleep(6 * time.Second)
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { get(t, tr) })
		}
		all.Wait()
		if d := time.Since(began); d != 10*time.Second {
			t.Errorf("the last one ended %s after Hurry, want 10s", d)
		}
	})
}
