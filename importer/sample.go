package importer

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"segsync/importer/mapping"
	"segsync/profilessync"
	"segsync/segmentprofiles"
)

// Sample says what the first profiles of the list have, and what the import would make
// of them.
type Sample struct {
	Coverage
	Vanished          int             `json:"vanished"`
	WithoutIdentifier int             `json:"without_identifier"`
	Filtered          int             `json:"filtered"`
	Warnings          []SampleWarning `json:"warnings"`
	InvalidBirthdates int             `json:"invalid_birthdates"`
	// SchemaRefusals counts the customers by metadata key that the project's schema does
	// not take, and by reason.
	SchemaRefusals map[string]map[string]int `json:"schema_refusals"`
}

// SampleWarning is a warning about a profile.
type SampleWarning struct {
	SegmentID string `json:"segment_id"`
	SourceID  string `json:"source_id"`
	Warning   string `json:"warning"`
}

// Sampler reads profiles to show what an import would make of them. It writes nothing.
type Sampler struct {
	Segment     *segmentprofiles.Client
	Identifiers []mapping.Identifier
	Mapping     mapping.Mapping
	PageSize    int
	TraitsLimit int
	Readers     int
	Texts       bool // the traits are texts, as a warehouse has them
	// Refusals says what the project's schema does not take of a customer's metadata; nil
	// stands for a project without a schema.
	Refusals func(metadata map[string]any) []mapping.LeftOut
}

func newSample() *Sample {
	return &Sample{Coverage: *newCoverage(), Warnings: []SampleWarning{}, SchemaRefusals: map[string]map[string]int{}}
}

// SampleOf takes the first n of profiles that are read elsewhere. Of Sampler only the
// identifiers, the mapping, Texts and Refusals are used.
func (sr *Sampler) SampleOf(all iter.Seq2[*profilessync.Profile, error], n int) (*Sample, error) {
	sample := newSample()
	counter := countCoverage(sr.Mapping, &sample.Coverage)
	for p, err := range all {
		if err != nil {
			return nil, err
		}
		sr.add(sample, counter, p.SegmentID, externalIDs(p), p.Traits)
		if sample.Profiles == n {
			break
		}
	}
	counter.done()
	return sample, nil
}

// Sample reads the first n profiles of the list with all their external IDs and traits.
func (sr *Sampler) Sample(ctx context.Context, n int) (*Sample, error) {
	sample := newSample()
	counter := countCoverage(sr.Mapping, &sample.Coverage)
	number := make(map[string]int) // in the list, by segment id
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(sr.Readers)
	left := n
	for page, err := range sr.Segment.AllProfiles(ctx, Beginning, min(sr.PageSize, n)) {
		if err != nil {
			if cause := g.Wait(); cause != nil {
				return nil, cause // and listing ended because of it
			}
			return nil, fmt.Errorf("listing profiles: %w", err)
		}
		for _, p := range page.Data[:min(left, len(page.Data))] {
			mu.Lock()
			number[p.SegmentID] = len(number)
			mu.Unlock()
			g.Go(func() error {
				ids, traits, err := sr.readWhole(ctx, p.SegmentID)
				if err != nil {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				sr.add(sample, counter, p.SegmentID, ids, traits)
				return nil
			})
		}
		if left -= len(page.Data); left <= 0 {
			break
		}
	}
	err := g.Wait()
	counter.done()
	slices.SortStableFunc(sample.Warnings, func(a, b SampleWarning) int { return number[a.SegmentID] - number[b.SegmentID] })
	return sample, err
}

// readWhole returns all external IDs and traits of a profile; both are nil if it is gone,
// or cannot be read for reasons of its own.
func (sr *Sampler) readWhole(ctx context.Context, segmentID string) ([]segmentprofiles.ExternalID, map[string]any, error) {
	ids, traits, err := ReadWhole(ctx, sr.Segment, segmentprofiles.SegmentID(segmentID), sr.TraitsLimit)
	var answer *segmentprofiles.Error
	_, malformed := segmentprofiles.OfProfile(err)
	if malformed || errors.As(err, &answer) && answer.NotFound() {
		return nil, nil, nil
	}
	return ids, traits, err
}

func (sr *Sampler) add(s *Sample, count *coverageCounter, segmentID string, ids []segmentprofiles.ExternalID, traits map[string]any) {
	if traits == nil {
		s.Profiles, s.Vanished = s.Profiles+1, s.Vanished+1
		return
	}
	sourceID, from := mapping.SourceID(sr.Identifiers, ids, traits)
	profile := mapping.Profile{SegmentID: segmentID, SourceID: sourceID, Traits: traits, Texts: sr.Texts}
	count.profile(profile, ids, from.String())
	switch {
	case sourceID == "":
		s.WithoutIdentifier++
		return
	case !sr.Mapping.Matches(profile, ids):
		s.Filtered++
		return
	}
	customer, warnings := mapping.Map(profile, sr.Mapping)
	count.customer(&customer, warnings)
	for _, w := range warnings {
		s.Warnings = append(s.Warnings, SampleWarning{segmentID, sourceID, w.String()})
		if w.Field == "birthdate" {
			s.InvalidBirthdates++
		}
	}
	if sr.Refusals == nil {
		return
	}
	for _, l := range sr.Refusals(customer.Metadata) {
		if s.SchemaRefusals[l.Key] == nil {
			s.SchemaRefusals[l.Key] = make(map[string]int)
		}
		s.SchemaRefusals[l.Key][l.Reason]++
	}
}
