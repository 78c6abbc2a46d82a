//go:build unix

package journal_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"segsync/importer/journal"
)

// What root does by hand leaves files that the owner of the directory can go on with.
func TestFilesBelongToTheOwnerOfTheDirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	const owner = 12345
	names := journal.NewNames(t.TempDir(), "")
	if err := os.Chown(names.Dir, owner, owner); err != nil {
		t.Fatal(err)
	}
	unlock, err := journal.Lock(names.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if err := night(names); err != nil {
		t.Fatal(err)
	}
	if _, err := journal.Forget(names, same("use_1")); err != nil {
		t.Fatal(err)
	}
	public := filepath.Join(names.Dir, "segsync.prom")
	if err := journal.WriteFile(public, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(names.Dir)
	if err != nil || len(entries) < 10 {
		t.Fatalf("%d files, %v", len(entries), err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		want := uint32(owner)
		if e.Name() == filepath.Base(public) { // others read it anyhow
			want = 0
		}
		if got := info.Sys().(*syscall.Stat_t).Uid; err != nil || got != want {
			t.Errorf("%s belongs to %d (%v), want %d", e.Name(), got, err, want)
		}
	}
}
