package importer

import (
	"cmp"
	"context"
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
			return nil, fmt.Errorf("%q is there twice", part)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func notOfType(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_.-", r)
}

// reading is one profile being read: its external IDs and traits, each read when it is
// needed for the first time.
type reading struct {
	*run
	profile *profile
	ids     []segmentprofiles.ExternalID
	traits  map[string]any
	haveIDs bool
}

// identify returns the source_id of the profile and the identifier that it comes from,
// the first of which the profile has one, or "". A profile without external IDs of the
// types wanted costs one request, not two.
func (r *reading) identify(ctx context.Context) (sourceID string, from Identifier, err error) {
	for _, id := range r.settings.Identifiers {
		if id.Trait != "" {
			err = r.readTraits(ctx)
		} else {
			err = r.readIDs(ctx)
		}
		if err != nil {
			return "", id, err
		}
		if sourceID := id.of(r.ids, r.traits); sourceID != "" {
			return sourceID, id, nil
		}
	}
	return "", Identifier{}, nil
}

// of returns the source_id that the identifier gives, or "".
func (id Identifier) of(ids []segmentprofiles.ExternalID, traits map[string]any) string {
	if id.Trait == "" {
		return newestID(ids, id.Type)
	}
	if _, isBool := traits[id.Trait].(bool); isBool {
		return "" // it tells nobody from anybody
	}
	t := traitReader{traits: traits}
	return t.text("source_id", &Field{Traits: []Path{{id.Trait}}})
}

func (r *reading) readIDs(ctx context.Context) (err error) {
	if r.haveIDs {
		return nil
	}
	r.haveIDs = true
	r.ids, err = r.segment.ExternalIDs(ctx, r.profile.id, r.idTypes)
	if err != nil {
		return fmt.Errorf("reading the external IDs of %s: %w", r.profile.segmentID, err)
	}
	return nil
}

func (r *reading) readTraits(ctx context.Context) (err error) {
	if r.traits != nil || r.include != nil && len(r.include) == 0 { // read, or nothing to read
		return nil
	}
	r.traits, err = r.segment.Traits(ctx, r.profile.id, r.settings.TraitsLimit, r.include)
	if err != nil {
		return fmt.Errorf("reading the traits of %s: %w", r.profile.segmentID, err)
	}
	return nil
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
