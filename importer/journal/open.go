package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"segsync/importer/source"
)

// ClockMargin is how far our clock may be ahead of the source's.
const ClockMargin = time.Minute

// Mode says how to begin.
type Mode int

const (
	// StartNew begins a new import; a log that cannot be used is an error.
	StartNew Mode = iota
	// Discard begins a new import, also in place of an unfinished or damaged one.
	Discard
	// StartAtOffset continues the unfinished import if it stopped at the offset, else begins
	// there, like Discard.
	StartAtOffset
	// Resume continues the import if it has work left (see Start.HasWorkLeft), else begins a new
	// one, like StartNew.
	Resume
	// ContinueAny continues the import of the directory, finished or not.
	ContinueAny
)

// Start says what import to begin or to continue.
type Start struct {
	Identity Identity
	Mode     Mode
	Offset   string    // where a new import begins, "" for the beginning
	Since    time.Time // a new one takes only what was active after this; zero: everything
	// SinceLast sets Since to the start of the last finished import in Basis, or in this log if that is
	// empty. Everything is imported if there is none, or if the mapping changed and KeepSince is false.
	SinceLast bool
	KeepSince bool
	Basis     Names
	Confirm   bool // the status of the customers sent is checked
	Flags     string
	DryRun    bool
	// AnySender lets the import send customers although the last one in the directory used another
	// identifier, or another project. Others are the other logs of the directory.
	AnySender bool
	Others    []Names
	// WarnValues writes the values that could not be used to the report of warnings.
	WarnValues  bool
	KeepHistory int // logs of earlier imports
}

// Opened says what Open found.
type Opened struct {
	Continued  bool   // an import goes on; else a new one begins
	Unfinished *State // that a new import takes the place of, with something left to do, or nil
	Damaged    error  // why the log on the disk could not be used, where a new import begins nevertheless
	NoBasis    bool   // SinceLast was asked for, and there is no finished import
	// OtherSource says that the last import had another source, whose next SinceLast finds no basis.
	OtherSource bool
	// MappingChanged says that SinceLast imports everything, because the mapping is another one.
	MappingChanged bool
	// Quotas are those that the last import in the directory knew, if it was into the same
	// Voucherify project.
	Quotas map[string]Quota
}

// NoImportError says that there is no import to continue.
type NoImportError struct{ Dir string }

func (e *NoImportError) Error() string { return "there is no import in " + e.Dir }

// OtherError says that the import in the directory is about something else.
type OtherError struct {
	Dir         string
	Differences string // in words
}

func (e *OtherError) Error() string {
	return fmt.Sprintf("the import in %s is about something else: the settings now have %s", e.Dir, e.Differences)
}

// SenderError says that the last import in the directory sent customers under another identifier or
// to another project. A source_id is permanent: they would all be created a second time.
type SenderError struct {
	Dir     string
	Last    Identity
	Project bool // the project is another one; else the identifier
}

func (e *SenderError) Error() string {
	if e.Project {
		return fmt.Sprintf("the last import in %s went to another Voucherify project", e.Dir)
	}
	return fmt.Sprintf("the last import in %s used %s as source_id", e.Dir, e.Last.Identifier)
}

// Load returns the state of the import of the directory, or nil if there is none. It changes
// nothing, and needs no lock: of an import that runs it returns what was saved last. The errors
// are *DamagedError and those of reading.
func Load(names Names) (*State, error) {
	f, _, err := load(names)
	if err != nil || f == nil {
		return nil, err
	}
	s := f.state
	s.Outstanding = f.outstanding()
	return s, nil
}

// load reads a log, and returns what it amounts to and where its last commit ends; nil if there
// is no log.
func load(names Names) (*fold, int64, error) {
	path := names.LogPath()
	if info, err := os.Lstat(filepath.Dir(path)); err == nil && !info.IsDir() {
		return nil, 0, &NotRegularError{filepath.Dir(path), "folder"}
	}
	file, err := openRegular(path, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	defer file.Close()
	if err := checkFormat(path, file); err != nil {
		return nil, 0, err
	}
	f := newFold()
	end, err := scan(path, file, f.apply)
	if err == nil && end == 0 {
		err = &DamagedError{Path: path, Err: errors.New("it has no commit")}
	}
	return f, end, err
}

// checkFormat returns an error if a newer program wrote the log.
func checkFormat(path string, file *os.File) error {
	var first line
	err := json.NewDecoder(io.NewSectionReader(file, 0, 1<<16)).Decode(&first)
	if err != nil || first.Import == nil || first.Import.Format <= format {
		return nil // what else is wrong, scan says
	}
	return &DamagedError{Path: path, Newer: true, Err: fmt.Errorf("a newer segsync wrote it (format %d; this one knows %d)", first.Import.Format, format)}
}

// LastSender returns the last import of the directory that sent a customer, or nil. Its errors are those
// of Load: a log that cannot be read may be of an import under another identifier.
func LastSender(all ...Names) (last *Sender, err error) {
	for _, names := range all {
		s, err := Load(names)
		if err != nil {
			return nil, err
		}
		if s == nil || s.Before.Sender == nil {
			continue
		}
		if last == nil || s.Before.Sender.At.After(last.At) {
			last = s.Before.Sender
		}
	}
	return last, nil
}

// CheckSender returns a *SenderError if the import would send the customers of the last one to
// another project, or a second time under another source_id.
func CheckSender(dir string, last *Sender, id Identity) error {
	switch {
	case last == nil:
		return nil
	case !last.isSameProject(id):
		return &SenderError{Dir: dir, Last: last.Identity, Project: true}
	case last.Identifier != id.Identifier:
		return &SenderError{Dir: dir, Last: last.Identity}
	}
	return nil
}

// Open chooses between the log on the disk and a new import. It writes nothing. The errors
// are *DamagedError, *NoImportError, *OtherError, *SenderError, and those of reading.
func Open(names Names, s Start) (*Journal, *Opened, error) {
	j := &Journal{names: names, warnValues: s.WarnValues, keepHistory: s.KeepHistory}
	opened := new(Opened)
	old, end, err := load(names)
	force := s.Mode == Discard || s.Mode == StartAtOffset
	if damaged, ok := errors.AsType[*DamagedError](err); ok && force {
		opened.Damaged, j.oldFile, old = damaged, true, nil
	} else if err != nil {
		return nil, nil, err
	}
	if old != nil {
		j.oldFile = true
		if old.state.isSameProject(s.Identity) {
			opened.Quotas = old.state.Quotas
		}
	}
	switch {
	case old == nil && s.Mode == ContinueAny:
		return nil, nil, &NoImportError{names.Dir}
	case old != nil && s.continues(old.state):
		if d := old.state.Differences(s.Identity); d != "" {
			return nil, nil, &OtherError{names.Dir, d}
		}
		j.fold, j.onDisk, j.oldFile, opened.Continued = old, true, false, true
		j.log.size = end
		j.publish()
		return j, opened, nil
	case old != nil && old.state.IsUnfinished():
		old.state.Outstanding = old.outstanding()
		opened.Unfinished = old.state
	}
	if !s.AnySender {
		all := slices.DeleteFunc(append(slices.Clone(s.Others), names), func(n Names) bool {
			return opened.Damaged != nil && n == names // it was to be replaced all the same
		})
		last, err := LastSender(all...)
		if err == nil {
			err = CheckSender(names.Dir, last, s.Identity)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	j.old, j.oldSize = old, end
	j.fold = newFold()
	j.fold.state, err = s.newState(old, opened)
	if err != nil {
		return nil, nil, err
	}
	j.publish()
	return j, opened, nil
}

// continues reports whether the import on the disk is the one to go on with.
func (s *Start) continues(old *State) bool {
	switch s.Mode {
	case ContinueAny:
		return true
	case Resume:
		return s.HasWorkLeft(old)
	case StartAtOffset:
		at := old.Position
		return old.IsUnfinished() && s.Offset != "" && old.Since.IsZero() && !at.Tail && !at.Done &&
			at.At == s.Offset && old.Identity == s.Identity
	}
	return false
}

// HasWorkLeft reports whether the import is not finished, or was finished without checking the status of
// its customers.
func (s *Start) HasWorkLeft(old *State) bool {
	return old.IsUnfinished() || s.Confirm && len(old.Actions) > 0
}

// newState returns the state of a new import, after an older one in the same directory or nil.
func (s *Start) newState(old *fold, opened *Opened) (*State, error) {
	now := time.Now().UTC()
	state := &State{Import: Import{Format: format, Identity: s.Identity, Started: now, DryRun: s.DryRun, From: s.Offset, Flags: s.Flags}}
	if s.Offset != "" {
		state.Position = source.Position{At: s.Offset}
	}
	var basis *State
	if old != nil {
		basis = old.state
	}
	if s.Basis != (Names{}) {
		var err error
		if basis, err = Load(s.Basis); err != nil && s.SinceLast {
			return nil, err
		}
	}
	if basis != nil {
		state.Before.Sender, state.Before.Earlier = basis.Before.Sender, basis.Before.Earlier
		if basis.isSameSource(s.Identity) {
			state.Before = basis.Before
		} else {
			opened.OtherSource = !basis.Before.Began.IsZero()
		}
	}
	last := state.Before
	switch {
	case s.SinceLast && last.Began.IsZero():
		opened.NoBasis = true
	case s.SinceLast && last.Mapping != s.Identity.Mapping && !s.KeepSince:
		opened.MappingChanged = true
	case s.SinceLast:
		state.Since = last.Began.Add(-ClockMargin)
	case !s.Since.IsZero():
		state.Since = s.Since.Add(-ClockMargin)
	}
	return state, nil
}
