package journal

import (
	"maps"
	"slices"
	"time"

	"segsync/importer/mapping"
)

// version changes with every change of State that an older program would misread.
const version = 2

// State is what is known of an import that may be continued. It is saved after the
// reports it speaks of, and holds neither secrets nor traits. A State is never changed
// once it is saved; the next one takes its place.
type State struct {
	Version int `json:"version"`
	Identity
	Started  time.Time `json:"started"`        // when its listing began, by the source's clock
	From     string    `json:"from"`           // the offset where it began
	Since    time.Time `json:"since,omitzero"` // import only profiles active after this
	Position Position  `json:"position"`
	Counts   Counts    `json:"counts"`
	Actions  []Action  `json:"actions"` // of accepted customers that are not confirmed yet
	// Files are the parts of the files beside the state that belong to it. What is behind
	// them was written after it was saved, and is written again.
	Files    map[string]Extent `json:"files"`
	Finished time.Time         `json:"finished,omitzero"` // zero: can be continued
	Last     Last              `json:"last"`
	Details  Details           `json:"details"`
	// Outstanding is how much of the records is outstanding. It is derived from them.
	Outstanding Outstanding `json:"outstanding"`
	// Quotas are those of the Voucherify project that were known when this was saved, by name.
	Quotas map[string]Quota `json:"quotas,omitempty"`
	// Hash is how the identities of this import are computed: sha256, or fnv for one that
	// an older program began.
	Hash string `json:"hash"`
	// Checksum is the SHA-256 of the state without it.
	Checksum string `json:"checksum"`

	v1 *stateV1 // what this state was made from, nil if it is one of today's
}

// Last is what is known of the imports before.
type Last struct {
	// Started is when the last finished import began that left nothing out of what had
	// changed before; zero if there is none.
	Started time.Time `json:"started,omitzero"`
	Ended   time.Time `json:"ended,omitzero"` // of the last import that was finished
}

// Details are counts that are no part of the sum.
type Details struct {
	// Identifiers counts the customers sent by the identifier that was taken.
	Identifiers map[string]int `json:"identifiers"`
	// LeftOut counts the customers sent without a key of their metadata, by key and
	// reason. After maxLeftOut keys, further ones are counted as OtherKeys.
	LeftOut map[string]map[string]int `json:"left_out,omitempty"`
	// Cleared counts the customers sent by the field that they were sent with null for.
	Cleared map[string]int `json:"cleared,omitempty"`
	// Warnings counts the warnings by field and reason.
	Warnings map[string]map[string]int `json:"warnings,omitempty"`
}

const (
	maxLeftOut = 200
	OtherKeys  = "other keys"
)

// Extent is the part of a file that belongs to a state.
type Extent struct {
	Bytes int64  `json:"bytes"`
	Sum   uint64 `json:"sum"` // CRC-64 (ECMA) of these bytes
}

// sameProject reports whether both import into the same Voucherify project.
func (id Identity) sameProject(other Identity) bool {
	return id.VoucherifyURL == other.VoucherifyURL && id.VoucherifyApp == other.VoucherifyApp
}

// Position is how far the profiles have been read. What its fields mean is the source's
// affair.
type Position struct {
	// Offset is the cursor of the list's next page, the number of given profiles, the last
	// canonical_segment_id of a warehouse, or the byte of a file where the next profile begins.
	Offset string `json:"offset"`
	// Line and Digest tell a position in a file: the line, and a hash of all before it.
	Line   int    `json:"line,omitempty"`
	Digest string `json:"digest,omitempty"`
	// Pass counts the readings of the source: 0 is the first, the others look for
	// profiles that changed in the meantime.
	Pass  int       `json:"pass"`
	Since time.Time `json:"since,omitzero"` // what a later pass looks for was active after this
	// Unordered and Undated are what was seen of the list: not in falling order of
	// updated_at, or without it.
	Unordered bool `json:"unordered,omitempty"`
	Undated   bool `json:"undated,omitempty"`
	Done      bool `json:"done,omitempty"` // nothing is left to read
}

// Action is an async action of Voucherify that has not confirmed its customers yet.
type Action struct {
	ID       string    `json:"id"`
	Accepted time.Time `json:"accepted"`
	Sent     int       `json:"sent"` // records in the request
	// Customers are those of the records whose page is complete; the rest is sent
	// again if the import ends here. FirstByte and LastByte say where the pending file
	// names them.
	Customers int   `json:"customers"`
	FirstByte int64 `json:"first_byte"`
	LastByte  int64 `json:"last_byte"`
	// Failed says that the whole action failed, and its customers are to be sent
	// again; Resent that they were sent for the second time.
	Failed bool `json:"failed,omitempty"`
	Resent bool `json:"resent,omitempty"`

	// Open says that records of it are in pages that are not complete yet, and will be in
	// this run.
	Open bool `json:"-"`
}

// Outstanding says how many profiles were not imported and still should be.
type Outstanding struct {
	Count  int       `json:"count"`
	Oldest time.Time `json:"oldest,omitzero"` // when the one of longest standing was not imported first
}

// Quota is what was left of a quota.
type Quota struct {
	Limit     int       `json:"limit"`
	Remaining int       `json:"remaining"`
	End       time.Time `json:"end"` // of its period
}

// NewState returns the state of an import that begins at the offset.
func NewState(id Identity, offset string) *State {
	return &State{
		Version:  version,
		Identity: id,
		Started:  time.Now().UTC(),
		From:     offset,
		Position: Position{Offset: offset},
		Files:    map[string]Extent{},
		Details:  Details{Identifiers: map[string]int{}},
		Hash:     hashSHA256,
	}
}

// clone returns a copy that can be changed.
func (s *State) clone() *State {
	c := *s
	c.Actions = slices.Clone(s.Actions)
	c.Files = maps.Clone(s.Files)
	c.Details.Identifiers = maps.Clone(s.Details.Identifiers)
	c.Details.Cleared = maps.Clone(s.Details.Cleared)
	c.Details.LeftOut = cloneNested(s.Details.LeftOut)
	c.Details.Warnings = cloneNested(s.Details.Warnings)
	return &c
}

func cloneNested(m map[string]map[string]int) map[string]map[string]int {
	c := maps.Clone(m)
	for key, inner := range c {
		c[key] = maps.Clone(inner)
	}
	return c
}

// noteLeftOut counts a customer sent without a key of its metadata.
func (d *Details) noteLeftOut(l mapping.LeftOut) {
	if d.LeftOut[l.Key] == nil && len(d.LeftOut) >= maxLeftOut {
		l.Key = OtherKeys
	}
	countIn(&d.LeftOut, l.Key, l.Reason)
}

// noteCleared counts a customer sent with null for the fields.
func (d *Details) noteCleared(fields []string) {
	if d.Cleared == nil && len(fields) > 0 {
		d.Cleared = make(map[string]int)
	}
	for _, field := range fields {
		d.Cleared[field]++
	}
}

func countIn(m *map[string]map[string]int, key, reason string) {
	if *m == nil {
		*m = make(map[string]map[string]int)
	}
	if (*m)[key] == nil {
		(*m)[key] = make(map[string]int)
	}
	(*m)[key][reason]++
}

// Unfinished reports whether there is something to continue.
func (s *State) Unfinished() bool { return s.Finished.IsZero() }

// Unconfirmed returns the number of customers that were sent and neither confirmed nor
// rejected yet.
func (s *State) Unconfirmed() int {
	n := 0
	for _, a := range s.Actions {
		n += a.Customers
	}
	return n
}

// Count returns the number of profiles with this outcome.
func (s *State) Count(o Outcome) int {
	if o == Unconfirmed {
		return s.Unconfirmed()
	}
	return s.Counts.Of(o)
}

// Sent returns the number of customers that were sent, whatever became of them.
func (s *State) Sent() int { return s.Count(Confirmed) + s.Count(Rejected) + s.Unconfirmed() }

// AddsUp reports whether every profile read is accounted for.
func (s *State) AddsUp() bool {
	sum := 0
	for _, o := range Outcomes() {
		sum += s.Count(o)
	}
	return s.Counts.Read == sum
}

// AtStart reports whether no page of the source is complete yet; outstanding profiles may be.
func (s *State) AtStart() bool {
	return s.Position.Offset == s.From && s.Position.Pass == 0 && !s.Position.Done
}

// action returns the action with this id, or nil.
func (s *State) action(id string) *Action {
	for i := len(s.Actions) - 1; i >= 0; i-- { // the latest is asked for most often
		if s.Actions[i].ID == id {
			return &s.Actions[i]
		}
	}
	return nil
}

// HasFailed reports whether customers of failed actions are to be sent again.
func (s *State) HasFailed() bool {
	return slices.ContainsFunc(s.Actions, func(a Action) bool { return a.Failed })
}

func (s *State) removeAction(id string) {
	s.Actions = slices.DeleteFunc(s.Actions, func(a Action) bool { return a.ID == id })
}
