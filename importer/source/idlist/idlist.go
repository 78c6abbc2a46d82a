// Package idlist is the source of profiles that were asked for one by one. They are read by Segment's
// Profile API.
package idlist

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"segsync/importer/outcome"
	"segsync/importer/source"
	"segsync/importer/source/profileapi"
	"segsync/segmentprofiles"
)

// Source is a list of profiles. Its positions count them.
type Source struct {
	*profileapi.Source // looks profiles up
	client             *segmentprofiles.Client
	ids                []segmentprofiles.Identifier
	o                  profileapi.Options
	cannotResolve      atomic.Bool // an answer about a profile lacked its segment id
}

// New returns the source of the profiles with these ids. Of the options those about the list do
// not matter.
func New(client *segmentprofiles.Client, ids []segmentprofiles.Identifier, o profileapi.Options) *Source {
	return &Source{Source: profileapi.New(client, o), client: client, ids: ids, o: o}
}

// Pages yields the profiles from the position on. One that Segment does not know is Vanished, with
// the reason unknown.
func (s *Source) Pages(ctx, stop context.Context, from source.Position, seen source.Seen) iter.Seq2[*source.Page, error] {
	return func(yield func(*source.Page, error) bool) {
		r := profileapi.NewReader(s.client, s.o.Fields, stop)
		pages := r.ReadPages(ctx, stop, s.o.Readers, s.o.PageSize, func(stop context.Context) iter.Seq2[*source.Page, error] {
			return s.list(stop, from, seen)
		})
		for p, err := range pages {
			if err == nil {
				for _, profile := range p.Profiles {
					if profile.Outcome == outcome.Vanished {
						profile.Why.Reason = "unknown"
					}
				}
			}
			if !yield(p, err) {
				return
			}
		}
	}
}

// list yields the ids in pages of profiles that are not read yet. Of several that name one profile
// the first counts.
func (s *Source) list(ctx context.Context, at source.Position, seen source.Seen) iter.Seq2[*source.Page, error] {
	return func(yield func(*source.Page, error) bool) {
		from, err := 0, error(nil)
		if at.At != "" {
			from, err = strconv.Atoi(at.At)
		}
		if err != nil || from < 0 || from > len(s.ids) {
			yield(nil, fmt.Errorf("the offset %s is not within the %d profiles given", at.At, len(s.ids)))
			return
		}
		limit := source.NewLimit(s.o.Limit)
		for done := at.Done; !done && !limit.IsReached(); {
			to := min(from+limit.AtMost(s.o.PageSize), len(s.ids))
			p := &source.Page{Listed: to - from}
			profiles, err := s.resolve(ctx, s.ids[from:to])
			if err != nil {
				yield(nil, err)
				return
			}
			for i, profile := range profiles {
				if seen.Add(profile.ID) {
					p.Profiles = append(p.Profiles, profile)
				} else {
					s.o.Log.Warn("this line names a profile that an earlier one named, too: it is imported once",
						"line", profileapi.IDOf(s.ids[from+i]), "profile", profile.ID)
				}
			}
			done = to == len(s.ids)
			p.After = source.Position{At: strconv.Itoa(to), Done: done}
			limit.Take(len(p.Profiles))
			if !yield(p, nil) {
				return
			}
			from = to
		}
	}
}

// resolve returns the profiles that the identifiers name, by their segment ids where Segment tells
// them: one may be named by several. It asks once for each external ID, until an answer lacks it.
func (s *Source) resolve(ctx context.Context, ids []segmentprofiles.Identifier) ([]*source.Profile, error) {
	profiles := make([]*source.Profile, len(ids))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(s.o.Readers, 1))
	for i, id := range ids {
		profiles[i] = &source.Profile{ID: profileapi.IDOf(id)}
		if profiles[i].ID == id.Value || s.cannotResolve.Load() { // a segment id
			continue
		}
		g.Go(func() error {
			segmentID, err := s.client.CanonicalID(ctx, id)
			answer, isAnswer := errors.AsType[*segmentprofiles.Error](err)
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case isAnswer && answer.NotFound():
				profiles[i].Vanish(answer.Error())
			case err != nil: // reading it tells more
			case segmentID == "":
				s.cannotResolve.Store(true)
			default:
				profiles[i].ID = segmentID
			}
			return nil
		})
	}
	return profiles, g.Wait()
}

// CheckReadable does not ask: the profiles were named by a person, and may all be unknown.
func (s *Source) CheckReadable(context.Context) error { return nil }
