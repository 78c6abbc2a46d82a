package journal

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Why is why a profile was not imported.
type Why struct {
	Reason    string `json:"reason"` // a word, such as metadata_validation_failed
	Detail    string `json:"detail,omitempty"`
	ActionID  string `json:"async_action_id,omitempty"`
	RequestID string `json:"request_id,omitempty"`
}

// Record is a profile that was not imported: one that is outstanding, and is tried again
// by every later import, or one that has vanished.
type Record struct {
	SegmentID string `json:"segment_id"` // "" for customers that Voucherify rejected without naming them
	SourceID  string `json:"source_id,omitempty"`
	Why
	Outcome  string    `json:"outcome"`            // rejected, unreadable or vanished; unconfirmed: sent again since
	First    time.Time `json:"first"`              // when it was not imported for the first time
	Import   time.Time `json:"import"`             // State.Started of the import that tried it last
	Unnamed  int       `json:"unnamed,omitempty"`  // of the action: how many customers this record is about
	Nameless bool      `json:"nameless,omitempty"` // an entry of the list that names no profile: it cannot be tried again
	Resolved bool      `json:"resolved,omitempty"` // it was confirmed, is gone, or was forgotten
}

// ID names the record: the segment id of the profile, or the async action whose customers
// were rejected without being named.
func (r *Record) ID() string {
	if r.SegmentID != "" {
		return r.SegmentID
	}
	return "async_action:" + r.ActionID
}

// IsOutstanding reports whether something is to be done about it.
func (r *Record) IsOutstanding() bool { return r.Outcome != Vanished.String() }

// records are what was not imported, by ID. They are kept in a log of JSON lines: a line
// takes the place of an earlier one with the same ID.
type records struct {
	log   *growing
	noted bytes.Buffer
	byID  map[string]Record
}

// load reads the log.
func (r *records) load() error {
	r.byID = make(map[string]Record)
	lines := bufio.NewReader(io.NewSectionReader(r.log.file, 0, r.log.size))
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return nil
		}
		if err != nil {
			return damaged(r.log.file.Name(), "line %d ends early", n)
		}
		var record Record
		if err := json.Unmarshal(line, &record); err != nil {
			return damaged(r.log.file.Name(), "line %d: %w", n, err)
		}
		r.apply(record)
	}
}

func (r *records) apply(record Record) {
	if record.Resolved {
		delete(r.byID, record.ID())
		return
	}
	r.byID[record.ID()] = record
}

// note adds the record, or changes the one with its ID, which keeps its First.
func (r *records) note(record Record) error {
	if known, ok := r.byID[record.ID()]; ok && known.IsOutstanding() && !record.Resolved {
		record.First = known.First
	}
	line, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("noting a profile that was not imported: %w", err)
	}
	r.noted.Write(append(line, '\n'))
	r.apply(record)
	return nil
}

// noteSent notes that the profile of the record, if there is one, has been sent.
func (r *records) noteSent(id string) error {
	known, ok := r.byID[id]
	if !ok || !known.IsOutstanding() || known.Outcome == Unconfirmed.String() {
		return nil
	}
	known.Outcome = Unconfirmed.String()
	return r.note(known)
}

// resolve takes the record away, if there is one.
func (r *records) resolve(id string) error {
	known, ok := r.byID[id]
	if !ok {
		return nil
	}
	known.Resolved = true
	return r.note(known)
}

// sorted returns all records, the oldest first.
func (r *records) sorted() []Record {
	all := make([]Record, 0, len(r.byID))
	for _, record := range r.byID {
		all = append(all, record)
	}
	slices.SortFunc(all, func(a, b Record) int {
		return cmp.Or(a.First.Compare(b.First), cmp.Compare(a.ID(), b.ID()))
	})
	return all
}

// outstanding says how many records are outstanding.
func (r *records) outstanding() Outstanding {
	var o Outstanding
	for _, record := range r.byID {
		if !record.IsOutstanding() {
			continue
		}
		o.Count += max(record.Unnamed, 1)
		if o.Oldest.IsZero() || record.First.Before(o.Oldest) {
			o.Oldest = record.First
		}
	}
	return o
}
