package mapping

import (
	"fmt"
	"strings"

	"segsync/importer/metadata"
)

// Transform changes the value of a trait on its way to a field. A list is changed element by
// element.
type Transform struct {
	Steps []Step `json:"steps,omitempty"` // in the order of the file
	// Default is the value where all traits are absent, or where values has no other; nil for none.
	Default any `json:"default,omitempty"`
}

// Step is one verb of a Transform, with what it takes.
type Step struct {
	Verb    string         `json:"verb"`
	Formats []string       `json:"formats,omitempty"` // of formats
	Values  map[string]any `json:"values,omitempty"`  // of values
	Type    string         `json:"type,omitempty"`    // of as

	dates []dateFormat // of Formats
}

func (t *Transform) hasDefault() bool { return t != nil && t.Default != nil }

// apply returns the transformed value, or why it cannot be used: "is not a number".
func (t *Transform) apply(v any) (_ any, reason string) {
	if list, isList := v.([]any); isList {
		all := make([]any, len(list))
		for i, element := range list {
			if all[i], reason = t.apply(element); reason != "" {
				return nil, reason
			}
		}
		return all, ""
	}
	for i := range t.Steps {
		s := &t.Steps[i]
		text, isText := v.(string)
		switch {
		case s.Verb == "trim" && isText:
			v = strings.TrimSpace(text)
		case s.Verb == "lower" && isText:
			v = strings.ToLower(text)
		case s.Verb == "digits":
			v, reason = digitsOf(v)
		case s.Verb == "formats":
			v, reason = s.date(v)
		case s.Verb == "values":
			text, _ := metadata.Text(v)
			name, _ := text.(string)
			mapped, known := s.Values[name]
			switch {
			case !known && t.Default != nil:
				return t.Default, ""
			case !known:
				return nil, "is not one of the values that the mapping names"
			}
			v = mapped
		case s.Verb == "as":
			if v, reason = metadata.Convert(s.Type, v); reason != "" {
				reason = "is " + reason
			}
		}
		if reason != "" {
			return nil, reason
		}
	}
	return v, ""
}

// digitsOf keeps the digits of text or of a number, and a plus sign before them.
func digitsOf(v any) (any, string) {
	converted, _ := metadata.Text(v)
	text, _ := converted.(string)
	var b strings.Builder
	for _, c := range text {
		if c >= '0' && c <= '9' || c == '+' && b.Len() == 0 {
			b.WriteRune(c)
		}
	}
	if digits := b.String(); strings.TrimPrefix(digits, "+") != "" {
		return digits, ""
	}
	return nil, "has no digits"
}

// transform returns the transformed value of a trait, v, or the default where v is nil. It
// returns nil, with a warning, for a value that cannot be used.
func (r *traitReader) transform(kind Kind, field string, t *Transform, path Path, v any) any {
	if t == nil {
		return v
	}
	if v == nil {
		return t.Default
	}
	result, reason := t.apply(v)
	if reason != "" {
		r.warn(kind, field, path, v, reason)
	}
	return result
}

// NamedValues returns the values that the conditions and transforms of the mapping name, as text.
func (m *Mapping) NamedValues() map[string]bool {
	named := make(map[string]bool)
	for _, c := range m.conditions() {
		for _, v := range c.Values {
			named[fmt.Sprint(v)] = true
		}
	}
	m.eachTransform(func(t *Transform) {
		for _, s := range t.Steps {
			for value := range s.Values {
				named[value] = true
			}
		}
	})
	return named
}

// HasTransforms reports whether the mapping changes any value.
func (m *Mapping) HasTransforms() bool {
	has := false
	m.eachTransform(func(*Transform) { has = true })
	return has
}

func (m *Mapping) eachTransform(do func(*Transform)) {
	for _, f := range m.fields() {
		if f.Transform != nil {
			do(f.Transform)
		}
	}
	for _, t := range m.Metadata.Traits {
		if t.Transform != nil {
			do(t.Transform)
		}
	}
}

// transform reads the transform of a field, which may be written as a list of traits or as an
// object; it is nil where there is none.
func (r *fileReader) transform(n *node, field string) *Transform {
	if _, isObject := n.value.(map[string]any); !isObject {
		return nil
	}
	var t Transform
	for _, verb := range n.order {
		member := n.find(verb)
		s := Step{Verb: verb}
		switch v := member.value.(type) {
		case bool:
			if verb == "default" {
				t.Default = v
			}
			if !v || verb != "trim" && verb != "lower" && verb != "digits" {
				continue
			}
		case map[string]any:
			if s.Values = v; verb != "values" {
				continue
			}
		default:
			switch list, isList := v.([]any); verb {
			case "default":
				t.Default = v
				continue
			case "as":
				s.Type, _ = v.(string)
			case "formats":
				if !isList {
					list = []any{v}
				}
				for _, format := range list {
					s.Formats = append(s.Formats, fmt.Sprint(format))
				}
				var err error
				if s.dates, err = parseDateFormats(s.Formats); err != nil {
					r.bad(member.at, "%s", err)
				}
			default:
				continue
			}
		}
		t.Steps = append(t.Steps, s)
	}
	if text, _ := t.Default.(string); field == "birthdate" && t.Default != nil {
		if _, err := metadata.ParseDate(text); err != nil {
			r.bad(n.find("default").at, "birthdate: %v is %s", quote(t.Default), err)
		}
	}
	if t.Default == nil && len(t.Steps) == 0 {
		return nil
	}
	return &t
}
