package diagnose

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"segsync/importer/mapping"
	"segsync/importer/source"
	"segsync/importer/source/file"
	"segsync/importer/source/profileapi"
	"segsync/profilessync"
	"segsync/segmentprofiles"
)

// CrossCheck reads profiles by the Profile API to compare their source_id with the one that
// they get from a warehouse or a file.
type CrossCheck struct {
	Segment     *segmentprofiles.Client
	Identifiers []mapping.Identifier
	TraitsLimit int // traits per request
	Readers     int // profiles that are read at once
}

// CrossCheckResult says how the source_ids of the profiles compare.
type CrossCheckResult struct {
	Compared  int
	Missing   int         // profiles that only the API has, and that get a source_id there
	Different []SourceIDs // ordered by segment id
}

// SourceIDs are the two source_ids of a profile; "" for none.
type SourceIDs struct{ SegmentID, API, Source string }

// IsIdentified reports whether an import gives the profile a source_id.
func IsIdentified(p *profilessync.Profile, identifiers []mapping.Identifier) bool {
	return sourceIDOf(p, identifiers) != ""
}

func sourceIDOf(p *profilessync.Profile, identifiers []mapping.Identifier) string {
	sourceID, _ := mapping.SourceID(identifiers, file.ExternalIDs(p), p.Traits)
	return sourceID
}

// Run reads the profiles with these ids by the API, and compares them with those of the
// source, by segment id. Profiles that the API no longer has are skipped.
func (c *CrossCheck) Run(ctx context.Context, ids []string, other map[string]*profilessync.Profile) (*CrossCheckResult, error) {
	result := new(CrossCheckResult)
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(c.Readers, 1))
	for _, id := range ids {
		g.Go(func() error {
			sourceID, err := c.sourceID(ctx, segmentprofiles.SegmentID(id))
			var answer *segmentprofiles.Error
			if _, malformed := segmentprofiles.OfProfile(err); malformed || errors.As(err, &answer) && answer.NotFound() {
				return nil
			}
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			c.compare(result, SourceIDs{SegmentID: id, API: sourceID}, other[id])
			return nil
		})
	}
	err := g.Wait()
	slices.SortFunc(result.Different, func(x, y SourceIDs) int { return strings.Compare(x.SegmentID, y.SegmentID) })
	return result, err
}

// sourceID reads what identifies the profile, and returns its source_id.
func (c *CrossCheck) sourceID(ctx context.Context, id segmentprofiles.Identifier) (string, error) {
	query := source.IdentityQuery(c.Identifiers)
	var external []segmentprofiles.ExternalID
	var traits map[string]any
	var err error
	if len(query.IdentifierTypes) > 0 {
		if external, err = c.Segment.ExternalIDs(ctx, id, query.IdentifierTypes); err != nil {
			return "", fmt.Errorf("reading the external IDs of %s: %w", profileapi.IDOf(id), err)
		}
	}
	if len(query.Traits) > 0 {
		if traits, _, err = c.Segment.Traits(ctx, id, c.TraitsLimit, query.Traits); err != nil {
			return "", fmt.Errorf("reading the traits of %s: %w", profileapi.IDOf(id), err)
		}
	}
	sourceID, _ := mapping.SourceID(c.Identifiers, external, traits)
	return sourceID, nil
}

// compare adds a profile to the result. One without a source_id need not be in the source:
// rows of what the mapping does not read are no profile there.
func (c *CrossCheck) compare(result *CrossCheckResult, ids SourceIDs, inSource *profilessync.Profile) {
	if inSource == nil {
		if ids.API != "" {
			result.Missing++
		}
		return
	}
	result.Compared++
	if ids.Source = sourceIDOf(inSource, c.Identifiers); ids.Source != ids.API {
		result.Different = append(result.Different, ids)
	}
}
