package importer

import (
	"context"
	"iter"
	"math"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// pagesAhead is how many pages are listed before they are needed: enough for a slow
// answer not to leave the readers idle.
const pagesAhead = 8

// readPages reads the profiles of the listing, n at once, and yields complete pages in
// order. window is how many pages may be between their first reader and the consumer. The
// first page that cannot be listed or read is the last that is yielded, with its error;
// the pages before it are read to their end.
//
// It owns all its goroutines: they have ended when the iteration has.
func readPages(ctx, wanted context.Context, pages func(wanted context.Context) listing, n, window int, read func(context.Context, *profile) error) iter.Seq2[*page, error] {
	return func(yield func(*page, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		wanted, unwant := context.WithCancel(wanted)
		g, ctx := errgroup.WithContext(ctx)
		defer g.Wait()
		defer cancel()
		defer unwant() // listing ends with it, and not with ctx

		listed := make(chan *page, pagesAhead)
		work := make(chan *profile)
		inOrder := make(chan *page, window)
		r := &pageReader{read: read, unwant: unwant}
		r.failed.Store(math.MaxInt64)
		g.Go(func() error { list(wanted, pages(wanted), listed); return nil })
		g.Go(func() error { dispatch(ctx, wanted, listed, work, inOrder); return nil })
		for range n {
			g.Go(func() error { r.run(ctx, work); return nil })
		}
		for p := range receive(ctx, inOrder) {
			select {
			case <-p.done:
			case <-ctx.Done():
				return
			}
			if !yield(p, p.err) || p.err != nil {
				return
			}
		}
	}
}

// list sends the pages of the listing, to its end or to the first that cannot be listed,
// which is sent with its error. It ends early with ctx.
func list(ctx context.Context, pages listing, listed chan<- *page) {
	defer close(listed)
	number := int64(0)
	for p, err := range pages {
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			p = new(page)
		}
		p.number = number
		p.done = make(chan struct{})
		p.unread.Store(int64(len(p.profiles)))
		if len(p.profiles) == 0 {
			p.finish(err)
		}
		select {
		case listed <- p:
		case <-ctx.Done():
			return
		}
		number++
	}
}

// dispatch sends each page on, in order, and its profiles to the readers. It ends between
// two pages when no further one is wanted.
func dispatch(ctx, wanted context.Context, listed <-chan *page, work chan<- *profile, inOrder chan<- *page) {
	defer close(inOrder)
	defer close(work)
	for p := range receive(wanted, listed) {
		profiles := p.profiles // the consumer may change p once it has it
		select {
		case inOrder <- p:
		case <-wanted.Done():
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

// pageReader reads profiles, and finishes the page of each with its last one.
type pageReader struct {
	read   func(context.Context, *profile) error
	failed atomic.Int64 // number of the first page that could not be read
	unwant context.CancelFunc
}

func (r *pageReader) run(ctx context.Context, work <-chan *profile) {
	for p := range receive(ctx, work) {
		if p.page.number >= r.failed.Load() {
			continue
		}
		if err := r.read(ctx, p); err != nil {
			r.fail(p.page, err)
		} else if p.page.unread.Add(-1) == 0 {
			p.page.finish(nil)
		}
	}
}

// fail makes p the page with which the reading ends, unless an earlier one has failed.
func (r *pageReader) fail(p *page, err error) {
	for {
		first := r.failed.Load()
		if p.number >= first || r.failed.CompareAndSwap(first, p.number) {
			break
		}
	}
	r.unwant()
	p.finish(err)
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
