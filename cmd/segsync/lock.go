package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// lockFile is locked while an import uses the directory. The lock is the kernel's, so a
// crash leaves none behind; what the file holds is only for the message.
const lockFile = "segsync.lock"

// holder says who holds the lock. It is written behind the first byte: that one is
// locked, and on Windows cannot be read meanwhile.
type holder struct {
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
}

// lockDir makes sure that this is the only import in dir, which it makes if need be.
func lockDir(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, &exitError{exitUsage, fmt.Errorf("--dir: %w", err)}
	}
	path := filepath.Join(dir, lockFile)
	lock := flock.New(path, flock.SetPermissions(0o600))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, &exitError{exitFailed, fmt.Errorf("locking the directory %s: %w", dir, err)}
	}
	if !locked {
		return nil, &exitError{exitLocked, &hinted{
			fmt.Errorf("another import is running in %s%s", dir, readHolder(path)),
			"wait for it, or use another --dir",
		}}
	}
	if err := writeHolder(path); err != nil {
		lock.Unlock()
		return nil, &exitError{exitFailed, err}
	}
	return func() { lock.Unlock() }, nil
}

func writeHolder(path string) error {
	data, err := json.Marshal(holder{os.Getpid(), time.Now().Truncate(time.Second)})
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(append(data, '\n'), 1)
	return errors.Join(err, file.Truncate(int64(len(data)+2)), file.Close())
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
	return fmt.Sprintf(": process %d, since %s", h.PID, h.Started.Format(time.RFC3339))
}
