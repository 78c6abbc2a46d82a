//go:build unix

package journal_test

import (
	"errors"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"segsync/importer/journal"
)

// What root does by hand leaves files that the owner of the directory can go on with.
func TestFilesBelongToTheOwnerOfTheDirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	const owner = 12345
	names := journal.NewNames(t.TempDir(), "")
	must(t, os.Chown(names.Dir, owner, owner))
	unlock, err := journal.Lock(names.Dir)
	must(t, err)
	defer unlock()
	for range 2 { // the second has something to archive
		_, err := run(t, names, start(journal.StartNew), -1)
		must(t, err)
	}
	_, err = journal.Forget(names, func(r journal.Entry) bool { return r.ID() == "use_0_5" })
	must(t, err)
	public := filepath.Join(names.Dir, "segsync.prom")
	must(t, journal.WriteFile(public, nil, 0o644))
	n := 0
	must(t, filepath.WalkDir(names.Dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		want := uint32(owner)
		if path == public { // others read it anyhow
			want = 0
		}
		if got := info.Sys().(*syscall.Stat_t).Uid; got != want {
			t.Errorf("%s belongs to %d, want %d", path, got, want)
		}
		n++
		return err
	}))
	if n != 11 {
		t.Errorf("%d files and folders", n)
	}
}

// A write that fails half way, as on a full disk, leaves the log at its last commit. Nothing can be saved then,
// and the next run goes on from there.
func TestWriteThatFails(t *testing.T) {
	names := unfinished(t)
	before, err := journal.Load(names)
	must(t, err)
	log := filesOf(t, names.Dir)[logName]
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var old syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old))
	limit := func(n uint64) {
		must(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: old.Max}))
	}
	defer limit(old.Cur)
	j := open(t, names, start(journal.Resume))
	for range 2 {
		must(t, j.AddPage(page(2)))
		limit(uint64(len(log) + 100))
		err := j.Save()
		limit(old.Cur)
		if err == nil {
			t.Fatal("it is saved")
		}
		if got := filesOf(t, names.Dir)[logName]; got != log {
			t.Errorf("the log has %d bytes, want %d", len(got), len(log))
		}
		if s := j.State(); !cmp.Equal(counts(s), counts(before)) || s.Saved != before.Saved {
			t.Errorf("the state is %v of %s", counts(s), s.Saved)
		}
	}
	must(t, j.Close())
	_, err = run(t, names, start(journal.Resume), -1)
	must(t, err)
	if diff := cmp.Diff(resultOf(t, finished(t)), resultOf(t, names)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A link, and whatever else is not a file or a folder, is refused where one of ours belongs.
func TestWhatIsNotRegularIsRefused(t *testing.T) {
	plants := map[string]func(path string) error{
		"link":         func(path string) error { return os.Symlink(filepath.Join(t.TempDir(), "elsewhere"), path) },
		"link to such": func(path string) error { return os.Symlink(t.TempDir(), path) },
		"FIFO":         func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"folder":       func(path string) error { return os.Mkdir(path, 0o700) },
		"file":         func(path string) error { return os.WriteFile(path, nil, 0o600) },
	}
	discard := with1(func(s *journal.Start) { s.Mode = journal.Discard })
	begin := func(names journal.Names) error {
		j, _, err := journal.Open(names, discard)
		if err != nil {
			return err
		}
		defer j.Close()
		if err := j.Start(); err != nil {
			return err
		}
		return j.Save()
	}
	lock := func(names journal.Names) error {
		unlock, err := journal.Lock(names.Dir)
		if err == nil {
			unlock()
		}
		return err
	}
	names := journal.NewNames("", "")
	for _, c := range []struct {
		path, fits string
		do         func(journal.Names) error
	}{
		{"segsync-data", "folder", begin}, {"segsync-data", "folder", lock},
		{logName, "file", begin}, {"segsync-data/lock", "file", lock},
		{names.NotImported, "file", begin}, {names.Merged, "file", begin}, {names.Warnings, "file", begin}, {names.WithoutIdentifier, "file", begin},
	} {
		for what, plant := range plants {
			if what == c.fits {
				continue
			}
			names := journal.NewNames(t.TempDir(), "")
			path := filepath.Join(names.Dir, c.path)
			if filepath.Dir(path) != names.Dir {
				must(t, os.Mkdir(filepath.Dir(path), 0o700))
			}
			must(t, plant(path))
			err := c.do(names)
			if e, ok := errors.AsType[*journal.NotRegularError](err); errors.Is(err, syscall.ENOTDIR) {
				continue // of the data folder
			} else if !ok || e.Path != path || e.Error() != path+" is not a "+e.Want {
				t.Errorf("%s as %s: %v", what, c.path, err)
			}
		}
	}
}
