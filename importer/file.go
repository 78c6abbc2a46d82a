package importer

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"strconv"

	"golang.org/x/sync/errgroup"

	"segsync/importer/journal"
	"segsync/profilessync"
)

// fileOrigin is a file of profiles or of rows.
type fileOrigin struct{ file *profilessync.File }

// FromFile returns the profiles of a file, in the order of the file. Of a profile that
// comes twice the first counts.
func FromFile(f *profilessync.File) Origin { return fileOrigin{f} }

// rest needs nothing of first: what is to be tried again is in the file, if it is there.
func (o fileOrigin) rest(wanted context.Context, in *intake, _ listing) iter.Seq2[*page, error] {
	return func(yield func(*page, error) bool) {
		in.texts = o.file.Texts()
		from, err := placeOf(in.state.Position)
		if err != nil {
			yield(nil, err)
			return
		}
		last := from
		g := pager{size: in.pageSize, limit: in.limit, yield: yield, page: new(page)}
		parsed := func(ctx context.Context) profiles { return o.file.Profiles(ctx, in.query, from) }
		for p, err := range ahead(wanted, parsed) {
			if wanted.Err() != nil {
				return
			}
			if err == nil {
				err = in.add(g.page, p)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			last = p.Position
			if g.full() && !g.end(positionOf(last)) {
				return
			}
		}
		if wanted.Err() != nil {
			return // what was parsed ahead is lost with it
		}
		end := positionOf(last)
		end.Done = true
		g.end(end)
	}
}

type profiles = iter.Seq2[*profilessync.Profile, error]

// The profiles that are parsed ahead: so many are handed on together, and so many times as
// many may wait.
const (
	aheadTogether = 64
	aheadWaiting  = 4
)

// ahead ranges over the profiles, which it parses in a goroutine of its own: it takes as
// long as all that is done with them after it.
func ahead(ctx context.Context, parsed func(context.Context) profiles) profiles {
	return func(yield func(*profilessync.Profile, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var g errgroup.Group
		defer g.Wait()
		defer cancel()
		waiting := make(chan []*profilessync.Profile, aheadWaiting)
		g.Go(func() error {
			defer close(waiting)
			return parse(ctx, parsed(ctx), waiting)
		})
		for some := range receive(ctx, waiting) {
			for _, p := range some {
				if !yield(p, nil) {
					return
				}
			}
		}
		if err := g.Wait(); err != nil {
			yield(nil, err)
		}
	}
}

// parse sends the profiles, those before an error included.
func parse(ctx context.Context, all profiles, to chan<- []*profilessync.Profile) error {
	var some []*profilessync.Profile
	var failed error
	for p, err := range all {
		if failed = err; err != nil {
			break
		}
		if some = append(some, p); len(some) < aheadTogether {
			continue
		}
		select {
		case to <- some:
			some = nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case to <- some:
		return failed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// placeOf returns the place in a file that the position means.
func placeOf(at journal.Position) (place profilessync.Position, err error) {
	if at.Offset == Beginning {
		return place, nil
	}
	if place.Offset, err = strconv.ParseInt(at.Offset, 10, 64); err != nil {
		return place, fmt.Errorf("the position %q is not one in a file", at.Offset)
	}
	place.Line = int64(at.Line)
	return place, place.Hash.UnmarshalText([]byte(at.Digest))
}

// positionOf is the reverse of placeOf.
func positionOf(place profilessync.Position) journal.Position {
	if place.Offset == 0 {
		return journal.Position{Offset: Beginning}
	}
	return journal.Position{
		Offset: strconv.FormatInt(place.Offset, 10), Line: int(place.Line), Digest: hex.EncodeToString(place.Hash[:]),
	}
}

// filledAtOnce is how many profiles are kept in memory to read the file only once for
// them.
const filledAtOnce = 20_000

// fill reads the file once for several pages. Of a file that can be read only once, nothing
// can be sent again: its profiles are left to a later import.
func (o fileOrigin) fill(wanted context.Context, in *intake, pages listing) iter.Seq2[*page, error] {
	return func(yield func(*page, error) bool) {
		in.texts = o.file.Texts()
		var some []*page
		n := 0
		for p, err := range pages {
			if err != nil {
				yield(nil, err)
				return
			}
			some = append(some, p)
			if n += len(p.profiles); n < filledAtOnce {
				continue
			}
			if !o.fillSome(wanted, in, some, yield) {
				return
			}
			some, n = nil, 0
		}
		o.fillSome(wanted, in, some, yield)
	}
}

func (o fileOrigin) fillSome(wanted context.Context, in *intake, pages []*page, yield func(*page, error) bool) bool {
	found, err := o.find(wanted, in.query, pages)
	switch {
	case wanted.Err() != nil:
		return false
	case errors.Is(err, profilessync.ErrReadOnce):
		found = nil
	case err != nil:
		yield(nil, err)
		return false
	}
	for _, p := range pages {
		if found == nil {
			p.notAgain()
		} else if err := in.fillPage(p, found); err != nil {
			yield(nil, err)
			return false
		}
		if !yield(p, nil) {
			return false
		}
	}
	return true
}

// find reads the file for the profiles of the pages.
func (o fileOrigin) find(ctx context.Context, q profilessync.Query, pages []*page) (map[string]*profilessync.Profile, error) {
	found := make(map[string]*profilessync.Profile)
	for _, p := range pages {
		for _, profile := range p.profiles {
			found[profile.SegmentID] = nil
		}
	}
	missing := len(found)
	if missing == 0 {
		return found, nil
	}
	for p, err := range o.file.Profiles(ctx, q, profilessync.Position{}) {
		if err != nil {
			return nil, err
		}
		if before, asked := found[p.SegmentID]; !asked || before != nil {
			continue
		}
		found[p.SegmentID] = p
		if missing--; missing == 0 {
			break
		}
	}
	return found, nil
}

// notAgain gives the customers of a failed action their outcome where they cannot be read
// again.
func (p *page) notAgain() {
	for _, profile := range p.profiles {
		profile.Outcome = journal.Rejected
		profile.Why = journal.Why{
			Reason: "action_failed", ActionID: p.replaces,
			Detail: "the async action failed, and what the profiles were read from cannot be read again",
		}
	}
}
