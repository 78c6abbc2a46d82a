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
	Absent    []string       // segment ids of profiles that only the API has
	SourceIDs []SourceIDs    // the profiles whose source_id differs
	Fields    map[string]int // how many customers differ in a field, such as address.city
}

// SourceIDs are the two source_ids of a profile; "" for none.
type SourceIDs struct{ SegmentID, API, Here string }

// Compare reads the profiles with these ids by the API and compares their customers with
// those of the ones found elsewhere, by segment id. texts says that the traits of those are
// texts. Profiles that the API no longer has are passed over.
func Compare(ctx context.Context, segment *segmentprofiles.Client, s Settings, ids []string, found map[string]*profilessync.Profile, texts bool) (*Agreement, error) {
	a := &Agreement{Fields: map[string]int{}}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(s.Readers, 1))
	for _, id := range ids {
		g.Go(func() error {
			external, traits, err := ReadWhole(ctx, segment, segmentprofiles.SegmentID(id), s.TraitsLimit)
			var answer *segmentprofiles.Error
			if _, malformed := segmentprofiles.OfProfile(err); malformed || errors.As(err, &answer) && answer.NotFound() {
				return nil
			}
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			return a.add(s, id, external, traits, found[id], texts)
		})
	}
	err := g.Wait()
	slices.Sort(a.Absent)
	slices.SortFunc(a.SourceIDs, func(x, y SourceIDs) int { return strings.Compare(x.SegmentID, y.SegmentID) })
	return a, err
}

func (a *Agreement) add(s Settings, id string, external []segmentprofiles.ExternalID, traits map[string]any, here *profilessync.Profile, texts bool) error {
	sourceID, _ := mapping.SourceID(s.Identifiers, external, traits)
	if here == nil {
		a.Absent = append(a.Absent, id)
		return nil
	}
	a.Compared++
	hereID, _ := mapping.SourceID(s.Identifiers, externalIDs(here), here.Traits)
	if sourceID != hereID {
		a.SourceIDs = append(a.SourceIDs, SourceIDs{id, sourceID, hereID})
		return nil
	}
	if sourceID == "" {
		return nil
	}
	api, err := fieldsOf(mapping.Profile{SegmentID: id, SourceID: sourceID, Traits: traits}, s.Mapping)
	if err != nil {
		return err
	}
	other, err := fieldsOf(mapping.Profile{SegmentID: id, SourceID: sourceID, Traits: here.Traits, Texts: texts}, s.Mapping)
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

// fieldsOf returns the fields of a customer as JSON, those of the address and the metadata
// one by one.
func fieldsOf(p mapping.Profile, m mapping.Mapping) (map[string]string, error) {
	customer, _ := mapping.Map(p, m)
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
