package mapping

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"segsync/internal/safetext"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// yamlReader reads the nodes of a YAML file, and collects all mistakes. The library's own
// unmarshalling stops at the first unknown or duplicate key, passes over empty values, and
// resolves aliases before it calls a NodeUnmarshaler.
type yamlReader struct {
	name     string
	mistakes []mistake
}

type mistake struct {
	line, column int
	text         string
}

func (p *yamlReader) badAt(t *token.Token, format string, args ...any) {
	m := mistake{line: 1, column: 1, text: fmt.Sprintf(format, args...)}
	if t != nil && t.Position != nil {
		m.line, m.column = t.Position.Line, t.Position.Column
	}
	p.mistakes = append(p.mistakes, m)
}

func (p *yamlReader) badLine(line, column int, format string, args ...any) {
	p.mistakes = append(p.mistakes, mistake{line, column, fmt.Sprintf(format, args...)})
}

func (p *yamlReader) bad(n ast.Node, format string, args ...any) {
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

func (p *yamlReader) err() error {
	slices.SortStableFunc(p.mistakes, func(a, b mistake) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column))
	})
	var errs []error
	for _, m := range p.mistakes {
		errs = append(errs, fmt.Errorf("%s:%d:%d: %s", p.name, m.line, m.column, m.text))
	}
	return errors.Join(errs...)
}

func (p *yamlReader) boolean(n ast.Node) bool {
	b, ok := n.(*ast.BoolNode)
	if !ok {
		p.bad(n, "%s where true or false is expected", kindOf(n))
	}
	return ok && b.Value
}

// text returns the text of a scalar, "" after a mistake.
func (p *yamlReader) text(n ast.Node, expected string) string {
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
func (p *yamlReader) list(n ast.Node, expected string) ([]ast.Node, bool) {
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

// entries returns the entries of a YAML mapping, which must have one, without duplicate
// keys.
func (p *yamlReader) entries(n ast.Node, expected string) []entry {
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
			p.bad(key, "duplicate key %q: it is in line %d already", key.Value, all[i].node.GetToken().Position.Line)
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

// scalar returns a text, a number or a boolean, nil after a mistake.
func (p *yamlReader) scalar(n ast.Node) any {
	if b, ok := n.(*ast.BoolNode); ok {
		return b.Value
	}
	if isNumber(n) {
		if number, ok := p.number(n); ok {
			return number
		}
		return nil
	}
	if s := p.text(n, "text, a number, true or false"); s != "" {
		return s
	}
	return nil
}

// isNumber tells numbers from texts. The parser takes a number with an exponent, or of more
// than 64 bits, for a text; it stands without quotes.
func isNumber(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		return true
	case *ast.StringNode:
		return n.Token.Type == token.StringType && numberForm.MatchString(n.Value)
	}
	return false
}

// number returns a number as it is written.
func (p *yamlReader) number(n ast.Node) (json.Number, bool) {
	if !isNumber(n) {
		p.bad(n, "%s where a number is expected", kindOf(n))
		return "", false
	}
	text := n.GetToken().Value
	if !numberForm.MatchString(text) {
		p.bad(n, "the number %s is not in the form 12, -12 or 12.5", safetext.Line(text))
		return "", false
	}
	return json.Number(text), true
}
