package httpretry_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"segsync/internal/httpretry"
)

// raw is a server that sends these bytes in answer to each request, and keeps the
// connection open.
func raw(t *testing.T, answer string) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		all.Wait()
	})
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				conn.Read(make([]byte, 64<<10))
				io.WriteString(conn, answer)
				io.Copy(io.Discard, conn) // until the client closes
			})
		}
	})
	return "http://" + l.Addr().String()
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

// The limit of an answer is that of its route.
func TestLimitByRoute(t *testing.T) {
	long := `"` + strings.Repeat("a", 998) + `"`
	tr := httpretry.New(httpretry.Options{Base: answer(200, long), MaxBody: func(r *http.Request) int64 {
		if r.URL.Path == "/small" {
			return 999
		}
		return 1000
	}})
	if resp, err := tr.Client().Get("https://api.example.com/large"); err != nil || body(t, resp) != long {
		t.Errorf("error %v", err)
	}
	_, err := tr.Client().Get("https://api.example.com/small")
	var large *httpretry.TooLargeError
	if !errors.As(err, &large) || large.Limit != 999 || tr.Stats().Requests != 2 {
		t.Errorf("error %v after %d requests", err, tr.Stats().Requests)
	}
}

// A small answer that unpacks to a large one is read no further than the limit.
func TestGzipBomb(t *testing.T) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	part := bytes.Repeat([]byte{' '}, 1<<20)
	for range 16 {
		w.Write(part)
	}
	w.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(packed.Bytes())
	}))
	t.Cleanup(srv.Close)
	tr := httpretry.New(httpretry.Options{MaxBody: func(*http.Request) int64 { return 1 << 20 }})
	t.Cleanup(tr.CloseIdleConnections)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := tr.Client().Get(srv.URL)
	runtime.ReadMemStats(&after)
	var large *httpretry.TooLargeError
	if !errors.As(err, &large) || large.Limit != 1<<20 {
		t.Errorf("error %v", err)
	}
	if n := (after.TotalAlloc - before.TotalAlloc) >> 20; n > 8 {
		t.Errorf("%d MB were allocated", n)
	}
}

// Final answers that are none are errors at once, and nothing that the server says in its
// status line or at any length is in them.
func TestHostileAnswers(t *testing.T) {
	canary := strings.Repeat("canary-secret", 10)
	for _, c := range []struct {
		name, answer string
		status       int    // of the answer, or
		want         string // a part of the error
	}{
		{"101", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", 0, "unexpected answer 101 Switching Protocols"},
		{"reason phrase", "HTTP/1.1 404 " + canary + "\r\nContent-Length: 0\r\n\r\n", 404, ""},
		{"unknown status", "HTTP/1.1 799 " + canary + "\r\nContent-Length: 0\r\n\r\n", 799, ""},
		{"long status line", "HTTP/1.1 200 " + strings.Repeat("x", 1<<20) + "\r\n\r\n", 0, "headers exceeded"},
		{"long header", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", 0, "headers exceeded"},
		{"no HTTP", canary + strings.Repeat("y", 10_000) + "\r\n\r\n", 0, "the answer is not HTTP"},
		{"header with secret", "HTTP/1.1 400 Bad\r\nRequest-Id: " + canary + "\r\nContent-Length: 0\r\n\r\n", 400, ""},
		{"good header with secret", "HTTP/1.1 200 OK\r\nRequest-Id: " + canary + "\r\nContent-Length: 2\r\n\r\n{}", 200, ""},
		{"body longer than an error's", "HTTP/1.1 400 Bad\r\nContent-Length: 10000000\r\n\r\n" + strings.Repeat("z", 100_000), 400, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			url := raw(t, c.answer)
			tr := httpretry.New(httpretry.Options{Attempts: 1, RetryFor: -1, Secrets: []string{"canary-secret"}})
			t.Cleanup(tr.CloseIdleConnections)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
			resp, err := tr.RoundTrip(req)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 1100 || strings.Contains(err.Error(), "canary") {
					t.Errorf("error %.2000v, want one with %q", err, c.want)
				}
				return
			}
			if err != nil || resp.StatusCode != c.status {
				t.Fatalf("%v, %v, want status %d", resp, err, c.status)
			}
			if b := body(t, resp); len(b) > 64<<10 {
				t.Errorf("the body has %d bytes", len(b))
			}
			if all := fmt.Sprint(resp.Status, resp.Header, tr.LastHeader()); strings.Contains(all, "canary") {
				t.Errorf("the secret is in %s", all)
			}
		})
	}
}

// A body of 101 that hangs is not even begun, and is not asked for again.
func TestSwitchingProtocolsIsNotTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		tr := httpretry.New(httpretry.Options{Base: server(switching)})
		if _, err := get(t, tr); err == nil || err.Error() != "unexpected answer 101 Switching Protocols" {
			t.Errorf("error %v", err)
		}
		if n := tr.Stats().Requests; n != 1 || time.Since(began) != 0 {
			t.Errorf("%d requests in %s", n, time.Since(began))
		}
	})
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
