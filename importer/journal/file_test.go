package journal_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"segsync/importer/journal"
)

// The files hold personal data: nobody else may read them, those included that were there before.
func TestFilesArePrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no modes")
	}
	names := unfinished(t)
	check := func() {
		t.Helper()
		n := 0
		must(t, filepath.WalkDir(names.Dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || path == names.Dir {
				return err
			}
			n++
			info, err := e.Info()
			want := os.FileMode(0o600)
			if e.IsDir() {
				want = 0o700
			}
			if info.Mode().Perm() != want {
				t.Errorf("%s has the mode %o", path, info.Mode().Perm())
			}
			return err
		}))
		if n < 6 {
			t.Errorf("only %d files", n)
		}
	}
	check()
	for _, path := range names.Paths() {
		os.Chmod(path, 0o644)
	}
	must(t, os.Chmod(filepath.Join(names.Dir, "segsync-data"), 0o755))
	unlock, err := journal.Lock(names.Dir)
	must(t, err)
	defer unlock()
	j := open(t, names, start(journal.StartNew))
	begin(t, j)
	must(t, j.Close())
	check()
}

// What a killed run left of a file that it was replacing is removed by the next one; files of others
// stay.
func TestTemporariesAreRemoved(t *testing.T) {
	names := unfinished(t)
	own := []string{logName[:len("segsync-data/")] + ".journal.ndjson.1.tmp", "segsync-data/history/.journal-20261101T120000.000Z.ndjson.gz.1.tmp"}
	others := []string{".other.tmp", "segsync-data/.journal-list.ndjson.1.tmp"}
	must(t, os.Mkdir(names.HistoryDir(), 0o700))
	for _, path := range append(own, others...) {
		must(t, os.WriteFile(filepath.Join(names.Dir, path), nil, 0o600))
	}
	_, err := run(t, names, start(journal.Resume), -1)
	must(t, err)
	files := filesOf(t, names.Dir)
	for _, path := range append(own, others...) {
		if _, isThere := files[path]; isThere == slices.Contains(own, path) {
			t.Errorf("%s is there: %v", path, isThere)
		}
	}
}

// A lock file that somebody removed lets no second import in.
func TestLock(t *testing.T) {
	dir := t.TempDir()
	unlock, err := journal.Lock(dir)
	must(t, err)
	refused := func(what, by string) {
		t.Helper()
		second, err := journal.Lock(dir)
		if e, ok := errors.AsType[*journal.LockedError](err); !ok || e.Dir != dir || !strings.HasPrefix(e.Error(), "another import is running in "+dir+by) {
			t.Errorf("%s: error %v", what, err)
		}
		if second != nil {
			second()
		}
	}
	refused("locked", ": process ")
	if runtime.GOOS != "windows" {
		must(t, os.Remove(filepath.Join(dir, "segsync-data/lock")))
		refused("the lock file is removed", "")
	}
	unlock()
	again, err := journal.Lock(dir)
	must(t, err)
	again()
}
