package importer

import (
	"context"
	"encoding/json"
	"errors"

	"segsync/segmentprofiles"
)

// profile is a profile of a page, and what its reader found.
type profile struct {
	page      *page
	id        segmentprofiles.Identifier
	segmentID string // how the reports name it, see labelOf

	sourceID         string // "" without an identifier
	identifier       Identifier
	customer         []byte // JSON of the customer to send, or nil
	invalidBirthdate bool
	vanished         *refusal // why it could not be read, or nil
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

// readProfile reads what is needed of the profile and maps it.
func (r *run) readProfile(ctx context.Context, p *profile) error {
	if p.segmentID == "" {
		p.vanished = &refusal{"no_segment_id", "the list has an entry without segment_id"}
		return nil
	}
	reading := &reading{run: r, profile: p}
	var err error
	p.sourceID, p.identifier, err = reading.identify(ctx)
	if err == nil && p.sourceID != "" {
		err = reading.readTraits(ctx)
	}
	var answer *segmentprofiles.Error
	switch {
	case errors.As(err, &answer) && answer.NotFound(): // listed, and deleted since
		p.vanished = &refusal{"vanished", answer.Error()}
		return nil
	case err != nil || p.sourceID == "":
		return err
	}
	customer, warnings := MapCustomer(Profile{SegmentID: p.segmentID, SourceID: p.sourceID, Traits: reading.traits}, r.settings.Mapping)
	for _, w := range warnings {
		r.log.Warn(w.String(), "segment_id", p.segmentID, "source_id", p.sourceID)
		p.invalidBirthdate = p.invalidBirthdate || w.Field == "birthdate"
	}
	p.customer, err = json.Marshal(customer)
	return err
}
