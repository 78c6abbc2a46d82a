// Package warehouse is the source of profiles that Profiles Sync writes to a warehouse.
package warehouse

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"segsync/importer/source"
	"segsync/importer/source/file"
	"segsync/profilessync"
)

// Source is a warehouse. Its profiles come in the byte order of their ids, from one statement. Where
// they come from several snapshots, because the import was interrupted or had to wait, what
// has changed since its start is read again at the end, of the profiles that earlier snapshots had.
// It is a source.Source for one run.
type Source struct {
	warehouse *profilessync.Warehouse
	query     profilessync.Query
	since     time.Time // only what changed since then; zero: everything
	pageSize  int
	limit     *source.Limit
}

// New returns the source of a warehouse, which ends after limit profiles; 0 is no limit.
func New(w *profilessync.Warehouse, query profilessync.Query, since time.Time, pageSize, limit int) *Source {
	return &Source{w, query, since, pageSize, source.NewLimit(limit)}
}

// place is the State of a source.Position.
type place struct {
	After   string    `json:"after"`             // the last profile that was read; "" for none
	Started time.Time `json:"started,omitzero"`  // when the first statement began, by the warehouse's clock
	Changes bool      `json:"changes,omitempty"` // what changed meanwhile is read again
	// Behind is the last profile of an earlier snapshot than the present one; "" if there is none.
	Behind string `json:"behind,omitempty"`
}

func (p place) position(done bool) source.Position {
	state, _ := json.Marshal(p) // of strings and a time
	at := p.After
	if at == "" {
		at = "the beginning"
	}
	return source.Position{At: at, State: state, Tail: p.Changes, Done: done}
}

// reading is one reading of the rest of a warehouse.
type reading struct {
	*Source
	ctx, stop context.Context
	seen      source.Seen
	builder   *source.PageBuilder
	yield     func(*source.Page, error) bool
	at        place
	hasBegun  bool // a statement of this reading
}

// Pages yields the profiles behind the position.
func (s *Source) Pages(ctx, stop context.Context, from source.Position, seen source.Seen) iter.Seq2[*source.Page, error] {
	return func(yield func(*source.Page, error) bool) {
		r := &reading{Source: s, ctx: ctx, stop: stop, seen: seen, yield: yield, builder: source.NewPageBuilder(s.pageSize, s.limit, yield)}
		if from.State != nil {
			if err := json.Unmarshal(from.State, &r.at); err != nil {
				yield(nil, fmt.Errorf("the position %s is not one in a warehouse: %w", from.At, err))
				return
			}
			if !r.at.Changes {
				r.at.Behind = r.at.After
			}
		}
		if from.Done || !r.at.Changes && !r.readAll() {
			return
		}
		if r.at.Changes {
			r.readChanges()
		}
	}
}

// readAll reads the profiles behind the position. It reports whether it came to the end.
func (r *reading) readAll() bool {
	q := r.query
	q.Since = r.since
	q.Started = r.beginStatement
	more := r.read(q, func(p *profilessync.Profile) {
		if r.seen.Add(p.SegmentID) {
			r.builder.Add(file.ProfileOf(p, true))
		}
	})
	if !more {
		return false
	}
	done := r.at.Behind == ""
	if !done {
		r.at.Changes, r.at.After = true, ""
	}
	return r.builder.End(r.at.position(done)) && r.stop.Err() == nil
}

// beginStatement takes note of a statement that begins at this time: the first one of an import,
// or a later one, with another snapshot.
func (r *reading) beginStatement(at time.Time) {
	switch {
	case r.hasBegun:
		r.at.Behind = r.at.After
	case r.at.Started.IsZero():
		r.at.Started, r.builder.Page.Began = at, at
	}
	r.hasBegun = true
}

// readChanges reads again what has changed since the import began, or all of it where the tables
// do not tell.
func (r *reading) readChanges() {
	q := r.query
	if r.warehouse.TellsChanges() {
		q.Since = r.at.Started
	}
	more := r.read(q, func(p *profilessync.Profile) {
		r.seen.Add(p.SegmentID)
		r.builder.Page.Late = true // of two with one source_id the first in the order of ids counts, as before
		r.builder.Add(file.ProfileOf(p, true))
	})
	if more {
		r.builder.End(r.at.position(true))
	}
}

// read takes the profiles of the query behind the position into pages; the last one is not
// ended. It reports whether it came to the end.
func (r *reading) read(q profilessync.Query, take func(*profilessync.Profile)) bool {
	q.After = r.at.After
	for p, err := range r.warehouse.Profiles(r.stop, q) {
		if r.stop.Err() != nil || r.ctx.Err() != nil {
			return false
		}
		if err != nil {
			r.yield(nil, err)
			return false
		}
		if r.at.Changes && r.at.Behind != "" && p.SegmentID > r.at.Behind {
			return true // the present snapshot had it
		}
		take(p)
		r.at.After = p.SegmentID
		if r.builder.Count(p.Bytes) && !r.builder.End(r.at.position(false)) {
			return false
		}
	}
	return r.stop.Err() == nil
}

// Lookup reads profiles by their segment ids. Those that are known by something else are left out.
func (s *Source) Lookup(ctx, stop context.Context, ids []string) iter.Seq2[*source.Page, error] {
	return func(yield func(*source.Page, error) bool) {
		ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return strings.Contains(id, ":") })
		for some := range slices.Chunk(ids, s.pageSize) {
			profiles, err := s.warehouse.ByID(stop, some, s.query)
			if stop.Err() != nil || ctx.Err() != nil {
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
			found := make(map[string]*source.Profile)
			for _, p := range profiles {
				found[p.SegmentID] = file.ProfileOf(p, true)
			}
			page := &source.Page{Listed: len(some)}
			for _, id := range some {
				profile := found[id]
				if profile == nil {
					profile = &source.Profile{ID: id}
					profile.Vanish("it is no longer there")
				}
				page.Profiles = append(page.Profiles, profile)
			}
			if !yield(page, nil) {
				return
			}
		}
	}
}

// CheckReadable returns nil: a warehouse answers or not.
func (s *Source) CheckReadable(context.Context) error { return nil }
