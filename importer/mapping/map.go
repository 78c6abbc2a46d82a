package mapping

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"segsync/internal/safetext"
	"segsync/voucherify"
)

// Profile is one Segment profile as read: its traits, and the identifier that
// was chosen for it.
type Profile struct {
	SegmentID string
	// SourceID is the external id that becomes the customer's source_id.
	SourceID string
	// Traits are decoded with json.Decoder.UseNumber; a number of another type
	// is not mapped to text. nil means no traits.
	Traits map[string]any
	// Texts says that the traits come from a warehouse, which keeps values as text. Text
	// that is JSON is then decoded where the mapping wants an object or a list, and
	// conditions compare text that is a number or a boolean with numbers and booleans.
	Texts bool
}

// Named returns the keys of the traits that the mapping names, those of Where included,
// sorted, each once. With Metadata.All it reads others, too.
func (m Mapping) Named() []string {
	all := keys(append(m.paths(), m.conditionPaths()...))
	slices.Sort(all)
	return slices.Compact(all)
}

// Origin says where a field of a customer comes from.
type Origin struct {
	Field string `json:"field"` // as in the customer's JSON: address.city, metadata.plan
	Trait string `json:"trait"` // path of the trait, or "" for a constant
	Value any    `json:"value"` // of the trait, or the constant
	// Cleared says that the field is sent as null, because all of its traits are absent.
	// Trait and Value are then empty.
	Cleared bool `json:"cleared,omitempty"`
}

// Map returns the customer that a profile becomes, and a warning for
// each value that could not be used. Fields whose traits are absent are left
// out, so that the import never erases what Voucherify knows; only an invalid
// birthdate becomes voucherify.NoBirthdate, and the fields in m.Clear are listed in the
// customer's Clear. Text is not trimmed, and numbers and
// booleans become text. The values in the customer's metadata are the profile's own, and
// its map may be, too.
func Map(p Profile, m Mapping) (voucherify.Customer, []Warning) {
	r := traitReader{traits: m.traitsOf(p)}
	return r.customer(p, m), r.warnings
}

// Explain returns where the fields come from that Map gives the customer, in the
// order of its JSON; a name that was joined has an Origin for each part. Those that are
// cleared come last.
func Explain(p Profile, m Mapping) []Origin {
	r := traitReader{traits: m.traitsOf(p), explain: true}
	c := r.customer(p, m)
	for _, field := range c.Clear {
		r.origins = append(r.origins, Origin{Field: field, Cleared: true})
	}
	return r.origins
}

// traitReader reads the fields of one customer and collects the warnings.
type traitReader struct {
	traits   map[string]any
	warnings []Warning
	explain  bool // collect origins
	origins  []Origin
}

func (r *traitReader) customer(p Profile, m Mapping) voucherify.Customer {
	c := voucherify.Customer{
		SourceID:       p.SourceID,
		Name:           r.text("name", &m.Name),
		Email:          r.text("email", &m.Email),
		Phone:          r.text("phone", &m.Phone),
		Description:    r.text("description", &m.Description),
		Birthdate:      r.birthdate(&m.Birthdate),
		SystemMetadata: map[string]string{"source": "segmentio"},
	}
	address := voucherify.Address{
		City:       r.text("address.city", &m.Address.City),
		State:      r.text("address.state", &m.Address.State),
		Country:    r.text("address.country", &m.Address.Country),
		PostalCode: r.text("address.postal_code", &m.Address.PostalCode),
		Line1:      r.text("address.line_1", &m.Address.Line1),
		Line2:      r.text("address.line_2", &m.Address.Line2),
	}
	if address != (voucherify.Address{}) {
		c.Address = &address
	}
	c.Metadata = r.readMetadata(&m)
	if len(m.Clear) > 0 {
		r.clear(&c, &m)
	}
	return c
}

func (r *traitReader) warn(kind Kind, field string, path Path, value any, reason string) {
	w := Warning{Field: field, Trait: safetext.Line(path.String()), Value: quote(value), Kind: kind, Reason: reason}
	r.warnings = append(r.warnings, w)
}

// from notes where a field comes from.
func (r *traitReader) from(field string, path Path, value any) {
	if r.explain {
		r.origins = append(r.origins, Origin{Field: field, Trait: path.String(), Value: value})
	}
}

// find returns the first path whose trait is present, and the value; nil if there is none.
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

func (r *traitReader) text(field string, f *Field) string {
	if f.Constant != "" {
		r.from(field, nil, f.Constant)
		return f.Constant
	}
	path, v := r.find(f.Traits)
	if path != nil || len(f.Join) == 0 {
		return r.textOf(field, path, v)
	}
	var parts []string
	for _, paths := range f.Join {
		path, v := r.find(paths)
		if part := r.textOf(field, path, v); part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, " ")
}

// textOf returns the trait as text, or "" with a warning; v is nil for an absent one.
func (r *traitReader) textOf(field string, path Path, v any) string {
	text, reason, kind := "", "", NotText
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		text = v
	case bool:
		text = strconv.FormatBool(v)
	case json.Number:
		var ok bool
		if text, ok = decimal(v.String()); !ok {
			kind, reason = TooLarge, "is a number with an exponent of absurd size"
		}
	case []any:
		reason = "is an array, not text"
	case map[string]any:
		reason = "is an object, not text"
	default:
		reason = fmt.Sprintf("is a %T, not text", v)
	}
	if reason != "" {
		r.warn(kind, field, path, v, reason)
		return ""
	}
	r.from(field, path, v)
	return text
}

func (r *traitReader) birthdate(f *Field) voucherify.Birthdate {
	path, v := r.find(f.Traits)
	if f.Constant != "" {
		path, v = nil, f.Constant
	}
	if v == nil {
		return voucherify.Birthdate{}
	}
	s, _ := v.(string) // other types are reported as no date, like ""
	date, err := ParseBirthdate(s)
	if err != nil {
		r.warn(NotADate, "birthdate", path, v, "is "+err.Error())
		return voucherify.NoBirthdate
	}
	r.from("birthdate", path, v)
	return voucherify.NewBirthdate(date)
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
