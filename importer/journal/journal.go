// Package journal is the sole owner of the files of an import: its lock, its state, its
// reports, and what it needs to go on after a crash.
//
// # The order of writing
//
// What a page came to is noted in memory. Save writes the notes to the ends of the files
// and syncs them; only then does it save the state, which says how long each file is (its
// extent). A crash between the two leaves bytes behind the extents: they belong to pages
// that are read again, and are cut off when the import is continued. So every file agrees
// with the state, whenever the program ends.
//
// The files named segsync-* are the journal's own: one that does not begin with its extent
// is refused. The reports are for people, who may edit them: one that was edited is kept
// as it is, and continued at its end. not-imported.csv is written anew from the records at
// the beginning and at the end of each run.
//
// # The life of a state
//
//	Open    chooses between the state on the disk and a new one; it writes nothing
//	Start   opens the files; those of an import that is continued are cut to their extents
//	Save    saves; the first one of a new import makes room for it before
//	Finish  marks the import as finished, if nothing is left to do
//	Close   writes not-imported.csv and closes the files
package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync/atomic"
	"time"
)

// Journal is what an import has on disk. Its methods have one user at a time, but State,
// which anybody may call.
type Journal struct {
	names      Names
	old        *State // of the import before, nil if there is none or it cannot be used
	onDisk     bool   // the state of this import is on the disk
	warnValues bool   // the values are in the report of warnings, too
	force      bool   // a new import begins even where the old records are damaged
	clean      bool   // the last Save saved everything
	saved      atomic.Pointer[State]
	next       *State // the state that Save saves
	quotas     func() map[string]Quota

	files   *files
	pending bytes.Buffer // noted, not written, like the following
	ids     bytes.Buffer
	sources bytes.Buffer
	records records

	// Edited are the reports that were not as the state says when the import was
	// continued, by their paths.
	Edited []string
	// Dropped is how many profiles are not tried again, for they are of an import of another
	// space, or into another project.
	Dropped int
}

// State returns what is known of the import so far. It must not be changed.
func (j *Journal) State() *State { return j.saved.Load() }

// KeepQuotas lets each Save, and Close, save what now returns.
func (j *Journal) KeepQuotas(now func() map[string]Quota) { j.quotas = now }

// OnDisk reports whether the state is saved.
func (j *Journal) OnDisk() bool { return j.onDisk }

// Beside reports whether the disk has another import still, which is not finished.
func (j *Journal) Beside() bool { return !j.onDisk && j.old != nil && j.old.Unfinished() }

// Names returns the names of the files.
func (j *Journal) Names() Names { return j.names }

// Start opens the files. It must be called before what follows, and Close after it.
func (j *Journal) Start() error {
	if err := os.MkdirAll(j.names.Dir, 0o700); err != nil {
		return fmt.Errorf("making the directory for the files of the import: %w", err)
	}
	if err := j.names.removeTemporaries(); err != nil {
		return err
	}
	var err error
	j.next, j.clean = j.State().clone(), true
	for i := range j.next.Actions {
		j.next.Actions[i].Open = false // what a run before this one left open is sent again
	}
	j.saved.Store(j.next.clone())
	if j.onDisk && j.next.v1 != nil {
		if err := j.convertV1(); err != nil {
			return err
		}
	}
	if err := j.names.chooseRecords(j.stateOnDisk()); err != nil {
		return err
	}
	if j.files, err = openFiles(j.names, j.warnValues); err != nil {
		return err
	}
	j.pending.Reset()
	j.ids.Reset()
	j.sources.Reset()
	j.records = records{log: j.files.records}
	if j.onDisk {
		err = j.resumeFiles()
	} else {
		err = j.takeRecords()
	}
	if err != nil {
		return errors.Join(err, j.files.close())
	}
	return nil
}

// stateOnDisk returns the state that the files belong to before this journal saves one, or
// nil.
func (j *Journal) stateOnDisk() *State {
	if j.onDisk {
		return j.State()
	}
	return j.old
}

// resumeFiles brings the files to where the state of a continued import has them. All are
// looked at before one is changed.
func (j *Journal) resumeFiles() error {
	state := j.next
	for name, file := range j.files.own() {
		if err := j.check(file, state.Files[name]); err != nil {
			return err
		}
	}
	for name, file := range j.files.own() {
		if err := file.cut(state.Files[name]); err != nil {
			return err
		}
	}
	j.Edited = nil
	for name, r := range j.files.reports() {
		edited, err := r.resume(state.Files[name])
		if err != nil {
			return err
		}
		if edited {
			j.Edited = append(j.Edited, r.file.Name())
		}
	}
	if err := j.records.load(); err != nil {
		return err
	}
	j.next.Outstanding = j.records.outstanding() // the state of an older program did not say
	j.saved.Store(j.next.clone())
	return j.writeNotImported()
}

func (j *Journal) check(file *growing, e Extent) error {
	fits, err := file.fits(e)
	switch {
	case err != nil:
		return err
	case file.size < e.Bytes:
		return damaged(file.file.Name(), "it has %d bytes (a missing file has 0), and had %d when its state was saved", file.size, e.Bytes)
	case !fits:
		return damaged(file.file.Name(), "its first %d bytes are not those of its state", e.Bytes)
	}
	return nil
}

// takeRecords takes over, for a new import, what is outstanding of the import before.
func (j *Journal) takeRecords() error {
	j.records.byID = make(map[string]Record)
	if j.old == nil {
		j.old = j.movedAway()
	}
	if j.old == nil {
		return nil
	}
	var unusable *DamagedError
	if err := j.loadOldRecords(); errors.As(err, &unusable) && j.force {
		j.old, j.records.byID = nil, make(map[string]Record)
		return nil
	} else if err != nil {
		return err
	}
	whole, same := j.next.From == Beginning && j.next.Since.IsZero(), j.old.sameTarget(j.next.Identity)
	if !same {
		j.Dropped = j.records.outstanding().Count
	}
	for _, r := range j.records.sorted() {
		if !same || whole && (r.Nameless || !r.IsOutstanding()) {
			if err := j.records.resolve(r.ID()); err != nil {
				return err
			}
		}
	}
	j.next.Outstanding = j.records.outstanding()
	j.saved.Store(j.next.clone())
	return nil
}

// movedAway returns the state that a killed run had moved away to make room for a new one,
// if the records are still its own.
func (j *Journal) movedAway() *State {
	if _, err := os.Lstat(j.names.Path(j.names.State)); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	names := j.names
	names.State += ".bak"
	old, err := Load(names)
	if err != nil || old == nil || old.v1 != nil {
		return nil
	}
	if fits, err := j.files.records.fits(old.Files[fileRecords]); err != nil || !fits {
		return nil
	}
	return old
}

// loadOldRecords loads the records of the import before.
func (j *Journal) loadOldRecords() error {
	if j.old.v1 != nil {
		return j.takeRecordsV1(j.old)
	}
	e := j.old.Files[fileRecords]
	if err := j.check(j.files.records, e); err != nil {
		return err
	}
	j.files.records.size, j.files.records.sum = e.Bytes, e.Sum
	return j.records.load()
}

// Beginning is the offset of the first profile of every source.
const Beginning = "0"

// Outstanding returns the records that are to be tried again, the oldest first.
func (j *Journal) Outstanding() []Record {
	var all []Record
	for _, r := range j.records.sorted() {
		if r.IsOutstanding() && r.SegmentID != "" && !r.Nameless {
			all = append(all, r)
		}
	}
	return all
}

// Profiles returns the set of the profiles that the earlier runs of this import have
// read.
func (j *Journal) Profiles(ctx context.Context) (*Profiles, error) {
	t, err := j.table(ctx, j.names.seenTable, j.files.profiles, 0)
	if err != nil {
		return nil, err
	}
	return &Profiles{t, j.next.Hash}, nil
}

// Sources returns the source ids that the earlier runs of this import have sent.
func (j *Journal) Sources(ctx context.Context) (*Sources, error) {
	t, err := j.table(ctx, j.names.sentTable, j.files.sources, idBytes)
	if err != nil {
		return nil, err
	}
	return &Sources{t, j.next.Hash}, nil
}

func (j *Journal) table(ctx context.Context, name string, log *growing, valueBytes int) (*table, error) {
	size := log.size
	if !j.onDisk {
		size = 0 // the file is an older import's
	}
	t, err := newTable(j.names.Path(name), valueBytes, size/int64(idBytes+valueBytes))
	if err != nil {
		return nil, err
	}
	if err := t.fill(ctx, io.NewSectionReader(log.file, 0, size)); err != nil {
		return nil, errors.Join(fmt.Errorf("reading %s: %w", log.file.Name(), err), t.close())
	}
	return t, nil
}

// Next returns the state that the next Save saves. It must not be changed.
func (j *Journal) Next() *State { return j.next }

// Finish marks the import as finished, unless something is left to do. confirm says that
// what Voucherify has not confirmed counts as left to do.
func (j *Journal) Finish(confirm bool) error {
	state := j.next
	if !state.Position.Done || len(state.Actions) > 0 && confirm || state.HasFailed() || !state.Unfinished() {
		return nil
	}
	state.Finished = time.Now().UTC()
	state.Last.Ended = state.Finished
	// What began after the last one left a gap, which --since last must not pass over. A
	// space that looked empty is nothing to go on from.
	if (state.Counts.Read > 0 || !state.Since.IsZero()) && state.From == Beginning && state.Input == "" && !state.Since.After(state.Last.Started) {
		state.Last.Started = state.Started
	}
	return j.Save()
}

// saveQuotas saves the state as it is on the disk, with the quotas of now: the last answers,
// such as one that refused a batch, came after the last Save.
func (j *Journal) saveQuotas() error {
	if j.quotas == nil {
		return nil
	}
	state := j.State().clone()
	state.Quotas = j.quotas()
	if err := state.save(j.names.Path(j.names.State)); err != nil {
		return err
	}
	j.saved.Store(state)
	return nil
}

// Close closes the files; not-imported.csv is then what the records say.
func (j *Journal) Close() error {
	var err error
	if j.onDisk && j.clean {
		err = errors.Join(j.saveQuotas(), j.writeNotImported())
	}
	return errors.Join(err, j.files.close())
}
