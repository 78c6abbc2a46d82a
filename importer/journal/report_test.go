package journal

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// Cells that a spreadsheet would take for a formula are quoted, and what would break a line
// or change a terminal is escaped.
func TestNotImportedIsSafeToOpen(t *testing.T) {
	r, err := openReport(t.TempDir(), "not-imported.csv", notImportedHeader)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	notImportedRow(&r.noted, Record{SegmentID: "use_1", SourceID: "=1+1", Why: Why{"vanished", `it said "gone", at last`, "aa_1", "v-1"}})
	notImportedRow(&r.noted, Record{SegmentID: "use_2", SourceID: "@x", Why: Why{"-", "two\nlines", "", ""}})
	notImportedRow(&r.noted, Record{SegmentID: "use_3", SourceID: "a\x1b[2J", Why: Why{"r", "d\u009b", "", "v-\u202e"}})
	if err := r.flush(); err != nil {
		t.Fatal(err)
	}
	want := "segment_id,source_id,reason,detail,async_action_id,request_id\n" +
		"use_1,'=1+1,vanished,\"it said \"\"gone\"\", at last\",aa_1,v-1\n" +
		"use_2,'@x,'-,two\\nlines,,\n" +
		`use_3,a\x1b[2J,r,d\u009b,,v-\u202e` + "\n"
	got, err := os.ReadFile(r.file.Name())
	if err != nil || string(got) != want {
		t.Errorf("%v, got\n%s\nwant\n%s", err, got, want)
	}
}

// A report that is as the state says is cut back to it; one that was edited is kept, and
// continued on a line of its own.
func TestReportIsContinued(t *testing.T) {
	const whole, behind = "use_1\nuse_2\nuse_3\n", "use_4\nuse_"
	for name, c := range map[string]struct {
		found, want string
		edited      bool
	}{
		"as it was":              {whole, whole, false},
		"lines behind":           {whole + behind, whole, false},
		"CRLF":                   {"use_1\r\nuse_2\r\nuse_3\r\n", "use_1\r\nuse_2\r\nuse_3\r\n", true},
		"sorted":                 {"use_3\nuse_2\nuse_1\n", "use_3\nuse_2\nuse_1\n", true},
		"a line removed":         {"use_1\nuse_3\n", "use_1\nuse_3\n", true},
		"a line added":           {"use_0\n" + whole, "use_0\n" + whole, true},
		"a longer line":          {"use_1, done\nuse_2\nuse_3\n", "use_1, done\nuse_2\nuse_3\n", true},
		"cut in a line":          {"use_1\nus", "use_1\nus\n", true},
		"without its last break": {whole[:len(whole)-1], whole, true},
		"emptied":                {"", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			r, err := openReport(dir, "r.txt", "")
			if err != nil {
				t.Fatal(err)
			}
			r.noted.WriteString(whole)
			err = r.flush()
			extent := r.extent()
			if err = errors.Join(err, r.close(), os.WriteFile(r.file.Name(), []byte(c.found), 0o600)); err != nil {
				t.Fatal(err)
			}
			if r, err = openReport(dir, "r.txt", ""); err != nil {
				t.Fatal(err)
			}
			defer r.close()
			edited, err := r.resume(extent)
			if err != nil || edited != c.edited {
				t.Errorf("edited %v, %v", edited, err)
			}
			r.noted.WriteString("use_9\n")
			if err := r.flush(); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(r.file.Name())
			if err != nil || string(got) != c.want+"use_9\n" {
				t.Errorf("%v, got\n%s\nwant\n%suse_9", err, got, c.want)
			}
			// What is written now is what the next state says of the file.
			if fits, err := r.fits(r.extent()); !fits || err != nil {
				t.Errorf("the extent does not fit: %v", err)
			}
		})
	}
}

// What cannot be written is an error, and what was written in part is taken back.
func TestReportThatCannotBeWritten(t *testing.T) {
	r, err := openReport(t.TempDir(), "r.txt", "")
	if err != nil {
		t.Fatal(err)
	}
	r.noted.WriteString("use_1\n")
	if err := r.close(); err != nil {
		t.Fatal(err)
	}
	if err := r.flush(); err == nil || !strings.Contains(err.Error(), "r.txt") || r.size != 0 || r.noted.String() != "use_1\n" {
		t.Errorf("error %v, %d bytes, noted %q", err, r.size, r.noted.String())
	}
}
