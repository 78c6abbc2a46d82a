package main

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"segsync/importer"
	"segsync/importer/journal"
	"segsync/importer/mapping"
	"segsync/internal/httpretry"
	"segsync/internal/sandbox"
	"segsync/segmentprofiles"
	"segsync/voucherify"
)

// inMemory hands requests to a sandbox without a network.
type inMemory struct{ box *sandbox.Sandbox }

func (m inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := httptest.NewRecorder()
	m.box.ServeHTTP(answer, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return answer.Result(), nil
}

// bubbleSession returns a session without a terminal that can live in a bubble of
// testing/synctest, and its stderr.
func bubbleSession(t *testing.T, box *sandbox.Sandbox, offset string) (*session, *output) {
	t.Helper()
	dir := t.TempDir()
	stderr := newOutput()
	s := &session{run: new(runFlags), apis: new(connection), tell: new(telling), extent: extent{total: -1}, began: time.Now()}
	s.run.report.metricsFile = filepath.Join(dir, "m.prom")
	s.tell.log = slog.New(slog.NewTextHandler(stderr, nil))
	s.apis.toSegment = httpretry.New(httpretry.Options{API: "Segment", Base: inMemory{box}})
	s.apis.toVoucherify = httpretry.New(httpretry.Options{API: "Voucherify", Base: inMemory{box}})
	base := &url.URL{Scheme: "http", Host: "127.0.0.1"}
	var err error
	s.apis.segment, err = segmentprofiles.NewClient(s.apis.toSegment.Client(), base, "spa_sandbox", "sandbox-access-token")
	check(t, err)
	s.apis.voucherify, err = voucherify.NewClient(s.apis.toVoucherify.Client(), base, "sandbox-app-id", "sandbox-secret-key")
	check(t, err)
	s.journal, _, err = journal.Open(journal.NewNames(dir, ""), journal.Start{Offset: offset})
	check(t, err)
	s.importer = importer.New(s.apis.segment, s.apis.voucherify, importer.Settings{
		Identifiers: []mapping.Identifier{{Type: "user_id"}}, PageSize: 100, TraitsLimit: 200, BatchSize: 100, Readers: 8,
		Mapping: mapping.Default(), MaxRejects: -1,
		Verify: importer.Verify{Interval: 30 * time.Second, Timeout: time.Minute},
	}, s.journal, s.tell.log)
	return s, stderr
}

// Off a terminal there is a line a minute, and the metrics are written then.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stderr := bubbleSession(t, sandbox.New(sandbox.Options{}), importer.Beginning)
		stop := s.showProgress(t.Context())
		for _, want := range []struct {
			after time.Duration
			beats int
		}{{59 * time.Second, 0}, {2 * time.Second, 1}, {58 * time.Second, 1}, {2 * time.Second, 2}, {time.Hour, 62}} {
			<-time.After(want.after)
			synctest.Wait()
			if beats := strings.Count(stderr.String(), "\n"); beats != want.beats {
				t.Fatalf("%d lines after %s, want %d:\n%s", beats, time.Since(s.began), want.beats, stderr)
			}
			data, err := os.ReadFile(s.run.report.metricsFile)
			if want.beats == 0 {
				if err == nil {
					t.Error("there are metrics before the first minute is over")
				}
				continue
			}
			got, parseErr := parseMetrics(string(data))
			check(t, err, parseErr)
			if _, ended := got["segsync_exit_code"]; got["segsync_running"] != 1 || ended {
				t.Errorf("metrics while it runs:\n%s", data)
			}
		}
		stop(false)
		want := regexp.MustCompile(`^time=\S+ level=INFO msg=importing read=0 per_second=0 confirmed=0 sent=0 rejected=0 vanished=0 warnings=0 outstanding=0 elapsed=1m0s offset=0\n`)
		if !want.MatchString(stderr.String()) {
			t.Errorf("the first line is not %s:\n%.300s", want, stderr)
		}
	})
}

// What is waited for is told once.
func TestHeartbeatOfAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := sandbox.New(sandbox.Options{Intercept: func(rw http.ResponseWriter, _ *http.Request) bool {
			rw.Header().Set("Retry-After", "200")
			rw.WriteHeader(http.StatusTooManyRequests)
			return true
		}})
		s, stderr := bubbleSession(t, box, importer.Beginning)
		ctx, cancel := context.WithCancel(t.Context())
		stop := s.showProgress(ctx)
		done := make(chan error, 1)
		go func() { done <- s.importer.Run(ctx) }()
		<-time.After(61 * time.Second)
		cancel()
		<-done
		stop(false)
		if text := stderr.String(); strings.Count(text, "waiting=") != 1 || !strings.Contains(text, `waiting="waiting for the pause that Segment asks for until `) {
			t.Errorf("the wait is not told, or not once:\n%s", text)
		}
	})
}

// The time left counts only what an import with --offset still has before it; where the
// profiles were not counted it is not known.
func TestHeartbeatShowsTheTimeLeft(t *testing.T) {
	for name, count := range map[string]bool{"counted": true, "not counted": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				box := sandbox.New(sandbox.Options{Profiles: 10_000, Seed: 1, Plain: true, Latency: 100 * time.Millisecond, Discard: true})
				s, stderr := bubbleSession(t, box, "5000")
				if count {
					s.count(t.Context())
				}
				ctx, cancel := context.WithCancel(t.Context())
				stop := s.showProgress(ctx)
				done := make(chan error, 1)
				go func() { done <- s.importer.Run(ctx) }()
				<-time.After(61 * time.Second)
				cancel()
				<-done
				stop(false)
				m := regexp.MustCompile(`msg=importing read=(\d+) per_second=\S+(?: total=(\d+) percent=\d+ left=(\S+))? `).FindStringSubmatch(stderr.String())
				if m == nil {
					t.Fatalf("no heartbeat:\n%s", stderr)
				}
				if !count {
					if m[2] != "" {
						t.Errorf("counted all the same: %s", m[0])
					}
					return
				}
				read, _ := strconv.Atoi(m[1])
				total, _ := strconv.Atoi(m[2])
				left, _ := time.ParseDuration(m[3])
				if total < 5000 || total > 5100 {
					t.Errorf("%d profiles in all, want 5,000: %s", total, m[0])
				}
				want := time.Duration(float64(total-read) / float64(read) * float64(time.Minute))
				if (left - want).Abs() > 2*time.Second {
					t.Errorf("%s are left, want %s: %s", left, want, m[0])
				}
			})
		})
	}
}
