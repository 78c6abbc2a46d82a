package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"segsync/internal/safetext"
)

// lockFile is locked while an import uses the directory. The lock is the kernel's, so a
// crash leaves none behind. The file says for people who holds it, behind the first byte: that one is
// locked, and on Windows cannot be read meanwhile.
const lockFile = "lock"

// LockedError says that another import is running in the directory.
type LockedError struct {
	Dir string
	By  string // such as "process 42, since …"; "" if that is not known
}

func (e *LockedError) Error() string {
	if e.By == "" {
		return "another import is running in " + e.Dir
	}
	return fmt.Sprintf("another import is running in %s: %s", e.Dir, e.By)
}

// Lock makes sure that this is the only import in dir, which must exist. It locks the
// directory itself, too: a lock file that somebody removes lets no second import in.
func Lock(dir string) (unlock func(), err error) {
	data, err := makeDataDir(dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(data, lockFile)
	if err := checkRegular(path); err != nil {
		return nil, err
	}
	file := flock.New(path, flock.SetPermissions(0o600))
	if err := tryLock(file, dir, path); err != nil {
		return nil, err
	}
	unlock = func() { file.Unlock() }
	if runtime.GOOS != "windows" {
		whole := flock.New(dir, flock.SetFlag(os.O_RDONLY))
		// Some network file systems cannot lock directories: there, the file has to do.
		if err := tryLock(whole, dir, path); err == nil {
			unlock = func() { file.Unlock(); whole.Unlock() }
		} else if _, isLocked := errors.AsType[*LockedError](err); isLocked {
			unlock()
			return nil, err
		}
	}
	if err := writeHolder(path); err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// IsLocked reports whether an import is running in dir. It makes no file.
func IsLocked(dir string) bool {
	path := filepath.Join(dir, dataDir, lockFile)
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
		return false
	}
	file := flock.New(path, flock.SetFlag(os.O_RDONLY))
	isFree, err := file.TryRLock()
	if isFree {
		file.Unlock()
	}
	return err == nil && !isFree
}

func tryLock(lock *flock.Flock, dir, holderPath string) error {
	isLocked, err := lock.TryLock()
	if err != nil {
		return fmt.Errorf("locking the directory %s: %w", dir, err)
	}
	if !isLocked {
		return &LockedError{dir, readHolder(holderPath)}
	}
	return nil
}

func writeHolder(path string) error {
	file, err := openRegular(path, os.O_WRONLY)
	if err != nil {
		return err
	}
	n, err := fmt.Fprintf(io.NewOffsetWriter(file, 1), "process %d, since %s\n", os.Getpid(), time.Now().Format(time.RFC3339))
	return errors.Join(err, giveToOwner(path), file.Truncate(int64(n+1)), file.Close())
}

// readHolder returns who holds the lock, "" where that is not known.
func readHolder(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	holder := make([]byte, 100)
	n, _ := file.ReadAt(holder, 1)
	return safetext.Line(strings.TrimSpace(string(holder[:n])))
}
