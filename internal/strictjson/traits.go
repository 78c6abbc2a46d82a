package strictjson

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"segsync/internal/safetext"
)

// Traits is an object of which each member can be damaged alone, such as the traits of a
// profile.
type Traits struct {
	Present bool           // the member is there, null or an object
	Values  map[string]any // nil for null; numbers are json.Number of encoding/json
	// Damaged has the names, sorted, of the members that were left out: the name comes twice,
	// or there is damage in the name or in the value.
	Damaged []string
	// Wants reports whether a member is to be decoded, and is set before decoding; nil means
	// all.
	Wants func(name []byte) bool
}

// UnmarshalJSONFrom decodes null or an object.
func (t *Traits) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	t.Present, t.Values, t.Damaged = true, nil, nil
	switch kind := d.PeekKind(); kind {
	case 'n':
		_, err := d.ReadToken()
		return err
	case '{':
	default:
		return &json.SemanticError{JSONKind: kind}
	}
	if lenient, _ := json.GetOption(d.Options(), jsontext.AllowInvalidUTF8); lenient {
		return t.salvage(d)
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	t.Values = make(map[string]any)
	for d.PeekKind() != '}' {
		quoted, err := d.ReadValue()
		if err != nil {
			return err
		}
		name := quoted[1 : len(quoted)-1]
		if bytes.IndexByte(name, '\\') >= 0 {
			name, _ = jsontext.AppendUnquote(nil, quoted)
		}
		if t.Wants != nil && !t.Wants(name) {
			if err := d.SkipValue(); err != nil {
				return err
			}
			continue
		}
		key := string(name)
		if t.Values[key], err = readValue(d); err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return err
}

// salvage decodes the members that are not damaged.
func (t *Traits) salvage(d *jsontext.Decoder) error {
	t.Values = make(map[string]any)
	seen := map[string]bool{}
	err := members(d, func(quoted, raw jsontext.Value, _ int) error {
		name, err := jsontext.AppendUnquote(nil, quoted)
		if err != nil { // then it is none of those that Wants names
			if t.Wants == nil {
				t.Damaged = append(t.Damaged, safetext.Line(string(quoted[1:len(quoted)-1])))
			}
			return nil
		}
		if t.Wants != nil && !t.Wants(name) {
			return nil
		}
		key := string(name)
		value, err := Value(raw)
		switch {
		case seen[key]:
			delete(t.Values, key)
			t.Damaged = append(t.Damaged, key)
		case err != nil:
			t.Damaged = append(t.Damaged, key)
		default:
			t.Values[key] = value
		}
		seen[key] = true
		return nil
	})
	slices.Sort(t.Damaged)
	t.Damaged = slices.Compact(t.Damaged)
	return err
}

// Object decodes a JSON object, or null, without its damaged members.
func Object(data []byte) (map[string]any, error) {
	var t Traits
	err := json.Unmarshal(data, &t)
	if _, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		err = json.Unmarshal(data, &t, Lenient)
	}
	return t.Values, err
}

// readValue reads the next value.
func readValue(d *jsontext.Decoder) (any, error) {
	switch d.PeekKind() {
	case '{':
		if _, err := d.ReadToken(); err != nil {
			return nil, err
		}
		object := make(map[string]any)
		for d.PeekKind() != '}' {
			name, err := d.ReadToken()
			if err != nil {
				return nil, err
			}
			key := name.String()
			if object[key], err = readValue(d); err != nil {
				return nil, err
			}
		}
		_, err := d.ReadToken()
		return object, err
	case '[':
		if _, err := d.ReadToken(); err != nil {
			return nil, err
		}
		array := []any{}
		for d.PeekKind() != ']' {
			element, err := readValue(d)
			if err != nil {
				return nil, err
			}
			array = append(array, element)
		}
		_, err := d.ReadToken()
		return array, err
	}
	token, err := d.ReadToken()
	if err != nil {
		return nil, err
	}
	switch token.Kind() {
	case 't', 'f':
		return token.Bool(), nil
	case '"':
		return token.String(), nil
	case '0':
		return stdjson.Number(token.String()), nil
	}
	return nil, nil
}
