package app

import (
	"cmp"
	"context"
	"time"

	"segsync/importer/journal"
	"segsync/internal/report"
)

// result is how the runs of an import ended.
type result struct {
	*job
	options *ImportOptions
	extent  *extent
	began   time.Time
	err     error           // of the last run
	signal  int             // exit code of the first interrupt, or 0
	before  report.Requests // those of this process before this import
}

// execute carries out an import: it says what is about to be done, runs, asks after the first error
// whether to resume, and says how it ended.
func execute(ctx context.Context, b *job, o *ImportOptions, run func(ctx, stop context.Context) error) (*result, error) {
	i := watchInterrupts(ctx, b.out, "interrupted: finishing what is being read; interrupt again to end at once", b.input.stop)
	defer i.close()
	notifier := newNotifier(b.apis.Settings.Ending, b.out.Log, nil)
	notifier.start(i.ctx)
	r := &result{job: b, options: o, began: time.Now(), before: b.apis.Requests()}
	_ = writeMetrics(r, nil) // at once: counting may take minutes. showProgress says if it fails
	r.extent = announce(i, b, o)
	if r.signal = i.exitCode(); r.signal != ExitDone {
		return r, finish(r, notifier) // nothing was begun
	}
	r.began = time.Now() // the time to stop is no part of it
	for attempt := 1; ; attempt++ {
		stopProgress := showProgress(i.ctx, r)
		r.err = run(i.ctx, i.stop)
		stopProgress(r.err == nil)
		r.signal = i.exitCode()
		if r.err == nil || r.signal != ExitDone || attempt == 2 || !r.mayResume() {
			return r, finish(r, notifier)
		}
		b.out.PrintError(r.err, Hints(r.err))
		if answer, _ := b.out.Ask("Do you wish to resume the process from the offset: "+b.opened.State().Position.String()+`? Type "yes" or "no":`,
			i.stop.Done(), "yes", "no"); answer != "yes" {
			r.signal = i.exitCode()
			r.err = &printedError{r.err}
			return r, finish(r, notifier)
		}
		if err := b.reopen(); err != nil {
			r.err = err
			return r, finish(r, notifier)
		}
	}
}

// isDone reports whether the import is complete: an interrupt that came too late changes nothing.
func (r *result) isDone() bool {
	s := r.opened.State()
	return r.err == nil && !s.IsUnfinished() && s.Unconfirmed() == 0
}

// mayResume reports whether a person can be asked to resume after an error.
func (r *result) mayResume() bool {
	return r.out.CanAsk() && !r.input.From.ReadOnce() && r.dry == nil && r.plan == nil && !IsQuotaWait(r.err)
}

// reopen opens the import again for a second run of this process.
func (b *job) reopen() error {
	start := b.opened.start
	if b.opened.IsSaved() {
		start.Mode = journal.ContinueAny
	}
	j, found, err := journal.Open(b.opened.Names(), start)
	if err != nil {
		return Usage(advise(err))
	}
	if !b.apis.IsSandbox {
		shareQuotas(b.apis, j, found.Quotas)
	}
	b.opened = &opened{j, start, b.opened.isContinued}
	return nil
}

// printedError is an error that was printed already.
type printedError struct{ error }

func (e *printedError) Unwrap() error { return e.error }

// offsetOr returns an offset for a command line, "0" for the beginning.
func offsetOr(offset string) string { return cmp.Or(offset, journal.Beginning) }
