// Package importer is the pipeline that takes profiles from a source to a sink.
//
//	SOURCE                       BATCHER                      SINK                      COMMITTER
//	complete pages, in order ─▶  mapping, then batches  ─▶    several bulk requests ─▶  batches in order ─▶ journal
//	with the Position            across pages, each           at once; or a dry run,    verdicts
//	behind them                  source_id once               or a plan                     ▲
//	                                                                │                       │
//	                                                          async actions ─────────▶  VERIFIER
//
// Work runs in parallel, results are taken in the order of the source. That is what makes
// one position enough to continue from: it is the end of the last page all of whose
// customers Voucherify has accepted. A customer may be sent twice, after a crash or when
// the list moved in between; upserts by source_id make that harmless.
//
// A page that cannot be read ends the run, but what was listed before it is finished and
// sent first. A profile that cannot be read, or a customer that Voucherify refuses, ends
// nothing: it is outstanding, and is read again at the end of this import or of a later one
// (retries). An accepted customer is not an imported one: the verifier polls each
// async action, and its result confirms or rejects the customer.
//
// # Goroutines
//
// Run starts three for each pipeline, and waits for them: the batcher closes batches, the verifier
// closes verdicts, and the committer ends when both are closed. The sources and the bulk sink have
// goroutines of their own, and wait for them. All of them end with the context of the run, which
// the first error of one cancels. The context stop ends only the source: what was read is finished.
package importer

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"segsync/importer/journal"
	"segsync/importer/sink"
	"segsync/importer/sink/plan"
	"segsync/importer/source"
)

// ErrStopped is the error of a Run that stop ended before the end of the source.
var ErrStopped = errors.New("stopped")

// Options say how to import.
type Options struct {
	Limits *sink.BatchLimits
	// RetryEarlier reads again the outstanding profiles of earlier imports.
	RetryEarlier bool
	Existing     *plan.Existing // unchanged customers are left out; nil: none are
	// Unsettled are the ids of async actions of the log that had not ended when Existing was taken:
	// their customers are sent in any case.
	Unsettled  []string
	Verify     Verify
	MaxRejects int // stop after more rejected customers; negative: never
	// MaxClears is how many customers of an import may have a field sent as null. Negative: only fields
	// that the mapping clears count, up to ClearsAllowed.
	MaxClears  int
	Impersonal bool // the log shows no source_id: of a plan
	LogValues  bool // the log shows the values that could not be used
	Progress   *Progress
	Log        *slog.Logger
}

// Progress counts what a run has done. It may be read while the run goes on.
type Progress struct {
	Read      atomic.Int64 // profiles of complete pages
	Committed atomic.Int64 // profiles that count for a limit: not those that were read again
}

// maxRounds bounds how often profiles are read again: each round may find that a profile which
// others were merged into is not imported.
const maxRounds = 4

// Run imports the profiles after the position of the journal, then those to be read again, and waits until
// the customers sent are confirmed. On an error the position is as far along as possible: Voucherify has
// accepted every customer before it. Canceling ctx ends the run at once; canceling stop finishes the
// profiles that were read.
func Run(ctx, stop context.Context, src source.Source, m *Mapper, snk sink.Sink, confirmer sink.Confirmer, j *journal.Journal, o Options) (err error) {
	if err := j.Start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	if err := j.MarkSending(o.Unsettled); err != nil {
		return err
	}
	if n := j.Dropped; n > 0 {
		o.Log.Warn("what was outstanding of the import before is not tried again: it belongs to another space or project", "profiles", n)
	}
	m.countNulls = o.MaxClears >= 0
	r := &run{src, m, snk, confirmer, j, o}
	defer snk.Wait()
	err = r.pipeline(ctx, stop, r.allPages)
	if err == nil {
		err = r.checkAllGone(ctx)
	}
	if _, ok := errors.AsType[*source.NoneReadableError](err); ok {
		return errors.Join(err, j.MarkVanishedUnreadable())
	}
	if err != nil {
		return err
	}
	for range maxRounds {
		ids := j.Retries(o.RetryEarlier)
		if len(ids) == 0 {
			break
		}
		err := r.pipeline(ctx, stop, func(ctx, stop context.Context) iter.Seq2[*page, error] {
			return r.retryPages(ctx, stop, ids, j.State().Position)
		})
		if errors.Is(err, source.ErrReadOnce) {
			break
		}
		if err != nil {
			return err
		}
	}
	if stop.Err() != nil && j.State().NeedsResend() {
		return ErrStopped // the next run sends them
	}
	if j.State().Position.Done {
		if err := j.GiveUp("it could not be sent again"); err != nil {
			return err
		}
	}
	return j.Finish()
}

// Confirm waits until the customers sent are confirmed, and imports nothing.
func Confirm(ctx, stop context.Context, confirmer sink.Confirmer, j *journal.Journal, o Options) (err error) {
	if err := j.Start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	r := &run{confirmer: confirmer, journal: j, Options: o}
	nothing := func(context.Context, context.Context) iter.Seq2[*page, error] {
		return func(func(*page, error) bool) {}
	}
	if err := r.pipeline(ctx, stop, nothing); err != nil {
		return err
	}
	return j.Finish()
}

// run is one run of an import.
type run struct {
	source    source.Source
	mapper    *Mapper
	sink      sink.Sink
	confirmer sink.Confirmer
	journal   *journal.Journal
	Options
}

// page is a page of profiles in the pipeline.
type page struct {
	*source.Page
	isRetry  bool // its profiles were read before, and could not be imported
	profiles []*profile
}

// profile is a profile of a page, its customer and its outcome.
type profile struct {
	sink.Record
	entry journal.Entry
	page  *page
}

// allPages yields the pages of the source, and then pages of the outstanding profiles of earlier imports.
func (r *run) allPages(ctx, stop context.Context) iter.Seq2[*page, error] {
	return func(yield func(*page, error) bool) {
		at := r.journal.State().Position
		if !at.Done {
			for p, err := range r.source.Pages(ctx, stop, at, r.journal) {
				if err != nil {
					yield(nil, err)
					return
				}
				at = p.After
				if !yield(&page{Page: p}, nil) {
					return
				}
			}
		}
		if !at.Done || !r.RetryEarlier || stop.Err() != nil {
			return
		}
		for p, err := range r.retryPages(ctx, stop, r.journal.Retries(true), at) {
			if !yield(p, err) {
				return
			}
		}
	}
}

// retryPages yields profiles that are read again. The position does not move.
func (r *run) retryPages(ctx, stop context.Context, ids []string, at source.Position) iter.Seq2[*page, error] {
	return func(yield func(*page, error) bool) {
		if len(ids) == 0 {
			return
		}
		for p, err := range r.source.Lookup(ctx, stop, ids) {
			if err != nil {
				yield(nil, err)
				return
			}
			p.After = at
			for _, profile := range p.Profiles {
				r.journal.Add(profile.ID)
			}
			if !yield(&page{Page: p, isRetry: true}, nil) {
				return
			}
		}
	}
}

// Bounds of the batches that wait between the batcher and the committer.
const (
	customersAhead  = 3200
	maxBatchesAhead = 32
)

// pipeline imports pages.
func (r *run) pipeline(ctx, stop context.Context, pages func(ctx, stop context.Context) iter.Seq2[*page, error]) error {
	g, ctx := errgroup.WithContext(ctx)
	stop, stopSource := context.WithCancel(stop)
	defer stopSource()
	defer context.AfterFunc(ctx, stopSource)()
	verifying, stopVerifying := context.WithCancel(ctx)
	defer stopVerifying()
	defer context.AfterFunc(stop, stopVerifying)()

	ahead := min(max(customersAhead/max(int(r.Limits.Records.Load()), 1), 1), maxBatchesAhead)
	b := &batcher{run: r, batches: make(chan *batch, ahead), clears: newClearLimiter(r.MaxClears, r.journal.State())}
	allSent := make(chan struct{})
	v := &verifier{run: r, allSent: allSent, verdicts: make(chan []sink.Verdict), done: make(map[string]bool)}
	c := &committer{
		run: r, announced: make(map[string]bool), batches: b.batches, verdicts: v.verdicts,
		onSent: func() {
			if b.err != nil {
				stopVerifying() // the next run takes its actions up
				return
			}
			if n := r.journal.State().Unconfirmed(); n > 0 && !r.Verify.Off {
				r.Log.Info("everything is sent; waiting for Voucherify to confirm", "customers", n)
			}
			close(allSent)
		},
	}
	var unverified error
	g.Go(func() error { return b.fill(ctx, stop, pages(ctx, stop)) })
	g.Go(func() error { unverified = v.watch(verifying); return nil })
	g.Go(func() error { return c.commitAll(ctx) })
	err := g.Wait()
	if b.err == ErrStopped && (err != nil || r.journal.State().Position.Done) {
		return err
	}
	if unverified != nil {
		unverified = &VerifyError{unverified}
	}
	return errors.Join(b.err, err, unverified)
}

// Verify says whether and how to check the status of the customers sent.
type Verify struct {
	Off      bool
	Interval time.Duration // the longest time between two polls
	Timeout  time.Duration // how long to go on polling once everything is sent
}
