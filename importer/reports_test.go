package importer

import (
	"os"
	"path/filepath"
	"testing"
)

// Where one report cannot be written, the other does not get its lines either: the run
// is resumed before them, and they would be there twice.
func TestReportsAreWrittenTogetherOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	r, err := openReports(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.withoutIdentifier.close()
	lines := outcome{
		withoutIdentifier: []string{"use_1"},
		notImported:       []notImported{{"use_2", "user-2", refusal{"vanished", "gone"}}},
	}
	if err := r.append(lines); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)

	r.notImported.close() // nothing can be written to it any more
	if err := r.append(lines); err == nil {
		t.Error("no error")
	}
	if after := contents(t, dir); after != before {
		t.Errorf("the reports were\n%s\nand are\n%s", before, after)
	}
}

// Cells that a spreadsheet would take for a formula are quoted, and so is what would
// break a line.
func TestNotImportedIsSafeToOpen(t *testing.T) {
	dir := t.TempDir()
	r, err := openReports(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	err = r.append(outcome{notImported: []notImported{
		{"use_1", "=1+1", refusal{"vanished", `it said "gone", at last`}},
		{"use_2", "@x", refusal{"-", "two\nlines"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := "segment_id,source_id,reason,detail\n" +
		"use_1,'=1+1,vanished,\"it said \"\"gone\"\", at last\"\n" +
		"use_2,'@x,'-,\"two\nlines\"\n"
	if got := contents(t, dir); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func contents(t *testing.T, dir string) string {
	t.Helper()
	all := ""
	for _, name := range []string{WithoutIdentifierFile, NotImportedFile} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		all += string(data)
	}
	return all
}
