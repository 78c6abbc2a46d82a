package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"segsync/importer"
	"segsync/importer/journal"
	"segsync/importer/sink"
	"segsync/importer/sink/bulk"
	"segsync/importer/sink/ndjson"
	"segsync/importer/sink/plan"
	"segsync/importer/source/profileapi"
	"segsync/internal/settings"
	"segsync/internal/term"
	"segsync/voucherify"
)

// job is an import that is ready to run: where its profiles come from, what they are mapped to, and
// where the customers go.
type job struct {
	out     *term.Output
	apis    *APIs
	input   *Input
	opened  *opened
	mapper  *importer.Mapper
	options importer.Options
	list    profileapi.Options
	fetched *atomic.Int64 // profiles of the list, those included whose page is not complete yet
	limit   int
	dry     *dryRun    // customers are written to it instead
	plan    *plan.Plan // customers are compared instead
	send    SendOptions
	schema  *voucherify.MetadataSchema // the project's, see ReadSchema
}

// newJob returns the job of an import.
func newJob(out *term.Output, a *APIs, in *Input, j *opened, o *ImportOptions) *job {
	set, fetched := a.Settings, new(atomic.Int64)
	return &job{
		fetched: fetched,
		out:     out, apis: a, input: in, opened: j, limit: o.Choose.Limit, send: o.Send,
		mapper: &importer.Mapper{Identifiers: set.Identifiers, Mapping: set.Mapping, RefuseOdd: in.From.Kind != settings.FromAPI && !o.Send.AllowOdd, Log: out.Log},
		options: importer.Options{
			Limits: sink.NewBatchLimits(set.Voucherify.BatchSize, bulk.MaxBytes), MaxRejects: o.Send.MaxRejects, MaxClears: o.Send.MaxClears,
			// A file has what is to be tried again, or it does not: it was read to its end.
			RetryEarlier: !o.Start.NoRetry && !o.Send.DryRun && in.File == nil,
			Verify:       importer.Verify{Off: o.Confirm.Off || o.Send.DryRun, Interval: o.Confirm.Interval, Timeout: o.Confirm.Timeout},
			Progress:     new(importer.Progress), LogValues: o.Report.WarnValues, Log: out.Log,
		},
		list: profileapi.Options{CatchUp: !o.Choose.NoCatchUp && j.State().From == "", Recheck: o.Choose.Recheck, OnRead: func() { fetched.Add(1) }},
	}
}

// read returns how many profiles this process has read.
func (b *job) read() int { return int(b.options.Progress.Read.Load()) }

// shown returns how many profiles the progress line shows: also those of pages that are not complete.
func (b *job) shown() int { return max(b.read(), int(b.fetched.Load())) }

// saved returns how many of the profiles that this process has read are saved.
func (b *job) saved() int { return int(b.options.Progress.Committed.Load()) }

// limitLeft returns how many profiles the limit still allows.
func (b *job) limitLeft() int { return b.limit - b.saved() }

// pastEndError is the error of an import that begins at an offset past the end of the list.
type pastEndError struct{ offset string }

func (e *pastEndError) Error() string {
	return "nothing was read: the offset " + e.offset + " is past the end of the list"
}

func (e *pastEndError) Hint() string { return "segsync check says how many profiles there are" }

// Refused says that the same import fails again.
func (e *pastEndError) Refused() bool { return true }

// checkOffset returns a *pastEndError before a new import takes the place of the one in the directory.
func (b *job) checkOffset(ctx context.Context) error {
	from := b.opened.State().From
	if from == "" || !b.input.isAPI() || b.opened.IsSaved() {
		return nil
	}
	page, err := b.apis.Segment.Profiles(ctx, from, 1)
	if err == nil && len(page.Data) == 0 {
		err = &pastEndError{from}
	}
	return err
}

// run imports, from the position of the journal to the end.
func (b *job) run(ctx, stop context.Context) error {
	if b.plan == nil { // a plan has read it
		schema, err := b.apis.ReadSchema(ctx, b.out.Log, b.send.OnlyChanges)
		if err != nil {
			return err
		}
		b.schema = schema
	}
	if schema := b.apis.SchemaToFit(b.schema); schema != nil {
		b.out.Log.Debug("metadata schema read", "defined_only", schema.DefinedOnly)
		b.mapper.UseSchema(schema)
	}
	if err := b.checkOffset(stop); err != nil {
		return err
	}
	if b.send.OnlyChanges {
		existing, err := b.export(stop, b.opened.OpenActions()) // nothing is read yet: there is nothing to finish
		if err != nil {
			return err
		}
		defer existing.Close()
		maxAsked := plan.MaxAsked
		if b.send.CompareAll {
			maxAsked = -1
		}
		existing.AskFor(b.apis.Voucherify, maxAsked)
		confirmed, err := journal.ReadConfirmed(journal.NewNames(b.opened.Names().Dir, ""), b.opened.State().Identity)
		if err != nil {
			return Usage(advise(err))
		}
		existing.Trust(confirmed.Has)
		b.options.Existing = existing
	}
	if b.limit > 0 {
		b.list.Limit = b.limitLeft()
	}
	src := b.input.source(b.apis, b.opened.State(), b.out, b.list)
	confirmer := bulk.NewConfirmer(b.apis.Voucherify, b.out.Log)
	err := importer.Run(ctx, stop, src, b.mapper, b.sink(stop), confirmer, b.opened.Journal, b.options)
	if b.dry != nil {
		err = errors.Join(err, b.dry.close())
		if err == nil && !b.opened.State().IsUnfinished() {
			err = b.opened.Delete()
		}
	}
	return err
}

// confirm checks the status of the customers that were sent, and imports nothing.
func (b *job) confirm(ctx, stop context.Context) error {
	return importer.Confirm(ctx, stop, bulk.NewConfirmer(b.apis.Voucherify, b.out.Log), b.opened.Journal, b.options)
}

// sink returns what the customers go to in one run.
func (b *job) sink(stop context.Context) sink.Sink {
	switch {
	case b.dry != nil:
		return ndjson.New(b.dry.to)
	case b.plan != nil:
		return b.plan
	}
	return bulk.New(b.apis.Voucherify, b.options.Limits, b.opened.IsQueued, stop, b.out.Log)
}

// queueTimeout is how long a command without --verify-timeout waits for earlier bulk updates.
const queueTimeout = 10 * time.Minute

// export returns what Voucherify has of all customers, once it has finished the bulk updates that it
// accepted before. Those of the log that it has not finished in time are unsettled.
func (b *job) export(ctx context.Context, known []sink.Action) (_ *plan.Existing, err error) {
	confirmer, timeout := bulk.NewConfirmer(b.apis.Voucherify, b.out.Log), cmp.Or(b.options.Verify.Timeout, queueTimeout)
	if b.options.Unsettled, err = confirmer.WaitForQueue(ctx, known, timeout); err != nil {
		return nil, err
	}
	b.out.Log.Info("asking Voucherify for an export of its customers")
	x := plan.Exporter{Voucherify: b.apis.Voucherify, Schema: b.schema, Keep: b.send.KeepExport, Log: b.out.Log}
	x.Download = func(ctx context.Context, req *http.Request, into *os.File) error {
		_, err := b.apis.ToVoucherify.Download(ctx, req, into)
		return err
	}
	return x.Take(ctx)
}

// dryRun is what the customers of a dry run are written to.
type dryRun struct {
	to   io.Writer
	file *os.File // nil: stdout
}

// openDryRun opens the file of a dry run; "" is stdout. A device or a pipe is written to as it is.
func openDryRun(path string, stdout io.Writer) (*dryRun, error) {
	if path == "" {
		return &dryRun{to: stdout}, nil
	}
	info, err := os.Stat(path)
	isRegular := errors.Is(err, os.ErrNotExist) || err == nil && info.Mode().IsRegular()
	flags := os.O_WRONLY
	if isRegular {
		flags |= os.O_CREATE | os.O_TRUNC
	}
	file, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, Usage(fmt.Errorf("--output: %w", err))
	}
	if isRegular && runtime.GOOS != "windows" { // it may have been there before
		if err := file.Chmod(0o600); err != nil {
			file.Close()
			return nil, Usage(fmt.Errorf("--output: %w", err))
		}
	}
	return &dryRun{to: file, file: file}, nil
}

// close closes the file. A dry run is not resumed.
func (d *dryRun) close() error {
	if d.file == nil {
		return nil
	}
	return d.file.Close()
}
