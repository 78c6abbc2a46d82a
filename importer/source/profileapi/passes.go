package profileapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"segsync/importer/source"
	"segsync/segmentprofiles"
)

const (
	beginning = "0" // offset of the first page
	// maxPasses bounds the passes over a list that moves faster than it is read.
	maxPasses = 5
	// clockMargin is how far clocks may differ without a sign.
	clockMargin = time.Minute
)

// ErrUndated is the error of an import of what changed since a time, where the list does
// not show when profiles changed.
var ErrUndated = errors.New("the profile list does not show when profiles were updated")

// place is how far the list has been read. It is the State of a source.Position.
type place struct {
	Offset string `json:"offset"` // cursor of the next page
	// Pass counts the readings of the list. A later one than the first looks for profiles that were
	// active after Since.
	Pass  int       `json:"pass,omitempty"`
	Since time.Time `json:"since,omitzero"`
	// Started is when the first pass began, by Segment's clock, and Behind how far that was behind ours.
	Started time.Time     `json:"started,omitzero"`
	Behind  time.Duration `json:"behind,omitempty"`
	// Unordered and Undated are what was seen of the list: not in falling order of updated_at,
	// or without it.
	Unordered bool `json:"unordered,omitempty"`
	Undated   bool `json:"undated,omitempty"`
}

func placeOf(at source.Position) (p place, err error) {
	if at.State == nil {
		p.Offset = at.At
		if p.Offset == "" {
			p.Offset = beginning
		}
		return p, nil
	}
	if err := json.Unmarshal(at.State, &p); err != nil {
		return p, fmt.Errorf("the position %s is not one of the profile list: %w", at.At, err)
	}
	return p, nil
}

func (p place) position(done bool) (source.Position, error) {
	state, err := json.Marshal(p)
	return source.Position{At: p.Offset, State: state, Tail: p.Pass > 0, Done: done}, err
}

// lister lists the profiles of a space.
type lister struct {
	*Source
	seen  source.Seen
	at    place
	since time.Time // profiles that were not active since then are passed over
	dated bool      // an entry of the list showed when its profile was updated
	order listOrder
}

// list yields pages of profiles that are not read yet, from the position to the end of the list.
// With CatchUp the list is then read again from its head, for profiles that moved there while it was
// read and so were never listed, until a pass finds none.
//
// Where profiles before the position are deleted while it reads, or merged into others, the
// rest moves up, past the reader. Those that it passes are not active, so only a pass over the whole
// list finds them: Recheck.
func (s *Source) list(ctx context.Context, from source.Position, seen source.Seen) iter.Seq2[*source.Page, error] {
	return func(yield func(*source.Page, error) bool) {
		at, err := placeOf(from)
		if err != nil {
			yield(nil, err)
			return
		}
		l := &lister{Source: s, seen: seen, at: at, since: s.o.Since}
		if from.State == nil && !s.o.Since.IsZero() {
			if learned, err := placeOf(s.o.Learned); err == nil {
				l.at.Unordered, l.at.Undated = learned.Unordered, learned.Undated
			}
		}
		if from.State != nil && l.at.Pass == 0 {
			if err := l.stepBack(ctx); err != nil {
				yield(nil, err)
				return
			}
		}
		for done := from.Done; !done && !s.limit.IsReached(); {
			if l.at.Pass > 0 {
				l.at.Offset = beginning // of a pass that was interrupted: the list moved on
			}
			more := false
			if done, more, err = l.pass(ctx, yield); err != nil {
				yield(nil, err)
			}
			if !more {
				return
			}
		}
	}
}

// pass yields the pages of one reading of the list. It reports whether it was the last one, and
// whether more pages are wanted.
func (l *lister) pass(ctx context.Context, yield func(*source.Page, error) bool) (done, more bool, err error) {
	l.order = listOrder{at: &l.at}
	var began time.Time
	var behind time.Duration
	end := newEndGuard()
	found := 0
	for !l.limit.IsReached() {
		size := l.limit.AtMost(l.o.PageSize)
		for entries, err := range l.client.AllProfiles(ctx, l.at.Offset, size) {
			offset := l.at.Offset
			if err != nil {
				return false, false, fmt.Errorf("listing profiles at offset %s: %w", offset, err)
			}
			if began.IsZero() {
				began, behind = clockOf(entries)
				l.watchClock(began, behind)
			}
			p, err := l.page(entries)
			if err != nil {
				return false, false, fmt.Errorf("listing profiles at offset %s: %w", offset, err)
			}
			if l.at.Started.IsZero() {
				l.at.Started, l.at.Behind = began, behind
				p.Began, p.Behind = began, behind
			}
			if err := l.check(end, entries, len(p.Profiles)); err != nil {
				return false, false, err
			}
			found += len(p.Profiles)
			l.limit.Take(len(p.Profiles))
			last := l.at.Offset == ""
			if last {
				done = l.nextPass(began, found)
			}
			if p.After, err = l.at.position(last && done); err != nil {
				return false, false, err
			}
			if !yield(p, nil) {
				return false, false, nil
			}
			if last || l.limit.IsReached() {
				return done, true, nil
			}
			if l.limit.AtMost(l.o.PageSize) != size {
				break // the last page is a smaller one
			}
		}
	}
	return false, true, nil
}

// nextPass moves to the pass after one that began at the given time, or reports that there is none.
func (l *lister) nextPass(began time.Time, found int) (done bool) {
	if found > 0 && l.at.Pass == maxPasses {
		l.o.Log.Warn("the list moves faster than it is read: profiles may be missing; import again later", "passes", maxPasses)
	}
	if l.at.Pass == 0 {
		began = l.at.Started
	}
	l.at.Since = began.Add(-clockMargin)
	l.at.Pass++
	l.at.Offset = beginning
	return !l.o.CatchUp || l.at.Pass > maxPasses || l.at.Pass > 1 && found == 0
}

// watchClock looks back further where Segment's clock went back: what changed since then has an
// earlier time than it would have.
func (l *lister) watchClock(now time.Time, behind time.Duration) {
	before := l.o.ClockBehind
	since := &l.since
	if l.at.Pass > 0 {
		before, since = l.at.Behind, &l.at.Since
	}
	if back := behind - before; back > clockMargin && !since.IsZero() {
		*since = since.Add(-back)
		l.o.Log.Warn("Segment's clock went back: reading again what may have changed meanwhile", "by", back.Round(time.Second).String(),
			"since", since.Format(time.RFC3339))
	}
}

// clockOf returns the time at Segment when it answered, and how far that is behind ours. Where it does
// not say, or answers from the future, ours counts: what changes until then must not be passed over.
func clockOf(p *segmentprofiles.ProfilesPage) (now time.Time, behind time.Duration) {
	ours := time.Now().UTC()
	if p.Date.IsZero() || p.Date.After(ours) {
		return ours, 0
	}
	return p.Date, ours.Sub(p.Date)
}

// stepBack moves to the offset to go on from. Where profiles before it were deleted since it
// was saved, the others have moved up past it: it goes back to a page of which all profiles
// are known. It needs the cursors to be offsets, as they happen to be; others stay as they are.
func (l *lister) stepBack(ctx context.Context) error {
	saved, err := strconv.Atoi(l.at.Offset)
	if err != nil {
		return nil
	}
	offset := saved
	for offset > 0 {
		before := max(offset-l.o.PageSize, 0)
		entries, err := l.client.Profiles(ctx, strconv.Itoa(before), l.o.PageSize)
		if err != nil {
			return fmt.Errorf("listing profiles at offset %d: %w", before, err)
		}
		if len(entries.Data) > 0 && l.knowsAll(entries.Data[:min(len(entries.Data), offset-before)]) {
			break
		}
		offset = before
	}
	if offset != saved {
		l.o.Log.Info("profiles were deleted since the last run: going back to those that are known", "from", saved, "offset", offset)
	}
	l.at.Offset = strconv.Itoa(offset)
	return nil
}

// knowsAll reports whether all of the entries were listed before, or would be passed over.
func (l *lister) knowsAll(entries []segmentprofiles.Profile) bool {
	for _, entry := range entries {
		updated := entry.Metadata.UpdatedAt
		if entry.Err != nil || entry.SegmentID == "" || !updated.IsZero() && updated.Before(l.since) {
			continue
		}
		if !l.seen.Has(entry.SegmentID) {
			return false
		}
	}
	return true
}
