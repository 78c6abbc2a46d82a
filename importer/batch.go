package importer

import (
	"context"
)

// batch is what one bulk request carries, and the pages that are complete once it is
// accepted.
type batch struct {
	records []record
	ids     map[string]bool // source ids in records
	bytes   int             // of the JSON in records, with separators
	pages   []*page         // in listing order

	done    chan struct{} // closed when all of it was answered
	err     error         // valid once done is closed, like answers
	answers []answer
}

// record is one customer of a batch.
type record struct {
	profile *profile
	json    []byte
}

// found is what the profiles of a page come to before anything is sent.
type found struct {
	counts            Counts
	withoutIdentifier []string
	vanished          []notImported
	hashes            []uint64 // of the profiles
	sourceHashes      []uint64 // of the source ids of those with a customer to send
}

// A partial batch is sent when it has waited for this many pages, and for as many as would
// fill ten batches, so that the safe offset does not stay behind for long where few
// profiles have an identifier.
const pagesPerPartialBatch = 10

// fillBatches takes the pages in order and fills batches across them. Each batch is
// uploaded as soon as it is full, several at once, and sent on in order. A page that
// could not be read ends it; what came before is sent.
func (r *run) fillBatches(ctx context.Context, pages <-chan *page, batches chan<- *batch) error {
	defer close(batches)
	current := newBatch()
	flush := func() error {
		full := current
		current = newBatch()
		if len(full.records)+len(full.pages) == 0 {
			return nil
		} else if len(full.records) == 0 {
			close(full.done)
		} else if err := r.startUpload(ctx, full); err != nil {
			return err
		}
		select {
		case batches <- full:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}

	for p := range receive(ctx, pages) {
		select {
		case <-p.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if p.err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			r.pageErr = p.err
			r.stopReading() // what comes after this page is read again
			break
		}
		for _, profile := range p.profiles {
			if r.full(current, profile) {
				if err := flush(); err != nil {
					return err
				}
			}
			if err := r.add(current, profile); err != nil {
				return err
			}
		}
		current.pages = append(current.pages, p)
		p.profiles = nil
		if r.overdue(current) {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.pageErr == nil && !r.complete {
		r.pageErr = ErrStopped
	}
	return flush()
}

func newBatch() *batch { return &batch{ids: make(map[string]bool), done: make(chan struct{})} }

// full reports whether the batch must be sent before p can be added.
func (r *run) full(b *batch, p *profile) bool {
	if p.customer == nil || len(b.records) == 0 {
		return false
	}
	return len(b.records) >= int(r.maxRecords.Load()) || b.bytes+len(p.customer)+len("[,]") > int(r.maxBytes.Load())
}

// overdue reports whether a partial batch has waited for long enough. One without
// customers costs no bulk call.
func (r *run) overdue(b *batch) bool {
	return len(b.pages) >= pagesPerPartialBatch &&
		(len(b.records) == 0 || len(b.pages)*r.settings.PageSize >= 10*r.settings.BatchSize)
}

// add puts the profile into the batch, or into what its page has found if there is nothing
// to send. Of the profiles with the same source_id the one listed first, which was active
// last, is sent; one found late was active after it.
func (r *run) add(b *batch, p *profile) error {
	out := &p.page.found
	out.counts.Read++
	out.hashes = append(out.hashes, hashOf(p.segmentID))
	if p.page.late {
		out.counts.FoundLate++
	}
	switch {
	case p.vanished != nil:
		out.counts.Vanished++
		out.vanished = append(out.vanished, notImported{segmentID: p.segmentID, sourceID: p.sourceID, why: *p.vanished})
	case p.customer == nil:
		out.counts.WithoutIdentifier++
		out.withoutIdentifier = append(out.withoutIdentifier, p.segmentID)
	default:
		hash := hashOf(p.sourceID)
		first := true
		if r.sources != nil {
			var err error
			if first, err = r.sources.add(hash); err != nil {
				return err
			}
		}
		if b.ids[p.sourceID] || !first && !p.page.late {
			out.counts.Merged++
			return nil
		}
		out.sourceHashes = append(out.sourceHashes, hash)
		b.ids[p.sourceID] = true
		b.records = append(b.records, record{profile: p, json: p.customer})
		b.bytes += len(p.customer) + len(",")
	}
	return nil
}
