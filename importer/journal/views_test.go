package journal_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"segsync/importer/journal"
	"segsync/importer/outcome"
)

// Cells that a spreadsheet would take for a formula are quoted, and what would break a line or
// change a terminal is escaped.
func TestViewsAreSafeToOpen(t *testing.T) {
	names := journal.NewNames(t.TempDir(), "")
	j := open(t, names, with1(func(s *journal.Start) { s.WarnValues = true }))
	add(t, j,
		journal.Entry{SegmentID: "use_1", SourceID: "=1+1", Outcome: outcome.Rejected, Why: outcome.Why{Reason: "invalid", Detail: `it said "no", at last`, RequestID: "v-1"}},
		journal.Entry{SegmentID: "use_2", SourceID: "@x", Outcome: outcome.Rejected, Why: outcome.Why{Reason: "-", Detail: "two\nlines"}},
		journal.Entry{SegmentID: "use_3", SourceID: "a\x1b[2J", Outcome: outcome.Rejected, Why: outcome.Why{Reason: "a;b", Detail: "d\u009b", RequestID: "v-\u202e"}},
		journal.Entry{SegmentID: "use\n4", Outcome: outcome.WithoutIdentifier},
		journal.Entry{SegmentID: "use_5", SourceID: "＝1", Outcome: outcome.Merged},
		journal.Entry{SegmentID: "use_6", SourceID: " u", Outcome: outcome.Unchanged, Warnings: []journal.Warning{{Field: "email", Reason: "invalid", Value: "+1,2"}}})
	j.MarkSent("＝1", "use_9")
	must(t, j.Save())
	want := map[string]string{
		"not-imported.csv": "segment_id,source_id,reason,detail,async_action_id,request_id\n" +
			"use_1,'=1+1,invalid,\"it said \"\"no\"\", at last\",,v-1\n" +
			"use_2,'@x,'-,two\\nlines,,\n" +
			`use_3,a\x1b[2J,"a;b",d\u009b,,v-\u202e` + "\n",
		"profiles-without-identifier.txt": "use\\n4\n",
		"merged.csv":                      "segment_id,source_id\nuse_5,'＝1\n",
		"warnings.csv":                    "segment_id,source_id,field,reason,value\nuse_6,\" u\",email,invalid,\"'+1,2\"\n",
	}
	if diff := cmp.Diff(want, reports(t, names)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The rows that were appended are those that the log says.
func TestViewsAreWhatTheLogSays(t *testing.T) {
	names := unfinished(t)
	want := reports(t, names)
	if n := strings.Count(strings.Join([]string{want["merged.csv"], want["not-imported.csv"], want["warnings.csv"]}, ""), "\n"); n != 3+2+6+2 {
		t.Errorf("%d lines in\n%v", n, want)
	}
	for name := range want {
		must(t, os.Remove(names.Path(name)))
	}
	must(t, open(t, names, start(journal.Resume)).Close())
	if diff := cmp.Diff(want, reports(t, names)); diff != "" {
		t.Errorf("written anew (-appended +anew):\n%s", diff)
	}
	must(t, open(t, names, start(journal.Resume)).Close())
	if diff := cmp.Diff(want, reports(t, names)); diff != "" {
		t.Errorf("once more (-appended +anew):\n%s", diff)
	}
}

// What happened later takes the place of a row.
func TestSupersededRows(t *testing.T) {
	names := journal.NewNames(t.TempDir(), "")
	j := open(t, names, start(journal.StartNew))
	merged := journal.Entry{SegmentID: "B", SourceID: "u1", Outcome: outcome.Merged}
	add(t, j, sent("A", "u1", "aa_1"), merged, journal.Entry{SegmentID: "C", Outcome: outcome.Unreadable, Why: outcome.Why{Reason: "malformed"}},
		journal.Entry{SegmentID: "D", Outcome: outcome.WithoutIdentifier}, journal.Entry{SegmentID: "E", Outcome: outcome.Vanished, Why: outcome.Why{Reason: "vanished"}})
	add(t, j, rejected("A", "u1"))
	must(t, j.Save())
	add(t, j, sent("A", "u1", "aa_2"), retry(merged), retry(sent("C", "u3", "aa_3")), sent("D", "u4", "aa_4"), sent("E", "u5", "aa_5"))
	for _, a := range []string{"aa_1", "aa_2", "aa_3", "aa_4", "aa_5"} {
		v := verdict(journal.Action{Action: action(a, 1)})
		judge(t, j, v)
	}
	must(t, j.Save(), j.Close())
	want := map[string]string{
		"not-imported.csv":                "segment_id,source_id,reason,detail,async_action_id,request_id\n",
		"profiles-without-identifier.txt": "",
		"merged.csv":                      "B,u1\nsegment_id,source_id\n",
		"warnings.csv":                    "segment_id,source_id,field,reason\n",
	}
	if diff := cmp.Diff(want, reports(t, names)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The log does not have the values of --warn-values: their view is never written anew.
func TestWarningValuesAreKept(t *testing.T) {
	values := with1(func(s *journal.Start) { s.Mode, s.WarnValues = journal.Resume, true })
	names := journal.NewNames(t.TempDir(), "")
	j := open(t, names, values)
	must(t, j.AddPage(page(0)), j.Save(), j.Close())
	want := reports(t, names)[names.Warnings]
	if !strings.Contains(want, "31.2.") || strings.Contains(filesOf(t, names.Dir)[logName], "31.2.") {
		t.Fatalf("the view is\n%s", want)
	}
	must(t, open(t, names, values).Close())
	_, err := journal.Forget(names, func(journal.Entry) bool { return true })
	must(t, err)
	if got := reports(t, names)[names.Warnings]; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	j = open(t, names, values)
	add(t, j, rejected("use_0_4", "user-0-4")) // another one takes the place of its row
	must(t, j.Save(), j.Close())
	if got := reports(t, names)[names.Warnings]; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	begin(t, open(t, names, with1(func(s *journal.Start) { s.WarnValues = true })))
	if got := reports(t, names)[names.Warnings]; got != "segment_id,source_id,field,reason,value\n" {
		t.Errorf("a new import begins with\n%s", got)
	}
}

// An import that begins at an offset adds to what the one before it reported; any other begins anew.
func TestViewsGoOnAtAnOffset(t *testing.T) {
	for _, at := range []string{"", "25"} {
		names := unfinished(t)
		want := reports(t, names)
		if at == "" {
			want = map[string]string{
				names.Merged: "segment_id,source_id\n", names.WithoutIdentifier: "", names.Warnings: "segment_id,source_id,field,reason\n",
				names.NotImported: strings.ReplaceAll(strings.ReplaceAll(want[names.NotImported], "use_0_2,,vanished,,,\n", ""), "use_1_2,,vanished,,,\n", ""),
			}
		}
		s := with1(func(s *journal.Start) { s.Mode, s.Offset = journal.StartAtOffset, at })
		begin(t, open(t, names, s))
		if diff := cmp.Diff(want, reports(t, names)); diff != "" {
			t.Errorf("at %q (-want +got):\n%s", at, diff)
		}
		s.Mode = journal.Resume
		must(t, open(t, names, s).Close())
		if diff := cmp.Diff(want, reports(t, names)); diff != "" {
			t.Errorf("at %q, resumed (-want +got):\n%s", at, diff)
		}
	}
}

// What is forgotten is tried by no import, and is in no report.
func TestForget(t *testing.T) {
	names := finished(t)
	if _, err := journal.Forget(journal.NewNames(t.TempDir(), ""), nil); err == nil {
		t.Error("there is nothing to forget")
	}
	n, err := journal.Forget(names, func(r journal.Entry) bool { return r.ID() != "use_0_5" })
	if err != nil || n != 6 {
		t.Errorf("%d are forgotten, %v", n, err)
	}
	want := "segment_id,source_id,reason,detail,async_action_id,request_id\nuse_0_5,user-0-5,invalid,no such thing,aa_0_1,v-1\n"
	var rows []string
	for row := range strings.Lines(reports(t, names)[names.NotImported]) {
		if !strings.Contains(row, "vanished") {
			rows = append(rows, row)
		}
	}
	if got := strings.Join(rows, ""); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	j := open(t, names, start(journal.StartNew))
	if got := j.Retries(true); !cmp.Equal(got, []string{"use_0_5"}) || j.State().Outstanding.Count != 1 {
		t.Errorf("to be read again: %q", got)
	}
}
