package httpretry_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
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

func TestTriesAgainWhatMayPass(t *testing.T) {
	html := "<html><body>502 Bad Gateway</body></html>"
	for name, bad := range map[string]server{
		"409":                    answer(409, `{}`),
		"423":                    answer(423, `{}`),
		"429":                    answer(429, `{}`),
		"500":                    answer(500, `{}`),
		"502 HTML":               answer(502, html),
		"503 without a body":     answer(503, ""),
		"504":                    answer(504, `{}`),
		"network error":          networkError,
		"no answer":              silence,
		"body that stalls":       stalled,
		"cut body":               cut(200),
		"cut body of an error":   cut(400),
		"invalid JSON":           answer(200, `{"data":[`),
		"JSON and something":     answer(200, `{"data":[]} <!-- proxy -->`),
		"200 without a body":     answer(200, ""),
		"HTML instead of JSON":   answer(200, html),
		"202 that is not JSON":   answer(202, "Accepted"),
		"Retry-After of nothing": answer(429, `{}`, "Retry-After", "0"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{answers: []server{bad, bad, answer(200, `{"ok":true}`)}}
				tr := httpretry.New(httpretry.Options{Base: s, RetryFor: -1})
				resp, err := get(t, tr)
				if err != nil {
					t.Fatal(err)
				}
				want := result{200, `{"ok":true}`, "", httpretry.Stats{Requests: 3, Retries: 2}}
				if strings.HasPrefix(name, "429") || strings.HasPrefix(name, "Retry-After") {
					want.Stats.Throttled = 2
				}
				if diff := cmp.Diff(want, resultOf(t, tr, resp)); diff != "" {
					t.Errorf("after two bad answers and a good one (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// An answer of 204 has no body, and is whole.
func TestNoContentIsAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []server{answer(204, ""), answer(200, `{}`)}}
		resp, err := get(t, httpretry.New(httpretry.Options{Base: s}))
		if err != nil || resp.StatusCode != 204 {
			t.Errorf("%v, %v", resp, err)
		}
	})
}

func TestNeverTriesAgainWhatCannotPass(t *testing.T) {
	for _, status := range []int{200, 202, 300, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404, 405, 413, 415, 422, 501} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				s := &script{answers: []server{answer(status, `{"n":1}`, "Retry-After", "60"), answer(200, `{"n":2}`)}}
				tr := httpretry.New(httpretry.Options{Base: s})
				resp, err := get(t, tr)
				if err != nil {
					t.Fatal(err)
				}
				want := result{status, `{"n":1}`, "", httpretry.Stats{Requests: 1}}
				if diff := cmp.Diff(want, resultOf(t, tr, resp)); diff != "" {
					t.Errorf("answer (-want +got):\n%s", diff)
				}
				if d := time.Since(start); d != 0 {
					t.Errorf("it took %s, want no wait", d)
				}
			})
		})
	}
}

func TestTenAttemptsThenTheLastAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []server{answer(500, `{"n":1}`), answer(503, `{"n":2}`)}}
		tr := httpretry.New(httpretry.Options{Base: s, RetryFor: -1})
		resp, err := get(t, tr)
		if err != nil {
			t.Fatal(err)
		}
		want := result{503, `{"n":2}`, "9", httpretry.Stats{Requests: 10, Retries: 9}}
		if diff := cmp.Diff(want, resultOf(t, tr, resp)); diff != "" {
			t.Errorf("answer (-want +got):\n%s", diff)
		}
	})
}

func TestTenAttemptsThenTheLastError(t *testing.T) {
	for _, c := range []struct {
		name string
		bad  server
		want string
		is   error
	}{
		{"network error", networkError, "after 10 attempts: connection reset by peer", errNetwork},
		{"no answer", silence, "after 10 attempts: no answer within 30s", nil},
		{"body that stalls", stalled, "after 10 attempts: no answer within 30s", nil},
		{"cut body", cut(200), "after 10 attempts: reading the answer (status 200): unexpected EOF", io.ErrUnexpectedEOF},
		{"HTML", answer(200, "<html>\x1b[2J"), `after 10 attempts: the answer (status 200) is not valid JSON: "<html>\x1b[2J"`, nil},
		{"cut JSON, which may be traits", answer(200, `{"traits":{"name":"Ada`), `after 10 attempts: the answer (status 200) is not valid JSON`, nil},
		{"long text", answer(200, strings.Repeat("é", 5000)),
			`after 10 attempts: the answer (status 200) is not valid JSON: "` + strings.Repeat("é", 100) + `"`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := httpretry.New(httpretry.Options{Base: c.bad, RetryFor: -1})
				resp, err := get(t, tr)
				if err == nil || resp != nil {
					t.Fatalf("got %v, %v, want an error alone", resp, err)
				}
				if err.Error() != c.want {
					t.Errorf("error %q\nwant  %q", err, c.want)
				}
				if c.is != nil && !errors.Is(err, c.is) {
					t.Errorf("errors.Is(%q, %q) is false", err, c.is)
				}
				if diff := cmp.Diff(httpretry.Stats{Requests: 10, Retries: 9}, tr.Stats()); diff != "" {
					t.Errorf("stats (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// The waits are uniform between zero and a bound that doubles from 0.5 s to 30 s. Of
// 300 requests some must come near both ends of each.
func TestBackoffHasFullJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const requests = 300
		scripts := make([]*script, requests)
		var all sync.WaitGroup
		for i := range scripts {
			scripts[i] = &script{answers: []server{answer(503, "")}}
			tr := httpretry.New(httpretry.Options{Base: scripts[i], RetryFor: -1})
			all.Go(func() { get(t, tr) })
		}
		all.Wait()
		for wait := range 9 {
			bound := min(500*time.Millisecond<<wait, 30*time.Second)
			shortest, longest := time.Hour, time.Duration(0)
			for _, s := range scripts {
				d := s.at[wait+1].Sub(s.at[wait])
				shortest, longest = min(shortest, d), max(longest, d)
			}
			if longest > bound+time.Microsecond {
				t.Errorf("wait %d took up to %s, want at most %s", wait+1, longest, bound)
			}
			if longest < bound*9/10 || shortest > bound/10 {
				t.Errorf("wait %d took %s to %s, want 0 to %s", wait+1, shortest, longest, bound)
			}
		}
	})
}

func TestCancelEndsEveryWaitAtOnce(t *testing.T) {
	for _, c := range []struct {
		name  string
		bad   server
		after time.Duration // the first answer
	}{
		{"an attempt", silence, 10 * time.Second},
		{"a body", stalled, 10 * time.Second},
		{"a pause", answer(429, `{}`, "Retry-After", "60"), 10 * time.Second},
		{"a backoff", answer(503, ""), 50 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				ctx, cancel := context.WithCancel(t.Context())
				tr := httpretry.New(httpretry.Options{Base: c.bad})
				var before httpretry.Stats
				time.AfterFunc(c.after, func() {
					before = tr.Stats()
					cancel()
				})
				// One request after the other, so that one is waiting when the end comes.
				for ctx.Err() == nil {
					if _, err := send(t, tr, ctx); ctx.Err() != nil && err != context.Canceled {
						t.Errorf("error %v, want context.Canceled", err)
					}
				}
				if d := time.Since(start); d != c.after {
					t.Errorf("it returned after %s, want %s", d, c.after)
				}
				if diff := cmp.Diff(before, tr.Stats()); diff != "" {
					t.Errorf("requests were counted after the cancel (-before +after):\n%s", diff)
				}
			})
		})
	}
}

// A cancel is not told as the failure that it made.
func TestCancelDuringTheLastAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		tr := httpretry.New(httpretry.Options{RetryFor: -1, Base: server(func(*http.Request) (*http.Response, error) {
			if n++; n == 10 {
				cancel()
			}
			return nil, errNetwork
		})})
		if _, err := send(t, tr, ctx); err != context.Canceled {
			t.Errorf("error %v, want context.Canceled", err)
		}
	})
}

func TestLogHasALineForEachRetryAndPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := &script{answers: []server{answer(503, ""), answer(429, `{}`, "Retry-After", "7"), networkError, answer(200, `{}`)}}
		tr := httpretry.New(httpretry.Options{
			API: "Segment", Base: s,
			Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{
				Level: slog.LevelDebug,
				ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
					if a.Key == slog.TimeKey || a.Key == "wait" && a.Value.String() != "7s" {
						return slog.Attr{} // differs from run to run
					}
					return a
				},
			})),
		})
		if _, err := get(t, tr); err != nil {
			t.Fatal(err)
		}
		want := `level=DEBUG msg="trying again" api=Segment attempt=1 cause="503 Service Unavailable"
level=WARN msg="trying again" api=Segment attempt=2 wait=7s cause="429 Too Many Requests"
level=INFO msg="the server asks for a pause" api=Segment status=429 wait=7s
level=DEBUG msg="trying again" api=Segment attempt=3 cause="connection reset by peer"
`
		lines := func(s string) []string { // in which order a pause and its retry are told does not matter
			l := strings.Split(s, "\n")
			slices.Sort(l)
			return l
		}
		if diff := cmp.Diff(lines(want), lines(log.String())); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	})
}

// Pauses that pass while one reads of them are for --verbose: with many of them the log
// would hold nothing else.
func TestShortPausesAreNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := &script{answers: []server{answer(429, `{}`, "Retry-After", "2"), answer(429, `{}`, "Retry-After", "3"), answer(200, `{}`)}}
		tr := httpretry.New(httpretry.Options{API: "Segment", Base: s, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if _, err := get(t, tr); err != nil {
			t.Fatal(err)
		}
		if got := log.String(); strings.Count(got, "asks for a pause") != 1 || !strings.Contains(got, "wait=3s") {
			t.Errorf("want a line about the pause of 3 s alone:\n%s", got)
		}
	})
}

// The second failure is worth a warning where nobody has an answer, the third one anyway,
// but not one for each of many requests.
func TestWarningAfterTheSecondAttempt(t *testing.T) {
	for _, c := range []struct {
		name               string
		fail, callers      int
		warnings, debugged int
	}{
		{"one failure", 1, 1, 0, 1},
		{"two failures", 2, 1, 1, 1},
		{"three failures", 3, 1, 1, 2},
		{"many requests at once", 3, 50, 1, 149},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				var mu sync.Mutex
				attempts := map[string]int{}
				tr := httpretry.New(httpretry.Options{API: "Segment",
					Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
					Base: server(func(r *http.Request) (*http.Response, error) {
						mu.Lock()
						defer mu.Unlock()
						attempts[r.URL.Path]++
						if attempts[r.URL.Path] <= c.fail {
							return nil, errNetwork
						}
						return response(200, strings.NewReader(`{}`)), nil
					})})
				var all sync.WaitGroup
				for i := range c.callers {
					all.Go(func() {
						if _, err := tr.Client().Get(apiURL + strings.Repeat("/x", i)); err != nil {
							t.Error(err)
						}
					})
				}
				all.Wait()
				warnings, debugged := strings.Count(log.String(), "level=WARN"), strings.Count(log.String(), "level=DEBUG")
				if warnings != c.warnings || debugged != c.debugged {
					t.Errorf("%d warnings and %d other lines, want %d and %d", warnings, debugged, c.warnings, c.debugged)
				}
			})
		})
	}
}

// A certificate does not become valid by asking again.
func TestInvalidCertificateIsNotTriedAgain(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	tr := httpretry.New(httpretry.Options{})
	t.Cleanup(tr.CloseIdleConnections)
	_, err := tr.Client().Get(srv.URL)
	var invalid *tls.CertificateVerificationError
	if !errors.As(err, &invalid) || tr.Stats().Requests != 1 {
		t.Errorf("%d requests, error %v", tr.Stats().Requests, err)
	}
}

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
				if _, err := get(t, httpretry.New(httpretry.Options{Base: s, ReadQuota: voucherify.ReadQuota})); err != nil {
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
				if _, err := get(t, httpretry.New(httpretry.Options{Base: s, ReadQuota: voucherify.ReadQuota})); err != nil {
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
				tr := httpretry.New(httpretry.Options{API: "Voucherify", MaxWait: c.maxWait, ReadQuota: voucherify.ReadQuota, Base: answer(c.status, `{}`, c.header...)})
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
