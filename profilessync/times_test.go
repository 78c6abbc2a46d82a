package profilessync_test

import (
	"strings"
	"testing"
	"time"

	"segsync/profilessync"
)

// TestRowsWithoutATimeCountAsChanged: where some rows say when they were written, those that do not are
// read; where none does, or the column is text, a time is refused.
func TestRowsWithoutATimeCountAsChanged(t *testing.T) {
	ts := newTables(t, people(4)...)
	ts.exec(`UPDATE TRAITS SET uuid_ts = '2026-05-01'; UPDATE IDS SET uuid_ts = '2026-05-01';
		UPDATE TRAITS SET uuid_ts = NULL WHERE canonical_segment_id = 'use_000002'`)
	q := everything
	q.Since = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	equal(t, ids(ts.read(q)), []string{"use_000002"})
	if !ts.open().TellsChanges() {
		t.Error("the tables tell what changed")
	}
	refused := func(want string) {
		t.Helper()
		for _, err := range ts.open().Profiles(t.Context(), q) {
			isProblem(t, err, profilessync.NoTimes, want)
		}
		if w := ts.open(); w.TellsChanges() {
			t.Error("the tables do not tell what changed")
		}
	}
	ts.exec("UPDATE TRAITS SET uuid_ts = NULL; UPDATE IDS SET uuid_ts = NULL")
	refused("is NULL in every row")
	ts.exec("UPDATE TRAITS SET uuid_ts = now(); ALTER TABLE IDS ALTER uuid_ts TYPE text")
	refused("is not a timestamp")
}

// TestCaseOfNames: a table or a column whose name has another case is named.
func TestCaseOfNames(t *testing.T) {
	for sql, want := range map[string]string{
		`ALTER TABLE TRAITS RENAME seq TO "Seq"`:       `has no column user_traits.seq (it has "Seq": the case counts)`,
		`ALTER TABLE IDS RENAME TO "USER_IDENTIFIERS"`: `has no table user_identifiers (it has "USER_IDENTIFIERS": the case counts)`,
		`ALTER TABLE TRAITS RENAME value TO v`:         `has no column user_traits.value`,
	} {
		ts := newTables(t, people(1)...)
		ts.exec(sql)
		_, err := profilessync.Open(t.Context(), ts.url, ts.schema)
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", sql, err, want)
		}
	}
}
