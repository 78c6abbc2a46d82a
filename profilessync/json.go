package profilessync

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// A line of JSON is checked as a whole by encoding/json, and then taken apart here: most of
// what is in it is not wanted, and is not decoded.

// checkJSON returns an error, a *json.SyntaxError, unless data is one JSON value.
func checkJSON(data []byte) error {
	if json.Valid(data) {
		return nil
	}
	return json.Unmarshal(data, new(json.RawMessage))
}

// members yields the keys of an object, unquoted, and its values, as they are written. The
// object must be valid JSON.
func members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		var key []byte
		for part := range elements(object) {
			if key == nil {
				key = unquote(part)
				continue
			}
			if !yield(key, part) {
				return
			}
			key = nil
		}
	}
}

// elements yields the elements of an array, or the keys and the values of an object in turn,
// as they are written. It must be valid JSON.
func elements(container []byte) iter.Seq[[]byte] {
	return func(yield func(element []byte) bool) {
		for rest := container[1:]; ; {
			rest = behind(rest, " \t\r\n,:")
			if rest[0] == '}' || rest[0] == ']' {
				return
			}
			end := endOf(rest)
			if !yield(rest[:end]) {
				return
			}
			rest = rest[end:]
		}
	}
}

// behind returns what is behind the first bytes of data that are among these.
func behind(data []byte, these string) []byte {
	for len(data) > 0 && strings.IndexByte(these, data[0]) >= 0 {
		data = data[1:]
	}
	return data
}

const space = " \t\r\n"

// endOf returns where the value that data begins with ends.
func endOf(data []byte) int {
	depth := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			if i = endOfString(data, i); depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth <= 0 {
				return i + 1 + depth // a number may end before it
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
	}
	return len(data)
}

// endOfString returns the place of the quote that ends the string that begins at i.
func endOfString(data []byte, i int) int {
	for i++; data[i] != '"'; i++ {
		if data[i] == '\\' {
			i++
		}
	}
	return i
}

// unquote returns the text of a string.
func unquote(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		panic(err) // it was checked
	}
	return []byte(s)
}

// decode returns the value, with numbers as json.Number.
func decode(value []byte) any {
	switch kindOf(value) {
	case "null":
		return nil
	case "boolean":
		return value[0] == 't'
	case "string":
		return string(unquote(value))
	case "array":
		array := []any{}
		for element := range elements(value) {
			array = append(array, decode(element))
		}
		return array
	case "object":
		object := map[string]any{}
		for key, member := range members(value) {
			object[string(key)] = decode(member)
		}
		return object
	}
	return json.Number(value)
}

// kindOf returns the type of the value.
func kindOf(value []byte) string {
	switch value[0] {
	case 'n':
		return "null"
	case 't', 'f':
		return "boolean"
	case '"':
		return "string"
	case '[':
		return "array"
	case '{':
		return "object"
	}
	return "number"
}

// field is a member of an object that is looked for.
type field struct {
	name  string // in any case
	kind  string // the type that it must be of; "" for any
	value []byte // as it is written; nil if it is absent or null
}

// find gives the fields their values, from an object in the line. Of a member that comes
// twice the last one counts.
func find(line, object []byte, what string, fields []field) error {
	if kindOf(object) != "object" {
		return wrongType(line, what, object)
	}
	for key, value := range members(object) {
		i := slices.IndexFunc(fields, func(f field) bool { return len(f.name) == len(key) && strings.EqualFold(f.name, string(key)) })
		if i < 0 {
			continue
		}
		switch kind := kindOf(value); kind {
		case "null":
			fields[i].value = nil
		case fields[i].kind:
			fields[i].value = value
		default:
			if fields[i].kind != "" {
				return wrongType(line, fields[i].name, value)
			}
			fields[i].value = value
		}
	}
	return nil
}

// text returns the text of a field: that of a string, or another value as it is written;
// nil where it is absent.
func (f *field) text() []byte {
	if f.value != nil && f.value[0] == '"' {
		return unquote(f.value)
	}
	return f.value
}

// wrongType is the error of a value in the line that is of another type than its place wants.
func wrongType(line []byte, what string, value []byte) error {
	return &placedError{offsetIn(line, value), fmt.Sprintf("%s must not be of type %s", what, kindOf(value))}
}

// offsetIn returns where a part of the line begins.
func offsetIn(line, part []byte) int { return cap(line) - cap(part) }

// placedError is an error at a place in a line.
type placedError struct {
	at   int // byte of the line
	text string
}

func (e *placedError) Error() string { return e.text }
