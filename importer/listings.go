package importer

import (
	"fmt"
	"slices"
	"strconv"

	"segsync/importer/journal"
	"segsync/segmentprofiles"
)

// given yields the profiles that were asked for one by one. The offset counts them.
func given(ids []segmentprofiles.Identifier, pageSize int, at journal.Position, limit *limit, known *journal.Profiles) listing {
	return func(yield func(*page, error) bool) {
		from, err := strconv.Atoi(at.Offset)
		if err != nil || from < 0 || from > len(ids) {
			yield(nil, fmt.Errorf("the offset %s is not within the %d profiles given", at.Offset, len(ids)))
			return
		}
		for !at.Done && !limit.reached() {
			to := min(from+limit.atMost(pageSize), len(ids))
			p := new(page)
			for _, id := range ids[from:to] {
				label := labelOf(id)
				added, err := known.Add(label)
				if err != nil {
					yield(nil, err)
					return
				}
				if added {
					p.add(id, label)
				}
			}
			at.Offset, at.Done = strconv.Itoa(to), to == len(ids)
			p.after = at
			limit.take(len(p.profiles))
			if !yield(p, nil) {
				return
			}
			from = to
		}
	}
}

// outstanding yields the profiles that earlier imports could not import, to be tried again
// before the others; the position stays where it is.
func outstanding(records []journal.Record, pageSize int, at journal.Position, known *journal.Profiles) listing {
	return func(yield func(*page, error) bool) {
		for some := range slices.Chunk(records, pageSize) {
			p := &page{after: at, retry: true}
			for _, r := range some {
				added, err := known.Add(r.SegmentID)
				if err != nil {
					yield(nil, err)
					return
				}
				if added {
					p.add(identifierOf(r.SegmentID), r.SegmentID)
				}
			}
			if !yield(p, nil) {
				return
			}
		}
	}
}

// aside yields the profiles that this import could not read, to be tried once more. It
// looks at the journal at once, while nobody writes it.
func aside(j *journal.Journal, pageSize int) listing {
	state := j.State()
	var records []journal.Record
	for _, r := range j.Outstanding() {
		if r.Outcome == journal.Unreadable.String() && r.Import.Equal(state.Started) {
			records = append(records, r)
		}
	}
	return func(yield func(*page, error) bool) {
		for some := range slices.Chunk(records, pageSize) {
			p := &page{after: state.Position}
			for _, r := range some {
				p.add(identifierOf(r.SegmentID), r.SegmentID).Was = journal.Unreadable
			}
			if !yield(p, nil) {
				return
			}
		}
	}
}

// failedActions yields the customers of each failed action as a page, to be read and
// sent again. It looks at the journal at once, while nobody writes it.
func failedActions(j *journal.Journal) (listing, error) {
	state := j.State()
	var failed []journal.Action
	var sent [][]journal.Customer // by each of them
	for _, a := range state.Actions {
		if !a.Failed {
			continue
		}
		customers, err := j.SentBy(a)
		if err != nil {
			return nil, err
		}
		failed, sent = append(failed, a), append(sent, customers)
	}
	return func(yield func(*page, error) bool) {
		for i, a := range failed {
			p := &page{replaces: a.ID, after: state.Position}
			for _, c := range sent[i] {
				p.add(identifierOf(c.SegmentID), c.SegmentID).SourceID = c.SourceID
			}
			if !yield(p, nil) {
				return
			}
		}
	}, nil
}
