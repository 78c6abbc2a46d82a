package importer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"segsync/segmentprofiles"
)

// profile is a profile of a page, and what its reader found.
type profile struct {
	page      *page
	segmentID string

	sourceID         string // "" without an identifier
	customer         []byte // JSON of the customer to send, or nil
	invalidBirthdate bool
	refused          *refusal // why it cannot be imported, or nil
}

// refusal is why a profile was not imported.
type refusal struct{ reason, detail string }

// readProfiles reads profiles until there are no more. A profile that cannot be read
// for reasons of its own is noted; other errors end the run before its page.
func (r *run) readProfiles(ctx context.Context, work <-chan *profile) {
	for p := range receive(ctx, work) {
		if p.page.number >= r.failedPage.Load() {
			continue
		}
		if err := r.readProfile(ctx, p); err != nil {
			r.fail(p.page, err)
			continue
		}
		r.read.Add(1)
		if p.page.unread.Add(-1) == 0 {
			p.page.finish(nil)
		}
	}
}

// readProfile reads the external IDs of the profile first: one without an identifier
// costs one request, not two.
func (r *run) readProfile(ctx context.Context, p *profile) error {
	if p.segmentID == "" {
		p.refused = &refusal{"no_segment_id", "the list has an entry without segment_id"}
		return nil
	}
	id := segmentprofiles.SegmentID(p.segmentID)
	ids, err := r.segment.ExternalIDs(ctx, id, []string{r.settings.Identifier})
	if err != nil {
		return vanishedOr(p, fmt.Errorf("reading the external IDs of %s: %w", p.segmentID, err))
	}
	p.sourceID = newestID(ids, r.settings.Identifier)
	if p.sourceID == "" {
		return nil
	}
	traits, err := r.segment.Traits(ctx, id, r.settings.TraitsLimit, r.settings.Mapping.Traits())
	if err != nil {
		return vanishedOr(p, fmt.Errorf("reading the traits of %s: %w", p.segmentID, err))
	}
	customer, warnings := MapCustomer(Profile{SegmentID: p.segmentID, SourceID: p.sourceID, Traits: traits}, r.settings.Mapping)
	for _, w := range warnings {
		r.log.Warn(w.String(), "segment_id", p.segmentID, "source_id", p.sourceID)
		p.invalidBirthdate = p.invalidBirthdate || w.Field == "birthdate"
	}
	p.customer, err = json.Marshal(customer)
	return err
}

// vanishedOr notes that the profile is gone if that is what err says; it was listed,
// and deleted since. Any other error is returned.
func vanishedOr(p *profile, err error) error {
	var answer *segmentprofiles.Error
	if errors.As(err, &answer) && answer.NotFound() {
		p.refused = &refusal{"vanished", answer.Error()}
		return nil
	}
	return err
}

// newestID returns the newest of the external IDs of the type; of several created at
// the same instant the smallest. "" means that there is none.
func newestID(ids []segmentprofiles.ExternalID, idType string) string {
	var newest segmentprofiles.ExternalID
	for _, id := range ids {
		if id.Type != idType || id.ID == "" {
			continue
		}
		if newest.ID == "" || cmp.Or(id.CreatedAt.Compare(newest.CreatedAt), cmp.Compare(newest.ID, id.ID)) > 0 {
			newest = id
		}
	}
	return newest.ID
}
