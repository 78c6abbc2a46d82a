package mapping

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"segsync/importer/metadata"
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
	// Texts says that the traits come from a warehouse, which keeps values as text. Conditions
	// then compare text that is a number or a boolean with numbers and booleans.
	Texts bool
	// Damaged has the names of the traits that were left out because their JSON is damaged.
	Damaged []string
	// Sparse says that a trait that is absent may only be unknown, as in a warehouse or a file.
	// What is known to be removed is null in Traits, or in Removed, where a member of an object is
	// written as in Path.String.
	Sparse  bool
	Removed []string
}

// Named returns the keys of the traits that the mapping names, those of Where included,
// sorted, each once. With Metadata.All it reads others, too.
func (m Mapping) Named() []string {
	all := keys(append(m.paths(), m.conditionPaths()...))
	slices.Sort(all)
	return slices.Compact(all)
}

// FieldSource says where a field of a customer comes from.
type FieldSource struct {
	Field string `json:"field"` // as in the customer's JSON: address.city, metadata.plan
	Trait string `json:"trait"` // path of the trait, or "" for a constant
	Value any    `json:"value"` // of the trait, or the constant
	// Result is the value after the transform of the field, where that changed it. Without a
	// Trait it is the default.
	Result any `json:"result,omitempty"`
	// Cleared says that the field is sent as null, because its traits are gone.
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
	r := traitReader{traits: p.Traits}
	customer := r.customer(&p, &m)
	for _, name := range p.Damaged {
		name = "traits." + safetext.Line(name) // "birthdate" is for an invalid birthdate alone
		r.warnings = append(r.warnings, Warning{Field: name, Trait: name, Value: "the value", Kind: Damaged,
			Reason: "is left out: its text is not valid Unicode, or a name in it or its own comes twice"})
	}
	return customer, r.warnings
}

// Explain returns where the fields come from that Map gives the customer, in the
// order of its JSON; a name that was joined has an FieldSource for each part. Those that are
// cleared come last.
func Explain(p Profile, m Mapping) []FieldSource {
	r := traitReader{traits: p.Traits, explain: true}
	c := r.customer(&p, &m)
	for _, field := range c.Clear {
		r.sources = append(r.sources, FieldSource{Field: field, Cleared: true})
	}
	return r.sources
}

// traitReader reads the fields of one customer and collects the warnings.
type traitReader struct {
	traits   map[string]any
	warnings []Warning
	explain  bool // collect sources
	sources  []FieldSource
}

func (r *traitReader) customer(p *Profile, m *Mapping) voucherify.Customer {
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
	c.Metadata = r.readMetadata(m)
	for _, field := range m.Clear {
		r.clear(&c, p, m, field)
	}
	return c
}

func (r *traitReader) warn(kind Kind, field string, path Path, value any, reason string) {
	w := Warning{Field: safetext.Line(field), Trait: safetext.Line(path.String()), Value: quote(value), Kind: kind, Reason: reason}
	r.warnings = append(r.warnings, w)
}

// from notes where a field comes from: the value of a trait, and what a transform made of it.
func (r *traitReader) from(field string, path Path, value, result any) {
	if r.explain {
		r.sources = append(r.sources, newFieldSource(field, path, value, result))
	}
}

func newFieldSource(field string, path Path, value, result any) FieldSource {
	s := FieldSource{Field: field, Trait: path.String(), Value: value}
	if !reflect.DeepEqual(value, result) {
		s.Result = result
	}
	return s
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
		if v := object[path[last]]; isPresent(v) {
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

func isPresent(v any) bool {
	s, isString := v.(string)
	return v != nil && (!isString || strings.TrimSpace(s) != "")
}

func (r *traitReader) text(field string, f *Field) string {
	if f.Constant != "" {
		r.from(field, nil, f.Constant, f.Constant)
		return f.Constant
	}
	path, v := r.find(f.Traits)
	if path != nil || len(f.Join) == 0 {
		return r.textOf(field, path, v, r.transform(NotTransformed, field, f.Transform, path, v))
	}
	var parts []string
	for _, paths := range f.Join {
		path, v := r.find(paths)
		if part := r.textOf(field, path, v, v); part != "" {
			parts = append(parts, part)
		}
	}
	joined := strings.Join(parts, " ")
	switch {
	case f.Transform == nil:
		return joined
	case joined == "":
		return r.textOf(field, nil, nil, f.Transform.Default)
	}
	result := r.transform(NotTransformed, field, f.Transform, f.Join[0][0], joined)
	if r.explain {
		r.sources[len(r.sources)-1].Result = result // the parts are sources already
	}
	return r.asText(field, nil, result)
}

// textOf returns v, which a transform made of the value of the trait, as text, or "" with a
// warning; v is nil for an absent one.
func (r *traitReader) textOf(field string, path Path, value, v any) string {
	text := r.asText(field, path, v)
	if text != "" {
		r.from(field, path, value, v)
	}
	return text
}

func (r *traitReader) asText(field string, path Path, v any) string {
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
		if text, ok = metadata.Decimal(v.String()); !ok {
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
	}
	return text
}

func (r *traitReader) birthdate(f *Field) voucherify.Birthdate {
	path, value := r.find(f.Traits)
	if f.Constant != "" {
		path, value = nil, f.Constant
	}
	v := r.transform(NotADate, "birthdate", f.Transform, path, value)
	switch {
	case v == nil && value == nil:
		return voucherify.Birthdate{}
	case v == nil:
		return voucherify.NoBirthdate
	}
	s, _ := v.(string) // other types are reported as no date, like ""
	date, err := metadata.ParseDate(s)
	if err != nil {
		r.warn(NotADate, "birthdate", path, value, "is "+err.Error())
		return voucherify.NoBirthdate
	}
	r.from("birthdate", path, value, v)
	return voucherify.NewBirthdate(date)
}
