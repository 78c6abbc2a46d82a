package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// checkRegular returns an error if a link, a device or a folder has the name of a file.
func checkRegular(path string) error {
	info, err := os.Lstat(path)
	if err == nil && !info.Mode().IsRegular() {
		return &NotRegularError{path, "regular file"}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// openRegular opens a regular file, and nothing else.
func openRegular(path string, flags int) (*os.File, error) {
	if err := checkRegular(path); err != nil {
		return nil, err
	}
	return os.OpenFile(path, flags|noFollow, 0o600)
}

// WriteFile replaces the file as a whole: at any time it holds the old content or the new, also after
// a power cut.
func WriteFile(path string, data []byte, perm os.FileMode) error {
	return ReplaceFile(path, perm, func(to *os.File) error {
		_, err := to.Write(data)
		return err
	})
}

// ReplaceFile writes a temporary file, and renames it to path once it is on the disk.
func ReplaceFile(path string, perm os.FileMode, write func(*os.File) error) error {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if runtime.GOOS != "windows" {
		err = file.Chmod(perm)
	}
	if err == nil && perm&0o077 == 0 {
		err = giveToOwner(file.Name())
	}
	if err == nil {
		err = write(file)
	}
	if err == nil {
		err = file.Sync()
	}
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		os.Remove(file.Name())
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes new names in the directory permanent. Windows can neither do this nor needs it.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// removeTemporaries removes the temporary files of a killed run, for the files whose names have one of
// the prefixes.
func removeTemporaries(dir string, prefixes ...string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		for _, prefix := range prefixes {
			if strings.HasPrefix(e.Name(), "."+prefix) && strings.HasSuffix(e.Name(), ".tmp") {
				err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
			}
		}
	}
	return err
}
