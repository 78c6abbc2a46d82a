package importer

import (
	"log/slog"
	"sync"

	"segsync/importer/journal"
	"segsync/importer/mapping"
	"segsync/segmentprofiles"
	"segsync/voucherify"
)

// converter makes the customers of profiles. It may be used by several goroutines.
type converter struct {
	mapping mapping.Mapping
	schema  *mapping.Schema // nil: metadata is sent as it is
	log     *slog.Logger
	missing sync.Map // keys that the schema requires and a warning was about
}

// customer gives the profile its customer, or its outcome where there is nothing to send.
// ids are its external IDs of the types that conditions need. A profile without a source_id
// counts as such, whatever the conditions say: its traits may not have been read.
func (c *converter) customer(p *profile, from mapping.Profile, ids []segmentprofiles.ExternalID) (err error) {
	switch {
	case from.SourceID == "":
		p.Outcome = journal.WithoutIdentifier
		return nil
	case !c.mapping.Matches(from, ids):
		p.Outcome = journal.Filtered
		return nil
	}
	customer, warnings := mapping.Map(from, c.mapping)
	for _, w := range warnings {
		if w.LeftOut.Reason != "" {
			p.LeftOut = append(p.LeftOut, w.LeftOut)
			continue
		}
		p.Warnings = append(p.Warnings, w)
		p.InvalidBirthdate = p.InvalidBirthdate || w.Field == "birthdate"
	}
	c.fitMetadata(p, &customer)
	p.clears = customer.Clear
	p.customer, err = customer.JSON()
	return err
}

// fitMetadata leaves out of the customer what Voucherify would reject it for.
func (c *converter) fitMetadata(p *profile, customer *voucherify.Customer) {
	if c.schema != nil {
		var leftOut []mapping.LeftOut
		customer.Metadata, leftOut = c.schema.Fit(customer.Metadata)
		p.LeftOut = append(p.LeftOut, leftOut...)
		customer.Clear, leftOut = c.schema.FitClear(customer.Clear)
		p.LeftOut = append(p.LeftOut, leftOut...)
		for _, key := range c.schema.Missing(customer.Metadata) {
			if _, warned := c.missing.LoadOrStore(key, true); !warned {
				c.log.Warn("the metadata schema requires a key that customers lack: Voucherify may reject them", "key", key,
					"segment_id", p.SegmentID)
			}
		}
	}
	for _, l := range p.LeftOut {
		c.log.Debug("left out of the metadata", "key", l.Key, "reason", l.Reason, "segment_id", p.SegmentID)
	}
}
