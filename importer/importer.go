// Package importer copies the profiles of a Segment space into the customers of a
// Voucherify project.
//
//	Segment                                                        Voucherify
//	list ──▶ dispatch ──▶ pages, in listing order ──▶ batch ──▶ batches, in order ──▶ commit
//	             │                   ▲                  │                 ▲             │
//	             ▼                   │                  ▼                 │             ▼
//	           read: many profiles at once            upload: several POSTs at once   reports,
//	           external IDs, traits, MapCustomer                                      offset
//
// Work runs in parallel, results are taken in listing order. That is what makes one
// number, the offset, enough to resume: it is the end of the last page all of whose
// customers Voucherify has accepted, and the reports and counts speak of exactly the
// pages before it. A customer may be sent twice, after a crash or when the list moved
// in between; upserts by source_id make that harmless.
//
// A page that cannot be read ends the run, but what was listed before it is finished
// and sent first. The stages, in the order of the data, are in list.go, read.go,
// batch.go and commit.go.
package importer

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"segsync/segmentprofiles"
	"segsync/voucherify"
)

// Beginning is the offset of the first page of the list.
const Beginning = "0"

// ErrStopped is the error of a Run that Stop ended before the end of the list.
var ErrStopped = errors.New("stopped")

// Settings say how to import.
type Settings struct {
	Identifier  string // type of the external ID that becomes source_id
	PageSize    int    // profiles per list page, 1 to 100
	TraitsLimit int    // traits per request, 1 to 200; further pages are read
	BatchSize   int    // customers per bulk request
	Readers     int    // profiles that are read at once
	Dir         string // where the reports go
	Mapping     Mapping
}

// Importer imports profiles, and counts them over all of its runs.
type Importer struct {
	segment    *segmentprofiles.Client
	voucherify *voucherify.Client
	settings   Settings
	log        *slog.Logger

	stopped context.Context
	stop    context.CancelFunc

	read   atomic.Int64 // profiles read, committed or not
	mu     sync.Mutex
	counts Counts
}

// Counts say what became of the profiles of the committed pages: Read is the sum of
// Sent, WithoutIdentifier, NotImported and Merged.
type Counts struct {
	Read              int // profiles
	Sent              int // customers that Voucherify accepted, which is not yet imported
	WithoutIdentifier int // profiles that were not sent for lack of a source_id
	NotImported       int // profiles that vanished, or that Voucherify refused
	Merged            int // profiles whose source_id an earlier one of the same batch has
	InvalidBirthdates int // customers sent with birthdate null
}

func (c *Counts) add(d Counts) {
	c.Read += d.Read
	c.Sent += d.Sent
	c.WithoutIdentifier += d.WithoutIdentifier
	c.NotImported += d.NotImported
	c.Merged += d.Merged
	c.InvalidBirthdates += d.InvalidBirthdates
}

// New returns an Importer that reads from segment and writes to vch.
func New(segment *segmentprofiles.Client, vch *voucherify.Client, s Settings, log *slog.Logger) *Importer {
	im := &Importer{segment: segment, voucherify: vch, settings: s, log: log}
	im.stopped, im.stop = context.WithCancel(context.Background())
	return im
}

// Stop ends the run, and every later one, gently: listing stops, what is being read
// is finished and sent.
func (im *Importer) Stop() { im.stop() }

// Counts returns the counts of the pages committed so far.
func (im *Importer) Counts() Counts {
	im.mu.Lock()
	defer im.mu.Unlock()
	return im.counts
}

// ProfilesRead returns how many profiles have been read so far, those included whose
// page is not committed yet.
func (im *Importer) ProfilesRead() int { return int(im.read.Load()) }

// Run imports from the offset to the end of the list. It returns the offset to resume
// from, which is as far along as possible whatever the error: Voucherify has accepted
// every customer before it. Canceling ctx ends the run at once; see Stop for the
// gentle way.
func (im *Importer) Run(ctx context.Context, offset string) (resume string, err error) {
	reports, err := openReports(im.settings.Dir)
	if err != nil {
		return offset, err
	}
	defer reports.close()

	g, ctx := errgroup.WithContext(ctx)
	reading, stopReading := context.WithCancel(ctx)
	defer stopReading()
	wanted, unwant := context.WithCancel(reading)
	defer unwant()
	defer context.AfterFunc(im.stopped, unwant)()

	r := &run{
		Importer:    im,
		reports:     reports,
		fresh:       offset == Beginning,
		offset:      offset,
		wanted:      wanted,
		unwant:      unwant,
		stopReading: stopReading,
		uploads:     g,
		uploadSlots: semaphore.NewWeighted(customersInFlight),
	}
	r.failedPage.Store(math.MaxInt64)
	r.maxRecords.Store(int64(im.settings.BatchSize))
	r.maxBytes.Store(voucherify.MaxBulkBytes)

	listed := make(chan *page, pagesAhead)
	work := make(chan *profile)
	pages := make(chan *page, im.window())
	batches := make(chan *batch, batchesAhead)

	g.Go(func() error { r.list(wanted, offset, listed); return nil })
	g.Go(func() error { r.dispatch(reading, listed, work, pages); return nil })
	for range im.settings.Readers {
		g.Go(func() error { r.readProfiles(reading, work); return nil })
	}
	g.Go(func() error { return r.fillBatches(ctx, pages, batches) })
	g.Go(func() error { return r.commit(ctx, batches) })
	err = g.Wait()
	switch {
	case r.offset == "": // past the last page
		return "", nil
	case err != nil && errors.Is(r.pageErr, ErrStopped):
		return r.offset, err
	}
	return r.offset, errors.Join(r.pageErr, err)
}

// run is the state that the stages of one Run share. Each field has one owner, but
// for the atomics.
type run struct {
	*Importer
	reports *reports // of commit
	fresh   bool     // of commit: start the reports anew
	offset  string   // of commit: the safe offset
	pageErr error    // of fillBatches: why the list was not read to its end

	wanted      context.Context // ends when no further page is wanted
	unwant      context.CancelFunc
	stopReading context.CancelFunc
	failedPage  atomic.Int64 // number of the first page that could not be read

	uploads              *errgroup.Group
	uploadSlots          *semaphore.Weighted
	maxRecords, maxBytes atomic.Int64 // of a batch; they fall when Voucherify says so
}

const (
	// pagesAhead is how many pages are listed before they are needed.
	pagesAhead = 2
	// batchesAhead is how many batches may be under way between the one that is
	// being filled and the one that is being committed.
	batchesAhead = 32
	// customersInFlight is how many customers may be in bulk requests under way. It
	// bounds the memory that they take: many requests of 100 customers, or one of
	// more than that.
	customersInFlight = 2000
)

// window is how many pages may be between their first reader and the batcher: enough
// for a page that is held up by a slow answer not to hold up the others.
func (im *Importer) window() int {
	return 2 + 10*im.settings.Readers/im.settings.PageSize
}
