package httpretry_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"segsync/internal/httpretry"
)

// What the API waits for is told while it waits, and no longer.
func TestWaiting(t *testing.T) {
	for _, c := range []struct {
		name  string
		first server
		bad   server
		want  httpretry.Wait // times are set by the test
		until time.Duration  // from the start of the wait; 0: not known exactly
	}{
		{"quota", answer(200, `{}`), answer(200, `{}`, "X-Rate-Limit-Limit", "10", "X-Rate-Limit-Remaining", "2", "X-Rate-Limit-Retry", "946684920"),
			httpretry.Wait{Reason: httpretry.WaitQuota, Quota: "bulk_api_calls", Limit: 10}, 2 * time.Minute},
		{"pause", answer(200, `{}`), answer(429, `{}`, "Retry-After", "90"), httpretry.Wait{Reason: httpretry.WaitPause}, 90 * time.Second},
		{"outage", answer(200, `{}`), networkError, httpretry.Wait{Reason: httpretry.WaitOutage}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var mu sync.Mutex
				now := c.bad
				tr := httpretry.New(httpretry.Options{API: "Voucherify",
					Base: server(func(r *http.Request) (*http.Response, error) {
						mu.Lock()
						s := now
						mu.Unlock()
						return s.RoundTrip(r)
					}),
					Bucket: func(*http.Request) *httpretry.Bucket { return nil }})
				if c.name == "quota" {
					tr = httpretry.New(httpretry.Options{API: "Voucherify", Base: c.bad,
						Bucket: always(&httpretry.Bucket{Name: "bulk_api_calls", Period: time.Hour, Reserve: 0.2})})
					if _, err := get(t, tr); err != nil {
						t.Fatal(err)
					}
				}
				if w, ok := tr.Waiting(); ok {
					t.Errorf("before: %+v", w)
				}
				var all sync.WaitGroup
				for range 5 {
					all.Go(func() { get(t, tr) })
				}
				time.Sleep(40 * time.Second)
				w, ok := tr.Waiting()
				for !ok && time.Since(began) < 50*time.Second { // between two attempts
					time.Sleep(100 * time.Millisecond)
					w, ok = tr.Waiting()
				}
				c.want.API, c.want.Since = "Voucherify", began
				if c.until > 0 {
					c.want.Until = began.Add(c.until)
				} else {
					if d := time.Until(w.Until); w.Attempt < 4 || d < 0 || d > 30*time.Second {
						t.Errorf("attempt %d, the next in %s", w.Attempt, d)
					}
					c.want.Until, c.want.Attempt = w.Until, w.Attempt
				}
				if diff := cmp.Diff(c.want, w); diff != "" || !ok {
					t.Errorf("%v (-want +got):\n%s", ok, diff)
				}
				mu.Lock()
				now = c.first
				mu.Unlock()
				if c.name == "outage" { // one good answer ends it, whoever still waits
					if _, err := get(t, tr); err != nil {
						t.Error(err)
					}
					if w, ok := tr.Waiting(); ok {
						t.Errorf("after a good answer: %+v", w)
					}
				}
				tr.Hurry()
				all.Wait()
				if w, ok := tr.Waiting(); ok {
					t.Errorf("after: %+v", w)
				}
			})
		})
	}
}

// A single request that is tried again is nothing that the API waits for.
func TestOneRetryIsNoWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := httpretry.New(httpretry.Options{Base: server(func(r *http.Request) (*http.Response, error) {
			time.Sleep(time.Millisecond)
			if strings.HasSuffix(r.URL.Path, "/fine") {
				return response(200, strings.NewReader(`{}`)), nil
			}
			return response(500, strings.NewReader(`{}`)), nil
		})})
		var all sync.WaitGroup
		all.Go(func() { get(t, tr) })
		for range 100 {
			time.Sleep(100 * time.Millisecond)
			if _, err := tr.Client().Get(apiURL + "/fine"); err != nil {
				t.Error(err)
			}
			if w, ok := tr.Waiting(); ok {
				t.Fatalf("%+v", w)
			}
		}
		tr.Hurry()
		all.Wait()
	})
}
