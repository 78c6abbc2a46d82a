package importer_test

import (
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"segsync/importer"
	"segsync/importer/journal"
	"segsync/importer/outcome"
	"segsync/internal/sandbox"
	"segsync/internal/sandboxtest"
)

// victim answers for the actions of the n first bulk requests, which are known by the order of
// their answers; other requests reach the sandbox.
func (w *world) victims(n int, answer sandboxtest.Answer) {
	var mu sync.Mutex
	var ids []string
	w.On(`^POST .*/bulk`, func(rw answerWriter, r request) bool {
		mu.Lock()
		defer mu.Unlock()
		if len(ids) == n {
			return false
		}
		record := &recorder{answerWriter: rw}
		w.Serve(record, r)
		if _, id, found := strings.Cut(record.body.String(), `"async_action_id":"`); found {
			id, _, _ = strings.Cut(id, `"`)
			ids = append(ids, id)
		}
		return true
	})
	w.On(anAction, func(rw answerWriter, r request) bool {
		mu.Lock()
		id := path.Base(r.URL.Path)
		is := false
		for _, v := range ids {
			is = is || v == id
		}
		mu.Unlock()
		return is && answer(rw, r)
	})
}

// recorder keeps what is answered.
type recorder struct {
	answerWriter
	body strings.Builder
}

func (r *recorder) Write(b []byte) (int, error) {
	r.body.Write(b)
	return r.answerWriter.Write(b)
}

// An action that can never be read holds up nothing: every night imports. After a day its customers
// are sent once more; if that action cannot be read either, they are outstanding.
func TestActionThatCanNeverBeRead(t *testing.T) {
	t.Parallel()
	answers := map[string]sandboxtest.Answer{
		"400": sandboxtest.Status(400), "403": sandboxtest.Status(403), "404": sandboxtest.Status(404), "410": sandboxtest.Status(410),
		"500": sandboxtest.Status(500), "no JSON": sandboxtest.Body("<html>"),
		"it never ends": sandboxtest.Body(`{"id":"aa_1","status":"IN_PROGRESS"}`),
	}
	for name, answer := range answers {
		for _, both := range []bool{false, true} {
			if !thorough() && both != (name == "410") {
				continue
			}
			t.Run(fmt.Sprintf("%s, the second too: %v", name, both), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, sandbox.Options{Profiles: 60, Plain: true})
					w.settings.RetryEarlier, w.settings.CatchUp = true, true
					n := 1
					if both {
						w.settings.BatchSize, n = 60, 99
					}
					w.victims(n, answer)
					hidden := 20
					if both {
						hidden = 60
					}
					im := w.importerOf(from(""))
					if err := im.Run(t.Context()); err != nil && !both {
						t.Fatal(err)
					}
					if got := im.State().Unconfirmed(); got != hidden {
						t.Fatalf("%d are unconfirmed, want %d", got, hidden)
					}
					for night := 2; night <= 5; night++ {
						time.Sleep(13 * time.Hour)
						if !both {
							w.Box.Touch(w.Profiles()[59].SegmentID)
						}
						start := next()
						start.SinceLast = true
						im = w.importerOf(start)
						if err := im.Run(t.Context()); err != nil && !both {
							t.Fatalf("night %d: %v", night, err)
						}
						s := im.State()
						switch {
						case !both && s.Counts.Read() == 0:
							t.Errorf("night %d imported nothing: %+v", night, countsOf(s))
						case !both && night == 2 && s.Unconfirmed() != hidden:
							t.Errorf("night %d: %d are unconfirmed, want %d", night, s.Unconfirmed(), hidden)
						case !both && night > 2 && (s.Unconfirmed() != 0 || s.Outstanding.Count != 0):
							t.Errorf("night %d: %d are unconfirmed, %+v outstanding", night, s.Unconfirmed(), s.Outstanding)
						case both && night == 5 && s.Outstanding.Count != hidden:
							t.Errorf("night %d: %+v outstanding, want %d", night, s.Outstanding, hidden)
						}
					}
					times := 0
					for _, body := range w.Bulk() {
						times += strings.Count(string(body), `"source_id":"`+victim(w)+`"`)
					}
					if want := map[bool]int{false: 2, true: 3}[both]; times != want { // the third time as those outstanding
						t.Errorf("the customers were sent %d times, want %d", times, want)
					}
				})
			})
		}
	}
}

// Where the list of actions cannot be used, actions are asked for by their ids; what is not ours in it
// does not matter.
func TestListOfActionsThatCannotBeUsed(t *testing.T) {
	for name, answer := range map[string]sandboxtest.Answer{
		"refused":               sandboxtest.Status(403),
		"an outage of its own":  sandboxtest.Status(500),
		"an entry without time": sandboxtest.Body(`{"async_actions":[{"id":"aa_x","type":"OTHER","status":"DONE"}]}`),
		"odd entries":           sandboxtest.Body(`{"async_actions":[{"id":7,"created_at":"yesterday"},null,[]]}`),
		"no list":               sandboxtest.Body(`[]`),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{Profiles: 60, Plain: true, ActionDelay: 5 * time.Second})
				w.On(actions, answer)
				w.finished(from(""))
				w.wantComplete()
			})
		})
	}
}

// An action that contradicts itself is no success, and counts that cannot be true are not believed:
// the customers stay unconfirmed, and that is said.
func TestResultsThatCannotBeTrue(t *testing.T) {
	const good = `"status":"DONE","operation_status":"SUCCESS","result":`
	for name, rest := range map[string]string{
		"more done than sent":        good + `{"done_count":21,"failed_count":0,"errors":[]}`,
		"less than nothing":          good + `{"done_count":-1,"failed_count":0,"errors":[]}`,
		"more failed than sent":      good + `{"done_count":20,"failed_count":21,"errors":[]}`,
		"no counts":                  good + `{}`,
		"errors without a source_id": good + `{"done_count":20,"failed_count":0,"errors":[{"key":"bad","message":"Bad"}]}`,
		"of another action":          `"id":"aa_other",` + good + `{"done_count":20,"failed_count":0,"errors":[]}`,
		"the operation has failed":   `"status":"DONE","operation_status":"FAILED","result":{"done_count":20,"failed_count":0,"errors":[]}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{Profiles: 20, Plain: true})
				w.On(anAction, func(rw answerWriter, r request) bool {
					id := `"id":"` + path.Base(r.URL.Path) + `",`
					if strings.HasPrefix(rest, `"id"`) {
						id = ""
					}
					io.WriteString(rw, "{"+id+rest+"}")
					return true
				})
				im := w.importer()
				if err := im.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				w.wantCountsOf(im.State(), counts{Read: 20, Unconfirmed: 20})
				if !strings.Contains(w.log.String(), "an async action cannot be confirmed") {
					t.Errorf("log:\n%s", w.log.String())
				}
			})
		})
	}
}

// victim returns a customer of the first bulk request.
func victim(w *world) string {
	_, id, _ := strings.Cut(string(w.Bulk()[0]), `"source_id":"`)
	id, _, _ = strings.Cut(id, `"`)
	return id
}

// A run that is stopped before customers of a failed action are sent again rejects none of them: the
// next run sends them.
func TestStopBeforeCustomersAreSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 200, Plain: true})
		hasFailed, isStopped := false, false
		w.On(anAction, func(rw answerWriter, r request) bool {
			if isStopped {
				return false
			}
			hasFailed = true
			io.WriteString(rw, `{"id":"`+path.Base(r.URL.Path)+`","status":"FAILED"}`)
			return true
		})
		im := w.importerOf(from(""))
		w.On(`@3/traits`, func(rw answerWriter, r request) bool {
			if hasFailed && !isStopped { // it is read again
				isStopped = true
				im.Stop()
			}
			return false
		})
		if err := im.Run(t.Context()); !errors.Is(err, importer.ErrStopped) {
			t.Fatalf("error %v", err)
		}
		if n := im.State().Count(outcome.Rejected); n != 0 {
			t.Errorf("%d are rejected", n)
		}
		w.finished(journal.Start{Identity: identity(), Mode: journal.Resume})
		w.wantComplete()
	})
}
