package importer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"

	"segsync/importer/journal"
	"segsync/importer/mapping"
	"segsync/segmentprofiles"
)

const (
	// maxGoneInRow is how many profiles may be gone one after the other, although the list
	// shows them, before it is asked whether Segment answers for any profile at all.
	maxGoneInRow = 200
	// What counts as an outage of Segment, not as profiles that cannot be read: so many in
	// a row, or this share of all.
	maxUnreadableInRow = 10
	unreadableShare    = 0.01
	unreadableLeast    = 1000 // profiles read before the share counts
)

// GoneError is the error of a run that found Segment answer 404 for all of many profiles:
// it is rather the route or the address that is wrong.
type GoneError struct {
	Profiles int    // in a row
	Last     string // answer
}

func (e *GoneError) Error() string {
	return fmt.Sprintf("%d profiles in a row were listed and are gone; the last: %s", e.Profiles, e.Last)
}

// UnreadableError is the error of a run that could not read many profiles.
type UnreadableError struct {
	Profiles int
	InRow    bool
	Err      error // of the last one
}

func (e *UnreadableError) Error() string {
	if e.InRow {
		return fmt.Sprintf("%d profiles in a row could not be read; the last: %s", e.Profiles, e.Err)
	}
	return fmt.Sprintf("%d profiles could not be read; the last: %s", e.Profiles, e.Err)
}

func (e *UnreadableError) Unwrap() error { return e.Err }

// fetcher reads profiles by the Profile API: what is needed to choose the source_id first,
// so that a profile without one costs one request, not two.
type fetcher struct {
	segment     *segmentprofiles.Client
	identifiers []mapping.Identifier
	idTypes     []string // of the external IDs that are read: of identifiers and conditions
	needIDs     bool     // conditions need them, wherever the source_id comes from
	include     []string // the traits that are read; nil: all
	whole       bool     // both are read of every profile, also of one without a source_id
	traitsLimit int
	given       bool // the profiles were asked for by name: one that is not there is unknown, not vanished
	convert     *converter
	stopped     context.Context // ends when the run is to end gently: what waits gives up then

	read            atomic.Int64 // profiles, like the following
	found           atomic.Int64
	gone            atomic.Int64
	unreadable      atomic.Int64
	unreadableInRow atomic.Int64
	goneInRow       atomic.Int64
	answersForSome  atomic.Bool // it was asked, and Segment does
}

// reset forgets what a run that has ended saw in a row.
func (f *fetcher) reset() {
	f.found.Store(0)
	f.gone.Store(0)
	f.unreadable.Store(0)
	f.unreadableInRow.Store(0)
	f.goneInRow.Store(0)
}

// profile reads what is needed of the profile and makes its customer. It gives the profile
// its outcome where it has nothing to send. An error is one that concerns the run, not the
// profile alone.
func (f *fetcher) profile(ctx context.Context, p *profile) error {
	if p.Outcome != journal.None { // its entry in the list is malformed
		return nil
	}
	read, identifier, err := f.identify(ctx, p)
	p.SourceID, p.Identifier = read.SourceID, identifier.String()
	if reason, concerns := f.ofProfile(ctx, err); concerns {
		return f.setAside(p, reason, err)
	}
	var answer *segmentprofiles.Error
	gone := errors.As(err, &answer) && answer.NotFound() // listed, and deleted since
	if err != nil && !gone {
		return err
	}
	f.read.Add(1)
	f.unreadableInRow.Store(0)
	if gone {
		f.gone.Add(1)
		reason := "vanished"
		if f.given {
			reason = "unknown"
		}
		p.Outcome, p.Why = journal.Vanished, journal.Why{Reason: reason, Detail: answer.Error()}
		return f.watchGone(ctx, p, answer)
	}
	f.found.Add(1)
	f.goneInRow.Store(0)
	return f.convert.customer(p, read.Profile, read.ids)
}

// wholeProfile is what the mapping needs of a profile.
type wholeProfile struct {
	mapping.Profile
	ids []segmentprofiles.ExternalID // nil: not read
}

// identify reads the profile as far as the mapping needs it, and returns the identifier that
// its source_id comes from, which is the first that the profile has one of. A profile
// without one is not read any further. With an error the source_id is as far as it is
// known.
func (f *fetcher) identify(ctx context.Context, p *profile) (read wholeProfile, from mapping.Identifier, err error) {
	read.SegmentID = p.SegmentID
	if f.whole {
		if read.ids, err = f.externalIDs(ctx, p); err == nil {
			read.Traits, err = f.traits(ctx, p)
		}
		if err != nil {
			return read, mapping.Identifier{}, err
		}
	}
	for _, id := range f.identifiers {
		if id.Trait != "" && read.Traits == nil {
			read.Traits, err = f.traits(ctx, p)
		} else if id.Trait == "" && read.ids == nil {
			read.ids, err = f.externalIDs(ctx, p)
		}
		if err != nil {
			return read, id, err
		}
		if read.SourceID = id.SourceID(read.ids, read.Traits); read.SourceID == "" {
			continue
		}
		if f.needIDs && read.ids == nil {
			if read.ids, err = f.externalIDs(ctx, p); err != nil {
				return read, id, err
			}
		}
		if read.Traits == nil {
			read.Traits, err = f.traits(ctx, p)
		}
		return read, id, err
	}
	return read, mapping.Identifier{}, nil
}

// externalIDs returns those of the types that are read, never nil without an error.
func (f *fetcher) externalIDs(ctx context.Context, p *profile) ([]segmentprofiles.ExternalID, error) {
	ids, err := f.segment.ExternalIDs(ctx, p.id, f.idTypes)
	if err != nil {
		return nil, fmt.Errorf("reading the external IDs of %s: %w", p.SegmentID, err)
	}
	if ids == nil {
		ids = []segmentprofiles.ExternalID{}
	}
	return ids, nil
}

func (f *fetcher) traits(ctx context.Context, p *profile) (map[string]any, error) {
	if f.include != nil && len(f.include) == 0 {
		return map[string]any{}, nil
	}
	traits, err := f.segment.Traits(ctx, p.id, f.traitsLimit, f.include)
	if err != nil {
		return nil, fmt.Errorf("reading the traits of %s: %w", p.SegmentID, err)
	}
	return traits, nil
}

// ofProfile reports whether an error of reading concerns the profile alone: the answer itself
// is at fault, or Segment has answered for others meanwhile, and nobody stopped waiting.
func (f *fetcher) ofProfile(ctx context.Context, err error) (reason string, concerns bool) {
	if err == nil || ctx.Err() != nil || endsRun(err) {
		return "", false
	}
	if reason, ok := segmentprofiles.OfProfile(err); ok {
		return reason, true
	}
	if f.stopped.Err() != nil {
		return "", false
	}
	var answer *segmentprofiles.Error
	if errors.As(err, &answer) && (answer.Status < 400 || slices.Contains(ofRun, answer.Status)) {
		return "", false
	}
	return "unreadable", true
}

// ofRun are the answers for one profile that every other one would have, too, and that of one
// that is gone. Any other status may be a matter of the profile; many in a row are not.
var ofRun = []int{http.StatusUnauthorized, http.StatusTooManyRequests, http.StatusNotFound}

// endsRun reports whether the error says of itself that no other request will fare better:
// an outage, a quota that is used up, credentials that are refused.
func endsRun(err error) bool {
	var ends interface{ EndsRun() bool }
	return errors.As(err, &ends) && ends.EndsRun()
}

// setAside gives the profile the outcome of one that cannot be read, unless that is no
// matter of this profile any more.
func (f *fetcher) setAside(p *profile, reason string, err error) error {
	if p.again() { // known to be difficult: many of them in a row say nothing about Segment
		f.read.Add(1)
		p.unreadable(reason, err)
		return nil
	}
	n, inRow := f.unreadable.Add(1), f.unreadableInRow.Add(1)
	read := f.read.Add(1)
	if inRow >= maxUnreadableInRow {
		return &UnreadableError{int(inRow), true, err}
	}
	if read >= unreadableLeast && float64(n) > unreadableShare*float64(read) {
		return &UnreadableError{int(n), false, err}
	}
	p.unreadable(reason, err)
	return nil
}

// again reports whether the profile could not be imported before, and is tried once more.
func (p *profile) again() bool { return p.page.retry || p.Was != journal.None || p.page.replaces != "" }

func (p *profile) unreadable(reason string, err error) {
	p.Outcome, p.Why = journal.Unreadable, journal.Why{Reason: reason, Detail: err.Error()}
}

// malformed gives a profile its outcome whose entry in the list cannot be used.
func (p *profile) malformed(err error) {
	reason, ok := segmentprofiles.OfProfile(err)
	if !ok {
		reason = "malformed"
	}
	p.unreadable(reason, err)
}

// watchGone returns an error if too many profiles of the list were gone one after the
// other, and Segment does not answer for any profile.
func (f *fetcher) watchGone(ctx context.Context, p *profile, answer *segmentprofiles.Error) error {
	if f.given || p.again() || f.goneInRow.Add(1)%maxGoneInRow != 0 {
		return nil
	}
	return f.lookForAny(ctx, maxGoneInRow, answer.Error())
}

// lookForAny returns a GoneError if Segment does not answer for any profile of the first page
// of the list either.
func (f *fetcher) lookForAny(ctx context.Context, gone int, last string) error {
	if f.answersForSome.Load() {
		return nil
	}
	first, err := f.segment.Profiles(ctx, Beginning, segmentprofiles.MaxProfilesLimit)
	if err != nil {
		return fmt.Errorf("looking for a profile that is not gone: %w", err)
	}
	for i := 0; i < len(first.Data); i += 5 { // some of them may be gone, too
		_, err := f.segment.ExternalIDsPage(ctx, segmentprofiles.SegmentID(first.Data[i].SegmentID), "", f.idTypes)
		if err == nil {
			f.answersForSome.Store(true)
			return nil
		}
		var answer *segmentprofiles.Error
		_, concerns := f.ofProfile(ctx, err)
		if !concerns && !(errors.As(err, &answer) && answer.NotFound()) {
			return fmt.Errorf("looking for a profile that is not gone: %w", err)
		}
	}
	if len(first.Data) == 0 { // they are all gone
		return nil
	}
	return &GoneError{gone, last}
}

// watchAllGone returns an error if every profile of a run was gone, however few there were,
// and Segment does not answer for any profile.
func (f *fetcher) watchAllGone(ctx context.Context) error {
	gone := int(f.gone.Load())
	if f.given || gone == 0 || f.found.Load() > 0 {
		return nil
	}
	return f.lookForAny(ctx, gone, "404, as for all others")
}

// ReadWhole reads all external IDs and traits of a profile.
func ReadWhole(ctx context.Context, segment *segmentprofiles.Client, id segmentprofiles.Identifier, traitsLimit int) ([]segmentprofiles.ExternalID, map[string]any, error) {
	ids, err := segment.ExternalIDs(ctx, id, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the external IDs of %s: %w", labelOf(id), err)
	}
	traits, err := segment.Traits(ctx, id, traitsLimit, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the traits of %s: %w", labelOf(id), err)
	}
	return ids, traits, nil
}
