package importer

import (
	"context"
	"iter"
)

// commit takes the batches in order. Once Voucherify has accepted one, what became of
// the pages that it completes goes into the reports, and then the offset moves past
// them.
func (r *run) commit(ctx context.Context, batches <-chan *batch) error {
	for b := range receive(ctx, batches) {
		select {
		case <-b.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if b.err != nil {
			return b.err
		}
		for _, rec := range b.refused {
			rec.record.profile.page.outcome.unsend(rec.record.profile, rec.why)
		}
		if err := r.commitPages(b.pages); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// unsend notes that a customer counted as sent was refused after all. Its page is not
// committed yet: pages end with the batch that holds their last customer, or later.
func (o *outcome) unsend(p *profile, why refusal) {
	o.counts.Sent--
	if p.invalidBirthdate {
		o.counts.InvalidBirthdates--
	}
	o.refuse(p, why)
}

func (r *run) commitPages(pages []*page) error {
	if len(pages) == 0 {
		return nil
	}
	if r.fresh {
		if err := r.reports.startAnew(); err != nil {
			return err
		}
		r.fresh = false
	}
	var sum outcome
	for _, p := range pages {
		sum.counts.add(p.outcome.counts)
		sum.withoutIdentifier = append(sum.withoutIdentifier, p.outcome.withoutIdentifier...)
		sum.notImported = append(sum.notImported, p.outcome.notImported...)
	}
	if err := r.reports.append(sum); err != nil {
		return err
	}
	for _, line := range sum.notImported {
		r.log.Warn("profile not imported", "segment_id", line.segmentID, "source_id", line.sourceID,
			"reason", line.why.reason, "detail", line.why.detail)
	}
	r.mu.Lock()
	r.counts.add(sum.counts)
	r.mu.Unlock()
	r.offset = pages[len(pages)-1].next
	return nil
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
