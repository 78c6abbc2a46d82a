package importer

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"segsync/voucherify"
)

// Profile is one Segment profile as read: its traits, and the identifier that
// was chosen for it.
type Profile struct {
	SegmentID string
	// SourceID is the external id that becomes the customer's source_id.
	SourceID string
	// Traits are decoded with json.Decoder.UseNumber; a number that is no
	// json.Number is not mapped to text. nil means no traits.
	Traits map[string]any
}

// Path leads to a trait by its key, {"city"}, or to a member of a trait that is
// an object, {"address", "city"}.
type Path []string

// String returns the keys joined by dots.
func (p Path) String() string { return strings.Join(p, ".") }

// Mapping says for each field of a customer which traits it may come from, in
// order of preference. The first trait that is there decides, even if its value
// cannot be used. A trait that is null, or a string of nothing but white space,
// is not there. A field without paths is left out.
//
// A path of one key that follows longer ones is for profiles that lack the
// objects those lead into: {"address", "city"}, {"city"} does not take the trait
// city where the trait address is an object, with or without a city.
type Mapping struct {
	Name []Path
	// NameParts are joined by a space where no trait of Name is there.
	NameParts   [][]Path
	Email       []Path
	Phone       []Path
	Description []Path
	Birthdate   []Path
	Address     AddressMapping
	// Metadata leads to an object, which becomes the metadata as it is.
	Metadata []Path
}

// AddressMapping is the part of a Mapping for the members of the address.
type AddressMapping struct {
	City, State, Country, PostalCode, Line1 []Path
}

// DefaultMapping reads the reserved traits of Segment, in camelCase and in
// snake_case.
//
// https://segment.com/docs/connections/spec/identify/#traits
func DefaultMapping() Mapping {
	return Mapping{
		Name: []Path{{"name"}},
		NameParts: [][]Path{
			{{"firstName"}, {"first_name"}},
			{{"lastName"}, {"last_name"}},
		},
		Email:       []Path{{"email"}},
		Phone:       []Path{{"phone"}},
		Description: []Path{{"description"}},
		Birthdate:   []Path{{"birthdate"}, {"birthday"}},
		Address: AddressMapping{
			City:       []Path{{"address", "city"}, {"city"}},
			State:      []Path{{"address", "state"}, {"state"}},
			Country:    []Path{{"address", "country"}, {"country"}},
			PostalCode: []Path{{"address", "postalCode"}, {"address", "postal_code"}, {"postalCode"}, {"postal_code"}},
			Line1:      []Path{{"address", "street"}, {"address", "line_1"}, {"street"}, {"line_1"}},
		},
		Metadata: []Path{{"metadata"}},
	}
}

// Traits returns the keys of the traits that the mapping reads, sorted, each
// once: what the include parameter of a traits request needs.
func (m Mapping) Traits() []string {
	fields := append([][]Path{
		m.Name, m.Email, m.Phone, m.Description, m.Birthdate,
		m.Address.City, m.Address.State, m.Address.Country, m.Address.PostalCode, m.Address.Line1,
		m.Metadata,
	}, m.NameParts...)
	var keys []string
	for _, paths := range fields {
		for _, path := range paths {
			if len(path) > 0 {
				keys = append(keys, path[0])
			}
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// Warning says what was left out of a customer, and why. It is safe to print: no
// character of the profile in it is a control character.
type Warning struct {
	// Field is the customer's field as in its JSON, such as address.city. It is
	// "birthdate" for an invalid birthdate, and for nothing else.
	Field string
	// Trait is the path of the trait, with dots.
	Trait string
	// Value is the trait's value, quoted if it is a string, otherwise JSON, and
	// cut to 100 characters.
	Value string
	// Reason continues a sentence that starts with the value.
	Reason string
}

// String returns for example
//
//	birthdate: "05/02/1984" is not a date in the form YYYY-MM-DD
//	name (trait firstName): ["Ada"] is an array, not text
func (w Warning) String() string {
	subject := w.Field
	if w.Trait != w.Field {
		subject += " (trait " + w.Trait + ")"
	}
	return subject + ": " + w.Value + " " + w.Reason
}

// MapCustomer returns the customer that a profile becomes, and a warning for
// each value that could not be used. Fields whose traits are not there are left
// out, so that the import never erases what Voucherify knows; only an invalid
// birthdate becomes voucherify.NoBirthdate. Text is not trimmed, and numbers and
// booleans become text. The customer's metadata is the profile's own map.
func MapCustomer(p Profile, m Mapping) (voucherify.Customer, []Warning) {
	r := traitReader{traits: p.Traits}
	c := voucherify.Customer{
		SourceID:       p.SourceID,
		Name:           r.name(m),
		Email:          r.text("email", m.Email),
		Phone:          r.text("phone", m.Phone),
		Description:    r.text("description", m.Description),
		Birthdate:      r.birthdate(m.Birthdate),
		Metadata:       r.metadata(m.Metadata),
		SystemMetadata: map[string]string{"source": "segmentio"},
	}
	address := voucherify.Address{
		City:       r.text("address.city", m.Address.City),
		State:      r.text("address.state", m.Address.State),
		Country:    r.text("address.country", m.Address.Country),
		PostalCode: r.text("address.postal_code", m.Address.PostalCode),
		Line1:      r.text("address.line_1", m.Address.Line1),
	}
	if address != (voucherify.Address{}) {
		c.Address = &address
	}
	return c, r.warnings
}

// traitReader reads the fields of one customer and collects the warnings.
type traitReader struct {
	traits   map[string]any
	warnings []Warning
}

func (r *traitReader) warn(field string, path Path, value any, reason string) {
	r.warnings = append(r.warnings, Warning{Field: field, Trait: path.String(), Value: quote(value), Reason: reason})
}

// find returns the first of paths that is there, and its value; nil if none is.
func (r *traitReader) find(paths []Path) (Path, any) {
	inObject := false
	for _, path := range paths {
		if len(path) == 0 || len(path) == 1 && inObject {
			continue
		}
		last := len(path) - 1
		object, ok := r.object(path[:last])
		if !ok {
			continue
		}
		inObject = inObject || last > 0
		if v := object[path[last]]; isThere(v) {
			return path, v
		}
	}
	return nil, nil
}

// object returns the object that path leads to; for the empty path, all traits.
func (r *traitReader) object(path Path) (map[string]any, bool) {
	object := r.traits
	for _, key := range path {
		var ok bool
		if object, ok = object[key].(map[string]any); !ok {
			return nil, false
		}
	}
	return object, true
}

func isThere(v any) bool {
	s, isString := v.(string)
	return v != nil && (!isString || strings.TrimSpace(s) != "")
}

func (r *traitReader) name(m Mapping) string {
	if path, _ := r.find(m.Name); path != nil {
		return r.text("name", m.Name)
	}
	var parts []string
	for _, paths := range m.NameParts {
		if part := r.text("name", paths); part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, " ")
}

func (r *traitReader) text(field string, paths []Path) string {
	path, v := r.find(paths)
	reason := ""
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case json.Number:
		if text, ok := decimal(v.String()); ok {
			return text
		}
		reason = "is a number with an exponent of absurd size"
	case []any:
		reason = "is an array, not text"
	case map[string]any:
		reason = "is an object, not text"
	default:
		reason = fmt.Sprintf("is a %T, not text", v)
	}
	r.warn(field, path, v, reason)
	return ""
}

func (r *traitReader) birthdate(paths []Path) voucherify.Birthdate {
	path, v := r.find(paths)
	if path == nil {
		return voucherify.Birthdate{}
	}
	s, _ := v.(string) // what is no string is reported as no date, like ""
	date, err := ParseBirthdate(s)
	if err != nil {
		r.warn("birthdate", path, v, "is "+err.Error())
		return voucherify.NoBirthdate
	}
	return voucherify.NewBirthdate(date)
}

func (r *traitReader) metadata(paths []Path) map[string]any {
	path, v := r.find(paths)
	if path == nil {
		return nil
	}
	object, ok := v.(map[string]any)
	if !ok {
		r.warn("metadata", path, v, "is not an object")
	}
	if len(object) == 0 {
		return nil
	}
	return object
}

// decimal writes a JSON number without exponent. It moves the decimal point in
// the text, because a float64 would lose digits. A number without exponent stays
// as written. It reports false where the point would move by more than 100 digits.
func decimal(number string) (string, bool) {
	e := strings.IndexAny(number, "eE")
	if e < 0 {
		return number, true
	}
	exponent, err := strconv.Atoi(number[e+1:])
	if err != nil || exponent < -100 || exponent > 100 {
		return "", false
	}
	digits, negative := strings.CutPrefix(number[:e], "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	digits = whole + fraction
	point := len(whole) + exponent
	if point < 0 {
		digits = strings.Repeat("0", -point) + digits
		point = 0
	}
	if point > len(digits) {
		digits += strings.Repeat("0", point-len(digits))
	}
	whole, fraction = strings.TrimLeft(digits[:point], "0"), digits[point:]
	if whole == "" {
		whole = "0"
	}
	if fraction != "" {
		whole += "." + fraction
	}
	if negative {
		whole = "-" + whole
	}
	return whole, true
}

// quote returns v for a Warning: one line, cut, all of its characters printable.
func quote(v any) string {
	if s, ok := v.(string); ok {
		return strconv.Quote(cut(s))
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("(a %T)", v)
	}
	// JSON leaves DEL, the C1 controls and the bidirectional controls as they are.
	var b strings.Builder
	for _, c := range cut(string(text)) {
		if strconv.IsPrint(c) {
			b.WriteRune(c)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(c), "'"))
		}
	}
	return b.String()
}

// cut returns the first 100 characters of s, and an ellipsis if there are more.
func cut(s string) string {
	n := 0
	for i := range s {
		if n == 100 {
			return s[:i] + "…"
		}
		n++
	}
	return s
}
