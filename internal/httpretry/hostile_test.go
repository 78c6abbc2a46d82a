package httpretry_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
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
		tr := httpretry.New(httpretry.Options{Base: server(hung)})
		if _, err := get(t, tr); err == nil || err.Error() != "unexpected answer 101 Switching Protocols" {
			t.Errorf("error %v", err)
		}
		if n := tr.Stats().Requests; n != 1 || time.Since(began) != 0 {
			t.Errorf("%d requests in %s", n, time.Since(began))
		}
	})
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
	for range 64 {
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

// The answers that are being read, or are not closed yet, hold no more than 32 MiB and
// 64 KiB each, however many readers there are.
func TestBytesHeldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const readers, size, chunk = 64, 4 << 20, 32 << 10
		var mu sync.Mutex
		held, most := 0, 0
		hold := func(n int) {
			mu.Lock()
			defer mu.Unlock()
			held += n
			most = max(most, held)
		}
		tr := httpretry.New(httpretry.Options{RetryFor: -1, MaxBody: func(*http.Request) int64 { return size },
			Base: server(func(*http.Request) (*http.Response, error) {
				left := size
				return response(200, readerFunc(func(b []byte) (int, error) {
					time.Sleep(time.Millisecond)
					if left == 0 {
						return 0, io.EOF
					}
					n := min(left, len(b), chunk)
					for i := range b[:n] {
						b[i] = '1'
					}
					left -= n
					hold(n)
					return n, nil
				})), nil
			})})
		var all sync.WaitGroup
		for range readers {
			all.Go(func() {
				resp, err := get(t, tr)
				if err != nil {
					t.Error(err)
					return
				}
				time.Sleep(10 * time.Millisecond)
				hold(-size)
				resp.Body.Close()
			})
		}
		all.Wait()
		if bound := 32<<20 + readers*(64<<10+chunk); most > bound || held != 0 {
			t.Errorf("%d bytes were held at once, want at most %d", most, bound)
		}
	})
}

// A large answer of which nothing comes keeps no memory from the next one.
func TestLargeAnswersThatComeToNothing(t *testing.T) {
	large := strings.Repeat("1", 100<<10)
	for _, c := range []struct {
		name string
		body func(cancel func()) io.Reader
	}{
		{"the context ends when the answer is read", func(cancel func()) io.Reader {
			return io.MultiReader(strings.NewReader(large), readerFunc(func([]byte) (int, error) {
				cancel()
				return 0, io.EOF
			}))
		}},
		{"invalid JSON", func(func()) io.Reader { return strings.NewReader(large + "x") }},
		{"cut", func(func()) io.Reader {
			return io.MultiReader(strings.NewReader(large), readerFunc(func([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }))
		}},
		{"too large", func(func()) io.Reader { return strings.NewReader(strings.Repeat("1", 32<<20+1)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				first := true
				tr := httpretry.New(httpretry.Options{RetryFor: -1, Attempts: 1,
					MaxBody: func(*http.Request) int64 { return 32 << 20 }, // all that may be held
					Base: server(func(*http.Request) (*http.Response, error) {
						if first {
							first = false
							return response(200, c.body(cancel)), nil
						}
						return response(200, strings.NewReader(large)), nil
					})})
				if _, err := send(t, tr, ctx); err == nil {
					t.Fatal("the first answer is no error")
				}
				if _, err := get(t, tr); err != nil {
					t.Errorf("the next one: %v", err)
				}
			})
		})
	}
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
					tr := httpretry.New(httpretry.Options{RetryFor: -1,
						Bucket: always(&httpretry.Bucket{Name: "b", Period: time.Minute, Reserve: 0.2}),
						Base:   answer(200, `{}`, "X-Rate-Limit-Limit", limit, "X-Rate-Limit-Remaining", remaining, "X-Rate-Limit-Retry", retry)})
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
