package importer

import (
	"os"
	"testing"
)

// Cells that a spreadsheet would take for a formula are quoted, and what would break a line
// or change a terminal is escaped.
func TestNotImportedIsSafeToOpen(t *testing.T) {
	files := NewFiles(t.TempDir(), "")
	r, err := openReports(files)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	r.noteHeader()
	r.noteNotImported(notImported{"use_1", "=1+1", refusal{"vanished", `it said "gone", at last`}, "aa_1", "v-1"})
	r.noteNotImported(notImported{"use_2", "@x", refusal{"-", "two\nlines"}, "", ""})
	r.noteNotImported(notImported{"use_3", "a\x1b[2J", refusal{"r", "d\u009b"}, "", "v-\u202e"})
	if _, err := r.flush(); err != nil {
		t.Fatal(err)
	}
	want := "segment_id,source_id,reason,detail,async_action_id,request_id\n" +
		"use_1,'=1+1,vanished,\"it said \"\"gone\"\", at last\",aa_1,v-1\n" +
		"use_2,'@x,'-,two\\nlines,,\n" +
		`use_3,a\x1b[2J,r,d\u009b,,v-\u202e` + "\n"
	got, err := os.ReadFile(files.Path(files.NotImported))
	if err != nil || string(got) != want {
		t.Errorf("%v, got\n%s\nwant\n%s", err, got, want)
	}
}
