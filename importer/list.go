package importer

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"segsync/segmentprofiles"
)

// page is a page of the list on its way through the program.
type page struct {
	number   int64  // counted from 0 in this run
	next     string // cursor of the page after it, "" if it is the last one
	profiles []*profile

	unread atomic.Int64
	once   sync.Once
	done   chan struct{} // closed when all profiles are read, or one could not be
	err    error         // valid once done is closed

	outcome outcome // of fillBatches, then of commit
}

func newPage(number int64, listed *segmentprofiles.ProfilesPage) *page {
	p := &page{number: number, next: listed.Cursor.Next, done: make(chan struct{})}
	for _, entry := range listed.Data {
		p.profiles = append(p.profiles, &profile{page: p, segmentID: entry.SegmentID})
	}
	p.unread.Store(int64(len(p.profiles)))
	if len(p.profiles) == 0 {
		p.finish(nil)
	}
	return p
}

// failedPage returns a page that could not be listed.
func failedPage(number int64, err error) *page {
	p := &page{number: number, done: make(chan struct{})}
	p.finish(err)
	return p
}

// finish closes done; only the first call counts.
func (p *page) finish(err error) {
	p.once.Do(func() {
		p.err = err
		close(p.done)
	})
}

// list sends the pages from the offset to the end of the list, or to the first that
// cannot be listed, which is sent with its error. It ends early with ctx.
func (r *run) list(ctx context.Context, offset string, listed chan<- *page) {
	defer close(listed)
	number, cursor := int64(0), offset
	for entries, err := range r.segment.AllProfiles(ctx, offset, r.settings.PageSize) {
		var p *page
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			p = failedPage(number, fmt.Errorf("listing profiles at offset %s: %w", cursor, err))
		} else {
			p = newPage(number, entries)
		}
		select {
		case listed <- p:
		case <-ctx.Done():
			return
		}
		number, cursor = number+1, p.next
	}
}

// dispatch sends each page on, in order, and its profiles to the readers. It ends
// between two pages when no further one is wanted.
func (r *run) dispatch(ctx context.Context, listed <-chan *page, work chan<- *profile, pages chan<- *page) {
	defer close(pages)
	defer close(work)
	for p := range receive(r.wanted, listed) {
		profiles := p.profiles // not p's any more once the batcher has it
		select {
		case pages <- p:
		case <-r.wanted.Done():
			return
		}
		for _, profile := range profiles {
			select {
			case work <- profile:
			case <-ctx.Done():
				return
			}
		}
	}
}

// fail makes p the page with which the run ends, unless an earlier one has failed.
func (r *run) fail(p *page, err error) {
	for {
		first := r.failedPage.Load()
		if p.number >= first || r.failedPage.CompareAndSwap(first, p.number) {
			break
		}
	}
	r.unwant()
	p.finish(err)
}
