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
	absent  absent
	// coverage counts what the profiles have, for a plan; nil counts nothing.
	coverage *coverageCounter
}

// absentAfter is how many profiles are looked at for traits that none of them has.
const absentAfter = 1000

// absent looks for traits of the mapping that no profile has: their names may be wrong.
type absent struct {
	mu       sync.Mutex
	profiles int
	seen     map[string]int // profiles by trait
}

// look counts the traits of a profile. After enough profiles it warns, once.
func (a *absent) look(traits map[string]any, m mapping.Mapping, log *slog.Logger) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.profiles++; a.profiles > absentAfter {
		return
	}
	if a.seen == nil {
		a.seen = make(map[string]int)
	}
	for key := range traits {
		a.seen[key]++
	}
	if a.profiles < absentAfter || m.Fingerprint() == mapping.Default().Fingerprint() { // that one knows many names
		return
	}
	for _, miss := range m.Unknown(a.seen) {
		log.Warn("a trait of the mapping is in none of the first profiles: is its name right?", "trait", miss.Trait,
			"field", miss.Field, "profiles", absentAfter, "setting", "SEGSYNC_MAPPING")
	}
}

// customer gives the profile its customer, or its outcome where there is nothing to send.
// ids are its external IDs of the types that conditions need. A profile without a source_id
// counts as such, whatever the conditions say: its traits may not have been read.
func (c *converter) customer(p *profile, from mapping.Profile, ids []segmentprofiles.ExternalID) (err error) {
	c.coverage.profile(from, ids, p.Identifier)
	switch {
	case from.SourceID == "":
		p.Outcome = journal.WithoutIdentifier
		return nil
	case !c.mapping.Matches(from, ids):
		p.Outcome = journal.Filtered
		return nil
	}
	c.absent.look(from.Traits, c.mapping, c.log)
	customer, warnings := mapping.Map(from, c.mapping)
	c.coverage.customer(&customer, warnings)
	for _, w := range warnings {
		if w.LeftOut.Reason != "" {
			p.LeftOut = append(p.LeftOut, w.LeftOut)
			continue
		}
		p.Warnings = append(p.Warnings, w)
		p.InvalidBirthdate = p.InvalidBirthdate || w.Field == "birthdate"
	}
	c.fitMetadata(p, &customer)
	p.Cleared = customer.Clear
	p.customer, err = customer.JSON()
	return err
}

// fitMetadata leaves out of the customer what Voucherify would reject it for.
func (c *converter) fitMetadata(p *profile, customer *voucherify.Customer) {
	if c.schema != nil {
		p.LeftOut = append(p.LeftOut, c.schema.FitCustomer(customer)...)
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
