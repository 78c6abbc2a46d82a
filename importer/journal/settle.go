package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

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
