package profileapi

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"segsync/importer/outcome"
	"segsync/importer/source"
)

// pagesAhead is how many pages are listed before they are needed: enough for a slow
// answer not to leave the readers idle.
const pagesAhead = 8

// pending is a page whose profiles are being read.
type pending struct {
	*source.Page
	unread atomic.Int64 // profiles
	once   sync.Once
	done   chan struct{} // closed when all profiles are read, or one could not be
	err    error         // valid once done is closed
}

// finish closes done; only the first call counts.
func (p *pending) finish(err error) {
	p.once.Do(func() {
		p.err = err
		close(p.done)
	})
}

// ReadPages reads the profiles of the pages that list yields, n at once, and yields complete pages
// in order. The first page that cannot be listed or read is the last that is yielded, with its
// error; the pages before it are read to their end. It owns its goroutines: they have ended when
// the iteration has.
//
//	listPages ─▶ listed ─▶ readListed ─▶ n readers
//	                           └───────▶ inOrder ─▶ yield, once a page's done is closed
func (r *Reader) ReadPages(ctx, stop context.Context, n, pageSize int, list func(stop context.Context) iter.Seq2[*source.Page, error]) iter.Seq2[*source.Page, error] {
	// Enough for a page that is held up by a slow answer not to hold up the others.
	window := 2 + 10*n/pageSize
	return func(yield func(*source.Page, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		reading, stopReading := context.WithCancel(ctx)
		stop, stopListing := context.WithCancel(stop)
		fail := func() { stopListing(); stopReading() }
		var stages, readers errgroup.Group
		readers.SetLimit(n)
		defer readers.Wait()
		defer stages.Wait() // they start the readers
		defer cancel()
		defer stopListing() // listing ends with it, and not with ctx

		listed, inOrder := make(chan *pending, pagesAhead), make(chan *pending, window)
		stages.Go(func() error { listPages(stop, list(stop), listed); return nil })
		stages.Go(func() error {
			defer close(inOrder)
			for p := range receive(stop, listed) {
				select {
				case inOrder <- p:
				case <-stop.Done():
					return nil
				}
				r.readPage(ctx, reading, p, &readers, fail)
			}
			return nil
		})
		for p := range receive(ctx, inOrder) {
			select {
			case <-p.done:
			case <-ctx.Done():
				return
			}
			if !yield(p.Page, p.err) || p.err != nil {
				return
			}
		}
	}
}

// listPages sends the pages of the list, to its end or to the first that cannot be listed,
// which is sent with its error. It ends early with ctx.
func listPages(ctx context.Context, pages iter.Seq2[*source.Page, error], listed chan<- *pending) {
	defer close(listed)
	for page, err := range pages {
		if ctx.Err() != nil {
			return
		}
		p := &pending{Page: page, done: make(chan struct{})}
		if err != nil {
			p.finish(err)
		}
		select {
		case listed <- p:
		case <-ctx.Done():
			return
		}
	}
}

// readPage starts a reader for each profile of the page, and returns when the last one has started, or when
// reading ends: then an earlier page has failed. An error finishes the page.
func (r *Reader) readPage(ctx, reading context.Context, p *pending, readers *errgroup.Group, fail func()) {
	if p.Page == nil { // it could not be listed
		return
	}
	p.unread.Store(int64(len(p.Profiles)))
	if len(p.Profiles) == 0 {
		p.finish(nil)
		return
	}
	for _, profile := range p.Profiles {
		if reading.Err() != nil {
			return
		}
		readers.Go(func() error {
			var err error
			if profile.Outcome == outcome.None { // else its entry in the list cannot be used
				err = r.read(ctx, profile)
			}
			if err != nil {
				fail()
				p.finish(err)
				return nil
			}
			r.onRead()
			if p.unread.Add(-1) == 0 {
				p.finish(nil)
			}
			return nil
		})
	}
}

// receive ranges over a channel until it is closed or ctx ends.
func receive[T any](ctx context.Context, ch <-chan T) iter.Seq[T] {
	return func(yield func(T) bool) {
		for {
			select {
			case v, more := <-ch:
				if !more || !yield(v) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}
