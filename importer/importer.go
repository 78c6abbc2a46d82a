// Package importer copies the profiles of a Segment space into the customers of a
// Voucherify project.
//
//	Segment                                                        Voucherify
//	source ─▶ list ─▶ dispatch ─▶ pages, in order ─▶ fillBatches ─▶ batches, in order ─▶ commit ─▶ reports,
//	                      │              ▲                │                 ▲              ▲       state
//	                      ▼              │                ▼                 │              │
//	                    readProfiles: many at once      uploads: several POSTs           verifier: verdicts on
//	                    external IDs, traits, MapCustomer  at once                       the async actions
//
// Work runs in parallel, results are taken in listing order. That is what makes one
// position enough to continue from: it is the end of the last page all of whose
// customers Voucherify has accepted, and the reports and counts speak of exactly the
// pages before it. They are written first, the state after. A customer may be sent
// twice, after a crash or when the list moved in between; upserts by source_id make that
// harmless.
//
// A page that cannot be read ends the run, but what was listed before it is finished and
// sent first. An accepted customer is not an imported one: the verifier reads what became
// of each async action, and only then is a customer counted as confirmed or rejected. The
// stages, in the order of the data, are in source.go, list.go, read.go (by as many readers
// as readers.go finds useful), batch.go, upload.go, commit.go, verify.go and settle.go.
package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"segsync/importer/mapping"
	"segsync/segmentprofiles"
	"segsync/voucherify"
)

// Beginning is the offset of the first page of the list.
const Beginning = "0"

// ErrStopped is the error of a Run that Stop ended before the end of the list.
var ErrStopped = errors.New("stopped")

// Settings say how to import.
type Settings struct {
	Identifiers []mapping.Identifier // where source_id comes from, in order of preference
	PageSize    int                  // profiles per list page, 1 to 100
	TraitsLimit int                  // traits per request, 1 to 200; further pages are read
	BatchSize   int                  // customers per bulk request
	Readers     int                  // profiles that are read at once, to begin with
	Mapping     mapping.Mapping
	Files       Files
	Profiles    []segmentprofiles.Identifier // import these; nil means the whole list
	CatchUp     bool                         // look again for profiles that moved while the list was read
	Recheck     bool                         // and then read the whole list, not only what was active meanwhile
	Verify      Verify
	MaxRejects  int // stop after more rejected customers; negative: never
	// DryRun gets the customers as lines of JSON, in listing order, instead of
	// Voucherify, to which nothing is sent then. Nil sends them.
	DryRun io.Writer
}

// Importer carries out one import, in one or more runs.
type Importer struct {
	segment    *segmentprofiles.Client
	voucherify *voucherify.Client
	settings   Settings
	log        *slog.Logger

	stopped context.Context
	stop    context.CancelFunc

	idTypes []string // of the external IDs that are read
	include []string // the traits that are read; nil: all

	schema  *mapping.Schema // nil: metadata is sent as it is
	missing sync.Map        // keys that the schema requires and a warning was about

	read  atomic.Int64 // profiles read, committed or not
	saved atomic.Bool  // state is on the disk, not only in memory
	state atomic.Pointer[State]
}

// New returns an Importer that reads from segment and writes to vch. It continues from
// the state: one that was loaded, or a new one, which takes the place of an older one on
// the disk as soon as there is something to save.
func New(segment *segmentprofiles.Client, vch *voucherify.Client, s Settings, state *State, log *slog.Logger) *Importer {
	im := &Importer{segment: segment, voucherify: vch, settings: s, log: log}
	im.include = s.Mapping.Traits()
	for _, id := range s.Identifiers {
		switch {
		case id.Trait == "":
			im.idTypes = append(im.idTypes, id.Type)
		case im.include != nil:
			im.include = append(im.include, id.Trait)
		}
	}
	slices.Sort(im.include)
	im.include = slices.Compact(im.include)
	im.stopped, im.stop = context.WithCancel(context.Background())
	im.state.Store(state)
	im.saved.Store(len(state.Lengths) > 0)
	return im
}

// UseSchema lets metadata have objects where the schema defines them and, if it is strict,
// leaves out what does not fit the schema. It must not be called during a run.
func (im *Importer) UseSchema(s *mapping.Schema, strict bool) {
	im.settings.Mapping.Metadata.Objects = s.Objects()
	if strict {
		im.schema = s
	}
}

// Stop ends the run, and every later one, gently: listing stops, what is being read
// is finished and sent.
func (im *Importer) Stop() { im.stop() }

// State returns what is known of the import so far. It must not be changed.
func (im *Importer) State() *State { return im.state.Load() }

// ProfilesRead returns how many profiles have been read so far, those included whose
// page is not complete yet.
func (im *Importer) ProfilesRead() int { return int(im.read.Load()) }

// Run imports from the position of the state to the end, and waits for the verdict on
// the customers sent. On an error the position is as far along as possible: Voucherify
// has accepted every customer before it. Canceling ctx ends the run at once; see Stop for
// the gentle way.
func (im *Importer) Run(ctx context.Context) error {
	return im.withReports(func(reports *reports) error {
		err := im.importRemaining(ctx, reports)
		if err == nil && im.State().HasFailed() {
			err = im.runPipeline(ctx, reports, func(_ context.Context, r *run) source {
				r.resending = true
				return r.failedActions(im.State())
			})
		}
		return err
	})
}

// Verify waits for the verdict on the customers sent, and imports nothing.
func (im *Importer) Verify(ctx context.Context) error {
	return im.withReports(func(reports *reports) error {
		return im.runPipeline(ctx, reports, func(context.Context, *run) source { return nothing })
	})
}

// withReports calls do with the files of the import, and marks the import as finished if
// it then is.
func (im *Importer) withReports(do func(*reports) error) error {
	if err := prepareDir(im.settings.Files.Dir); err != nil {
		return err
	}
	reports, err := openReports(im.settings.Files)
	if err != nil {
		return err
	}
	defer reports.close()
	state := im.State().clone()
	for i := range state.Actions {
		state.Actions[i].open = false // what a run before this one left open is sent again
	}
	im.state.Store(state)
	if im.saved.Load() {
		if err := reports.cut(state.Lengths); err != nil {
			return err
		}
	}
	if err := do(reports); err != nil {
		return err
	}
	return im.finish()
}

// importRemaining imports what the earlier runs of this import have not listed.
func (im *Importer) importRemaining(ctx context.Context, reports *reports) error {
	if im.State().Position.Done {
		return im.runPipeline(ctx, reports, func(context.Context, *run) source { return nothing })
	}
	known, err := im.openSeen(ctx, im.settings.Files.seenTable, reports.seen)
	if err != nil {
		return err
	}
	defer known.close()
	sources, err := im.openSeen(ctx, im.settings.Files.sourcesTable, reports.sources)
	if err != nil {
		return err
	}
	defer sources.close()
	return im.runPipeline(ctx, reports, func(ctx context.Context, r *run) source {
		r.sources = sources
		return r.remaining(ctx, im.State().Position, known)
	})
}

// openSeen returns a set of what the earlier runs of this import have in the file, with its
// table in another file.
func (im *Importer) openSeen(ctx context.Context, table string, file *appendFile) (*seen, error) {
	n := file.size / slotBytes
	if !im.saved.Load() {
		n = 0 // the file is an older import's
	}
	s, err := newSeen(im.settings.Files.Path(table), n)
	if err != nil {
		return nil, err
	}
	if err := s.fill(ctx, io.NewSectionReader(file.file, 0, n*slotBytes)); err != nil {
		return nil, errors.Join(fmt.Errorf("reading %s: %w", file.file.Name(), err), s.close())
	}
	return s, nil
}

// finish marks the import as finished, unless something is left to do.
func (im *Importer) finish() error {
	state := im.State().clone()
	waiting := len(state.Actions) > 0 && !im.settings.Verify.Off || state.HasFailed()
	if !state.Position.Done || waiting || !state.Unfinished() {
		return nil
	}
	state.Finished = time.Now().UTC()
	state.LastEnded = state.Finished
	// What began after the last one left a gap, which --since last must not pass over. A
	// space that looked empty is nothing to go on from.
	if (state.Counts.Read > 0 || !state.Since.IsZero()) && state.From == Beginning && state.Input == "" && !state.Since.After(state.LastStarted) {
		state.LastStarted = state.Started
	}
	if err := state.save(im.settings.Files.Path(im.settings.Files.State)); err != nil {
		return err
	}
	im.state.Store(state)
	return nil
}

// runPipeline imports the profiles of a source.
func (im *Importer) runPipeline(ctx context.Context, reports *reports, from func(context.Context, *run) source) error {
	g, ctx := errgroup.WithContext(ctx)
	reading, stopReading := context.WithCancel(ctx)
	defer stopReading()
	wanted, unwant := context.WithCancel(reading)
	defer unwant()
	defer context.AfterFunc(im.stopped, unwant)()
	verifying, stopVerifying := context.WithCancel(ctx)
	defer stopVerifying()
	defer context.AfterFunc(im.stopped, stopVerifying)()

	r := &run{
		Importer:      im,
		reports:       reports,
		started:       im.State().Started,
		since:         im.State().Since,
		from:          im.State().From,
		announced:     make(map[string]bool),
		wanted:        wanted,
		unwant:        unwant,
		stopReading:   stopReading,
		stopVerifying: stopVerifying,
		allSent:       make(chan struct{}),
		dispatched:    make(chan struct{}),
		uploads:       g,
		uploadSlots:   semaphore.NewWeighted(customersInFlight),
	}
	r.failedPage.Store(math.MaxInt64)
	r.maxRecords.Store(int64(im.settings.BatchSize))
	r.maxBytes.Store(voucherify.MaxBulkBytes)

	listed := make(chan *page, pagesAhead)
	work := make(chan *profile)
	pages := make(chan *page, im.window())
	batches := make(chan *batch, batchesAhead)
	answered := make(chan *batch, batchesAhead)
	verdicts := make(chan []verdict)

	pagesToList := from(wanted, r)
	g.Go(func() error { r.list(wanted, pagesToList, listed); return nil })
	g.Go(func() error { r.dispatch(reading, listed, work, pages); return nil })
	quit := make(chan struct{})
	startReader := func() {
		g.Go(func() error { r.readProfiles(reading, work, quit); return nil })
	}
	g.Go(func() error { r.keepReaders(reading, im.settings.Readers, startReader, quit); return nil })
	g.Go(func() error { return r.fillBatches(ctx, pages, batches) })
	g.Go(func() error { r.verify(verifying, verdicts); return nil })
	g.Go(func() error { r.inOrder(ctx, batches, answered); return nil })
	g.Go(func() error { return r.commit(ctx, answered, verdicts) })
	err := g.Wait()
	if errors.Is(r.pageErr, ErrStopped) && (err != nil || im.State().Position.Done) {
		return err
	}
	return errors.Join(r.pageErr, err, r.verifyErr)
}

// run is the state that the stages of one pipeline share. Each field has one owner, but
// for the atomics.
type run struct {
	*Importer
	reports   *reports        // of commit
	sentAll   bool            // of commit: no further customer will be sent
	announced map[string]bool // of commit: reasons that were shown
	complete  bool            // of dispatch: the source was read to its end
	pageErr   error           // of fillBatches: why it was not
	verifyErr error           // of verify: why it does not know what became of the customers sent
	started   time.Time
	since     time.Time // import only profiles active after this
	from      string
	resending bool  // customers of failed actions
	sources   *seen // of fillBatches: the source ids sent; nil when resending

	wanted        context.Context // ends when no further page is wanted
	unwant        context.CancelFunc
	stopReading   context.CancelFunc
	stopVerifying context.CancelFunc
	goneInRow     atomic.Int64  // profiles that vanished since one was read
	failedPage    atomic.Int64  // number of the first page that could not be read
	allSent       chan struct{} // closed by commit when no further customer will be sent

	dispatched chan struct{} // closed by dispatch when no further profile will be read

	uploads              *errgroup.Group
	uploadSlots          *semaphore.Weighted
	maxRecords, maxBytes atomic.Int64 // of a batch; they fall when Voucherify says so
}

const (
	// pagesAhead is how many pages are listed before they are needed: enough for a slow
	// answer not to leave the readers idle.
	pagesAhead = 8
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
