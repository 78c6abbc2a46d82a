package mapping

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"segsync/importer/metadata"
)

//go:embed default-mapping.yaml
var defaultMappingFile string

// DefaultFile returns the mapping file of Default, with comments that explain
// the form of mapping files.
func DefaultFile() string { return defaultMappingFile }

// maxMappingFile is the size limit in bytes.
const maxMappingFile = 64 << 10

// Parse parses a mapping file. DefaultFile is one, and explains the form; FileSchema
// defines it. A field that is not in the file is left out. The error has a line for each
// mistake, in their order: name:line:column, and what is wrong.
func Parse(name string, data []byte) (Mapping, error) {
	var r fileReader
	var m Mapping
	if r.read(data); r.root != nil {
		r.checkSchema()
		m = r.decode()
	}
	if len(r.mistakes) > 0 {
		return Mapping{}, r.err(name)
	}
	return m, nil
}

// YAMLToJSON returns a YAML file as JSON. It takes the YAML of mapping files.
func YAMLToJSON(name string, data []byte) ([]byte, error) {
	var r fileReader
	if r.read(data); len(r.mistakes) > 0 {
		return nil, r.err(name)
	}
	return json.Marshal(r.root.value)
}

// read sets root, unless the file is not YAML.
func (r *fileReader) read(data []byte) {
	switch {
	case len(data) > maxMappingFile:
		r.bad(position{}, "the file is larger than %d bytes", maxMappingFile)
		return
	case !utf8.Valid(data):
		r.bad(position{}, "the file is not UTF-8 text")
		return
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if r.checkLayout(string(data)); len(r.mistakes) == 0 {
		r.root = r.parseTree(data)
	}
}

// fileReader reads one mapping file, and collects its mistakes.
type fileReader struct {
	root     *node
	mistakes []mistake

	hasReplacement bool // the file itself has the character U+FFFD
}

type mistake struct {
	position
	text string
}

func (r *fileReader) bad(at position, format string, args ...any) {
	r.mistakes = append(r.mistakes, mistake{at, fmt.Sprintf(format, args...)})
}

func (r *fileReader) err(name string) error {
	slices.SortFunc(r.mistakes, func(a, b mistake) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column), cmp.Compare(a.text, b.text))
	})
	var errs []error
	for _, m := range slices.Compact(r.mistakes) {
		where := name
		if m.line > 0 {
			where = fmt.Sprintf("%s:%d:%d", name, m.line, m.column)
		}
		errs = append(errs, fmt.Errorf("%s: %s", where, m.text))
	}
	return errors.Join(errs...)
}

// decode decodes the file, and checks what a schema cannot express. Values that the schema
// refuses are passed over, by encoding/json and by the methods UnmarshalJSON: so all other
// mistakes are found in the same run.
func (r *fileReader) decode() Mapping {
	root, _ := r.root.value.(map[string]any)
	address, _ := root["address"].(map[string]any)
	for _, fields := range []map[string]any{root, address} {
		maps.DeleteFunc(fields, func(_ string, v any) bool { return v == "none" })
	}
	data, err := json.Marshal(root)
	var file struct {
		Mapping
		Metadata fileMetadata     `json:"metadata"`
		Clear    fileClear        `json:"clear"`
		Where    []map[string]any `json:"where"`
	}
	if err = errors.Join(err, decodeStrict(data, &file)); err != nil && len(r.mistakes) == 0 {
		r.bad(position{1, 1}, "%s", err) // the schema allows what the structs do not have
	}
	m := file.Mapping
	if m.Birthdate.Constant != "" {
		if m.Birthdate.Constant, err = metadata.ParseDate(m.Birthdate.Constant); err != nil {
			n := r.root.find("birthdate", "constant")
			r.bad(n.at, "birthdate: %q is %s", n.value, err)
		}
	}
	for _, f := range m.fields() {
		f.Transform = r.transform(r.root.find(strings.Split(f.name, ".")...), f.name)
	}
	m.Metadata = r.metadata(&file.Metadata)
	for _, c := range file.Where {
		m.Where = append(m.Where, newCondition(c))
	}
	m.Clear, m.ClearAbsent = file.Clear.Fields, file.Clear.Absent
	for i, field := range m.Clear {
		if err := m.checkClear(field); err != nil && field != "" {
			index := strconv.Itoa(i)
			r.bad(cmp.Or(r.root.find("clear", index).at, r.root.find("clear", "fields", index).at), "%s", err)
		}
	}
	slices.Sort(m.Clear)
	return m
}

func decodeStrict(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	d.UseNumber()
	return d.Decode(v)
}

// UnmarshalJSON reads a field of a mapping file: an object, or the value of its key traits.
// json.Marshal writes another form, which only Fingerprint needs.
func (f *Field) UnmarshalJSON(data []byte) error {
	type object Field
	if data[0] != '{' {
		data = slices.Concat([]byte(`{"traits":`), data, []byte("}"))
	}
	json.Unmarshal(data, (*object)(f)) // the keys of the transform come from the nodes, in their order
	return nil
}

// fileClear is the key clear of a mapping file: a list of fields, or an object.
type fileClear struct {
	Fields []string `json:"fields"`
	Absent bool     `json:"absent"`
}

func (c *fileClear) UnmarshalJSON(data []byte) error {
	type object fileClear
	if data[0] != '{' {
		data = slices.Concat([]byte(`{"fields":`), data, []byte("}"))
	}
	json.Unmarshal(data, (*object)(c))
	return nil
}

// UnmarshalJSON reads a trait, or a list of traits.
func (p *Paths) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		data = slices.Concat([]byte("["), data, []byte("]"))
	}
	json.Unmarshal(data, (*[]Path)(p))
	return nil
}

// UnmarshalJSON reads a trait as ParsePath does.
func (p *Path) UnmarshalJSON(data []byte) error {
	var s string
	json.Unmarshal(data, &s)
	*p, _ = ParsePath(s)
	return nil
}

// fileMetadata is the key metadata of a mapping file.
type fileMetadata struct {
	Object  Paths            `json:"object"`
	Traits  Paths            `json:"traits"`
	Rename  map[string]Field `json:"rename"`
	All     bool             `json:"all"`
	Exclude Paths            `json:"exclude"`
}

func (r *fileReader) metadata(f *fileMetadata) MetadataMapping {
	m := MetadataMapping{Object: f.Object, All: f.All}
	written := r.root.find("metadata")
	element := func(list string, i int) position {
		return cmp.Or(written.find(list, strconv.Itoa(i)).at, written.find(list).at)
	}
	used := make(map[string]bool)
	add := func(key string, traits Paths, t *Transform, at position) {
		if used[key] {
			r.bad(at, "duplicate metadata key %q", key)
		}
		used[key] = true
		m.Traits = append(m.Traits, MetadataTrait{Key: key, Traits: traits, Transform: t})
	}
	for i, path := range f.Traits {
		if len(path) > 0 {
			add(path[len(path)-1], Paths{path}, nil, element("traits", i))
		}
	}
	for key, field := range f.Rename {
		n := written.find("rename", key)
		add(key, field.Traits, r.transform(n, metadataPrefix+key), n.key)
	}
	for i, path := range f.Exclude {
		if m.Exclude = append(m.Exclude, path...); len(path) > 1 {
			r.bad(element("exclude", i), "exclude: %q is a member of a trait: only whole traits are excluded (a dot in a key has a backslash before it)", path)
		}
	}
	if exclude := written.find("exclude"); exclude.name != "" && !f.All {
		r.bad(exclude.key, "exclude needs all: true")
	}
	slices.SortFunc(m.Traits, func(a, b MetadataTrait) int { return cmp.Compare(a.Key, b.Key) })
	slices.Sort(m.Exclude)
	return m
}

func newCondition(file map[string]any) Condition {
	var c Condition
	for key, v := range file {
		list, isList := v.([]any)
		switch text, _ := v.(string); {
		case key == "any":
			for _, alternative := range list {
				object, _ := alternative.(map[string]any)
				c.Any = append(c.Any, newCondition(object))
			}
		case key == "trait":
			c.Trait, _ = ParsePath(text) // the schema has checked it
		case key == "external_id":
			c.ExternalID = strings.TrimSpace(text)
		case isList:
			c.Operator, c.Values = Operator(key), list
		default:
			c.Operator, c.Values = Operator(key), []any{v}
		}
	}
	return c
}
