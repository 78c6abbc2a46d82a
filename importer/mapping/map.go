package mapping

import (
	"crypto/sha256"
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

// Path leads to a trait by its key, {"city"}, or to a member of a trait that is
// an object, {"address", "city"}.
type Path []string

// String returns the keys joined by dots, as ParsePath reads them.
func (p Path) String() string {
	if len(p) == 1 && !strings.ContainsAny(p[0], `.\`) {
		return p[0]
	}
	keys := make([]string, len(p))
	for i, key := range p {
		keys[i] = pathEscaper.Replace(key)
	}
	return strings.Join(keys, ".")
}

var pathEscaper = strings.NewReplacer(`\`, `\\`, ".", `\.`)

// ParsePath parses keys joined by dots. A dot or a backslash that is part of a key has a
// backslash before it: last\.seen.
func ParsePath(s string) (Path, error) {
	var path Path
	key, escaped := "", false
	for _, c := range s + "." {
		switch {
		case escaped && c != '.' && c != '\\':
			return nil, fmt.Errorf(`"%s": a backslash stands before a dot or another backslash only`, safetext.Line(s))
		case escaped || c != '.' && c != '\\':
			key, escaped = key+string(c), false
		case c == '\\':
			escaped = true
		case key == "":
			return nil, fmt.Errorf(`"%s": there is no key before or after a dot`, safetext.Line(s))
		case strings.ContainsAny(key, "{}"):
			return nil, fmt.Errorf(`"%s": a trait has no braces: write its name, or use join to combine several traits`, safetext.Line(s))
		default:
			path, key = append(path, key), ""
		}
	}
	if escaped || key != "" {
		return nil, fmt.Errorf(`"%s" ends with a backslash`, safetext.Line(s))
	}
	return path, nil
}

// Mapping says for each field of a customer where it comes from. Parse reads one
// from a file. The JSON of a Mapping is what its Fingerprint is made of: a field that is
// added must be left out of it when it is zero.
type Mapping struct {
	Name        Field           `json:"name,omitzero"`
	Email       Field           `json:"email,omitzero"`
	Phone       Field           `json:"phone,omitzero"`
	Description Field           `json:"description,omitzero"`
	Birthdate   Field           `json:"birthdate,omitzero"` // without Join
	Address     AddressMapping  `json:"address,omitzero"`
	Metadata    MetadataMapping `json:"metadata,omitzero"`
	// Where has the conditions on a profile, which must all hold. See Matches.
	Where []Condition `json:"where,omitempty"`
	// Clear has the fields that are sent as null where all of their traits are absent,
	// sorted: phone, address.line_2, metadata.plan.
	Clear []string `json:"clear,omitempty"`
}

// AddressMapping is the part of a Mapping for the members of the address.
type AddressMapping struct {
	City       Field `json:"city,omitzero"`
	State      Field `json:"state,omitzero"`
	Country    Field `json:"country,omitzero"`
	PostalCode Field `json:"postal_code,omitzero"`
	Line1      Field `json:"line_1,omitzero"`
	Line2      Field `json:"line_2,omitzero"`
}

// Field says where a field comes from. The zero value leaves it out.
//
// The first trait that is present decides, even if its value cannot be used. A trait that
// is null or blank text is absent. A path of one key that follows longer ones is only used
// for profiles without the objects that those lead into: {"address", "city"}, {"city"}
// ignores the trait city where the trait address is an object, with or without a city.
type Field struct {
	Traits []Path `json:"traits,omitempty"` // in order of preference
	// Join has parts that are joined by a space where all of Traits are absent; each part
	// has traits in order of preference.
	Join [][]Path `json:"join,omitempty"`
	// Constant is the text of the field, whatever the traits are; "" for none.
	Constant string `json:"constant,omitempty"`
}

// MetadataMapping says what the metadata comes from. Where several have the same key,
// Traits win over Object, and both over All.
type MetadataMapping struct {
	// Object leads to an object, which becomes metadata as it is.
	Object []Path `json:"object,omitempty"`
	// Traits become one key each. A number, a boolean, a string or an array of these is
	// kept as it is.
	Traits []MetadataTrait `json:"traits,omitempty"`
	// All takes every trait that nothing else in the mapping reads, by its own key, but
	// not those in Exclude.
	All     bool     `json:"all,omitempty"`
	Exclude []string `json:"exclude,omitempty"`
	// Objects are the keys of Traits and All that may be objects, or arrays of objects:
	// those that the project's schema defines so. Neither the mapping file nor the
	// Fingerprint has them.
	Objects map[string]bool `json:"-"`
}

// Any reports whether a customer can have metadata.
func (m MetadataMapping) Any() bool { return len(m.Object) > 0 || len(m.Traits) > 0 || m.All }

// MetadataTrait is a key of the metadata that comes from a trait.
type MetadataTrait struct {
	Key    string `json:"key"`
	Traits []Path `json:"traits"` // in order of preference
}

// Default reads the reserved traits of Segment, in camelCase and in
// snake_case.
//
// https://segment.com/docs/connections/spec/identify/#traits
func Default() Mapping {
	traits := func(paths ...Path) Field { return Field{Traits: paths} }
	return Mapping{
		Name: Field{
			Traits: []Path{{"name"}},
			Join: [][]Path{
				{{"firstName"}, {"first_name"}},
				{{"lastName"}, {"last_name"}},
			},
		},
		Email:       traits(Path{"email"}),
		Phone:       traits(Path{"phone"}),
		Description: traits(Path{"description"}),
		Birthdate:   traits(Path{"birthdate"}, Path{"birthday"}),
		Address: AddressMapping{
			City:       traits(Path{"address", "city"}, Path{"city"}),
			State:      traits(Path{"address", "state"}, Path{"state"}),
			Country:    traits(Path{"address", "country"}, Path{"country"}),
			PostalCode: traits(Path{"address", "postalCode"}, Path{"address", "postal_code"}, Path{"postalCode"}, Path{"postal_code"}),
			Line1:      traits(Path{"address", "street"}, Path{"address", "line_1"}, Path{"street"}, Path{"line_1"}),
		},
		Metadata: MetadataMapping{Object: []Path{{"metadata"}}},
	}
}

// Fingerprint returns the SHA-256 of the mapping. It is kept in state files: the same
// mapping has the same one in each version of the program.
func (m Mapping) Fingerprint() string {
	data, err := json.Marshal(m)
	if err != nil {
		panic("mapping: a mapping is always JSON: " + err.Error())
	}
	return fmt.Sprintf("%x", sha256.Sum256(data))
}

// Traits returns the keys of the traits that the mapping reads, those of Where included,
// sorted, each once: what the include parameter of a traits request needs. It is empty if the mapping reads none,
// and nil if all traits are to be read, without that parameter: for Metadata.All, and
// for a key with a comma, which separates the keys in it.
func (m Mapping) Traits() []string {
	named := m.Named()
	hasComma := func(key string) bool { return strings.Contains(key, ",") }
	if m.Metadata.All || slices.ContainsFunc(named, hasComma) {
		return nil
	}
	return named
}

// Named returns the keys of the traits that the mapping names, those of Where included,
// sorted, each once. With Metadata.All it reads others, too.
func (m Mapping) Named() []string {
	all := keys(append(m.paths(), m.conditionPaths()...))
	slices.Sort(all)
	return slices.Compact(all)
}

// fieldNames returns the names that field takes, in the order of the customer's JSON.
func fieldNames() [11]string {
	return [...]string{
		"name", "email", "phone", "description", "birthdate",
		"address.city", "address.state", "address.country", "address.postal_code", "address.line_1", "address.line_2",
	}
}

// field returns the field of this name, or nil. Metadata is none.
func (m *Mapping) field(name string) *Field {
	switch name {
	case "name":
		return &m.Name
	case "email":
		return &m.Email
	case "phone":
		return &m.Phone
	case "description":
		return &m.Description
	case "birthdate":
		return &m.Birthdate
	case "address.city":
		return &m.Address.City
	case "address.state":
		return &m.Address.State
	case "address.country":
		return &m.Address.Country
	case "address.postal_code":
		return &m.Address.PostalCode
	case "address.line_1":
		return &m.Address.Line1
	case "address.line_2":
		return &m.Address.Line2
	}
	return nil
}

// groups returns the lists of alternatives: Traits, then the parts of Join.
func (f *Field) groups() [][]Path { return append([][]Path{f.Traits}, f.Join...) }

// paths returns the paths of the traits that become fields. Those of Where are not among
// them.
func (m *Mapping) paths() []Path {
	var all []Path
	for _, name := range fieldNames() {
		for _, group := range m.field(name).groups() {
			all = append(all, group...)
		}
	}
	all = append(all, m.Metadata.Object...)
	for _, t := range m.Metadata.Traits {
		all = append(all, t.Traits...)
	}
	return all
}

// keys returns the keys of the traits that the paths lead to or through.
func keys(paths []Path) []string {
	all := []string{}
	for _, path := range paths {
		if len(path) > 0 {
			all = append(all, path[0])
		}
	}
	return all
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
	// cut to 100 characters. It is personal data; nothing else in a Warning is.
	Value string
	// Kind groups warnings for counting, together with Field.
	Kind Kind
	// Reason continues a sentence that starts with the value.
	Reason string
	// LeftOut is set for a trait that metadata does not take; Field is then "metadata."
	// and the key.
	LeftOut LeftOut
}

// Kind is what is wrong with a value, as a word that stays the same in each version.
type Kind string

const (
	NotText     Kind = "not_text"      // an array or an object where text is wanted
	TooLarge    Kind = "too_large"     // a number of more digits than can be written out
	NotADate    Kind = "not_a_date"    // a birthdate that is sent as null
	NotObject   Kind = "not_an_object" // a trait that cannot be the metadata
	NotMetadata Kind = "left_out"      // a trait that metadata does not take
)

// LeftOut is a key of the metadata that is not sent.
type LeftOut struct {
	Key    string
	Reason string // a few words, the same for every value of that kind: "not a number"
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

// String returns for example
//
//	birthdate: "05/02/1984" is not a date in the form YYYY-MM-DD
//	name (trait firstName): ["Ada"] is an array, not text
func (w Warning) String() string { return w.subject() + ": " + w.Value + " " + w.Reason }

// WithoutValue returns the text without the value, which is personal data:
//
//	birthdate is not a date in the form YYYY-MM-DD
func (w Warning) WithoutValue() string { return w.subject() + " " + w.Reason }

func (w Warning) subject() string {
	if w.Trait == w.Field {
		return w.Field
	}
	return w.Field + " (trait " + w.Trait + ")"
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
	return safetext.Line(cut(string(text)))
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
