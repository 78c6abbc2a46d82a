package journal

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"segsync/importer/outcome"
	"segsync/importer/source"
)

// line is a line of the log. Exactly one member is set.
type line struct {
	*Entry
	Import           *Import        `json:"import,omitempty"`
	Before           *Before        `json:"before,omitempty"`
	Began            *began         `json:"began,omitempty"`
	Action           *Action        `json:"async_action,omitempty"`
	Verdict          *verdictLine   `json:"verdict,omitempty"`
	Sending          []string       `json:"sending,omitempty"` // source ids of a bulk request that is about to be sent
	Forget           string         `json:"forget,omitempty"`  // id of a record that is not tried again
	Finished         *time.Time     `json:"finished,omitempty"`
	Deletion         *Deletion      `json:"deletion,omitempty"`
	DeletionBegan    *DeletionBegan `json:"deletion_began,omitempty"`
	DeletionFinished string         `json:"deletion_finished,omitempty"` // fingerprint of the list
	DeletedBefore    []string       `json:"deleted_before,omitempty"`    // keys of customers that were deleted before this import
	Commit           *commitLine    `json:"commit,omitempty"`
}

// began says when reading began, by the clock of the source.
type began struct {
	At     time.Time     `json:"at"`
	Behind time.Duration `json:"behind,omitempty"`
}

// verdictLine ends an async action. The lines about its customers come before it.
type verdictLine struct {
	ActionID  string    `json:"async_action_id"`
	Time      time.Time `json:"time"`
	RequestID string    `json:"request_id,omitempty"`
	Failed    bool      `json:"failed,omitempty"`
	Unnamed   int       `json:"unnamed,omitempty"` // customers that were rejected without being named
}

// commitLine ends the lines since the commit before.
type commitLine struct {
	At     source.Position  `json:"at"`
	Time   time.Time        `json:"time"`
	Quotas map[string]Quota `json:"quotas,omitempty"`
	CRC    string           `json:"crc"` // CRC-32C of all bytes before it since the commit before, in hexadecimal
}

// Entry is a line about one profile. A later line about the same profile replaces it. The last one of
// a profile that was not imported is its record.
type Entry struct {
	SegmentID string          `json:"segment_id"` // "" for customers that Voucherify rejected without naming them
	Outcome   outcome.Outcome `json:"outcome"`    // of a record: Sent means sent again, and not confirmed yet
	SourceID  string          `json:"source_id,omitempty"`
	By        string          `json:"by,omitempty"`      // the identifier that SourceID was taken from, "" for the first one of the import
	Content   string          `json:"content,omitempty"` // ContentOf the customer, where it was sent or found unchanged
	outcome.Why
	First time.Time `json:"first,omitzero"` // of a record: when the profile was not imported for the first time

	Retry    bool `json:"retry,omitempty"`    // read again after it could not be imported
	Late     bool `json:"late,omitempty"`     // found only by a later reading of the source
	Carried  bool `json:"carried,omitempty"`  // of an import before this one
	Nameless bool `json:"nameless,omitempty"` // SegmentID only says where the entry is in the source
	Unnamed  int  `json:"unnamed,omitempty"`  // number of customers, where SegmentID is ""

	NullBirthdate bool      `json:"null_birthdate,omitempty"` // sent with birthdate null
	Cleared       []string  `json:"cleared,omitempty"`        // fields that were sent as null
	LeftOut       []Remark  `json:"left_out,omitempty"`       // keys of the metadata
	Warnings      []Warning `json:"warnings,omitempty"`

	order int // of a record, among those of the same age
}

// ID identifies the record: the id of the profile, or the async action whose customers were rejected
// without being named.
func (e *Entry) ID() string {
	if e.SegmentID != "" {
		return e.SegmentID
	}
	return "async_action:" + e.ActionID
}

// parseLine reads a line. Most lines only say that a customer was sent: those take a fifth of the time
// that encoding/json takes.
func parseLine(text []byte) (l line, err error) {
	s, isEntry := strings.CutPrefix(string(text), `{"segment_id":"`)
	id, s, isSent := strings.Cut(s, `","outcome":"sent","source_id":"`)
	sourceID, s, hasContent := strings.Cut(s, `","content":"`)
	content, s, hasAction := strings.Cut(s, `","async_action_id":"`)
	actionID, isWhole := strings.CutSuffix(s, "\"}\n")
	const quotes = 20 // where no text has one
	if isEntry && isSent && hasContent && hasAction && isWhole && bytes.IndexByte(text, '\\') < 0 && bytes.Count(text, []byte(`"`)) == quotes {
		return line{Entry: &Entry{SegmentID: id, Outcome: outcome.Sent, SourceID: sourceID, Content: content, Why: outcome.Why{ActionID: actionID}}}, nil
	}
	return l, json.Unmarshal(text, &l)
}

// Remark is a key of the metadata that was not sent, and why.
type Remark struct {
	Key    string `json:"key"`
	Reason string `json:"reason"`
}

// Warning is a value that could not be used. Value is personal data, and not kept in the log.
type Warning struct {
	Field  string `json:"field"`
	Reason string `json:"reason"`
	Value  string `json:"-"`

	Text interface {
		String() string
		WithoutValue() string // what may be shown of a plan
	} `json:"-"` // for the log of the program; nil for one that was read
}
