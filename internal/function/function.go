// Package function writes a Segment Destination Function: a program that makes the customer of each
// identify event by the same mapping as an import does of a profile.
//
// Its runtime, runtime.js, is the same for every mapping. The mapping is the constant MAPPING before it.
package function

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"segsync/importer/mapping"
	"segsync/internal/safetext"
	"segsync/internal/settings"
)

//go:embed header.js
var header string

//go:embed runtime.js
var runtime string

// Options say what the function does.
type Options struct {
	Identifiers []mapping.Identifier
	Mapping     mapping.Mapping
	Policy      settings.MetadataPolicy
	Version     string // of segsync
}

// Source returns the source text of the function. Its error has a line for each thing of the mapping
// that an event cannot tell, or JavaScript cannot hold.
func Source(o Options) (string, error) {
	c := newConstant(&o)
	if len(c.refusals) > 0 {
		return "", errors.Join(c.refusals...)
	}
	about := fmt.Sprintf(header, o.Version, o.Mapping.Fingerprint(), safetext.Line(o.Identifiers[0].String()), o.Policy)
	return about + "\n" + c.String() + "\n" + runtime, nil
}

// constant is the mapping as the runtime reads it.
type constant struct {
	Identifier string      `json:"identifier"` // the first of the list
	FitSchema  bool        `json:"fit_schema"` // metadata is made to fit the project's schema
	Strict     bool        `json:"strict"`     // metadata keys that the schema does not define are left out
	Fields     []field     `json:"fields"`     // without metadata
	Metadata   metadata    `json:"metadata"`
	Where      []condition `json:"where"`
	Clear      []cleared   `json:"clear"`

	refusals []error
}

// field is a field of the customer, by its Path, or a key of its metadata.
type field struct {
	Path     []string        `json:"path,omitempty"` // name, or address and city
	Key      string          `json:"key,omitempty"`
	Constant string          `json:"constant,omitempty"`
	Traits   mapping.Paths   `json:"traits"`
	Join     []mapping.Paths `json:"join,omitempty"`
	Steps    []step          `json:"steps"`
	Default  any             `json:"default,omitempty"`
}

type step struct {
	Verb   string         `json:"verb"`
	Dates  []string       `json:"dates,omitempty"` // regular expressions
	Values map[string]any `json:"values,omitempty"`
	Type   string         `json:"type,omitempty"`
}

type metadata struct {
	Object mapping.Paths `json:"object"`
	Fields []field       `json:"fields"`
	All    bool          `json:"all"`
	Not    []string      `json:"not"` // traits that All does not take
}

type condition struct {
	Any        []condition  `json:"any,omitempty"`
	ExternalID string       `json:"external_id,omitempty"` // it must be there
	Trait      mapping.Path `json:"trait,omitempty"`
	Compare    string       `json:"compare,omitempty"` // is, like, at_least, at_most or exists
	Values     []any        `json:"values,omitempty"`
	Not        bool         `json:"not"`
}

// cleared is a field that is sent as null where one of Paths is null and no trait is present: none of
// Groups, and not Path's member of Object.
type cleared struct {
	Path   []string        `json:"path"`
	Object mapping.Paths   `json:"object"`
	Groups []mapping.Paths `json:"groups"`
	Paths  mapping.Paths   `json:"paths"`
}

func newConstant(o *Options) *constant {
	m := &o.Mapping
	c := &constant{
		Identifier: o.Identifiers[0].String(),
		FitSchema:  o.Policy != settings.AsIs && m.Metadata.Any(),
		Strict:     o.Policy == settings.Strict,
		Metadata:   metadata{Object: notNil(m.Metadata.Object), All: m.Metadata.All, Not: slices.Clone(m.Metadata.Exclude)},
	}
	for _, f := range []struct {
		name string
		mapping.Field
	}{
		{"name", m.Name}, {"email", m.Email}, {"phone", m.Phone}, {"description", m.Description}, {"birthdate", m.Birthdate},
		{"address.city", m.Address.City}, {"address.state", m.Address.State}, {"address.country", m.Address.Country},
		{"address.postal_code", m.Address.PostalCode}, {"address.line_1", m.Address.Line1}, {"address.line_2", m.Address.Line2},
	} {
		if len(f.Traits) > 0 || len(f.Join) > 0 || f.Constant != "" {
			to := c.newField(f.name, f.Field)
			to.Path = pathOf(f.name)
			c.Fields = append(c.Fields, to)
		}
	}
	for _, t := range m.Metadata.Traits {
		to := c.newField("metadata."+t.Key, mapping.Field{Traits: t.Traits, Transform: t.Transform})
		to.Key = t.Key
		c.Metadata.Fields = append(c.Metadata.Fields, to)
	}
	for _, f := range slices.Concat(c.Fields, c.Metadata.Fields, []field{{Traits: m.Metadata.Object}}) {
		for _, path := range slices.Concat(f.groups()...) {
			c.Metadata.Not = append(c.Metadata.Not, path[0])
		}
	}
	slices.Sort(c.Metadata.Not)
	c.Metadata.Not = notNil(slices.Compact(c.Metadata.Not))
	for _, w := range m.Where {
		c.Where = append(c.Where, c.newCondition(w))
	}
	for _, name := range m.Clear {
		c.Clear = append(c.Clear, c.newCleared(pathOf(name)))
	}
	return c
}

// notNil returns a list that is [] in JSON where there is none, not null.
func notNil[S ~[]E, E any](list S) S { return append(S{}, list...) }

// pathOf returns the name of a field, and of its member where it has one.
func pathOf(name string) []string { return strings.SplitN(name, ".", 2) }

func (c *constant) refuse(format string, args ...any) {
	c.refusals = append(c.refusals, fmt.Errorf(format, args...))
}

// checkNumber refuses a number that JavaScript would write otherwise.
func (c *constant) checkNumber(where string, v any) {
	number, isNumber := v.(json.Number)
	if !isNumber {
		return
	}
	const safe = 1<<53 - 1
	f, err := number.Float64()
	switch text := strconv.FormatFloat(f, 'f', -1, 64); {
	case err != nil || f > safe || f < -safe:
		c.refuse("%s: the number %s is too large for JavaScript", where, safetext.Line(number.String()))
	case text != number.String():
		c.refuse("%s: JavaScript writes the number %s as %s: write it so, or in quotes", where, safetext.Line(number.String()), text)
	}
}

func (f *field) groups() []mapping.Paths { return append([]mapping.Paths{f.Traits}, f.Join...) }

func (c *constant) newField(name string, f mapping.Field) field {
	to := field{Constant: f.Constant, Traits: notNil(f.Traits), Join: f.Join, Steps: []step{}}
	name = safetext.Line(name)
	if f.Transform == nil {
		return to
	}
	to.Default = f.Transform.Default
	c.checkNumber(name, to.Default)
	for _, s := range f.Transform.Steps {
		for value, becomes := range s.Values {
			c.checkNumber(name, becomes)
			if value == "__proto__" {
				c.refuse("%s: values: JavaScript does not take __proto__ as a value", name)
			}
		}
		added := step{Verb: s.Verb, Values: s.Values, Type: s.Type}
		for _, format := range s.Formats {
			for _, f := range mapping.DateFormats(format) {
				added.Dates = append(added.Dates, datePattern(f))
			}
		}
		to.Steps = append(to.Steps, added)
	}
	return to
}

func (c *constant) newCondition(w mapping.Condition) condition {
	to := condition{ExternalID: w.ExternalID, Trait: w.Trait}
	for _, alternative := range w.Any {
		to.Any = append(to.Any, c.newCondition(alternative))
	}
	for _, v := range w.Values {
		c.checkNumber("where", v)
	}
	switch w.Operator {
	case mapping.Exists:
		if to.Not = w.Values[0] == false; to.Not && w.ExternalID != "" {
			c.refuse("where: %s: an event does not tell that a profile lacks an external ID", w)
		}
		to.Compare = "exists"
	case mapping.IsNot, mapping.NotIn, mapping.In:
		to.Compare, to.Values, to.Not = "is", w.Values, w.Operator != mapping.In
	case mapping.NotLike:
		to.Compare, to.Values, to.Not = "like", w.Values, true
	default:
		to.Compare, to.Values = string(w.Operator), w.Values
	}
	return to
}

func (c *constant) newCleared(path []string) cleared {
	to := cleared{Path: path, Object: mapping.Paths{}, Groups: []mapping.Paths{}}
	if path[0] == "metadata" {
		key := path[1]
		for _, f := range c.Metadata.Fields {
			if f.Key == key {
				to.Groups = append(to.Groups, f.Traits)
			}
		}
		if c.Metadata.All && !slices.Contains(c.Metadata.Not, key) {
			to.Groups = append(to.Groups, mapping.Paths{{key}})
		}
		to.Object = c.Metadata.Object
	} else {
		i := slices.IndexFunc(c.Fields, func(f field) bool { return slices.Equal(f.Path, path) })
		to.Groups = c.Fields[i].groups()
	}
	to.Paths = notNil(slices.Concat(to.Groups...))
	for _, object := range to.Object {
		to.Paths = append(to.Paths, append(slices.Clip(object), path[1]))
	}
	return to
}

var (
	dateToken    = regexp.MustCompile(`YYYY|MM?|DD?|hh|mm|ss|Z| +|.`)
	dateElements = map[string]string{
		"YYYY": `(?<Y>\d{4})`,
		"MM":   `(?<M>0[1-9]|1[0-2])`,
		"M":    `(?<M>0[1-9]|1[0-2]|[1-9](?!\d))`,
		"DD":   `(?<D>0[1-9]|[12]\d|3[01])`,
		"D":    `(?<D>0[1-9]|[12]\d|3[01]|[1-9](?!\d))`,
		"hh":   `(?<h>[01]\d|2[0-3]|\d(?!\d))`,
		"mm":   `(?<m>[0-5]\d)`,
		"ss":   `(?<s>[0-5]\d)(?:[.,](?<f>\d+)(?!\d)|(?![.,]\d))`,
		"Z":    `(?:Z|UTC|(?<sign>[+-])(?<zh>[01]\d|2[0-4])(?::?(?<zm>[0-5]\d))?)`,
	}
)

// datePattern returns a date format as a regular expression of JavaScript, with a group for each part.
func datePattern(format string) string {
	return "^" + dateToken.ReplaceAllStringFunc(format, func(token string) string {
		switch element, isElement := dateElements[token]; {
		case isElement:
			return element
		case token[0] == ' ':
			return `(?: +|$)`
		default:
			return regexp.QuoteMeta(token)
		}
	}) + "$"
}

// String returns the constant as JavaScript, with a line for each field.
func (c *constant) String() string {
	var b strings.Builder
	b.WriteString("const MAPPING = {\n")
	fmt.Fprintf(&b, "  \"identifier\": %s,\n  \"fit_schema\": %t,\n  \"strict\": %t,\n", toJSON(c.Identifier), c.FitSchema, c.Strict)
	fmt.Fprintf(&b, "  \"fields\": %s,\n", lines(c.Fields, "    "))
	fmt.Fprintf(&b, "  \"metadata\": {\n    \"object\": %s,\n    \"fields\": %s,\n    \"all\": %t,\n    \"not\": %s\n  },\n",
		toJSON(c.Metadata.Object), lines(c.Metadata.Fields, "      "), c.Metadata.All, toJSON(c.Metadata.Not))
	fmt.Fprintf(&b, "  \"where\": %s,\n  \"clear\": %s\n};\n", lines(c.Where, "    "), lines(c.Clear, "    "))
	return b.String()
}

// lines returns a list as JSON, an element a line.
func lines[T any](elements []T, indent string) string {
	if len(elements) == 0 {
		return "[]"
	}
	var texts []string
	for _, e := range elements {
		texts = append(texts, indent+toJSON(e))
	}
	return "[\n" + strings.Join(texts, ",\n") + "\n" + indent[2:] + "]"
}

func toJSON(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("function: a mapping is always JSON: " + err.Error())
	}
	return strings.TrimSuffix(b.String(), "\n")
}
