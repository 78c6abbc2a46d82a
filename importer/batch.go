package importer

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"

	"segsync/importer/journal"
	"segsync/voucherify"
)

// batch is what one bulk request carries, and the pages that are complete once it is
// accepted.
type batch struct {
	records []*profile     // with a customer to send
	at      map[string]int // of a source id in records
	bytes   int            // of the customers' JSON, with separators
	after   bool           // a customer was sent before: what was sent must be answered first
	pages   []*page        // in order

	done chan struct{} // closed when all of it was answered: its records have their outcomes
	err  error         // valid once done is closed
}

// feed is what the batcher hands to the committer.
type feed struct {
	batches chan *batch
	// err is why the source was not read to its end, nil if it was. It is valid once
	// batches is closed.
	err error
}

// limits bound a batch. They fall when Voucherify says so.
type limits struct{ records, bytes atomic.Int64 }

// bulkMargin is kept free of what a bulk request takes.
const bulkMargin = 64 << 10

func newLimits(batchSize int) *limits {
	l := new(limits)
	l.records.Store(int64(batchSize))
	l.bytes.Store(voucherify.MaxBulkBytes - bulkMargin)
	return l
}

// sink takes the customers of batches and answers for them.
type sink interface {
	// start begins to send the batch, which may have pages without customers only. It is
	// called in order; when all customers have their outcomes, b.done is closed. Its error
	// ends the run.
	start(ctx context.Context, b *batch) error
}

// cutter says where a batch ends.
type cutter struct {
	limits    *limits
	batchSize int
	pageSize  int
}

func newCutter(s Settings) cutter { return cutter{newLimits(s.BatchSize), s.BatchSize, s.PageSize} }

// full reports whether a batch of so many customers and bytes must be sent before another
// customer, of more bytes, can be added.
func (c cutter) full(customers, bytes, more int) bool {
	if customers == 0 {
		return false
	}
	return customers >= int(c.limits.records.Load()) || bytes+more+len("[,]") > int(c.limits.bytes.Load())
}

// overdue reports whether a batch has waited for long enough. One without customers costs no
// bulk call.
func (c cutter) overdue(customers, pages int) bool {
	return pages >= pagesPerPartialBatch && (customers == 0 || pages*c.pageSize >= min(10*c.batchSize, maxWaiting))
}

// A partial batch is sent when it has waited for this many pages, and for as many as would
// fill ten batches, so that the safe position does not stay behind for long where few
// profiles have an identifier.
const pagesPerPartialBatch = 10

// maxWaiting is how many profiles at most wait for their batch to be filled: it bounds the
// memory that they take where batches are large.
const maxWaiting = 100_000

// batcher fills batches across pages.
type batcher struct {
	cutter
	sources  *journal.Sources // the source ids sent
	clears   clears
	existing *Existing // customers that are as they would be sent are left out; nil: none are
	sink     sink
	out      *feed
	current  *batch
	// late is the last pass over the list in which a profile with the source id was sent, of
	// those that a later pass than the first found.
	late map[string]int
	// retried are the source ids of profiles that were tried again.
	retried map[string]bool
}

// run takes the pages in order and fills batches. Each is started as soon as it is full,
// and handed on in order. A page that could not be read ends it; what came before is sent.
// So does a batch that would clear too much, and is not sent itself. It ends with wanted,
// and then says so in the feed. It closes the feed.
func (b *batcher) run(ctx, wanted context.Context, pages iter.Seq2[*page, error]) error {
	defer close(b.out.batches)
	b.late, b.retried = make(map[string]int), make(map[string]bool)
	b.current = newBatch()
	for p, err := range pages {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			b.out.err = err
			break
		}
		if err := b.take(ctx, p); err != nil {
			return b.unlessClears(err)
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if b.out.err == nil && wanted.Err() != nil {
		b.out.err = ErrStopped
	}
	return b.unlessClears(b.flush(ctx))
}

// unlessClears leaves a ClearsError to the feed, so that the batches before are finished.
func (b *batcher) unlessClears(err error) error {
	var clears *ClearsError
	if errors.As(err, &clears) {
		b.out.err = errors.Join(b.out.err, err)
		return nil
	}
	return err
}

func (b *batcher) take(ctx context.Context, p *page) error {
	for _, profile := range p.profiles {
		if profile.customer == nil {
			continue
		}
		if b.full(len(b.current.records), b.current.bytes, len(profile.customer)) {
			if err := b.flush(ctx); err != nil {
				return err
			}
		}
		if err := b.add(ctx, profile); err != nil {
			return err
		}
	}
	b.current.pages = append(b.current.pages, p)
	if b.overdue(len(b.current.records), len(b.current.pages)) {
		return b.flush(ctx)
	}
	return nil
}

// flush starts the current batch and hands it on.
func (b *batcher) flush(ctx context.Context) error {
	full := b.current
	b.current = newBatch()
	if len(full.records)+len(full.pages) == 0 {
		return nil
	}
	if err := b.clears.add(full.records); err != nil {
		return err
	}
	if err := b.sink.start(ctx, full); err != nil {
		return err
	}
	select {
	case b.out.batches <- full:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func newBatch() *batch { return &batch{at: make(map[string]int), done: make(chan struct{})} }

// add puts the profile into the batch, unless another one with its source_id is sent. Of
// those the most recently active one is: the first in the list, but one that a later pass
// found was active after those of the passes before. Customers of a failed action give way to
// customers that were sent after them: sending them again would restore older data.
func (b *batcher) add(ctx context.Context, p *profile) error {
	c := b.current
	sender, err := b.sources.Sender(p.SourceID, p.SegmentID)
	if err != nil {
		return err
	}
	if at, inBatch := c.at[p.SourceID]; inBatch {
		older := c.records[at]
		if p.SegmentID != older.SegmentID && p.page.pass <= older.page.pass && !older.page.retry {
			p.drop()
			return nil
		}
		older.drop()
		c.bytes += len(p.customer) - len(older.customer)
		c.records[at] = p
		return b.claim(p)
	}
	newer := p.page.pass > b.late[p.SourceID]
	if sender == journal.Another && !newer || sender == journal.Someone && !newer && p.page.replaces == "" {
		p.drop()
		return nil
	}
	if unchanged, err := b.unchanged(ctx, p, sender); err != nil {
		return err
	} else if unchanged {
		p.Outcome, p.customer = journal.Unchanged, nil
		return b.claim(p)
	}
	c.after = c.after || sender != journal.Nobody || b.retried[p.SourceID]
	c.at[p.SourceID] = len(c.records)
	c.records = append(c.records, p)
	c.bytes += len(p.customer) + len(",")
	return b.claim(p)
}

// unchanged reports whether Voucherify has the customer as it would be sent. One that may
// take the place of another one sent by this import is never taken for unchanged: what the
// export says of it is out of date.
func (b *batcher) unchanged(ctx context.Context, p *profile, sender journal.Sender) (bool, error) {
	if b.existing == nil || sender != journal.Nobody || b.retried[p.SourceID] || p.page.pass > 0 || p.page.retry || p.page.replaces != "" {
		return false, nil
	}
	now, err := b.existing.stored(ctx, p.SourceID)
	if err != nil {
		return false, err
	}
	d, err := compare(p.customer, now)
	if err != nil {
		return false, fmt.Errorf("comparing the customer of %s: %w", p.SegmentID, err)
	}
	p.Cleared = d.cleared()
	return d.Kind == Unchanged, nil
}

// claim notes that the profile is the one that its source_id is sent with. One that is
// tried again may be older than the one in the list: it claims nothing.
func (b *batcher) claim(p *profile) error {
	if p.page.retry {
		b.retried[p.SourceID] = true
		return nil
	}
	p.Claimed = true
	if p.page.pass > 0 {
		b.late[p.SourceID] = p.page.pass
	}
	return b.sources.Claim(p.SourceID, p.SegmentID)
}

// drop makes the profile one that is not sent for another one with its source_id.
func (p *profile) drop() {
	p.Outcome, p.Claimed = journal.Merged, false
}
