// Package metadata makes the metadata of customers fit a project's schema. It converts the values
// of JSON to the types that Voucherify documents.
package metadata

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"segsync/voucherify"
)

// LeftOut is a key of the metadata that is not sent.
type LeftOut struct {
	Key    string
	Reason string // a few words, the same for every value of that kind: "not a number"
}

// Schema is what the metadata of customers may hold.
type Schema struct {
	// DefinedOnly says that keys which are not defined are left out; else they are sent as they are.
	DefinedOnly bool

	properties map[string]voucherify.Property // without the deleted ones
	required   []string
}

// NewSchema returns the Schema of a project. The definitions that are deleted count for
// nothing. DefinedOnly is that of the project.
func NewSchema(s *voucherify.MetadataSchema) *Schema {
	schema := &Schema{DefinedOnly: s.AllowDefinedOnly, properties: make(map[string]voucherify.Property)}
	for _, key := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[key]
		if p.Deleted {
			continue
		}
		schema.properties[key] = p
		if !p.Optional {
			schema.required = append(schema.required, key)
		}
	}
	return schema
}

// Objects returns the keys that are defined as objects, or as arrays of objects.
func (s *Schema) Objects() map[string]bool {
	objects := make(map[string]bool)
	for key, p := range s.properties {
		if p.Type == "object" {
			objects[key] = true
		}
	}
	return objects
}

// Missing returns the keys that are required and not in metadata: Voucherify would reject
// the customer.
func (s *Schema) Missing(metadata map[string]any) []string {
	var missing []string
	for _, key := range s.required {
		if metadata[key] == nil {
			missing = append(missing, key)
		}
	}
	return missing
}

// Fit returns the part of metadata that the schema takes, nil for none, and the keys that
// are left out, sorted: those whose value is of another type or breaks a constraint, and with
// DefinedOnly those that are not defined. Values are converted where that loses nothing:
//
//	string    numbers and booleans, as they are written
//	number    text that is a number of no more digits than a float64 holds
//	boolean   "true" and "false"
//	date      YYYY-MM-DD of what ParseDate takes
//	datetime  YYYY-MM-DDThh:mm:ss.sssZ of what ParseDate takes with a time, in UTC
//	arrays    of one element, where an array is wanted
//
// metadata is not changed.
func (s *Schema) Fit(metadata map[string]any) (fitted map[string]any, leftOut []LeftOut) {
	for _, key := range slices.Sorted(maps.Keys(metadata)) {
		v, reason := metadata[key], ""
		if p, defined := s.properties[key]; defined {
			v, reason = fitValue(&p, v)
		} else if s.DefinedOnly {
			reason = unknownKey
		}
		if reason != "" {
			leftOut = append(leftOut, LeftOut{key, reason})
			continue
		}
		if fitted == nil {
			fitted = make(map[string]any, len(metadata))
		}
		fitted[key] = v
	}
	return fitted, leftOut
}

// FitClear returns the part of a customer's Clear that the schema takes, and the keys of
// the metadata that are left out: those that are not defined, and those that are required.
func (s *Schema) FitClear(clear []string) (fitted []string, leftOut []LeftOut) {
	for _, field := range clear {
		key, isMetadata := strings.CutPrefix(field, "metadata.")
		switch _, defined := s.properties[key]; {
		case isMetadata && !defined && s.DefinedOnly:
			leftOut = append(leftOut, LeftOut{key, unknownKey})
		case isMetadata && slices.Contains(s.required, key):
			leftOut = append(leftOut, LeftOut{key, "required, and not to be cleared"})
		default:
			fitted = append(fitted, field)
		}
	}
	return fitted, leftOut
}

// FitCustomer makes the metadata and the Clear of a customer fit the schema, and returns what
// is left out.
func (s *Schema) FitCustomer(c *voucherify.Customer) []LeftOut {
	var leftOut, cleared []LeftOut
	c.Metadata, leftOut = s.Fit(c.Metadata)
	c.Clear, cleared = s.FitClear(c.Clear)
	return append(leftOut, cleared...)
}

// Refusals returns why Voucherify refuses a customer with this metadata, key by key.
func (s *Schema) Refusals(metadata map[string]any) []LeftOut {
	fitted, refusals := s.Fit(metadata)
	for _, key := range slices.Sorted(maps.Keys(fitted)) {
		if !reflect.DeepEqual(fitted[key], metadata[key]) {
			refusals = append(refusals, LeftOut{key, "METADATA_POLICY=as-is does not convert it"})
		}
	}
	for _, key := range s.Missing(metadata) {
		refusals = append(refusals, LeftOut{key, "required, and missing"})
	}
	return refusals
}

// unknownKey is the reason for leaving out what the schema does not define.
const unknownKey = "unknown"

// fitValue returns the value as the property wants it, or why it cannot be.
func fitValue(p *voucherify.Property, v any) (fitted any, reason string) {
	if v == nil {
		return nil, "null"
	}
	elements, isArray := v.([]any)
	switch {
	case !p.Array && isArray:
		return nil, "an array"
	case !p.Array:
		return fitElement(p, v)
	case !isArray:
		elements = []any{v}
	}
	all := make([]any, len(elements))
	for i, e := range elements {
		if all[i], reason = fitElement(p, e); reason != "" {
			return nil, reason
		}
	}
	return all, ""
}

// fitElement converts to the types that Voucherify documents, each in its documented form.
//
// https://docs.voucherify.io/api-reference/metadata-schemas/get-metadata-schema
func fitElement(p *voucherify.Property, v any) (fitted any, reason string) {
	switch p.Type {
	case "object":
		if _, ok := v.(map[string]any); !ok {
			return nil, "not an object"
		}
		return v, ""
	case "string", "number", "boolean", "date", "datetime", "geopoint", "image_url":
		fitted, reason = Convert(p.Type, v)
	default: // not documented: Voucherify decides
		return v, ""
	}
	if reason == "" {
		reason = violation(p, fitted)
	}
	return fitted, reason
}

// Convert returns the value as a type of the schema, or why it cannot be: "not a number". Text is
// another name of string.
func Convert(to string, v any) (any, string) {
	switch to {
	case "number":
		return toNumber(v)
	case "boolean":
		return toBoolean(v)
	case "date":
		return toDate(v)
	case "datetime":
		return toDatetime(v)
	case "geopoint":
		return toGeopoint(v)
	case "image_url":
		return toImageURL(v)
	}
	return Text(v)
}

// Text returns text, a number or a boolean as text.
func Text(v any) (any, string) {
	switch v := v.(type) {
	case string:
		return v, ""
	case bool:
		return strconv.FormatBool(v), ""
	case json.Number:
		if text, ok := Decimal(v.String()); ok {
			return text, ""
		}
	}
	return nil, "not a string"
}

func toNumber(v any) (any, string) {
	switch v := v.(type) {
	case json.Number:
		return v, ""
	case string:
		if !numberForm.MatchString(v) {
			break
		}
		if !exact(v) {
			return nil, "a number with too many digits"
		}
		return json.Number(v), ""
	}
	return nil, "not a number"
}

// exact reports whether the number is still the same after it was a float64.
func exact(number string) bool {
	f, err := strconv.ParseFloat(number, 64)
	digits, ok := Decimal(number)
	if err != nil || !ok {
		return false
	}
	if strings.Contains(digits, ".") {
		digits = strings.TrimSuffix(strings.TrimRight(digits, "0"), ".")
	}
	return strconv.FormatFloat(f, 'f', -1, 64) == digits
}

func toBoolean(v any) (any, string) {
	switch v {
	case true, "true":
		return true, ""
	case false, "false":
		return false, ""
	}
	return nil, "not a boolean"
}

func toDate(v any) (any, string) {
	s, _ := v.(string)
	date, err := ParseDate(s)
	if err != nil {
		return nil, "not a date"
	}
	return date, ""
}

// toDatetime cuts what is finer than milliseconds: Voucherify has no room for it.
func toDatetime(v any) (any, string) {
	s, _ := v.(string)
	if _, err := ParseDate(s); err != nil || len(s) == len(time.DateOnly) {
		return nil, "not a date-time"
	}
	const seconds = len("2006-01-02T15:04:05")
	if s[seconds] == ':' { // the fraction of the older import tool
		s = s[:seconds] + "." + s[seconds+1:]
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05Z07"} {
		t, err := time.Parse(layout, s)
		if t = t.UTC(); err == nil && t.Year() >= 0 && t.Year() <= 9999 {
			return t.Format("2006-01-02T15:04:05.000Z"), ""
		}
	}
	return nil, "not a date-time"
}

// geopointForm matches latitude and longitude: "37.786971,-122.399677".
var geopointForm = regexp.MustCompile(`^(-?(?:90(?:\.0+)?|0?[0-8]?\d(?:\.\d+)?)), ?(-?(?:180(?:\.0+)?|(?:1[0-7]|0?\d)?\d(?:\.\d+)?))$`)

func toGeopoint(v any) (any, string) {
	s, _ := v.(string)
	m := geopointForm.FindStringSubmatch(s)
	if m == nil {
		return nil, "not a geopoint"
	}
	return m[1] + "," + m[2], ""
}

var imageForm = regexp.MustCompile(`(?i)\.(?:jpe?g|png)$`)

func toImageURL(v any) (any, string) {
	s, _ := v.(string)
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || !imageForm.MatchString(u.Path) {
		return nil, "not an image URL"
	}
	return s, ""
}

// violation says which constraint of the property the value breaks, or "". The constraints are
// those of MetadataSchemaProperty: eq and ne for each type, lt, lte, gt and gte for
// numbers, and the lengths for text. A constraint of another kind is taken for none.
//
// https://docs.voucherify.io/api-reference/metadata-schemas/get-metadata-schema
func violation(p *voucherify.Property, v any) string {
	equal := func(other any) bool { return equalValues(v, other) }
	if len(p.Eq) > 0 && !slices.ContainsFunc(p.Eq, equal) {
		return "not one of the values allowed"
	}
	if slices.ContainsFunc(p.Ne, equal) {
		return "a value that is not allowed"
	}
	switch v := v.(type) {
	case json.Number:
		return outOfBounds(p, v)
	case string:
		return wrongLength(p, v)
	}
	return ""
}

// equalValues compares numbers by value.
func equalValues(v, other any) bool {
	x, ok := v.(json.Number)
	if y, isNumber := other.(json.Number); ok && isNumber {
		return CompareNumbers(x, y) == 0
	}
	return v == other
}

func outOfBounds(p *voucherify.Property, v json.Number) string {
	for _, b := range []struct {
		bound any
		holds func(c int) bool
		is    string
	}{
		{p.Lt, func(c int) bool { return c < 0 }, "not below"},
		{p.Lte, func(c int) bool { return c <= 0 }, "above"},
		{p.Gt, func(c int) bool { return c > 0 }, "not above"},
		{p.Gte, func(c int) bool { return c >= 0 }, "below"},
	} {
		if bound, ok := b.bound.(json.Number); ok && !b.holds(CompareNumbers(v, bound)) {
			return fmt.Sprintf("%s %v", b.is, bound)
		}
	}
	return ""
}

func wrongLength(p *voucherify.Property, s string) string {
	n := utf8.RuneCountInString(s)
	switch {
	case p.MinLength != nil && n < *p.MinLength:
		return fmt.Sprintf("shorter than %d characters", *p.MinLength)
	case p.MaxLength != nil && n > *p.MaxLength:
		return fmt.Sprintf("longer than %d characters", *p.MaxLength)
	case p.ExactLength != nil && n != *p.ExactLength:
		return fmt.Sprintf("not of %d characters", *p.ExactLength)
	}
	return ""
}
