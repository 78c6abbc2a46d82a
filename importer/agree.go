package importer

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"segsync/importer/mapping"
	"segsync/profilessync"
	"segsync/segmentprofiles"
)

// Agreement says how profiles of a warehouse or a file compare with the same ones of the
// Profile API.
type Agreement struct {
	Compared  int
	Absent    []string       // segment ids of profiles with a source_id that only the API has
	SourceIDs []SourceIDs    // the profiles whose source_id differs
	Fields    map[string]int // how many customers differ in a field, such as address.city
}

// SourceIDs are the two source_ids of a profile; "" for none.
type SourceIDs struct{ SegmentID, API, Here string }

// Comparer compares profiles of a warehouse or a file with the same ones of the Profile API.
type Comparer struct {
	Segment     *segmentprofiles.Client
	Identifiers []mapping.Identifier
	Mapping     mapping.Mapping
	Schema      *mapping.Schema // what metadata is made to fit; nil: it is sent as it is
	TraitsLimit int
	Readers     int
	Texts       bool // the traits of the warehouse or the file are texts
}

// IdentifiedBy returns what identifies a profile, as a query.
func IdentifiedBy(identifiers []mapping.Identifier) profilessync.Query {
	q := profilessync.Query{IdentifierTypes: []string{}, Traits: []string{}}
	for _, id := range identifiers {
		if id.Trait != "" {
			q.Traits = append(q.Traits, id.Trait)
		} else {
			q.IdentifierTypes = append(q.IdentifierTypes, id.Type)
		}
	}
	return q
}

// IsIdentified reports whether an import gives the profile a source_id.
func IsIdentified(p *profilessync.Profile, identifiers []mapping.Identifier) bool {
	sourceID, _ := mapping.SourceID(identifiers, externalIDs(p), p.Traits)
	return sourceID != ""
}

// Compare reads the profiles with these ids by the API and compares their customers with
// those of the ones found elsewhere, by segment id. Profiles that the API no longer has are
// passed over.
func (c *Comparer) Compare(ctx context.Context, ids []string, found map[string]*profilessync.Profile) (*Agreement, error) {
	a := &Agreement{Fields: map[string]int{}}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(c.Readers, 1))
	for _, id := range ids {
		g.Go(func() error {
			external, traits, err := ReadWhole(ctx, c.Segment, segmentprofiles.SegmentID(id), c.TraitsLimit)
			var answer *segmentprofiles.Error
			if _, malformed := segmentprofiles.OfProfile(err); malformed || errors.As(err, &answer) && answer.NotFound() {
				return nil
			}
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			return c.add(a, id, external, traits, found[id])
		})
	}
	err := g.Wait()
	slices.Sort(a.Absent)
	slices.SortFunc(a.SourceIDs, func(x, y SourceIDs) int { return strings.Compare(x.SegmentID, y.SegmentID) })
	return a, err
}

// add compares one profile. One that neither way makes a customer of need not be here.
func (c *Comparer) add(a *Agreement, id string, external []segmentprofiles.ExternalID, traits map[string]any, here *profilessync.Profile) error {
	sourceID, _ := mapping.SourceID(c.Identifiers, external, traits)
	if here == nil {
		if sourceID != "" {
			a.Absent = append(a.Absent, id)
		}
		return nil
	}
	a.Compared++
	hereID, _ := mapping.SourceID(c.Identifiers, externalIDs(here), here.Traits)
	if sourceID != hereID {
		a.SourceIDs = append(a.SourceIDs, SourceIDs{id, sourceID, hereID})
		return nil
	}
	if sourceID == "" {
		return nil
	}
	api, err := c.fields(mapping.Profile{SegmentID: id, SourceID: sourceID, Traits: traits})
	if err != nil {
		return err
	}
	other, err := c.fields(mapping.Profile{SegmentID: id, SourceID: sourceID, Traits: here.Traits, Texts: c.Texts})
	if err != nil {
		return err
	}
	all := maps.Clone(api)
	maps.Copy(all, other)
	for field := range all {
		if api[field] != other[field] {
			a.Fields[field]++
		}
	}
	return nil
}

// fields returns the fields of a customer as JSON, those of the address and the metadata
// one by one.
func (c *Comparer) fields(p mapping.Profile) (map[string]string, error) {
	customer, _ := mapping.Map(p, c.Mapping)
	if c.Schema != nil {
		c.Schema.FitCustomer(&customer)
	}
	data, err := json.Marshal(customer)
	if err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, err
	}
	texts := make(map[string]string)
	for name, value := range fields {
		var inner map[string]json.RawMessage
		if (name == "address" || name == "metadata") && json.Unmarshal(value, &inner) == nil {
			for key, value := range inner {
				texts[name+"."+key] = string(value)
			}
			continue
		}
		texts[name] = string(value)
	}
	return texts, nil
}
