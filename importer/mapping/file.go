package mapping

import (
	"bytes"
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

//go:embed default-mapping.yaml
var defaultMappingFile string

// DefaultFile returns the mapping file of Default, with comments that explain
// the form of mapping files.
func DefaultFile() string { return defaultMappingFile }

// maxMappingFile is the size limit in bytes.
const maxMappingFile = 64 << 10

// Parse parses a mapping file; DefaultFile is one, and explains the form. A
// field that is not in the file is left out. The error has a line for each mistake, in
// their order: name:line:column, and what is wrong.
func Parse(name string, data []byte) (Mapping, error) {
	switch {
	case len(data) > maxMappingFile:
		return Mapping{}, fmt.Errorf("%s: the file is larger than %d bytes", name, maxMappingFile)
	case !utf8.Valid(data):
		return Mapping{}, fmt.Errorf("%s: the file is not UTF-8 text", name)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	p := &mappingParser{yamlReader{name: name}}
	if p.checkLayout(string(data)); len(p.mistakes) > 0 {
		return Mapping{}, p.err()
	}
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	var syntax yaml.Error
	if errors.As(err, &syntax) {
		p.badAt(syntax.GetToken(), "%s", syntax.GetMessage())
		return Mapping{}, p.err()
	} else if err != nil {
		return Mapping{}, fmt.Errorf("%s: %w", name, err)
	}
	m := p.file(file)
	return m, p.err()
}

// mappingParser turns the nodes of a mapping file into a Mapping.
type mappingParser struct{ yamlReader }

func (p *mappingParser) file(file *ast.File) Mapping {
	var bodies []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil && doc.Body.Type() != ast.NullType {
			bodies = append(bodies, doc.Body)
		}
	}
	if len(bodies) == 0 {
		p.badAt(nil, "the file is empty")
		return Mapping{}
	}
	if len(bodies) > 1 {
		p.bad(bodies[1], "a second document: a mapping file has only one")
	}
	var m Mapping
	var clear ast.Node
	for _, e := range p.entries(bodies[0], "the fields of a customer, such as email: [email]") {
		switch e.key {
		case "name", "email", "phone", "description":
			*m.field(e.key) = p.field(e.value)
		case "birthdate":
			m.Birthdate = p.birthdate(e.value)
		case "address":
			p.address(e.value, &m)
		case "metadata":
			m.Metadata = p.metadata(e.value)
		case "where":
			m.Where = p.where(e.value)
		case "clear":
			clear = e.value
		default:
			p.unknown(e, "name, email, phone, description, birthdate, address, metadata, where, clear")
		}
	}
	if clear != nil {
		p.clear(clear, &m)
	}
	return m
}

func (p *mappingParser) unknown(e entry, known string) {
	p.bad(e.node, "unknown key %q: it must be one of %s", e.key, known)
}

func (p *mappingParser) address(n ast.Node, m *Mapping) {
	if isNone(n) {
		return
	}
	for _, e := range p.entries(n, "the members of the address, such as city: [address.city]") {
		if f := m.field("address." + e.key); f != nil {
			*f = p.field(e.value)
		} else {
			p.unknown(e, "city, state, country, postal_code, line_1, line_2")
		}
	}
}

// field parses none, traits, or {traits: …, join: …} or {constant: …}.
func (p *mappingParser) field(n ast.Node) Field {
	var f Field
	switch {
	case isNone(n):
		return f
	case !isObject(n):
		f.Traits = p.paths(n)
		return f
	}
	entries := p.entries(n, "traits, join or constant")
	for _, e := range entries {
		switch e.key {
		case "traits":
			f.Traits = p.paths(e.value)
		case "join":
			f.Join = p.parts(e.value)
		case "constant":
			f.Constant = p.text(e.value, "text")
			if len(entries) > 1 {
				p.bad(e.node, "a constant excludes traits and join")
			}
		default:
			p.unknown(e, "traits, join, constant")
		}
	}
	return f
}

func (p *mappingParser) birthdate(n ast.Node) Field {
	f := p.field(n)
	if len(f.Join) > 0 {
		p.bad(n, "a birthdate cannot be joined from parts")
	}
	if f.Constant == "" {
		return f
	}
	date, err := ParseBirthdate(f.Constant)
	if err != nil {
		p.bad(n, "the constant %q is %s", f.Constant, err)
	}
	f.Constant = date
	return f
}

func (p *mappingParser) parts(n ast.Node) [][]Path {
	elements, ok := p.list(n, "a list of parts, such as [[firstName, first_name], [lastName]]")
	if !ok {
		return nil
	}
	var parts [][]Path
	for _, e := range elements {
		parts = append(parts, p.paths(e))
	}
	return parts
}

// paths parses one trait, or a list of traits.
func (p *mappingParser) paths(n ast.Node) []Path {
	elements := []ast.Node{n}
	if _, ok := n.(*ast.SequenceNode); ok {
		elements, _ = p.list(n, "")
	}
	var paths []Path
	for _, e := range elements {
		s := p.text(e, "a trait, or a list of traits")
		if s == "" {
			continue
		}
		path, err := ParsePath(s)
		if err != nil {
			p.bad(e, "%s", err)
			continue
		}
		if slices.ContainsFunc(paths, func(other Path) bool { return slices.Equal(path, other) }) {
			p.bad(e, "duplicate trait %q", s)
		}
		paths = append(paths, path)
	}
	return paths
}

func (p *mappingParser) metadata(n ast.Node) MetadataMapping {
	var m MetadataMapping
	if isNone(n) {
		return m
	}
	keys := make(map[string]bool)
	add := func(n ast.Node, key string, paths []Path) {
		if keys[key] {
			p.bad(n, "duplicate metadata key %q", key)
		}
		keys[key] = true
		if len(paths) > 0 {
			m.Traits = append(m.Traits, MetadataTrait{Key: key, Traits: paths})
		}
	}
	var exclude ast.Node
	for _, e := range p.entries(n, "object, traits, rename, all or exclude") {
		switch e.key {
		case "object":
			m.Object = p.paths(e.value)
		case "traits":
			for _, path := range p.each(e.value) {
				add(path.node, path.Path[len(path.Path)-1], []Path{path.Path})
			}
		case "rename":
			for _, r := range p.entries(e.value, "metadata keys and the trait of each, such as lifetime_value: ltv") {
				add(r.node, r.key, p.paths(r.value))
			}
		case "all":
			m.All = p.boolean(e.value)
		case "exclude":
			exclude = e.node
			for _, path := range p.each(e.value) {
				if len(path.Path) > 1 {
					p.bad(path.node, "%q is a member of a trait: whole traits are excluded (a dot in a key has a backslash before it)", path.Path)
				}
				m.Exclude = append(m.Exclude, path.Path[0])
			}
		default:
			p.unknown(e, "object, traits, rename, all, exclude")
		}
	}
	if exclude != nil && !m.All {
		p.bad(exclude, "exclude needs all: true")
	}
	slices.SortFunc(m.Traits, func(a, b MetadataTrait) int { return cmp.Compare(a.Key, b.Key) })
	slices.Sort(m.Exclude)
	return m
}

// pathAt is a path, and where it is written.
type pathAt struct {
	Path
	node ast.Node
}

// each parses one trait, or a list of traits, each of which is taken.
func (p *mappingParser) each(n ast.Node) []pathAt {
	elements := []ast.Node{n}
	if _, ok := n.(*ast.SequenceNode); ok {
		elements, _ = p.list(n, "")
	}
	var all []pathAt
	for _, e := range elements {
		for _, path := range p.paths(e) {
			all = append(all, pathAt{path, e})
		}
	}
	return all
}
