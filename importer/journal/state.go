package journal

import (
	"maps"
	"slices"
	"time"

	"segsync/importer/outcome"
	"segsync/importer/sink"
	"segsync/importer/source"
)

// Import says what an import is, and is the first line of its log.
type Import struct {
	Format int `json:"format"` // of the log
	Identity
	Started time.Time `json:"started"`        // by our clock
	From    string    `json:"from,omitempty"` // the offset where it began, "" for the beginning
	Since   time.Time `json:"since,omitzero"` // it takes only profiles active after this
	DryRun  bool      `json:"dry_run,omitempty"`
	// Flags are those that named the source and the settings, for the command that continues.
	Flags string `json:"flags,omitempty"`
}

// State is what is known of an import. One that State returns is never changed.
type State struct {
	Import
	Began       time.Time     // when reading began, by the source's clock; zero: it has not
	ClockBehind time.Duration // how far that clock was behind ours
	Position    source.Position
	Counts      Counts
	Actions     []Action // that have not ended yet, the oldest first
	Details     Details
	Outstanding Outstanding
	Before      Before // what the imports before left
	Finished    time.Time
	Saved       time.Time // the last commit; zero: nothing is on the disk
	Quotas      map[string]Quota
	Deletion    *DeletionBegan // nil: none is unfinished
}

// Before is what a log knows of the imports before.
type Before struct {
	// Began is when the last finished import began that left out nothing that had changed
	// before, by the source's clock; zero: there is none. ClockBehind is of that clock.
	Began       time.Time     `json:"began,omitzero"`
	ClockBehind time.Duration `json:"clock_behind,omitempty"`
	Mapping     string        `json:"mapping,omitempty"` // of that import
	Ended       time.Time     `json:"ended,omitzero"`    // of the last finished one
	// Position is where the last one ended: a source may know from it what the list is like.
	Position source.Position `json:"position,omitzero"`
	Sender   *Sender         `json:"sender,omitempty"`
	// Earlier are the others that sent customers, from another space, into another project or under another identifier.
	Earlier []Identity `json:"earlier_senders,omitempty"`
}

// Sender is the last import that sent a customer.
type Sender struct {
	Identity
	At time.Time `json:"at"`
}

// Action is an async action of Voucherify that has not ended yet.
type Action struct {
	sink.Action
	Carried bool `json:"carried,omitempty"` // of an import before this one

	Customers int  `json:"-"` // those of its records that the log names
	Open      bool `json:"-"` // more of them will come in this run

	from, to int64 // where the log names them
}

// Details are counts that are no part of the sum.
type Details struct {
	Identifiers map[string]int            // customers sent, by the identifier that was taken
	LeftOut     map[string]map[string]int // customers sent without a key of their metadata, by key and reason
	Cleared     map[string]int            // customers sent with null for a field, by field
	Warnings    map[string]map[string]int // warnings by field and reason
	Birthdates  int                       // customers sent with birthdate null
	Late        int                       // profiles that only a later reading of the source found
	Recreated   int                       // customers sent again after they were deleted
}

// Details.LeftOut has maxLeftOut keys at most; further ones are counted as otherKeys.
const (
	maxLeftOut = 200
	otherKeys  = "other keys"
)

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

// Counts count the profiles of an import by their outcomes.
type Counts struct {
	by [outcome.Count]int
	// open are the customers of async actions that have not ended, unnamed those that were
	// rejected without being named. Both are Sent.
	open, unnamed int
	unsent        int // Rejected before they were sent
}

// Of returns the number of profiles with the outcome.
func (c *Counts) Of(o outcome.Outcome) int {
	switch o {
	case outcome.Confirmed:
		return c.by[o] + max(c.by[outcome.Sent]-c.open-c.unnamed, 0)
	case outcome.Unconfirmed:
		return c.by[o] + min(c.open, c.by[outcome.Sent])
	case outcome.Rejected:
		return c.by[o] + min(c.unnamed, max(c.by[outcome.Sent]-c.open, 0))
	}
	return c.by[o]
}

// Read returns the number of profiles that were read.
func (c *Counts) Read() int {
	n := 0
	for o := outcome.Confirmed; o < outcome.Count; o++ {
		n += c.by[o]
	}
	return n
}

// Count returns the number of profiles with the outcome.
func (s *State) Count(o outcome.Outcome) int { return s.Counts.Of(o) }

// IsUnfinished reports whether there is something left to read or to send again.
func (s *State) IsUnfinished() bool { return s.Finished.IsZero() }

// NeedsResend reports whether customers are to be sent again.
func (s *State) NeedsResend() bool { return s.Counts.by[outcome.Unconfirmed] > 0 }

// Unconfirmed returns how many customers were sent of which nothing is known yet, those of
// imports before included.
func (s *State) Unconfirmed() int {
	n := s.Counts.Of(outcome.Unconfirmed)
	for _, a := range s.Actions {
		if a.Carried {
			n += a.Customers
		}
	}
	return n
}

// SentCustomers returns how many customers of this import were sent, whether Voucherify confirmed them or not.
func (s *State) SentCustomers() int {
	return s.Count(outcome.Confirmed) + s.Count(outcome.Rejected) + s.Count(outcome.Unconfirmed) - s.Counts.unsent
}

// clone returns a copy that can be changed.
func (s *State) clone() *State {
	c := *s
	c.Actions = slices.Clone(s.Actions)
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

// action returns the open action with the id, or nil.
func (s *State) action(id string) *Action {
	for i := len(s.Actions) - 1; i >= 0; i-- { // the latest is asked for most often
		if s.Actions[i].ID == id {
			return &s.Actions[i]
		}
	}
	return nil
}

// add counts what an entry says beside its outcome. identifier is the one that its source_id was taken from.
func (d *Details) add(e *Entry, identifier string) {
	for _, w := range e.Warnings {
		countIn(&d.Warnings, w.Field, w.Reason)
	}
	if e.Outcome != outcome.Sent && e.Outcome != outcome.Confirmed && e.Outcome != outcome.WouldSend {
		return
	}
	if e.NullBirthdate {
		d.Birthdates++
	}
	for _, l := range e.LeftOut {
		if d.LeftOut[l.Key] == nil && len(d.LeftOut) >= maxLeftOut {
			l.Key = otherKeys
		}
		countIn(&d.LeftOut, l.Key, l.Reason)
	}
	count(&d.Identifiers, identifier)
	for _, field := range e.Cleared {
		count(&d.Cleared, field)
	}
}

func count(m *map[string]int, key string) {
	if *m == nil {
		*m = make(map[string]int)
	}
	(*m)[key]++
}

func countIn(m *map[string]map[string]int, key, reason string) {
	if *m == nil {
		*m = make(map[string]map[string]int)
	}
	inner := (*m)[key]
	count(&inner, reason)
	(*m)[key] = inner
}
