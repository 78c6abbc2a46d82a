package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"segsync/importer/mapping"
	"segsync/internal/safetext"
)

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
