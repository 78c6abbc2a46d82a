package importer

import (
	"context"
	"fmt"

	"segsync/importer/mapping"
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
	Effect   Kind           `json:"effect,omitempty"` // of an import now; "" where Voucherify was not asked
}

// CompareWith asks Voucherify for the customer, if there is one to send.
func (in *Inspection) CompareWith(ctx context.Context, vch *voucherify.Client) error {
	if in.Customer == nil {
		return nil
	}
	now, err := oneByOne{vch}.stored(ctx, in.Customer.SourceID)
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
	if in.Effect = d.Kind; now != nil {
		in.Existing = now.fields
	}
	return nil
}

// Inspect says what customer a profile becomes, and why. Only the identifiers and the
// mapping of the settings are used.
func Inspect(label string, ids []segmentprofiles.ExternalID, traits map[string]any, identifiers []mapping.Identifier, m mapping.Mapping) *Inspection {
	in := &Inspection{Profile: label, ExternalIDs: ids, Traits: traits, Origins: []mapping.Origin{}, Warnings: []string{}}
	if in.ExternalIDs == nil {
		in.ExternalIDs = []segmentprofiles.ExternalID{}
	}
	sourceID, from := mapping.SourceID(identifiers, ids, traits)
	if sourceID == "" {
		return in
	}
	profile := mapping.Profile{SegmentID: label, SourceID: sourceID, Traits: traits}
	customer, warnings := mapping.Map(profile, m)
	in.Customer, in.Identifier = &customer, from.String()
	in.Origins = append(in.Origins, mapping.Explain(profile, m)...)
	for _, w := range warnings {
		in.Warnings = append(in.Warnings, w.String())
	}
	for _, condition := range m.Where {
		if !(mapping.Mapping{Where: []mapping.Condition{condition}}).Matches(profile, ids) {
			in.Filtered = append(in.Filtered, condition.String())
		}
	}
	return in
}
