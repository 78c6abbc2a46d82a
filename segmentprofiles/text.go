package segmentprofiles

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// idText returns the text of an id, which what names in errors.
func idText(raw json.RawMessage, what string) (string, error) {
	switch {
	case isNull(raw):
		return "", &MalformedError{what + " is missing"}
	case raw[0] != '"':
		return "", &MalformedError{what + " is no string"}
	case !isUnicode(raw):
		return "", &InvalidUTF8Error{what}
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err
}

// readTime returns a time, zero if there is none. It is not ok if there is something else.
func readTime(raw json.RawMessage) (t time.Time, ok bool) {
	if isNull(raw) {
		return time.Time{}, true
	}
	err := json.Unmarshal(raw, &t)
	return t, err == nil
}

// isUnicode reports whether all text in the JSON is valid Unicode. encoding/json makes
// U+FFFD of bytes that are no UTF-8 and of \u escapes that are half a surrogate pair, and
// does not say so.
func isUnicode(data []byte) bool {
	if !utf8.Valid(data) {
		return false
	}
	for {
		i := bytes.IndexByte(data, '\\')
		if i < 0 || i+1 >= len(data) {
			return true
		}
		data = data[i:]
		switch unit := escapedUnit(data); {
		case 0xd800 <= unit && unit < 0xdc00:
			low := escapedUnit(data[6:])
			if low < 0xdc00 || low > 0xdfff {
				return false
			}
			data = data[12:]
		case 0xdc00 <= unit && unit <= 0xdfff:
			return false
		default:
			data = data[2:]
		}
	}
}

// escapedUnit returns the UTF-16 unit of the \u escape that data begins with, or -1.
func escapedUnit(data []byte) int {
	if len(data) < 6 || data[0] != '\\' || data[1] != 'u' {
		return -1
	}
	unit, err := strconv.ParseUint(string(data[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return int(unit)
}

// markDamage replaces U+FFFD in the texts of traits from an answer that is no valid
// Unicode, see TraitsPage.
func markDamage(traits map[string]any) {
	for key, value := range traits {
		traits[key] = damaged(value)
	}
}

func damaged(value any) any {
	switch v := value.(type) {
	case string:
		return strings.ReplaceAll(v, string(utf8.RuneError), "\xff")
	case []any:
		for i := range v {
			v[i] = damaged(v[i])
		}
	case map[string]any:
		markDamage(v)
	}
	return value
}
