package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/gofrs/flock"
)

// lockFile is locked while an import uses the directory. The lock is the kernel's, so a
// crash leaves none behind; what the file holds is only for the message.
const lockFile = "lock"

// holder says who holds the lock. It is written behind the first byte: that one is
// locked, and on Windows cannot be read meanwhile.
type holder struct {
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
}

// LockedError says that another import is running in the directory.
type LockedError struct {
	Dir string
	By  string // what is known of it, such as "process 42, since …", or ""
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
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return nil, &NotRegularError{path, "regular file"}
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
		} else if _, locked := errors.AsType[*LockedError](err); locked {
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
	locked, err := lock.TryLock()
	if err != nil {
		return fmt.Errorf("locking the directory %s: %w", dir, err)
	}
	if !locked {
		return &LockedError{dir, readHolder(holderPath)}
	}
	return nil
}

func writeHolder(path string) error {
	data, err := json.Marshal(holder{os.Getpid(), time.Now().Truncate(time.Second)})
	if err != nil {
		return err
	}
	file, err := openRegular(path, os.O_WRONLY)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(append(data, '\n'), 1)
	return errors.Join(err, giveToOwner(path), file.Truncate(int64(len(data)+2)), file.Close())
}

// readHolder says in words who holds the lock, as far as that is known.
func readHolder(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	var h holder
	if json.NewDecoder(io.NewSectionReader(file, 1, 1000)).Decode(&h) != nil {
		return ""
	}
	return fmt.Sprintf("process %d, since %s", h.PID, h.Started.Format(time.RFC3339))
}
