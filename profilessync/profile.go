// Package profilessync reads profiles that Segment's Profiles Sync has written into a
// warehouse: from the warehouse, or by way of a file.
//
//	Postgres, Redshift ─▶ one ordered statement ─▶ rows ──────────┐
//	Snowflake, BigQuery, Databricks ─▶ the same ─▶ pages of rows ─┤
//	CSV or NDJSON file with the rows of that query ───────────────┴─▶ groups of rows ─▶ *Profile
//	NDJSON or CSV file with one profile a line ──────────────────────────────────────▶ *Profile
//
// A row is an external ID or a trait of a profile, and has a sequence number. Rows of one
// profile follow each other, and profiles come in the byte order of their ids, so that one
// id is enough to continue from. The stages are in stream.go (the statement), postgres.go and rest.go (its rows),
// file.go, reader.go, lines.go, line.go, rows.go and wide.go (the files), group.go (rows to profile) and unflatten.go
// (text to objects); the statement's text is in query.go.
//
// https://segment.com/docs/unify/profiles-sync/tables/
package profilessync

import (
	"encoding/hex"
	"errors"
	"time"
)

// Profile is one profile.
type Profile struct {
	SegmentID string // canonical_segment_id; in wide CSV without one type:value, else FILE:LINE
	// ExternalIDs holds, for a profile that was made from rows, one external ID of each type
	// of the Query: the one with the greatest seq, then the latest received_at, then the
	// smallest ID. A profile of an NDJSON file has all of those types that its line has.
	ExternalIDs []ExternalID
	// Traits are texts where the profile was made from rows, but for those that the Query
	// wants as objects or as JSON. Otherwise they are JSON values, numbers as json.Number.
	Traits map[string]any
	// Removed has the traits, sorted, whose newest value is NULL, or null in a line of NDJSON. A
	// member of an object that the Query wants is written address.line_2, with a backslash before a
	// dot or a backslash in a key.
	Removed []string
	// Damaged has the traits, sorted, that were left out: their text is not valid Unicode, or a
	// name comes twice in them, or they come twice in a line of NDJSON.
	Damaged []string
	// Truncated has the traits, sorted, whose text is exactly 512 characters long: Segment
	// cuts longer ones there. Nil for a profile of an NDJSON file.
	Truncated []string
	// Unreadable says why the profile cannot be used, such as an external ID that is damaged;
	// "" if it can.
	Unreadable string
	// Nameless says that SegmentID only tells where the profile is: the file names it by nothing.
	Nameless bool

	Position Position // the place behind this profile
	Bytes    int      // the size of the line or the rows that it was read from
}

// ExternalID is one of a profile's identifiers.
type ExternalID struct {
	ID        string    `json:"id"`
	Type      string    `json:"type"`
	CreatedAt time.Time `json:"created_at,omitzero"` // zero where the profile was made from rows
}

// Position is a place between two profiles. The zero value is the beginning. A warehouse
// continues from ID alone (see Query.After), a file from all of it.
type Position struct {
	ID     string `json:"id"`               // of the profile before it
	Part   string `json:"part,omitempty"`   // the file that it is in, of several
	Offset int64  `json:"offset,omitempty"` // bytes before it in that file, decompressed
	Line   int64  `json:"line,omitempty"`   // lines before it in that file
	Hash   Hash   `json:"hash,omitzero"`    // of the bytes before it, those of earlier files included
}

// Hash is the first half of a SHA-256. It is 32 hexadecimal digits in JSON.
type Hash [16]byte

// MarshalText returns the hash in hexadecimal.
func (h Hash) MarshalText() ([]byte, error) {
	return hex.AppendEncode(nil, h[:]), nil
}

// UnmarshalText reads what MarshalText returns.
func (h *Hash) UnmarshalText(text []byte) error {
	if hex.DecodedLen(len(text)) != len(h) {
		return errors.New("a hash has 32 hexadecimal digits")
	}
	_, err := hex.Decode(h[:], text)
	return err
}

// Query says which profiles to read, and what of them. Paths lead to a trait, then to a
// member of the object that it is: {"address", "city"}.
type Query struct {
	// IdentifierTypes are the types of the external IDs to read; nil means all, and an empty
	// list none.
	IdentifierTypes []string
	// Traits are the keys of the traits to read; nil, or AllTraits, means all. Those that
	// Members and Objects begin with are read in any case.
	Traits    []string
	AllTraits bool
	// Members are paths of two keys or more whose first keys are traits that are wanted as
	// objects. Such a trait is read from JSON text; where it is absent, or some other text,
	// from traits that Segment has flattened: address_city, and address_postal_code for
	// {"address", "postalCode"}. The traits that an object is made from are themselves left
	// out, unless Traits names them.
	Members [][]string
	// Objects are paths to objects that are wanted with all of their members: {"metadata"} is
	// read from JSON text, too, or from all traits that begin with metadata_.
	Objects [][]string
	// IsJSON reports whether a trait is decoded where its text is the JSON of an object or a
	// list; nil: none is. Other text stays text.
	IsJSON func(trait string) bool

	// Identity names the external IDs and traits that may identify a profile, in order of preference.
	// One of them must be a column of wide CSV without a segment_id.
	Identity []string

	// Only limits a query to the profiles with this segment id or with this external ID,
	// type:value, be it the newest of its type or not; "" for all.
	Only string
	// ids limits a query to these profiles, unless it is empty.
	ids []string
	// After limits a query to profiles whose ids are greater, byte by byte.
	After string
	// Since limits a query to profiles of which anything was written at this time or later,
	// less the 28 hours that a row may take to arrive. Not for files.
	Since time.Time
	// Started, if it is not nil, is told the time by the warehouse's clock when a statement
	// began, before its first profile. The first of these times is the Since of the next
	// reading. If there is a second one, after a pause, the profiles are of two snapshots:
	// what changed since the first time is to be read, too. Not for files.
	Started func(time.Time)
}
