package journal

import (
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// sums is the table of the checksums of the journal's files.
var sums = crc64.MakeTable(crc64.ECMA)

// growing is a file that grows by whole writes: what was written in part, because the disk
// is full, is taken back.
type growing struct {
	file  *os.File
	size  int64  // what is behind it counts as not written
	sum   uint64 // of what is before size
	dirty bool   // there is something to sync
}

// openGrowing opens the file, and makes it if there is none. It is readable by its owner
// only, because it holds personal data. A link, a device or anything else that is no
// regular file is refused.
func openGrowing(dir, name string) (*growing, error) {
	path := filepath.Join(dir, name)
	if err := regular(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|noFollow, 0o600)
	if err != nil {
		return nil, err
	}
	g := &growing{file: file}
	info, err := file.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = &NotRegularError{path}
	case runtime.GOOS != "windows" && info.Mode().Perm() != 0o600:
		err = file.Chmod(0o600)
	}
	if err == nil && info.Size() == 0 {
		err = giveToOwner(file)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	g.size = info.Size()
	return g, nil
}

// openToRead opens a file that is there, to be read only.
func openToRead(path string) (*growing, error) {
	if err := regular(path); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDONLY|noFollow, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &growing{file: file, size: info.Size()}, nil
}

// NotRegularError says that something else stands where a file of the import belongs.
type NotRegularError struct{ Path string }

func (e *NotRegularError) Error() string { return e.Path + " is not a regular file" }

// regular returns an error unless there is a regular file at path, not a link to one.
func regular(path string) error {
	info, err := os.Lstat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = &NotRegularError{path}
	}
	return err
}

// fits reports whether the file begins with the extent. It leaves size and sum as they
// are.
func (g *growing) fits(e Extent) (bool, error) {
	if g.size < e.Bytes {
		return false, nil
	}
	sum, err := g.sumOf(e.Bytes)
	return sum == e.Sum, err
}

func (g *growing) sumOf(bytes int64) (uint64, error) {
	sum := crc64.New(sums)
	if _, err := io.Copy(sum, io.NewSectionReader(g.file, 0, bytes)); err != nil {
		return 0, fmt.Errorf("reading %s: %w", g.file.Name(), err)
	}
	return sum.Sum64(), nil
}

// takeWhole makes all that is in the file its extent.
func (g *growing) takeWhole() error {
	info, err := g.file.Stat()
	if err != nil {
		return err
	}
	g.size = info.Size()
	g.sum, err = g.sumOf(g.size)
	return err
}

// cut takes back what is behind the extent, which the file fits.
func (g *growing) cut(e Extent) error {
	longer := g.size != e.Bytes
	g.size, g.sum = e.Bytes, e.Sum
	if !longer {
		return nil
	}
	g.dirty = true
	return g.file.Truncate(e.Bytes)
}

// extent returns how much of the file belongs to a state that is saved now.
func (g *growing) extent() Extent { return Extent{g.size, g.sum} }

func (g *growing) write(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	if _, err := g.file.WriteAt(data, g.size); err != nil {
		return errors.Join(err, g.file.Truncate(g.size))
	}
	g.size += int64(len(data))
	g.sum = crc64.Update(g.sum, sums, data)
	g.dirty = true
	return nil
}

// sync returns when what was written is on the disk.
func (g *growing) sync() error {
	if !g.dirty {
		return nil
	}
	g.dirty = false
	return g.file.Sync()
}

func (g *growing) read(from, to int64) ([]byte, error) {
	data := make([]byte, to-from)
	_, err := io.ReadFull(io.NewSectionReader(g.file, from, to-from), data)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", g.file.Name(), err)
	}
	return data, nil
}

// copyTo copies the file to a new one, which takes the place of one with that name.
func (g *growing) copyTo(path string) error {
	return ReplaceFile(path, 0o600, func(to *os.File) error {
		_, err := io.Copy(to, io.NewSectionReader(g.file, 0, g.size))
		return err
	})
}

func (g *growing) close() error { return g.file.Close() }

// WriteFile replaces the file as a whole: whoever opens it, and whenever the machine
// stops, it holds the old content or the new.
func WriteFile(path string, data []byte, perm os.FileMode) error {
	return ReplaceFile(path, perm, func(to *os.File) error {
		_, err := to.Write(data)
		return err
	})
}

// ReplaceFile writes a file under a name that nobody can know before, and gives it its own
// name once it is on the disk.
func ReplaceFile(path string, perm os.FileMode, write func(*os.File) error) error {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if runtime.GOOS != "windows" {
		err = file.Chmod(perm)
	}
	if err == nil && perm&0o077 == 0 {
		err = giveToOwner(file)
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
