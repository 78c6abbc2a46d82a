// Package coverage counts what the profiles of a plan have, and what the mapping makes of it.
package coverage

import (
	"slices"
	"sync"

	"segsync/importer/mapping"
	"segsync/importer/sink/plan"
	"segsync/segmentprofiles"
	"segsync/voucherify"
)

// Coverage counts what profiles have, as far as it was read, and what the mapping makes of
// it. There is no personal data in it.
type Coverage struct {
	Profiles    int                 `json:"profiles"` // that were read
	Types       map[string]TypeSeen `json:"external_id_types"`
	Identifiers map[string]int      `json:"identifiers"`     // profiles by the identifier that gives the source_id
	Mapped      map[string]int      `json:"mapped_traits"`   // profiles by trait that the mapping reads
	LeftOut     map[string]int      `json:"left_out_traits"` // profiles by trait that it does not read
	Fields      map[string]int      `json:"fields"`          // customers by field that has a value, such as address.city
	Kinds       map[string]int      `json:"warning_kinds"`   // warnings by field and reason
	Transformed map[string]int      `json:"transformed"`     // customers by field whose value a transform of the mapping changed
	Gone        map[string]GoneSeen `json:"gone"`            // customers by field that clear names and whose traits are absent
	Conditions  []ConditionSeen     `json:"conditions"`      // of the mapping, on the value of a trait
}

// GoneSeen counts the customers that have none of the traits of a field.
type GoneSeen struct {
	Removed int `json:"removed"` // one of the traits is known to be removed
	Unknown int `json:"unknown"` // a warehouse or a file does not say
}

// TypeSeen counts the profiles with external IDs of a type.
type TypeSeen struct {
	Have    int `json:"have"`
	Several int `json:"several"` // have more than one
}

// ConditionSeen counts the profiles that have the trait of a condition. Where all of their
// values are of another type than the condition's, it never holds, or always.
type ConditionSeen struct {
	Condition string `json:"condition"`
	Negative  bool   `json:"negative"` // holds where the value has another type
	Present   int    `json:"there"`
	OtherType int    `json:"other_type"`
}

// Identified returns the number of profiles that have a source_id.
func (c *Coverage) Identified() int {
	n := 0
	for _, of := range c.Identifiers {
		n += of
	}
	return n
}

// Unknown returns the traits of the mapping that no profile has.
func (c *Coverage) Unknown(m mapping.Mapping) []mapping.NearMiss {
	seen := make(map[string]int)
	for _, traits := range []map[string]int{c.Mapped, c.LeftOut} {
		for key, n := range traits {
			seen[key] += n
		}
	}
	if len(seen) == 0 { // no traits were read
		return nil
	}
	return m.Unknown(seen)
}

// Counter fills in a Coverage. It may be used by several goroutines; a nil one counts
// nothing.
type Counter struct {
	mapping mapping.Mapping
	traits  []string // that the mapping reads; nil: all

	mu         sync.Mutex
	seen       *Coverage
	conditions []mapping.ConditionCount
}

func newCoverage() *Coverage {
	return &Coverage{
		Types: map[string]TypeSeen{}, Identifiers: map[string]int{}, Mapped: map[string]int{}, LeftOut: map[string]int{},
		Fields: map[string]int{}, Kinds: map[string]int{}, Transformed: map[string]int{}, Gone: map[string]GoneSeen{}, Conditions: []ConditionSeen{},
	}
}

// NewCounter returns a Counter of no profiles.
func NewCounter(m mapping.Mapping) *Counter {
	return &Counter{mapping: m, traits: m.Traits(), seen: newCoverage(), conditions: m.ConditionCounts()}
}

// AddProfile counts a profile. ids and traits are what was read of it, identifier is what its
// source_id was taken from.
func (c *Counter) AddProfile(p mapping.Profile, ids []segmentprofiles.ExternalID, identifier string) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen.Profiles++
	byType := make(map[string]int)
	for _, id := range ids {
		byType[id.Type]++
	}
	for idType, n := range byType {
		seen := c.seen.Types[idType]
		seen.Have++
		if n > 1 {
			seen.Several++
		}
		c.seen.Types[idType] = seen
	}
	for key := range p.Traits {
		if c.traits == nil || slices.Contains(c.traits, key) {
			c.seen.Mapped[plan.KeyIn(c.seen.Mapped, key)]++
		} else {
			c.seen.LeftOut[plan.KeyIn(c.seen.LeftOut, key)]++
		}
	}
	if p.SourceID == "" {
		return
	}
	c.seen.Identifiers[identifier]++
	c.mapping.Count(c.conditions, p)
}

// AddCustomer counts the customer that a profile became.
func (c *Counter) AddCustomer(p mapping.Profile, customer *voucherify.Customer, warnings []mapping.Warning) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mapping.HasTransforms() {
		c.addTransformed(p)
	}
	for field, removed := range mapping.Absent(&p, &c.mapping) {
		seen := c.seen.Gone[field]
		if removed {
			seen.Removed++
		} else {
			seen.Unknown++
		}
		c.seen.Gone[field] = seen
	}
	for _, w := range warnings {
		kind := w.Field + ": " + w.Reason
		c.seen.Kinds[plan.KeyIn(c.seen.Kinds, kind)]++
	}
	count := func(field, value string) {
		if value != "" {
			c.seen.Fields[field]++
		}
	}
	count("name", customer.Name)
	count("email", customer.Email)
	count("phone", customer.Phone)
	count("description", customer.Description)
	count("birthdate", customer.Birthdate.String())
	if a := customer.Address; a != nil {
		count("address.city", a.City)
		count("address.state", a.State)
		count("address.country", a.Country)
		count("address.postal_code", a.PostalCode)
		count("address.line_1", a.Line1)
		count("address.line_2", a.Line2)
	}
	for key, value := range customer.Metadata {
		if value != nil {
			field := "metadata." + key
			c.seen.Fields[plan.KeyIn(c.seen.Fields, field)]++
		}
	}
}

// addTransformed counts the fields whose value a transform changed, each once.
func (c *Counter) addTransformed(p mapping.Profile) {
	counted := make(map[string]bool)
	for _, s := range mapping.Explain(p, c.mapping) {
		if s.Result != nil && !counted[s.Field] {
			counted[s.Field] = true
			c.seen.Transformed[plan.KeyIn(c.seen.Transformed, s.Field)]++
		}
	}
}

// Coverage returns the counts.
func (c *Counter) Coverage() *Coverage {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen.Conditions = []ConditionSeen{}
	for _, count := range c.conditions {
		operator := count.Condition.Operator
		c.seen.Conditions = append(c.seen.Conditions, ConditionSeen{
			Condition: count.Condition.String(), Present: count.There, OtherType: count.OtherType,
			Negative: operator == mapping.IsNot || operator == mapping.NotIn || operator == mapping.NotLike,
		})
	}
	return c.seen
}
