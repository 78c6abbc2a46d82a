package importer_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"segsync/importer"
	"segsync/importer/journal"
	"segsync/importer/outcome"
	"segsync/internal/sandbox"
	"segsync/internal/sandboxtest"
)

// What an import could not import is tried again by the next one, although the list does
// not show it as changed.
func TestOutstandingIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := regexp.MustCompile(`00[123]$`)
		w := newWorld(t, sandbox.Options{Profiles: 10, Plain: true, Reject: func(sourceID string) (string, string, string) {
			if bad.MatchString(sourceID) {
				return "bad", "Bad", ""
			}
			return "", "", ""
		}})
		e := w.Profiles()
		began := time.Now().UTC()
		first := w.finished(from(""))
		if diff := cmp.Diff(counts{Read: 10, Confirmed: 7, Rejected: 3}, countsOf(first)); diff != "" || first.Outstanding.Count != 3 {
			t.Errorf("%+v, counts (-want +got):\n%s", first.Outstanding, diff)
		}
		oldest := first.Outstanding.Oldest

		time.Sleep(48 * time.Hour)
		bad = regexp.MustCompile(`002$`) // 001 is mended, 003 is gone
		w.On(`@3/`, sandboxtest.Status(http.StatusNotFound))
		w.settings.RetryEarlier = true
		next := from("")
		next.Since = began.Add(24 * time.Hour) // nothing changed
		second := w.finished(next)
		if diff := cmp.Diff(counts{Read: 3, Confirmed: 1, Rejected: 1, Vanished: 1}, countsOf(second)); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
		want := map[string][]string{e[2].SegmentID: {e[2].SourceID, "bad"}, e[3].SegmentID: {"", "vanished"}}
		if diff := cmp.Diff(want, w.rows()); diff != "" {
			t.Errorf("not imported (-want +got):\n%s", diff)
		}
		if second.Outstanding.Count != 1 || !second.Outstanding.Oldest.Equal(oldest) {
			t.Errorf("outstanding: %+v, want 1 since %s", second.Outstanding, oldest)
		}

		bad = regexp.MustCompile(`^$`)
		time.Sleep(time.Hour)
		third := w.finished(next)
		if diff := cmp.Diff(counts{Read: 1, Confirmed: 1}, countsOf(third)); diff != "" || third.Outstanding != (journal.Outstanding{}) {
			t.Errorf("%+v, counts (-want +got):\n%s", third.Outstanding, diff)
		}
	})
}

// A profile that cannot be read for reasons of its own is set aside and tried once more at
// the end; the import goes on.
func TestProfileThatCannotBeRead(t *testing.T) {
	const reads = `@13/traits`
	for name, c := range map[string]struct {
		answer sandboxtest.Answer
		want   counts
		reason string
	}{
		"dead":      {sandboxtest.Status(500), counts{Read: 30, Confirmed: 29, Unreadable: 1}, "unreadable"},
		"refused":   {sandboxtest.Status(400), counts{Read: 30, Confirmed: 29, Unreadable: 1}, "unreadable"},
		"forbidden": {sandboxtest.Status(403), counts{Read: 30, Confirmed: 29, Unreadable: 1}, "unreadable"},
		"no JSON":   {sandboxtest.Body("<html>"), counts{Read: 30, Confirmed: 29, Unreadable: 1}, "unreadable"},
		"just once": {sandboxtest.Nth(1, sandboxtest.Status(500)), counts{Read: 30, Confirmed: 30}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{Profiles: 30, Plain: true})
				asked := w.Count(reads)
				w.On(reads, c.answer)
				state := w.finished(from(""))
				if diff := cmp.Diff(c.want, countsOf(state)); diff != "" || *asked != 2 {
					t.Errorf("asked %d times, want 2; counts (-want +got):\n%s", *asked, diff)
				}
				e := w.Profiles()[13]
				want := map[string][]string{}
				if c.reason != "" {
					want[e.SegmentID] = []string{e.SourceID, c.reason}
				}
				if diff := cmp.Diff(want, w.rows()); diff != "" {
					t.Errorf("not imported (-want +got):\n%s", diff)
				}
				if state.Outstanding.Count != len(want) {
					t.Errorf("%+v", state.Outstanding)
				}
			})
		})
	}
}

// A bulk request that is refused for one of its customers is halved, down to a size from
// which on its customers are sent one by one: only the bad one is rejected.
func TestPoisonCustomerIsIsolated(t *testing.T) {
	for code, key := range map[int]string{
		http.StatusBadRequest: "made_up", http.StatusUnprocessableEntity: "made_up", http.StatusInternalServerError: "made_up",
		http.StatusConflict: "duplicate_found",
	} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{Profiles: 300, Plain: true})
				w.settings.PageSize, w.settings.BatchSize, w.settings.Readers = 100, 300, 1
				e := w.Profiles()[170]
				w.On(`^POST .*"source_id":"`+e.SourceID+`"`, func(rw answerWriter, _ request) bool {
					rw.WriteHeader(code)
					fmt.Fprintf(rw, `{"code":%d,"key":%q,"message":"Bad customer"}`, code, key)
					return true
				})
				posts := w.Count(`^POST `)
				alone := map[string]bool{}
				w.On(`^POST /v1/customers `, func(rw answerWriter, r request) bool {
					var c struct {
						ID string `json:"source_id"`
					}
					if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
						t.Error(err)
					}
					alone[c.ID] = true
					fmt.Fprintf(rw, `{"id":"cust_1","object":"customer","source_id":%q}`, c.ID)
					return true
				})
				state := w.finished(from(""))
				if diff := cmp.Diff(counts{Read: 300, Confirmed: 299, Rejected: 1}, countsOf(state)); diff != "" {
					t.Errorf("counts (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(map[string][]string{e.SegmentID: {e.SourceID, key}}, w.rows()); diff != "" {
					t.Errorf("not imported (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff([]int{300, 150, 150, 75, 75}, w.Batches(t)); diff != "" {
					t.Errorf("bulk requests (-want +got):\n%s", diff)
				}
				if most := 4 + 75 + 1; code < 500 && *posts > most {
					t.Errorf("%d requests, want at most %d: a refusal is tried again", *posts, most)
				}
				in := w.Box.Customers()
				for _, p := range w.Profiles() {
					_, queued := in[p.SourceID]
					if (queued || alone[p.SourceID]) != (p.SourceID != e.SourceID) || queued && alone[p.SourceID] {
						t.Errorf("%s: in bulk %v, alone %v", p.SourceID, queued, alone[p.SourceID])
					}
				}
			})
		})
	}
}

// sharing gives the profiles the source_id "twice", and each a description of its own.
func (w *world) sharing(profiles ...int) {
	for _, i := range profiles {
		w.On(fmt.Sprintf("@%d/external_ids", i), sandboxtest.Body(`{"data":[{"id":"twice","type":"user_id"}],"cursor":{"has_more":false,"next":""}}`))
		w.On(fmt.Sprintf("@%d/traits", i), sandboxtest.Body(fmt.Sprintf(`{"traits":{"description":"of %d"},"cursor":{"has_more":false,"next":""}}`, i)))
	}
}

// twice returns the description of the customer that the profiles share.
func (w *world) twice() string {
	w.t.Helper()
	var c struct{ Description string }
	if err := json.Unmarshal(w.Box.Customers()["twice"], &c); err != nil {
		w.t.Fatal(err)
	}
	return c.Description
}

// Of the profiles that share a source_id the one that was active last is sent: the first of
// the list, but one that a later pass finds was active after it, in the same batch too.
func TestNewestOfASourceIDWins(t *testing.T) {
	for name, c := range map[string]struct {
		batch   int
		touched []int // while the list is read, unread till then
		want    string
		merged  []int
	}{
		"in one batch":                      {100, nil, "of 5", []int{25, 95}},
		"in two batches":                    {10, nil, "of 5", []int{25, 95}},
		"found late, in the same batch":     {100, []int{95}, "of 95", []int{5, 25}},
		"found late, in another batch":      {10, []int{95}, "of 95", []int{25}},
		"two found late, in the same batch": {100, []int{25, 95}, "of 95", []int{5, 25}},
		"two found late, in two batches":    {1, []int{25, 95}, "of 95", []int{25}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true})
				w.settings.CatchUp, w.settings.BatchSize = true, c.batch
				w.sharing(5, 25, 95)
				w.On(`next=20$`, sandboxtest.Nth(1, func(answerWriter, request) bool {
					for _, i := range c.touched {
						w.Box.Touch(w.Profiles()[i].SegmentID)
						time.Sleep(time.Second)
					}
					return false
				}))
				state := w.finished(from(""))
				if got := w.twice(); got != c.want {
					t.Errorf("the customer is that %q, want %q", got, c.want)
				}
				want := counts{Read: 100, Confirmed: 100 - len(c.merged), Merged: len(c.merged), Late: len(c.touched)}
				if diff := cmp.Diff(want, countsOf(state)); diff != "" {
					t.Errorf("counts (-want +got):\n%s", diff)
				}
				var rows []string
				for _, i := range c.merged {
					rows = append(rows, w.Profiles()[i].SegmentID+",twice\n")
				}
				if diff := cmp.Diff("segment_id,source_id\n"+strings.Join(rows, ""), w.report(w.names.Merged)); diff != "" {
					t.Errorf("merged.csv (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// A failed action that is sent again does not restore the older data of a profile over that
// A customer that takes the place of one that was sent before is sent only when Voucherify has
// taken that one: requests under way overtake each other.
func TestNewerCustomerDoesNotOvertake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 3, Plain: true})
		w.settings.CatchUp, w.settings.PageSize, w.settings.BatchSize = true, 1, 1
		w.sharing(0, 1)
		p := w.Profiles()
		lists := 0
		w.On(`/profiles\?`, func(rw answerWriter, r request) bool {
			i, at := 0, time.Now().Add(-time.Hour)
			if lists++; lists == 2 { // the head of the list, read again
				i, at = 1, time.Now()
			}
			fmt.Fprintf(rw, `{"data":[{"segment_id":%q,"metadata":{"updated_at":%q}}],"cursor":{"has_more":false,"next":""}}`,
				p[i].SegmentID, at.UTC().Format(time.RFC3339))
			return true
		})
		w.On(`/customers/bulk`, sandboxtest.Nth(1, sandboxtest.Slowly(10*time.Second)))
		im := w.importer()
		if err := im.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := w.twice(); got != "of 1" || im.State().Details.Late != 1 {
			t.Errorf("the customer is the one %s, want that of the profile found late; %+v", got, countsOf(im.State()))
		}
	})
}

// of a later one.
func TestResendRestoresNoOlderData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true, Latency: time.Second, FailActions: func(n int) bool { return n == 1 }})
		w.settings.CatchUp, w.settings.BatchSize, w.settings.Readers = true, 10, 1
		w.sharing(5, 95)
		w.On(`next=50$`, sandboxtest.Nth(1, func(answerWriter, request) bool {
			w.Box.Touch(w.Profiles()[95].SegmentID)
			return false
		}))
		state := w.finished(from(""))
		if got := w.twice(); got != "of 95" {
			t.Errorf("the customer is that %q", got)
		}
		if diff := cmp.Diff(counts{Read: 100, Confirmed: 99, Merged: 1, Late: 1}, countsOf(state)); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
		resent := 0
		for _, body := range w.Bulk() {
			if strings.Contains(string(body), `"source_id":"`+w.Profiles()[4].SourceID+`"`) {
				resent++
			}
		}
		if resent != 2 {
			t.Errorf("the failed action was sent %d times", resent)
		}
	})
}

// Voucherify gives two requests the same id: the status of their customers cannot be told apart.
func TestOneActionForTwoRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true, Latency: time.Second})
		w.settings.Readers = 1 // so that the bulk requests come one by one
		w.On(`^POST`, func(rw answerWriter, r request) bool {
			rw.WriteHeader(http.StatusAccepted)
			io.WriteString(rw, `{"async_action_id":"aa_1"}`)
			return true
		})
		err := w.importer().Run(t.Context())
		want := "two bulk requests got the same async action, aa_1: it cannot tell which customers were imported"
		if err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
		if s := w.savedState(); s == nil || len(s.Actions) != 1 || s.Actions[0].Sent != 20 || s.Count(outcome.Confirmed) != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// pagesOf answers for the list with the page that next returns the profiles of.
func (w *world) pagesOf(next func(offset string) (profiles []string, more string)) {
	w.On(`/profiles\?`, func(rw answerWriter, r request) bool {
		ids, more := next(r.URL.Query().Get("next"))
		data := []map[string]any{}
		for _, id := range ids {
			data = append(data, map[string]any{"segment_id": id, "metadata": map[string]any{"updated_at": "2000-01-01T00:00:00Z"}})
		}
		err := json.NewEncoder(rw).Encode(map[string]any{"data": data, "cursor": map[string]any{"has_more": more != "", "next": more}})
		if err != nil {
			w.t.Error(err)
		}
		return true
	})
}

// An empty page in the middle of the list is followed.
func TestEmptyPageIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 20, Plain: true})
		w.pagesOf(func(offset string) (ids []string, more string) {
			after := map[string]string{"0": "a", "a": "b", "b": ""}
			for _, e := range map[string][]sandbox.Expect{"0": w.Profiles()[:10], "b": w.Profiles()[10:]}[offset] {
				ids = append(ids, e.SegmentID)
			}
			return ids, after[offset]
		})
		w.finished(from(""))
		w.wantComplete()
	})
}

// A page that says that there are more, and not where, is no end of the list.
func TestListWithoutNextIsNotAtItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 20, Plain: true})
		w.On(`next=10$`, sandboxtest.Body(`{"data":[],"cursor":{"has_more":true,"next":""}}`))
		im := w.importer()
		if offset, err := run(t.Context(), im); err == nil || offset != "10" || !im.State().IsUnfinished() {
			t.Errorf("offset %s, error %v", offset, err)
		}
		w.wantCustomers(10)
	})
}

// Each warning is in its report; the log shows the first of each kind.
func TestWarningsAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 20, Plain: true})
		want := "segment_id,source_id,field,reason\n"
		for _, i := range []int{3, 14} {
			w.On(fmt.Sprintf("@%d/traits", i), sandboxtest.Body(`{"traits":{"birthdate":"never"},"cursor":{"has_more":false,"next":""}}`))
			e := w.Profiles()[i]
			want += e.SegmentID + "," + e.SourceID + ",birthdate,"
			want += "is not a date in the form YYYY-MM-DD\n"
		}
		state := w.finished(from(""))
		if diff := cmp.Diff(want, w.report(w.names.Warnings)); diff != "" {
			t.Errorf("warnings.csv (-want +got):\n%s", diff)
		}
		if n := strings.Count(w.log.String(), "level=WARN"); n != 1 {
			t.Errorf("%d warnings in the log:\n%s", n, w.log.String())
		}
		if diff := cmp.Diff(map[string]map[string]int{"birthdate": {"is not a date in the form YYYY-MM-DD": 2}}, state.Details.Warnings); diff != "" {
			t.Errorf("warnings (-want +got):\n%s", diff)
		}
	})
}

// A malformed profile is set aside also while the run ends gently.
func TestMalformedProfileWhileStopping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true})
		w.settings.Readers = 1
		im := w.importer()
		w.On(`@13/traits`, func(rw answerWriter, r request) bool {
			im.Stop()
			return sandboxtest.Body(`{"traits":[],"cursor":{}}`)(rw, r)
		})
		if err := im.Run(t.Context()); !errors.Is(err, importer.ErrStopped) {
			t.Fatalf("error %v", err)
		}
		if state := im.State(); state.Counts.Read() < 20 || state.Count(outcome.Unreadable) != 1 {
			t.Errorf("%+v", countsOf(state))
		}
	})
}

// A firewall that refuses one customer refuses no other one; one that refuses all ends the run, and rejects none.
func TestFirewall(t *testing.T) {
	for _, of := range []struct {
		name, match string
		want        counts
	}{
		{"one", `"source_id":"u012"`, counts{Read: 12, Confirmed: 11, Rejected: 1}},
		{"all", `.`, counts{}},
	} {
		for name, refuse := range map[string]func(answerWriter){
			"page": func(rw answerWriter) {
				rw.WriteHeader(http.StatusForbidden)
				io.WriteString(rw, "<html>blocked</html>")
			},
			"nothing":  func(rw answerWriter) { rw.WriteHeader(http.StatusForbidden) },
			"redirect": func(rw answerWriter) { rw.WriteHeader(http.StatusFound) },
			"cut":      func(answerWriter) { panic(http.ErrAbortHandler) },
		} {
			t.Run(of.name+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newFromFile(t, sandbox.Options{ActionDelay: time.Minute}, lines(1, 12))
					w.settings.PageSize, w.settings.BatchSize, w.settings.SinkRetries = 4, 4, true
					w.On(`^POST .*`+of.match, func(rw answerWriter, _ request) bool {
						refuse(rw)
						return true
					})
					im := w.continued(t)
					if err := im.Run(t.Context()); (err == nil) != (of.name == "one") {
						t.Errorf("error %v", err)
					}
					if diff := cmp.Diff(of.want, countsOf(im.State())); diff != "" {
						t.Errorf("counts (-want +got):\n%s", diff)
					}
				})
			})
		}
	}
}

// A customer that is sent one by one does not overtake an older one that is still in Voucherify's queue.
func TestOneByOneDoesNotOvertakeTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFromFile(t, sandbox.Options{ActionDelay: time.Hour}, lines(1, 3))
		w.settings.Source = openFile(t, w.path)
		if err := w.importerOf(journal.Start{Identity: fileIdentity()}).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.write(strings.Replace(lines(1, 4), `"N2"`, `"New"`, 1))
		w.settings.Source = openFile(t, w.path)
		w.On(`^POST .*"source_id":"u004"`, sandboxtest.Status(http.StatusBadRequest))
		if err := w.importerOf(journal.Start{Identity: fileIdentity()}).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour)
		w.wantNames(map[string]string{"u001": "N1", "u002": "New", "u003": "N3"})
	})
}

// Nor does the newer of two profiles of a customer, which a later pass of the same import finds.
func TestOneByOneOfALaterPassDoesNotOvertakeTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true, ActionDelay: 5 * time.Minute})
		w.settings.CatchUp, w.settings.BatchSize = true, 2
		w.sharing(5, 99)
		w.On(`next=50$`, sandboxtest.Nth(1, w.touchLast(2)))
		w.On(`^POST .*"source_id":"user-00000(00|98)"`, sandboxtest.Status(http.StatusBadRequest))
		im := w.importer()
		if err := im.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := im.State().Details.Late; got != 2 {
			t.Errorf("%d found late, want 2", got)
		}
		time.Sleep(24 * time.Hour)
		if got := w.twice(); got != "of 99" {
			t.Errorf("the customer is the one %q, want that of the profile that was active last", got)
		}
	})
}
