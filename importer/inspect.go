package importer

import (
	"context"
	"fmt"
	"iter"

	"segsync/importer/mapping"
	"segsync/profilessync"
	"segsync/segmentprofiles"
	"segsync/voucherify"
)

// Inspection is one profile, and the customer that it becomes.
type Inspection struct {
	Profile     string                       `json:"profile"`
	ExternalIDs []segmentprofiles.ExternalID `json:"external_ids"`
	Traits      map[string]any               `json:"traits"`
	// Customer is nil for a profile without an identifier.
	Customer   *voucherify.Customer `json:"customer"`
	Identifier string               `json:"identifier,omitempty"` // what source_id was taken from
	Origins    []mapping.Origin     `json:"origins"`
	Warnings   []string             `json:"warnings"`
	// Filtered are the conditions of the mapping that the profile does not meet: its customer
	// is not sent.
	Filtered []string `json:"filtered,omitempty"`
	// Existing is what Voucherify has of the customer by field, such as address.city; nil
	// where it was not asked, or has no such customer.
	Existing map[string]any `json:"existing,omitempty"`
	// Effect is that of an import now; "" for a profile that is filtered, or where Voucherify
	// was not asked.
	Effect Kind `json:"effect,omitempty"`
}

// CompareWith asks Voucherify for the customer, if there is one to send.
func (in *Inspection) CompareWith(ctx context.Context, vch *voucherify.Client) error {
	if in.Customer == nil {
		return nil
	}
	now, err := oneByOne{vch, nil}.stored(ctx, in.Customer.SourceID)
	if err != nil {
		return fmt.Errorf("reading the customer: %w", err)
	}
	customer, err := in.Customer.JSON()
	if err != nil {
		return err
	}
	d, err := compare(customer, now)
	if err != nil {
		return err
	}
	if now != nil {
		in.Existing = now.fields
	}
	if len(in.Filtered) == 0 {
		in.Effect = d.Kind
	}
	return nil
}

// Inspector makes Inspections.
type Inspector struct {
	Identifiers []mapping.Identifier
	Mapping     mapping.Mapping
	Schema      *mapping.Schema // what metadata is made to fit; nil: it is sent as it is
}

// Inspect says what customer a profile becomes, and why. The SourceID of profile is not used.
func (o *Inspector) Inspect(profile mapping.Profile, ids []segmentprofiles.ExternalID) *Inspection {
	in := &Inspection{Profile: profile.SegmentID, ExternalIDs: ids, Traits: profile.Traits, Origins: []mapping.Origin{}, Warnings: []string{}}
	if in.ExternalIDs == nil {
		in.ExternalIDs = []segmentprofiles.ExternalID{}
	}
	var from mapping.Identifier
	if profile.SourceID, from = mapping.SourceID(o.Identifiers, ids, profile.Traits); profile.SourceID == "" {
		return in
	}
	customer, warnings := mapping.Map(profile, o.Mapping)
	in.Customer, in.Identifier = &customer, from.String()
	in.Origins = append(in.Origins, mapping.Explain(profile, o.Mapping)...)
	for _, w := range warnings {
		in.Warnings = append(in.Warnings, w.String())
	}
	if o.Schema != nil {
		for _, l := range o.Schema.FitCustomer(&customer) {
			in.Warnings = append(in.Warnings, fmt.Sprintf("metadata.%s is left out: %s", l.Key, l.Reason))
		}
	}
	for _, condition := range o.Mapping.Where {
		if !(mapping.Mapping{Where: []mapping.Condition{condition}}).Matches(profile, ids) {
			in.Filtered = append(in.Filtered, condition.String())
		}
	}
	return in
}

// InspectFound inspects the first of the profiles, which come from a warehouse or a file;
// texts says that their traits are texts. It returns nil if there is none.
func (o *Inspector) InspectFound(found iter.Seq2[*profilessync.Profile, error], texts bool) (*Inspection, error) {
	for p, err := range found {
		if err != nil {
			return nil, err
		}
		in := o.Inspect(mapping.Profile{SegmentID: p.SegmentID, Traits: p.Traits, Texts: texts}, externalIDs(p))
		if in.Customer != nil {
			for _, w := range truncated(p) {
				in.Warnings = append(in.Warnings, w.String())
			}
		}
		return in, nil
	}
	return nil, nil
}
