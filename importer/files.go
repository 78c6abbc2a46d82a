package importer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
)

// appendFile is a file that grows by whole writes: what was written in part, because
// the disk is full, is taken back.
type appendFile struct {
	file *os.File
	size int64 // what is behind it counts as not written
	sync bool  // there is something to sync
}

// openAppend opens the file, and makes it if there is none. It is readable by its owner
// only, because it holds personal data.
func openAppend(dir, name string) (*appendFile, error) {
	file, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		file.Close()
		return nil, err
	}
	return &appendFile{file: file, size: size}, nil
}

func (a *appendFile) write(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	if _, err := a.file.WriteAt(data, a.size); err != nil {
		return errors.Join(err, a.file.Truncate(a.size))
	}
	a.size += int64(len(data))
	a.sync = true
	return nil
}

// holds returns an error if the file has lost some of its first size bytes.
func (a *appendFile) holds(size int64) error {
	if a.size < size {
		return &lostError{a.file.Name(), a.size, size}
	}
	return nil
}

// lostError says that a file has lost what the state says it has.
type lostError struct {
	path      string
	has, want int64 // bytes
}

func (e *lostError) Error() string {
	return fmt.Sprintf("%s has %d bytes, and had %d when its state was saved", e.path, e.has, e.want)
}

// Hint says what to do about the error.
func (e *lostError) Hint() string { return "put the file back, or start anew with --offset 0" }

// cut takes back what is behind size.
func (a *appendFile) cut(size int64) error {
	if err := a.holds(size); err != nil {
		return err
	}
	if a.size == size {
		return nil
	}
	a.size = size
	a.sync = true
	return a.file.Truncate(size)
}

// flush returns when what was written is on the disk.
func (a *appendFile) flush() error {
	if !a.sync {
		return nil
	}
	a.sync = false
	return a.file.Sync()
}

func (a *appendFile) read(from, to int64) ([]byte, error) {
	data := make([]byte, to-from)
	_, err := io.ReadFull(io.NewSectionReader(a.file, from, to-from), data)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", a.file.Name(), err)
	}
	return data, nil
}

// copyTo copies the file to a new one, which takes the place of one with that name.
func (a *appendFile) copyTo(path string) error {
	to, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, io.NewSectionReader(a.file, 0, a.size))
	return errors.Join(err, to.Sync(), to.Close())
}

func (a *appendFile) close() error { return a.file.Close() }

// WriteFile replaces the file as a whole: whoever opens it, and whenever the machine
// stops, it holds the old content or the new. Its name with .tmp behind it must be free
// for the caller's use.
func WriteFile(path string, data []byte, perm os.FileMode) error {
	temporary := path + ".tmp"
	file, err := os.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, perm)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		os.Remove(temporary)
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes new names in the directory last. Windows can neither do this nor needs
// it.
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
