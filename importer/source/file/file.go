// Package file is the source of profiles that are in a file, or come through a pipe.
package file

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"segsync/importer/source"
	"segsync/profilessync"
	"segsync/segmentprofiles"
)

// Source is a file of profiles or of rows, or several, in the order of the files. Of a profile that comes twice
// the first counts. It is a source.Source for one run.
type Source struct {
	file     *profilessync.File
	query    profilessync.Query
	pageSize int
	limit    *source.Limit
}

// New returns the source of a file, which ends after limit profiles; 0 is no limit.
func New(f *profilessync.File, query profilessync.Query, pageSize, limit int) *Source {
	return &Source{f, query, pageSize, source.NewLimit(limit)}
}

// place is the State of a source.Position: how much of the file was read, and a hash of it.
type place struct {
	Part   string `json:"part,omitempty"` // the file, of several
	Offset int64  `json:"offset"`
	Line   int64  `json:"line"`
	Digest string `json:"digest"`
}

// Pages yields the profiles from the position on.
func (s *Source) Pages(ctx, stop context.Context, at source.Position, seen source.Seen) iter.Seq2[*source.Page, error] {
	return func(yield func(*source.Page, error) bool) {
		if at.Done {
			return
		}
		from, err := placeOf(at)
		if err != nil {
			yield(nil, err)
			return
		}
		b := source.NewPageBuilder(s.pageSize, s.limit, yield)
		last := from
		for p, err := range readAhead(stop, func(ctx context.Context) profiles { return s.file.Profiles(ctx, s.query, from) }) {
			if stop.Err() != nil || ctx.Err() != nil {
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if seen.Add(p.SegmentID) {
				b.Add(ProfileOf(p, s.file.Texts()))
			}
			last = p.Position
			if b.Count(p.Bytes) && !b.End(positionOf(last, false)) {
				return
			}
		}
		if stop.Err() == nil && ctx.Err() == nil { // else what was parsed ahead is lost with it
			b.End(positionOf(last, true))
		}
	}
}

// ProfileOf returns a profile of a file or a warehouse as the pipeline takes it.
func ProfileOf(p *profilessync.Profile, texts bool) *source.Profile {
	to := &source.Profile{
		ID: p.SegmentID, ExternalIDs: ExternalIDs(p), Traits: p.Traits, Texts: texts, Cut: p.Truncated, Damaged: p.Damaged,
		Sparse: true, Removed: p.Removed, Nameless: p.Nameless,
	}
	if p.Unreadable != "" {
		to.Fail("damaged", errors.New(p.Unreadable))
	}
	return to
}

// ExternalIDs returns the external IDs of a profile of a file or a warehouse.
func ExternalIDs(p *profilessync.Profile) []segmentprofiles.ExternalID {
	ids := make([]segmentprofiles.ExternalID, len(p.ExternalIDs))
	for i, id := range p.ExternalIDs {
		ids[i] = segmentprofiles.ExternalID(id)
	}
	return ids
}

// lookupSize is how many profiles are kept in memory to read the file only once for them.
const lookupSize = 20_000

// Lookup reads the file for profiles; a pipe cannot be read again. Profiles that are not in the file
// are left out: that one file lacks them does not say that they are gone.
func (s *Source) Lookup(ctx, stop context.Context, ids []string) iter.Seq2[*source.Page, error] {
	return func(yield func(*source.Page, error) bool) {
		for some := range slices.Chunk(ids, lookupSize) {
			found, err := s.find(stop, some)
			if errors.Is(err, profilessync.ErrReadOnce) {
				err = source.ErrReadOnce
			}
			if stop.Err() != nil || ctx.Err() != nil {
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
			p := new(source.Page)
			for _, id := range some {
				if profile := found[id]; profile != nil {
					p.Profiles = append(p.Profiles, profile)
				}
			}
			if !yield(p, nil) {
				return
			}
		}
	}
}

// find reads the file from its beginning until it has found all of the profiles.
func (s *Source) find(ctx context.Context, ids []string) (map[string]*source.Profile, error) {
	found := make(map[string]*source.Profile)
	wanted := make(map[string]bool)
	for _, id := range ids {
		wanted[id] = true
	}
	for p, err := range s.file.Profiles(ctx, s.query, profilessync.Position{}) {
		if err != nil {
			return nil, err
		}
		if wanted[p.SegmentID] {
			delete(wanted, p.SegmentID)
			found[p.SegmentID] = ProfileOf(p, s.file.Texts())
		}
		if len(wanted) == 0 {
			break
		}
	}
	return found, nil
}

// CheckReadable returns nil: a file is there or not.
func (s *Source) CheckReadable(context.Context) error { return nil }

// placeOf returns the place in a file that the position means.
func placeOf(at source.Position) (from profilessync.Position, err error) {
	if at.State == nil {
		return from, nil
	}
	var p place
	if err := json.Unmarshal(at.State, &p); err != nil {
		return from, fmt.Errorf("the position %s is not one in a file: %w", at.At, err)
	}
	from.Part, from.Offset, from.Line = p.Part, p.Offset, p.Line
	return from, from.Hash.UnmarshalText([]byte(p.Digest))
}

// positionOf is the reverse of placeOf.
func positionOf(at profilessync.Position, done bool) source.Position {
	p := source.Position{At: "the beginning", Done: done}
	if at != (profilessync.Position{}) {
		if p.At = fmt.Sprintf("line %d", at.Line); at.Part != "" {
			p.At += " of " + filepath.Base(at.Part)
		}
		p.State, _ = json.Marshal(place{at.Part, at.Offset, at.Line, hex.EncodeToString(at.Hash[:])}) // of numbers and strings
	}
	return p
}

type profiles = iter.Seq2[*profilessync.Profile, error]

// A chunk of profiles is parsed while the one before is imported. It has at most so many profiles, and ends
// once their lines have so many bytes.
const (
	chunkProfiles = 64
	chunkBytes    = 1 << 20
)

// readAhead ranges over the profiles. It parses them in a goroutine of its own, because parsing takes as long
// as the rest of the import.
func readAhead(ctx context.Context, parse func(context.Context) profiles) profiles {
	return func(yield func(*profilessync.Profile, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var g errgroup.Group
		defer g.Wait()
		defer cancel()
		chunks := make(chan []*profilessync.Profile)
		g.Go(func() error {
			defer close(chunks)
			return sendChunks(ctx, parse(ctx), chunks)
		})
		for chunk := range chunks {
			for _, p := range chunk {
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

// sendChunks sends the profiles, those before an error included.
func sendChunks(ctx context.Context, all profiles, to chan<- []*profilessync.Profile) (err error) {
	var chunk []*profilessync.Profile
	bytes := 0
	send := func() error {
		select {
		case to <- chunk:
			chunk, bytes = nil, 0
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	var p *profilessync.Profile
	for p, err = range all {
		if err != nil {
			break
		}
		chunk, bytes = append(chunk, p), bytes+p.Bytes
		if len(chunk) < chunkProfiles && bytes < chunkBytes {
			continue
		}
		if err := send(); err != nil {
			return err
		}
	}
	return cmp.Or(send(), err)
}
