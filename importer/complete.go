package importer

import (
	"context"
	"iter"
	"slices"
	"strings"
	"sync/atomic"

	"segsync/importer/journal"
	"segsync/importer/mapping"
	"segsync/profilessync"
	"segsync/segmentprofiles"
)

// Origin is a place that gives profiles as a whole, in place of the Profile API: a file or a
// warehouse. See FromFile and FromWarehouse.
type Origin interface {
	// rest yields what is left to import, in complete pages. first lists profiles that are
	// to be tried again before. It ends between two pages with wanted.
	rest(wanted context.Context, in *intake, first listing) iter.Seq2[*page, error]
	// fill reads the profiles of the pages by their ids.
	fill(wanted context.Context, in *intake, pages listing) iter.Seq2[*page, error]
}

// QueryFor returns what an import with these identifiers and this mapping reads of a
// profile.
func QueryFor(identifiers []mapping.Identifier, m mapping.Mapping) profilessync.Query {
	q := profilessync.Query{Traits: m.Named(), AllTraits: m.Metadata.All}
	q.IdentifierTypes, _ = needed(identifiers, m)
	q.Traits = append(q.Traits, IdentifiedBy(identifiers).Traits...)
	for key, members := range m.Objects() {
		if members == nil {
			q.Objects = append(q.Objects, []string{key})
		}
		for _, member := range members {
			if path, err := mapping.ParsePath(member); err == nil {
				q.Members = append(q.Members, append([]string{key}, path...))
			}
		}
	}
	slices.SortFunc(q.Objects, slices.Compare[[]string])
	slices.SortFunc(q.Members, slices.Compare[[]string])
	return q
}

// needed returns the types of external IDs and the traits that are read; traits is nil for
// all of them.
func needed(identifiers []mapping.Identifier, m mapping.Mapping) (types, traits []string) {
	types, traits = []string{}, m.Traits()
	for _, id := range identifiers {
		switch {
		case id.Trait == "":
			types = append(types, id.Type)
		case traits != nil:
			traits = append(traits, id.Trait)
		}
	}
	for _, idType := range m.ExternalIDTypes() { // of conditions
		if !slices.Contains(types, idType) {
			types = append(types, idType)
		}
	}
	slices.Sort(traits)
	return types, slices.Compact(traits)
}

// intake makes complete profiles into pages.
type intake struct {
	query       profilessync.Query
	identifiers []mapping.Identifier
	texts       bool // the traits are texts
	pageSize    int
	limit       *limit
	convert     *converter
	state       *journal.State    // at the beginning
	known       *journal.Profiles // those that were read; nil for fill
	read        *atomic.Int64     // profiles
}

func (im *Importer) intake(known *journal.Profiles) *intake {
	query := QueryFor(im.settings.Identifiers, im.settings.Mapping)
	if im.settings.Whole {
		query.Traits = nil // all
	}
	return &intake{
		query: query, identifiers: im.settings.Identifiers,
		pageSize: im.settings.PageSize, limit: im.limit(), convert: im.converter, state: im.State(), known: known,
		read: &im.fetcher.read,
	}
}

// add adds the profile to the page, unless it was read before.
func (in *intake) add(p *page, from *profilessync.Profile) error {
	added, err := in.known.Add(from.SegmentID)
	if err != nil || !added {
		return err
	}
	return in.complete(p.add(segmentprofiles.SegmentID(from.SegmentID), from.SegmentID), from)
}

// complete gives the profile its customer, or its outcome where there is nothing to send.
func (in *intake) complete(p *profile, from *profilessync.Profile) error {
	in.read.Add(1)
	var identifier mapping.Identifier
	ids := externalIDs(from)
	p.SourceID, identifier = mapping.SourceID(in.identifiers, ids, from.Traits)
	p.Identifier = identifier.String()
	err := in.convert.customer(p, mapping.Profile{
		SegmentID: from.SegmentID, SourceID: p.SourceID, Traits: from.Traits, Texts: in.texts,
	}, ids)
	if p.customer != nil {
		p.Warnings = append(p.Warnings, truncated(from)...)
	}
	return err
}

// truncated warns about the traits whose text may have been cut.
func truncated(p *profilessync.Profile) (warnings []mapping.Warning) {
	for _, key := range p.Truncated {
		warnings = append(warnings, mapping.Warning{
			Field: key, Trait: key, Value: "the text", Kind: "maybe_cut", Reason: "has exactly 512 characters: the warehouse may have cut it",
		})
	}
	return warnings
}

func externalIDs(p *profilessync.Profile) []segmentprofiles.ExternalID {
	ids := make([]segmentprofiles.ExternalID, len(p.ExternalIDs))
	for i, id := range p.ExternalIDs {
		ids[i] = segmentprofiles.ExternalID{ID: id.ID, Type: id.Type, CreatedAt: id.CreatedAt}
	}
	return ids
}

// fillPage gives each profile of the page what was read of it, by segment id. What was not
// found is gone.
func (in *intake) fillPage(p *page, found map[string]*profilessync.Profile) error {
	if p.retry { // what is named by something else than its segment id stays outstanding
		p.profiles = slices.DeleteFunc(p.profiles, func(p *profile) bool { return strings.Contains(p.SegmentID, ":") })
	}
	for _, profile := range p.profiles {
		from := found[profile.SegmentID]
		if from == nil {
			in.read.Add(1)
			profile.Outcome = journal.Vanished
			profile.Why = journal.Why{Reason: "vanished", Detail: "it is no longer there"}
			continue
		}
		if err := in.complete(profile, from); err != nil {
			return err
		}
	}
	return nil
}

// pager yields pages of so many profiles.
type pager struct {
	size  int
	limit *limit
	yield func(*page, error) bool
	page  *page
	n     int // profiles that were taken into it, or passed over
}

// full takes note of a profile. It reports whether the page ends with it.
func (g *pager) full() bool {
	g.n++
	g.limit.take(1)
	return g.n >= g.size || g.limit.reached()
}

// end ends the page. It reports whether another one is wanted.
func (g *pager) end(after journal.Position) bool {
	p := g.page
	p.after = after
	g.page, g.n = new(page), 0
	return g.yield(p, nil) && !g.limit.reached()
}
