package importer_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"segsync/importer/journal"
	"segsync/importer/sink/bulk"
	"segsync/internal/sandbox"
	"segsync/internal/sandboxtest"
)

// runOnlyChanges runs an import of changes as the command does: it waits for what Voucherify has
// queued, takes an export, and imports.
func (w *world) runOnlyChanges(im *process, timeout time.Duration) {
	w.t.Helper()
	unsettled, err := bulk.NewConfirmer(im.vch, im.options.Log).WaitForQueue(w.t.Context(), im.journal.OpenActions(), timeout)
	if err != nil {
		w.t.Fatal(err)
	}
	im.options.Existing, im.options.Unsettled = w.export(nil), unsettled
	if err := im.Run(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// A customer has the value A, B is queued, and the profile is A again: an export that is taken before
// the queue has written B shows nothing to do, and B would stay.
func TestOnlyChangesWaitsForWhatIsQueued(t *testing.T) {
	t.Parallel()
	const delay = 5 * time.Minute
	sameDir := func(w *world) { w.settings.Verify.Off = true }
	for _, c := range []struct {
		name    string
		second  func(w *world) // before the import that is queued
		kill    bool           // during its bulk request
		third   func(w *world) // before the import of changes
		timeout time.Duration  // of waiting for the queue
		waits   bool
		sent    int // customers of the import of changes
	}{
		{"the log knows the action", sameDir, false, nil, time.Hour, true, 1},
		{"another directory queued it", func(w *world) { sameDir(w); w.names = journal.NewNames(w.t.TempDir(), "") }, false, nil, time.Hour, true, 1},
		{"killed during the request", sameDir, true, nil, time.Hour, true, 20},
		{"it has not ended in time", sameDir, false, nil, time.Minute, true, 20},
		{"the list is refused", sameDir, false, func(w *world) { w.On(actions, sandboxtest.Status(403)) }, time.Hour, true, 1},
		{"the action cannot be read", sameDir, false, func(w *world) {
			w.On(actions, sandboxtest.Status(403))
			w.On(anAction, sandboxtest.Status(410))
		}, time.Hour, false, 20},
		{"it has ended", sameDir, false, func(*world) { time.Sleep(time.Hour) }, time.Hour, false, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{Profiles: 20, Plain: true, ActionDelay: delay, Exports: exports(sandbox.ExportOptions{})})
				w.settings.Mapping = onlyRules(t, "name: name")
				name := "A"
				w.On(`@7/traits`, func(rw answerWriter, _ request) bool {
					fmt.Fprintf(rw, `{"traits":{"name":%q},"cursor":{"has_more":false,"next":""}}`, name)
					return true
				})
				w.settings.Verify.Timeout = time.Hour
				w.finished(from(""))
				names := w.names

				name = "B"
				c.second(w)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.kill {
					w.On(`^POST .*/bulk`, sandboxtest.Nth(1, func(rw answerWriter, r request) bool {
						w.Serve(rw, r)
						cancel()
						return true
					}))
				}
				if err := w.importerOf(next()).Run(ctx); (err != nil) != c.kill {
					t.Fatal(err)
				}

				name = "A"
				w.names = names
				if c.third != nil {
					c.third(w)
				}
				w.ForgetBulk()
				began := time.Now()
				im := w.importerOf(from(""))
				w.runOnlyChanges(im, c.timeout)
				if waited := time.Since(began) > 30*time.Second; waited != c.waits {
					t.Errorf("it took %s, want it to wait: %v", time.Since(began), c.waits)
				}
				time.Sleep(2 * delay)
				sent := 0
				for _, n := range w.Batches(t) {
					sent += n
				}
				if sent != c.sent {
					t.Errorf("%d customers were sent, want %d", sent, c.sent)
				}
				if got := string(w.Box.Customers()[w.Profiles()[7].SourceID]); !strings.Contains(got, `"name":"A"`) {
					t.Errorf("the customer is %s, want the name A", got)
				}
			})
		})
	}
}

// Where nothing is queued, nothing is waited for, whatever else is in the list of actions.
func TestOnlyChangesWaitsForNothingElse(t *testing.T) {
	for name, action := range map[string]string{
		"none":             ``,
		"of another kind":  `{"id":"aa_1","type":"VOUCHERS.IMPORT","status":"IN_PROGRESS","created_at":%q}`,
		"that has ended":   `{"id":"aa_1","type":"CUSTOMERS.BULK_UPDATE","status":"FAILED","created_at":%q}`,
		"that never ended": `{"id":"aa_1","type":"CUSTOMERS.BULK_UPDATE","status":"ENQUEUED","created_at":"1999-01-01T00:00:00Z"}%.0s`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{Profiles: 20, Plain: true, Exports: exports(sandbox.ExportOptions{})})
				w.settings.Mapping = onlyRules(t, "name: name")
				w.finished(from(""))
				if action != "" {
					action = fmt.Sprintf(action, time.Now().UTC().Format(time.RFC3339))
				}
				w.On(actions, sandboxtest.Body(`{"async_actions":[`+action+`]}`))
				w.ForgetBulk()
				im := w.importerOf(next())
				began := time.Now()
				w.runOnlyChanges(im, time.Hour)
				if d := time.Since(began); d > 15*time.Second || len(w.Bulk()) != 0 {
					t.Errorf("it took %s; %d bulk requests", d, len(w.Bulk()))
				}
				w.wantCountsOf(im.State(), counts{Read: 20, Unchanged: 20})
			})
		})
	}
}
