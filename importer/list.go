package importer

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"

	"segsync/segmentprofiles"
)

// page is a page of profiles on its way through the program.
type page struct {
	number   int64    // counted from 0 in this run
	after    Position // once this page is complete
	profiles []*profile
	late     bool   // found by a later pass over the list
	replaces string // id of the failed action whose customers are sent again, or ""

	unread atomic.Int64
	once   sync.Once
	done   chan struct{} // closed when all profiles are read, or one could not be
	err    error         // valid once done is closed

	found   found   // of fillBatches, until the batch that completes the page is sent on
	outcome outcome // of commit: its first customers are answered while others are not sent yet
}

// source yields the profiles to import, in pages. Its last page, or its error, ends it.
type source = iter.Seq2[*page, error]

func (p *page) add(id segmentprofiles.Identifier, label string) {
	p.profiles = append(p.profiles, &profile{page: p, id: id, segmentID: label})
}

// failedPage returns a page that could not be listed.
func failedPage(err error) *page { return &page{err: err} }

// finish closes done; only the first call counts.
func (p *page) finish(err error) {
	p.once.Do(func() {
		p.err = err
		close(p.done)
	})
}

// list sends the pages of the source, to its end or to the first that cannot be
// listed, which is sent with its error. It ends early with ctx.
func (r *run) list(ctx context.Context, pages source, listed chan<- *page) {
	defer close(listed)
	number := int64(0)
	for p, err := range pages {
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			p = failedPage(err)
		}
		p.number = number
		p.done = make(chan struct{})
		p.unread.Store(int64(len(p.profiles)))
		if len(p.profiles) == 0 {
			p.finish(p.err)
		}
		select {
		case listed <- p:
		case <-ctx.Done():
			return
		}
		number++
	}
}

// dispatch sends each page on, in order, and its profiles to the readers. It ends
// between two pages when no further one is wanted.
func (r *run) dispatch(ctx context.Context, listed <-chan *page, work chan<- *profile, pages chan<- *page) {
	defer close(pages)
	defer close(work)
	defer close(r.dispatched)
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
	r.complete = r.wanted.Err() == nil
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
