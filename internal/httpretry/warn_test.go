package httpretry_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"segsync/internal/httpretry"
)

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

// An outage that lasts is warned of every now and then.
func TestWarningsOfALongOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		tr := httpretry.New(httpretry.Options{Base: server(networkError), RetryFor: -1, Log: slog.New(slog.NewTextHandler(&log, nil))})
		began := time.Now()
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { get(t, tr) })
		}
		all.Wait()
		if n, most := strings.Count(log.String(), "level=WARN"), int(time.Since(began)/(10*time.Second))+1; n < 2 || n > most {
			t.Errorf("%d warnings in %s", n, time.Since(began))
		}
	})
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
