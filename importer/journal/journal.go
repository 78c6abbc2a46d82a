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
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"segsync/importer/mapping"
	"segsync/internal/safetext"
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

// files are the open files of a journal.
type files struct {
	withoutIdentifier, merged, warnings *report
	notImported                         *report // has no extent: it is written anew
	pending, profiles, sources, records *growing
}

// The keys of State.Files.
const (
	fileWithoutIdentifier = "without_identifier"
	fileMerged            = "merged"
	fileWarnings          = "warnings"
	filePending           = "pending"
	fileProfiles          = "profiles"
	fileSources           = "sources"
	fileRecords           = "records"
)

func (f *files) reports() map[string]*report {
	return map[string]*report{
		fileWithoutIdentifier: f.withoutIdentifier, fileMerged: f.merged, fileWarnings: f.warnings,
	}
}

func (f *files) own() map[string]*growing {
	return map[string]*growing{
		filePending: f.pending, fileProfiles: f.profiles, fileSources: f.sources, fileRecords: f.records,
	}
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

func openFiles(n Names, warnValues bool) (*files, error) {
	f, warnings := new(files), warningsHeader
	if warnValues {
		warnings = strings.TrimSuffix(warnings, "\n") + ",value\n"
	}
	var err error
	for _, r := range []struct {
		name, header string
		into         **report
	}{
		{n.WithoutIdentifier, "", &f.withoutIdentifier}, {n.Merged, mergedHeader, &f.merged},
		{n.Warnings, warnings, &f.warnings}, {n.NotImported, notImportedHeader, &f.notImported},
	} {
		if *r.into, err = openReport(n.Dir, r.name, r.header); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	for _, o := range []struct {
		name string
		into **growing
	}{{n.pending, &f.pending}, {n.profiles, &f.profiles}, {n.sources, &f.sources}, {n.records, &f.records}} {
		if *o.into, err = openGrowing(n.Dir, o.name); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	return f, nil
}

func (f *files) close() error {
	var errs []error
	for _, r := range []*report{f.withoutIdentifier, f.merged, f.warnings, f.notImported} {
		if r != nil {
			errs = append(errs, r.close())
		}
	}
	for _, o := range f.own() {
		if o != nil {
			errs = append(errs, o.close())
		}
	}
	return errors.Join(errs...)
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

// Page is a page of profiles, each of which has its outcome.
type Page struct {
	After    Position
	Began    time.Time // the source's time, where reading began with this page; else zero
	Replaces string    // id of the failed action whose customers these are, or ""
	Entries  []Entry
}

// Entry is what became of a profile.
type Entry struct {
	SegmentID  string
	SourceID   string // "" without an identifier
	Identifier string // that SourceID was taken from
	Outcome    Outcome
	Why        Why    // of Rejected, Unreadable and Vanished
	Action     Action // of Unconfirmed: the one that Voucherify accepted
	// Was is the outcome that this import has counted for the profile already, None if it
	// is read for the first time.
	Was              Outcome
	Claimed          bool     // SourceID was sent with this profile
	Late             bool     // only a later pass found it
	Nameless         bool     // SegmentID only says where the entry is in the list
	InvalidBirthdate bool     // sent with birthdate null
	Cleared          []string // fields that the customer was sent with null for
	LeftOut          []mapping.LeftOut
	Warnings         []mapping.Warning
}

// AddPage notes what became of the profiles of a page.
func (j *Journal) AddPage(p Page) error {
	if !p.Began.IsZero() {
		j.next.Started = p.Began.UTC()
	}
	if p.Replaces != "" {
		j.next.removeAction(p.Replaces)
	}
	for i := range p.Entries {
		e := &p.Entries[i]
		if p.Replaces == "" && e.Was == None {
			j.count(e)
		}
		if p.Replaces == "" { // of one that could not be read before, nothing was known
			j.detail(e)
		}
		if e.Was != None {
			j.next.Counts.add(e.Was, -1)
		}
		if e.Outcome != Unconfirmed {
			j.next.Counts.add(e.Outcome, 1)
		}
		if e.Claimed {
			source, profile := identityOf(j.next.Hash, e.SourceID), identityOf(j.next.Hash, e.SegmentID)
			j.sources.Write(source[:])
			j.sources.Write(profile[:])
		}
		if err := j.note(e); err != nil {
			return err
		}
	}
	j.next.Position = p.After
	return nil
}

// count counts a profile that this import reads for the first time.
func (j *Journal) count(e *Entry) {
	next := j.next
	next.Counts.Read++
	if e.Late {
		next.Counts.FoundLate++
	}
	id := identityOf(next.Hash, e.SegmentID)
	j.ids.Write(id[:])
}

// detail notes what was said about a profile, and counts what was sent of it.
func (j *Journal) detail(e *Entry) {
	next := j.next
	for _, w := range e.Warnings {
		countIn(&next.Details.Warnings, w.Field, w.Reason)
		cells := []string{e.SegmentID, e.SourceID, w.Field, w.Reason}
		if j.warnValues {
			cells = append(cells, w.Value)
		}
		writeRow(&j.files.warnings.noted, cells...)
	}
	if e.Outcome == Unconfirmed || e.Outcome == Confirmed || e.Outcome == WouldSend {
		if e.InvalidBirthdate {
			next.Counts.InvalidBirthdates++
		}
		for _, l := range e.LeftOut {
			next.Details.noteLeftOut(l)
		}
		next.Details.Identifiers[e.Identifier]++
		next.Details.noteCleared(e.Cleared)
	}
}

// note notes the profile in the file that its outcome belongs to.
func (j *Journal) note(e *Entry) error {
	switch e.Outcome {
	case Rejected, Unreadable, Vanished:
		return j.noteRecord(Record{SegmentID: e.SegmentID, SourceID: e.SourceID, Why: e.Why, Outcome: e.Outcome.String(), Nameless: e.Nameless})
	case Unconfirmed:
		if err := j.records.noteSent(e.SegmentID); err != nil { // outstanding until it is confirmed
			return err
		}
		return j.noteSent(e)
	case WithoutIdentifier:
		j.files.withoutIdentifier.noted.WriteString(safetext.Line(e.SegmentID) + "\n")
	case Merged:
		writeRow(&j.files.merged.noted, e.SegmentID, e.SourceID)
	}
	return j.records.resolve(e.SegmentID)
}

func (j *Journal) noteRecord(r Record) error {
	r.First, r.Import = time.Now().UTC().Truncate(time.Second), j.next.Started
	if r.SegmentID == "" && r.ActionID == "" {
		return errors.New("a profile without an id was not imported")
	}
	notImportedRow(&j.files.notImported.noted, r)
	return j.records.note(r)
}

// noteSent notes a customer of an action, and where.
func (j *Journal) noteSent(e *Entry) error {
	a := j.next.action(e.Action.ID)
	if a == nil {
		j.next.Actions = append(j.next.Actions, e.Action)
		a = &j.next.Actions[len(j.next.Actions)-1]
	}
	end := func() int64 { return j.files.pending.size + int64(j.pending.Len()) }
	if a.Customers == 0 {
		a.FirstByte = end()
	}
	line, err := json.Marshal([3]string{a.ID, e.SegmentID, e.SourceID})
	if err != nil {
		return fmt.Errorf("noting a customer: %w", err)
	}
	j.pending.Write(append(line, '\n'))
	a.Customers++
	a.LastByte = end()
	a.Open = a.Customers < a.Sent
	return nil
}

// Customer is a customer that Voucherify accepted.
type Customer struct{ SegmentID, SourceID string }

// SentBy returns the customers of an action.
func (j *Journal) SentBy(a Action) ([]Customer, error) {
	written := min(a.LastByte, j.files.pending.size)
	data, err := j.files.pending.read(min(a.FirstByte, written), written)
	if err != nil {
		return nil, err
	}
	if noted := j.pending.Bytes(); a.LastByte > written { // not saved yet
		data = append(data, noted[max(a.FirstByte-written, 0):a.LastByte-written]...)
	}
	path := j.files.pending.file.Name()
	var customers []Customer
	for line := range bytes.Lines(data) {
		var c [3]string
		if err := json.Unmarshal(line, &c); err != nil {
			return nil, &DamagedError{Path: path, Err: err}
		}
		if c[0] == a.ID {
			customers = append(customers, Customer{c[1], c[2]})
		}
	}
	if len(customers) != a.Customers {
		return nil, damaged(path, "it names %d of the %d customers of the async action %s", len(customers), a.Customers, a.ID)
	}
	return customers, nil
}

// Action returns the action with this id, as it will be saved.
func (j *Journal) Action(id string) (Action, bool) {
	if a := j.next.action(id); a != nil {
		return *a, true
	}
	return Action{}, false
}

// Rejection is a customer of an action that Voucherify rejected.
type Rejection struct {
	Customer     // zero where it is not known which
	Unnamed  int // customers that it is about, where that is not known
	Why
}

// Settle notes that an action has ended: its customers are confirmed, but for the
// rejected ones.
func (j *Journal) Settle(actionID string, rejected []Rejection) error {
	a, ok := j.Action(actionID)
	if !ok {
		return fmt.Errorf("a verdict on the unknown async action %s", actionID)
	}
	unnamed := slices.ContainsFunc(rejected, func(r Rejection) bool { return r.Unnamed > 0 })
	if len(j.records.byID) > 0 && !unnamed { // some of it is dealt with now
		if err := j.resolveConfirmed(a, rejected); err != nil {
			return err
		}
	}
	n := 0
	for _, r := range rejected {
		n += max(r.Unnamed, 1)
		record := Record{SegmentID: r.SegmentID, SourceID: r.SourceID, Why: r.Why, Outcome: Rejected.String(), Unnamed: r.Unnamed}
		if err := j.noteRecord(record); err != nil {
			return err
		}
	}
	j.next.Counts.add(Rejected, n)
	j.next.Counts.add(Confirmed, a.Customers-n)
	j.next.removeAction(actionID)
	return nil
}

// resolveConfirmed takes away the records of the customers of the action that were not
// rejected again.
func (j *Journal) resolveConfirmed(a Action, rejected []Rejection) error {
	customers, err := j.SentBy(a)
	if err != nil {
		return err
	}
	again := make(map[Customer]bool)
	for _, r := range rejected {
		again[r.Customer] = true
	}
	for _, c := range customers {
		if again[c] {
			continue
		}
		if err := j.records.resolve(c.SegmentID); err != nil {
			return err
		}
	}
	return nil
}

// Fail notes that an action failed, and its customers are to be sent again.
func (j *Journal) Fail(actionID string) {
	if a := j.next.action(actionID); a != nil {
		a.Failed = true
		j.next.Finished = time.Time{} // there is something to do again
	}
}

// Doubt makes the profiles that this import took for vanished outstanding: Segment answered
// so for too many of them to be believed.
func (j *Journal) Doubt() error {
	for _, r := range j.records.sorted() {
		if r.Outcome != Vanished.String() || !r.Import.Equal(j.next.Started) {
			continue
		}
		r.Outcome = Unreadable.String()
		if err := j.records.note(r); err != nil {
			return err
		}
		j.next.Counts.add(Vanished, -1)
		j.next.Counts.add(Unreadable, 1)
	}
	return j.Save()
}

// Next returns the state that the next Save saves. It must not be changed.
func (j *Journal) Next() *State { return j.next }

// Save saves what was noted: the files first, then the state that speaks of them.
func (j *Journal) Save() error {
	j.clean = false
	if !j.onDisk {
		if err := j.makeRoom(); err != nil {
			return err
		}
	}
	if err := j.flush(); err != nil {
		return err
	}
	next := j.next
	for name, file := range j.files.own() {
		next.Files[name] = file.extent()
	}
	for name, r := range j.files.reports() {
		next.Files[name] = r.extent()
	}
	spent := j.spent()
	for name := range spent {
		next.Files[name] = Extent{}
	}
	next.Outstanding = j.records.outstanding()
	if j.quotas != nil {
		next.Quotas = j.quotas()
	}
	if err := next.save(j.names.Path(j.names.State)); err != nil {
		return err
	}
	j.onDisk = true
	j.saved.Store(next)
	j.next = next.clone()
	for _, file := range spent {
		if err := file.cut(Extent{}); err != nil {
			return err
		}
	}
	if err := j.adoptRecords(); err != nil {
		return err
	}
	j.clean = true
	return nil
}

// spent returns the files that are of no use any more. They are emptied once a state says
// so.
func (j *Journal) spent() map[string]*growing {
	spent := make(map[string]*growing)
	if len(j.next.Actions) == 0 {
		spent[filePending] = j.files.pending
	}
	if !j.next.Unfinished() {
		spent[fileProfiles], spent[fileSources] = j.files.profiles, j.files.sources
	}
	return spent
}

// flush writes what was noted to the files.
func (j *Journal) flush() error {
	var syncs errgroup.Group // together, for the disk does them in one go
	f := j.files
	for _, o := range []struct {
		file  *growing
		noted *bytes.Buffer
	}{{f.pending, &j.pending}, {f.profiles, &j.ids}, {f.sources, &j.sources}, {f.records, &j.records.noted}} {
		if err := o.file.write(o.noted.Bytes()); err != nil {
			return errors.Join(err, syncs.Wait())
		}
		o.noted.Reset()
		syncs.Go(o.file.sync)
	}
	for _, r := range []*report{f.withoutIdentifier, f.merged, f.warnings, f.notImported} {
		if err := r.flush(); err != nil {
			return errors.Join(err, syncs.Wait())
		}
		syncs.Go(r.sync)
	}
	return syncs.Wait()
}

// makeRoom prepares the directory for a new import. The files of an older one that was not
// finished are kept under other names. The reports are started anew, unless this import
// starts where an older one stopped.
func (j *Journal) makeRoom() error {
	path := j.names.Path(j.names.State)
	f := j.files
	if _, err := os.Lstat(path); err == nil && (j.old == nil || j.old.Unfinished() || len(j.old.Actions) > 0) {
		for _, o := range f.own() {
			if err := o.copyTo(o.file.Name() + ".bak"); err != nil {
				return err
			}
		}
		for _, r := range []*report{f.withoutIdentifier, f.merged, f.warnings, f.notImported} {
			if err := r.copyTo(r.file.Name() + ".bak"); err != nil {
				return err
			}
		}
		if err := j.keepV1(); err != nil {
			return err
		}
		if err := os.Rename(path, path+".bak"); err != nil {
			return err
		}
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, o := range []*growing{f.pending, f.profiles, f.sources} {
		if err := o.cut(Extent{}); err != nil {
			return err
		}
	}
	var err error
	switch {
	case j.old == nil || j.old.v1 != nil:
		err = f.records.cut(Extent{})
	case !j.old.Unfinished() && len(j.old.Actions) == 0:
		err = j.compactRecords()
	}
	if err != nil {
		return err
	}
	if err := j.removeV1(); err != nil {
		return err
	}
	for _, r := range f.reports() {
		if j.next.From == Beginning {
			err = r.cut(Extent{})
		} else {
			err = r.continueAtEnd()
		}
		if err != nil {
			return err
		}
	}
	// The records, those not yet in the file included, are all in the report now.
	f.notImported.noted.Reset()
	return j.writeNotImported()
}

// writeNotImported writes not-imported.csv from the records, and opens it to go on.
func (j *Journal) writeNotImported() error {
	var b bytes.Buffer
	b.WriteString(notImportedHeader)
	for _, r := range j.records.sorted() {
		notImportedRow(&b, r)
	}
	old := j.files.notImported
	if err := WriteFile(j.names.Path(j.names.NotImported), b.Bytes(), 0o600); err != nil {
		return err
	}
	fresh, err := openReport(j.names.Dir, j.names.NotImported, notImportedHeader)
	if err != nil {
		return err
	}
	j.files.notImported = fresh
	return old.close()
}

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
