// Package source is the seam between the pipeline and the places that profiles come from. The
// packages below it implement it: profileapi, warehouse, file and idlist.
package source

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"time"

	"segsync/importer/mapping"
	"segsync/importer/outcome"
	"segsync/segmentprofiles"
)

// A Source yields the profiles of one place, in an order that can be continued.
type Source interface {
	// Pages yields the profiles behind the position in complete pages: each profile is read,
	// or has an outcome that says why not. An error ends the pages; those before it are
	// valid. When stop ends, the page under way is finished and is the last one; when ctx
	// ends, the iteration ends at once.
	Pages(ctx, stop context.Context, from Position, seen Seen) iter.Seq2[*Page, error]
	// Lookup reads single profiles again, by the IDs that Pages gave them or, where the source
	// knows other names, as type:value. What is gone is Vanished; a source that cannot tell
	// leaves it out. ErrReadOnce says that this source cannot read anything again.
	Lookup(ctx, stop context.Context, ids []string) iter.Seq2[*Page, error]
	// CheckReadable returns an error if no profile can be read: an outage that looks like many bad
	// profiles. Sources without such outages return nil.
	CheckReadable(ctx context.Context) error
}

// ErrReadOnce is the error of Lookup where the input can be read only once, such as a pipe.
var ErrReadOnce = errors.New("the input can be read only once")

// NoneReadableError says that none of the listed profiles can be read: the route or the address may be wrong.
type NoneReadableError struct{ Err error }

func (e *NoneReadableError) Error() string {
	return "Segment gives none of the profiles that it lists; the last answer: " + e.Err.Error()
}

func (e *NoneReadableError) Unwrap() error { return e.Err }

// Seen is the set of the profiles that this import has listed.
type Seen interface {
	Add(id string) bool // reports whether the id is new
	Has(id string) bool
	Len() int
}

// Position is how far a source has been read. Its State belongs to the source that made it.
type Position struct {
	At    string          `json:"at"` // for people: an offset of the list, a line, a segment id
	State json.RawMessage `json:"state,omitempty"`
	// Tail says that the source was read to its end once; what follows looks for profiles that
	// changed meanwhile. Done says that nothing is left to read.
	Tail bool `json:"tail,omitempty"`
	Done bool `json:"done,omitempty"`
}

// String is how the position is shown.
func (p Position) String() string {
	switch {
	case p.Tail || p.Done:
		return "end of the list"
	case p.At == "":
		return "0"
	}
	return p.At
}

// Page is a page of profiles.
type Page struct {
	Profiles []*Profile
	After    Position // once this page is committed
	Listed   int      // profiles that were listed for it, those that were known already included
	// Began is set on the page with which the import begins: when that was, by the clock of
	// the source. Behind is how far that clock was behind ours.
	Began  time.Time
	Behind time.Duration
	// Pass counts the readings of the source: 0 is the first. A profile of a later pass is
	// newer than those of earlier ones.
	Pass int
	// Late says that it is of a reading after the first.
	Late bool
}

// Profile is a profile as it was read, as far as the import needs it.
type Profile struct {
	ID          string // segment id, or type:value where only that is known
	ExternalIDs []segmentprofiles.ExternalID
	Traits      map[string]any // numbers are json.Number; nil: not read
	Texts       bool           // the traits come from a warehouse, which keeps values as text
	Damaged     []string       // traits that were left out because their text is damaged
	Sparse      bool           // an absent trait may only be unknown, as in a warehouse or a file
	Removed     []string       // traits that are known to be removed, where the traits are sparse
	Cut         []string       // traits whose text may have been cut by the warehouse

	// Outcome is None for a profile that was read, else Unreadable or Vanished; Why says why.
	Outcome outcome.Outcome
	Why     outcome.Why
	// Nameless says that ID only tells where the entry is in the source: it cannot be looked up.
	Nameless bool
}

// Mapped returns the profile as the mapping takes it.
func (p *Profile) Mapped(sourceID string) mapping.Profile {
	return mapping.Profile{
		SegmentID: p.ID, SourceID: sourceID, Traits: p.Traits, Texts: p.Texts, Damaged: p.Damaged, Sparse: p.Sparse, Removed: p.Removed,
	}
}

// Fail gives the profile the outcome Unreadable.
func (p *Profile) Fail(reason string, err error) {
	p.Outcome, p.Why = outcome.Unreadable, outcome.Why{Reason: reason, Detail: err.Error()}
}

// Vanish gives the profile the outcome Vanished.
func (p *Profile) Vanish(detail string) {
	p.Outcome, p.Why = outcome.Vanished, outcome.Why{Reason: "vanished", Detail: detail}
}

// Warnings returns the warnings about traits that the warehouse may have cut.
func (p *Profile) Warnings() (warnings []mapping.Warning) {
	for _, key := range p.Cut {
		warnings = append(warnings, mapping.Warning{
			Field: key, Trait: key, Value: "the text", Kind: "maybe_cut", Reason: "has exactly 512 characters: the warehouse may have cut it",
		})
	}
	return warnings
}
