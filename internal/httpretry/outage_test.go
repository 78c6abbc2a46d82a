package httpretry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"segsync/internal/httpretry"
)

func getProbe(ctx context.Context) (*http.Request, error) {
	return http.NewRequestWithContext(ctx, http.MethodGet, "https://api.example.com/probe", nil)
}

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
		least    time.Duration
		most     time.Duration
		want     string
	}{
		{"half an hour by default", 0, answer(503, `{"error":"down"}`), false, 29 * time.Minute, 30 * time.Minute, `503 Service Unavailable: "{\"error\":\"down\"}"`},
		{"three minutes", 3 * time.Minute, networkError, false, 2 * time.Minute, 3 * time.Minute, "connection reset by peer"},
		{"no answer", 3 * time.Minute, silence, false, 2 * time.Minute, 3*time.Minute + 30*time.Second, "no answer within 30s"},
		{"429", 3 * time.Minute, answer(429, strings.Repeat("é", 300)), false, 2 * time.Minute, 3 * time.Minute, `429 Too Many Requests: "` + strings.Repeat("é", 100) + `"`},
		{"never answered", 0, answer(500, ""), true, 20 * time.Second, time.Minute, "500 Internal Server Error"},
		{"never answered, silent", 0, silence, true, 30 * time.Second, time.Minute, "no answer within 30s"},
		{"never answered, nor did the probe", 0, silence, true, 30 * time.Second, time.Minute, "no answer within 20s"},
		{"never answered, less time", 10 * time.Second, networkError, true, time.Second, 10 * time.Second, "connection reset by peer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				after := time.Second
				if c.never {
					after = 0
				}
				s := newFailing(after, 24*time.Hour, c.bad)
				var probe func(context.Context) (*http.Request, error)
				if strings.Contains(c.name, "probe") {
					probe = getProbe
				}
				tr := httpretry.New(httpretry.Options{API: "Segment", Base: s, RetryFor: c.retryFor, Probe: probe})
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
				if d := time.Since(began); d < c.least || d > c.most {
					t.Errorf("it took %s, want %s to %s", d, c.least, c.most)
				}
				attempts := s.requests
				if probe != nil {
					attempts--
				}
				want := &httpretry.OutageError{API: "Segment", Since: began, Attempts: attempts, Never: c.never}
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
		tr := httpretry.New(httpretry.Options{API: "Segment", Probe: getProbe, Base: server(func(r *http.Request) (*http.Response, error) {
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

// One request that always fails has ten attempts while the API answers another one, or
// the probe.
func TestOneBadRequestIsNoOutage(t *testing.T) {
	fine := func(context.Context) (*http.Request, error) {
		return http.NewRequest(http.MethodGet, apiURL+"/fine", nil)
	}
	for _, c := range []struct {
		name   string
		probe  func(context.Context) (*http.Request, error)
		others bool
	}{{"others", nil, true}, {"probe", fine, false}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				count := map[string]int{}
				tr := httpretry.New(httpretry.Options{Probe: c.probe, Base: server(func(r *http.Request) (*http.Response, error) {
					mu.Lock()
					count[r.URL.Path]++
					mu.Unlock()
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
				if c.others {
					time.Sleep(time.Second)
					if _, err := tr.Client().Get(apiURL + "/fine"); err != nil {
						t.Error(err)
					}
				}
				all.Wait()
				// One for each request, and one for each twenty failures.
				if n := count["/v1/things/fine"]; n == 0 || n > 8+4 || c.others && n != 1 {
					t.Errorf("%d requests to what is fine", n)
				}
			})
		})
	}
}

// The probe is asked by one request at a time, and its bad result holds for all for a while.
func TestProbeIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		probes := 0
		s := newFailing(time.Second, time.Hour, networkError)
		tr := httpretry.New(httpretry.Options{RetryFor: 10 * time.Minute,
			Base: server(func(r *http.Request) (*http.Response, error) {
				if r.URL.Path == "/probe" {
					probes++ // the race detector sees two at a time
				}
				return s.RoundTrip(r)
			}),
			Probe: getProbe})
		if _, err := get(t, tr); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				var outage *httpretry.OutageError
				if _, err := get(t, tr); !errors.As(err, &outage) {
					t.Errorf("error %v, want an OutageError", err)
				}
			})
		}
		all.Wait()
		if probes < 10 || probes > 10*60/5 {
			t.Errorf("%d probes in ten minutes", probes)
		}
	})
}

// The attempts of an outage do not count against a request once the API is back: it has
// ten more.
func TestNewAttemptsAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		back := time.Now().Add(10 * time.Minute)
		good, bad := 0, 0
		tr := httpretry.New(httpretry.Options{Base: server(func(r *http.Request) (*http.Response, error) {
			time.Sleep(time.Millisecond)
			switch {
			case time.Now().Before(back):
				return nil, errNetwork
			case r.URL.Path == "/good":
				good++
				return response(200, strings.NewReader(`{}`)), nil
			}
			if bad++; bad <= 5 {
				return response(500, strings.NewReader(`{}`)), nil
			}
			return response(200, strings.NewReader(`{}`)), nil
		}), Probe: func(ctx context.Context) (*http.Request, error) {
			return http.NewRequestWithContext(ctx, http.MethodGet, "https://api.example.com/good", nil)
		}})
		// Not the first answer: the API is known.
		back = time.Now()
		if _, err := tr.Client().Get("https://api.example.com/good"); err != nil {
			t.Fatal(err)
		}
		back = time.Now().Add(10 * time.Minute)
		if resp, err := get(t, tr); err != nil || resp.StatusCode != 200 {
			t.Errorf("%v, %v after %d attempts, want 200", resp, err, bad)
		}
		if bad != 6 || good != 2 {
			t.Errorf("%d requests after the outage, and %d good others", bad, good)
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

// A POST without an answer is sent twice, even in an outage: then only the probe is asked
// until the API answers it.
func TestPostThatMayHaveBeenApplied(t *testing.T) {
	for name, outage := range map[string]time.Duration{"API works": 0, "outage": 5 * time.Minute, "long outage": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				posts := 0
				var end time.Time
				tr := httpretry.New(httpretry.Options{Base: server(func(r *http.Request) (*http.Response, error) {
					if r.Method == http.MethodPost {
						io.Copy(io.Discard, r.Body)
						posts++
						return silence(r)
					}
					time.Sleep(time.Millisecond)
					if time.Now().Before(end) {
						return silence(r)
					}
					return response(200, strings.NewReader(`{}`)), nil
				}), Probe: func(ctx context.Context) (*http.Request, error) {
					return http.NewRequestWithContext(ctx, http.MethodGet, apiURL, nil)
				}})
				if _, err := get(t, tr); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				end = began.Add(outage)
				_, err := tr.Client().Post(apiURL, "application/json", strings.NewReader("{}"))
				var late *httpretry.TimeoutError
				var out *httpretry.OutageError
				if tooLong := outage > 30*time.Minute; errors.As(err, &late) == tooLong || errors.As(err, &out) != tooLong {
					t.Errorf("error %v", err)
				}
				if d := time.Since(began); posts != 2 || d < min(outage, 28*time.Minute) || d > min(outage, 30*time.Minute)+91*time.Second {
					t.Errorf("%d requests, %s", posts, d)
				}
			})
		})
	}
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

// An API that asked for a pause is there, although it has not given a good answer yet: it
// is retried for RetryFor, not for a minute.
func TestOutageAfterAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		tr := httpretry.New(httpretry.Options{Base: server(func(r *http.Request) (*http.Response, error) {
			switch d := time.Since(began); {
			case d == 0:
				return answer(503, "", "Retry-After", "50").RoundTrip(r)
			case d < 5*time.Minute:
				return answer(503, "").RoundTrip(r)
			}
			return answer(200, `{}`).RoundTrip(r)
		})})
		if _, err := get(t, tr); err != nil {
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

// In an outage that the probe confirms, one request a second is tried again, however many
// there are. All of them are answered when it is over, or end when it takes too long.
func TestOutageIsNotHammered(t *testing.T) {
	for _, c := range []struct {
		name   string
		outage time.Duration
		bad    server
		before int // most attempts of a request until the outage is known
	}{
		{"503", 4 * time.Minute, answer(503, ""), 1},
		{"network error", 4 * time.Minute, networkError, 1},
		{"no answer", 4 * time.Minute, silence, 1},
		{"too long", 20 * time.Minute, answer(503, ""), 1},
		{"503 that asks for pauses", 6 * time.Minute, func(r *http.Request) (*http.Response, error) {
			time.Sleep(10 * time.Millisecond) // meanwhile the others are sent
			return answer(503, "", "Retry-After", "20").RoundTrip(r)
		}, 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const callers, retryFor = 100, 7 * time.Minute
				s := newFailing(time.Second, c.outage, c.bad)
				var log bytes.Buffer
				tr := httpretry.New(httpretry.Options{Base: s, Probe: getProbe, RetryFor: retryFor, Log: slog.New(slog.NewTextHandler(&log, nil))})
				if _, err := get(t, tr); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				began := time.Now()
				var all sync.WaitGroup
				for i := range callers {
					all.Go(func() {
						time.Sleep(time.Duration(i/25) * time.Minute) // some come when the outage is known
						own := time.Now()
						_, err := get(t, tr)
						var outage *httpretry.OutageError
						if tooLong := c.outage > 15*time.Minute; errors.As(err, &outage) != tooLong || err != nil != tooLong {
							t.Errorf("error %v", err)
						}
						if d := time.Since(own); err != nil && (d < retryFor-time.Minute || d > retryFor) {
							t.Errorf("it ended after %s", d)
						}
						if late := time.Since(s.to); err == nil && (late < 0 || late > 61*time.Second) {
							t.Errorf("it ended %s after the outage", late)
						}
					})
				}
				all.Wait()
				d := time.Since(began)
				// Those before the outage is known and a few, then one a second, and the probe.
				if most := c.before*callers + callers/2 + int(min(d, c.outage)/time.Second) + int(d/(5*time.Second)); s.requests > most {
					t.Errorf("%d requests in the outage, want at most %d", s.requests, most)
				}
				// What is not sent does not ask again for the pause of its last answer.
				if n := strings.Count(log.String(), "asks for a pause"); n > int(c.outage/(20*time.Second))+1 {
					t.Errorf("%d pauses of 20 s", n)
				}
			})
		})
	}
}

// What an outage took from a request, time and attempts, is not held against it afterwards,
// whether it was tried in the outage or not.
func TestRequestsThatFailAfterALongOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFailing(time.Second, 3*time.Minute-40*time.Second, answer(503, ""))
		var mu sync.Mutex
		failed := map[string]int{}
		tr := httpretry.New(httpretry.Options{Probe: getProbe, RetryFor: 3 * time.Minute, Base: server(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			fails := time.Now().After(s.to) && r.URL.Path != "/probe" && failed[r.URL.Path] < 5
			if fails {
				failed[r.URL.Path]++
			}
			mu.Unlock()
			if fails {
				return answer(500, "{}").RoundTrip(r)
			}
			return s.RoundTrip(r)
		})})
		if _, err := tr.Client().Get("https://api.example.com/probe"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				resp, err := tr.Client().Get(fmt.Sprint("https://api.example.com/", i))
				if err != nil || resp.StatusCode != 200 {
					t.Errorf("%v, %v, want 200", resp, err)
				}
			})
		}
		all.Wait()
	})
}

// Whether a pause that the server asks of many requests is an outage is not asked: that
// would only take longer.
func TestPauseOfManyRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		tr := httpretry.New(httpretry.Options{Probe: getProbe, Base: server(func(r *http.Request) (*http.Response, error) {
			first := time.Since(began) < time.Second
			time.Sleep(10 * time.Millisecond)
			if first {
				return answer(503, "", "Retry-After", "250").RoundTrip(r)
			}
			return answer(200, `{}`).RoundTrip(r)
		})})
		sendAll(t, tr, 100)
		if d := time.Since(began); d > 251*time.Second {
			t.Errorf("it took %s, want 250s", d)
		}
	})
}
