package mapping

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"segsync/importer/metadata"
	"segsync/internal/safetext"
	"segsync/segmentprofiles"
)

// Condition is a condition on a trait, on an external ID, or, with Any, one of several of
// these. Exactly one of Trait, ExternalID and Any is set.
//
// A trait that is null or blank text is absent. It matches is_not, not_in, not_like and
// exists: false, and nothing else. A value of another type than the condition's is
// different from it: the text "true" is not the boolean.
type Condition struct {
	Trait      Path     `json:"trait,omitempty"`
	ExternalID string   `json:"external_id,omitempty"` // a type, such as email; with Exists only
	Operator   Operator `json:"operator,omitempty"`
	// Values are strings, booleans or json.Numbers: several for In and NotIn, else one. A
	// string for Like and NotLike, a number for AtLeast and AtMost, a boolean for Exists.
	Values []any       `json:"values,omitempty"`
	Any    []Condition `json:"any,omitempty"` // without Any in them
}

// Operator is how a Condition compares.
type Operator string

const (
	Is      Operator = "is"
	IsNot   Operator = "is_not"
	In      Operator = "in"
	NotIn   Operator = "not_in"
	Like    Operator = "like" // text in which * stands for any characters
	NotLike Operator = "not_like"
	AtLeast Operator = "at_least"
	AtMost  Operator = "at_most"
	Exists  Operator = "exists"
)

// String returns the condition as in a mapping file, on one line, safe to print.
func (c Condition) String() string {
	if len(c.Any) > 0 {
		return fmt.Sprintf("any: %v", c.Any)
	}
	subject := "trait: " + c.Trait.String()
	if c.ExternalID != "" {
		subject = "external_id: " + c.ExternalID
	}
	values := make([]string, len(c.Values))
	for i, v := range c.Values {
		values[i] = fmt.Sprint(v)
		if s, ok := v.(string); ok {
			values[i] = strconv.Quote(s)
		}
	}
	value := strings.Join(values, ", ")
	if c.Operator == In || c.Operator == NotIn {
		value = "[" + value + "]"
	}
	return safetext.Line(fmt.Sprintf("{%s, %s: %s}", subject, c.Operator, value))
}

// Matches reports whether all conditions of m.Where hold for the profile. ids are its
// external IDs of the types in ExternalIDTypes; others do not matter.
func (m Mapping) Matches(p Profile, ids []segmentprofiles.ExternalID) bool {
	if len(m.Where) == 0 {
		return true
	}
	r := traitReader{traits: p.Traits}
	holds := func(c Condition) bool { return r.holds(&c, ids, p.Texts) }
	for _, c := range m.Where {
		if len(c.Any) > 0 && !slices.ContainsFunc(c.Any, holds) || len(c.Any) == 0 && !holds(c) {
			return false
		}
	}
	return true
}

// ExternalIDTypes returns the types of external IDs that Where has conditions on, sorted,
// each once.
func (m Mapping) ExternalIDTypes() []string {
	types := []string{}
	for _, c := range m.conditions() {
		if c.ExternalID != "" {
			types = append(types, c.ExternalID)
		}
	}
	slices.Sort(types)
	return slices.Compact(types)
}

// conditions returns the conditions of Where in their order, those of Any in place of it.
func (m *Mapping) conditions() []Condition {
	var all []Condition
	for _, c := range m.Where {
		if len(c.Any) > 0 {
			all = append(all, c.Any...)
		} else {
			all = append(all, c)
		}
	}
	return all
}

func (m *Mapping) conditionPaths() []Path {
	var paths []Path
	for _, c := range m.conditions() {
		if len(c.Trait) > 0 {
			paths = append(paths, c.Trait)
		}
	}
	return paths
}

// holds reports whether a condition without Any holds.
func (r *traitReader) holds(c *Condition, ids []segmentprofiles.ExternalID, texts bool) bool {
	if c.ExternalID != "" {
		return (newestID(ids, c.ExternalID) != "") == (c.Values[0] == true)
	}
	_, v := r.find([]Path{c.Trait})
	switch c.Operator {
	case Exists:
		return (v != nil) == (c.Values[0] == true)
	case IsNot, NotIn, NotLike:
		return v == nil || !c.holdsFor(v, texts)
	}
	return v != nil && c.holdsFor(v, texts)
}

// holdsFor reports whether one of the condition's values agrees with v; for the operators
// with not, too.
func (c *Condition) holdsFor(v any, texts bool) bool {
	return slices.ContainsFunc(c.Values, func(want any) bool {
		v, ok := sameType(v, want, texts)
		if !ok {
			return false
		}
		switch c.Operator {
		case Like, NotLike:
			return like(v.(string), want.(string))
		case AtLeast:
			return metadata.CompareNumbers(v.(json.Number), want.(json.Number)) >= 0
		case AtMost:
			return metadata.CompareNumbers(v.(json.Number), want.(json.Number)) <= 0
		}
		if number, ok := v.(json.Number); ok {
			return metadata.CompareNumbers(number, want.(json.Number)) == 0
		}
		return v == want
	})
}

// sameType returns v as a value of want's type: a string, a boolean or a json.Number. Text
// is converted only if the traits are texts.
func sameType(v, want any, texts bool) (any, bool) {
	text, isText := v.(string)
	switch want.(type) {
	case string:
		return v, isText
	case bool:
		if texts && (text == "true" || text == "false") {
			return text == "true", true
		}
		_, ok := v.(bool)
		return v, ok
	}
	if texts && isText && metadata.IsNumber(text) {
		return json.Number(text), true
	}
	_, ok := v.(json.Number)
	return v, ok
}

// like reports whether s has the form of pattern, in which * stands for any characters.
func like(s, pattern string) bool {
	first, rest, found := strings.Cut(pattern, "*")
	s, ok := strings.CutPrefix(s, first)
	if !found || !ok {
		return ok && s == ""
	}
	parts := strings.Split(rest, "*")
	last := len(parts) - 1
	for _, part := range parts[:last] {
		if _, s, ok = strings.Cut(s, part); !ok {
			return false
		}
	}
	return strings.HasSuffix(s, parts[last])
}

// ConditionCount says, over many profiles, whether the values of a trait are of the type
// that a condition compares with. Where OtherType equals There and both are above 0, the
// condition cannot hold, or with is_not, not_in and not_like always holds.
type ConditionCount struct {
	Condition Condition
	There     int // profiles that have the trait
	OtherType int // of these, those whose value has another type
}

// ConditionCounts returns a count of no profiles for each condition of Where on the value
// of a trait.
func (m Mapping) ConditionCounts() []ConditionCount {
	var counts []ConditionCount
	for _, c := range m.conditions() {
		if len(c.Trait) > 0 && c.Operator != Exists {
			counts = append(counts, ConditionCount{Condition: c})
		}
	}
	return counts
}

// Count adds the profile to counts, which ConditionCounts returned.
func (m Mapping) Count(counts []ConditionCount, p Profile) {
	r := traitReader{traits: p.Traits}
	for i := range counts {
		c := &counts[i]
		_, v := r.find([]Path{c.Condition.Trait})
		if v == nil {
			continue
		}
		c.There++
		comparable := func(want any) bool { _, ok := sameType(v, want, p.Texts); return ok }
		if !slices.ContainsFunc(c.Condition.Values, comparable) {
			c.OtherType++
		}
	}
}
