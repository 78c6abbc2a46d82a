package mapping

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"segsync/segmentprofiles"
)

// Identifier is where a source_id may come from: the external IDs of a type, or a trait.
type Identifier struct {
	Type  string // of the external ID, such as "user_id"; "" for a trait
	Trait string // key of the trait
}

const traitPrefix = "trait:"

func (id Identifier) String() string {
	if id.Trait != "" {
		return traitPrefix + id.Trait
	}
	return id.Type
}

// ParseIdentifiers parses identifiers in order of preference, separated by commas, such
// as "user_id,email,trait:email".
func ParseIdentifiers(s string) ([]Identifier, error) {
	var ids []Identifier
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		id := Identifier{Type: part}
		if trait, found := strings.CutPrefix(part, traitPrefix); found {
			id = Identifier{Trait: trait}
		}
		switch {
		case id.Trait == "" && (id.Type == "" || strings.ContainsFunc(id.Type, notOfType)):
			return nil, fmt.Errorf("%q is neither a type of external ID, such as user_id, nor a trait, such as trait:email", part)
		case slices.Contains(ids, id):
			return nil, fmt.Errorf("duplicate identifier %q", part)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func notOfType(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_.-", r)
}

// SourceID returns the source_id of a profile that was read as a whole, and the identifier
// that it comes from: the first that the profile has one of. "" means that it has none.
func SourceID(identifiers []Identifier, ids []segmentprofiles.ExternalID, traits map[string]any) (string, Identifier) {
	for _, id := range identifiers {
		if sourceID := id.SourceID(ids, traits); sourceID != "" {
			return sourceID, id
		}
	}
	return "", Identifier{}
}

// SourceID returns the source_id that the identifier gives, or "".
func (id Identifier) SourceID(ids []segmentprofiles.ExternalID, traits map[string]any) string {
	if id.Trait == "" {
		return newestID(ids, id.Type)
	}
	if _, isBool := traits[id.Trait].(bool); isBool {
		return "" // a boolean identifies no one
	}
	t := traitReader{traits: traits}
	return t.text("source_id", &Field{Traits: []Path{{id.Trait}}})
}

// newestID returns the newest of the external IDs of the type; of several created at
// the same instant the smallest. "" means that there is none.
func newestID(ids []segmentprofiles.ExternalID, idType string) string {
	var newest segmentprofiles.ExternalID
	for _, id := range ids {
		if id.Type != idType || strings.TrimSpace(id.ID) == "" {
			continue
		}
		if newest.ID == "" || cmp.Or(id.CreatedAt.Compare(newest.CreatedAt), cmp.Compare(newest.ID, id.ID)) > 0 {
			newest = id
		}
	}
	return newest.ID
}
