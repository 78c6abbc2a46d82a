package journal

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"time"

	"segsync/importer/outcome"
)

// format is raised when an older program would misread the log.
const format = 1

// fold is what the lines of a log add up to. Everything that an import knows is in it.
type fold struct {
	state    *State
	records  map[string]*Entry        // profiles that were not imported, by Entry.ID
	profiles map[hash]outcome.Outcome // of this import, by the hash of their ids
	sent     map[hash]hash            // which profile a source_id was sent with last, by hashes
	merged   map[hash][]int64         // offsets in the log of merged profiles, by the hash of their source_id
	released []hash                   // source ids whose profile was not imported
	sending  map[string]bool          // source ids of bulk requests without an answer
	deleted  map[string]string        // customers that are gone, by deletedKey: the list of their deletion, "" once it is finished
	seed     maphash.Seed
}

func newFold() *fold {
	return &fold{
		state: &State{}, records: make(map[string]*Entry), profiles: make(map[hash]outcome.Outcome),
		sent: make(map[hash]hash), merged: make(map[hash][]int64), sending: make(map[string]bool),
		deleted: make(map[string]string), seed: maphash.MakeSeed(),
	}
}

// hash is the hash of an id. As bytes, it makes the maps a quarter smaller than a uint64.
type hash [8]byte

func (f *fold) hash(id string) (h hash) {
	binary.NativeEndian.PutUint64(h[:], maphash.String(f.seed, id))
	return h
}

// apply adds a line at this offset of the log.
func (f *fold) apply(text []byte, at int64) error {
	l, err := parseLine(text)
	switch {
	case err != nil:
		return &DamagedError{Err: err}
	case at == 0 && l.Import == nil:
		return &DamagedError{Err: errors.New("expected the identity of the import")}
	case l.Entry == nil:
		if !f.addLine(&l) {
			return &DamagedError{Err: errors.New("unknown kind of line")}
		}
		return nil
	}
	if l.isSend() && !l.Carried {
		f.sent[f.hash(l.SourceID)] = f.hash(l.SegmentID)
	}
	if !f.addEntry(l.Entry, at, at+int64(len(text))) {
		return &DamagedError{Err: fmt.Errorf("the async action %s is unknown", l.ActionID)}
	}
	return nil
}

// addLine adds a line that is not about a profile. It reports whether its kind is known.
func (f *fold) addLine(l *line) bool {
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
		f.endAction(l.Verdict)
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
	case l.DeletionBegan != nil:
		s.Deletion = l.DeletionBegan
	case l.DeletionFinished != "":
		f.finishDeletion(l.DeletionFinished)
	case l.DeletedBefore != nil:
		for _, key := range l.DeletedBefore {
			f.deleted[key] = ""
		}
	case l.Commit != nil:
		s.Position, s.Saved = l.Commit.At, l.Commit.Time
		if l.Commit.Quotas != nil {
			s.Quotas = l.Commit.Quotas
		}
	default:
		return false
	}
	return true
}

// isSend reports whether the line assigns the source_id to the profile. A verdict does not.
func (e *Entry) isSend() bool {
	switch e.Outcome {
	case outcome.Sent, outcome.Unchanged, outcome.WouldSend:
		return true
	}
	return e.Outcome == outcome.Confirmed && e.ActionID == ""
}

// isUnsent reports whether the customer was rejected before it was sent.
func (e *Entry) isUnsent() bool {
	return e.Outcome == outcome.Rejected && e.Reason == outcome.MetadataRequired
}

// addEntry adds a line about a profile, between two offsets of the log. It reports whether the async action
// of the profile is known.
func (f *fold) addEntry(e *Entry, from, to int64) bool {
	s := f.state
	if e.Outcome == outcome.None {
		return true // carried for its warnings
	}
	if e.SegmentID != "" && !e.Carried {
		f.countEntry(e)
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
		f.trackSender(e, from)
	}
	if e.Outcome == outcome.Sent || e.Outcome == outcome.Confirmed || e.Outcome == outcome.Rejected {
		delete(f.sending, e.SourceID)
	}
	if !e.Carried && (e.Outcome == outcome.Sent || e.Outcome == outcome.Confirmed) && !s.DryRun {
		f.recreate(e.SourceID)
		f.setSender()
	}
	f.addRecord(e)
	return true
}

// setSender notes that this import has sent a customer.
func (f *fold) setSender() {
	s := f.state
	last := s.Before.Sender
	if last != nil && last.Identity == s.Identity && last.At.Equal(s.Started) {
		return
	}
	isLikeLast := func(id Identity) bool { return id.isSameTarget(last.Identity) && id.Identifier == last.Identifier }
	if last != nil && !isLikeLast(s.Identity) && !slices.ContainsFunc(s.Before.Earlier, isLikeLast) {
		s.Before.Earlier = append(slices.Clip(s.Before.Earlier), last.Identity)
	}
	s.Before.Sender = &Sender{s.Identity, s.Started}
}

// countEntry counts a profile of this import by its new outcome.
func (f *fold) countEntry(e *Entry) {
	s, key := f.state, f.hash(e.SegmentID)
	was := f.profiles[key]
	f.profiles[key] = e.Outcome
	s.Counts.by[was]--
	s.Counts.by[e.Outcome]++
	if old := f.records[e.ID()]; old != nil && !old.Carried && old.isUnsent() {
		s.Counts.unsent--
	}
	if e.isUnsent() {
		s.Counts.unsent++
	}
	if e.Outcome == outcome.Unconfirmed {
		s.Finished = time.Time{} // it is to be sent again
	}
	if was == outcome.None && e.Late {
		s.Details.Late++
	}
	if was == outcome.None || was == outcome.Unreadable {
		first, _, _ := strings.Cut(s.Identifier, ",")
		s.Details.add(e, cmp.Or(e.By, first))
	}
}

// trackSender notes which profile a source_id was sent with, and which ones were merged into that profile.
func (f *fold) trackSender(e *Entry, from int64) {
	key, id := f.hash(e.SourceID), f.hash(e.SegmentID)
	sender, isSent := f.sent[key]
	switch {
	case e.isSend():
		if !isSent && !e.Carried {
			f.sent[key] = id
		}
	case e.Outcome == outcome.Merged:
		f.merged[key] = append(f.merged[key], from)
		if !isSent && !e.Carried { // its winner ended before it, or is sent after it
			f.released = append(f.released, key)
		}
	case e.Outcome == outcome.Confirmed: // by a verdict
	case e.Outcome == outcome.Unconfirmed && e.Reason == winnerNotImported:
		delete(f.merged, key)
	case !isSent || sender == id:
		delete(f.sent, key)
		if len(f.merged[key]) > 0 {
			f.released = append(f.released, key)
		}
	}
}

// takeReleased returns new entries for merged profiles whose winner was not imported: they are to be sent
// themselves. l is the log that was folded.
func (f *fold) takeReleased(l *log) ([]Entry, error) {
	var all []Entry
	for _, key := range f.released {
		if _, isSent := f.sent[key]; isSent {
			continue // another one was sent with the source_id
		}
		for _, at := range f.merged[key] {
			e, err := l.entryAt(at)
			if err != nil {
				return nil, err
			}
			if now, isRead := f.profiles[f.hash(e.SegmentID)]; isRead && now != outcome.Merged {
				continue // it has another outcome since
			}
			all = append(all, Entry{
				SegmentID: e.SegmentID, SourceID: e.SourceID, Outcome: outcome.Unconfirmed, Carried: e.Carried,
				Why: outcome.Why{Reason: winnerNotImported, Detail: "another profile with this source_id was sent instead, and was not imported"},
			})
		}
		delete(f.merged, key)
	}
	f.released = nil
	return all, nil
}

// addRecord keeps, changes or removes the record of a profile.
func (f *fold) addRecord(e *Entry) {
	id := e.ID()
	known := f.records[id]
	switch {
	case e.Outcome.IsOutstanding() || e.Outcome == outcome.Vanished:
		r := &Entry{
			SegmentID: e.SegmentID, Outcome: e.Outcome, SourceID: e.SourceID, Why: e.Why, First: e.First, Retry: e.Retry,
			Carried: e.Carried, Nameless: e.Nameless, Unnamed: e.Unnamed, order: len(f.records),
		}
		if known != nil {
			r.order = known.order
		}
		if known != nil && known.Outcome != outcome.Vanished { // else the source was not believed, and it is read again
			r.First, r.Retry = known.First, known.Retry || e.Retry
		}
		f.records[id] = r
	case known == nil:
	case e.Outcome == outcome.Sent && known.Outcome != outcome.Vanished:
		known.Outcome, known.Carried, known.Retry = outcome.Sent, false, true
	default:
		delete(f.records, id)
	}
}

// endAction counts the customers of an async action that has ended.
func (f *fold) endAction(v *verdictLine) {
	s := f.state
	i := slices.IndexFunc(s.Actions, func(a Action) bool { return a.ID == v.ActionID })
	if i < 0 {
		return
	}
	if a := s.Actions[i]; !a.Carried {
		s.Counts.open -= a.Customers
		s.Counts.unnamed += v.Unnamed
	}
	s.Actions = slices.Delete(s.Actions, i, i+1)
}

// finish ends the import. The next --since last goes on from it, unless it left out changes since the
// finished one before, or found the space empty.
func (f *fold) finish(at time.Time) {
	s := f.state
	s.Finished = at
	s.Before.Ended, s.Before.Position = at, s.Position
	gap := !s.Since.IsZero() && s.Since.After(s.Before.Began)
	if (s.Counts.Read() > 0 || !s.Since.IsZero()) && s.From == "" && s.Input == "" && !gap {
		s.Before.Began, s.Before.ClockBehind, s.Before.Mapping = s.Began, s.ClockBehind, s.Mapping
	}
}

// outstandingRecords returns the records of profiles that are still to be imported, the oldest first.
func (f *fold) outstandingRecords() []Entry {
	var all []Entry
	for _, r := range f.sortedRecords() {
		if r.Outcome != outcome.Vanished {
			all = append(all, *r)
		}
	}
	return all
}

// outstanding counts the profiles that are still to be imported.
func (f *fold) outstanding() (o Outstanding) {
	for _, r := range f.records {
		if r.Outcome == outcome.Vanished {
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
func (f *fold) sortedRecords() []*Entry {
	return slices.SortedFunc(maps.Values(f.records), func(a, b *Entry) int {
		return cmp.Or(a.First.Compare(b.First), cmp.Compare(a.order, b.order), cmp.Compare(a.ID(), b.ID()))
	})
}
