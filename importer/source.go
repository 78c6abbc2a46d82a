package importer

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"segsync/segmentprofiles"
)

const (
	// maxPasses bounds the passes over a list that moves faster than it is read.
	maxPasses = 5
	// ClockMargin is how far our clock may be ahead of Segment's.
	ClockMargin = time.Minute
)

// nothing is a source without profiles.
func nothing(func(*page, error) bool) {}

// remaining yields the profiles that are still to be imported from the position.
func (r *run) remaining(ctx context.Context, at Position, known *seen) source {
	if r.settings.Profiles != nil {
		return r.givenProfiles(at, known)
	}
	return r.wholeList(ctx, at, known)
}

// wholeList yields the list from the position to its end. If it began at the head, it
// is then read again from there, for profiles that moved to the head while it was read
// and so were never listed, until a pass finds none.
//
// Where profiles before the position are deleted, or merged into others, the rest moves up,
// past the reader. Those that it passes are not active, so only a pass over the whole list
// finds them: Settings.Recheck.
func (r *run) wholeList(ctx context.Context, at Position, known *seen) source {
	return func(yield func(*page, error) bool) {
		catchUp := r.settings.CatchUp && r.from == Beginning
		for !at.Done {
			began, found := time.Now().UTC(), 0
			if at.Pass > 0 {
				at.Offset = Beginning // of a pass that was interrupted: the list moved on
			}
			for p, err := range r.onePass(ctx, &at, known) {
				if err != nil {
					yield(nil, err)
					return
				}
				found += len(p.profiles)
				last := at.Offset == ""
				if last {
					if found > 0 && at.Pass == maxPasses {
						r.log.Warn("the list moves faster than it is read: profiles may be missing; import again later", "passes", maxPasses)
					}
					at = at.nextPass(catchUp, began, r.started, found)
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

// nextPass returns the position after a pass that began at the given time.
func (at Position) nextPass(catchUp bool, began, started time.Time, found int) Position {
	since := began
	if at.Pass == 0 {
		since = started
	}
	at.Since = since.Add(-ClockMargin)
	at.Pass++
	at.Done = !catchUp || at.Pass > maxPasses || at.Pass > 1 && found == 0
	if !at.Done {
		at.Offset = Beginning
	}
	return at
}

// ErrUndated is the error of an import of what changed since a time, where the list does
// not show when profiles changed.
var ErrUndated error = undatedError{}

type undatedError struct{}

func (undatedError) Error() string {
	return "the profile list does not show when profiles were updated"
}

// Hint says what to do about the error.
func (undatedError) Hint() string { return "import everything: leave out --since" }

// onePass yields the pages of the list from at.Offset, without the profiles seen and those
// not active since r.since, and moves at along; at the end at.Offset is "".
func (r *run) onePass(ctx context.Context, at *Position, known *seen) source {
	return func(yield func(*page, error) bool) {
		order := listOrder{at: at, broken: at.Unordered}
		for entries, err := range r.segment.AllProfiles(ctx, at.Offset, r.settings.PageSize) {
			if err != nil {
				yield(nil, fmt.Errorf("listing profiles at offset %s: %w", at.Offset, err))
				return
			}
			p := &page{late: at.Pass > 0}
			wanted := r.since
			if at.Pass > 0 {
				wanted = at.Since
			}
			recent := false // a profile of the page was active at the time wanted
			for _, entry := range entries.Data {
				updated := entry.Metadata.UpdatedAt
				recent = recent || !updated.Before(wanted)
				hash := hashOf(entry.SegmentID)
				old, added := updated.Before(r.since), false
				if !old {
					if added, err = known.add(hash); err != nil {
						yield(nil, err)
						return
					}
				}
				if old || added {
					order.next(hash, updated)
				}
				if updated.IsZero() && !r.since.IsZero() {
					yield(nil, fmt.Errorf("listing profiles at offset %s: %w", at.Offset, ErrUndated))
					return
				}
				if added {
					p.add(segmentprofiles.SegmentID(entry.SegmentID), entry.SegmentID)
				}
			}
			if at.Unordered && !order.broken && !r.since.IsZero() {
				r.log.Info("the list is not in order of activity: reading it to its end", "offset", at.Offset)
			}
			order.endPage()
			if entries.Cursor.More && entries.Cursor.Next == "" {
				r.log.Warn("the list ends here although Segment says that there is more: profiles may be missing; import again later",
					"offset", at.Offset)
			}
			at.Offset = entries.Cursor.Next
			whole := at.Undated || at.Unordered || at.Pass > 0 && r.settings.Recheck
			if !recent && !whole {
				at.Offset = "" // the rest of the list is older still
			}
			if !yield(p, nil) || at.Offset == "" {
				return
			}
		}
	}
}

// listOrder watches whether the list is in falling order of updated_at. Profiles of the
// page before that are listed again do not count: others have moved to the head.
type listOrder struct {
	at             *Position
	previous       time.Time
	before, around []uint64 // hashes of the page before, and this one
	broken         bool     // before this page
}

func (o *listOrder) next(hash uint64, updated time.Time) {
	if o.at.Pass > 0 || slices.Contains(o.before, hash) {
		return
	}
	o.around = append(o.around, hash)
	o.at.Undated = o.at.Undated || updated.IsZero()
	o.at.Unordered = o.at.Unordered || !o.previous.IsZero() && updated.After(o.previous)
	o.previous = updated
}

func (o *listOrder) endPage() {
	o.before, o.around, o.broken = o.around, o.before[:0], o.at.Unordered
}

// givenProfiles yields the profiles that were asked for one by one. The offset counts
// them.
func (r *run) givenProfiles(at Position, seen *seen) source {
	return func(yield func(*page, error) bool) {
		given := r.settings.Profiles
		from, err := strconv.Atoi(at.Offset)
		if err != nil || from < 0 || from > len(given) {
			yield(nil, fmt.Errorf("the offset %s is not within the %d profiles given", at.Offset, len(given)))
			return
		}
		for !at.Done {
			to := min(from+r.settings.PageSize, len(given))
			p := new(page)
			for _, id := range given[from:to] {
				label := labelOf(id)
				added, err := seen.add(hashOf(label))
				if err != nil {
					yield(nil, err)
					return
				}
				if added {
					p.add(id, label)
				}
			}
			at.Offset, at.Done = strconv.Itoa(to), to == len(given)
			p.after = at
			if !yield(p, nil) {
				return
			}
			from = to
		}
	}
}

// failedActions yields the customers of each failed action as a page, to be read and
// sent again.
func (r *run) failedActions(state *State) source {
	return func(yield func(*page, error) bool) {
		for _, a := range state.Actions {
			if !a.Failed {
				continue
			}
			customers, err := r.reports.sentBy(a)
			p := &page{replaces: a.ID, after: state.Position}
			for _, c := range customers {
				p.add(identifierOf(c.segmentID), c.segmentID)
			}
			if !yield(p, err) {
				return
			}
		}
	}
}
