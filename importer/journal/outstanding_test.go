package journal_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"segsync/importer/journal"
)

// outstanding returns the ids of the records that are outstanding.
func outstanding(t *testing.T, names journal.Names) []string {
	t.Helper()
	records, _, err := journal.ReadOutstanding(names)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, r := range records {
		ids = append(ids, r.ID())
	}
	slices.Sort(ids)
	return ids
}

// goOnToTheEnd continues the import to its end, where all but the rejected customers are
// confirmed.
func goOnToTheEnd(t *testing.T, names journal.Names) *journal.State {
	t.Helper()
	j := mustOpen(t, names, start(journal.Existing))
	err := j.AddPage(page(2, true))
	for _, a := range slices.Clone(j.Next().Actions) {
		err = errors.Join(err, j.Settle(a.ID, nil))
	}
	if err := errors.Join(err, j.Finish(true), j.Close()); err != nil {
		t.Fatal(err)
	}
	return j.State()
}

func same(r string) func(journal.Record) bool {
	return func(record journal.Record) bool { return record.ID() == r }
}

// What is outstanding can be read while the import runs: it is what was saved last.
func TestReadOutstandingOfARunningImport(t *testing.T) {
	names := unfinished(t)
	j := mustOpen(t, names, start(journal.Existing))
	defer j.Close()
	if err := j.AddPage(page(2, true)); err != nil {
		t.Fatal(err)
	}
	before := filesOf(t, names.Dir)
	if got, want := outstanding(t, names), []string{"use_0_0", "use_1_0"}; !slices.Equal(got, want) {
		t.Errorf("outstanding before the page is saved: %q, want %q", got, want)
	}
	for name, data := range filesOf(t, names.Dir) {
		if before[name] != data {
			t.Errorf("reading what is outstanding changed %s", name)
		}
	}
	if err := j.Save(); err != nil {
		t.Fatal(err)
	}
	if got, want := outstanding(t, names), []string{"use_0_0", "use_1_0", "use_2_0"}; !slices.Equal(got, want) {
		t.Errorf("outstanding after it: %q, want %q", got, want)
	}
}

// What is forgotten is in no file that is read again, and the import goes on as if nothing
// had happened.
func TestForgetInAnUnfinishedImport(t *testing.T) {
	names := unfinished(t)
	n, err := journal.Forget(names, same("use_0_0"))
	if err != nil || n != 1 {
		t.Fatalf("forgot %d (%v), want 1", n, err)
	}
	if got, want := outstanding(t, names), []string{"use_1_0"}; !slices.Equal(got, want) {
		t.Errorf("outstanding: %q, want %q", got, want)
	}
	report, err := os.ReadFile(names.Path(names.NotImported))
	if err != nil || strings.Contains(string(report), "use_0_0,") || !strings.Contains(string(report), "use_0_2,") {
		t.Errorf("the report must lack use_0_0 and keep the vanished use_0_2 (%v):\n%s", err, report)
	}
	state := goOnToTheEnd(t, names)
	if state.Unfinished() || state.Outstanding.Count != 2 || !state.AddsUp() {
		t.Errorf("at the end: unfinished %v, %d outstanding, adds up %v; want false, 2, true",
			state.Unfinished(), state.Outstanding.Count, state.AddsUp())
	}
}

// A finished import stays finished, and the next one does not try what was forgotten.
func TestForgetInAFinishedImport(t *testing.T) {
	names := unfinished(t)
	before := goOnToTheEnd(t, names)
	if n, err := journal.Forget(names, func(journal.Record) bool { return true }); err != nil || n != pages {
		t.Fatalf("forgot %d (%v), want %d", n, err, pages)
	}
	after, err := journal.Load(names)
	if err != nil {
		t.Fatal(err)
	}
	if !after.Finished.Equal(before.Finished) || after.Outstanding != (journal.Outstanding{}) || after.Last != before.Last {
		t.Errorf("the state has changed beyond what was forgotten: %+v", after)
	}
	j := mustOpen(t, names, start(journal.Plain))
	defer j.Close()
	if left := j.Outstanding(); len(left) > 0 {
		t.Errorf("the next import tries %v", left)
	}
}

// Customers that were rejected without being named count each, and are forgotten together.
func TestForgetUnnamed(t *testing.T) {
	names := unfinished(t)
	j := mustOpen(t, names, start(journal.Existing))
	rejected := []journal.Rejection{{Unnamed: 2, Why: journal.Why{Reason: "not_named", ActionID: "aa_0_1"}}}
	if err := errors.Join(j.Settle("aa_0_1", rejected), j.Save(), j.Close()); err != nil {
		t.Fatal(err)
	}
	if n, err := journal.Forget(names, same("async_action:aa_0_1")); err != nil || n != 2 {
		t.Errorf("forgot %d (%v), want 2", n, err)
	}
}

func TestOutstandingWithoutAnImport(t *testing.T) {
	names := journal.NewNames(t.TempDir(), "")
	_, _, readErr := journal.ReadOutstanding(names)
	_, forgetErr := journal.Forget(names, same("use_1"))
	for _, err := range []error{readErr, forgetErr} {
		var none *journal.NoImportError
		if !errors.As(err, &none) {
			t.Errorf("got the error %v, want a NoImportError", err)
		}
	}
	if files := filesOf(t, names.Dir); len(files) > 0 {
		t.Errorf("the directory has now %v", files)
	}
}

// What a program of the first version left outstanding can be listed and forgotten, too.
func TestOutstandingOfTheFirstVersion(t *testing.T) {
	names := copyOf(t, filesOf(t, filepath.Join("testdata", "v1", "finished")))
	before := filesOf(t, names.Dir)
	ids := outstanding(t, names)
	if len(ids) < 2 {
		t.Fatalf("outstanding: %q, want at least 2", ids)
	}
	if after := filesOf(t, names.Dir); !maps.Equal(before, after) {
		t.Error("listing changed the files")
	}
	if n, err := journal.Forget(names, same(ids[0])); err != nil || n != 1 {
		t.Errorf("forgot %d (%v), want 1", n, err)
	}
	if left := outstanding(t, names); !slices.Equal(left, ids[1:]) {
		t.Errorf("outstanding afterwards: %q, want %q", left, ids[1:])
	}
}

// Where it is not known which customers of an action were rejected, none of those that were
// outstanding is taken for confirmed.
func TestUnnamedRejectionsConfirmNothingOutstanding(t *testing.T) {
	names := unfinished(t)
	j := mustOpen(t, names, start(journal.Existing))
	again := page(0, false)
	again.Entries = again.Entries[:1] // use_0_0, which is outstanding
	again.Entries[0].Outcome, again.Entries[0].Was = journal.Unconfirmed, journal.Rejected
	again.Entries[0].Action = journal.Action{ID: "aa_again", Sent: 2}
	rejected := []journal.Rejection{{Unnamed: 1, Why: journal.Why{Reason: "not_named", ActionID: "aa_again"}}}
	if err := errors.Join(j.AddPage(again), j.Settle("aa_again", rejected), j.Save()); err != nil {
		t.Fatal(err)
	}
	tried := j.Outstanding()
	if !slices.ContainsFunc(tried, same("use_0_0")) {
		t.Errorf("the next import does not try use_0_0: %v", tried)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}
