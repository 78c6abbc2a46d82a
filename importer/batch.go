package importer

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"segsync/importer/journal"
	"segsync/importer/outcome"
	"segsync/importer/sink"
	"segsync/importer/sink/plan"
)

// batch is what one bulk request carries, and the pages that are complete once it is accepted.
type batch struct {
	sink.Batch
	profiles []*profile     // of its records
	at       map[string]int // of a source id in them
	pages    []*page        // in order
	first    int            // profiles that were read before its first record
	began    time.Time      // when that came
}

func newBatch() *batch {
	return &batch{Batch: sink.Batch{Done: make(chan struct{})}, at: make(map[string]int)}
}

// batcher maps the profiles and fills batches across pages.
type batcher struct {
	*run
	batches chan *batch
	clears  clearLimiter
	// err is why the source was not read to its end, nil if it was. It is valid once batches is
	// closed.
	err error

	current *batch
	read    int // profiles
	// late is the last pass over the source in which a profile with the source id was sent, of
	// those that a later pass than the first found.
	late map[string]int
}

// fill takes the pages in order, and starts each batch as soon as it is full. It ends with a page that could
// not be read, after it has sent the customers before it, or with a batch that would clear too many
// fields, which it does not send. It closes batches.
func (b *batcher) fill(ctx, stop context.Context, pages iter.Seq2[*page, error]) error {
	defer close(b.batches)
	b.late, b.current = make(map[string]int), newBatch()
	for p, err := range pages {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			b.err = err
			break
		}
		if err := b.take(ctx, p); err != nil {
			return b.deferClearLimit(err)
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if b.err == nil && stop.Err() != nil {
		b.err = ErrStopped
	}
	return b.deferClearLimit(b.flush(ctx))
}

// deferClearLimit keeps a ClearsError until the batches before are finished.
func (b *batcher) deferClearLimit(err error) error {
	if _, ok := errors.AsType[*ClearsError](err); ok {
		b.err = errors.Join(b.err, err)
		return nil
	}
	return err
}

func (b *batcher) take(ctx context.Context, p *page) error {
	b.Progress.Read.Add(int64(len(p.Profiles)))
	if err := b.mapper.mapPage(p); err != nil {
		return err
	}
	for _, profile := range p.profiles {
		if profile.Customer == nil {
			if profile.SourceID != "" {
				b.current.Others = append(b.current.Others, profile.SourceID)
			}
			b.read++
			continue
		}
		if b.isFull(len(profile.Customer)) {
			if err := b.flush(ctx); err != nil {
				return err
			}
		}
		profile.Before = b.read
		b.read++
		if err := b.add(ctx, profile); err != nil {
			return err
		}
	}
	b.current.pages = append(b.current.pages, p)
	const emptyPages = 10 // pages without a customer need no bulk call, and wait for nothing
	if len(b.current.Records) == 0 && len(b.current.pages) >= emptyPages || b.isOverdue() {
		return b.flush(ctx)
	}
	return nil
}

// isFull reports whether the batch must be sent before another customer, of more bytes, can be added.
func (b *batcher) isFull(more int) bool {
	return b.Limits.IsFull(len(b.current.Records), b.current.Bytes, more) || b.isOverdue()
}

// isOverdue reports whether the batch has waited for long enough.
func (b *batcher) isOverdue() bool {
	return len(b.current.Records) > 0 && (b.read-b.current.first >= sink.PartialProfiles || time.Since(b.current.began) > sink.PartialAge)
}

// flush starts the current batch and hands it on.
func (b *batcher) flush(ctx context.Context) error {
	full := b.current
	b.current = newBatch()
	if len(full.Records)+len(full.pages) == 0 {
		return nil
	}
	if err := b.clears.add(full.profiles); err != nil {
		return err
	}
	ids := make([]string, len(full.Records))
	for i, r := range full.Records {
		ids[i] = r.SourceID
	}
	if err := b.journal.Sending(ids); err != nil {
		return err
	}
	if err := b.sink.Start(ctx, &full.Batch); err != nil {
		return err
	}
	select {
	case b.batches <- full:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// add puts the profile into the batch, unless another one with its source_id is sent. The most recently
// active one wins: that is the first in the source, or one that a later pass found. A profile that is
// read again never replaces another one, which may be newer.
func (b *batcher) add(ctx context.Context, p *profile) error {
	c := b.current
	sentBy := b.journal.SentBy(p.SourceID, p.ID)
	if at, inBatch := c.at[p.SourceID]; inBatch {
		older := c.profiles[at]
		if p.ID != older.ID && p.page.Pass <= older.page.Pass {
			p.Outcome, p.Customer = outcome.Merged, nil
			return nil
		}
		c.Bytes += len(p.Customer) - len(older.Customer)
		older.Outcome, older.Customer = outcome.Merged, nil
		p.SentBefore = older.SentBefore
		c.profiles[at], c.Records[at] = p, &p.Record
		b.markSent(p)
		return nil
	}
	isNewer := p.page.Pass > b.late[p.SourceID]
	if sentBy == journal.ByOtherProfile && (!isNewer || p.page.isRetry) {
		p.Outcome, p.Customer = outcome.Merged, nil
		return nil
	}
	isUnchanged, err := b.isUnchanged(ctx, p, sentBy)
	if err != nil {
		return err
	}
	if isUnchanged {
		b.markSent(p)
		p.Outcome, p.Customer = outcome.Unchanged, nil
		return nil
	}
	if len(c.Records) == 0 {
		c.first, c.began = p.Before, time.Now()
	}
	p.SentBefore = sentBy != journal.NotSent
	c.Ordered = c.Ordered || p.SentBefore
	c.at[p.SourceID] = len(c.Records)
	c.profiles, c.Records = append(c.profiles, p), append(c.Records, &p.Record)
	c.Bytes += len(p.Customer) + len(",")
	b.markSent(p)
	return nil
}

// isUnchanged reports whether Voucherify has the customer as it would be sent. The export is out of date for
// customers that this import has sent, or that an earlier run may have sent.
func (b *batcher) isUnchanged(ctx context.Context, p *profile, sentBy journal.SentBy) (bool, error) {
	if b.Existing == nil || sentBy != journal.NotSent || p.page.Pass > 0 || p.page.isRetry || b.journal.IsSending(p.SourceID) {
		return false, nil
	}
	d, err := b.Existing.Compare(ctx, p.Customer)
	if err != nil {
		return false, fmt.Errorf("comparing the customer of %s: %w", p.ID, err)
	}
	p.entry.Cleared = d.Cleared()
	return d.Kind == plan.Unchanged, nil
}

// markSent records that the source_id is sent with this profile, and what the customer is.
func (b *batcher) markSent(p *profile) {
	if p.page.Pass > 0 {
		b.late[p.SourceID] = p.page.Pass
	}
	p.entry.Content = journal.ContentOf(p.Customer)
	b.journal.MarkSent(p.SourceID, p.ID)
}
