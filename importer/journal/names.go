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

// Names are the names of the files of an import in its directory.
type Names struct {
	Dir               string
	WithoutIdentifier string // segment ids, one per line
	NotImported       string // CSV: what is outstanding, and what has vanished
	Merged            string // CSV: profiles whose source_id another profile was sent with
	Warnings          string // CSV: values that could not be used
	Deleted           string // CSV: customers that were to be deleted; no import writes it

	log string // in the data folder
}

// dataDir is the folder below the directory of an import with all of its files but the
// reports for people.
const dataDir = "segsync-data"

// NewNames returns the names in dir. suffix is put before the ending of each.
func NewNames(dir, suffix string) Names {
	return Names{
		Dir:               dir,
		WithoutIdentifier: "profiles-without-identifier" + suffix + ".txt",
		NotImported:       "not-imported" + suffix + ".csv",
		Merged:            "merged" + suffix + ".csv",
		Warnings:          "warnings" + suffix + ".csv",
		Deleted:           "deleted.csv",
		log:               "journal" + suffix + ".ndjson",
	}
}

// Path returns the path of one of the reports.
func (n Names) Path(name string) string { return filepath.Join(n.Dir, name) }

// LogPath returns the path of the log.
func (n Names) LogPath() string { return filepath.Join(n.Dir, dataDir, n.log) }

// HistoryDir returns the folder of the logs of earlier imports.
func (n Names) HistoryDir() string { return filepath.Join(n.Dir, dataDir, "history") }

func (n Names) reports() []string {
	return []string{n.WithoutIdentifier, n.NotImported, n.Merged, n.Warnings}
}

// Paths returns the paths of the log, the reports, that of deletions included, and the lock.
func (n Names) Paths() []string {
	paths := []string{n.LogPath(), filepath.Join(n.Dir, dataDir, lockFile), n.Path(n.Deleted)}
	for _, name := range n.reports() {
		paths = append(paths, n.Path(name))
	}
	return paths
}

// OwnsPath reports whether the path is in the data folder of dir.
func OwnsPath(dir, path string) bool {
	own, err1 := filepath.Abs(filepath.Join(dir, dataDir))
	abs, err2 := filepath.Abs(path)
	return err1 == nil && err2 == nil && (abs == own || strings.HasPrefix(abs, own+string(filepath.Separator)))
}

// makeDataDir makes the data folder of dir, which must exist. A link, or anything else that is
// no folder, is refused.
func makeDataDir(dir string) (string, error) {
	path := filepath.Join(dir, dataDir)
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.Mkdir(path, 0o700); err != nil {
			return "", err
		}
		return path, errors.Join(giveToOwner(path), syncDir(dir))
	case err != nil:
		return "", err
	case !info.IsDir():
		return "", &NotRegularError{Path: path, Want: "folder"}
	case runtime.GOOS != "windows" && info.Mode().Perm() != 0o700:
		return path, os.Chmod(path, 0o700)
	}
	return path, nil
}

// NotRegularError says that something else stands where a file or a folder of the import belongs.
type NotRegularError struct{ Path, Want string }

func (e *NotRegularError) Error() string { return fmt.Sprintf("%s is not a %s", e.Path, e.Want) }
