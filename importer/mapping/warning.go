package mapping

import (
	"encoding/json"
	"fmt"
	"strconv"

	"segsync/importer/metadata"
	"segsync/internal/safetext"
)

// Warning says what was left out of a customer, and why. It is safe to print: no
// character of the profile in it is a control character.
type Warning struct {
	// Field is the customer's field as in its JSON, such as address.city. It is
	// "birthdate" for an invalid birthdate, and for nothing else.
	Field string
	// Trait is the path of the trait, with dots.
	Trait string
	// Value is the trait's value, quoted if it is a string, otherwise JSON, and
	// cut to 100 characters. It is personal data; nothing else in a Warning is.
	Value string
	// Kind groups warnings for counting, together with Field.
	Kind Kind
	// Reason continues a sentence that starts with the value.
	Reason string
	// LeftOut is set for a trait that metadata does not take; Field is then "metadata."
	// and the key.
	LeftOut metadata.LeftOut
}

// Kind is what is wrong with a value, as a word that stays the same in each version.
type Kind string

const (
	NotText        Kind = "not_text"        // an array or an object where text is wanted
	TooLarge       Kind = "too_large"       // a number of more digits than can be written out
	NotADate       Kind = "not_a_date"      // a birthdate that is sent as null
	NotTransformed Kind = "not_transformed" // a value that a transform of the mapping does not take
	NotObject      Kind = "not_an_object"   // a trait that cannot be the metadata
	NotMetadata    Kind = "left_out"        // a trait that metadata does not take
	Damaged        Kind = "damaged"         // a trait that cannot be decoded without a loss
)

// String returns for example
//
//	birthdate: "05/02/1984" is not a date in the form YYYY-MM-DD
//	name (trait firstName): ["Ada"] is an array, not text
func (w Warning) String() string { return w.subject() + ": " + w.Value + " " + w.Reason }

// WithoutValue returns the text without the value, which is personal data:
//
//	birthdate is not a date in the form YYYY-MM-DD
func (w Warning) WithoutValue() string { return w.subject() + " " + w.Reason }

func (w Warning) subject() string {
	if w.Trait == w.Field {
		return w.Field
	}
	return w.Field + " (trait " + w.Trait + ")"
}

// quote returns v for a Warning: one line, cut, all of its characters printable.
func quote(v any) string {
	if s, ok := v.(string); ok {
		return strconv.Quote(cut(s))
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("(a %T)", v)
	}
	// JSON leaves DEL, the C1 controls and the bidirectional controls as they are.
	return safetext.Line(cut(string(text)))
}

// cut returns the first 100 characters of s, and an ellipsis if there are more.
func cut(s string) string {
	n := 0
	for i := range s {
		if n == 100 {
			return s[:i] + "…"
		}
		n++
	}
	return s
}
