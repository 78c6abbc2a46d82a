package importer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"

	"segsync/importer/mapping"
	"segsync/segmentprofiles"
	"segsync/voucherify"
)

// profile is a profile of a page, and what its reader found.
type profile struct {
	page      *page
	id        segmentprofiles.Identifier
	segmentID string // how the reports name it, see labelOf

	sourceID         string // "" without an identifier
	identifier       mapping.Identifier
	customer         []byte // JSON of the customer to send, or nil
	invalidBirthdate bool
	leftOut          []mapping.LeftOut // of its metadata
	vanished         *refusal          // why it could not be read, or nil
}

// labelOf is how the reports name a profile: its segment id, or type:value if only that
// is known.
func labelOf(id segmentprofiles.Identifier) string {
	if id.Type == "segment_id" {
		return id.Value
	}
	return id.String()
}

func identifierOf(label string) segmentprofiles.Identifier {
	if idType, value, found := strings.Cut(label, ":"); found {
		return segmentprofiles.Identifier{Type: idType, Value: value}
	}
	return segmentprofiles.SegmentID(label)
}

// hashOf must never change: the hashes of an import are kept on disk.
func hashOf(label string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(label))
	return h.Sum64()
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
	if err := r.watchGone(p); err != nil {
		r.fail(p.page, err)
		return
	}
	if p.page.unread.Add(-1) == 0 {
		p.page.finish(nil)
	}
}

// maxGoneInRow is how many profiles may be gone one after the other, although the list
// shows them.
const maxGoneInRow = 200

// GoneError is the error of a run that found Segment answer 404 for all of many profiles:
// it is rather the route or the address that is wrong.
type GoneError struct {
	Profiles int    // in a row
	Last     string // answer
}

func (e *GoneError) Error() string {
	return fmt.Sprintf("%d profiles in a row were listed and are gone; the last: %s", e.Profiles, e.Last)
}

// Hint says what to do about the error.
func (e *GoneError) Hint() string {
	return "is SEGMENT_API_URL right, and does Segment answer for a profile in its app? If they were really deleted, " +
		"begin behind them with --offset"
}

// watchGone returns an error if too many profiles of the list were gone one after the
// other.
func (r *run) watchGone(p *profile) error {
	if p.vanished == nil || r.settings.Profiles != nil {
		r.goneInRow.Store(0)
		return nil
	}
	if r.goneInRow.Add(1) >= maxGoneInRow {
		return &GoneError{maxGoneInRow, p.vanished.detail}
	}
	return nil
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
	customer, warnings := mapping.Map(mapping.Profile{SegmentID: p.segmentID, SourceID: p.sourceID, Traits: reading.traits}, r.settings.Mapping)
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
		var leftOut []mapping.LeftOut
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
