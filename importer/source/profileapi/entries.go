package profileapi

import (
	"fmt"
	"hash/maphash"
	"slices"
	"time"

	"segsync/importer/source"
	"segsync/segmentprofiles"
)

// page returns a page of those of the entries that are to be read, and moves to the next one; after
// the last one of the pass the offset is "".
func (l *lister) page(entries *segmentprofiles.ProfilesPage) (*source.Page, error) {
	p := &source.Page{Pass: l.at.Pass, Late: l.at.Pass > 0, Listed: len(entries.Data)}
	wasUnordered := l.at.Unordered
	recent, err := l.take(p, entries)
	if err != nil {
		return nil, err
	}
	if l.at.Unordered && !wasUnordered && !l.since.IsZero() {
		l.o.Log.Info("the list is not in order of activity: reading it to its end", "offset", l.at.Offset)
	}
	l.order.endPage()
	l.at.Offset = entries.Cursor.Next
	whole := l.at.Undated || l.at.Unordered || l.at.Pass > 0 && l.o.Recheck
	if !recent && !whole && len(entries.Data) > 0 {
		l.at.Offset = "" // the rest of the list is older still
	}
	return p, nil
}

// take adds the profiles that are to be read to the page. It reports whether one of the entries
// was active at the time that matters to the pass.
func (l *lister) take(p *source.Page, entries *segmentprofiles.ProfilesPage) (recent bool, err error) {
	since := l.since
	if l.at.Pass > 0 {
		since = l.at.Since
	}
	undated := 0
	for i, entry := range entries.Data {
		if entry.Err == nil && entry.SegmentID == "" {
			entry.Err = &segmentprofiles.MalformedError{What: "an entry of the list has no segment_id"}
		}
		if entry.Err != nil {
			l.takeMalformed(p, entry, i)
			continue
		}
		updated, unknown := entry.Metadata.UpdatedAt, entry.Metadata.Unreadable
		if updated.IsZero() && !unknown {
			undated++
		} else {
			l.dated = true
		}
		unknown = unknown || updated.IsZero() // it may have changed
		recent = recent || !updated.Before(since) || unknown
		old := updated.Before(l.since) && !unknown
		added := !old && l.seen.Add(entry.SegmentID)
		if !entry.Metadata.Unreadable && (old || added) {
			l.order.next(entry.SegmentID, updated)
		}
		if added {
			p.Profiles = append(p.Profiles, &source.Profile{ID: entry.SegmentID})
		}
	}
	if undated > 0 && !l.dated && !l.since.IsZero() {
		return recent, ErrUndated
	}
	return recent, nil
}

// takeMalformed adds an entry that does not name a profile.
func (l *lister) takeMalformed(p *source.Page, entry segmentprofiles.Profile, index int) {
	bad := &source.Profile{ID: entry.SegmentID, Nameless: entry.SegmentID == ""}
	if bad.Nameless {
		bad.ID = fmt.Sprintf("(entry %d of the page at offset %s)", index+1, l.at.Offset)
	}
	if !l.seen.Add(bad.ID) {
		return
	}
	reason, ok := segmentprofiles.OfProfile(entry.Err)
	if !ok {
		reason = "malformed"
	}
	bad.Fail(reason, entry.Err)
	p.Profiles = append(p.Profiles, bad)
}

// EndlessListError says that the list goes on without a profile that is new.
type EndlessListError struct{ Pages int }

func (e *EndlessListError) Error() string {
	return fmt.Sprintf("the last %d pages of the profile list have no profile that was not listed before: it does not end", e.Pages)
}

const (
	// maxStale is how many pages in a row may have no profile that is new, besides those of the
	// profiles that are known: activity pushes some onto the next page again.
	maxStale = 100
	// maxRepeats is how many pages in a row may be the same as one before them.
	maxRepeats = 10
)

// endGuard finds a list that does not end: one whose pages repeat, or one with more pages than
// the space can have.
type endGuard struct {
	seed    maphash.Seed
	pages   map[uint64]bool // of this pass, by a hash of their ids
	ids     map[uint64]bool // of this pass, by their hashes, where most of them are too old to be noted
	repeats int             // pages in a row that came before
	stale   int             // pages in a row without a new profile
}

func newEndGuard() *endGuard {
	return &endGuard{seed: maphash.MakeSeed(), pages: make(map[uint64]bool), ids: make(map[uint64]bool)}
}

// check counts a page of which some profiles were added. Activity pushes profiles onto the next page again: in a
// row there may be twice as many pages without a new profile as the known ones fill.
func (l *lister) check(g *endGuard, page *segmentprofiles.ProfilesPage, added int) error {
	known := l.seen.Len()
	if l.at.Pass == 0 && !l.since.IsZero() {
		added = max(added, g.addIDs(page))
		known = len(g.ids)
	}
	if g.stale++; added > 0 {
		g.stale = 0
	}
	if g.repeats++; g.isNew(page) {
		g.repeats = 0
	}
	if g.repeats > maxRepeats || g.stale > maxStale+2*known/l.o.PageSize {
		return &EndlessListError{g.stale}
	}
	return nil
}

// isNew reports whether the pass had no page like this one. Those that are empty do not count.
func (g *endGuard) isNew(page *segmentprofiles.ProfilesPage) bool {
	var h maphash.Hash
	h.SetSeed(g.seed)
	for _, entry := range page.Data {
		h.WriteString(entry.SegmentID)
		h.WriteByte(0)
	}
	sum := h.Sum64()
	wasThere := g.pages[sum]
	g.pages[sum] = true
	return !wasThere || len(page.Data) == 0
}

// addIDs returns how many profiles of a page are new to the pass.
func (g *endGuard) addIDs(page *segmentprofiles.ProfilesPage) (added int) {
	before := len(g.ids)
	for _, entry := range page.Data {
		g.ids[maphash.String(g.seed, entry.SegmentID)] = true
	}
	return len(g.ids) - before
}

// listOrder watches whether the list is in falling order of updated_at. Profiles of the
// page before that are listed again do not count: others have moved to the head.
type listOrder struct {
	at             *place
	previous       time.Time
	before, around []string // segment ids of the page before, and of this one
}

func (o *listOrder) next(segmentID string, updated time.Time) {
	if o.at.Pass > 0 || slices.Contains(o.before, segmentID) {
		return
	}
	o.around = append(o.around, segmentID)
	o.at.Undated = o.at.Undated || updated.IsZero()
	o.at.Unordered = o.at.Unordered || !o.previous.IsZero() && updated.After(o.previous)
	o.previous = updated
}

func (o *listOrder) endPage() { o.before, o.around = o.around, o.before[:0] }
