package importer

import (
	"context"
	"encoding/json"
	"errors"

	"segsync/segmentprofiles"
	"segsync/voucherify"
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
	leftOut          []LeftOut // of its metadata
	vanished         *refusal  // why it could not be read, or nil
}

// refusal is why a profile was not imported.
type refusal struct{ reason, detail string }

// readProfiles reads profiles until there are no more, or it is told to quit. A profile
// that cannot be read for reasons of its own is noted; other errors end the run before its
// page.
func (r *run) readProfiles(ctx context.Context, work <-chan *profile, quit <-chan struct{}) {
	for {
		select {
		case p, more := <-work:
			if !more {
				return
			}
			r.readInPage(ctx, p)
		case <-quit:
			return
		case <-ctx.Done():
			return
		}
	}
}

// readInPage reads a profile, unless a page before it has failed, and finishes its page
// with the last one.
func (r *run) readInPage(ctx context.Context, p *profile) {
	if p.page.number >= r.failedPage.Load() {
		return
	}
	if err := r.readProfile(ctx, p); err != nil {
		r.fail(p.page, err)
		return
	}
	r.read.Add(1)
	if p.page.unread.Add(-1) == 0 {
		p.page.finish(nil)
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
		p.vanished = &refusal{r.goneReason(), answer.Error()}
		return nil
	case err != nil || p.sourceID == "":
		return err
	}
	customer, warnings := MapCustomer(Profile{SegmentID: p.segmentID, SourceID: p.sourceID, Traits: reading.traits}, r.settings.Mapping)
	for _, w := range warnings {
		if w.LeftOut.Reason != "" {
			p.leftOut = append(p.leftOut, w.LeftOut)
			continue
		}
		r.log.Warn(w.String(), "segment_id", p.segmentID, "source_id", p.sourceID)
		p.invalidBirthdate = p.invalidBirthdate || w.Field == "birthdate"
	}
	r.fitMetadata(p, &customer)
	p.customer, err = json.Marshal(customer)
	return err
}

// fitMetadata leaves out of the customer what Voucherify would reject it for.
func (r *run) fitMetadata(p *profile, c *voucherify.Customer) {
	if r.schema != nil {
		var leftOut []LeftOut
		c.Metadata, leftOut = r.schema.Fit(c.Metadata)
		p.leftOut = append(p.leftOut, leftOut...)
		for _, key := range r.schema.Missing(c.Metadata) {
			if _, warned := r.missing.LoadOrStore(key, true); !warned {
				r.log.Warn("the metadata schema requires a key that customers lack: Voucherify may reject them", "key", key,
					"segment_id", p.segmentID)
			}
		}
	}
	for _, l := range p.leftOut {
		r.log.Debug("left out of the metadata", "key", l.Key, "reason", l.Reason, "segment_id", p.segmentID)
	}
}

// goneReason is the reason for a profile that Segment does not have: it was listed a
// moment ago, or it was asked for by name.
func (r *run) goneReason() string {
	if r.settings.Profiles != nil {
		return "unknown"
	}
	return "vanished"
}
