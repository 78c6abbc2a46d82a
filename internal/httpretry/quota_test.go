package httpretry_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
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
	"segsync/voucherify"
)

// countingServer counts requests in a quota as Voucherify does.
type countingServer struct {
	limit   int
	period  time.Duration
	others  int           // taken by others at the start of each period
	ahead   time.Duration // our clock is ahead of the server's by this
	latency time.Duration
	silent  bool // does not tell when the period ends

	mu       sync.Mutex
	began    time.Time
	used     int
	lowest   int // of what was left after a request
	refused  int
	inFlight int
	peak     int // requests in flight at once
	at       []time.Time
}

func (s *countingServer) RoundTrip(*http.Request) (*http.Response, error) {
	s.mu.Lock()
	now := time.Now()
	if s.began.IsZero() {
		s.began, s.used, s.lowest = now, s.others, s.limit
	}
	for now.Sub(s.began) >= s.period {
		s.began, s.used = s.began.Add(s.period), s.others
	}
	s.inFlight++
	s.peak = max(s.peak, s.inFlight)
	s.at = append(s.at, now)
	code := 200
	if s.used == s.limit {
		code = 429
		s.refused++
	} else {
		s.used++
	}
	left := s.limit - s.used
	s.lowest = min(s.lowest, left)
	header := []string{
		"X-Rate-Limit-Limit", strconv.Itoa(s.limit), "X-Rate-Limit-Remaining", strconv.Itoa(left),
		"X-Rate-Limit-Retry", strconv.FormatInt(s.began.Add(s.period-s.ahead).Unix(), 10),
	}
	if s.silent {
		header[5] = strconv.FormatInt(now.Unix(), 10)
	}
	s.mu.Unlock()
	time.Sleep(s.latency)
	s.mu.Lock()
	s.inFlight--
	s.mu.Unlock()
	return response(code, strings.NewReader(`{}`), header...), nil
}

func (s *countingServer) times(start time.Time) (times []time.Duration) {
	for _, t := range s.at {
		times = append(times, t.Sub(start))
	}
	return times
}

// quotaOptions are those for a quota of the documented period.
func quotaOptions(base http.RoundTripper, period time.Duration, reserve float64) httpretry.Options {
	return httpretry.Options{
		API: "Voucherify", Base: base, Reserve: reserve, ReadQuota: voucherify.ReadQuota,
		Quota: func(*http.Request) (string, time.Duration) { return "bulk_api_calls", period },
	}
}

func withQuota(base http.RoundTripper, period time.Duration, reserve float64, maxWait time.Duration) *httpretry.Transport {
	opts := quotaOptions(base, period, reserve)
	opts.MaxWait = maxWait
	return httpretry.New(opts)
}

// All but the reserve is used, in each period, and never more.
func TestQuotaKeepsTheReserve(t *testing.T) {
	for _, c := range []struct {
		name        string
		limit       int
		period      time.Duration
		others      int
		reserve     float64
		n           int
		lowest, max int // left; periods
	}{
		{"a minute", 100, time.Minute, 0, 0.2, 300, 20, 4},
		{"a minute, no reserve", 100, time.Minute, 0, 0, 300, 0, 3},
		{"others were first", 100, time.Minute, 50, 0.2, 90, 20, 3},
		{"a long period", 50, 4 * time.Minute, 0, 0.2, 100, 10, 3},
		{"one at a time", 2, time.Minute, 0, 0.5, 4, 1, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &countingServer{limit: c.limit, period: c.period, others: c.others, latency: 300 * time.Millisecond}
				tr := withQuota(s, c.period, c.reserve, time.Hour)
				began := time.Now()
				sendAll(t, tr, c.n)
				if s.refused != 0 || s.lowest != c.lowest {
					t.Errorf("%d refused, and as few as %d left, want %d", s.refused, s.lowest, c.lowest)
				}
				if d := time.Since(began); d > time.Duration(c.max)*c.period || len(s.at) != c.n {
					t.Errorf("%d requests in %s", len(s.at), d)
				}
			})
		})
	}
}

// When the reserve is reached the next request waits for the end of the period that the
// server told of, which is logged once, and no longer.
func TestQuotaWaitsForTheNextPeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &countingServer{limit: 10, period: 4 * time.Minute}
		var log bytes.Buffer
		opts := quotaOptions(s, time.Hour, 0.2)
		opts.Log = slog.New(slog.NewTextHandler(&log, nil))
		tr := httpretry.New(opts)
		began := time.Now()
		sendAll(t, tr, 12)
		var want []time.Duration
		for i := range 12 {
			want = append(want, time.Duration(i/8)*4*time.Minute)
		}
		if diff := cmp.Diff(want, s.times(began)); diff != "" {
			t.Errorf("times of the requests (-want +got):\n%s", diff)
		}
		line := `level=INFO msg="the quota is used up but for the reserve: waiting" api=Voucherify quota=bulk_api_calls until=` +
			began.Add(4*time.Minute).Format(time.RFC3339)
		if strings.Count(log.String(), line) != 1 || strings.Count(log.String(), "\n") != 1 {
			t.Errorf("log:\n%s", log.String())
		}
	})
}

func TestQuotaThatEndsTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &countingServer{limit: 10, period: time.Hour}
		tr := withQuota(s, time.Hour, 0.2, 0)
		began := time.Now()
		sendAll(t, tr, 8)
		_, err := tr.Client().Get(apiURL)
		var wait *httpretry.WaitError
		if !errors.As(err, &wait) {
			t.Fatalf("error %v", err)
		}
		want := &httpretry.WaitError{API: "Voucherify", Until: began.Add(time.Hour), Quota: "bulk_api_calls"}
		if diff := cmp.Diff(want, wait); diff != "" {
			t.Errorf("WaitError (-want +got):\n%s", diff)
		}
		text := "only the reserve is left of Voucherify's quota bulk_api_calls until " + began.Add(time.Hour).Local().Format(time.RFC3339) + ", longer than this run waits"
		if wait.Error() != text {
			t.Errorf("%q\nwant %q", wait, text)
		}
		if time.Since(began) != 0 || len(s.at) != 8 {
			t.Errorf("after %s, %d requests", time.Since(began), len(s.at))
		}
		time.Sleep(time.Hour) // the next period
		sendAll(t, tr, 8)
		if s.lowest != 2 {
			t.Errorf("as few as %d left", s.lowest)
		}
	})
}

// The first request goes alone: what is left is not known yet. The others do not go all
// at once if that would be too many.
func TestFirstRequestFindsOutWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &countingServer{limit: 10, period: time.Hour, others: 5, latency: 2 * time.Second}
		tr := withQuota(s, time.Hour, 0.2, 2*time.Hour)
		began := time.Now()
		sendAll(t, tr, 5)
		want := []time.Duration{0, 2 * time.Second, 2 * time.Second, time.Hour, time.Hour + 2*time.Second}
		if diff := cmp.Diff(want, s.times(began)); diff != "" {
			t.Errorf("times of the requests (-want +got):\n%s", diff)
		}
		if s.lowest != 2 || s.refused != 0 {
			t.Errorf("as few as %d left, %d refused", s.lowest, s.refused)
		}
	})
}

// Where our clock is ahead of the server's the period goes on for a while after the time
// that it told of. That must not be taken for a new period of full length.
func TestQuotaWithAClockThatIsAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &countingServer{limit: 20, period: time.Hour, ahead: 3 * time.Second}
		tr := withQuota(s, time.Hour, 0.5, 3*time.Hour)
		began := time.Now()
		sendAll(t, tr, 20)
		if d := time.Since(began); d > time.Hour+5*time.Second || s.lowest < 5 {
			t.Errorf("it took %s, and as few as %d were left", d, s.lowest)
		}
	})
}

// An answer that comes after the end of the period it was given in says nothing about the
// next one.
func TestAnswerFromThePeriodBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &countingServer{limit: 4, period: time.Hour}
		tr := withQuota(s, time.Hour, 0.5, 3*time.Hour)
		began := time.Now()
		sendAll(t, tr, 1)
		time.Sleep(time.Hour - time.Second)
		s.latency = 10 * time.Second
		var all sync.WaitGroup
		all.Go(func() { sendAll(t, tr, 1) })
		synctest.Wait()
		s.latency = 0
		time.Sleep(5 * time.Second)
		sendAll(t, tr, 2)
		all.Wait()
		if d := time.Since(began); d > time.Hour+15*time.Second {
			t.Errorf("it took %s", d)
		}
	})
}

func TestNoQuotaWithoutHeaders(t *testing.T) {
	for name, header := range map[string]bool{"no headers": true, "no quota": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &quotaServer{latency: time.Second, quota: 1 << 30}
				opts := httpretry.Options{Base: s}
				if header {
					opts = quotaOptions(s, time.Minute, 0.2)
				}
				tr := httpretry.New(opts)
				began := time.Now()
				sendAll(t, tr, 500)
				if d := time.Since(began); d > 2*time.Second {
					t.Errorf("500 requests took %s", d)
				}
			})
		})
	}
}

// A first request that fails does not keep the others waiting.
func TestFirstRequestThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []server{networkError, answer(500, ``), answer(200, `{}`, "X-Rate-Limit-Limit", "100", "X-Rate-Limit-Remaining", "90")}}
		tr := withQuota(s, time.Hour, 0, 0)
		began := time.Now()
		sendAll(t, tr, 20)
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("it took %s", d)
		}
	})
}

// Voucherify's quota of a billing cycle: nobody waits for its end.
func TestQuotaOfTheCycle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := &script{answers: []server{answer(429, `{}`, "X-Rate-Limit-Type", "api_calls_cycle", "Retry-After", "5",
			"X-Rate-Limit-Limit", "1000", "X-Rate-Limit-Remaining", "0")}}
		opts := quotaOptions(s, time.Hour, 0.2)
		opts.IsFinal = voucherify.IsFinal
		tr := httpretry.New(opts)
		resp, err := get(t, tr)
		if err != nil || resp.StatusCode != 429 || len(s.at) != 1 || time.Since(began) != 0 {
			t.Errorf("%v, %v, %d requests, %s", resp, err, len(s.at), time.Since(began))
		}
	})
}

// What is left of a minute is spread over it; of a longer period it is not.
func TestQuotaSpreadsOverAMinute(t *testing.T) {
	for _, c := range []struct {
		period time.Duration
		want   time.Duration // between two requests
	}{{time.Minute, time.Second}, {time.Hour, 0}} {
		synctest.Test(t, func(t *testing.T) {
			s := &countingServer{limit: 60, period: c.period}
			tr := withQuota(s, c.period, 0, 0)
			began := time.Now()
			sendAll(t, tr, 40)
			times := s.times(began)
			for i := 2; i < len(times); i++ {
				if d := times[i] - times[i-1]; d < c.want*95/100 || d > c.want*105/100 {
					t.Fatalf("period %s: requests at %v", c.period, times)
				}
			}
		})
	}
}

// Each quota is counted by itself.
func TestTwoQuotas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers := map[string]*countingServer{"POST": {limit: 1, period: time.Hour}, "GET": {limit: 100, period: time.Hour}}
		tr := httpretry.New(httpretry.Options{
			Base:  server(func(r *http.Request) (*http.Response, error) { return servers[r.Method].RoundTrip(r) }),
			Quota: voucherify.QuotaOf, ReadQuota: voucherify.ReadQuota,
		})
		if _, err := tr.Client().Post("https://api.example.com/v1/customers/bulk/async", "", strings.NewReader("1")); err != nil {
			t.Fatal(err)
		}
		var wait *httpretry.WaitError
		if _, err := tr.Client().Post("https://api.example.com/v1/customers/bulk/async", "", strings.NewReader("1")); !errors.As(err, &wait) || wait.Quota != "bulk_api_calls" {
			t.Errorf("error %v", err)
		}
		sendAll(t, tr, 50)
	})
}

// Where the server does not tell when a period ends, the documented length counts. Where
// that is unknown, too, one request a minute finds out, and nobody waits longer than MaxWait.
func TestPeriodThatIsNotTold(t *testing.T) {
	for _, c := range []struct {
		name               string
		period, documented time.Duration // the server's
		requests, lowest   int           // least left
		want               time.Duration // zero: a WaitError
		until              time.Duration // of the WaitError
	}{
		{"a minute", time.Minute, time.Minute, 9, 2, time.Minute, 0},
		{"an hour, too long", time.Hour, time.Hour, 9, 2, 0, time.Hour},
		{"unknown, a minute in fact", time.Minute, 0, 9, 2, time.Minute, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &countingServer{limit: 10, period: c.period, silent: true}
				tr := withQuota(s, c.documented, 0.2, 5*time.Minute)
				began := time.Now()
				var err error
				for n := 0; err == nil && n < c.requests; n++ {
					_, err = get(t, tr)
				}
				var wait *httpretry.WaitError
				switch {
				case c.want > 0 && (err != nil || time.Since(began) != c.want):
					t.Errorf("%d requests took %s, error %v, want %s", c.requests, time.Since(began), err, c.want)
				case c.want == 0 && !errors.As(err, &wait):
					t.Errorf("error %v, want a WaitError", err)
				case wait != nil && wait.Until.Sub(began).Round(time.Minute) != c.until:
					t.Errorf("until %s after the start, want %s", wait.Until.Sub(began), c.until)
				}
				if s.lowest != c.lowest {
					t.Errorf("as few as %d left, want %d", s.lowest, c.lowest)
				}
			})
		})
	}
}

// What is left goes to those who came first: what is sent in order is then accepted in
// order, and none of it in vain.
func TestQuotaIsGivenInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &countingServer{limit: 10, period: time.Hour, latency: time.Second}
		tr := withQuota(s, time.Hour, 0.2, 0)
		var all sync.WaitGroup
		accepted := make([]bool, 12)
		for i := range accepted {
			all.Go(func() {
				_, err := get(t, tr)
				accepted[i] = err == nil
			})
			synctest.Wait() // it stands in line
		}
		all.Wait()
		for i, ok := range accepted {
			if ok != (i < 8) {
				t.Errorf("accepted: %v", accepted)
				break
			}
		}
	})
}

// A request that ends while it waits for the pace gives back what it had of the quota.
func TestCanceledRequestTakesNothingOfTheQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &countingServer{limit: 2, period: time.Hour}
		opts := quotaOptions(s, time.Hour, 0)
		opts.Rate = 0.1
		tr := httpretry.New(opts)
		sendAll(t, tr, 1)
		for _, after := range []time.Duration{time.Second, time.Minute} {
			ctx, cancel := context.WithTimeout(t.Context(), after)
			defer cancel()
			if _, err := send(t, tr, ctx); (err == nil) != (after == time.Minute) {
				t.Errorf("with %s: %v", after, err)
			}
		}
	})
}

// A process takes up where an earlier one has left a quota: it leaves the reserve alone, and
// waits for the period's end.
func TestQuotasOutliveTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &countingServer{limit: 10, period: time.Hour}
		began := time.Now()
		process := func(known map[string]httpretry.Quota, maxWait time.Duration) *httpretry.Transport {
			tr := withQuota(s, time.Hour, 0.2, maxWait)
			tr.Remember(known)
			return tr
		}
		first := process(nil, 0)
		sendAll(t, first, 8)
		want := map[string]httpretry.Quota{"bulk_api_calls": {Limit: 10, Remaining: 2, End: began.Add(time.Hour).UTC()}}
		if diff := cmp.Diff(want, first.Quotas()); diff != "" {
			t.Errorf("after the first process (-want +got):\n%s", diff)
		}
		time.Sleep(10 * time.Minute)
		second := process(first.Quotas(), 0)
		if diff := cmp.Diff(want, second.Quotas()); diff != "" {
			t.Errorf("before the first request (-want +got):\n%s", diff)
		}
		_, err := get(t, second)
		var wait *httpretry.WaitError
		if !errors.As(err, &wait) || !wait.Until.Equal(began.Add(time.Hour)) || len(s.at) != 8 {
			t.Errorf("error %v after %d requests, want a WaitError after 8", err, len(s.at))
		}
		if diff := cmp.Diff(want, second.Quotas()); diff != "" {
			t.Errorf("after the second process (-want +got):\n%s", diff)
		}
		third := process(second.Quotas(), time.Hour)
		sendAll(t, third, 1)
		if d := time.Since(began); d != time.Hour || s.refused != 0 {
			t.Errorf("it took %s, %d refused", d, s.refused)
		}
		want["bulk_api_calls"] = httpretry.Quota{Limit: 10, Remaining: 9, End: began.Add(2 * time.Hour).UTC()}
		if diff := cmp.Diff(want, third.Quotas()); diff != "" {
			t.Errorf("after the third process (-want +got):\n%s", diff)
		}
		time.Sleep(time.Hour)
		if got := third.Quotas(); len(got) != 0 {
			t.Errorf("after the end of the period: %v", got)
		}
	})
}

// Of what an earlier process knew only a quota that is used up counts, and nothing that
// cannot be true.
func TestQuotasThatAreNoLongerTrue(t *testing.T) {
	now := func(d time.Duration) time.Time { return time.Now().Add(d) }
	for _, c := range []struct {
		name  string
		known func() httpretry.Quota
		waits bool
	}{
		{"used up", func() httpretry.Quota { return httpretry.Quota{Limit: 10, Remaining: 2, End: now(time.Hour)} }, true},
		{"used up, its end a full second", func() httpretry.Quota { return httpretry.Quota{Limit: 10, End: now(time.Hour + time.Second)} }, true},
		{"one more is left", func() httpretry.Quota { return httpretry.Quota{Limit: 10, Remaining: 3, End: now(time.Hour)} }, false},
		{"more is left", func() httpretry.Quota { return httpretry.Quota{Limit: 10, Remaining: 9, End: now(time.Hour)} }, false},
		{"over", func() httpretry.Quota { return httpretry.Quota{Limit: 10, End: now(0)} }, false},
		{"longer than the period", func() httpretry.Quota { return httpretry.Quota{Limit: 10, End: now(61 * time.Minute)} }, false},
		{"more left than there was", func() httpretry.Quota { return httpretry.Quota{Limit: 1, Remaining: 2, End: now(time.Minute)} }, false},
		{"none of none", func() httpretry.Quota { return httpretry.Quota{End: now(time.Minute)} }, false},
		{"less than nothing left", func() httpretry.Quota { return httpretry.Quota{Limit: 10, Remaining: -1, End: now(time.Minute)} }, false},
		{"nothing", func() httpretry.Quota { return httpretry.Quota{} }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &countingServer{limit: 10, period: time.Hour, latency: time.Second}
				tr := withQuota(s, time.Hour, 0.2, time.Second)
				tr.Remember(map[string]httpretry.Quota{"bulk_api_calls": c.known(), "another": {Limit: 1, End: now(time.Hour)}})
				began := time.Now()
				var all sync.WaitGroup
				for range 3 {
					all.Go(func() {
						var wait *httpretry.WaitError
						if _, err := get(t, tr); errors.As(err, &wait) != c.waits {
							t.Errorf("error %v", err)
						}
					})
				}
				all.Wait()
				// The first goes alone: it finds out what is left now.
				want := []time.Duration{0, time.Second, time.Second}
				if c.waits {
					want = nil
				}
				if diff := cmp.Diff(want, s.times(began)); diff != "" {
					t.Errorf("times of the requests (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// What is under way counts as sent: nobody will know if the process ends now.
func TestQuotasCountWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &countingServer{limit: 10, period: time.Hour, latency: time.Second}
		tr := withQuota(s, time.Hour, 0, 0)
		sendAll(t, tr, 1)
		var all sync.WaitGroup
		all.Go(func() { sendAll(t, tr, 3) })
		synctest.Wait()
		if q := tr.Quotas()["bulk_api_calls"]; q.Remaining != 6 {
			t.Errorf("%d left, want 6", q.Remaining)
		}
		all.Wait()
	})
}

// Where our clock is ahead of the server's the period goes on for a while after the end
// that the earlier process knew.
func TestQuotasWithAClockThatIsAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &countingServer{limit: 10, period: time.Hour, ahead: 3 * time.Second}
		var known map[string]httpretry.Quota
		began := time.Now()
		for _, n := range []int{8, 2} {
			tr := withQuota(s, time.Hour, 0.2, 3*time.Hour)
			tr.Remember(known)
			sendAll(t, tr, n)
			known = tr.Quotas()
		}
		if d := time.Since(began); d > time.Hour+5*time.Second {
			t.Errorf("it took %s", d)
		}
	})
}

// Numbers of a quota that make no sense do no harm: no request hangs, fails, or is held
// back for longer than MaxWait.
func TestQuotaHeadersThatMakeNoSense(t *testing.T) {
	numbers := []string{"", "-1", "0", "1", "99999999999999999999", "1000000000000", "abc", "1.5", "NaN", "-9223372036854775808", "9223372036854775807", "\x00"}
	// All others are taken for no quota at all.
	possible := []string{"0", "1", "1000000000000", "9223372036854775807"}
	for _, limit := range numbers {
		for _, remaining := range numbers {
			synctest.Test(t, func(t *testing.T) {
				for _, retry := range append(numbers, unixIn(time.Minute), unixIn(-time.Hour), unixIn(100*365*24*time.Hour)) {
					began := time.Now()
					tr := withQuota(answer(200, `{}`, "X-Rate-Limit-Limit", limit, "X-Rate-Limit-Remaining", remaining, "X-Rate-Limit-Retry", retry), time.Minute, 0.2, 0)
					for range 5 {
						var wait *httpretry.WaitError
						if _, err := get(t, tr); err != nil && !errors.As(err, &wait) {
							t.Errorf("limit %q, remaining %q, retry %q: %v", limit, remaining, retry, err)
						}
					}
					d := time.Since(began)
					if (limit != "1" || !slices.Contains(possible, remaining)) && d != 0 {
						t.Errorf("limit %q, remaining %q, retry %q: it is taken for a quota", limit, remaining, retry)
					}
					if d > 6*time.Minute {
						t.Errorf("limit %q, remaining %q, retry %q: five requests took %s", limit, remaining, retry, d)
					}
				}
			})
		}
	}
}

// An answer that was overtaken tells of an earlier moment, when more was left. It does not
// give the reserve away.
func TestQuotaWhereAnswersOvertakeEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &countingServer{limit: 10, period: time.Hour}
		var mu sync.Mutex
		n := 0
		tr := withQuota(server(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			late := time.Duration(max(8-n, 0)) * time.Second // the last is answered first
			n++
			mu.Unlock()
			resp, err := s.RoundTrip(r)
			time.Sleep(late)
			return resp, err
		}), time.Hour, 0.2, time.Minute)
		sendAll(t, tr, 8)
		var wait *httpretry.WaitError
		if _, err := get(t, tr); !errors.As(err, &wait) || s.lowest != 2 {
			t.Errorf("error %v, and as few as %d left, want a WaitError and 2", err, s.lowest)
		}
	})
}
