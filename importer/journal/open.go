package journal

import (
	"errors"
	"fmt"
	"time"
)

// ClockMargin is how far our clock may be ahead of the source's.
const ClockMargin = time.Minute

// Mode says how to begin.
type Mode int

const (
	// Plain begins a new import; a state that cannot be used is an error.
	Plain Mode = iota
	// Anew begins a new import, whatever is in the directory.
	Anew
	// At continues the unfinished import if it stopped at the offset, else begins there,
	// like Anew.
	At
	// Resume continues the import that something is left to do of (see Start.LeftOf);
	// without one it begins a new one, like Plain.
	Resume
	// Existing continues the import of the directory, finished or not.
	Existing
)

// Start says what import to begin or to continue.
type Start struct {
	Identity Identity
	Mode     Mode
	Offset   string    // where a new import begins
	Since    time.Time // a new one takes only what was active after this; zero: everything
	// SinceLast means the start of the last finished import as Since; everything, if there
	// is none. Basis has that import's state.
	SinceLast bool
	Basis     Names
	// Confirm says that what became of the customers sent is found out.
	Confirm bool
	// WarnValues writes the values that could not be used to the report of warnings.
	WarnValues bool
}

// Opened says what Open found.
type Opened struct {
	Continued  bool   // an import goes on; else a new one begins
	Unfinished *State // that a new import takes the place of, with something left to do, or nil
	Damaged    error  // why the state on the disk could not be used, where a new import begins nevertheless
	NoBasis    bool   // SinceLast was asked for, and there is no finished import
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

// Open chooses between the state on the disk and a new one. It writes nothing. The errors
// are DamagedError, NoImportError, OtherError, and those of reading.
func Open(names Names, s Start) (*Journal, *Opened, error) {
	j := &Journal{names: names, force: s.Mode == Anew || s.Mode == At, warnValues: s.WarnValues}
	opened := new(Opened)
	old, err := Load(names)
	if old != nil && old.sameProject(s.Identity) {
		opened.Quotas = old.Quotas
	}
	var unusable *DamagedError
	switch {
	case errors.As(err, &unusable) && j.force:
		opened.Damaged = err
	case err != nil:
		return nil, nil, err
	case old == nil && s.Mode == Existing:
		return nil, nil, &NoImportError{names.Dir}
	case old != nil && s.continues(old):
		if d := old.Differences(s.Identity); d != "" {
			return nil, nil, &OtherError{names.Dir, d}
		}
		j.onDisk, opened.Continued = true, true
		j.saved.Store(old)
		return j, opened, nil
	case old != nil && s.LeftOf(old):
		opened.Unfinished = old
	}
	j.old = old
	state, err := s.newState(old, opened)
	if err != nil {
		return nil, nil, err
	}
	j.saved.Store(state)
	return j, opened, nil
}

// continues reports whether the state on the disk is the one to go on from.
func (s *Start) continues(old *State) bool {
	switch s.Mode {
	case Existing:
		return true
	case Resume:
		return s.LeftOf(old)
	case At:
		at := old.Position
		return old.Unfinished() && s.Offset != Beginning && old.Since.IsZero() && at.Pass == 0 && !at.Done &&
			at.Offset == s.Offset && old.Identity == s.Identity
	}
	return false
}

// LeftOf reports whether something is left to do of the import: it is not finished, or it was
// finished without finding out what became of its customers.
func (s *Start) LeftOf(old *State) bool {
	return old.Unfinished() || s.Confirm && len(old.Actions) > 0
}

// newState returns the state of a new import, after an older one in the same directory or
// nil.
func (s *Start) newState(old *State, opened *Opened) (*State, error) {
	state := NewState(s.Identity, s.Offset)
	basis := old
	if s.Basis != (Names{}) {
		var err error
		if basis, err = Load(s.Basis); err != nil && s.SinceLast {
			return nil, err
		}
	}
	known := basis != nil && basis.Identity == s.Identity
	if known {
		state.Last = basis.Last
	}
	switch {
	case s.SinceLast && state.Last.Started.IsZero():
		opened.NoBasis = true
	case s.SinceLast:
		state.Since = state.Last.Started.Add(-ClockMargin)
	case !s.Since.IsZero():
		state.Since = s.Since.Add(-ClockMargin)
	}
	if known && !state.Since.IsZero() { // the list can be in order where an import begins, and not behind it
		state.Position.Unordered, state.Position.Undated = basis.Position.Unordered, basis.Position.Undated
	}
	return state, nil
}
