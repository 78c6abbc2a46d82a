package mapping

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"segsync/internal/safetext"
)

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
