package importer

import (
	"context"
	"iter"
	"time"

	"segsync/importer/journal"
	"segsync/profilessync"
	"segsync/segmentprofiles"
)

// warehouseOrigin is a warehouse that Profiles Sync writes to.
type warehouseOrigin struct{ warehouse *profilessync.Warehouse }

// FromWarehouse returns the profiles of a warehouse, in the byte order of their ids.
func FromWarehouse(w *profilessync.Warehouse) Origin { return warehouseOrigin{w} }

// warehouseReading is one reading of the rest of a warehouse.
type warehouseReading struct {
	*intake
	warehouse *profilessync.Warehouse
	wanted    context.Context
	pager     pager
	at        journal.Position
	begun     bool      // a statement of this reading was begun
	started   time.Time // when the import began, by the warehouse's clock
	// behind is the last profile of an earlier snapshot than the present one; "" if there is
	// none.
	behind string
}

// rest yields the profiles of one statement. Where they come from several snapshots, because
// the import was interrupted or had to wait, what has changed since its start is read again
// at the end, of the profiles that earlier snapshots had.
func (o warehouseOrigin) rest(wanted context.Context, in *intake, first listing) iter.Seq2[*page, error] {
	return func(yield func(*page, error) bool) {
		in.texts = true
		for p, err := range o.fill(wanted, in, first) {
			if !yield(p, err) || err != nil {
				return
			}
		}
		r := &warehouseReading{
			intake: in, warehouse: o.warehouse, wanted: wanted, at: in.state.Position, started: in.state.Started,
			pager: pager{size: in.pageSize, limit: in.limit, yield: yield, page: new(page)},
		}
		if r.at.Pass == 0 && r.at.Offset != Beginning {
			r.behind = r.at.Offset
		}
		if r.at.Pass == 0 && !r.all() || wanted.Err() != nil {
			return
		}
		if !r.at.Done {
			r.changes()
		}
	}
}

// all reads the profiles behind the position. It reports whether it came to the end.
func (r *warehouseReading) all() bool {
	q := r.query
	q.Since = r.state.Since
	q.Started = r.statement
	if !r.read(q, r.add) {
		return false
	}
	if r.behind == "" {
		r.at.Done = true
	} else {
		r.at.Pass, r.at.Since, r.at.Offset = 1, r.started, Beginning
	}
	return r.pager.end(r.at)
}

// statement takes note of a statement that begins at this time: the first one of an import,
// or a later one, with another snapshot.
func (r *warehouseReading) statement(at time.Time) {
	switch {
	case r.begun:
		r.behind = r.at.Offset
	case r.state.AtStart():
		r.started, r.pager.page.first, r.pager.page.began = at, true, at
	}
	r.begun = true
}

// changes reads again what has changed since the import began, or all of it where the tables
// do not tell.
func (r *warehouseReading) changes() {
	q := r.query
	if r.warehouse.TellsChanges() {
		q.Since = r.at.Since
	}
	again := func(p *page, from *profilessync.Profile) error {
		added, err := r.known.Add(from.SegmentID)
		if err != nil {
			return err
		}
		profile := p.add(segmentprofiles.SegmentID(from.SegmentID), from.SegmentID)
		profile.Late = added
		return r.complete(profile, from)
	}
	if r.read(q, again) {
		r.at.Done = true
		r.pager.end(r.at)
	}
}

// read takes the profiles of the query behind the position into pages; the last one is not
// ended. It reports whether it came to the end.
func (r *warehouseReading) read(q profilessync.Query, take func(*page, *profilessync.Profile) error) bool {
	if r.at.Offset != Beginning {
		q.After = r.at.Offset
	}
	for p, err := range r.warehouse.Profiles(r.wanted, q) {
		if r.wanted.Err() != nil {
			return false
		}
		if r.at.Pass > 0 && r.behind != "" && p != nil && p.SegmentID > r.behind {
			return true // the present snapshot had it
		}
		if err == nil {
			err = take(r.pager.page, p)
		}
		if err != nil {
			r.pager.yield(nil, err)
			return false
		}
		r.at.Offset = p.SegmentID
		if r.pager.full() && !r.pager.end(r.at) {
			return false
		}
	}
	return r.wanted.Err() == nil
}

// fill reads the profiles of each page by their ids.
func (o warehouseOrigin) fill(wanted context.Context, in *intake, pages listing) iter.Seq2[*page, error] {
	return func(yield func(*page, error) bool) {
		in.texts = true
		for p, err := range pages {
			if err == nil {
				err = o.fillPage(wanted, in, p)
			}
			if wanted.Err() != nil {
				return
			}
			if !yield(p, err) || err != nil {
				return
			}
		}
	}
}

func (o warehouseOrigin) fillPage(ctx context.Context, in *intake, p *page) error {
	var ids []string
	for _, profile := range p.profiles {
		ids = append(ids, profile.SegmentID)
	}
	profiles, err := o.warehouse.ByID(ctx, ids, in.query)
	if err != nil {
		return err
	}
	found := make(map[string]*profilessync.Profile)
	for _, profile := range profiles {
		found[profile.SegmentID] = profile
	}
	return in.fillPage(p, found)
}
