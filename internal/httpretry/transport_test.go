package httpretry_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
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
)

// server is the far side of a Transport, without a network, so that it can be used
// in a synctest bubble. Like a real one it closes the request's body.
type server func(*http.Request) (*http.Response, error)

func (s server) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	return s(r)
}

// script is a server that gives one answer after the other, the last one again and
// again, and remembers when it was asked.
type script struct {
	mu      sync.Mutex
	answers []server
	at      []time.Time
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	n := len(s.at)
	s.at = append(s.at, time.Now())
	s.mu.Unlock()
	return s.answers[min(n, len(s.answers)-1)].RoundTrip(r)
}

// times returns when the requests came, counted from start.
func (s *script) times(start time.Time) []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	var times []time.Duration
	for _, t := range s.at {
		times = append(times, t.Sub(start))
	}
	return times
}

// answer gives this answer; header is name, value, name, value, …
func answer(status int, body string, header ...string) server {
	return func(*http.Request) (*http.Response, error) {
		return response(status, strings.NewReader(body), header...), nil
	}
}

func response(status int, body io.Reader, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{
		StatusCode:    status,
		Status:        fmt.Sprintf("%d %s", status, http.StatusText(status)),
		Header:        h,
		Body:          io.NopCloser(body),
		ContentLength: -1,
	}
}

var errNetwork = errors.New("connection reset by peer")

func networkError(*http.Request) (*http.Response, error) { return nil, errNetwork }

// silence answers when nobody waits any more.
func silence(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// stalled is an answer whose body does not come to its end.
func stalled(r *http.Request) (*http.Response, error) {
	return response(200, io.MultiReader(strings.NewReader(`{"data":`), readerFunc(func([]byte) (int, error) {
		<-r.Context().Done()
		return 0, r.Context().Err()
	}))), nil
}

func cut(status int) server {
	return func(*http.Request) (*http.Response, error) {
		broken := readerFunc(func([]byte) (int, error) { return 0, io.ErrUnexpectedEOF })
		return response(status, io.MultiReader(strings.NewReader(`{"data":`), broken)), nil
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

const apiURL = "https://api.example.com/v1/things"

func get(t *testing.T, tr *httpretry.Transport) (*http.Response, error) {
	t.Helper()
	return send(t, tr, t.Context())
}

func send(t *testing.T, tr *httpretry.Transport, ctx context.Context) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, apiURL, nil)
	if err != nil {
		t.Error(err)
		return nil, err
	}
	return tr.RoundTrip(req)
}

func body(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("reading the body of the answer: %v", err)
	}
	resp.Body.Close()
	return string(b)
}

// result is what a caller sees of a request.
type result struct {
	Status   int
	Body     string
	Attempts string // the header X-Attempts
	Stats    httpretry.Stats
}

func resultOf(t *testing.T, tr *httpretry.Transport, resp *http.Response) result {
	t.Helper()
	return result{resp.StatusCode, body(t, resp), resp.Header.Get(httpretry.AttemptsHeader), tr.Stats()}
}

func TestTriesAgainWhatMayPass(t *testing.T) {
	html := "<html><body>502 Bad Gateway</body></html>"
	for name, bad := range map[string]server{
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
				want := result{200, `{"ok":true}`, "3", httpretry.Stats{Requests: 3, Retries: 2}}
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

func TestNeverTriesAgainWhatCannotPass(t *testing.T) {
	for _, status := range []int{200, 202, 300, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404, 405, 409, 413, 415, 422, 423, 501} {
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

func TestErrorAnswerNeedNotBeJSON(t *testing.T) {
	s := &script{answers: []server{answer(404, "<html>not here</html>")}}
	resp, err := get(t, httpretry.New(httpretry.Options{Base: s}))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := body(t, resp), "<html>not here</html>"; got != want {
		t.Errorf("body %q, want %q", got, want)
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
		want := result{503, `{"n":2}`, "10", httpretry.Stats{Requests: 10, Retries: 9}}
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

func TestEachAttemptHasThirtySeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var took []time.Duration
		tr := httpretry.New(httpretry.Options{RetryFor: -1, Base: server(func(r *http.Request) (*http.Response, error) {
			start := time.Now()
			<-r.Context().Done()
			took = append(took, time.Since(start))
			return nil, r.Context().Err()
		})})
		if _, err := get(t, tr); err == nil {
			t.Fatal("no error although nobody answers")
		}
		if diff := cmp.Diff(slices.Repeat([]time.Duration{30 * time.Second}, 10), took); diff != "" {
			t.Errorf("time of each attempt (-want +got):\n%s", diff)
		}
	})
}

// An answer that comes a moment before the timeout counts, its body too.
func TestSlowAnswerWithinThirtySeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := httpretry.New(httpretry.Options{Base: server(func(*http.Request) (*http.Response, error) {
			time.Sleep(15 * time.Second)
			slow := readerFunc(func([]byte) (int, error) {
				time.Sleep(15*time.Second - 1)
				return 0, io.EOF
			})
			return response(200, io.MultiReader(strings.NewReader(`{"n":1}`), slow)), nil
		})})
		resp, err := get(t, tr)
		if err != nil {
			t.Fatal(err)
		}
		want := result{200, `{"n":1}`, "", httpretry.Stats{Requests: 1}}
		if diff := cmp.Diff(want, resultOf(t, tr, resp)); diff != "" {
			t.Errorf("answer (-want +got):\n%s", diff)
		}
	})
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

// The body of a request is sent whole by every attempt.
func TestBodyIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const sent = `[{"source_id":"u1"}]`
		var got []string
		tr := httpretry.New(httpretry.Options{Base: server(func(r *http.Request) (*http.Response, error) {
			part := make([]byte, 3)
			if len(got) == 1 { // this one breaks off early
				io.ReadFull(r.Body, part)
				got = append(got, string(part))
				return nil, errNetwork
			}
			b, err := io.ReadAll(r.Body)
			got = append(got, fmt.Sprintf("%s %s, length %d, %v", r.Method, b, r.ContentLength, err))
			if len(got) < 4 {
				return response(502, strings.NewReader("")), nil
			}
			return response(202, strings.NewReader(`{}`)), nil
		})})
		resp, err := tr.Client().Post(apiURL, "application/json", strings.NewReader(sent))
		if err != nil {
			t.Fatal(err)
		}
		body(t, resp)
		whole := "POST " + sent + ", length 20, <nil>"
		if diff := cmp.Diff([]string{whole, sent[:3], whole, whole}, got); diff != "" {
			t.Errorf("bodies (-want +got):\n%s", diff)
		}
	})
}

func TestAnswerOfSixteenMegabytes(t *testing.T) {
	whole := `"` + strings.Repeat("a", 16<<20-2) + `"`
	resp, err := get(t, httpretry.New(httpretry.Options{Base: answer(200, whole)}))
	if err != nil {
		t.Fatal(err)
	}
	if got := body(t, resp); got != whole {
		t.Errorf("the body has %d bytes, want all %d", len(got), len(whole))
	}
}

func TestLargerAnswerIsNotReadToItsEnd(t *testing.T) {
	spaces := bytes.Repeat([]byte{' '}, 1<<20)
	for _, length := range []int64{-1, 1 << 40} {
		read := 0
		endless := readerFunc(func(b []byte) (int, error) {
			n := copy(b, spaces)
			read += n
			return n, nil
		})
		tr := httpretry.New(httpretry.Options{Base: server(func(*http.Request) (*http.Response, error) {
			resp := response(200, endless)
			resp.ContentLength = length
			return resp, nil
		})})
		_, err := get(t, tr)
		if want := "reading the answer (status 200): larger than 16 MiB"; err == nil || err.Error() != want {
			t.Errorf("Content-Length %d: error %v, want %s", length, err, want)
		}
		if n := tr.Stats().Requests; n != 1 {
			t.Errorf("Content-Length %d: %d requests, want 1", length, n)
		}
		if read > 16<<20+1 {
			t.Errorf("Content-Length %d: %d bytes were read", length, read)
		}
	}
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

func TestCancelledBeforeTheStart(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tr := httpretry.New(httpretry.Options{Rate: 100, Base: answer(200, `{}`)})
	if _, err := send(t, tr, ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	if n := tr.Stats().Requests; n != 0 {
		t.Errorf("%d requests were sent, want none", n)
	}
}

// A retry that was waited for in vain is none.
func TestStatsCountOnlyWhatWasSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		tr := httpretry.New(httpretry.Options{Base: answer(429, `{}`, "Retry-After", "60")})
		if _, err := send(t, tr, ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want context.DeadlineExceeded", err)
		}
		if diff := cmp.Diff(httpretry.Stats{Requests: 1, Throttled: 1}, tr.Stats()); diff != "" {
			t.Errorf("stats (-want +got):\n%s", diff)
		}
	})
}

func TestClientFollowsNoRedirect(t *testing.T) {
	var reached bool
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	t.Cleanup(elsewhere.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		here := httptest.NewServer(http.RedirectHandler(elsewhere.URL+"/stolen", status))
		t.Cleanup(here.Close)
		tr := httpretry.New(httpretry.Options{})
		t.Cleanup(tr.CloseIdleConnections)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, here.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-App-Token", "canary")
		resp, err := tr.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body(t, resp)
		if resp.StatusCode != status {
			t.Errorf("status %d, want the redirect itself, %d", resp.StatusCode, status)
		}
	}
	if reached {
		t.Error("the other host was asked")
	}
}

func TestPlainHTTPIsRefusedExceptToLoopback(t *testing.T) {
	for url, want := range map[string]string{
		"https://api.example.com/v1":           "",
		"http://127.0.0.1:8080/v1":             "",
		"http://127.9.8.7/v1":                  "",
		"http://[::1]:8080/v1":                 "",
		"http://localhost:8080/v1":             "",
		"http://LOCALHOST/v1":                  "refusing to send secrets to http://LOCALHOST",
		"http://[::1%25eth0]/v1":               "refusing to send secrets to http://[::1%eth0]",
		"http://api.example.com/v1?token=abc":  "refusing to send secrets to http://api.example.com",
		"http://10.0.0.1/v1":                   "refusing to send secrets to http://10.0.0.1",
		"http://0.0.0.0/v1":                    "refusing to send secrets to http://0.0.0.0",
		"http://127.0.0.1.example.com/v1":      "refusing to send secrets to http://127.0.0.1.example.com",
		"http://localhost.example.com/v1":      "refusing to send secrets to http://localhost.example.com",
		"http://127.0.0.1@api.example.com/v1":  "refusing to send secrets to http://api.example.com",
		"http://api.example.com#@127.0.0.1/v1": "refusing to send secrets to http://api.example.com",
		"ftp://127.0.0.1/v1":                   "refusing to send secrets to ftp://127.0.0.1",
	} {
		s := &script{answers: []server{answer(200, `{}`)}}
		tr := httpretry.New(httpretry.Options{Base: s})
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("canary"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = tr.RoundTrip(req)
		got, sent := "", len(s.at)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: error %q, want %q", url, got, want)
		}
		if refused := want != ""; refused == (sent > 0) || tr.Stats().Requests != int64(sent) {
			t.Errorf("%s: %d requests were sent, %d counted", url, sent, tr.Stats().Requests)
		}
	}
}

func TestSecretsAreTakenOut(t *testing.T) {
	const token, key = "canary-token", "canary-secret-key"
	basic := base64.StdEncoding.EncodeToString([]byte(token + ":"))
	echo := "you sent " + key + ", Basic " + basic + " and " + token + " " + token
	const clean = "you sent [secret], Basic [secret] and [secret] [secret]"
	for _, c := range []struct {
		name     string
		answer   server
		body     string
		err      string
		attempts int64
	}{
		{"error answer", answer(401, echo), clean, "", 1},
		{"redirect", answer(302, echo), clean, "", 1},
		{"error answer of the last attempt", answer(500, echo), clean, "", 10},
		{"no JSON", answer(200, echo), "", `after 10 attempts: the answer (status 200) is not valid JSON: "` + clean + `"`, 10},
		{"no JSON, with a secret across the cut", answer(200, strings.Repeat("x", 196)+token), "",
			`after 10 attempts: the answer (status 200) is not valid JSON: "` + strings.Repeat("x", 196) + `[sec"`, 10},
		{"network error", func(*http.Request) (*http.Response, error) {
			return nil, fmt.Errorf("connection refused by %q", echo)
		}, "", `after 10 attempts: connection refused by "` + clean + `"`, 10},
		{"good answer, which is the customer's data", answer(200, `"`+token+`"`), `"` + token + `"`, "", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				tr := httpretry.New(httpretry.Options{
					Secrets:  []string{token, "", key},
					RetryFor: -1,
					Base:     c.answer,
					Log:      slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
				})
				resp, err := get(t, tr)
				var gotBody, gotErr string
				if err != nil {
					gotErr = err.Error()
				} else {
					gotBody = body(t, resp)
				}
				if gotBody != c.body || gotErr != c.err {
					t.Errorf("body %q, error %q\nwant %q, error %q", gotBody, gotErr, c.body, c.err)
				}
				if n := tr.Stats().Requests; n != c.attempts {
					t.Errorf("%d requests, want %d", n, c.attempts)
				}
				for _, secret := range []string{token, key, basic} {
					if strings.Contains(log.String(), secret) {
						t.Errorf("the log has %q:\n%s", secret, log.String())
					}
				}
			})
		})
	}
}

// A server may repeat a secret in the form that it has in a header, JSON or a URL.
func TestSecretsAreTakenOutInEveryForm(t *testing.T) {
	const secret = `ca+na"ry&/key é`
	for form, written := range map[string]string{
		"plain":          secret,
		"JSON":           `ca+na\"ry\u0026/key é`,
		"JSON, no HTML":  `ca+na\"ry&/key é`,
		"query":          "ca%2Bna%22ry%26%2Fkey+%C3%A9",
		"path":           "ca+na%22ry&%2Fkey%20%C3%A9",
		"unicode":        `\u0063a+na\u0022ry\u0026\u002Fkey é`,
		"base64":         base64.StdEncoding.EncodeToString([]byte(secret)),
		"Basic username": base64.StdEncoding.EncodeToString([]byte(secret + ":")),
	} {
		tr := httpretry.New(httpretry.Options{
			Secrets: []string{secret},
			Base:    answer(400, "<"+written+">", "Request-Id", "<"+written+">"),
		})
		resp, err := get(t, tr)
		if err != nil {
			t.Fatal(err)
		}
		got := []string{body(t, resp), resp.Header.Get("Request-Id")}
		if diff := cmp.Diff([]string{"<[secret]>", "<[secret]>"}, got); diff != "" {
			t.Errorf("%s: body and header (-want +got):\n%s", form, diff)
		}
	}
}

func TestASecretThatBeginsLikeAnother(t *testing.T) {
	for _, secrets := range [][]string{{"canary", "canary-long"}, {"canary-long", "canary"}} {
		tr := httpretry.New(httpretry.Options{Secrets: secrets, Base: answer(400, "canary-long and canary")})
		resp, err := get(t, tr)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := body(t, resp), "[secret] and [secret]"; got != want {
			t.Errorf("secrets %q: body %q, want %q", secrets, got, want)
		}
	}
}

func TestSecretsAreTakenOutOfAllAnswers(t *testing.T) {
	for _, all := range []bool{false, true} {
		tr := httpretry.New(httpretry.Options{Secrets: []string{"canary"}, RedactAll: all, Base: answer(200, `{"message":"canary"}`)})
		resp, err := get(t, tr)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(body(t, resp), "canary"); got == all {
			t.Errorf("RedactAll %v: the secret is there: %v", all, got)
		}
	}
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

// The Transport that New makes by itself speaks HTTP.
func TestWithoutBase(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, `{"method":%q,"body":%q}`, r.Method, b)
	}))
	t.Cleanup(srv.Close)
	tr := httpretry.New(httpretry.Options{Rate: 1000})
	t.Cleanup(tr.CloseIdleConnections)
	resp, err := tr.Client().Post(srv.URL, "application/json", strings.NewReader("[1]"))
	if err != nil {
		t.Fatal(err)
	}
	want := result{200, `{"method":"POST","body":"[1]"}`, "", httpretry.Stats{Requests: 1}}
	if diff := cmp.Diff(want, resultOf(t, tr, resp)); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
}
