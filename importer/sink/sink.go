// Package sink is the seam between the pipeline and the destination of its customers. The packages
// below it implement it: bulk, ndjson and plan.
package sink

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"segsync/importer/outcome"
)

// A Sink delivers batches and records an outcome for each customer.
type Sink interface {
	// Start begins to deliver the batch. It is called in the order of the batches, and may
	// return before the batch is delivered: then b.Done is closed once each record has its
	// outcome, or b.Err is set. An error of Start ends the run.
	Start(ctx context.Context, b *Batch) error
	// CheckAccepts returns an error if the sink takes no customer at all. Then many refusals in a row are an
	// outage.
	CheckAccepts(ctx context.Context) error
	// Wait waits for the batches that are being delivered.
	Wait()
}

// ErrNoneAccepted is the error of CheckAccepts where the sink has taken no customer yet.
var ErrNoneAccepted = errors.New("no customer has been accepted yet")

// Batch is what one bulk request carries.
type Batch struct {
	Records []*Record
	Bytes   int // of the customers' JSON, with separators
	// Ordered says that the batch must not overtake earlier ones, because one of its customers was sent before.
	Ordered bool
	// Others are the source ids of profiles that are not sent, for a plan.
	Others []string

	Done chan struct{}
	Err  error // valid once Done is closed
}

// Record is a customer that is being delivered, and its outcome.
type Record struct {
	ID       string // of the profile
	SourceID string
	Customer []byte // JSON; the sink drops it once it is delivered
	Before   int    // profiles that the run had read before it
	Outcome  outcome.Outcome
	Why      outcome.Why
	Action   Action // of Outcome Sent
	// SentBefore says that this import has sent a customer with the SourceID in an earlier batch.
	SentBefore bool
	// ServerError says that the refusal was an answer of 500 or above, which comes only after
	// many attempts.
	ServerError bool
}

// Action is an async action that Voucherify accepted.
type Action struct {
	ID       string    `json:"id"`
	Accepted time.Time `json:"accepted"`
	Sent     int       `json:"sent"` // records in the request
}

// A Confirmer checks the status of async actions.
type Confirmer interface {
	// Poll returns a verdict on each of the open actions that has ended. Those that cannot be checked in this
	// run are in lost, and are not polled again. An error says that no action could be checked.
	Poll(ctx context.Context, open []Action) (verdicts []Verdict, lost []Action, err error)
}

// Verdict is the result of an async action that has ended.
type Verdict struct {
	ActionID  string
	RequestID string
	Failed    string               // why the action as a whole failed, or ""
	Rejected  map[string]Rejection // by source_id
	Unnamed   int                  // customers rejected beyond those
}

// Rejection is why Voucherify rejected a customer.
type Rejection struct{ Reason, Detail string }

// BatchLimits bound a batch. The sink lowers them when Voucherify takes less at once.
type BatchLimits struct{ Records, Bytes atomic.Int64 }

// NewBatchLimits returns limits of so many records and bytes.
func NewBatchLimits(records, bytes int) *BatchLimits {
	l := new(BatchLimits)
	l.Records.Store(int64(records))
	l.Bytes.Store(int64(bytes))
	return l
}

// IsFull reports whether a batch of so many records and bytes must be sent before a customer of
// more bytes can be added.
func (l *BatchLimits) IsFull(records, bytes, more int) bool {
	return records > 0 && (records >= int(l.Records.Load()) || bytes+more+len("[,]") > int(l.Bytes.Load()))
}

// Lower lowers a limit, and reports whether it was higher.
func Lower(limit *atomic.Int64, to int) bool {
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

// A partial batch is sent once so many profiles were read, or so much time has passed, since its
// first customer came: until then no position behind that customer is safe.
const (
	PartialProfiles = 100_000
	PartialAge      = 15 * time.Minute
)
