package journal_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"segsync/importer/journal"
)

// TestSaves is what TestSaveIsOnTheDisk looks at.
func TestSaves(t *testing.T) {
	dir := os.Getenv("SEGSYNC_TEST_SAVES")
	if dir == "" {
		t.Skip("it is run by another test")
	}
	says := func(what string, err error) {
		must(t, err)
		os.WriteFile(filepath.Join(dir, what), nil, 0o600)
	}
	names := journal.NewNames(dir, "")
	j := open(t, names, start(journal.StartNew))
	says("first", j.Save())
	must(t, j.AddPage(page(0)))
	says("sending", j.Sending([]string{"u1"}))
	must(t, j.AddPage(page(1)))
	says("save", j.Save())
	must(t, j.Close())
	j = open(t, names, start(journal.StartNew))
	must(t, j.AddPage(page(0)))
	says("new", j.Save())
	must(t, j.Close())
	j = open(t, journal.NewNames(dir, "-dry-run"), with1(func(s *journal.Start) { s.DryRun = true }))
	must(t, j.Save(), j.AddPage(page(0)))
	says("dry", nil)
	says("dry", j.Save())
}

// What Save wrote is on the disk before it returns, and so are the names of new files; what is only
// told before a request is sent, and what a dry run does, waits for no disk. strace shows the calls.
func TestSaveIsOnTheDisk(t *testing.T) {
	dir := t.TempDir()
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := exec.Command("strace", "-f", "-y", "-s", "1", "-o", trace, "-e", "trace=write,pwrite64,fsync,fdatasync,mkdirat,rename,renameat,renameat2,openat",
		os.Args[0], "-test.run=^TestSaves$")
	cmd.Env = append(os.Environ(), "SEGSYNC_TEST_SAVES="+dir, "GOCOVERDIR="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("strace cannot be used: %v\n%s", err, out)
	}
	data, err := os.ReadFile(trace)
	must(t, err)
	temporary := regexp.MustCompile(`\.(\S+?)\.\d+\.tmp`)
	stamp := regexp.MustCompile(`-\d{8}T\d{6}\.\d{3}Z`)
	var got []string
	for line := range strings.Lines(string(data)) {
		_, call, _ := strings.Cut(line, " ")
		call = strings.TrimSpace(call)
		name, args, _ := strings.Cut(call, "(")
		at := strings.Index(args, dir)
		if at < 0 || strings.Contains(call, "= -1") || strings.Contains(call, "testlog") {
			continue
		}
		path := strings.TrimPrefix(strings.FieldsFunc(args[at:], func(r rune) bool { return r == '"' || r == '>' })[0], dir)
		path = stamp.ReplaceAllString(temporary.ReplaceAllString(path, "$1.tmp"), "")
		switch {
		case name == "openat" && strings.Contains(args, "O_CREAT") && !strings.Contains(path, "."):
			if path != "/segsync-data/lock" {
				got = append(got, "--- "+path[1:])
			}
		case name == "openat" || name == "write" && !strings.Contains(path, ".") || strings.HasSuffix(path, ".csv") || strings.HasSuffix(path, ".txt"):
		case strings.HasPrefix(name, "rename"):
			got = append(got, "rename "+path)
		case name == "mkdirat":
			got = append(got, "mkdir "+path)
		default:
			event := strings.TrimSuffix(name, "64") + " " + path
			if len(got) == 0 || got[len(got)-1] != event { // a compressed copy takes several
				got = append(got, event)
			}
		}
	}
	want := []string{
		"mkdir /segsync-data", "fsync ",
		"write /segsync-data/journal.ndjson.tmp", "fsync /segsync-data/journal.ndjson.tmp", "rename /segsync-data/journal.ndjson.tmp", "fsync /segsync-data", "--- first",
		"pwrite /segsync-data/journal.ndjson", "--- sending",
		"pwrite /segsync-data/journal.ndjson", "fsync /segsync-data/journal.ndjson", "--- save",
		"mkdir /segsync-data/history",
		"write /segsync-data/history/journal.ndjson.gz.tmp", "fsync /segsync-data/history/journal.ndjson.gz.tmp",
		"rename /segsync-data/history/journal.ndjson.gz.tmp", "fsync /segsync-data/history",
		"write /segsync-data/journal.ndjson.tmp", "fsync /segsync-data/journal.ndjson.tmp", "rename /segsync-data/journal.ndjson.tmp", "fsync /segsync-data", "--- new",
		"write /segsync-data/journal-dry-run.ndjson.tmp", "fsync /segsync-data/journal-dry-run.ndjson.tmp", "rename /segsync-data/journal-dry-run.ndjson.tmp", "fsync /segsync-data", "--- dry",
		"pwrite /segsync-data/journal-dry-run.ndjson", "--- dry",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
