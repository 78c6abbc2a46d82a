package importer_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"segsync/importer"
	"segsync/importer/journal"
	"segsync/importer/mapping"
	"segsync/importer/metadata"
	"segsync/importer/outcome"
	"segsync/importer/sink"
	"segsync/importer/sink/bulk"
	"segsync/importer/sink/ndjson"
	"segsync/importer/sink/plan"
	"segsync/importer/source"
	"segsync/importer/source/idlist"
	"segsync/importer/source/profileapi"
	"segsync/internal/httpretry"
	"segsync/internal/pgtest"
	"segsync/internal/sandbox"
	"segsync/internal/sandboxtest"
	"segsync/segmentprofiles"
	"segsync/voucherify"
)

func TestMain(m *testing.M) {
	code := pgtest.Main(m)
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// thorough reports whether the tests go through all of their cases, and not through a sample.
func thorough() bool { return os.Getenv("SEGSYNC_THOROUGH") != "" }

// seeds returns how many seeds to try: all, or a sample.
func seeds(all, sample uint64) uint64 {
	if thorough() {
		return all
	}
	return sample
}

// settings say how a world is imported.
type settings struct {
	Identifiers                  []mapping.Identifier
	Mapping                      mapping.Mapping
	PageSize, BatchSize, Readers int
	Limit                        int
	CatchUp, Recheck, Whole      bool
	RetryEarlier                 bool
	Profiles                     []segmentprofiles.Identifier // given one by one
	Source                       func(q settings, s *journal.State, limit int) source.Source
	DryRun                       io.Writer
	Plan                         *plan.Plan
	Existing                     *plan.Existing
	Verify                       importer.Verify
	MaxRejects, MaxClears        int
	SegmentRetries, SinkRetries  bool // a httpretry.Transport stands between the client and the sandbox
	VoucherifyQuota              bool // and keeps Voucherify's quota
}

// world is an import and what it reads from and writes to, without a network.
type world struct {
	*sandboxtest.World
	t        testing.TB
	settings settings
	names    journal.Names
	log      bytes.Buffer
	mu       sync.Mutex // for what rules share
}

type (
	answerWriter = http.ResponseWriter
	request      = *http.Request
)

func newWorld(t testing.TB, o sandbox.Options) *world {
	return &world{World: sandboxtest.New(o), t: t, names: journal.NewNames(t.TempDir(), ""), settings: settings{
		Identifiers: []mapping.Identifier{{Type: "user_id"}},
		Mapping:     mapping.Default(),
		PageSize:    10,
		BatchSize:   20,
		Readers:     4,
		Verify:      importer.Verify{Interval: 30 * time.Second, Timeout: 10 * time.Minute},
		MaxRejects:  -1,
		MaxClears:   -1,
	}}
}

func identity() journal.Identity {
	return journal.Identity{Space: "spa_sandbox", Identifier: "user_id"}
}

// identity is that of an import with the world's identifiers.
func (w *world) identity() journal.Identity {
	id := identity()
	var names []string
	for _, identifier := range w.settings.Identifiers {
		names = append(names, identifier.String())
	}
	id.Identifier = strings.Join(names, ",")
	return id
}

// from begins a new import at the offset, "" for the beginning, whatever is in the directory.
func from(offset string) journal.Start {
	return journal.Start{Identity: identity(), Mode: journal.Discard, Offset: offset}
}

// next begins the import of the next night: all profiles, and after them what is outstanding.
func next() journal.Start { return journal.Start{Identity: identity(), Mode: journal.StartNew} }

// process is an import in one process, put together as cmd/segsync does it.
type process struct {
	w       *world
	start   journal.Start
	journal *journal.Journal
	mapper  *importer.Mapper
	options importer.Options
	segment *segmentprofiles.Client
	vch     *voucherify.Client
	stopped context.Context
	stop    context.CancelFunc
	hasRun  bool
}

// importer returns an import that continues what the directory has, or begins anew, as a new
// process would.
func (w *world) importer() *process {
	w.t.Helper()
	return w.importerOf(journal.Start{Identity: w.identity(), Mode: journal.Resume, Confirm: !w.settings.Verify.Off})
}

// importerOf returns an import that begins, or goes on, as start says.
func (w *world) importerOf(start journal.Start) *process {
	w.t.Helper()
	p := &process{w: w, start: start}
	p.open(start.Mode)
	p.stopped, p.stop = context.WithCancel(context.Background())
	set, log := w.settings, slog.New(slog.NewTextHandler(&w.log, nil))
	p.mapper = &importer.Mapper{Identifiers: set.Identifiers, Mapping: set.Mapping, Log: log}
	p.options = importer.Options{
		Limits: sink.NewBatchLimits(set.BatchSize, bulk.MaxBytes), RetryEarlier: set.RetryEarlier, Existing: set.Existing,
		Verify: set.Verify, MaxRejects: set.MaxRejects, MaxClears: set.MaxClears, Progress: new(importer.Progress), Log: log,
	}
	if set.DryRun != nil || set.Plan != nil {
		p.options.Verify.Off = true
	}
	var segment, vch http.RoundTripper = w, w
	if set.SegmentRetries {
		segment = httpretry.New(httpretry.Options{API: "Segment", Base: w})
	}
	if set.SinkRetries {
		vch = httpretry.New(httpretry.Options{API: "Voucherify", Base: w, Quota: voucherify.QuotaOf, ReadQuota: voucherify.ReadQuota, IsFinal: voucherify.IsFinal})
	}
	p.segment, _ = sandboxtest.Clients(w.t, segment, sandboxtest.NoNetwork)
	_, p.vch = sandboxtest.Clients(w.t, vch, sandboxtest.NoNetwork)
	return p
}

func (p *process) open(mode journal.Mode) {
	p.w.t.Helper()
	p.start.Mode = mode
	j, _, err := journal.Open(p.w.names, p.start)
	if err != nil {
		p.w.t.Fatal(err)
	}
	p.journal = j
}

func (p *process) State() *journal.State { return p.journal.State() }

func (p *process) Stop() { p.stop() }

func (p *process) ProfilesRead() int { return int(p.options.Progress.Read.Load()) }

// UseSchema reads the project's schema, and makes metadata fit it if fits is true.
func (p *process) UseSchema(fits bool) {
	p.w.t.Helper()
	schema, err := p.vch.MetadataSchema(p.w.t.Context(), "customer")
	if err != nil {
		p.w.t.Fatal(err)
	}
	if fits {
		p.mapper.UseSchema(metadata.NewSchema(schema))
	} else {
		p.mapper.Mapping.Metadata.Objects = metadata.NewSchema(schema).Objects()
	}
}

// source returns the source of a run.
func (p *process) source() source.Source {
	set, state := p.w.settings, p.State()
	limit := 0
	if set.Limit > 0 {
		limit = set.Limit - int(p.options.Progress.Committed.Load())
	}
	if set.Source != nil {
		return set.Source(set, state, limit)
	}
	o := profileapi.Options{
		PageSize: set.PageSize, Readers: set.Readers, CatchUp: set.CatchUp && state.From == "", Recheck: set.Recheck, Limit: limit,
		Since: state.Since, ClockBehind: state.Before.ClockBehind, Learned: state.Before.Position, Log: p.options.Log,
	}
	o.Fields = profileapi.Fields{Identifiers: set.Identifiers, TraitsLimit: 200, NeedIDs: len(set.Mapping.ExternalIDTypes()) > 0}
	o.Fields.IDTypes, o.Fields.Traits = source.FieldsNeeded(set.Identifiers, set.Mapping)
	if set.Profiles != nil {
		return idlist.New(p.segment, set.Profiles, o)
	}
	return profileapi.New(p.segment, o)
}

// Run runs the import. A second run of the same process goes on with it.
func (p *process) Run(ctx context.Context) error {
	p.reopen()
	var to sink.Sink
	switch {
	case p.w.settings.DryRun != nil:
		to = ndjson.New(p.w.settings.DryRun)
	case p.w.settings.Plan != nil:
		to = p.w.settings.Plan
	default:
		to = bulk.New(p.vch, p.options.Limits, p.journal.IsQueued, p.stopped, p.options.Log)
	}
	return importer.Run(ctx, p.stopped, p.source(), p.mapper, to, bulk.NewConfirmer(p.vch, p.options.Log), p.journal, p.options)
}

// Verify waits for the verdict on what was sent.
func (p *process) Verify(ctx context.Context) error {
	p.reopen()
	return importer.Confirm(ctx, p.stopped, bulk.NewConfirmer(p.vch, p.options.Log), p.journal, p.options)
}

func (p *process) reopen() {
	if !p.hasRun {
		p.hasRun = true
		return
	}
	mode := p.start.Mode
	if p.journal.IsSaved() {
		mode = journal.ContinueAny
	}
	p.open(mode)
}

// offset is where the import stopped: "" for its end.
func (p *process) offset() string {
	at := p.State().Position
	switch {
	case at.Done:
		return ""
	case at.Tail:
		return at.String()
	}
	return cmp.Or(at.At, "0")
}

// run runs the import, and returns the offset that it has reached.
func run(ctx context.Context, im *process) (offset string, err error) {
	err = im.Run(ctx)
	return im.offset(), err
}

// finished runs the import to its end and returns its state.
func (w *world) finished(start journal.Start) *journal.State {
	w.t.Helper()
	im := w.importerOf(start)
	if err := im.Run(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.wantConfirmed(im, im.State().Counts.Read())
	return im.State()
}

// savedState returns the state on the disk, or nil.
func (w *world) savedState() *journal.State {
	w.t.Helper()
	state, err := journal.Load(w.names)
	if err != nil {
		w.t.Fatal(err)
	}
	return state
}

// counts are the counts of an import in a form that tests compare.
type counts struct {
	Read, Confirmed, Rejected, Unreadable, Unconfirmed, WithoutIdentifier, Vanished, Merged, Filtered, Unchanged, WouldSend int
	Birthdates, Late                                                                                                        int
}

func countsOf(s *journal.State) counts {
	return counts{
		Read: s.Counts.Read(), Birthdates: s.Details.Birthdates, Late: s.Details.Late,
		Confirmed: s.Count(outcome.Confirmed), Rejected: s.Count(outcome.Rejected), Unreadable: s.Count(outcome.Unreadable),
		Unconfirmed: s.Count(outcome.Unconfirmed), WithoutIdentifier: s.Count(outcome.WithoutIdentifier),
		Vanished: s.Count(outcome.Vanished), Merged: s.Count(outcome.Merged), Filtered: s.Count(outcome.Filtered),
		Unchanged: s.Count(outcome.Unchanged), WouldSend: s.Count(outcome.WouldSend),
	}
}

// wantCountsOf compares the counts of an import.
func (w *world) wantCountsOf(s *journal.State, want counts) {
	w.t.Helper()
	if diff := gocmp.Diff(want, countsOf(s)); diff != "" {
		w.t.Errorf("counts (-want +got):\n%s", diff)
	}
}

// wantComplete checks that the project has exactly the customers of the space, and that the reports
// have each of the other profiles once, in the order of the list.
func (w *world) wantComplete() {
	w.t.Helper()
	w.wantCustomers(len(w.Profiles()))
	w.wantReports(len(w.Profiles()))
}

// wantCustomers checks that the project has exactly the customers of the first n profiles. Of those
// that several profiles share only the presence is checked.
func (w *world) wantCustomers(n int) {
	w.t.Helper()
	if diff := w.Customers(w.Profiles()[:n], w.settings.Mapping); diff != "" {
		w.t.Errorf("customers (-want +got):\n%.2000s", diff)
	}
}

// wantReports checks that the reports speak of exactly the first n profiles.
func (w *world) wantReports(n int) {
	w.t.Helper()
	var wantTxt, gotTxt []string
	wantRows := map[string][]string{}
	for _, e := range w.Profiles()[:n] {
		switch {
		case e.Vanished:
			wantRows[e.SegmentID] = []string{"", "vanished"}
		case e.SourceID == "":
			wantTxt = append(wantTxt, e.SegmentID)
		}
	}
	for line := range strings.Lines(w.report(w.names.WithoutIdentifier)) {
		gotTxt = append(gotTxt, strings.TrimSuffix(line, "\n"))
	}
	if diff := gocmp.Diff(wantTxt, gotTxt); diff != "" {
		w.t.Errorf("profiles without identifier (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff(wantRows, w.rows()); diff != "" {
		w.t.Errorf("not imported (-want +got):\n%s", diff)
	}
}

// rows returns source_id and reason of each row of not-imported.csv by segment id.
func (w *world) rows() map[string][]string {
	w.t.Helper()
	rows := map[string][]string{}
	for _, row := range w.notImported() {
		if rows[row[0]] != nil && row[0] != "" {
			w.t.Errorf("%s has two lines", row[0])
		}
		rows[row[0]] = row[1:3]
	}
	return rows
}

// notImported returns the rows of not-imported.csv without the header.
func (w *world) notImported() [][]string {
	w.t.Helper()
	rows, err := csv.NewReader(strings.NewReader(w.report(w.names.NotImported))).ReadAll()
	if err != nil {
		w.t.Fatal(err)
	}
	return rows[min(1, len(rows)):]
}

func (w *world) report(name string) string {
	w.t.Helper()
	data, err := os.ReadFile(w.names.Path(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Fatal(err)
	}
	return string(data)
}

// wantCounts checks that the counts are those of n profiles, and that the state on the disk is
// that in memory.
func (w *world) wantCounts(im *process, n int) {
	w.t.Helper()
	state := im.State()
	if state.Counts.Read() != n {
		w.t.Errorf("counts of %d profiles, want %d: %+v", state.Counts.Read(), n, countsOf(state))
	}
	saved := w.savedState()
	if saved == nil && n == 0 {
		return
	}
	if diff := gocmp.Diff(summaryOf(w.t, state), summaryOf(w.t, saved)); diff != "" {
		w.t.Errorf("the state in memory and on the disk (-memory +disk):\n%s", diff)
	}
}

// summaryOf is what the log must keep of a state.
func summaryOf(t testing.TB, s *journal.State) string {
	t.Helper()
	data, err := json.MarshalIndent(map[string]any{
		"import": s.Import, "began": s.Began, "position": s.Position, "counts": countsOf(s), "actions": s.Actions, "details": s.Details,
		"outstanding": s.Outstanding, "before": s.Before, "finished": s.Finished, "unconfirmed": s.Unconfirmed(),
	}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// wantConfirmed checks that the import has come to its end: each of n profiles has an outcome, and
// none is waited for.
func (w *world) wantConfirmed(im *process, n int) {
	w.t.Helper()
	w.wantCounts(im, n)
	state := im.State()
	if state.IsUnfinished() || !state.Position.Done || len(state.Actions) != 0 {
		w.t.Errorf("not finished: %+v", state)
	}
}

// files returns the files of the import, as a crash at this instant would leave them. The log is
// written while they are read: a part of what follows its last commit may be missing.
func (w *world) files() map[string]string {
	w.t.Helper()
	all := map[string]string{}
	root := os.DirFS(w.names.Dir)
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // it may be gone by now
		}
		if data, err := fs.ReadFile(root, name); err == nil {
			all[name] = string(data)
		}
		return nil
	})
	if err != nil {
		w.t.Error(err)
	}
	return all
}

// restore makes the directory hold these files and no others.
func (w *world) restore(files map[string]string) {
	w.t.Helper()
	if err := os.RemoveAll(w.names.Dir); err != nil {
		w.t.Error(err)
	}
	for name, data := range files {
		path := w.names.Path(name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(data), 0o600)); err != nil {
			w.t.Error(err)
		}
	}
	if err := os.MkdirAll(w.names.Dir, 0o700); err != nil {
		w.t.Error(err)
	}
}
