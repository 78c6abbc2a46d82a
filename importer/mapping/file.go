package mapping

import (
	"bytes"
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

//go:embed default-mapping.yaml
var defaultMappingFile string

// DefaultFile returns the mapping file of Default, with comments that explain
// the form of mapping files.
func DefaultFile() string { return defaultMappingFile }

// maxMappingFile keeps the YAML parser from nesting without end: it recurses, and takes
// long for that.
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
	p := &mappingParser{name: name}
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

// mappingParser turns the nodes of a mapping file into a Mapping, and collects the
// mistakes.
type mappingParser struct {
	name     string
	mistakes []mistake
}

type mistake struct {
	line, column int
	text         string
}

func (p *mappingParser) badAt(t *token.Token, format string, args ...any) {
	m := mistake{line: 1, column: 1, text: fmt.Sprintf(format, args...)}
	if t != nil && t.Position != nil {
		m.line, m.column = t.Position.Line, t.Position.Column
	}
	p.mistakes = append(p.mistakes, m)
}

func (p *mappingParser) bad(n ast.Node, format string, args ...any) {
	p.badAt(firstToken(n), format, args...)
}

// firstToken returns the token where the node begins; that of a mapping itself is its
// first colon.
func firstToken(n ast.Node) *token.Token {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return firstToken(n.Values[0])
		}
	case *ast.MappingValueNode:
		return n.Key.GetToken()
	case nil:
		return nil
	}
	return n.GetToken()
}

func (p *mappingParser) err() error {
	slices.SortStableFunc(p.mistakes, func(a, b mistake) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column))
	})
	var errs []error
	for _, m := range p.mistakes {
		errs = append(errs, fmt.Errorf("%s:%d:%d: %s", p.name, m.line, m.column, m.text))
	}
	return errors.Join(errs...)
}

func (p *mappingParser) file(file *ast.File) Mapping {
	var bodies []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil && doc.Body.Type() != ast.NullType {
			bodies = append(bodies, doc.Body)
		}
	}
	if len(bodies) == 0 {
		p.badAt(nil, "the file is empty: segsync mapping prints one to start from")
		return Mapping{}
	}
	if len(bodies) > 1 {
		p.bad(bodies[1], "there is a second document: a mapping file is one")
	}
	var m Mapping
	for _, e := range p.entries(bodies[0], "the fields of a customer, such as email: [email]") {
		switch e.key {
		case "name":
			m.Name = p.field(e.value)
		case "email":
			m.Email = p.field(e.value)
		case "phone":
			m.Phone = p.field(e.value)
		case "description":
			m.Description = p.field(e.value)
		case "birthdate":
			m.Birthdate = p.birthdate(e.value)
		case "address":
			m.Address = p.address(e.value)
		case "metadata":
			m.Metadata = p.metadata(e.value)
		default:
			p.unknown(e, "name, email, phone, description, birthdate, address, metadata")
		}
	}
	return m
}

func (p *mappingParser) unknown(e entry, known string) {
	p.bad(e.node, "unknown key %q: it must be one of %s", e.key, known)
}

func (p *mappingParser) address(n ast.Node) AddressMapping {
	var a AddressMapping
	if isNone(n) {
		return a
	}
	for _, e := range p.entries(n, "the members of the address, such as city: [address.city]") {
		switch e.key {
		case "city":
			a.City = p.field(e.value)
		case "state":
			a.State = p.field(e.value)
		case "country":
			a.Country = p.field(e.value)
		case "postal_code":
			a.PostalCode = p.field(e.value)
		case "line_1":
			a.Line1 = p.field(e.value)
		case "line_2":
			a.Line2 = p.field(e.value)
		default:
			p.unknown(e, "city, state, country, postal_code, line_1, line_2")
		}
	}
	return a
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
				p.bad(e.node, "a constant stands alone: it takes no account of traits")
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
			p.bad(e, "the trait %q is there twice", s)
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
			p.bad(n, "the metadata key %q is there twice", key)
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
		p.bad(exclude, "exclude is of use with all: true only")
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

func (p *mappingParser) boolean(n ast.Node) bool {
	b, ok := n.(*ast.BoolNode)
	if !ok {
		p.bad(n, "%s where true or false is expected", kindOf(n))
	}
	return ok && b.Value
}

// text returns the text of a scalar, "" after a mistake.
func (p *mappingParser) text(n ast.Node, expected string) string {
	s, ok := n.(*ast.StringNode)
	switch {
	case ok && strings.TrimSpace(s.Value) != "":
		return s.Value
	case ok:
		p.bad(n, "an empty text where %s is expected", expected)
	case isScalar(n):
		p.bad(n, "%s where %s is expected: put it into quotes", kindOf(n), expected)
	default:
		p.bad(n, "%s where %s is expected", kindOf(n), expected)
	}
	return ""
}

// list returns the elements of a list that is not empty.
func (p *mappingParser) list(n ast.Node, expected string) ([]ast.Node, bool) {
	s, ok := n.(*ast.SequenceNode)
	switch {
	case !ok:
		p.bad(n, "%s where %s is expected", kindOf(n), expected)
	case len(s.Values) == 0:
		p.bad(n, "the list is empty")
	default:
		return s.Values, true
	}
	return nil, false
}

// entry is a key and its value; node is where the key is written.
type entry struct {
	key         string
	node, value ast.Node
}

// entries returns the entries of a YAML mapping, which must have one, without those that
// come twice.
func (p *mappingParser) entries(n ast.Node, expected string) []entry {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	}
	if len(values) == 0 {
		p.bad(n, "%s where keys are expected: %s", kindOf(n), expected)
		return nil
	}
	var all []entry
	for _, v := range values {
		key, ok := v.Key.(*ast.StringNode)
		if !ok || strings.TrimSpace(key.Value) == "" {
			p.bad(v.Key, "the key is %s: put it into quotes if it is meant to be text", kindOf(v.Key))
			continue
		}
		if i := slices.IndexFunc(all, func(e entry) bool { return e.key == key.Value }); i >= 0 {
			p.bad(key, "%q is there twice: first in line %d", key.Value, all[i].node.GetToken().Position.Line)
			continue
		}
		all = append(all, entry{key.Value, key, v.Value})
	}
	return all
}

func isNone(n ast.Node) bool {
	s, ok := n.(*ast.StringNode)
	return ok && s.Value == "none"
}

func isObject(n ast.Node) bool {
	return n != nil && (n.Type() == ast.MappingType || n.Type() == ast.MappingValueType)
}

func isScalar(n ast.Node) bool {
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return true
	}
	return false
}

// kindOf names what is written, for messages.
func kindOf(n ast.Node) string {
	switch n.(type) {
	case *ast.StringNode:
		return "a text"
	case *ast.LiteralNode:
		return "a text block"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.NullNode, nil:
		return "nothing"
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		return "an anchor or alias"
	case *ast.TagNode:
		return "a tag"
	}
	return "something else"
}
