package segmentprofiles

import (
	"errors"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"segsync/internal/strictjson"
)

func isNull(raw jsontext.Value) bool { return len(raw) == 0 || string(raw) == "null" }

// unmarshalPart decodes an object, which what names in errors. Damage in the member id is
// left to idText.
func unmarshalPart(data []byte, into any, what, id string) error {
	err := strictjson.Unmarshal(data, into, id)
	switch {
	case jsontext.Value(data).Kind() != '{': // null is not an error of Unmarshal
		return &MalformedError{what + " is not an object"}
	case errors.Is(err, strictjson.ErrNotUnicode):
		return &InvalidUTF8Error{"a text of " + what}
	case errors.Is(err, strictjson.ErrNameTwice):
		return &MalformedError{"a name comes twice in " + what}
	}
	return err
}

// idText returns the text of an id, which what names in errors.
func idText(raw jsontext.Value, what string) (string, error) {
	switch {
	case isNull(raw):
		return "", &MalformedError{what + " is missing"}
	case raw.Kind() != '"':
		return "", &MalformedError{what + " is not a string"}
	}
	text, err := jsontext.AppendUnquote(nil, raw)
	if err != nil {
		return "", &InvalidUTF8Error{what}
	}
	return string(text), nil
}

// readTime returns a time, zero if there is none. It is not ok if there is something else.
func readTime(raw jsontext.Value) (t time.Time, ok bool) {
	if isNull(raw) {
		return time.Time{}, true
	}
	err := strictjson.Unmarshal(raw, &t)
	return t, err == nil
}
