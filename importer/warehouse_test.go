package importer_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"segsync/importer"
	"segsync/importer/journal"
	"segsync/internal/pgtest"
	"segsync/internal/sandbox"
)

// fromTables is a world that imports from a Postgres with profiles of the numbers 1 to n.
type fromTables struct {
	*fromFile
	url, schema string
}

func newFromTables(t *testing.T, o sandbox.Options, n int) *fromTables {
	t.Helper()
	t.Parallel() // it waits in real time
	url := pgtest.URL(t)
	w := &fromTables{newFromFile(t, o, ""), url, pgtest.Schema(t, url)}
	// What a test waits for, it waits for in real time here.
	w.settings.Verify = importer.Verify{Interval: 10 * time.Millisecond, Timeout: 20 * time.Second}
	pgtest.Fill(t, url, w.schema, func(yield func(sandbox.Person) bool) {
		for i := 1; i <= n; i++ {
			if !yield(numbered(i)) {
				return
			}
		}
	})
	w.exec(`UPDATE SCHEMA.user_traits SET uuid_ts = now() - interval '10 days'; UPDATE SCHEMA.user_identifiers SET uuid_ts = now() - interval '10 days'`)
	return w
}

func numbered(i int) sandbox.Person {
	return sandbox.Person{
		SegmentID:   fmt.Sprintf("use_%03d", i),
		ExternalIDs: []sandbox.ExternalID{{Type: "user_id", ID: fmt.Sprintf("u%03d", i)}},
		Traits:      map[string]any{"name": fmt.Sprintf("N%d", i)},
	}
}

// exec runs statements in which SCHEMA stands for the name of the schema.
func (w *fromTables) exec(sql string) {
	w.t.Helper()
	pgtest.Exec(w.t, w.url, strings.ReplaceAll(sql, "SCHEMA", `"`+w.schema+`"`))
}

// rename changes the name of a profile, as Profiles Sync does.
func (w *fromTables) rename(i int, name string) {
	w.t.Helper()
	w.exec(fmt.Sprintf(`UPDATE SCHEMA.user_traits SET value = '%s', seq = seq + 1000, uuid_ts = now() WHERE canonical_segment_id = 'use_%03d'`, name, i))
}

func tablesIdentity() journal.Identity {
	return journal.Identity{Source: "warehouse", Identifier: "user_id"}
}

func (w *fromTables) begin(t *testing.T, start journal.Start) *process {
	t.Helper()
	w.settings.Source = openWarehouse(t, w.url, w.schema)
	start.Identity = tablesIdentity()
	return w.importerOf(start)
}

func (w *fromTables) run(t *testing.T, start journal.Start) *process {
	t.Helper()
	im := w.begin(t, start)
	if err := im.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return im
}

// An import that was interrupted spans two snapshots: what changed after it began is read
// again at its end, also before the place from where it went on.
func TestWarehouseGoesOnAndReadsWhatChangedMeanwhile(t *testing.T) {
	w := newFromTables(t, sandbox.Options{}, 60)
	w.settings.Limit = 30
	w.run(t, journal.Start{Mode: journal.Discard})
	w.wantNames(names(1, 30))
	if at := w.savedState().Position; at.At != "use_030" || at.Done {
		t.Fatalf("position %+v, want one after use_030", at)
	}
	w.rename(7, "changed")
	w.rename(47, "changed, too")
	w.exec(`INSERT INTO SCHEMA.user_identifiers (canonical_segment_id, type, value, seq, uuid_ts) VALUES ('use_0005', 'user_id', 'new', 1, now());
		INSERT INTO SCHEMA.user_traits (canonical_segment_id, name, value, seq, uuid_ts) VALUES ('use_0005', 'name', 'New', 1, now())`)
	w.settings.Limit = 0
	im := w.run(t, journal.Start{Mode: journal.Resume})
	want := names(1, 60)
	want["u007"], want["u047"], want["new"] = "changed", "changed, too", "New"
	w.wantNames(want)
	w.wantConfirmed(im, 61)
	if n := im.State().Details.Late; n != 1 {
		t.Errorf("%d were found late, want 1", n)
	}
}

// Where the tables do not tell what has changed, all that was read before is read again.
func TestWarehouseThatDoesNotTellChangesGoesOn(t *testing.T) {
	w := newFromTables(t, sandbox.Options{}, 60)
	w.settings.Limit = 30
	w.run(t, journal.Start{Mode: journal.Discard})
	w.rename(7, "changed")
	w.exec(`ALTER TABLE SCHEMA.user_traits DROP COLUMN uuid_ts; ALTER TABLE SCHEMA.user_identifiers DROP COLUMN uuid_ts`)
	w.settings.Limit = 0
	im := w.run(t, journal.Start{Mode: journal.Resume})
	want := names(1, 60)
	want["u007"] = "changed"
	w.wantNames(want)
	if im.State().IsUnfinished() {
		t.Errorf("%+v", countsOf(im.State()))
	}
}

func TestWarehouseReadsNothingTwiceInOneRun(t *testing.T) {
	w := newFromTables(t, sandbox.Options{}, 60)
	w.exec(`UPDATE SCHEMA.user_traits SET uuid_ts = now()`)
	im := w.run(t, journal.Start{Mode: journal.Discard})
	w.wantNames(names(1, 60))
	w.wantConfirmed(im, 60)
}

func TestWarehouseSinceLast(t *testing.T) {
	w := newFromTables(t, sandbox.Options{}, 60)
	w.run(t, journal.Start{Mode: journal.Discard})
	first := w.savedState()
	if age := time.Since(first.Before.Began); age < 0 || age > time.Minute || !first.Before.Began.Equal(first.Began) {
		t.Fatalf("the import began at %s, and the last one at %s", first.Began, first.Before.Began)
	}
	w.rename(7, "changed")
	im := w.run(t, journal.Start{Mode: journal.StartNew, SinceLast: true})
	want := names(1, 60)
	want["u007"] = "changed"
	w.wantNames(want)
	w.wantConfirmed(im, 1)
}

// What is outstanding is read by its id, also where the import takes only what has changed.
func TestWarehouseTriesAgainByID(t *testing.T) {
	reject := true
	w := newFromTables(t, sandbox.Options{Reject: func(id string) (string, string, string) {
		if reject && (id == "u005" || id == "u006") {
			return "made_up", "made up", ""
		}
		return "", "", ""
	}}, 30)
	w.settings.RetryEarlier = true
	w.run(t, journal.Start{Mode: journal.Discard})
	if n := w.savedState().Outstanding.Count; n != 2 {
		t.Fatalf("%d are outstanding, want 2", n)
	}
	reject = false
	w.exec(`DELETE FROM SCHEMA.user_traits WHERE canonical_segment_id = 'use_006'; DELETE FROM SCHEMA.user_identifiers WHERE canonical_segment_id = 'use_006'`)
	im := w.run(t, journal.Start{Mode: journal.StartNew, SinceLast: true})
	want := names(1, 30)
	delete(want, "u006")
	w.wantNames(want)
	w.wantConfirmed(im, 2)
	if got := countsOf(im.State()); got.Confirmed != 1 || got.Vanished != 1 || im.State().Outstanding.Count != 0 {
		t.Errorf("counts %+v", got)
	}
}

func TestWarehouseCustomersOfAFailedActionAreReadAgain(t *testing.T) {
	w := newFromTables(t, sandbox.Options{FailActions: func(n int) bool { return n == 2 }}, 60)
	im := w.run(t, journal.Start{Mode: journal.Discard})
	w.wantNames(names(1, 60))
	w.wantConfirmed(im, 60)
}

// Of two profiles with one source_id the first in the order of ids is sent, also where the
// other one has changed.
func TestWarehouseTheFirstOfTwoCounts(t *testing.T) {
	w := newFromTables(t, sandbox.Options{}, 40)
	w.exec(`UPDATE SCHEMA.user_identifiers SET value = 'u003' WHERE canonical_segment_id = 'use_012'`)
	w.settings.Limit = 30
	w.run(t, journal.Start{Mode: journal.Discard})
	w.rename(12, "the other")
	w.settings.Limit = 0
	w.run(t, journal.Start{Mode: journal.Resume})
	want := names(1, 40)
	delete(want, "u012")
	w.wantNames(want)
	if got := w.report(w.names.Merged); !strings.Contains(got, "use_012,u003\n") {
		t.Errorf("merged.csv is %q", got)
	}
}

func TestWarehouseCutValuesAreWarnedAbout(t *testing.T) {
	w := newFromTables(t, sandbox.Options{}, 3)
	w.exec(`UPDATE SCHEMA.user_traits SET value = repeat('x', 512) WHERE canonical_segment_id < 'use_003'`)
	im := w.run(t, journal.Start{Mode: journal.Discard})
	if n := im.State().Details.Warnings["name"]; len(n) != 1 {
		t.Errorf("warnings: %v", im.State().Details.Warnings)
	}
	if n := strings.Count(w.log.String(), "512 characters"); n != 1 {
		t.Errorf("the log speaks %d times of it:\n%s", n, w.log.String())
	}
}

func TestWarehouseEndsAtOnceWithItsContext(t *testing.T) {
	w := newFromTables(t, sandbox.Options{}, 60)
	im := w.begin(t, journal.Start{Mode: journal.Discard})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := im.Run(ctx); err == nil {
		t.Error("no error")
	}
}
