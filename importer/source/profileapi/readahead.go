package profileapi

import (
	"context"
	"iter"
	"math"
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
	number int64
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

// job is one profile to read.
type job struct {
	page    *pending
	profile *source.Profile
}

// ReadPages reads the profiles of the pages that list yields, n at once, and yields complete pages
// in order. The first page that cannot be listed or read is the last that is yielded, with its
// error; the pages before it are read to their end. It owns its goroutines: they have ended when
// the iteration has.
//
//	listPages ─▶ listed ─▶ dispatch ─▶ jobs ─▶ n readers
//	                          └─────▶ inOrder ─▶ yield, once a page's done is closed
func (r *Reader) ReadPages(ctx, stop context.Context, n, pageSize int, list func(stop context.Context) iter.Seq2[*source.Page, error]) iter.Seq2[*source.Page, error] {
	// Enough for a page that is held up by a slow answer not to hold up the others.
	window := 2 + 10*n/pageSize
	return func(yield func(*source.Page, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stop, stopListing := context.WithCancel(stop)
		g, ctx := errgroup.WithContext(ctx)
		defer g.Wait()
		defer cancel()
		defer stopListing() // listing ends with it, and not with ctx

		listed, jobs, inOrder := make(chan *pending, pagesAhead), make(chan job), make(chan *pending, window)
		readers := &readers{read: r.read, stopListing: stopListing, onRead: func() {}}
		if r.onRead != nil {
			readers.onRead = r.onRead
		}
		readers.failed.Store(math.MaxInt64)
		g.Go(func() error { listPages(stop, list(stop), listed); return nil })
		g.Go(func() error { dispatch(ctx, stop, listed, jobs, inOrder); return nil })
		for range n {
			g.Go(func() error { readers.run(ctx, jobs); return nil })
		}
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
	number := int64(0)
	for page, err := range pages {
		if ctx.Err() != nil {
			return
		}
		p := &pending{Page: page, number: number, done: make(chan struct{})}
		if err != nil {
			p.finish(err)
		} else if p.unread.Store(int64(len(page.Profiles))); len(page.Profiles) == 0 {
			p.finish(nil)
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
// two pages when stop ends.
func dispatch(ctx, stop context.Context, listed <-chan *pending, jobs chan<- job, inOrder chan<- *pending) {
	defer close(inOrder)
	defer close(jobs)
	for p := range receive(stop, listed) {
		select {
		case inOrder <- p:
		case <-stop.Done():
			return
		}
		if p.Page == nil { // it could not be listed
			continue
		}
		for _, profile := range p.Profiles {
			select {
			case jobs <- job{p, profile}:
			case <-ctx.Done():
				return
			}
		}
	}
}

// readers read profiles, and finish the page of each with its last one.
type readers struct {
	read        func(context.Context, *source.Profile) error
	failed      atomic.Int64 // number of the first page that could not be read
	stopListing context.CancelFunc
	onRead      func()
}

func (r *readers) run(ctx context.Context, jobs <-chan job) {
	for j := range receive(ctx, jobs) {
		if j.page.number >= r.failed.Load() {
			continue
		}
		var err error
		if j.profile.Outcome == outcome.None { // else its entry in the list cannot be used
			err = r.read(ctx, j.profile)
		}
		if err != nil {
			r.fail(j.page, err)
			continue
		}
		r.onRead()
		if j.page.unread.Add(-1) == 0 {
			j.page.finish(nil)
		}
	}
}

// fail makes p the page with which the reading ends, unless an earlier one has failed.
func (r *readers) fail(p *pending, err error) {
	for {
		first := r.failed.Load()
		if p.number >= first || r.failed.CompareAndSwap(first, p.number) {
			break
		}
	}
	r.stopListing()
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
