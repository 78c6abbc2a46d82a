package importer

import (
	"cmp"
	"context"
	"iter"
	"math/rand/v2"
	"slices"

	"segsync/profilessync"
	"segsync/segmentprofiles"
)

// RandomSample is an Origin of some of the profiles of another one: each of them is as likely
// as any other. That one is read to its end, once; a profile that it has twice counts once.
type RandomSample struct {
	Of    Origin
	N     int // profiles; fewer where there are no more
	Total int // how many profiles there are to choose from; valid after the run
}

// chosen is a profile of the sample.
type chosen struct {
	*profilessync.Profile
	number int // in the origin
}

func (s *RandomSample) all(ctx context.Context, in *intake) profiles { return s.Of.all(ctx, in) }

func (s *RandomSample) fill(wanted context.Context, in *intake, pages listing) iter.Seq2[*page, error] {
	return s.Of.fill(wanted, in, pages)
}

// rest yields the sample in the order of the origin.
func (s *RandomSample) rest(wanted context.Context, in *intake, _ listing) iter.Seq2[*page, error] {
	return func(yield func(*page, error) bool) {
		sample, err := s.choose(wanted, in)
		if err != nil {
			yield(nil, err)
			return
		}
		at := in.state.Position
		g := pager{size: in.pageSize, yield: yield, page: new(page)}
		for _, p := range sample {
			if err := in.complete(g.page.add(segmentprofiles.SegmentID(p.SegmentID), p.SegmentID), p.Profile); err != nil {
				yield(nil, err)
				return
			}
			if g.full() && !g.end(at) {
				return
			}
		}
		if wanted.Err() != nil {
			return
		}
		at.Done = true
		g.end(at)
	}
}

// choose keeps the first N profiles, and lets each later one take the place of one of them
// with the probability that makes all the same: N of as many as there were so far.
func (s *RandomSample) choose(wanted context.Context, in *intake) ([]chosen, error) {
	var sample []chosen
	for p, err := range ahead(wanted, func(ctx context.Context) profiles { return s.all(ctx, in) }) {
		if wanted.Err() != nil {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if added, err := in.known.Add(p.SegmentID); err != nil {
			return nil, err
		} else if !added {
			continue
		}
		s.Total++
		if len(sample) < s.N {
			sample = append(sample, chosen{p, s.Total})
		} else if i := rand.IntN(s.Total); i < s.N {
			sample[i] = chosen{p, s.Total}
		}
	}
	slices.SortFunc(sample, func(a, b chosen) int { return cmp.Compare(a.number, b.number) })
	return sample, nil
}
