package journal_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"segsync/importer/journal"
)

const (
	recordsLog    = "segsync-not-imported.jsonl"
	newRecordsLog = recordsLog + ".new"
	manyRejected  = 200
)

// night is an import in which the same customers are rejected as in the one before.
func night(names journal.Names) error {
	j, err := open(names, start(journal.Plain))
	if err != nil {
		return err
	}
	p := journal.Page{After: journal.Position{Offset: "200", Done: true}}
	for i := range manyRejected {
		p.Entries = append(p.Entries, journal.Entry{SegmentID: fmt.Sprintf("use_%d", i), SourceID: fmt.Sprintf("user-%d", i),
			Outcome: journal.Rejected, Why: journal.Why{Reason: "invalid_payload", Detail: strings.Repeat("e-mail ", 100)}})
	}
	return errors.Join(j.Save(), j.AddPage(p), j.Save(), j.Finish(true), j.Close())
}

// manyNights returns a directory whose log of records is long enough for the next import to
// start a new one, and a function that begins that import.
func manyNights(t *testing.T) (names journal.Names, next func() error) {
	t.Helper()
	names = journal.NewNames(t.TempDir(), "")
	for range 6 {
		if err := night(names); err != nil {
			t.Fatal(err)
		}
	}
	return names, func() error {
		j, err := open(names, start(journal.Plain))
		if err != nil {
			return err
		}
		return errors.Join(j.Save(), j.Close())
	}
}

// The log of the records does not grow with every night.
func TestRecordsAreCompacted(t *testing.T) {
	names, next := manyNights(t)
	before, want := filesOf(t, names.Dir), outstanding(t, names)
	if err := next(); err != nil {
		t.Fatal(err)
	}
	after := filesOf(t, names.Dir)
	if a, b := len(after[recordsLog]), len(before[recordsLog]); a > b/5 || a == 0 {
		t.Errorf("the log of the records has %d bytes, %d before; want a sixth", a, b)
	}
	if _, left := after[newRecordsLog]; left {
		t.Errorf("%s is left", newRecordsLog)
	}
	if got := outstanding(t, names); strings.Join(got, " ") != strings.Join(want, " ") || len(got) != manyRejected {
		t.Errorf("%d outstanding, %d before", len(got), len(want))
	}
	for range 6 { // and it goes on from there
		if err := night(names); err != nil {
			t.Fatal(err)
		}
	}
	if got := outstanding(t, names); len(got) != manyRejected {
		t.Errorf("%d outstanding in the end, want %d", len(got), manyRejected)
	}
}

// Whether a run is killed before or after the state that speaks of the new log is saved,
// both what lists the records and the next import take the right one.
func TestKilledWhileTheRecordsAreCompacted(t *testing.T) {
	names, next := manyNights(t)
	before, want := filesOf(t, names.Dir), outstanding(t, names)
	if err := next(); err != nil {
		t.Fatal(err)
	}
	after := filesOf(t, names.Dir)
	killedBefore := maps.Clone(before)
	killedBefore[newRecordsLog] = after[recordsLog][:len(after[recordsLog])/2] + "{"
	killedAfter := maps.Clone(after)
	killedAfter[recordsLog], killedAfter[newRecordsLog] = before[recordsLog], after[recordsLog]
	for what, files := range map[string]map[string]string{"before": killedBefore, "after": killedAfter} {
		t.Run(what, func(t *testing.T) {
			names := copyOf(t, files)
			if got := outstanding(t, names); strings.Join(got, " ") != strings.Join(want, " ") {
				t.Errorf("listed: %d outstanding, want %d", len(got), len(want))
			}
			j := mustOpen(t, names, start(journal.Resume))
			if n := len(j.Outstanding()); n != manyRejected {
				t.Errorf("%d are tried again, want %d", n, manyRejected)
			}
			if err := errors.Join(j.Save(), j.Close()); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(names.Dir, newRecordsLog)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s is left: %v", newRecordsLog, err)
			}
			if got := outstanding(t, names); strings.Join(got, " ") != strings.Join(want, " ") {
				t.Errorf("afterwards: %d outstanding, want %d", len(got), len(want))
			}
		})
	}
}
