package httpretry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"segsync/internal/httpretry"
)

const downloadURL = "https://download.example.com/v1/exports/exp_1?token=canary-token"

// fileServer serves a file, and cuts each answer after some bytes.
type fileServer struct {
	content string
	cut     int    // bytes of each answer; 0: all
	ranges  bool   // whether it serves a part
	etag    string // of the file
	lies    string // Content-Range of the parts; empty: the right one
	silent  bool   // tells no Content-Length

	asked []string // the header Range of each request
}

func (s *fileServer) RoundTrip(r *http.Request) (*http.Response, error) {
	time.Sleep(10 * time.Millisecond)
	s.asked = append(s.asked, r.Header.Get("Range")+r.Header.Get("If-Range"))
	if e := r.Header.Get("Accept-Encoding"); e != "identity" {
		return nil, fmt.Errorf("Accept-Encoding %q", e)
	}
	from, status := 0, 200
	if n, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); n == 1 && s.ranges {
		status = 206
	} else {
		from = 0
	}
	part, end := s.content[from:], error(nil)
	if s.cut > 0 && s.cut < len(part) {
		part, end = part[:s.cut], io.ErrUnexpectedEOF
	}
	body := io.MultiReader(strings.NewReader(part), readerFunc(func([]byte) (int, error) {
		if end != nil {
			return 0, end
		}
		return 0, io.EOF
	}))
	resp := response(status, body)
	resp.ContentLength = int64(len(s.content) - from)
	if s.silent {
		resp.ContentLength = -1
	}
	if s.etag != "" {
		resp.Header.Set("ETag", s.etag)
	}
	if status == 206 {
		resp.Header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(s.content)-1, len(s.content)))
		if s.lies != "" {
			resp.Header.Set("Content-Range", s.lies)
		}
	}
	return resp, nil
}

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

// A download that is cut is resumed where the server can do that, and else begun again.
func TestDownload(t *testing.T) {
	content := strings.Repeat("id,source_id\n", 100_000) // 1.3 MB
	const half = 700_000
	for _, c := range []struct {
		name  string
		s     fileServer
		asked []string
		want  string // error
	}{
		{"whole", fileServer{}, []string{""}, ""},
		{"whole, size unknown", fileServer{silent: true}, []string{""}, ""},
		{"resumed", fileServer{cut: half, ranges: true}, []string{"", "bytes=700000-"}, ""},
		{"resumed, same ETag", fileServer{cut: half, ranges: true, etag: `"a"`}, []string{"", `bytes=700000-"a"`}, ""},
		{"resumed, weak ETag", fileServer{cut: half, ranges: true, etag: `W/"a"`}, []string{"", "bytes=700000-"}, ""},
		{"resumed often", fileServer{cut: 200_000, ranges: true}, []string{"", "bytes=200000-", "bytes=400000-", "bytes=600000-",
			"bytes=800000-", "bytes=1000000-", "bytes=1200000-"}, ""},
		{"cut always, no ranges", fileServer{cut: half}, append([]string{""}, repeat("bytes=700000-", 9)...),
			"after 10 attempts: reading the download: unexpected EOF"},
		{"cut always, size unknown", fileServer{cut: half, silent: true}, repeat("", 10),
			"after 10 attempts: reading the download: unexpected EOF"},
		{"the wrong part", fileServer{cut: half, ranges: true, lies: "bytes 0-1299999/1300000"},
			[]string{"", "bytes=700000-", "", "bytes=700000-", "", "bytes=700000-", "", "bytes=700000-", "", "bytes=700000-"},
			"after 10 attempts: unexpected answer 206 Partial Content to a download"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.s.content = content
				n, got, err := download(t, t.Context(), httpretry.New(httpretry.Options{Base: &c.s}), downloadURL)
				if diff := cmp.Diff(c.asked, c.s.asked); diff != "" {
					t.Errorf("ranges that were asked for (-want +got):\n%s", diff)
				}
				if c.want != "" {
					if err == nil || err.Error() != c.want {
						t.Errorf("error %v, want %s", err, c.want)
					}
					return
				}
				if err != nil || n != int64(len(content)) || got != content {
					t.Errorf("%d bytes, %d in the file, want %d; error %v", n, len(got), len(content), err)
				}
			})
		})
	}
}

func repeat(s string, n int) []string { return strings.Split(strings.Repeat(s+"|", n-1)+s, "|") }

// An answer that ends early is noticed although no error says so.
func TestDownloadThatIsShorterThanAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		tr := httpretry.New(httpretry.Options{Base: server(func(*http.Request) (*http.Response, error) {
			n++
			resp := response(200, strings.NewReader("abcdef"[:min(3*n, 6)]))
			resp.ContentLength = 6
			return resp, nil
		})})
		if size, got, err := download(t, t.Context(), tr, downloadURL); err != nil || size != 6 || got != "abcdef" || n != 2 {
			t.Errorf("%d bytes %q after %d attempts, error %v", size, got, n, err)
		}
	})
}

// Nothing is left of a longer file of which a part came first.
func TestDownloadOfAFileThatShrinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		tr := httpretry.New(httpretry.Options{Base: server(func(r *http.Request) (*http.Response, error) {
			if n++; n == 1 {
				return cut(200).RoundTrip(r)
			}
			return answer(200, "abc").RoundTrip(r)
		})})
		if size, got, err := download(t, t.Context(), tr, downloadURL); err != nil || size != 3 || got != "abc" {
			t.Errorf("%d bytes %q, error %v", size, got, err)
		}
	})
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

// Canceling and Hurry end a download at once, whatever it waits for.
func TestDownloadIsInterrupted(t *testing.T) {
	for name, s := range map[string]server{
		"no answer": silence, "a body that stalls": stalled, "a body without a context": bodyWithoutContext, "a retry": answer(503, ""),
	} {
		for _, how := range []string{"hurry", "cancel"} {
			t.Run(name+", "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					tr := httpretry.New(httpretry.Options{Base: s})
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					end := tr.Hurry
					if how == "cancel" {
						end = cancel
					}
					time.AfterFunc(20*time.Second, end)
					began := time.Now()
					_, _, err := download(t, ctx, tr, downloadURL)
					if d := time.Since(began); err == nil || d != 20*time.Second {
						t.Errorf("it took %s, error %v", d, err)
					}
				})
			})
		}
	}
}

// The token in the URL is in no error and no log, whatever the server and the network say.
func TestDownloadKeepsItsToken(t *testing.T) {
	for name, s := range map[string]server{
		"error answer":      answer(404, "no such export: "+downloadURL),
		"another error":     answer(500, `{"url":"/v1/exports/exp_1?token=canary\u002dtoken"}`),
		"redirect":          answer(302, downloadURL, "Location", downloadURL),
		"network error":     func(*http.Request) (*http.Response, error) { return nil, fmt.Errorf("Get %q: reset", downloadURL) },
		"switches protocol": hung,
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

// Over a real connection: a server that closes it, and http.ServeContent, which knows ranges.
func TestDownloadOverHTTP(t *testing.T) {
	content := strings.Repeat("0123456789", 200_000)
	requests := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests++
		if requests == 1 {
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			io.WriteString(w, content[:1_000_000])
			panic(http.ErrAbortHandler)
		}
		if r.Header.Get("Range") == "" {
			t.Error("it was begun again")
		}
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
	}))
	t.Cleanup(srv.Close)
	tr := httpretry.New(httpretry.Options{})
	t.Cleanup(tr.CloseIdleConnections)
	n, got, err := download(t, t.Context(), tr, srv.URL+"/x?token=canary-token")
	if err != nil || n != int64(len(content)) || got != content {
		t.Errorf("%d bytes, the right ones: %v, error %v", n, got == content, err)
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
