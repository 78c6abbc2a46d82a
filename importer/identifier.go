package importer

import (
	"context"
	"fmt"

	"segsync/importer/mapping"
	"segsync/segmentprofiles"
)

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
func (r *reading) identify(ctx context.Context) (sourceID string, from mapping.Identifier, err error) {
	for _, id := range r.settings.Identifiers {
		if id.Trait != "" {
			err = r.readTraits(ctx)
		} else {
			err = r.readIDs(ctx)
		}
		if err != nil {
			return "", id, err
		}
		if sourceID := id.SourceID(r.ids, r.traits); sourceID != "" {
			return sourceID, id, nil
		}
	}
	return "", mapping.Identifier{}, nil
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
