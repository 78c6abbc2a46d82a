package httpretry_test

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"segsync/internal/httpretry"
)

// keepAsking has callers ask, one request after the other, for the time d.
func keepAsking(t *testing.T, tr *httpretry.Transport, callers int, d time.Duration) {
	t.Helper()
	end := time.Now().Add(d)
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for time.Now().Before(end) {
				if _, err := get(t, tr); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

// Somebody else takes half of the quota: the rate falls to the other half, for those in
// line, too, without many refusals on the way.
func TestRateFallsAtOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const quota, left = 100, 50
		var mu sync.Mutex
		var accepted []time.Time
		refused := 0
		tr := httpretry.New(httpretry.Options{Rate: quota, Base: server(func(req *http.Request) (*http.Response, error) {
			mu.Lock()
			n := len(accepted)
			ok := n < left || time.Since(accepted[n-left]) >= time.Second
			if ok {
				accepted = append(accepted, time.Now())
			} else {
				refused++
			}
			mu.Unlock()
			time.Sleep(100 * time.Millisecond)
			if ok {
				return answer(200, `{}`).RoundTrip(req)
			}
			return answer(429, `{}`).RoundTrip(req)
		})})
		start := time.Now()
		keepAsking(t, tr, 2*quota, 20*time.Second)
		n := 0
		for _, at := range accepted {
			if d := at.Sub(start); d >= 10*time.Second && d < 20*time.Second {
				n++
			}
		}
		if n < 10*left*9/10 {
			t.Errorf("%d requests were accepted in the second ten seconds, want at least 0.9 of %d", n, 10*left)
		}
		if most := (len(accepted) + refused) / 10; refused > most {
			t.Errorf("%d of %d requests were refused, want at most %d", refused, len(accepted)+refused, most)
		}
	})
}

// After a stall, in which few are answered, a few refusals are no reason to slow down by
// much.
func TestStallIsNoReasonToSlowDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const quota = 100
		start := time.Now()
		var refused, lateOnes atomic.Int64
		tr := httpretry.New(httpretry.Options{Rate: quota, Base: server(func(req *http.Request) (*http.Response, error) {
			at := time.Since(start)
			switch {
			case at >= 5*time.Second && at < 5600*time.Millisecond:
				time.Sleep(5600*time.Millisecond - at)
			case at >= 5600*time.Millisecond && refused.Add(1) <= 4:
				return answer(429, `{}`).RoundTrip(req)
			case at >= 7*time.Second && at < 9*time.Second:
				lateOnes.Add(1)
			}
			time.Sleep(100 * time.Millisecond)
			return answer(200, `{}`).RoundTrip(req)
		})})
		keepAsking(t, tr, 20, 9*time.Second)
		if n := lateOnes.Load(); n < 2*quota*9/10 {
			t.Errorf("%d requests in two seconds after the stall, want at least 0.9 of %d", n, 2*quota)
		}
	})
}
