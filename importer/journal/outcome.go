package journal

import (
	"encoding/json"
	"fmt"
)

// Outcome is what became of a profile. Every profile that was read has exactly one.
type Outcome int

// The outcomes, in the order in which they are shown. None is not one: it is the zero
// value.
const (
	None              Outcome = iota
	Confirmed                 // Voucherify confirmed the customer
	Rejected                  // Voucherify refused the customer
	Unreadable                // Segment does not give the profile, or gives it malformed
	Unconfirmed               // sent; Voucherify has not said yet what became of it
	WithoutIdentifier         // not sent for lack of a source_id
	Vanished                  // listed, and gone when it was read
	Merged                    // another profile with the same source_id was sent
	Filtered                  // the mapping's conditions leave it out
	Unchanged                 // Voucherify has the customer already as it would be sent
	WouldSend                 // a customer of a dry run
	outcomes                  // their number
)

// names are what the outcomes are called in the state, the summary and the metrics.
var names = [outcomes]string{
	"", "confirmed", "rejected", "unreadable", "unconfirmed", "without_identifier", "vanished", "merged", "filtered",
	"unchanged", "would_send",
}

// String returns the name of the outcome in JSON, such as "without_identifier".
func (o Outcome) String() string { return names[o] }

// Outcomes returns all outcomes in order.
func Outcomes() []Outcome {
	var all []Outcome
	for o := None + 1; o < outcomes; o++ {
		all = append(all, o)
	}
	return all
}

// Counts say what became of the profiles before the position. Unconfirmed is not counted
// here: the actions of the State have it, see State.Count.
type Counts struct {
	Read              int // profiles
	InvalidBirthdates int // customers sent with birthdate null
	FoundLate         int // profiles that only a later pass over the list found
	by                [outcomes]int
}

// Of returns the number of profiles with an outcome other than Unconfirmed.
func (c *Counts) Of(o Outcome) int { return c.by[o] }

func (c *Counts) add(o Outcome, n int) { c.by[o] += n }

// MarshalJSON returns one object with all counts, by their names.
func (c Counts) MarshalJSON() ([]byte, error) {
	all := map[string]int{"read": c.Read, "invalid_birthdates": c.InvalidBirthdates, "found_late": c.FoundLate}
	for _, o := range Outcomes() {
		if o != Unconfirmed {
			all[o.String()] = c.by[o]
		}
	}
	return json.Marshal(all)
}

// UnmarshalJSON reads what MarshalJSON writes. An outcome that is missing counts zero: an
// older program did not know it.
func (c *Counts) UnmarshalJSON(data []byte) error {
	var all map[string]int
	if err := json.Unmarshal(data, &all); err != nil {
		return err
	}
	take := func(name string, into *int) error {
		*into = all[name]
		delete(all, name)
		if *into < 0 {
			return fmt.Errorf("the count %q is negative", name)
		}
		return nil
	}
	*c = Counts{}
	fields := map[string]*int{"read": &c.Read, "invalid_birthdates": &c.InvalidBirthdates, "found_late": &c.FoundLate}
	for _, o := range Outcomes() {
		fields[o.String()] = &c.by[o]
	}
	for name, into := range fields {
		if err := take(name, into); err != nil {
			return err
		}
	}
	for name := range all {
		return fmt.Errorf("unknown count %q", name)
	}
	return nil
}
