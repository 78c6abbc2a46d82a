package httpretry_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"segsync/internal/httpretry"
	"segsync/voucherify"
)

// What the API waits for is told while it waits, and no longer.
func TestWaiting(t *testing.T) {
	for _, c := range []struct {
		name  string
		bad   server
		want  httpretry.Wait // times are set by the test
		until time.Duration  // from the start of the wait; 0: not known exactly
	}{
		{"quota", answer(200, `{}`, "X-Rate-Limit-Limit", "10", "X-Rate-Limit-Remaining", "2", "X-Rate-Limit-Retry", "946684920"),
			httpretry.Wait{Reason: httpretry.WaitQuota, Quota: "api_calls", Limit: 10}, 2 * time.Minute},
		{"pause", answer(429, `{}`, "Retry-After", "90"), httpretry.Wait{Reason: httpretry.WaitPause}, 90 * time.Second},
		{"outage", networkError, httpretry.Wait{Reason: httpretry.WaitOutage}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				tr := httpretry.New(httpretry.Options{API: "Voucherify", Reserve: 0.2, Quota: voucherify.QuotaOf, ReadQuota: voucherify.ReadQuota,
					Base: server(func(r *http.Request) (*http.Response, error) {
						if r.URL.Path == "/fine" {
							return answer(200, `{}`).RoundTrip(r)
						}
						return c.bad.RoundTrip(r)
					})})
				if w, ok := tr.Waiting(); ok {
					t.Errorf("before: %+v", w)
				}
				if _, err := tr.Client().Get("https://api.example.com/fine"); err != nil { // the API is known
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancelCause(t.Context())
				because := errors.New("interrupted")
				var all sync.WaitGroup
				for range 5 {
					all.Go(func() {
						if _, err := send(t, tr, ctx); err != nil && err != because {
							t.Errorf("error %v, want the cause of the context's end", err)
						}
					})
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
				if c.name == "outage" { // one good answer ends it, whoever still waits
					if _, err := tr.Client().Get("https://api.example.com/fine"); err != nil {
						t.Error(err)
					}
					if w, ok := tr.Waiting(); ok {
						t.Errorf("after a good answer: %+v", w)
					}
				}
				cancel(because)
				all.Wait()
				if w, ok := tr.Waiting(); ok {
					t.Errorf("after: %+v", w)
				}
			})
		})
	}
}

// A quota is told before a pause, and a pause before an outage, although they end in
// another order.
func TestWaitingForSeveralThings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		tr := httpretry.New(httpretry.Options{Quota: voucherify.QuotaOf, ReadQuota: voucherify.ReadQuota,
			Base: server(func(r *http.Request) (*http.Response, error) {
				switch r.URL.Path {
				case "/outage":
					return networkError(r)
				case "/pause":
					return answer(503, "", "Retry-After", "120").RoundTrip(r)
				}
				return answer(200, `{}`, "X-Rate-Limit-Limit", "10", "X-Rate-Limit-Remaining", "0", "X-Rate-Limit-Retry", unixIn(4*time.Minute)).RoundTrip(r)
			})})
		var all sync.WaitGroup
		ask := func(method, path string) {
			all.Go(func() {
				req, _ := http.NewRequestWithContext(ctx, method, "https://api.example.com"+path, nil)
				tr.RoundTrip(req)
			})
			synctest.Wait()
		}
		const bulk = "/v1/customers/bulk/async"
		ask(http.MethodPost, bulk) // uses the quota up
		ask(http.MethodGet, "/outage")
		w, _ := tr.Waiting()
		for time.Until(w.Until) < 2*time.Second && time.Since(began) < 10*time.Minute {
			time.Sleep(time.Second)
			w, _ = tr.Waiting()
		}
		got := []httpretry.WaitReason{w.Reason}
		for _, request := range [][2]string{{http.MethodGet, "/pause"}, {http.MethodPost, bulk}} {
			ask(request[0], request[1])
			w, _ := tr.Waiting()
			got = append(got, w.Reason)
		}
		if diff := cmp.Diff([]httpretry.WaitReason{httpretry.WaitOutage, httpretry.WaitPause, httpretry.WaitQuota}, got); diff != "" {
			t.Errorf("reasons (-want +got):\n%s", diff)
		}
		cancel()
		all.Wait()
	})
}
