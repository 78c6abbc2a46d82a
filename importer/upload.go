package importer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"segsync/importer/journal"
	"segsync/voucherify"
)

const (
	// customersInFlight is how many customers may be in bulk requests under way, and
	// largestShare how much of that one request takes at the most: it bounds the memory
	// that they take, to twenty requests of 100 customers, or to two of any size. A request
	// with few large customers counts by its bytes.
	customersInFlight = 2000
	largestShare      = customersInFlight / 2

	// isolateBelow is the size down to which a batch that Voucherify refuses is halved.
	// Then its customers are sent one by one, which takes ordinary calls: there are far
	// more of those than of bulk calls.
	isolateBelow = 100
	// maxRefusedInRow is how many customers one after the other may be refused until it is
	// taken for a matter of the requests.
	maxRefusedInRow = 10
	// maxFailedInRow is the same for answers of 500 and above, each of which comes only after
	// many attempts.
	maxFailedInRow = 3
	// maxTimeouts is how often a batch is halved because no answer came in time.
	maxTimeouts = 3
)

// RefusedError is the error of a run in which Voucherify refused many customers in a row.
type RefusedError struct {
	Customers int
	Err       error // of the last one
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("Voucherify has refused %d customers in a row; the last: %s", e.Customers, e.Err)
}

func (e *RefusedError) Unwrap() error { return e.Err }

// uploader is the sink that sends customers to Voucherify, several batches at once.
type uploader struct {
	client   *voucherify.Client
	group    *errgroup.Group // of the run
	slots    *semaphore.Weighted
	limits   *limits
	stopped  context.Context // ends when the run is to end gently: nothing is tried again then
	resends  bool            // customers of failed actions are sent a second time
	log      *slog.Logger
	accepted *acceptedIDs

	sent         <-chan struct{} // closed once the request of the last batch is on its way; nil: there is none
	refusedInRow atomic.Int64
}

// start sends the batch in the background, once enough of the customers in flight have
// been answered. What is left of a quota goes to the batches that come first, without which
// the later ones are sent again: each joins the line when the one before has left it.
func (u *uploader) start(ctx context.Context, b *batch) error {
	if len(b.records) == 0 {
		close(b.done)
		return nil
	}
	slots := int64(min(max(len(b.records), b.bytes*largestShare/voucherify.MaxBulkBytes), largestShare))
	wanted := slots
	if b.after { // Voucherify carries requests out in the order in which it took them
		wanted = customersInFlight
	}
	if err := u.slots.Acquire(ctx, wanted); err != nil {
		return err
	}
	u.slots.Release(wanted - slots)
	before, sent := u.sent, make(chan struct{})
	u.sent = sent
	leave := sync.OnceFunc(func() { close(sent) })
	u.group.Go(func() error {
		defer u.slots.Release(slots)
		defer close(b.done)
		defer leave()
		if before != nil {
			select {
			case <-before:
			case <-ctx.Done():
			}
		}
		trace := &httptrace.ClientTrace{GetConn: func(string) { leave() }} // called when it is sent
		b.err = u.send(httptrace.WithClientTrace(ctx, trace), b.records, 0)
		for _, p := range b.records {
			p.customer = nil // its memory is for the next ones
		}
		return nil // the committer takes the error, after the batches before this one
	})
	return nil
}

// send sends the customers in as few requests as Voucherify takes, and remembers for the
// batches to come how large they may be. timeouts is how often they were in a request that
// was halved because no answer came.
func (u *uploader) send(ctx context.Context, records []*profile, timeouts int) error {
	id, err := u.client.UpsertCustomers(ctx, customersOf(records))
	if err == nil {
		return u.accept(records, id)
	}
	var refused *voucherify.Error
	var late interface{ TimedOut() bool }
	switch {
	case errors.As(err, &late) && late.TimedOut() && len(records) > 1 && timeouts < maxTimeouts && ctx.Err() == nil:
		u.log.Warn("Voucherify did not answer a bulk request in time: halving it", "customers", len(records))
		u.lower(&u.limits.records, (len(records)+1)/2)
		return u.sendParts(ctx, records, (len(records)+1)/2, timeouts+1)
	case !errors.As(err, &refused):
	case refused.TooManyCustomers() && len(records) > 1:
		return u.sendFewer(ctx, records, refused, timeouts)
	case refused.TooLarge() && len(records) > 1:
		u.lower(&u.limits.bytes, voucherify.BulkBytes(customersOf(records))/2)
		u.log.Warn("the bulk request is too large: halving it", "customers", len(records),
			"bytes", voucherify.BulkBytes(customersOf(records)))
		return u.sendParts(ctx, records, (len(records)+1)/2, timeouts)
	case refused.TooLarge():
		return u.refuse(records[0], "too_large", refused)
	case u.concerns(refused) && len(records) > isolateBelow:
		return u.sendParts(ctx, records, (len(records)+1)/2, timeouts)
	case u.concerns(refused):
		u.log.Warn("Voucherify refuses a bulk request for one of its customers: sending them one by one",
			"customers", len(records), "cause", refused.Error())
		return u.sendOneByOne(ctx, records)
	}
	first, last := records[0].SegmentID, records[len(records)-1].SegmentID
	return fmt.Errorf("sending %d customers (of %s to %s): %w", len(records), first, last, err)
}

func customersOf(records []*profile) [][]byte {
	customers := make([][]byte, len(records))
	for i, p := range records {
		customers[i] = p.customer
	}
	return customers
}

// accept notes that Voucherify has queued the customers.
func (u *uploader) accept(records []*profile, id string) error {
	if !u.accepted.add(id) {
		return fmt.Errorf("two bulk requests got the same async action, %s: what becomes of their customers cannot be told", id)
	}
	u.log.Debug("customers sent", "customers", len(records), "async_action_id", id)
	action := journal.Action{ID: id, Accepted: time.Now().UTC(), Sent: len(records), Resent: u.resends}
	for _, p := range records {
		p.Outcome, p.Action = journal.Unconfirmed, action
	}
	u.refusedInRow.Store(0)
	return nil
}

// sendFewer sends the customers in requests of as many as Voucherify takes.
func (u *uploader) sendFewer(ctx context.Context, records []*profile, refused *voucherify.Error, timeouts int) error {
	const usual = 100 // the limit that was documented until August 2024
	most := refused.MaxCustomers()
	if most < 1 || most >= len(records) {
		most = usual
	}
	if most >= len(records) {
		most = (len(records) + 1) / 2
	}
	if u.lower(&u.limits.records, most) { // other requests may be told so too
		u.log.Warn("Voucherify takes fewer customers at once: using smaller batches from here on", "customers", most)
	}
	return u.sendParts(ctx, records, most, timeouts)
}

// lower lowers a limit, and reports whether it was higher.
func (u *uploader) lower(limit *atomic.Int64, to int) bool {
	for {
		now := limit.Load()
		if now <= int64(to) {
			return false
		}
		if limit.CompareAndSwap(now, int64(to)) {
			return true
		}
	}
}

func (u *uploader) sendParts(ctx context.Context, records []*profile, size, timeouts int) error {
	for len(records) > 0 {
		n := min(size, len(records))
		if err := u.send(ctx, records[:n], timeouts); err != nil {
			return err
		}
		records = records[n:]
	}
	return nil
}

// sendOneByOne upserts each customer by a request of its own. The ones that Voucherify
// takes are confirmed by their own answers.
func (u *uploader) sendOneByOne(ctx context.Context, records []*profile) error {
	for _, p := range records {
		err := u.client.UpsertCustomer(ctx, p.customer)
		var refused *voucherify.Error
		switch {
		case err == nil:
			p.Outcome = journal.Confirmed
			u.refusedInRow.Store(0)
		case errors.As(err, &refused) && (u.concerns(refused) || refused.TooLarge()):
			if err := u.refuse(p, cmp.Or(refused.Key, "refused"), refused); err != nil {
				return err
			}
		default:
			return fmt.Errorf("sending the customer of %s: %w", p.SegmentID, err)
		}
	}
	return nil
}

// concerns reports whether an answer is a matter of the records in the request: Voucherify
// refuses one of them, or fails because of it, again and again, while it answers others.
func (u *uploader) concerns(answer *voucherify.Error) bool {
	return answer.OfRecords() || answer.Status >= 500 && u.stopped.Err() == nil
}

// refuse gives the profile the outcome of a customer that Voucherify does not take, unless it
// takes none.
func (u *uploader) refuse(p *profile, reason string, answer *voucherify.Error) error {
	if n := u.refusedInRow.Add(1); n > maxRefusedInRow || answer.Status >= 500 && n > maxFailedInRow {
		return &RefusedError{int(n), answer}
	}
	p.Outcome = journal.Rejected
	p.Why = journal.Why{Reason: reason, Detail: answer.Error(), RequestID: answer.RequestID}
	return nil
}
