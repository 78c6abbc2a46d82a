package importer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"segsync/voucherify"
)

// answer is Voucherify's to one bulk request: it took the records, or refuses the only
// one. In a dry run there is no action.
type answer struct {
	action  Action
	records []record
	refused *refusal
}

// startUpload sends the batch in the background, once enough of the customers in
// flight have been answered.
func (r *run) startUpload(ctx context.Context, b *batch) error {
	slots := int64(min(len(b.records), customersInFlight))
	if err := r.uploadSlots.Acquire(ctx, slots); err != nil {
		return err
	}
	r.uploads.Go(func() error {
		defer r.uploadSlots.Release(slots)
		defer close(b.done)
		b.err = r.send(ctx, b, b.records)
		return nil // commit takes the error, after the batches before this one
	})
	return nil
}

// oldMaxCustomers is the record limit that Voucherify had until August 2024, and that
// some of its hosts may still have.
const oldMaxCustomers = 100

// send sends the records in as few requests as Voucherify takes, and remembers for
// the batches to come how large they may be.
func (r *run) send(ctx context.Context, b *batch, records []record) error {
	if r.settings.DryRun != nil {
		b.answers = append(b.answers, answer{records: records})
		return nil
	}
	customers := make([][]byte, len(records))
	for i, rec := range records {
		customers[i] = rec.json
	}
	id, err := r.voucherify.UpsertCustomers(ctx, customers)
	var refused *voucherify.Error
	switch {
	case err == nil:
		r.log.Debug("customers sent", "customers", len(records), "async_action_id", id)
		accepted := Action{ID: id, Accepted: time.Now().UTC(), Sent: len(records), Resent: r.resending}
		b.answers = append(b.answers, answer{action: accepted, records: records})
		return nil
	case !errors.As(err, &refused):
	case refused.TooManyCustomers() && len(records) > oldMaxCustomers:
		if r.maxRecords.Swap(oldMaxCustomers) > oldMaxCustomers { // other requests may be told so too
			r.log.Warn("Voucherify takes no more than 100 customers at once: using batches of 100 from here on",
				"VOUCHERIFY_BATCH_SIZE", r.settings.BatchSize)
		}
		return r.sendParts(ctx, b, records, oldMaxCustomers)
	case refused.TooLarge() && len(records) > 1:
		half := (len(records) + 1) / 2
		r.maxBytes.Store(min(r.maxBytes.Load(), int64(voucherify.BulkBytes(customers)/2)))
		r.log.Warn("the bulk request is too large: halving it", "customers", len(records),
			"bytes", voucherify.BulkBytes(customers))
		return r.sendParts(ctx, b, records, half)
	case refused.TooLarge():
		b.answers = append(b.answers, answer{records: records, refused: &refusal{"too_large", refused.Error()}})
		return nil
	}
	first, last := records[0].profile.segmentID, records[len(records)-1].profile.segmentID
	return fmt.Errorf("sending %d customers (of %s to %s): %w", len(records), first, last, err)
}

func (r *run) sendParts(ctx context.Context, b *batch, records []record, size int) error {
	for len(records) > 0 {
		n := min(size, len(records))
		if err := r.send(ctx, b, records[:n]); err != nil {
			return err
		}
		records = records[n:]
	}
	return nil
}
