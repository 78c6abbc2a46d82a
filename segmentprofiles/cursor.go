package segmentprofiles

import (
	"crypto/sha256"
	"fmt"
	"iter"

	"github.com/go-json-experiment/json/jsontext"

	"segsync/internal/safetext"
	"segsync/internal/strictjson"
)

// Cursor points to the page after this one. Its url member is left out on purpose:
// it lacks parameters and must not be followed.
type Cursor struct {
	// Next is sent back unchanged; "" after the last page. In the list it happens
	// to be a decimal offset, and has to be a plain token: at most 512 letters, digits
	// and characters of "_-.=/+:~%". In traits it is a trait key, which may be any text.
	Next string
	// More says that the API claims that there are further pages. It does not say where
	// they are if Next is "".
	More bool
}

// UnmarshalJSON accepts next as a string or a number. A cursor whose has_more is
// false has no next page, whatever else it says. Its error is a *CursorError.
func (c *Cursor) UnmarshalJSON(data []byte) error {
	*c = Cursor{}
	if isNull(data) {
		return nil
	}
	var raw struct {
		HasMore jsontext.Value `json:"has_more"`
		Next    jsontext.Value `json:"next"`
	}
	if err := strictjson.Unmarshal(data, &raw, "next"); err != nil {
		return &CursorError{"is not an object"}
	}
	next, err := cursorText(raw.Next)
	if err != nil {
		return err
	}
	switch {
	case isNull(raw.HasMore):
		c.Next = next
	case string(raw.HasMore) == "true":
		c.Next, c.More = next, true
	case string(raw.HasMore) == "false":
	default:
		return &CursorError{"has a has_more that is not a boolean"}
	}
	return nil
}

func cursorText(raw jsontext.Value) (string, error) {
	switch {
	case isNull(raw):
		return "", nil
	case raw.Kind() == '0':
		return string(raw), nil
	case raw.Kind() != '"':
		return "", &CursorError{"has a next that is neither a string nor a number"}
	}
	text, err := jsontext.AppendUnquote(nil, raw)
	if err != nil {
		return "", &CursorError{"has a next that is not valid Unicode text"}
	}
	return string(text), nil
}

// maxToken bounds a cursor of the list, in bytes. It is shown to people, kept in files and
// typed as an argument.
const maxToken = 512

// checkToken returns a *CursorError if the cursor of the list is no plain token.
func checkToken(next string) error {
	if len(next) > maxToken {
		return &CursorError{fmt.Sprintf(`"%s" has more than %d bytes`, safetext.Cut(next, 40), maxToken)}
	}
	for _, c := range next {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '_', c == '-', c == '.', c == '=', c == '/', c == '+', c == ':', c == '~', c == '%':
		default:
			return &CursorError{fmt.Sprintf(`"%s" has characters other than letters, digits and _-.=/+:~%%`, safetext.Cut(next, 40))}
		}
	}
	return nil
}

// pages ranges over pages from the cursor first to the one whose next is "". A cursor that
// comes a second time is a *CursorError: its pages would never end. Of each cursor 16 bytes
// are kept.
func pages[P any](first string, get func(next string) (page P, after string, err error)) iter.Seq2[P, error] {
	return func(yield func(P, error) bool) {
		seen := make(map[[16]byte]struct{})
		for next := first; ; {
			page, after, err := get(next)
			if err != nil {
				yield(page, err)
				return
			}
			seen[hashOf(next)] = struct{}{}
			if _, ok := seen[hashOf(after)]; ok && after != "" {
				yield(page, &CursorError{fmt.Sprintf(`"%s" came a second time: the pages do not end`, safetext.Cut(after, 40))})
				return
			}
			if !yield(page, nil) || after == "" {
				return
			}
			next = after
		}
	}
}

func hashOf(cursor string) [16]byte {
	sum := sha256.Sum256([]byte(cursor))
	return [16]byte(sum[:16])
}
