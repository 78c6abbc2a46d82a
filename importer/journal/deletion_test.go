package journal_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"segsync/importer/journal"
)

func deleted(sourceID, list string, answer journal.Answer) journal.Deletion {
	return journal.Deletion{SourceID: sourceID, List: list, Answer: answer, Time: time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)}
}

// Half a row, as a kill leaves it, goes; a header that was cut is written again.
func TestReportOfDeletionsAfterAKill(t *testing.T) {
	const header, row = "source_id,time,answer,request_id\n", "user-1,2026-11-30T00:00:00Z,deleted,\n"
	for before, want := range map[string]string{
		"": header + row, "source_id,ti": header + row, header: header + row,
		header + "user-0,2026-11-30T00:00:00Z,deleted,\nuser-1,2026-1": header + "user-0,2026-11-30T00:00:00Z,deleted,\n" + row,
	} {
		names := finished(t)
		must(t, os.WriteFile(names.Path(names.Deleted), []byte(before), 0o644))
		j, _, err := journal.OpenLast(names)
		must(t, err)
		must(t, j.PrepareDeletions())
		must(t, j.AddDeletion(deleted("user-1", "list", journal.Deleted)))
		data, err := os.ReadFile(names.Path(names.Deleted)) // before Close: it is there at once
		must(t, err, j.Close())
		if string(data) != want {
			t.Errorf("after %q the report is\n%s", before, data)
		}
	}
}

// A deletion that is continued knows who is gone, until it is finished.
func TestDeletionIsContinued(t *testing.T) {
	names := finished(t)
	j, _, err := journal.OpenLast(names)
	must(t, err)
	must(t, j.PrepareDeletions())
	must(t, j.AddDeletion(deleted("user-1", "a", journal.Deleted)), j.AddDeletion(deleted("user-2", "a", journal.NotThere)),
		j.AddDeletion(deleted("user-3", "a", journal.Refused)), j.AddDeletion(deleted("user-4", "a", journal.StillInSegment)))
	wantGone := func(want string) {
		t.Helper()
		again, _, err := journal.OpenLast(names) // as after a kill
		must(t, err)
		var gone []string
		for _, list := range []string{"a", "b"} {
			for _, id := range []string{"user-1", "user-2", "user-3", "user-4"} {
				if again.IsGone(list, id) {
					gone = append(gone, list+" "+id)
				}
			}
		}
		must(t, again.Close())
		if got := strings.Join(gone, ", "); got != want {
			t.Errorf("gone are %q, want %q", got, want)
		}
	}
	wantGone("a user-1, a user-2")
	must(t, j.FinishDeletion("a"))
	wantGone("")
	must(t, j.Close())
}

// What was outstanding of a customer goes with it.
func TestDeletionEndsWhatIsOutstanding(t *testing.T) {
	names := finished(t)
	before, _, err := journal.ReadOutstanding(names)
	must(t, err)
	j, _, err := journal.OpenLast(names)
	must(t, err)
	must(t, j.PrepareDeletions())
	must(t, j.AddDeletion(deleted("user-0-5", "a", journal.NotThere)), j.Close())
	after, _, err := journal.ReadOutstanding(names)
	must(t, err)
	if len(after) != len(before)-1 || strings.Contains(reports(t, names)[names.NotImported], "user-0-5") {
		t.Errorf("of %d records %d are left; the report is\n%s", len(before), len(after), reports(t, names)[names.NotImported])
	}
}
