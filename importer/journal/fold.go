package journal

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"segsync/importer/outcome"
)

// format changes with every change of the log that an older program would misread.
const format = 1

// fold is what the lines of a log amount to. Everything that an import knows is in it.
type fold struct {
	state    *State
	records  map[string]Record        // what was not imported, by RecordID
	profiles map[hash]outcome.Outcome // of this import, by the hash of their ids
	sent     map[hash]hash            // which profile a source_id was sent with last, by hashes
	merged   map[hash][]int64         // where the profiles are that were merged, by the hash of their source_id
	released []hash                   // hashes of source ids whose profile was not imported
	sending  map[string]bool          // source ids of bulk requests without an answer
	deleted  map[string]string        // customers that are gone, by deletedKey: the list of their deletion, "" once it is finished
	seed     maphash.Seed
}

func newFold() *fold {
	return &fold{
		state: &State{}, records: make(map[string]Record), profiles: make(map[hash]outcome.Outcome),
		sent: make(map[hash]hash), merged: make(map[hash][]int64), sending: make(map[string]bool),
		deleted: make(map[string]string), seed: maphash.MakeSeed(),
	}
}

// Record is a profile that was not imported: one that is outstanding, and is tried again by
// later imports, or one that has vanished.
type Record struct {
	SegmentID string `json:"segment_id"` // "" for customers that Voucherify rejected without naming them
	SourceID  string `json:"source_id,omitempty"`
	outcome.Why
	Outcome  outcome.Outcome `json:"outcome"`           // Sent: sent again since, and not confirmed yet
	First    time.Time       `json:"first"`             // when it was not imported for the first time
	Unnamed  int             `json:"unnamed,omitempty"` // of an async action: how many customers it is about
	Nameless bool            `json:"nameless,omitempty"`

	here    bool // of this import
	retried bool // by this import
	order   int
}

// ID is what the record is known by, see Entry.RecordID.
func (r *Record) ID() string {
	return (&Entry{ID: r.SegmentID, ActionID: r.ActionID}).RecordID()
}

// IsOutstanding reports whether something is to be done about it.
func (r *Record) IsOutstanding() bool { return r.Outcome != outcome.Vanished }

// hash is of an id. Its alignment of one byte makes the maps a fourth smaller.
type hash [8]byte

func (f *fold) hash(id string) (h hash) {
	binary.NativeEndian.PutUint64(h[:], maphash.String(f.seed, id))
	return h
}

// apply takes a line of a log that is read, which stands at this place.
func (f *fold) apply(text []byte, at int64) error {
	if bytes.HasPrefix(text, []byte(entryHead)) {
		e, err := parseEntry(text)
		if err != nil {
			return &DamagedError{Err: err}
		}
		if e.isSend() && !e.Carried {
			f.sent[f.hash(e.SourceID)] = f.hash(e.ID)
		}
		if !f.addEntry(&e, at, at+int64(len(text))) {
			return &DamagedError{Err: fmt.Errorf("the async action %s is unknown", e.ActionID)}
		}
		return nil
	}
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		return &DamagedError{Err: err}
	}
	if at == 0 && l.Import == nil {
		return &DamagedError{Err: fmt.Errorf("expected what the import is about")}
	}
	f.addLine(&l)
	return nil
}

func (f *fold) addLine(l *line) {
	s := f.state
	switch {
	case l.Import != nil:
		s.Import = *l.Import
	case l.Before != nil:
		s.Before = *l.Before
	case l.Began != nil:
		s.Began, s.ClockBehind = l.Began.At, l.Began.Behind
	case l.Action != nil:
		s.Actions = append(s.Actions, *l.Action)
	case l.Verdict != nil:
		f.addVerdict(l.Verdict)
	case l.Sending != nil:
		for _, id := range l.Sending {
			f.sending[id] = true
		}
	case l.Forget != "":
		delete(f.records, l.Forget)
	case l.Finished != nil:
		f.finish(*l.Finished)
	case l.Deletion != nil:
		f.addDeletion(l.Deletion)
	case l.DeletionFinished != "":
		f.finishDeletion(l.DeletionFinished)
	case l.DeletedBefore != "":
		f.deleted[l.DeletedBefore] = ""
	case l.Commit != nil:
		s.Position, s.Saved = l.Commit.At, l.Commit.Time
		if l.Commit.Quotas != nil {
			s.Quotas = l.Commit.Quotas
		}
	}
}

// isSend reports whether the source_id is the profile's from here on. A verdict changes nothing of that.
func (e *Entry) isSend() bool {
	switch e.Outcome {
	case outcome.Sent, outcome.Unchanged, outcome.WouldSend:
		return true
	}
	return e.Outcome == outcome.Confirmed && e.ActionID == ""
}

// addEntry takes a line about a profile that stands between two places of the log. It reports
// whether the async action of the profile is known.
func (f *fold) addEntry(e *Entry, from, to int64) bool {
	s := f.state
	if e.Outcome == outcome.None {
		return true // carried for its warnings
	}
	if e.ID != "" && !e.Carried {
		key := f.hash(e.ID)
		was := f.profiles[key]
		f.profiles[key] = e.Outcome
		s.Counts.by[was]--
		s.Counts.by[e.Outcome]++
		if e.Outcome == outcome.Unconfirmed {
			s.Finished = time.Time{} // there is something to do again
		}
		if was == outcome.None && e.Late {
			s.Details.Late++
		}
		if was == outcome.None || was == outcome.Unreadable {
			first, _, _ := strings.Cut(s.Identifier, ",")
			s.Details.addDetails(e, first)
		}
	}
	if e.Outcome == outcome.Sent {
		a := s.action(e.ActionID)
		if a == nil {
			return false
		}
		if a.Customers == 0 {
			a.from = from
		}
		a.Customers++
		a.to = to
		a.Open = a.Customers < a.Sent
		if !a.Carried {
			s.Counts.open++
		}
	}
	if e.SourceID != "" {
		f.addClaim(e, from)
	}
	if e.Outcome == outcome.Sent || e.Outcome == outcome.Confirmed || e.Outcome == outcome.Rejected {
		delete(f.sending, e.SourceID)
	}
	if !e.Carried && (e.Outcome == outcome.Sent || e.Outcome == outcome.Confirmed) && !s.DryRun {
		f.recreate(e.SourceID)
		if s.Before.Sender == nil || s.Before.Sender.Identity != s.Identity {
			s.Before.Sender = &Sender{s.Identity, s.Started}
		}
	}
	f.addRecord(e)
	return true
}

// addClaim keeps account of who a source_id was sent with, and who was merged into that profile.
func (f *fold) addClaim(e *Entry, from int64) {
	key, id := f.hash(e.SourceID), f.hash(e.ID)
	by, isClaimed := f.sent[key]
	switch {
	case e.isSend():
		if !isClaimed && !e.Carried {
			f.sent[key] = id
		}
	case e.Outcome == outcome.Merged:
		f.merged[key] = append(f.merged[key], from)
		if !isClaimed && !e.Carried { // its winner ended before it, or is sent after it
			f.released = append(f.released, key)
		}
	case e.Outcome == outcome.Confirmed: // by a verdict
	case e.Outcome == outcome.Unconfirmed && e.Reason == winnerNotImported:
		delete(f.merged, key)
	case !isClaimed || by == id:
		delete(f.sent, key)
		if len(f.merged[key]) > 0 {
			f.released = append(f.released, key)
		}
	}
}

// takeReleased returns the profiles that were merged into one that was not imported, as such that are
// to be sent themselves. l is the log that was folded.
func (f *fold) takeReleased(l *log) ([]Entry, error) {
	var all []Entry
	for _, key := range f.released {
		if _, isClaimed := f.sent[key]; isClaimed {
			continue // another one was sent with the source_id
		}
		for _, at := range f.merged[key] {
			e, err := l.entryAt(at)
			if err != nil {
				return nil, err
			}
			if now, read := f.profiles[f.hash(e.ID)]; read && now != outcome.Merged {
				continue // it has another outcome since
			}
			all = append(all, Entry{ID: e.ID, SourceID: e.SourceID, Outcome: outcome.Unconfirmed, Reason: winnerNotImported, Carried: e.Carried,
				Detail: "another profile with this source_id was sent instead, and was not imported"})
		}
		delete(f.merged, key)
	}
	f.released = nil
	return all, nil
}

// addRecord keeps, changes or removes the record of a profile.
func (f *fold) addRecord(e *Entry) {
	id := e.RecordID()
	known, isKnown := f.records[id]
	switch {
	case e.Outcome.IsOutstanding() || e.Outcome == outcome.Vanished:
		r := Record{
			SegmentID: e.ID, SourceID: e.SourceID, Outcome: e.Outcome, First: e.First, Unnamed: e.Unnamed, Nameless: e.Nameless,
			Why:  outcome.Why{Reason: e.Reason, Detail: e.Detail, ActionID: e.ActionID, RequestID: e.RequestID},
			here: !e.Carried, retried: e.Retry, order: len(f.records),
		}
		if isKnown {
			r.order = known.order
			if known.Outcome != outcome.Vanished { // else it is read again: it was not believed to be gone
				r.retried = known.retried || e.Retry
			}
			if known.IsOutstanding() {
				r.First = known.First
			}
		}
		f.records[id] = r
	case e.Outcome == outcome.Sent && isKnown && known.IsOutstanding():
		known.Outcome, known.here, known.retried = outcome.Sent, true, true
		f.records[id] = known
	case isKnown:
		delete(f.records, id)
	}
}

// addVerdict ends an async action.
func (f *fold) addVerdict(v *verdictLine) {
	s := f.state
	for i, a := range s.Actions {
		if a.ID != v.ActionID {
			continue
		}
		if !a.Carried {
			s.Counts.open -= a.Customers
			s.Counts.unnamed += v.Unnamed
		}
		s.Actions = slices.Delete(s.Actions, i, i+1)
		return
	}
}

// finish ends the import. What began after the last finished one left a gap, which the next
// import of what changed must not pass over. A space that looked empty is nothing to go on from.
func (f *fold) finish(at time.Time) {
	s := f.state
	s.Finished = at
	s.Before.Ended, s.Before.Position = at, s.Position
	gap := !s.Since.IsZero() && s.Since.After(s.Before.Began)
	if (s.Counts.Read() > 0 || !s.Since.IsZero()) && s.From == "" && s.Input == "" && !gap {
		s.Before.Began, s.Before.ClockBehind, s.Before.Mapping = s.Began, s.ClockBehind, s.Mapping
	}
}

// outstanding says how many records are outstanding.
func (f *fold) outstanding() Outstanding {
	var o Outstanding
	for _, r := range f.records {
		if !r.IsOutstanding() {
			continue
		}
		o.Count += max(r.Unnamed, 1)
		if o.Oldest.IsZero() || r.First.Before(o.Oldest) {
			o.Oldest = r.First
		}
	}
	return o
}

// sortedRecords returns all records, the oldest first.
func (f *fold) sortedRecords() []Record {
	all := make([]Record, 0, len(f.records))
	for _, r := range f.records {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b Record) int {
		return cmp.Or(a.First.Compare(b.First), cmp.Compare(a.order, b.order), cmp.Compare(a.ID(), b.ID()))
	})
	return all
}
