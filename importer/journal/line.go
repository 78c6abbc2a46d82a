package journal

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"segsync/importer/outcome"
	"segsync/importer/source"
)

// line is a line of the log that is not about one profile. Exactly one member is set.
type line struct {
	Import           *Import      `json:"import,omitempty"`
	Before           *Before      `json:"before,omitempty"`
	Began            *began       `json:"began,omitempty"`
	Action           *Action      `json:"async_action,omitempty"`
	Verdict          *verdictLine `json:"verdict,omitempty"`
	Sending          []string     `json:"sending,omitempty"` // source ids of a bulk request that is about to be sent
	Forget           string       `json:"forget,omitempty"`  // id of a record that is not tried again
	Finished         *time.Time   `json:"finished,omitempty"`
	Deletion         *Deletion    `json:"deletion,omitempty"`
	DeletionFinished string       `json:"deletion_finished,omitempty"` // fingerprint of the list
	DeletedBefore    string       `json:"deleted_before,omitempty"`    // key of a customer that was deleted before this import
	Commit           *commitLine  `json:"commit,omitempty"`
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

// commitLine seals the lines since the commit before.
type commitLine struct {
	At     source.Position  `json:"at"`
	Time   time.Time        `json:"time"`
	Quotas map[string]Quota `json:"quotas,omitempty"`
	CRC    string           `json:"crc"` // CRC-32C of all bytes before it since the commit before, in hexadecimal
}

// entryHead begins the lines about one profile, and no others.
const entryHead = `{"profile":`

// Entry is a line about one profile: what became of it. A later line about the same profile
// takes its place.
type Entry struct {
	ID       string          `json:"profile"` // "" for customers that Voucherify rejected without naming them
	Outcome  outcome.Outcome `json:"outcome"`
	SourceID string          `json:"source_id,omitempty"`
	// By is the identifier that SourceID was taken from, "" for the first one of the import.
	By       string `json:"by,omitempty"`
	ActionID string `json:"async_action_id,omitempty"` // of Outcome Sent

	Reason    string    `json:"reason,omitempty"`
	Detail    string    `json:"detail,omitempty"`
	RequestID string    `json:"request_id,omitempty"`
	First     time.Time `json:"first,omitzero"` // of a record: when it was not imported for the first time

	Retry    bool `json:"retry,omitempty"`    // read again after it could not be imported
	Late     bool `json:"late,omitempty"`     // only a later reading of the source found it
	Carried  bool `json:"carried,omitempty"`  // of an import before this one
	Nameless bool `json:"nameless,omitempty"` // ID only says where the entry is in the source
	Unnamed  int  `json:"unnamed,omitempty"`  // customers that the line is about, where ID is ""

	NullBirthdate bool      `json:"null_birthdate,omitempty"` // sent with birthdate null
	Cleared       []string  `json:"cleared,omitempty"`        // fields that were sent as null
	LeftOut       []Remark  `json:"left_out,omitempty"`       // keys of the metadata
	Warnings      []Warning `json:"warnings,omitempty"`
}

// parseEntry reads an entry. Most lines are of customers that were sent, with nothing else to say: those
// take a fifth of the time that encoding/json takes.
func parseEntry(text []byte) (e Entry, err error) {
	rest, plain := string(text), bytes.IndexByte(text, '\\') < 0
	for _, part := range []struct {
		head string
		to   *string
	}{{entryHead + `"`, &e.ID}, {`","outcome":"sent","source_id":"`, &e.SourceID}, {`","async_action_id":"`, &e.ActionID}} {
		if plain && strings.HasPrefix(rest, part.head) {
			*part.to, _, plain = strings.Cut(rest[len(part.head):], `"`)
			rest = rest[min(len(part.head)+len(*part.to), len(rest)):]
		} else {
			plain = false
		}
	}
	if plain && rest == "\"}\n" {
		e.Outcome = outcome.Sent
		return e, nil
	}
	e = Entry{}
	return e, json.Unmarshal(text, &e)
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

// RecordID is what a record is known by: the id of the profile, or the async action whose
// customers were rejected without being named.
func (e *Entry) RecordID() string {
	if e.ID != "" {
		return e.ID
	}
	return "async_action:" + e.ActionID
}
