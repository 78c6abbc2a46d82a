package mapping

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

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

// Paths are alternatives in order of preference.
type Paths []Path

// ParsePath parses keys joined by dots. A dot or a backslash that is part of a key has a
// backslash before it: last\.seen.
func ParsePath(s string) (Path, error) {
	var path Path
	key, escaped := "", false
	for _, c := range s + "." {
		switch {
		case escaped && c != '.' && c != '\\':
			return nil, fmt.Errorf(`"%s" has a backslash that is not before a dot or another backslash`, safetext.Line(s))
		case escaped || c != '.' && c != '\\':
			key, escaped = key+string(c), false
		case c == '\\':
			escaped = true
		case key == "":
			return nil, fmt.Errorf(`"%s" has no key before or after a dot`, safetext.Line(s))
		case strings.ContainsAny(key, "{}"):
			return nil, fmt.Errorf(`"%s" has braces: write the name of the trait, or use join to combine several traits`, safetext.Line(s))
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
	// Clear has the fields that are sent as null where a trait of theirs was removed and none is
	// present, sorted: phone, address.line_2, metadata.plan.
	Clear []string `json:"clear,omitempty"`
	// ClearAbsent says that they are where it is unknown whether a trait was removed, too.
	ClearAbsent bool `json:"clear_absent,omitempty"`
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
	Traits Paths `json:"traits,omitempty"`
	// Join has parts that are joined by a space where all of Traits are absent; each part
	// has traits in order of preference.
	Join []Paths `json:"join,omitempty"`
	// Constant is the text of the field, whatever the traits are; "" for none.
	Constant string `json:"constant,omitempty"`
	// Transform changes the value of Traits, or the parts of Join once they are joined; nil does not.
	Transform *Transform `json:"transform,omitempty"`
}

// MetadataMapping says what the metadata comes from. Where several have the same key,
// Traits win over Object, and both over All.
type MetadataMapping struct {
	// Object leads to an object, which becomes metadata as it is.
	Object Paths `json:"object,omitempty"`
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
	Key       string     `json:"key"`
	Traits    Paths      `json:"traits"`
	Transform *Transform `json:"transform,omitempty"`
}

// Default returns the mapping of DefaultFile, which reads the reserved traits of Segment, in
// camelCase and in snake_case. Its slices are shared.
//
// https://segment.com/docs/connections/spec/identify/#traits
func Default() Mapping { return parseDefault() }

var parseDefault = sync.OnceValue(func() Mapping {
	var r fileReader
	r.read([]byte(defaultMappingFile))
	m := r.decode() // a test checks it by the schema, which takes milliseconds to compile
	if len(r.mistakes) > 0 {
		panic("mapping: " + r.err("default-mapping.yaml").Error())
	}
	return m
})

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

// namedField is a field, and its name in the customer's JSON.
type namedField struct {
	name string
	*Field
}

// fields returns the fields in the order of the customer's JSON, without metadata.
func (m *Mapping) fields() [11]namedField {
	return [...]namedField{
		{"name", &m.Name}, {"email", &m.Email}, {"phone", &m.Phone}, {"description", &m.Description}, {"birthdate", &m.Birthdate},
		{"address.city", &m.Address.City}, {"address.state", &m.Address.State}, {"address.country", &m.Address.Country},
		{"address.postal_code", &m.Address.PostalCode}, {"address.line_1", &m.Address.Line1}, {"address.line_2", &m.Address.Line2},
	}
}

// field returns the field of this name, or nil. Metadata is none.
func (m *Mapping) field(name string) *Field {
	for _, f := range m.fields() {
		if f.name == name {
			return f.Field
		}
	}
	return nil
}

// groups returns the lists of alternatives: Traits, then the parts of Join.
func (f *Field) groups() []Paths { return append([]Paths{f.Traits}, f.Join...) }

// paths returns the paths of the traits that become fields. Those of Where are not among
// them.
func (m *Mapping) paths() []Path {
	var all []Path
	for _, f := range m.fields() {
		for _, group := range f.groups() {
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
