package httpretry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
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

// switching is an answer of which no end comes.
func switching(*http.Request) (*http.Response, error) {
	r, _ := io.Pipe()
	return response(101, r), nil
}

// unixIn returns the time that is d from now, in unix seconds.
func unixIn(d time.Duration) string { return strconv.FormatInt(time.Now().Add(d).Unix(), 10) }

// sendAll sends n requests from many callers at once.
func sendAll(t *testing.T, tr *httpretry.Transport, n int) {
	t.Helper()
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			if _, err := get(t, tr); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
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
