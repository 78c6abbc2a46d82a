package httpretry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"segsync/internal/httpretry"
)

const downloadURL = "https://download.example.com/v1/exports/exp_1?token=canary-token"

func download(t *testing.T, ctx context.Context, tr *httpretry.Transport, url string) (n int64, content string, err error) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "export.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	n, err = tr.Download(ctx, req, f)
	b, _ := os.ReadFile(f.Name())
	return n, string(b), err
}

// A download that is cut is begun again, up to three times in all. Nothing is left of a longer
// part that came first.
func TestDownload(t *testing.T) {
	content := strings.Repeat("id,source_id\n", 100_000) // 1.3 MB
	announced := func(s string, length int64) server {
		return func(r *http.Request) (*http.Response, error) {
			if e := r.Header.Get("Accept-Encoding") + r.Header.Get("Range"); e != "identity" {
				return nil, fmt.Errorf("headers %q", e)
			}
			resp := response(200, strings.NewReader(s))
			resp.ContentLength = length
			return resp, nil
		}
	}
	whole := announced(content, int64(len(content)))
	for _, c := range []struct {
		name    string
		answers []server
		want    string // error
	}{
		{"whole", []server{whole}, ""},
		{"whole, size unknown", []server{announced(content, -1)}, ""},
		{"cut once", []server{cut(200), whole}, ""},
		{"cut twice", []server{cut(200), cut(200), whole}, ""},
		{"shorter than announced", []server{announced(content[:1000], 1300000), whole}, ""},
		{"another part than asked for", []server{answer(206, "x"), whole}, ""},
		{"longer at first", []server{announced(content+content, 3000000), whole}, ""},
		{"unavailable at first", []server{answer(503, ""), networkError, whole}, ""},
		{"cut always", []server{cut(200), cut(200), cut(200), whole}, "after 3 attempts: reading the download: unexpected EOF"},
		{"shorter always", []server{announced("abc", 6), announced("abcd", 6), announced("abcde", 6), whole},
			"after 3 attempts: reading the download: 5 of 6 bytes: unexpected EOF"},
		{"unavailable always", []server{answer(503, "down")}, `Voucherify answered the download with 503 Service Unavailable: "down"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{answers: c.answers}
				n, got, err := download(t, t.Context(), httpretry.New(httpretry.Options{API: "Voucherify", Base: s}), downloadURL)
				switch {
				case c.want != "":
					if err == nil || err.Error() != c.want || len(s.at) != 3 {
						t.Errorf("error %v after %d requests, want %s", err, len(s.at), c.want)
					}
				case err != nil || n != int64(len(content)) || got != content || len(s.at) != len(c.answers):
					t.Errorf("%d bytes, %d in the file, want %d; %d requests, error %v", n, len(got), len(content), len(s.at), err)
				}
			})
		})
	}
}

// A download may take as long as bytes come, but not 30 s without one.
func TestDownloadThatIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := 100
		var log bytes.Buffer
		stalls := 0
		tr := httpretry.New(httpretry.Options{RetryFor: -1, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
			Base: server(func(r *http.Request) (*http.Response, error) {
				left = 100
				return response(200, readerFunc(func(b []byte) (int, error) {
					if stalls < 2 && left == 50 {
						stalls++
						<-r.Context().Done()
						return 0, r.Context().Err()
					}
					time.Sleep(29 * time.Second)
					if err := r.Context().Err(); err != nil {
						return 0, err
					}
					if left == 0 {
						return 0, io.EOF
					}
					left--
					b[0] = 'x'
					return 1, nil
				})), nil
			})})
		n, _, err := download(t, t.Context(), tr, downloadURL)
		if err != nil || n != 100 || stalls != 2 || strings.Count(log.String(), "no answer within 30s") != 2 {
			t.Errorf("%d bytes, error %v, log\n%s", n, err, log.String())
		}
	})
}

// A canceled download ends at once, whatever it waits for.
func TestDownloadIsCanceled(t *testing.T) {
	for name, s := range map[string]server{"no answer": silence, "a body that stalls": stalled, "a pause": answer(503, "", "Retry-After", "60")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				because := errors.New("interrupted")
				time.AfterFunc(20*time.Second, func() { cancel(because) })
				began := time.Now()
				_, _, err := download(t, ctx, httpretry.New(httpretry.Options{Base: s}), downloadURL)
				if d := time.Since(began); err != because || d != 20*time.Second {
					t.Errorf("it took %s, error %v", d, err)
				}
			})
		})
	}
}

// The token in the URL is in no error and no log, whatever the server and the network say.
func TestDownloadKeepsItsToken(t *testing.T) {
	for name, s := range map[string]server{
		"error answer":      answer(404, "no such export: "+downloadURL),
		"another error":     answer(500, `{"url":"/v1/exports/exp_1?token=canary\u002dtoken"}`),
		"redirect":          answer(302, downloadURL, "Location", downloadURL),
		"network error":     func(*http.Request) (*http.Response, error) { return nil, fmt.Errorf("Get %q: reset", downloadURL) },
		"switches protocol": switching,
		"broken body": func(*http.Request) (*http.Response, error) {
			return response(200, readerFunc(func([]byte) (int, error) { return 0, errors.New("malformed " + downloadURL) })), nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				tr := httpretry.New(httpretry.Options{API: "Voucherify", RetryFor: -1, Base: s,
					Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
				_, _, err := download(t, t.Context(), tr, downloadURL)
				if err == nil {
					t.Fatal("no error")
				}
				if all := err.Error() + log.String() + fmt.Sprint(tr.LastHeader()); strings.Contains(all, "canary") || strings.Contains(all, "token") && !strings.Contains(all, "token=[secret]") {
					t.Errorf("the token is in\n%s", all)
				}
				var status *httpretry.StatusError
				if errors.As(err, &status) != strings.Contains("error answer, another error, redirect", name) {
					t.Errorf("error %#v", err)
				}
			})
		})
	}
}

// An error of the disk is not tried again.
func TestDownloadToAFullDisk(t *testing.T) {
	tr := httpretry.New(httpretry.Options{Base: answer(200, "abc")})
	req, _ := http.NewRequest(http.MethodGet, downloadURL, nil)
	_, err := tr.Download(t.Context(), req, fullDisk{})
	if err == nil || err.Error() != "writing the download: no space left" || tr.Stats().Requests != 1 {
		t.Errorf("error %v after %d requests", err, tr.Stats().Requests)
	}
}

type fullDisk struct{}

func (fullDisk) WriteAt([]byte, int64) (int, error) { return 0, errors.New("no space left") }
func (fullDisk) Truncate(int64) error               { return nil }
