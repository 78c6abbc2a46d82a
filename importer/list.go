package importer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"time"

	"segsync/importer/journal"
	"segsync/segmentprofiles"
)

const (
	// maxPasses bounds the passes over a list that moves faster than it is read.
	maxPasses = 5
	// maxStale is how many pages in a row may have no profile that is new. Activity pushes
	// some profiles onto the next page again; a list that repeats itself has no end.
	maxStale = 100
)

// ErrUndated is the error of an import of what changed since a time, where the list does
// not show when profiles changed.
var ErrUndated = errors.New("the profile list does not show when profiles were updated")

// EndlessListError says that the list goes on without a profile that is new.
type EndlessListError struct{ Pages int }

func (e *EndlessListError) Error() string {
	return fmt.Sprintf("the last %d pages of the profile list have no profile that was not listed before: it does not end", e.Pages)
}

// lister lists the profiles of a space.
type lister struct {
	segment  *segmentprofiles.Client
	pageSize int
	catchUp  bool      // read the head of the list again, see pages
	recheck  bool      // then read all of it again
	since    time.Time // pass over profiles not active since then
	started  time.Time // when the import began, by Segment's clock; zero if it begins now
	limit    *limit
	known    *journal.Profiles
	log      *slog.Logger

	resumed bool // the first pass goes on from where an earlier run stopped
	dated   bool // an entry of the list showed when its profile was updated
}

// limit is how many profiles may still be listed. A nil one is no limit.
type limit struct{ left int }

func (l *limit) reached() bool { return l != nil && l.left <= 0 }

func (l *limit) atMost(n int) int {
	if l == nil {
		return n
	}
	return max(min(n, l.left), 1)
}

func (l *limit) take(n int) {
	if l != nil {
		l.left -= n
	}
}

// pages yields the list from the position to its end. With catchUp it is then read again
// from the head, for profiles that moved there while it was read and so were never listed,
// until a pass finds none.
//
// Where profiles before the position are deleted while it reads, or merged into others, the
// rest moves up, past the reader. Those that it passes are not active, so only a pass over the whole
// list finds them: recheck.
func (l *lister) pages(ctx context.Context, at journal.Position) listing {
	return func(yield func(*page, error) bool) {
		if l.resumed {
			var err error
			if at.Offset, err = l.stepBack(ctx, at.Offset); err != nil {
				yield(nil, err)
				return
			}
		}
		for !at.Done && !l.limit.reached() {
			var began time.Time
			found := 0
			if at.Pass > 0 {
				at.Offset = Beginning // of a pass that was interrupted: the list moved on
			}
			for p, err := range l.onePass(ctx, &at) {
				if err != nil {
					yield(nil, err)
					return
				}
				if began.IsZero() {
					began = p.began
				}
				if l.started.IsZero() {
					l.started, p.first = p.began, true
				}
				found += len(p.profiles)
				last := at.Offset == ""
				if last {
					if found > 0 && at.Pass == maxPasses {
						l.log.Warn("the list moves faster than it is read: profiles may be missing; import again later", "passes", maxPasses)
					}
					at = l.nextPass(at, began, found)
				}
				p.after = at
				if !yield(p, nil) {
					return
				}
				if last {
					break
				}
			}
		}
	}
}

// stepBack returns the offset to go on from. Where profiles before it were deleted since it
// was saved, the others have moved up past it: it goes back to a page of which all profiles
// are known. It needs the cursors to be offsets, as they happen to be; others stay as they
// are.
func (l *lister) stepBack(ctx context.Context, saved string) (string, error) {
	offset, err := strconv.Atoi(saved)
	if err != nil {
		return saved, nil
	}
	for offset > 0 {
		before := max(offset-l.pageSize, 0)
		entries, err := l.segment.Profiles(ctx, strconv.Itoa(before), l.pageSize)
		if err != nil {
			return "", fmt.Errorf("listing profiles at offset %d: %w", before, err)
		}
		known, err := l.knowsAll(entries.Data[:min(len(entries.Data), offset-before)])
		if err != nil {
			return "", err
		}
		if known && len(entries.Data) > 0 {
			break
		}
		offset = before
	}
	now := strconv.Itoa(offset)
	if now != saved {
		l.log.Info("profiles were deleted since the last run: going back to those that are known", "from", saved, "offset", now)
	}
	return now, nil
}

// knowsAll reports whether all of the entries were listed before, or would be passed over.
func (l *lister) knowsAll(entries []segmentprofiles.Profile) (bool, error) {
	for _, entry := range entries {
		updated := entry.Metadata.UpdatedAt
		if entry.Err != nil || entry.SegmentID == "" || !updated.IsZero() && updated.Before(l.since) {
			continue
		}
		if known, err := l.known.Has(entry.SegmentID); err != nil || !known {
			return false, err
		}
	}
	return true, nil
}

// nextPass returns the position after a pass that began at the given time.
func (l *lister) nextPass(at journal.Position, began time.Time, found int) journal.Position {
	since := began
	if at.Pass == 0 {
		since = l.started
	}
	at.Since = since.Add(-journal.ClockMargin)
	at.Pass++
	at.Done = !l.catchUp || at.Pass > maxPasses || at.Pass > 1 && found == 0
	if !at.Done {
		at.Offset = Beginning
	}
	return at
}

// onePass yields the pages of the list from at.Offset, without the profiles known and those
// not active since l.since, and moves at along; at the end at.Offset is "".
func (l *lister) onePass(ctx context.Context, at *journal.Position) listing {
	return func(yield func(*page, error) bool) {
		order := listOrder{at: at, broken: at.Unordered}
		stale := 0
		for !l.limit.reached() {
			size := l.limit.atMost(l.pageSize)
			for entries, err := range l.segment.AllProfiles(ctx, at.Offset, size) {
				var p *page
				if err == nil {
					p, err = l.page(entries, at, &order)
				}
				if err != nil {
					yield(nil, fmt.Errorf("listing profiles at offset %s: %w", at.Offset, err))
					return
				}
				if stale++; len(p.profiles) > 0 {
					stale = 0
				}
				if stale > l.mostStale(at) {
					yield(nil, &EndlessListError{stale})
					return
				}
				l.limit.take(len(p.profiles))
				if !yield(p, nil) || at.Offset == "" || l.limit.reached() {
					return
				}
				if l.limit.atMost(l.pageSize) != size {
					break // the last page is a smaller one
				}
			}
		}
	}
}

// page returns the page of the wanted among the entries, and moves at to the next one.
func (l *lister) page(entries *segmentprofiles.ProfilesPage, at *journal.Position, order *listOrder) (*page, error) {
	p := &page{pass: at.Pass, began: clockOf(entries)}
	recent, err := l.take(p, entries, at, order)
	if err != nil {
		return nil, err
	}
	if at.Unordered && !order.broken && !l.since.IsZero() {
		l.log.Info("the list is not in order of activity: reading it to its end", "offset", at.Offset)
	}
	order.endPage()
	at.Offset = entries.Cursor.Next
	whole := at.Undated || at.Unordered || at.Pass > 0 && l.recheck
	if !recent && !whole && len(entries.Data) > 0 {
		at.Offset = "" // the rest of the list is older still
	}
	return p, nil
}

// mostStale is how many pages in a row may have no profile that is new.
func (l *lister) mostStale(at *journal.Position) int {
	switch {
	case at.Pass > 0 && l.recheck: // all of them are known
		return maxStale + 2*l.known.Len()/l.pageSize
	case !l.since.IsZero(): // most of them are too old
		return math.MaxInt
	}
	return maxStale
}

// clockOf returns the time at Segment when it answered; ours, if it does not say, or says that
// it answers from the future: what changes until then must not be passed over.
func clockOf(p *segmentprofiles.ProfilesPage) time.Time {
	now := time.Now().UTC()
	if p.Date.IsZero() || p.Date.After(now) {
		return now
	}
	return p.Date
}

// take adds the profiles that are wanted to the page. It reports whether one of the entries
// was active at the time that matters to the pass.
func (l *lister) take(p *page, entries *segmentprofiles.ProfilesPage, at *journal.Position, order *listOrder) (recent bool, err error) {
	wanted := l.since
	if at.Pass > 0 {
		wanted = at.Since
	}
	missing := 0
	for i, entry := range entries.Data {
		if entry.Err == nil && entry.SegmentID == "" {
			entry.Err = &segmentprofiles.MalformedError{What: "an entry of the list has no segment_id"}
		}
		if entry.Err != nil {
			label := entry.SegmentID
			if label == "" {
				label = fmt.Sprintf("(entry %d of the page at offset %s)", i+1, at.Offset)
			}
			if added, err := l.known.Add(label); err != nil {
				return recent, err
			} else if added {
				bad := p.add(segmentprofiles.Identifier{}, label)
				bad.Nameless = entry.SegmentID == ""
				bad.malformed(entry.Err)
			}
			continue
		}
		updated := entry.Metadata.UpdatedAt
		undated := updated.IsZero() || entry.Metadata.Unreadable // it may have changed
		if updated.IsZero() && !entry.Metadata.Unreadable {
			missing++
		} else {
			l.dated = true
		}
		recent = recent || !updated.Before(wanted) || undated
		old, added := updated.Before(l.since) && !undated, false
		if !old {
			if added, err = l.known.Add(entry.SegmentID); err != nil {
				return recent, err
			}
		}
		if !entry.Metadata.Unreadable && (old || added) {
			order.next(entry.SegmentID, updated)
		}
		if added {
			p.add(segmentprofiles.SegmentID(entry.SegmentID), entry.SegmentID)
		}
	}
	if missing > 0 && !l.dated && !l.since.IsZero() {
		return recent, ErrUndated
	}
	return recent, nil
}

// listOrder watches whether the list is in falling order of updated_at. Profiles of the
// page before that are listed again do not count: others have moved to the head.
type listOrder struct {
	at             *journal.Position
	previous       time.Time
	before, around []string // segment ids of the page before, and of this one
	broken         bool     // before this page
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

func (o *listOrder) endPage() {
	o.before, o.around, o.broken = o.around, o.before[:0], o.at.Unordered
}
