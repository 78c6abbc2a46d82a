// Package strictjson decodes JSON that other programs have written. It is
// github.com/go-json-experiment/json, which will be encoding/json/v2: names of members are
// exact, while encoding/json takes "ID" for "id". What it adds is what to do about damage:
// text that is not valid Unicode, and names that come twice.
package strictjson

import (
	"bytes"
	"errors"
	"io"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Damage in JSON that is otherwise well-formed. encoding/json decodes both without an error:
// to U+FFFD, and to the last of the values.
var (
	ErrNotUnicode = errors.New("a text is not valid Unicode")
	ErrNameTwice  = errors.New("a name comes twice in an object")
)

// Lenient are the options that decode damaged JSON without an error, for values whose parts
// call Unmarshal themselves.
var Lenient = json.JoinOptions(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))

// withNumbers decodes a number without a Go type as json.Number of encoding/json.
var withNumbers = json.WithUnmarshalers(json.UnmarshalFromFunc(func(d *jsontext.Decoder, into *any) (err error) {
	*into, err = readValue(d)
	return err
}))

// Unmarshal decodes data, which holds one JSON value. Its error is ErrNotUnicode or
// ErrNameTwice for JSON that is damaged. If data is an object, damage in one of the members
// that parts name is left to the type that the member is decoded into.
func Unmarshal(data []byte, into any, parts ...string) error {
	err := json.Unmarshal(data, into, withNumbers)
	syntax, ok := errors.AsType[*jsontext.SyntacticError](err)
	if !ok {
		return err
	}
	if err := json.Unmarshal(data, new(jsontext.Value), Lenient); err != nil {
		return err // which quotes nothing of a text
	}
	damage := ErrNotUnicode
	if errors.Is(syntax, jsontext.ErrDuplicateName) {
		damage = ErrNameTwice
	}
	if len(parts) == 0 {
		return damage
	}
	if err := checkOthers(data, parts); err != nil {
		return err
	}
	return json.Unmarshal(data, into, Lenient, withNumbers)
}

// UnmarshalRead decodes the one JSON value that r has, while it reads. Damage is an error.
func UnmarshalRead(r io.Reader, into any) error {
	return json.UnmarshalRead(r, into, withNumbers)
}

// checkOthers returns the damage of an object outside of the members that parts name.
func checkOthers(object []byte, parts []string) error {
	seen := map[string]bool{}
	return Members(object, func(name, value jsontext.Value, _ int) error {
		text, err := jsontext.AppendUnquote(nil, name)
		switch {
		case err != nil:
			return ErrNotUnicode
		case seen[string(text)]:
			return ErrNameTwice
		}
		seen[string(text)] = true
		if slices.Contains(parts, string(text)) {
			return nil
		}
		return Unmarshal(value, new(jsontext.Value))
	})
}

// Members calls each for the members of an object, with the name, quoted, the value and where
// the value begins. Damage in them is left to each; both are valid until it returns. It stops at
// the first error.
func Members(object []byte, each func(name, value jsontext.Value, at int) error) error {
	d := jsontext.NewDecoder(bytes.NewBuffer(object), Lenient)
	if kind := d.PeekKind(); kind != '{' && kind != jsontext.KindInvalid {
		return &json.SemanticError{JSONKind: kind}
	}
	return members(d, each)
}

// members is Members of a decoder, up to the end of the object.
func members(d *jsontext.Decoder, each func(name, value jsontext.Value, at int) error) error {
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadValue()
		if err != nil {
			return err
		}
		name = name.Clone()
		value, err := d.ReadValue()
		if err != nil {
			return err
		}
		if err := each(name, value, int(d.InputOffset())-len(value)); err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return err
}

// Value decodes one JSON value, with numbers as json.Number of encoding/json.
func Value(data []byte) (value any, err error) {
	err = Unmarshal(data, &value)
	return value, err
}

// Cause returns what is wrong with JSON, without the names of Go types and of libraries.
func Cause(err error) string {
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return syntax.Err.Error()
	}
	if _, ok := errors.AsType[*json.SemanticError](err); ok {
		return "it has another shape than documented"
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return io.ErrUnexpectedEOF.Error()
	}
	return err.Error()
}
