package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"strings"
	"time"

	"segsync/importer/coverage"
	"segsync/importer/journal"
	"segsync/importer/outcome"
	"segsync/importer/sink/plan"
	"segsync/importer/source/profileapi"
	"segsync/internal/report"
	"segsync/internal/term"
)

// PlanOptions are those of segsync plan.
type PlanOptions struct {
	Import   ImportOptions
	Sample   int // the first profiles only; 0: all
	Show     int // customers of each kind, with their personal data
	JSON     bool
	Orphans  string // a file for the source ids that only Voucherify has
	OwnedBy  string // a condition on these, see ParseCondition; "" for none
	Existing string // a file with an export of the customers
	ExitCode bool   // ExitChanges where something would be created, changed or cleared
}

// Plan carries out segsync plan.
func Plan(ctx context.Context, out *term.Output, stdin io.Reader, o *PlanOptions) error {
	if err := checkFrom(o.Import.Settings.From); err != nil {
		return err
	}
	a, err := Connect(out, o.Import.Settings, o.Import.Wait)
	if err != nil {
		return err
	}
	defer a.Close()
	in, err := OpenInput(ctx, a.Settings, o.Import.Settings.From, o.Import.Choose.ProfilesFrom, stdin, o.Import.Wait, out.Log)
	if err != nil {
		return err
	}
	if err := checkOrphans(a, in, o); err != nil {
		return err
	}
	if o.Orphans != "" { // it must not speak of an earlier plan where this one fails
		if err := os.Remove(o.Orphans); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Usage(fmt.Errorf("--orphans: %w", err))
		}
	}
	i := watchInterrupts(ctx, out, "interrupted", in.stop)
	defer i.close()
	r, err := makePlan(i, out, a, in, o)
	if code := i.exitCode(); code != ExitDone {
		return &Error{Code: code}
	}
	if r != nil && o.JSON {
		err = errors.Join(err, out.Out.JSON(r))
	} else if r != nil {
		r.Print(out.Out)
	}
	if err != nil {
		return &Error{CodeOf(err), err}
	}
	if o.ExitCode && (r.Differs() || r.IsDoubtful()) {
		return exitWith(ExitChanges)
	}
	return nil
}

// makePlan reads the profiles and compares their customers. It may return a report with an error.
func makePlan(i *interrupts, out *term.Output, a *APIs, in *Input, o *PlanOptions) (_ *report.Plan, err error) {
	dir, err := os.MkdirTemp("", "segsync-plan-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	start := journal.Start{Identity: identity(a, in), Mode: journal.Discard, DryRun: true, AnySender: true}
	if since := o.Import.Choose.Since; since != "" {
		start.Since, _ = ParseSince(since, time.Now()) // it was checked
	}
	if err := checkSender(o.Import.Dir, start.Identity, a.IsSandbox); err != nil {
		return nil, err
	}
	j, _, err := journal.Open(journal.NewNames(dir, ""), start)
	if err != nil {
		return nil, err
	}
	b := newJob(out, a, in, &opened{Journal: j, start: start}, &o.Import)
	b.options.MaxRejects, b.options.MaxClears, b.options.Impersonal = -1, math.MaxInt, true
	b.options.RetryEarlier, b.options.Verify.Off, b.limit = false, true, o.Sample
	b.list = profileapi.Options{
		CatchUp: o.Sample == 0,
		Recheck: o.Orphans != "", // also for profiles that others which were deleted pushed past the reader
		Fields:  profileapi.Fields{Whole: o.Sample > 0},
	}
	if b.schema, err = a.ReadSchema(i.stop, out.Log, true); err != nil {
		return nil, err
	}
	existing, err := b.existing(i.stop, o)
	if err != nil {
		return nil, err
	}
	if existing != nil {
		defer existing.Close()
		confirmed, err := journal.ReadConfirmed(journal.NewNames(o.Import.Dir, ""), start.Identity)
		if err != nil {
			return nil, Usage(advise(err))
		}
		existing.Trust(confirmed.Has)
	}
	b.plan = plan.New(existing, a.Voucherify, b.schema, o.Show, b.options.Limits, o.Import.Send.CompareAll)
	b.mapper.Coverage = coverage.NewCounter(a.Settings.Mapping)
	return runPlan(i, b, existing, o)
}

// runPlan runs the plan and makes its report.
func runPlan(i *interrupts, b *job, existing *plan.Existing, o *PlanOptions) (*report.Plan, error) {
	r := &result{job: b, options: &o.Import, began: time.Now(), extent: knownExtent(b)}
	if b.out.IsTerminal() && o.Sample == 0 {
		r.extent.count(i.ctx, b)
		if n := r.extent.remaining(b); n > 0 && b.input.isAPI() {
			set := b.apis.Settings
			b.out.Err.Linef("%s, %s at %g requests/s; --sample 200 takes seconds", term.Count(n, "profile"),
				report.About(durationOf(set, requestsFor(set, n, requestsEach(set)))), set.Segment.Rate)
		}
	}
	began, before := time.Now(), b.apis.ToSegment.Stats().Requests
	stopProgress := showProgress(i.ctx, r)
	err := b.run(i.ctx, i.stop)
	stopProgress(err == nil)
	if err != nil {
		return nil, err
	}
	took := time.Since(began)
	asked, err := b.plan.Finish(i.ctx)
	if err != nil {
		return nil, err
	}
	s, set := b.opened.State(), b.apis.Settings
	p := report.NewPlan(s, b.plan, b.mapper.Coverage.Coverage(), report.PlanFacts{
		SampleCommand: o.Import.Settings.SampleCommand(o.Import.Dir),
		From:          b.input.describe(b.apis), To: describeTarget(b.apis, false), MappingFile: set.MappingFile, Mapping: set.Mapping,
		Reserve: set.Voucherify.Reserve, ReadsAllTypes: o.Sample > 0 && b.input.isAPI(), BatchAdvice: CallsSaved(s.Count(outcome.WouldSend), set.Voucherify.BatchSize),
	})
	p.Asked = report.Asked{Asked: asked}
	if o.Sample > 0 {
		p.Sample = &report.Sample{Profiles: s.Counts.Read()}
	} else {
		p.Estimate = &report.Estimate{SegmentRequests: b.apis.ToSegment.Stats().Requests - before, PerSecond: set.Segment.Rate, Took: took}
	}
	isPartial := b.input.Profiles != nil || o.Sample > 0 || !s.Since.IsZero() || !s.Position.Done || s.Count(outcome.Unreadable) > 0
	switch {
	case o.Orphans != "":
		n, err := b.writeOrphans(i.ctx, existing, o, isPartial)
		if err != nil {
			return p, fmt.Errorf("--orphans: %w; the file is not written", err)
		}
		p.Counts.OnlyInVoucherify = &n
	case existing != nil && !isPartial:
		n := existing.Unseen()
		p.Counts.OnlyInVoucherify = &n
	}
	return p, nil
}

// CheckSender returns an error if the last import of the directory sent its customers under another
// identifier or to another project than these settings name.
func CheckSender(a *APIs, dir string) error {
	return checkSender(dir, identity(a, new(Input)), a.IsSandbox)
}

// checkSender refuses a plan under another identifier than the last import of the directory used: it would
// show every customer as one to create.
func checkSender(dir string, id journal.Identity, isSandbox bool) error {
	if isSandbox {
		return nil
	}
	last, err := journal.LastSender(journal.NewNames(dir, ""), journal.NewNames(dir, "-retry"))
	if err != nil {
		return Usage(advise(err))
	}
	if err := journal.CheckSender(dir, last, id); err != nil {
		return Usage(WithHint(err, "a source_id is permanent: every customer would be created a second time; restore the setting, or, to plan for an import of its own, use another --dir"))
	}
	return nil
}

// existing returns the customers to compare with; nil where they are asked for one by one.
func (b *job) existing(ctx context.Context, o *PlanOptions) (*plan.Existing, error) {
	switch {
	case o.Sample > 0:
		return nil, nil
	case o.Existing == "":
		return b.export(ctx, nil)
	}
	file, err := os.Open(o.Existing)
	if err != nil {
		return nil, Usage(fmt.Errorf("--existing: %w", err))
	}
	defer file.Close()
	existing, err := plan.ReadExisting(b.schema, false, file)
	if err != nil {
		return nil, Usage(WithHint(fmt.Errorf("--existing %s: %w", o.Existing, err), "it must be a whole export of customers, a CSV file with a column Source ID"))
	}
	if columns := existing.UnknownColumns(); len(columns) > 0 {
		b.out.Log.Warn("columns of the file that are no field of a customer are taken for metadata", "file", o.Existing, "columns", strings.Join(columns, ", "))
	}
	return existing, nil
}
