package mapping

import (
	"cmp"
	"encoding/json"
	"errors"
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"segsync/importer/metadata"
	"segsync/internal/safetext"
)

// node is a value of a mapping file, and where it is written. The YAML library's own
// decoder stops at the first mistake, resolves aliases, and forgets the positions.
type node struct {
	value   any              // as encoding/json decodes it, with a json.Number for a number
	name    string           // of its key; an element of a list has that of the list
	key, at position         // of the key, if it has one, and of the value
	members map[string]*node // of a mapping by key, of a list by index
	order   []string         // keys of a mapping
	failed  bool             // the value is reported as a mistake, and nil
}

type position struct{ line, column int }

func positionOf(t *token.Token) position {
	if t == nil || t.Position == nil {
		return position{1, 1}
	}
	return position{t.Position.Line, t.Position.Column}
}

// find returns the node that keys and indices lead to, an empty one if there is none.
func (n *node) find(keys ...string) *node {
	for _, key := range keys {
		if n = n.members[key]; n == nil {
			return &node{}
		}
	}
	return n
}

// plainWords are what people read instead of messages of the YAML library.
var plainWords = map[string]string{
	"sequence end token ']' not found":                                   "the [ that begins here is not closed: a ] is missing",
	"could not find flow mapping end token '}'":                          "the { that begins here is not closed: a } is missing",
	"',' or ']' must be specified":                                       "a comma or a ] is missing before this",
	"',' or '}' must be specified":                                       "a comma or a } is missing before this",
	"could not find '[' character corresponding to ']'":                  "a ] without a [ before it",
	"could not find '{' character corresponding to '}'":                  "a } without a { before it",
	"could not find end character of double-quoted text":                 `the " that begins here is not closed`,
	"could not find end character of single-quoted text":                 "the ' that begins here is not closed",
	"could not find flow map content":                                    "a key without a value: write key: value",
	"mapping value is not allowed in this context":                       "a line has two colons, or is indented too far: put a value that has a colon into quotes",
	"value is not allowed in this context":                               "something follows the value: put the whole value into quotes",
	"value is not allowed in this context. map key-value is pre-defined": "something follows the value: put the whole value into quotes",
}

// parseTree returns nil where there is no tree.
func (r *fileReader) parseTree(data []byte) *node {
	r.hasReplacement = replacement.Match(data)
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var syntax yaml.Error // its Error quotes the file, which takes gigabytes
		if errors.As(err, &syntax) {
			r.bad(positionOf(syntax.GetToken()), "%s", cmp.Or(plainWords[syntax.GetMessage()], syntax.GetMessage()))
		} else {
			r.bad(position{1, 1}, "%s", err)
		}
		return nil
	}
	var roots []*node
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.NullType {
			continue
		}
		if len(roots) > 0 {
			r.bad(positionOf(firstToken(doc.Body)), "a second document: a mapping file has only one")
			break
		}
		roots = append(roots, r.node(doc.Body, "", position{}))
	}
	if len(roots) == 0 {
		r.bad(position{1, 1}, "the file is empty")
		return nil
	}
	return roots[0]
}

func (r *fileReader) node(in ast.Node, name string, key position) *node {
	n := &node{name: name, key: key, at: positionOf(firstToken(in)), members: make(map[string]*node)}
	switch in := in.(type) {
	case *ast.MappingNode:
		r.addMembers(n, in.Values...)
	case *ast.MappingValueNode:
		r.addMembers(n, in)
	case *ast.SequenceNode:
		list := make([]any, len(in.Values))
		for i, element := range in.Values {
			member := r.node(element, name, position{})
			n.members[strconv.Itoa(i)], list[i] = member, member.value
		}
		n.value = list
	case *ast.StringNode:
		n.value = r.text(in)
		// The parser takes a number with an exponent, or of more than 64 bits, for text.
		if in.Token.Type == token.StringType && metadata.IsNumber(in.Value) {
			r.setNumber(n, in)
		}
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		r.setNumber(n, in)
	case *ast.BoolNode:
		n.value = in.Value
	case *ast.NullNode, nil:
	default:
		n.failed = true
		r.bad(n.at, "anchors, aliases, tags and blocks of text are not supported: write the value itself, on one line")
	}
	return n
}

// text returns the text of a node. The parser makes U+FFFD of half a surrogate pair, and curly quotation
// marks part of a text.
func (r *fileReader) text(in *ast.StringNode) string {
	const curly = "“”„‟‘’‚‛«»"
	if in.Token.Type == token.StringType && strings.Trim(in.Value, curly) != in.Value {
		r.bad(positionOf(in.Token), "%s has curly quotation marks: write \" instead, or none", safetext.Line(in.Value))
	}
	if strings.Contains(in.Value, "\ufffd") && !r.hasReplacement {
		r.bad(positionOf(in.Token), "the text is not valid Unicode")
	}
	return in.Value
}

// replacement matches where a file says U+FFFD itself.
var replacement = regexp.MustCompile("\ufffd|(?i)fffd")

func (r *fileReader) setNumber(n *node, in ast.Node) {
	number := json.Number(in.GetToken().Value)
	n.value = number
	if _, ok := metadata.Rational(number); !ok || !metadata.IsNumber(number.String()) {
		n.value, n.failed = nil, true
		r.bad(n.at, "%.40s is too large, or not in the form 12, -12 or 12.5: put it into quotes if it is text", safetext.Line(number.String()))
	}
}

func (r *fileReader) addMembers(n *node, entries ...*ast.MappingValueNode) {
	object := make(map[string]any, len(entries))
	n.value = object
	for _, entry := range entries {
		at := positionOf(entry.Key.GetToken())
		key, ok := entry.Key.(*ast.StringNode)
		if ok {
			r.text(key)
		}
		if !ok || strings.TrimSpace(key.Value) == "" {
			r.bad(at, "%q cannot be a key: put it into quotes if it is text", entry.Key.GetToken().Value)
			n.failed = len(entries) == 1 // not an empty mapping
			continue
		}
		if first := n.members[key.Value]; first != nil {
			r.bad(at, "duplicate key %q: it is in line %d already", key.Value, first.key.line)
			continue
		}
		member := r.node(entry.Value, key.Value, at)
		n.members[key.Value], object[key.Value] = member, member.value
		n.order = append(n.order, key.Value)
	}
}

// firstToken returns the token where the node begins. That of a mapping itself is its first
// colon.
func firstToken(n ast.Node) *token.Token {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return n.Values[0].Key.GetToken()
		}
	case *ast.MappingValueNode:
		return n.Key.GetToken()
	case nil:
		return nil
	}
	return n.GetToken()
}
