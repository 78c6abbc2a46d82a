package journal

import (
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"segsync/importer/outcome"
)

// writeHeader begins the log of a new import, in memory: what it is, and what it takes over from
// the import before.
func (j *Journal) writeHeader() error {
	j.log = log{}
	s := j.fold.state
	if err := j.log.add(line{Import: &s.Import}); err != nil {
		return err
	}
	if err := j.addLine(line{Before: &s.Before}); err != nil {
		return err
	}
	if j.old != nil && !s.DryRun {
		if err := j.carry(); err != nil {
			return err
		}
	}
	j.publish()
	return nil
}

// carry takes over what is outstanding of the old import, and its open async actions with their
// customers.
func (j *Journal) carry() error {
	old, s := j.old, j.fold.state
	if !old.state.isSameTarget(s.Identity) {
		j.Dropped = old.outstanding().Count
		return nil
	}
	whole := s.From == "" && s.Since.IsZero()
	for _, r := range old.sortedRecords() {
		if r.Outcome == outcome.Vanished && (whole || !old.state.IsUnfinished()) || whole && r.Nameless {
			continue
		}
		r.Carried, r.Retry = true, false
		if r.Outcome == outcome.Sent {
			r.Outcome = outcome.Unconfirmed
		}
		if err := j.addEntry(r); err != nil {
			return err
		}
	}
	if len(old.deleted) > 0 {
		if err := j.addLine(line{DeletedBefore: slices.Sorted(maps.Keys(old.deleted))}); err != nil {
			return err
		}
	}
	if old.state.Deletion != nil {
		if err := j.addLine(line{DeletionBegan: old.state.Deletion}); err != nil {
			return err
		}
	}
	if len(old.sending) > 0 {
		if err := j.addLine(line{Sending: slices.Sorted(maps.Keys(old.sending))}); err != nil {
			return err
		}
	}
	return j.carryActions()
}

// carryActions takes over the open async actions, their customers, and the profiles that were
// merged into these.
func (j *Journal) carryActions() error {
	old := j.old
	file, err := openRegular(j.names.LogPath(), os.O_RDONLY)
	if err != nil {
		return err
	}
	defer file.Close()
	log := log{file: file, size: j.oldSize}
	keepViews := j.fold.state.From != "" // it begins where an earlier one stopped: the views go on
	var all []Entry
	for _, a := range old.state.Actions {
		customers, err := log.customersOf(a)
		if err != nil {
			return err
		}
		for i := range customers {
			customers[i].Warnings = nil // they are in the view of the import that sent them
			all = append(all, customers[i])
			if keepViews {
				continue
			}
			for _, at := range old.merged[old.hash(customers[i].SourceID)] {
				e, err := log.entryAt(at)
				if err != nil {
					return err
				}
				all = append(all, *e)
			}
		}
		a.Carried, a.Open, a.Customers = true, false, 0
		if err := j.addLine(line{Action: &a}); err != nil {
			return err
		}
	}
	if keepViews {
		err := log.entries(0, log.size, func(e *Entry) error {
			if e.Outcome == outcome.WithoutIdentifier || e.Outcome == outcome.Merged && (e.Carried || old.profiles[old.hash(e.SegmentID)] == e.Outcome) {
				all = append(all, *e)
			} else if e.Warnings != nil {
				all = append(all, Entry{SegmentID: e.SegmentID, SourceID: e.SourceID, Warnings: e.Warnings})
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	released, err := old.takeReleased(&log)
	for _, e := range append(all, released...) {
		e.Carried = true
		err = errors.Join(err, j.addEntry(&e))
	}
	return err
}

// takeOver puts the new log in the place of the old one, which is archived first.
func (j *Journal) takeOver() error {
	path := j.names.LogPath()
	if j.oldFile && !j.fold.state.DryRun {
		if err := j.archive(path); err != nil {
			return err
		}
	}
	if err := WriteFile(path, j.log.buf, 0o600); err != nil {
		return err
	}
	file, err := openRegular(path, os.O_RDWR)
	if err != nil {
		return err
	}
	j.log.file, j.log.size, j.log.buf = file, int64(len(j.log.buf)), nil
	j.onDisk, j.old, j.oldFile = true, nil, false
	return j.rewriteViews()
}

const (
	maxHistoryBytes = 500 << 20
	// DefaultHistory is how many logs of earlier imports are kept.
	DefaultHistory = 30
)

// archive keeps a compressed copy of the old log.
func (j *Journal) archive(path string) error {
	dir := j.names.HistoryDir()
	if j.keepHistory > 0 {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("archiving the log: %w", err)
		}
		if err := giveToOwner(dir); err != nil {
			return fmt.Errorf("archiving the log: %w", err)
		}
		old, err := openRegular(path, os.O_RDONLY)
		if err != nil {
			return err
		}
		defer old.Close()
		name := strings.TrimSuffix(j.names.log, ".ndjson") + "-" + time.Now().UTC().Format("20060102T150405.000Z") + ".ndjson.gz"
		err = ReplaceFile(filepath.Join(dir, name), 0o600, func(to *os.File) error {
			zip := gzip.NewWriter(to)
			_, err := io.Copy(zip, old)
			return errors.Join(err, zip.Close())
		})
		if err != nil {
			return err
		}
	}
	return j.pruneHistory()
}

// pruneHistory removes the oldest logs where there are more than are kept.
func (j *Journal) pruneHistory() error {
	all, err := History(j.names)
	if err != nil {
		return err
	}
	slices.Reverse(all) // the newest first
	bytes := int64(0)
	for i, path := range all {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if bytes += info.Size(); i < j.keepHistory && (i == 0 || bytes <= maxHistoryBytes) {
			continue
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// History returns the paths of the archived logs of all imports in the directory, the oldest
// first.
func History(names Names) ([]string, error) {
	entries, err := os.ReadDir(names.HistoryDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".ndjson.gz") && !strings.HasPrefix(e.Name(), ".") {
			all = append(all, filepath.Join(names.HistoryDir(), e.Name()))
		}
	}
	stamp := func(path string) string { return path[strings.LastIndex(path, "-"):] }
	slices.SortFunc(all, func(a, b string) int { return cmp.Compare(stamp(a), stamp(b)) })
	return all, nil
}
