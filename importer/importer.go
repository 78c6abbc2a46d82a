// Package importer copies profiles into the customers of a Voucherify project.
//
//	SOURCE                              BATCHER                SINK                      COMMITTER
//	list ─▶ readers: external IDs, ─▶   complete pages,  ─▶    several bulk requests ─▶  batches in order ─▶ journal:
//	        traits, mapping;            in order, into         at once; or a dry run     verdicts            reports first,
//	        many profiles at once       batches                       │                     ▲                then the state
//	                                                                  ▼                     │
//	                                                            async actions ─────▶ VERIFIER
//
// Where the profiles come from a file or a warehouse (Settings.From), there are no readers:
// the source yields complete pages, with their customers.
//
// Work runs in parallel, results are taken in the order of the source. That is what makes
// one position enough to continue from: it is the end of the last page all of whose
// customers Voucherify has accepted. A customer may be sent twice, after a crash or when
// the list moved in between; upserts by source_id make that harmless.
//
// A page that cannot be read ends the run, but what was listed before it is finished and
// sent first. A profile that cannot be read, or a customer that Voucherify refuses, ends
// nothing: it is noted as outstanding, and tried again by later imports. An accepted
// customer is not an imported one: the verifier reads what became of each async action,
// and only then is a customer counted as confirmed or rejected.
//
// # Goroutines
//
//	goroutine          started in        ends when                                   it closes
//	parse              ahead             the file ends, or no more is wanted         waiting
//	list               readPages         the listing ends, or no more is wanted      listed
//	dispatch           readPages         listed is closed, or no more is wanted      work, inOrder
//	readers            readPages         work is closed                              p.done, of pages
//	batcher.run        Importer.carry    the source ends                             feed.batches
//	uploads            uploader.start    their requests are answered                 b.done, of batches
//	verifier.run       Importer.carry    all is sent and settled, or its time is up  verdicts
//	committer.run      Importer.carry    feed.batches and verdicts are closed
//
// All of them end with the context of the run, which the first error of one cancels.
package importer

import (
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"segsync/importer/journal"
	"segsync/importer/mapping"
	"segsync/segmentprofiles"
	"segsync/voucherify"
)

// Beginning is the offset of the first page of the list.
const Beginning = journal.Beginning

// ErrStopped is the error of a Run that Stop ended before the end of the list.
var ErrStopped = errors.New("stopped")

// Settings say how to import.
type Settings struct {
	Identifiers []mapping.Identifier // where source_id comes from, in order of preference
	Mapping     mapping.Mapping
	PageSize    int // profiles per list page, 1 to 100
	TraitsLimit int // traits per request, 1 to 200; further pages are read
	BatchSize   int // customers per bulk request
	Readers     int // profiles that are read at once
	// Profiles are imported instead of the whole list, if it is not nil.
	Profiles []segmentprofiles.Identifier
	// From is where the profiles come from, nil for the Profile API. With it Profiles,
	// CatchUp and Recheck are not used, and neither is the client of Segment, which may be nil.
	From    Origin
	CatchUp bool // look again for profiles that moved while the list was read
	Recheck bool // and then read the whole list, not only what was active meanwhile
	Limit   int  // end after so many profiles, besides those tried again; 0: no limit
	// RetryOutstanding first tries again what earlier imports could not import.
	RetryOutstanding bool
	Verify           Verify
	MaxRejects       int // stop after more rejected customers; negative: never
	// MaxClears is how many customers of a run a field may be cleared in; negative: 5 % of
	// the customers sent, and 100 at least.
	MaxClears int
	// DryRun gets the customers as lines of JSON, in order, instead of Voucherify, to which
	// nothing is sent then. Nil sends them.
	DryRun io.Writer
	// Plan compares the customers with those of Voucherify, instead of sending them. Nil
	// sends them.
	Plan *Plan
	// Whole reads all external IDs and traits of a profile, whatever the mapping needs.
	Whole bool
}

// Importer carries out one import, in one or more runs.
type Importer struct {
	segment    *segmentprofiles.Client
	voucherify *voucherify.Client
	settings   Settings
	journal    *journal.Journal
	log        *slog.Logger
	converter  *converter
	fetcher    *fetcher
	existing   *Existing    // see SendOnlyChanges
	limited    atomic.Int64 // profiles that count for Settings.Limit, of complete pages

	stopped context.Context
	stop    context.CancelFunc
}

// New returns an Importer that reads from segment, writes to vch, and keeps account in the
// journal.
func New(segment *segmentprofiles.Client, vch *voucherify.Client, s Settings, j *journal.Journal, log *slog.Logger) *Importer {
	im := &Importer{segment: segment, voucherify: vch, settings: s, journal: j, log: log}
	im.stopped, im.stop = context.WithCancel(context.Background())
	im.converter = &converter{mapping: s.Mapping, log: log}
	im.fetcher = &fetcher{
		segment: segment, identifiers: s.Identifiers, traitsLimit: s.TraitsLimit,
		given: s.Profiles != nil, convert: im.converter, stopped: im.stopped,
	}
	im.fetcher.idTypes, im.fetcher.include = needed(s.Identifiers, s.Mapping)
	im.fetcher.needIDs = len(s.Mapping.ExternalIDTypes()) > 0
	if s.Whole {
		im.fetcher.whole, im.fetcher.idTypes, im.fetcher.include = true, nil, nil
	}
	if s.Plan != nil {
		im.converter.coverage = s.Plan.begin(s)
	}
	return im
}

// UseSchema lets metadata have objects where the schema defines them and, if it is strict,
// leaves out what does not fit the schema. It must not be called during a run.
func (im *Importer) UseSchema(s *mapping.Schema, strict bool) {
	im.converter.mapping.Metadata.Objects = s.Objects()
	if strict {
		im.converter.schema = s
	}
}

// SendOnlyChanges leaves out the customers that Voucherify has as they would be sent. It must
// not be called during a run, and existing must stay open.
func (im *Importer) SendOnlyChanges(existing *Existing) { im.existing = existing }

// Stop ends the run, and every later one, gently: listing stops, what is being read
// is finished and sent.
func (im *Importer) Stop() { im.stop() }

// UntilStopped returns a context that Stop ends, too.
func (im *Importer) UntilStopped(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	keep := context.AfterFunc(im.stopped, cancel)
	return ctx, func() { keep(); cancel() }
}

// State returns what is known of the import so far. It must not be changed.
func (im *Importer) State() *journal.State { return im.journal.State() }

// Complete reports whether all profiles of the source were read: then a source id that none
// of them has is one that the source does not have.
func (im *Importer) Complete() bool {
	s, state := im.settings, im.State()
	some := s.Profiles != nil || s.Limit > 0 || state.From != Beginning || !state.Since.IsZero()
	return !some && state.Position.Done && state.Position.Pass <= maxPasses && state.Count(journal.Unreadable) == 0
}

// ProfilesRead returns how many profiles have been read so far, those included whose
// page is not complete yet.
func (im *Importer) ProfilesRead() int { return int(im.fetcher.read.Load()) }

// Run imports from the position of the state to the end, and waits for the verdict on
// the customers sent. On an error the position is as far along as possible: Voucherify
// has accepted every customer before it. Canceling ctx ends the run at once; see Stop for
// the gentle way.
func (im *Importer) Run(ctx context.Context) error {
	return im.withJournal(func() error {
		im.fetcher.reset()
		err := im.importAll(ctx)
		var gone *GoneError
		if errors.As(err, &gone) {
			err = errors.Join(err, im.journal.Doubt())
		}
		return err
	})
}

func (im *Importer) importAll(ctx context.Context) error {
	if err := im.importRest(ctx); err != nil {
		return err
	}
	if err := im.again(ctx, aside(im.journal, im.settings.PageSize), false); err != nil {
		return err
	}
	if err := im.fetcher.watchAllGone(ctx); err != nil {
		return err
	}
	failed, err := failedActions(im.journal)
	if err != nil {
		return err
	}
	return im.again(ctx, failed, true)
}

// Verify waits for the verdict on the customers sent, and imports nothing.
func (im *Importer) Verify(ctx context.Context) error {
	return im.withJournal(func() error { return im.carry(ctx, nothing, nil, false) })
}

// nothing is a source without profiles.
func nothing(context.Context, context.Context) iter.Seq2[*page, error] {
	return func(func(*page, error) bool) {}
}

// withJournal calls do with the journal open, and marks the import as finished if it then
// is.
func (im *Importer) withJournal(do func() error) (err error) {
	if err := im.journal.Start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, im.journal.Close()) }()
	for _, path := range im.journal.Edited {
		im.log.Warn("a report was changed since the import wrote it: it is kept as it is, and some of its lines may come twice", "file", path)
	}
	if n := im.journal.Dropped; n > 0 {
		im.log.Warn("what was outstanding of the import before is not tried again: that was of another space, or into another project", "profiles", n)
	}
	if err := do(); err != nil {
		return err
	}
	return im.journal.Finish(!im.settings.Verify.Off)
}

// importRest imports what the earlier runs of this import have not read.
func (im *Importer) importRest(ctx context.Context) error {
	state := im.State()
	if state.Position.Done {
		return im.carry(ctx, nothing, nil, false)
	}
	known, err := im.journal.Profiles(ctx)
	if err != nil {
		return err
	}
	defer known.Close()
	sources, err := im.journal.Sources(ctx)
	if err != nil {
		return err
	}
	defer sources.Close()
	var retry []journal.Record
	if im.settings.RetryOutstanding {
		retry = im.journal.Outstanding()
	}
	return im.carry(ctx, func(ctx, wanted context.Context) iter.Seq2[*page, error] {
		first := outstanding(retry, im.settings.PageSize, state.Position, known)
		if im.settings.From != nil {
			return im.settings.From.rest(wanted, im.intake(known), first)
		}
		return im.read(ctx, wanted, func(wanted context.Context) listing { return concat(first, im.rest(wanted, state, known)) })
	}, sources, false)
}

// rest lists the profiles that are still to be imported from the position of the state.
func (im *Importer) rest(ctx context.Context, state *journal.State, known *journal.Profiles) listing {
	if im.settings.Profiles != nil {
		return given(im.settings.Profiles, im.settings.PageSize, state.Position, im.limit(), known)
	}
	l := &lister{
		segment: im.segment, pageSize: im.settings.PageSize, catchUp: im.settings.CatchUp && state.From == Beginning,
		recheck: im.settings.Recheck, since: state.Since, started: state.Started, limit: im.limit(), known: known, log: im.log,
		resumed: !state.AtStart() && state.Position.Pass == 0,
	}
	if state.AtStart() { // Segment's clock says when it begins
		l.started = time.Time{}
	}
	return l.pages(ctx, state.Position)
}

// LimitLeft returns how many profiles Settings.Limit still allows.
func (im *Importer) LimitLeft() int { return im.settings.Limit - int(im.limited.Load()) }

// limit returns how many profiles this run may list, nil for all.
func (im *Importer) limit() *limit {
	if im.settings.Limit <= 0 {
		return nil
	}
	return &limit{im.LimitLeft()}
}

// read reads the profiles of a listing.
func (im *Importer) read(ctx, wanted context.Context, pages func(wanted context.Context) listing) iter.Seq2[*page, error] {
	if im.settings.From != nil {
		return im.settings.From.fill(wanted, im.intake(nil), pages(wanted))
	}
	// Enough for a page that is held up by a slow answer not to hold up the others.
	window := 2 + 10*im.settings.Readers/im.settings.PageSize
	return readPages(ctx, wanted, pages, im.settings.Readers, window, im.fetcher.profile)
}

// again reads and sends profiles a second time. resends says that they are customers of
// failed actions.
func (im *Importer) again(ctx context.Context, pages listing, resends bool) error {
	empty := true
	for range pages {
		empty = false
		break
	}
	if empty {
		return nil
	}
	sources, err := im.journal.Sources(ctx)
	if err != nil {
		return err
	}
	defer sources.Close()
	return im.carry(ctx, func(ctx, wanted context.Context) iter.Seq2[*page, error] {
		return im.read(ctx, wanted, func(context.Context) listing { return pages })
	}, sources, resends)
}

// How many batches may be under way between the one that is being filled and the one that is
// being committed: as many as have so many customers, so that memory does not grow with the
// size of the batches.
const (
	customersAhead = 3200
	mostAhead      = 32
)

func batchesAhead(batchSize int) int { return min(max(customersAhead/max(batchSize, 1), 1), mostAhead) }

// carry takes the profiles of a source through the program.
func (im *Importer) carry(ctx context.Context, from source, sources *journal.Sources, resends bool) error {
	g, ctx := errgroup.WithContext(ctx)
	wanted, unwant := context.WithCancel(ctx)
	defer unwant()
	defer context.AfterFunc(im.stopped, unwant)()
	verifying, stopVerifying := context.WithCancel(ctx)
	defer stopVerifying()
	defer context.AfterFunc(im.stopped, stopVerifying)()

	out := &feed{batches: make(chan *batch, batchesAhead(im.settings.BatchSize))}
	cut, allSent := newCutter(im.settings), make(chan struct{})
	b := &batcher{
		cutter: cut, sources: sources, clears: newClears(im.settings.MaxClears, im.State()), existing: im.existing,
		sink: im.sink(g, cut.limits, resends), out: out,
	}
	v := newVerifier(im.voucherify, im.settings.Verify, im.State, allSent, im.log)
	c := &committer{
		journal: im.journal, maxRejects: im.settings.MaxRejects, limited: &im.limited, log: im.log, announced: make(map[string]bool),
		impersonal: im.settings.Plan != nil,
		in:         out, verdicts: v.verdicts,
		onSent: func() {
			if out.err != nil {
				stopVerifying() // the next run takes its actions up
				return
			}
			im.sayWaiting()
			close(allSent)
		},
	}
	var unverified error
	g.Go(func() error { return b.run(ctx, wanted, from(ctx, wanted)) })
	g.Go(func() error { unverified = v.run(verifying); return nil })
	g.Go(func() error { return c.run(ctx) })
	err := g.Wait()
	if out.err == ErrStopped && (err != nil || im.State().Position.Done) {
		return err
	}
	if unverified != nil {
		unverified = &VerifyError{unverified}
	}
	return errors.Join(out.err, err, unverified)
}

// sayWaiting says what is waited for once everything is sent.
func (im *Importer) sayWaiting() {
	if n := im.State().Unconfirmed(); n > 0 && !im.settings.Verify.Off {
		im.log.Info("everything is sent; waiting for Voucherify to confirm", "customers", n)
	}
}

func (im *Importer) sink(g *errgroup.Group, l *limits, resends bool) sink {
	if im.settings.DryRun != nil {
		return &dryRun{im.settings.DryRun}
	}
	if im.settings.Plan != nil {
		return im.settings.Plan
	}
	accepted := &acceptedIDs{ids: make(map[string]bool)}
	for _, a := range im.State().Actions {
		accepted.add(a.ID)
	}
	return &uploader{
		client: im.voucherify, group: g, slots: semaphore.NewWeighted(customersInFlight), limits: l,
		stopped: im.stopped, resends: resends,
		log: im.log, accepted: accepted,
	}
}

// acceptedIDs are the ids of the async actions that Voucherify gave.
type acceptedIDs struct {
	mu  sync.Mutex
	ids map[string]bool
}

// add reports whether the id is new.
func (a *acceptedIDs) add(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ids[id] {
		return false
	}
	a.ids[id] = true
	return true
}
