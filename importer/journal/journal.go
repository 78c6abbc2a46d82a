// Package journal records an import in one append-only log. The state of the import is a fold over it.
//
//	segsync-data/journal.ndjson      lines of JSON: the identity of the import, then its events in order
//	segsync-data/history/            the logs of earlier imports, compressed
//	segsync-data/lock                held while an import runs
//	not-imported.csv, merged.csv, …  views of the log, for people
//
// A commit line ends a group of lines. It has the position where reading continues, and a checksum of the
// group; lines without a valid commit do not count. So the position, the outcomes and the open async
// actions are always consistent, whenever the program ends: lines after the last commit are truncated, and
// their profiles are read and sent again.
//
// # The life of a log
//
//	Open    reads the log, and continues it or begins a new import; it writes nothing
//	Start   opens the files for writing
//	Save    commits. The first one of a new import archives the old log, and carries over its
//	        outstanding profiles, open async actions and the facts about earlier imports
//	Finish  marks the import as finished, if nothing is left to read or to send
//	Close   rewrites the views
package journal

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"segsync/importer/outcome"
	"segsync/importer/sink"
	"segsync/importer/source"
)

// Beginning is the offset of the first profile of every source.
const Beginning = "0"

// Journal is the log of one import. Its methods may be called by several goroutines.
type Journal struct {
	names       Names
	warnValues  bool
	keepHistory int
	quotas      func() map[string]Quota

	saved atomic.Pointer[State]

	mu      sync.Mutex
	fold    *fold
	log     log
	old     *fold // of the import that this one takes over from, nil: none
	oldSize int64 // of the log of that one, to its last commit
	oldFile bool  // the log on the disk is an older import's, or damaged
	onDisk  bool
	hasWork bool // this import has sent or read something
	views   *views
	deleted *view           // the report of deletions; nil: not open
	retried map[string]bool // records that Retries gave out
	queued  map[hash]bool   // source ids of open actions, see IsQueued; nil: not asked for

	unanswered map[string]bool // source ids of bulk requests of runs before this one
	failed     error           // of writing: nothing can be saved any more

	// Dropped counts outstanding profiles that are not tried again, because they belong to another space or
	// project.
	Dropped int
}

// State returns what was saved last. It must not be changed.
func (j *Journal) State() *State { return j.saved.Load() }

// Names returns the names of the files.
func (j *Journal) Names() Names { return j.names }

// IsSaved reports whether the import is on the disk.
func (j *Journal) IsSaved() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.onDisk
}

// HasOtherUnfinished reports whether the disk still has another import, which is not finished.
func (j *Journal) HasOtherUnfinished() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return !j.onDisk && j.old != nil && j.old.state.IsUnfinished()
}

// KeepQuotas makes each Save record the quotas that now returns.
func (j *Journal) KeepQuotas(now func() map[string]Quota) { j.quotas = now }

// Start opens the files. It must be called before the methods below, and Close after it.
func (j *Journal) Start() error {
	err := j.openLog()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.unanswered = maps.Clone(j.fold.sending)
	if err != nil || !j.onDisk {
		return err
	}
	return j.rewriteViews()
}

// openLog opens the log for writing, or begins a new one in memory.
func (j *Journal) openLog() error {
	data, err := makeDataDir(j.names.Dir)
	if err != nil {
		return fmt.Errorf("making the folder for the files of the import: %w", err)
	}
	if err := errors.Join(removeTemporaries(data, j.names.log+"."), removeTemporaries(j.names.HistoryDir(), ""),
		removeTemporaries(j.names.Dir, j.names.reports()...)); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.views, err = newViews(j.names, j.warnValues); err != nil {
		return err
	}
	j.retried = make(map[string]bool)
	if !j.onDisk {
		return j.writeHeader()
	}
	if j.log.file, err = openRegular(j.names.LogPath(), os.O_RDWR); err != nil {
		return err
	}
	if err := j.log.file.Truncate(j.log.size); err != nil { // what a killed run wrote last
		return errors.Join(err, j.log.file.Close())
	}
	for i := range j.fold.state.Actions {
		j.fold.state.Actions[i].Open = false // what a run before this one left open is sent again
	}
	j.publish()
	return nil
}

// publish makes the current state the one that State returns.
func (j *Journal) publish() {
	s := j.fold.state.clone()
	s.Outstanding = j.fold.outstanding()
	j.saved.Store(s)
}

// Add notes a profile that is listed. It reports whether it is new to this import.
func (j *Journal) Add(id string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	key := j.fold.hash(id)
	if _, known := j.fold.profiles[key]; known {
		return false
	}
	j.fold.profiles[key] = outcome.None
	return true
}

// Has reports whether the profile was listed by this import.
func (j *Journal) Has(id string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	_, known := j.fold.profiles[j.fold.hash(id)]
	return known
}

// Len returns the number of profiles that were listed by this import.
func (j *Journal) Len() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.fold.profiles)
}

// IsOutstanding reports whether the profile has an outstanding record.
func (j *Journal) IsOutstanding(id string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	r, known := j.fold.records[id]
	return known && r.Outcome != outcome.Vanished
}

// Rejected returns how many customers this import knows to be rejected.
func (j *Journal) Rejected() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.fold.state.Count(outcome.Rejected)
}

// SentBy says which profile a source_id was sent with.
type SentBy int

const (
	NotSent SentBy = iota
	BySameProfile
	ByOtherProfile
)

// SentBy says whether this import has sent the source_id, and with which profile.
func (j *Journal) SentBy(sourceID, id string) SentBy {
	j.mu.Lock()
	defer j.mu.Unlock()
	by, sent := j.fold.sent[j.fold.hash(sourceID)]
	switch {
	case !sent:
		return NotSent
	case by == j.fold.hash(id):
		return BySameProfile
	}
	return ByOtherProfile
}

// MarkSent notes that the source_id is sent with the profile.
func (j *Journal) MarkSent(sourceID, id string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.fold.sent[j.fold.hash(sourceID)] = j.fold.hash(id)
}

// IsSending reports whether a bulk request with the source_id has no known answer. Voucherify may or may not
// have taken it.
func (j *Journal) IsSending(sourceID string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.fold.sending[sourceID]
}

// Sending records the source ids of a bulk request before it is sent.
func (j *Journal) Sending(sourceIDs []string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.fold.state.DryRun || len(sourceIDs) == 0 {
		return nil
	}
	j.hasWork = true
	if err := j.addLine(line{Sending: sourceIDs}); err != nil {
		return err
	}
	return j.commit(false)
}

// OpenActions returns the async actions that have not ended, as far as the log knows, those of the
// import before included. It may be called before Start.
func (j *Journal) OpenActions() []sink.Action {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.fold.state
	if j.old != nil && j.old.state.isSameTarget(s.Identity) {
		s = j.old.state
	}
	var all []sink.Action
	for _, a := range s.Actions {
		all = append(all, a.Action)
	}
	return all
}

// MarkSending makes IsSending true for the customers of these async actions.
func (j *Journal) MarkSending(actionIDs []string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, a := range j.fold.state.Actions {
		if !slices.Contains(actionIDs, a.ID) {
			continue
		}
		if err := j.eachSourceID(a, func(id string) { j.fold.sending[id] = true }); err != nil {
			return err
		}
	}
	return nil
}

// IsQueued reports whether Voucherify may still have an earlier customer with the source_id in its queue: a request
// of a run before this one has no known answer, or an async action had no verdict when IsQueued was called first.
func (j *Journal) IsQueued(sourceID string) (bool, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.queued == nil {
		j.queued = make(map[hash]bool)
		for _, a := range j.fold.state.Actions {
			if err := j.eachSourceID(a, func(id string) { j.queued[j.fold.hash(id)] = true }); err != nil {
				return false, err
			}
		}
	}
	return j.queued[j.fold.hash(sourceID)] || j.unanswered[sourceID], nil
}

// eachSourceID calls do with the source ids of an async action.
func (j *Journal) eachSourceID(a Action, do func(id string)) error {
	customers, err := j.log.customersOf(a)
	for _, c := range customers {
		do(c.SourceID)
	}
	return err
}

// Page is a page of profiles with their outcomes.
type Page struct {
	After   source.Position
	Began   time.Time // by the source's clock, on the page with which reading began; else zero
	Behind  time.Duration
	Entries []Entry
	Actions map[string]sink.Action // those of the entries that are Sent, by id
}

// AddPage notes the outcomes of a page of profiles. Save makes them permanent.
func (j *Journal) AddPage(p Page) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !p.Began.IsZero() {
		if err := j.addLine(line{Began: &began{p.Began.UTC(), p.Behind}}); err != nil {
			return err
		}
	}
	for i := range p.Entries {
		e := &p.Entries[i]
		if e.Outcome == outcome.Sent && j.fold.state.action(e.ActionID) == nil {
			if err := j.addLine(line{Action: &Action{Action: p.Actions[e.ActionID]}}); err != nil {
				return err
			}
		}
		if was := j.fold.profiles[j.fold.hash(e.SegmentID)]; was != outcome.None && was != outcome.Unreadable {
			e.Warnings, e.LeftOut = nil, nil // the log has them
		}
		if err := j.addEntry(e); err != nil {
			return err
		}
	}
	j.fold.state.Position, j.hasWork = p.After, true
	return nil
}

// addEntry writes a line about a profile, and adds it to the fold and the views.
func (j *Journal) addEntry(e *Entry) error {
	if e.Outcome.IsOutstanding() || e.Outcome == outcome.Vanished {
		if e.SegmentID == "" && e.ActionID == "" {
			return errors.New("a profile without an id was not imported")
		}
		if e.First.IsZero() {
			e.First = time.Now().UTC().Truncate(time.Second)
		}
	}
	from := j.log.end()
	if err := j.log.add(e); err != nil {
		return err
	}
	j.views.add(e, j.fold.profiles[j.fold.hash(e.SegmentID)])
	j.fold.addEntry(e, from, j.log.end())
	return nil
}

func (j *Journal) addLine(l line) error {
	if err := j.log.add(l); err != nil {
		return err
	}
	j.fold.addLine(&l)
	return nil
}

// Save commits the lines since the last one.
func (j *Journal) Save() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.commit(true)
}

// commit writes the lines since the last one with a commit line; sync waits until they are on the disk.
func (j *Journal) commit(sync bool) error {
	if j.failed != nil {
		return j.failed
	}
	if !j.onDisk && !j.hasWork && j.old != nil && j.old.state.IsUnfinished() {
		return nil // that one stays until this one has done something
	}
	released, err := j.fold.takeReleased(&j.log)
	for i := range released {
		err = errors.Join(err, j.addEntry(&released[i]))
	}
	if err != nil {
		return err
	}
	c := commitLine{At: j.fold.state.Position, Time: time.Now().UTC()}
	if j.quotas != nil {
		c.Quotas = j.quotas()
	}
	err = j.log.commit(c)
	if err == nil && !j.onDisk {
		err = j.takeOver()
	} else if err == nil {
		err = j.log.write()
		if err == nil && sync && !j.fold.state.DryRun {
			err = j.log.file.Sync()
		}
	}
	if err == nil {
		err = j.views.write()
	}
	if err != nil {
		j.failed = err
		return err
	}
	j.fold.addLine(&line{Commit: &c})
	j.publish()
	return nil
}

// Finish marks the import as finished, unless something is left to read or to send again.
func (j *Journal) Finish() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.fold.state
	if !s.Position.Done || s.Counts.by[outcome.Unconfirmed] > 0 || !s.IsUnfinished() {
		return nil
	}
	now := time.Now().UTC()
	if err := j.addLine(line{Finished: &now}); err != nil {
		return err
	}
	return j.commit(true)
}

// Close closes the files. The views then agree with the log.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.views == nil {
		return nil
	}
	var err error
	if j.onDisk && j.failed == nil {
		if j.quotas != nil { // the last answers came after the last Save
			err = j.commit(true)
		}
		if err == nil && j.views.superseded {
			err = j.rewriteViews()
		} else if err == nil {
			err = j.views.writeNotImported(j.fold)
		}
	}
	err = errors.Join(err, j.views.close())
	if j.deleted != nil {
		err = errors.Join(err, j.deleted.file.Close())
	}
	if j.log.file != nil {
		err = errors.Join(err, j.log.file.Close())
	}
	return err
}

// Delete removes the log and the views of a finished dry run, after Close.
func (j *Journal) Delete() error {
	errs := []error{os.Remove(j.names.LogPath())}
	for _, name := range j.names.reports() {
		errs = append(errs, os.Remove(j.names.Path(name)))
	}
	for i, err := range errs {
		if errors.Is(err, os.ErrNotExist) {
			errs[i] = nil
		}
	}
	return errors.Join(errs...)
}

// rewriteViews writes the views from the log.
func (j *Journal) rewriteViews() error {
	if err := j.log.write(); err != nil {
		return err
	}
	return j.views.rewrite(j.fold, func(do func(e *Entry) error) error {
		return j.log.entries(0, j.log.size, do)
	})
}
