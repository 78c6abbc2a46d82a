// Package bulk is the sink that sends customers to Voucherify: bulk requests, several at once, which
// Voucherify queues as async actions and carries out in the order in which it took them.
//
// A request that is refused as too large, or for too many customers, is halved, and the limits
// fall for the batches to come. One that is refused for one of its customers is halved down to a
// hundred; these are sent one by one, which takes ordinary calls: there are far more of those than of
// bulk calls. Ordinary calls overtake the queue, so a customer that may be in it is sent in a bulk
// request of its own.
package bulk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptrace"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"segsync/importer/outcome"
	"segsync/importer/sink"
	"segsync/voucherify"
)

const (
	// inFlight is how many customers may be in bulk requests under way, and maxShare how much of
	// that one request takes at most: it bounds the memory that they take, to twenty requests of
	// 100 customers, or to two of any size. A request with few large customers counts by its bytes.
	inFlight = 2000
	maxShare = inFlight / 2

	oneByOneBelow = 100 // customers of a refused request that are sent one by one
	maxTimeouts   = 3   // how often a request is halved because no answer came in time
	maxBlocked    = 10  // customers that a firewall may refuse before it is found out whether it refuses all

	// margin is kept free of what a bulk request takes.
	margin = 64 << 10
)

// MaxBytes is how many bytes of customers a batch may have.
const MaxBytes = voucherify.MaxBulkBytes - margin

// Sink sends customers. It is for one run.
type Sink struct {
	client *voucherify.Client
	limits *sink.BatchLimits
	stop   context.Context // once it has ended, nothing is retried, and a server error is not the customer's fault
	log    *slog.Logger
	slots  *semaphore.Weighted
	group  *errgroup.Group
	// isQueued reports whether Voucherify may still have a customer with the source id in its queue.
	isQueued func(sourceID string) (bool, error)

	mu       sync.Mutex
	accepted map[string]bool // ids of async actions
	good     []byte          // a customer that Voucherify took

	sent <-chan struct{} // closed once the request of the last batch is on its way; nil: there is none
}

// New returns a sink. Wait must be called after the last Start. The limits fall as Voucherify says so. isQueued
// says of a source id whether an import before this one, or a run before this one, may have sent a customer with it
// that Voucherify has not stored yet.
func New(client *voucherify.Client, limits *sink.BatchLimits, isQueued func(sourceID string) (bool, error), stop context.Context, log *slog.Logger) *Sink {
	return &Sink{
		client: client, limits: limits, isQueued: isQueued, stop: stop, log: log, slots: semaphore.NewWeighted(inFlight),
		group: new(errgroup.Group), accepted: make(map[string]bool),
	}
}

// Wait waits for the requests under way.
func (s *Sink) Wait() { s.group.Wait() }

// Start sends the batch in the background, once enough of the customers in flight have
// been answered. The rest of a quota goes to the first batches, because later ones are sent again without
// them: each batch waits for the quota after the one before.
func (s *Sink) Start(ctx context.Context, b *sink.Batch) error {
	if len(b.Records) == 0 {
		close(b.Done)
		return nil
	}
	slots := int64(min(max(len(b.Records), b.Bytes*maxShare/voucherify.MaxBulkBytes), maxShare))
	needed := slots
	if b.Ordered { // all that was sent before must be answered
		needed = inFlight
	}
	if err := s.slots.Acquire(ctx, needed); err != nil {
		return err
	}
	s.slots.Release(needed - slots)
	before, sent := s.sent, make(chan struct{})
	s.sent = sent
	leave := sync.OnceFunc(func() { close(sent) })
	s.group.Go(func() error {
		defer s.slots.Release(slots)
		defer close(b.Done)
		defer leave()
		if before != nil {
			select {
			case <-before:
			case <-ctx.Done():
			}
		}
		trace := &httptrace.ClientTrace{GetConn: func(string) { leave() }} // called when it is sent
		b.Err = s.send(httptrace.WithClientTrace(ctx, trace), b.Records, 0)
		for _, r := range b.Records {
			r.Customer = nil // its memory is for the next ones
		}
		return nil
	})
	return nil
}

// send sends the customers in as few requests as Voucherify takes. timeouts is how often they were in
// a request that was halved because no answer came.
func (s *Sink) send(ctx context.Context, records []*sink.Record, timeouts int) error {
	id, err := s.client.UpsertCustomers(ctx, customersOf(records))
	if err == nil {
		return s.accept(records, id)
	}
	half := (len(records) + 1) / 2
	var late interface{ TimedOut() bool }
	refused, isRefused := errors.AsType[*voucherify.Error](err)
	switch {
	case errors.As(err, &late) && late.TimedOut() && len(records) > 1 && timeouts < maxTimeouts && ctx.Err() == nil:
		s.log.Warn("Voucherify did not answer a bulk request in time: halving it", "customers", len(records))
		sink.Lower(&s.limits.Records, half)
		return s.sendParts(ctx, records, half, timeouts+1)
	case isRefused && refused.TooManyCustomers() && len(records) > 1:
		return s.sendFewer(ctx, records, refused, timeouts)
	case isRefused && refused.TooLarge() && len(records) > 1:
		bytes := voucherify.BulkBytes(customersOf(records))
		sink.Lower(&s.limits.Bytes, bytes/2)
		s.log.Warn("the bulk request is too large: halving it", "customers", len(records), "bytes", bytes)
		return s.sendParts(ctx, records, half, timeouts)
	case isRefused && refused.TooLarge():
		refuse(records[0], "too_large", refused)
		return nil
	case !s.isOfRecord(err) && !isBlocked(err):
	case len(records) > oneByOneBelow:
		return s.sendParts(ctx, records, half, timeouts)
	default:
		text := "Voucherify refuses a bulk request for one of its customers: sending them one by one"
		if isBlocked(err) {
			text = "a bulk request was blocked, as by a firewall: sending its customers one by one"
		}
		s.log.Warn(text, "customers", len(records), "cause", err)
		return s.sendOneByOne(ctx, records)
	}
	return fmt.Errorf("sending %d customers (of %s to %s): %w", len(records), records[0].ID, records[len(records)-1].ID, err)
}

func customersOf(records []*sink.Record) [][]byte {
	customers := make([][]byte, len(records))
	for i, r := range records {
		customers[i] = r.Customer
	}
	return customers
}

// accept notes that Voucherify has queued the customers.
func (s *Sink) accept(records []*sink.Record, id string) error {
	s.mu.Lock()
	twice := s.accepted[id]
	s.accepted[id], s.good = true, records[0].Customer
	s.mu.Unlock()
	if twice {
		return fmt.Errorf("two bulk requests got the same async action, %s: it cannot tell which customers were imported", id)
	}
	s.log.Debug("customers sent", "customers", len(records), "async_action_id", id)
	action := sink.Action{ID: id, Accepted: time.Now().UTC(), Sent: len(records)}
	for _, r := range records {
		r.Outcome, r.Action = outcome.Sent, action
	}
	return nil
}

// sendFewer sends the customers in requests of as many as Voucherify takes.
func (s *Sink) sendFewer(ctx context.Context, records []*sink.Record, refused *voucherify.Error, timeouts int) error {
	const usual = 100 // the limit that was documented until August 2024
	size := refused.MaxCustomers()
	if size < 1 || size >= len(records) {
		size = usual
	}
	if size >= len(records) {
		size = (len(records) + 1) / 2
	}
	if sink.Lower(&s.limits.Records, size) { // other requests may be told so too
		s.log.Warn("Voucherify takes fewer customers at once: using smaller batches from here on", "customers", size)
	}
	return s.sendParts(ctx, records, size, timeouts)
}

func (s *Sink) sendParts(ctx context.Context, records []*sink.Record, size, timeouts int) error {
	for len(records) > 0 {
		n := min(size, len(records))
		if err := s.send(ctx, records[:n], timeouts); err != nil {
			return err
		}
		records = records[n:]
	}
	return nil
}

// sendOneByOne sends each customer by a request of its own. Those that Voucherify stores at once are
// confirmed by their own answers.
func (s *Sink) sendOneByOne(ctx context.Context, records []*sink.Record) error {
	var blocked []error // by a firewall
	for _, r := range records {
		err := s.sendOne(ctx, r)
		refused, isRefused := errors.AsType[*voucherify.Error](err)
		switch {
		case err == nil:
			continue
		case s.isOfRecord(err) || isRefused && refused.TooLarge():
			refuse(r, cmp.Or(refused.Key, "refused"), refused)
			continue
		case !isBlocked(err):
			return fmt.Errorf("sending the customer of %s: %w", r.ID, err)
		}
		refuse(r, "blocked", err)
		if blocked = append(blocked, fmt.Errorf("sending the customer of %s: %w", r.ID, err)); len(blocked) == maxBlocked {
			if err := s.checkFirewall(ctx, blocked[0]); err != nil {
				return err
			}
		}
	}
	if len(blocked) > 0 {
		return s.checkFirewall(ctx, blocked[0])
	}
	return nil
}

// checkFirewall returns the refusal of a firewall if that lets no customer through, and nil if it does.
func (s *Sink) checkFirewall(ctx context.Context, refusal error) error {
	err := s.CheckAccepts(ctx)
	if errors.Is(err, sink.ErrNoneAccepted) || isBlocked(err) {
		return refusal
	}
	return err
}

func (s *Sink) sendOne(ctx context.Context, r *sink.Record) error {
	isQueued := r.SentBefore
	if !isQueued {
		var err error
		if isQueued, err = s.isQueued(r.SourceID); err != nil {
			return err
		}
	}
	if isQueued {
		id, err := s.client.UpsertCustomers(ctx, [][]byte{r.Customer})
		if err != nil {
			return err
		}
		return s.accept([]*sink.Record{r}, id)
	}
	if err := s.client.UpsertCustomer(ctx, r.Customer); err != nil {
		return err
	}
	r.Outcome = outcome.Confirmed
	s.mu.Lock()
	s.good = r.Customer
	s.mu.Unlock()
	return nil
}

// isOfRecord reports whether one of the records caused the error: Voucherify refuses it, or fails on it
// repeatedly while it answers other requests.
func (s *Sink) isOfRecord(err error) bool {
	answer, ok := errors.AsType[*voucherify.Error](err)
	return ok && (answer.OfRecords() || answer.Status >= 500 && s.stop.Err() == nil)
}

// isBlocked reports whether the request was blocked, as by a firewall, perhaps for what a record holds: by a page of its
// own, or by cutting the connection each time, while other requests have answers.
func isBlocked(err error) bool {
	if answer, ok := errors.AsType[*voucherify.Error](err); ok {
		return answer.OfFirewall()
	}
	var cut interface{ OthersAnswered() bool }
	return errors.As(err, &cut) && cut.OthersAnswered()
}

// refuse marks the record as rejected.
func refuse(r *sink.Record, reason string, err error) {
	r.Outcome, r.Why = outcome.Rejected, outcome.Why{Reason: reason, Detail: err.Error()}
	if answer, ok := errors.AsType[*voucherify.Error](err); ok {
		r.ServerError, r.Why.RequestID = answer.Status >= 500, answer.RequestID
	}
}

// CheckAccepts sends a customer again that Voucherify took before.
func (s *Sink) CheckAccepts(ctx context.Context) error {
	s.mu.Lock()
	good := s.good
	s.mu.Unlock()
	if good == nil {
		return sink.ErrNoneAccepted
	}
	return s.client.UpsertCustomer(ctx, good)
}
