package importer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"segsync/importer/outcome"
	"segsync/internal/sandboxtest"

	"github.com/google/go-cmp/cmp"

	"segsync/importer"
	"segsync/internal/sandbox"
)

const (
	anAction = `^GET /v1/async-actions/aa_`
	actions  = `^GET /v1/async-actions\?`
)

// Only the counts and the errors of an action decide, whatever its operation_status.
func TestRejectedCustomersAreReported(t *testing.T) {
	for _, status := range []string{"SUCCESS", "FAILED", "UNKNOWN", "-"} {
		for _, legacy := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, old shape %v", status, legacy), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					bad := func(sourceID string) bool { return strings.HasSuffix(sourceID, "3") }
					w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true, OperationStatus: status, LegacyResults: legacy,
						Reject: func(sourceID string) (string, string, string) {
							if bad(sourceID) {
								return "metadata_validation_failed", "Metadata validation failed", "Property .age"
							}
							return "", "", ""
						}})
					im := w.importer()
					if err := im.Run(t.Context()); err != nil {
						t.Fatal(err)
					}
					var want [][]string
					for _, e := range w.Profiles() {
						switch {
						case !bad(e.SourceID):
						case legacy:
							want = append(want, []string{e.SegmentID, e.SourceID, "not_updated", "Voucherify did not update this customer"})
						default:
							want = append(want, []string{e.SegmentID, e.SourceID, "metadata_validation_failed", "Metadata validation failed: Property .age"})
						}
					}
					var got [][]string
					for _, row := range w.notImported() {
						if !strings.HasPrefix(row[4], "aa_") || !strings.HasPrefix(row[5], "v-") {
							t.Errorf("no ids in %q", row)
						}
						got = append(got, row[:4])
					}
					slices.SortFunc(got, func(a, b []string) int { return strings.Compare(a[1], b[1]) })
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("not imported (-want +got):\n%s", diff)
					}
					w.wantConfirmed(im, 100)
					if diff := cmp.Diff(counts{Read: 100, Confirmed: 90, Rejected: 10}, countsOf(im.State())); diff != "" {
						t.Errorf("counts (-want +got):\n%s", diff)
					}
					if n := strings.Count(w.log.String(), "more with this reason are not logged"); n != 1 {
						t.Errorf("told %d times:\n%s", n, w.log.String())
					}
				})
			})
		}
	}
}

// Where Voucherify names only some of the rejected customers, its number counts.
func TestCustomersRejectedWithoutBeingNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 50, Plain: true, MaxErrors: 2,
			Reject: func(sourceID string) (string, string, string) {
				if strings.HasSuffix(sourceID, "7") {
					return "bad", "Bad", ""
				}
				return "", "", ""
			}})
		w.settings.BatchSize = 100
		im := w.importer()
		if err := im.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		var got [][]string
		for _, row := range w.notImported() {
			got = append(got, row[:4])
		}
		e := w.Profiles()
		unnamed := []string{"", "", "not_named", "one of 3 customers that were rejected without their names, of the 50 in this async action"}
		want := [][]string{{e[7].SegmentID, e[7].SourceID, "bad", "Bad"}, {e[17].SegmentID, e[17].SourceID, "bad", "Bad"}, unnamed, unnamed, unnamed}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("not imported (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(counts{Read: 50, Confirmed: 45, Rejected: 5}, countsOf(im.State())); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
		w.wantConfirmed(im, 50)
		if !strings.Contains(w.log.String(), "without saying which") || !strings.Contains(w.log.String(), "not_named=3") {
			t.Errorf("log:\n%s", w.log.String())
		}
	})
}

// An action that ends after the time for it is left unconfirmed, and confirmed by what
// looks again: Verify, or another Run.
func TestActionThatEndsTooLateIsTakenUpLater(t *testing.T) {
	for name, again := range map[string]func(*process) error{
		"Verify": func(im *process) error { return im.Verify(context.Background()) },
		"Run":    func(im *process) error { return im.Run(context.Background()) },
	} {
		for where, restart := range map[string]bool{"same process": false, "new process": true} {
			t.Run(name+", "+where, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true, ActionDelay: 4 * time.Minute})
					im := w.importer()
					began := time.Now()
					if err := im.Run(t.Context()); err != nil {
						t.Fatal(err)
					}
					if d := time.Since(began); d < 10*time.Minute || d > 11*time.Minute {
						t.Errorf("it took %s", d)
					}
					w.wantCounts(im, 100)
					if s := im.State(); s.Count(outcome.Confirmed) != 40 || s.Unconfirmed() != 60 || s.IsUnfinished() || !s.Position.Done {
						t.Errorf("%+v", s)
					}
					time.Sleep(time.Hour)
					if restart {
						im = w.importer()
					}
					read := w.Box.Stats().SegmentRequests
					if err := again(im); err != nil {
						t.Fatal(err)
					}
					w.wantConfirmed(im, 100)
					w.wantComplete()
					if n := w.Box.Stats(); n.SegmentRequests != read || n.BulkRequests != 5 {
						t.Errorf("read or sent again: %+v", n)
					}
				})
			})
		}
	}
}

// The list may show an action late, or never.
func TestFreshActionThatTheListDoesNotShow(t *testing.T) {
	for _, hidden := range []time.Duration{20 * time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true, HideFresh: hidden})
			reads := w.Count(anAction)
			im := w.importer()
			began := time.Now()
			if err := im.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.wantConfirmed(im, 100)
			if d := time.Since(began); d > 2*time.Minute || *reads != 5 {
				t.Errorf("hidden for %s: it took %s and read %d actions", hidden, d, *reads)
			}
		})
	}
}

// The customers of an action that failed as a whole are sent once more; if that fails
// too they are rejected.
func TestFailedActionIsSentAgainOnce(t *testing.T) {
	t.Run("fails once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, sandbox.Options{Profiles: 100, FailActions: func(n int) bool { return n == 2 }})
			im := w.importer()
			if err := im.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.wantComplete()
			w.wantConfirmed(im, 100)
			if s := im.State(); s.Count(outcome.Rejected) != 0 || s.Details.Identifiers["user_id"] != s.Count(outcome.Confirmed) {
				t.Errorf("%+v", s)
			}
		})
	})
	t.Run("all fail once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true, FailActions: func(n int) bool { return n <= 5 }})
			im := w.importer()
			if err := im.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.wantComplete()
			w.wantConfirmed(im, 100)
			if n := w.Box.Stats().BulkRequests; n != 10 {
				t.Errorf("%d bulk requests", n)
			}
		})
	})
	t.Run("fails twice", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true, FailActions: func(n int) bool { return n == 2 || n > 5 }})
			im := w.importer()
			if err := im.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.wantConfirmed(im, 100)
			if diff := cmp.Diff(counts{Read: 100, Confirmed: 80, Rejected: 20}, countsOf(im.State())); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
			applied, lines := w.Box.Customers(), map[string]bool{}
			for _, row := range w.notImported() {
				if _, there := applied[row[1]]; there || row[2] != "action_failed" || row[3] != "the async action failed twice: its status is FAILED" {
					t.Errorf("%q", row)
				}
				lines[row[1]] = true
			}
			if len(lines) != 20 || len(applied) != 80 {
				t.Errorf("%d of %d lines, %d customers", len(lines), len(w.notImported()), len(applied))
			}
		})
	})
	t.Run("stopped in between", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, sandbox.Options{Profiles: 100, FailActions: func(n int) bool { return n <= 2 }})
			n := 0
			for im := w.importer(); im.State().IsUnfinished(); im = w.importer() {
				if n++; n > 20 {
					t.Fatal("no progress")
				}
				w.Mend()
				w.On(`^GET /v1/spaces`, sandboxtest.Nth(30*n, sandboxtest.Status(401))) // later and later
				im.Run(t.Context())
				w.wantCounts(im, im.State().Counts.Read())
				if !im.State().IsUnfinished() {
					w.wantConfirmed(im, 100)
					break
				}
			}
			w.wantComplete()
		})
	})
}

// Other programs have actions in the list too.
func TestOtherActionsFillTheList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true})
		w.On(actions+`limit=100$`, sandboxtest.Nth(1, func(answerWriter, request) bool {
			for range 250 {
				time.Sleep(time.Millisecond)
				r := httptest.NewRequest("POST", "/v1/customers/bulk/async", strings.NewReader("[]"))
				r.Header.Set("X-App-Id", "sandbox-app-id")
				r.Header.Set("X-App-Token", "sandbox-secret-key")
				answer := httptest.NewRecorder()
				w.Serve(answer, r)
				if answer.Code != 202 {
					t.Errorf("%d", answer.Code)
				}
			}
			return false
		}))
		lists, reads := w.Count(actions), w.Count(anAction)
		im := w.importer()
		if err := im.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.wantConfirmed(im, 100)
		if *lists != 3 || *reads != 5 {
			t.Errorf("%d list requests and %d of actions, want 3 and 5", *lists, *reads)
		}
	})
}

// Every action is read once, when it has ended, and the list is not asked for all the
// time.
func TestCallsOfTheVerifier(t *testing.T) {
	t.Run("quick", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, sandbox.Options{Profiles: 200, Plain: true})
			lists, reads := w.Count(actions), w.Count(anAction)
			if err := w.importer().Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if *lists != 1 || *reads != 10 {
				t.Errorf("%d list requests and %d of actions, want 1 and 10", *lists, *reads)
			}
		})
	})
	t.Run("slow", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, sandbox.Options{Profiles: 400, Plain: true, Latency: time.Second, ActionDelay: 40 * time.Second})
			lists, reads := w.Count(actions), w.Count(anAction)
			began := time.Now()
			w.settings.Verify.Timeout = time.Hour
			im := w.importer()
			if err := im.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.wantConfirmed(im, 400)
			if limit := int(time.Since(began)/(5*time.Second)) + 3; *lists > limit || *reads != 20 {
				t.Errorf("%d list requests and %d of actions in %s", *lists, *reads, time.Since(began))
			}
		})
	})
	t.Run("while nothing ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, sandbox.Options{Profiles: 20, Plain: true, ActionDelay: 24 * time.Hour})
			var at []time.Time
			w.On(actions, func(answerWriter, request) bool { at = append(at, time.Now()); return false })
			if err := w.importer().Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			var waits []time.Duration
			for i := 1; i < len(at); i++ {
				waits = append(waits, at[i].Sub(at[i-1]).Round(time.Millisecond))
			}
			if len(waits) < 20 || len(waits) > 26 || waits[0] != 5*time.Second || waits[1] != 7500*time.Millisecond || waits[len(waits)-1] != 30*time.Second {
				t.Errorf("waits of %v", waits)
			}
		})
	})
	t.Run("off", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true})
			w.settings.Verify.Off = true
			lists, reads := w.Count(actions), w.Count(anAction)
			im := w.importer()
			if err := im.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.wantComplete()
			w.wantCounts(im, 100)
			if s := im.State(); *lists+*reads != 0 || s.IsUnfinished() || s.Unconfirmed() != 100 || s.Count(outcome.Confirmed) != 0 {
				t.Errorf("%d requests, %+v", *lists+*reads, s)
			}
		})
	})
}

func TestTooManyRejects(t *testing.T) {
	o := sandbox.Options{Profiles: 200, Plain: true, Latency: time.Second, Reject: func(sourceID string) (string, string, string) {
		if strings.HasSuffix(sourceID, "1") || strings.HasSuffix(sourceID, "2") {
			return "bad", "Bad", ""
		}
		return "", "", ""
	}}
	for _, limit := range []int{0, 7, 39} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, o)
				w.settings.MaxRejects = limit
				im := w.importer()
				err := im.Run(t.Context())
				var tooMany *importer.TooManyRejectsError
				if !errors.As(err, &tooMany) || tooMany.Max != limit || tooMany.Rejected != im.State().Count(outcome.Rejected) || tooMany.Rejected <= limit {
					t.Fatalf("error %v, %+v", err, countsOf(im.State()))
				}
				w.wantCounts(im, im.State().Counts.Read())
				if n := im.State().Counts.Read(); limit < 39 && n == 200 {
					t.Errorf("it was not stopped before the end")
				}
				w.settings.MaxRejects = 40
				im = w.importer()
				if err := im.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				w.wantConfirmed(im, 200)
				lines := map[string]bool{}
				for _, row := range w.notImported() {
					lines[row[1]] = true
				}
				if len(lines) != 40 || len(w.notImported()) != 40 {
					t.Errorf("%d lines on %d customers, want 40", len(w.notImported()), len(lines))
				}
			})
		})
	}
}

// An action may end while the page of its last customers is not complete yet, because
// another bulk request is slow. The verdict waits for the page.
func TestActionThatEndsBeforeItsLastPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 40, Plain: true})
		w.settings.BatchSize = 7 // the third begins in the middle of the second page
		slow, waited := w.Profiles()[14].SourceID, 0
		w.On("^POST", func(rw answerWriter, r request) bool {
			data, err := io.ReadAll(r.Body)
			if err != nil || !bytes.Contains(data, []byte(slow)) {
				return false
			}
			waited++
			return sandboxtest.Slowly(time.Minute)(rw, r)
		})
		reads := w.Count(anAction)
		im := w.importer()
		if err := im.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.wantComplete()
		w.wantConfirmed(im, 40)
		if diff := cmp.Diff(counts{Read: 40, Confirmed: 40}, countsOf(im.State())); diff != "" || *reads != 6 || waited != 1 {
			t.Errorf("%d bulk requests were slow; %d actions read; counts (-want +got):\n%s", waited, *reads, diff)
		}
	})
}

// An error with a source_id that was not sent, or two with the same, name nobody else: the
// counts decide. Where a whole action was rejected, it is clear which customers were.
func TestRejectionsAreCountedWhateverTheErrorsName(t *testing.T) {
	for name, c := range map[string]struct {
		result string
		counts counts
		ids    bool // the lines have ids
	}{
		"an unknown source_id": {
			`{"done_count":19,"failed_count":1,"errors":[{"source_id":"nobody","key":"bad","message":"Bad","details":""}]}`,
			counts{Read: 20, Confirmed: 19, Rejected: 1}, false,
		},
		"no source_id": {
			`{"done_count":18,"failed_count":2,"errors":[{"key":"bad","message":"Bad"},{"key":"bad","message":"Bad"}]}`,
			counts{Read: 20, Confirmed: 18, Rejected: 2}, false,
		},
		"nothing done": {
			`{"done_count":0,"failed_count":0,"errors":[]}`,
			counts{Read: 20, Rejected: 20}, true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{Profiles: 20, Plain: true})
				w.On(anAction, func(rw answerWriter, r request) bool {
					io.WriteString(rw, `{"id":"`+path.Base(r.URL.Path)+`","status":"DONE","operation_status":"SUCCESS","result":`+c.result+`}`)
					return true
				})
				im := w.importer()
				if err := im.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(c.counts, countsOf(im.State())); diff != "" {
					t.Errorf("counts (-want +got):\n%s", diff)
				}
				for _, row := range w.notImported() {
					if (row[0] != "") != c.ids || row[2] != "not_named" {
						t.Errorf("%q", row)
					}
				}
			})
		})
	}
}
