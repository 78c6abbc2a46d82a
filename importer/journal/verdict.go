package journal

import (
	"errors"
	"fmt"
	"time"

	"segsync/importer/outcome"
	"segsync/importer/sink"
)

// AddVerdict notes that an async action has ended: its customers are confirmed, but for the rejected
// ones. Those of a failed action are to be sent again, once. It returns the entries of those that
// are not confirmed.
func (j *Journal) AddVerdict(v sink.Verdict) ([]Entry, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	a := j.fold.state.action(v.ActionID)
	if a == nil {
		return nil, fmt.Errorf("a verdict on the unknown async action %s", v.ActionID)
	}
	action, ended := *a, verdictLine{ActionID: v.ActionID, RequestID: v.RequestID, Time: time.Now().UTC(), Failed: v.Failed != ""}
	var entries, notConfirmed []Entry
	if v.Failed != "" || len(v.Rejected) > 0 || v.Unnamed > 0 || j.hasSentAgain() {
		customers, err := j.log.customersOf(action)
		if err != nil {
			return nil, err
		}
		entries, ended.Unnamed = j.verdictEntries(action, v, customers)
	}
	for i := range entries {
		if err := j.addEntry(&entries[i]); err != nil {
			return nil, err
		}
		if entries[i].Outcome != outcome.Confirmed {
			notConfirmed = append(notConfirmed, entries[i])
		}
	}
	return notConfirmed, j.addLine(line{Verdict: &ended})
}

// verdictEntries returns the entries of the customers of an action that are not simply confirmed, and how
// many were rejected without being named.
func (j *Journal) verdictEntries(a Action, v sink.Verdict, customers []Entry) (entries []Entry, unnamed int) {
	add := func(c Entry, o outcome.Outcome, reason, detail string) {
		why := outcome.Why{Reason: reason, Detail: detail, ActionID: a.ID, RequestID: v.RequestID}
		entries = append(entries, Entry{SegmentID: c.SegmentID, Outcome: o, SourceID: c.SourceID, Why: why, Carried: c.Carried, Unnamed: c.Unnamed})
	}
	if v.Failed != "" {
		for _, c := range customers {
			if r, known := j.fold.records[c.SegmentID]; known && r.Reason == actionFailed {
				add(c, outcome.Rejected, actionFailed, "the async action failed twice: "+v.Failed)
			} else {
				add(c, outcome.Unconfirmed, actionFailed, "the async action failed: "+v.Failed)
			}
		}
		return entries, 0
	}
	var rest []Entry
	for _, c := range customers {
		if why, ok := v.Rejected[c.SourceID]; ok {
			add(c, outcome.Rejected, why.Reason, why.Detail)
		} else {
			rest = append(rest, c)
		}
	}
	if a.Customers == a.Sent { // else those named may be of a page that is sent again
		unnamed = len(v.Rejected) - len(entries)
	}
	switch unnamed = min(unnamed+v.Unnamed, len(rest)); {
	case unnamed == 0:
		for _, c := range rest {
			if r, known := j.fold.records[c.SegmentID]; known && r.Outcome == outcome.Sent {
				add(c, outcome.Confirmed, "", "")
			}
		}
	case unnamed == len(rest): // then it is clear which
		for _, c := range rest {
			add(c, outcome.Rejected, "not_named", "Voucherify rejected this customer without saying why")
		}
		return entries, 0
	default:
		add(Entry{Unnamed: unnamed, Carried: a.Carried}, outcome.Rejected, "not_named",
			fmt.Sprintf("one of %d customers that were rejected without their names, of the %d in this async action", unnamed, a.Customers))
	}
	return entries, unnamed
}

// Reasons of profiles that are to be sent again: their async action failed, or the profile that they
// were merged into was not imported.
const (
	actionFailed      = "action_failed"
	winnerNotImported = "winner_not_imported"
)

// hasSentAgain reports whether a record was sent again and not confirmed yet.
func (j *Journal) hasSentAgain() bool {
	for _, r := range j.fold.records {
		if r.Outcome == outcome.Sent {
			return true
		}
	}
	return false
}

// Retries returns the ids of the profiles that are to be read again now, the oldest first: those
// that imports before this one could not import, if earlier is true and this one has not read
// them, and those of this import that could not be read, or whose async action failed. Each is
// returned once, unless it fails again for a reason that is not its own.
func (j *Journal) Retries(earlier bool) []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var ids []string
	for _, r := range j.fold.sortedRecords() {
		if r.SegmentID == "" || r.Nameless || !r.Outcome.IsOutstanding() {
			continue
		}
		_, isRead := j.fold.profiles[j.fold.hash(r.SegmentID)]
		resend := r.Outcome == outcome.Unconfirmed && (!r.Carried || isRead || r.Reason == actionFailed || r.Reason == winnerNotImported)
		reread := r.Outcome == outcome.Unreadable && !r.Carried && !r.Retry || earlier && r.Carried && !isRead
		if !resend && (!reread || j.retried[r.SegmentID]) {
			continue
		}
		j.retried[r.SegmentID] = true
		ids = append(ids, r.SegmentID)
	}
	return ids
}

// GiveUp makes the profiles that were to be sent again, and could not be, outstanding for the next
// import.
func (j *Journal) GiveUp(why string) error {
	return j.changeRecords(outcome.Unconfirmed, func(e *Entry) { e.Outcome, e.Detail = outcome.Rejected, why })
}

// MarkVanishedUnreadable makes the profiles outstanding that this import found vanished: the source
// answered so for too many of them to be believed.
func (j *Journal) MarkVanishedUnreadable() error {
	return j.changeRecords(outcome.Vanished, func(e *Entry) { e.Outcome, e.Retry = outcome.Unreadable, false })
}

// changeRecords changes the records of this import with the outcome.
func (j *Journal) changeRecords(o outcome.Outcome, change func(*Entry)) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, r := range j.fold.sortedRecords() {
		if r.Outcome != o || r.Carried {
			continue
		}
		e := *r
		change(&e)
		if err := j.addEntry(&e); err != nil {
			return err
		}
	}
	return j.commit(true)
}

// ReadOutstanding returns the outstanding records of the directory's import, the oldest first,
// and its state. It changes nothing, and needs no lock. The errors are
// *NoImportError, *DamagedError, and those of reading.
func ReadOutstanding(names Names) ([]Entry, *State, error) {
	f, _, err := load(names)
	if err != nil {
		return nil, nil, err
	}
	if f == nil {
		return nil, nil, &NoImportError{names.Dir}
	}
	f.state.Outstanding = f.outstanding()
	records := f.outstandingRecords()
	for i := range records {
		records[i].Carried, records[i].Retry = false, false
	}
	return records, f.state, nil
}

// OpenLast opens the last import of the directory, to add to its log what is no part of an import. The
// caller must hold the Lock of the directory, and Close it. The errors are those of ReadOutstanding.
func OpenLast(names Names) (*Journal, *Opened, error) {
	state, err := Load(names)
	if err == nil && state == nil {
		err = &NoImportError{names.Dir}
	}
	if err != nil {
		return nil, nil, err
	}
	j, opened, err := Open(names, Start{Identity: state.Identity, Mode: ContinueAny})
	if err != nil {
		return nil, nil, err
	}
	return j, opened, j.openLog() // not Start: the values of the view of warnings are in no log
}

// Forget resolves the outstanding records that match: no import tries them again, and
// not-imported.csv no longer has them. It returns how many profiles they are about. The
// caller must hold the Lock of the directory.
func Forget(names Names, match func(Entry) bool) (profiles int, err error) {
	j, _, err := OpenLast(names)
	if err != nil {
		return 0, err
	}
	for _, r := range j.fold.outstandingRecords() {
		if !match(r) {
			continue
		}
		profiles += max(r.Unnamed, 1)
		if err := j.addLine(line{Forget: r.ID()}); err != nil {
			return 0, errors.Join(err, j.Close())
		}
	}
	return profiles, errors.Join(j.Save(), j.Close())
}
