package mapping

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"segsync/internal/safetext"
)

//go:embed mapping.schema.json
var fileSchema string

// FileSchema returns the JSON Schema of mapping files. Parse takes the words of its errors
// from it: a title says what a value must be, a $comment what is wrong if a rule is broken.
func FileSchema() string { return fileSchema }

const fileSchemaURL = "mem:///mapping.schema.json"

// newSchemaCompiler returns a compiler that knows the schema of mapping files.
func newSchemaCompiler() *jsonschema.Compiler {
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(fileSchema))
	c := jsonschema.NewCompiler()
	c.RegisterFormat(&jsonschema.Format{Name: "trait", Validate: func(v any) error {
		if s, _ := v.(string); strings.TrimSpace(s) != "" {
			_, err := ParsePath(s)
			return err
		}
		return nil
	}})
	if err = errors.Join(err, c.AddResource(fileSchemaURL, document)); err != nil {
		panic("mapping: mapping.schema.json: " + err.Error())
	}
	return c
}

// checkSchema reports where the file is not as the schema says.
func (r *fileReader) checkSchema() {
	c := newSchemaCompiler()
	var err *jsonschema.ValidationError
	if errors.As(c.MustCompile(fileSchemaURL).Validate(r.root.value), &err) {
		r.reportInvalid(c, err)
	}
}

// reportInvalid puts an error of the schema library, and those below it, into words.
func (r *fileReader) reportInvalid(c *jsonschema.Compiler, e *jsonschema.ValidationError) {
	n, rule := r.root.find(e.InstanceLocation...), c.MustCompile(e.SchemaURL)
	if n.failed {
		return
	}
	switch k := e.ErrorKind.(type) {
	case *kind.Schema, *kind.Group, *kind.Reference, *kind.AllOf:
		for _, cause := range e.Causes {
			r.reportInvalid(c, cause)
		}
	case *kind.AnyOf:
		hasMismatch := func(cause *jsonschema.ValidationError) bool { return mismatch(cause, len(e.InstanceLocation)) != nil }
		causes := slices.DeleteFunc(slices.Clone(e.Causes), hasMismatch)
		if len(causes) == 0 || rule.Comment != "" {
			r.badNode(n, n.at, explain(e, rule))
			return
		}
		for _, cause := range causes {
			r.reportInvalid(c, cause)
		}
	case *kind.AdditionalProperties:
		for _, key := range k.Properties {
			if member := n.find(key); rule.Comment != "" {
				r.badNode(member, member.key, rule.Comment)
			} else {
				r.badKey(member, rule)
			}
		}
	case *kind.MaxProperties:
		surplus := n.find(n.order[k.Want])
		r.badNode(surplus, surplus.key, rule.Comment)
	case *kind.Not: // a key that must not be here
		r.badNode(n, cmp.Or(n.key, n.at), rule.Comment)
	case *kind.UniqueItems: // the library finds one of them, and knows that 1 is 1.0
		seen := make(map[string]bool)
		for i, v := range n.value.([]any) {
			text, _ := json.Marshal(v)
			if element := n.find(strconv.Itoa(i)); v != nil && (seen[string(text)] || i == k.Duplicates[1]) {
				r.badNode(element, element.at, safetext.Line(string(text))+" is in the list twice")
			}
			seen[string(text)] = true
		}
	default:
		r.badNode(n, n.at, explain(e, rule))
	}
}

// badNode reports a mistake with the name of the node before it.
func (r *fileReader) badNode(n *node, at position, text string) {
	if n.name != "" {
		text = safetext.Line(n.name) + ": " + text
	}
	r.bad(at, "%s", text)
}

func (r *fileReader) badKey(n *node, rule *jsonschema.Schema) {
	known := slices.Sorted(maps.Keys(rule.Properties))
	known = slices.DeleteFunc(known, func(key string) bool { return rule.Properties[key].Bool != nil })
	question := ""
	if meant := similarKeys(n.name, known); len(meant) > 0 {
		question = fmt.Sprintf(" (did you mean %s?)", strings.Join(meant, " or "))
	}
	r.bad(n.key, "unknown key %q%s: expected one of %s", n.name, question, strings.Join(known, ", "))
}

func explain(e *jsonschema.ValidationError, rule *jsonschema.Schema) string {
	if rule.Comment != "" {
		return rule.Comment
	}
	switch k := e.ErrorKind.(type) {
	case *kind.MinItems:
		return "the list is empty"
	case *kind.MinProperties:
		return "expected keys, found none"
	case *kind.Pattern:
		return "the text is empty"
	case *kind.Format:
		return k.Err.Error()
	}
	text := "expected " + rule.Title
	if k := mismatch(e, len(e.InstanceLocation)); k != nil {
		text += ", found " + typeNames[k.Got]
		if (k.Got == "number" || k.Got == "boolean") && slices.Contains(k.Want, "string") {
			text += ": put it into quotes"
		}
	}
	return text
}

var typeNames = map[string]string{
	"null": "nothing", "boolean": "a boolean", "number": "a number", "string": "text", "array": "a list", "object": "a mapping",
}

// mismatch returns what type the value at this depth has, and which types the schema wants,
// if the error says that these differ; else nil.
func mismatch(e *jsonschema.ValidationError, depth int) *kind.Type {
	all := &kind.Type{}
	switch k := e.ErrorKind.(type) {
	case *kind.Type:
		if len(e.InstanceLocation) == depth {
			return k
		}
		return nil
	case *kind.Const: // none
		return all
	case *kind.Reference, *kind.AnyOf:
		for _, cause := range e.Causes {
			k := mismatch(cause, depth)
			if k == nil {
				return nil
			}
			all.Got, all.Want = cmp.Or(k.Got, all.Got), append(all.Want, k.Want...)
		}
		return all
	}
	return nil
}
