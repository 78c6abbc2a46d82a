package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"segsync/importer/journal"
	"segsync/internal/report"
	"segsync/internal/term"
)

// what is the command: import, plan or verify.
func (o *ImportOptions) what() string { return strings.TrimPrefix(o.Command, "segsync ") }

// doing is what it does.
func (o *ImportOptions) doing() string {
	if o.what() == "plan" {
		return "planning"
	}
	return "importing"
}

// Import carries out segsync import.
func Import(ctx context.Context, out *term.Output, stdin io.Reader, stdout io.Writer, o *ImportOptions) error {
	return withFiles(out, o, func() error { return importAll(ctx, out, stdin, stdout, o) })
}

// withFiles makes sure that monitoring never reads the files of an earlier run: there is no
// summary until this one ends, and where it ends before there is anything to summarize, the metrics have
// its exit code, and what is known of the import before. Those who are to be told of the end are told of
// that one, too.
func withFiles(out *term.Output, o *ImportOptions, do func() error) error {
	began := time.Now()
	if o.Report.Summary != "" {
		if err := os.Remove(o.Report.Summary); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Usage(fmt.Errorf("--summary: %w", err))
		}
	}
	err := do()
	var early *Error
	if o.Report.MetricsFile != "" && errors.As(err, &early) && early.Err != nil && early.Code != ExitLocked {
		var m report.Metrics
		// Without its end, an alert on a night that did not finish fires at once.
		if last, err := journal.Load(Names(o.Dir, o.Choose.ProfilesFrom, false)); err == nil && last != nil {
			m.AddImport(last, time.Now())
		}
		m.AddRun(began, time.Now(), &early.Code)
		early.Err = errors.Join(early.Err, saveMetrics(&m, o.Report.MetricsFile))
	}
	notifyEarly(out, o, err)
	return err
}

func importAll(ctx context.Context, out *term.Output, stdin io.Reader, stdout io.Writer, o *ImportOptions) (err error) {
	if err := checkFrom(o.Settings.From); err != nil {
		return err
	}
	a, err := Connect(out, o.Settings, o.Wait)
	if err != nil {
		return err
	}
	defer a.Close()
	in, err := OpenInput(ctx, a.Settings, o.Settings.From, o.Choose.ProfilesFrom, stdin, o.Wait, out.Log)
	if err != nil {
		return err
	}
	if err := checkListOffset(in, o.Start.Offset); err != nil {
		return err
	}
	if o.Settings.Sandbox && !o.DirGiven {
		if o.Dir, err = os.MkdirTemp("", "segsync-"); err != nil {
			return &Error{ExitFailed, err}
		}
	}
	if err := makeDir(out, o.Dir, o.DirGiven && (o.Start.Resume || o.Choose.Since == LastImport)); err != nil {
		return err
	}
	unlock, err := LockDir(o.Dir)
	if err != nil {
		return err
	}
	defer unlock()
	recommendCheck(out, in, o)
	var dry *dryRun
	if o.Send.DryRun {
		if dry, err = openDryRun(o.Send.Output, stdout); err != nil {
			return err
		}
	}
	r, err := importOnce(ctx, out, a, in, dry, o, startMode(o.Start))
	// What was unfinished is done now; the import that was asked for comes after it.
	if r != nil && r.opened.isContinued && o.Choose.Since != "" && !r.opened.State().IsUnfinished() && (err == nil || isCode(err, ExitNotImported, ExitUnconfirmed)) {
		_, err = importOnce(ctx, out, a, in, dry, o, journal.StartNew)
	}
	if o.Settings.Sandbox && !o.DirGiven && !out.IsQuiet() {
		out.Log.Info("the files of this import are in a temporary directory", "dir", o.Dir)
	}
	return err
}

// startMode says how the flags want an import to begin.
func startMode(o StartOptions) journal.Mode {
	switch {
	case o.Resume:
		return journal.Resume
	case o.Restart, o.Offset == journal.Beginning:
		return journal.Discard
	case o.Offset != "":
		return journal.StartAtOffset
	}
	return journal.StartNew
}

// importOnce carries out one import: the unfinished one of the directory or a new one.
func importOnce(ctx context.Context, out *term.Output, a *APIs, in *Input, dry *dryRun, o *ImportOptions, mode journal.Mode) (*result, error) {
	start, err := journalStart(a, in, o, mode)
	if err != nil {
		return nil, Usage(err)
	}
	j, err := openJournal(out, a, in, Names(o.Dir, o.Choose.ProfilesFrom, o.Send.DryRun), start)
	if err != nil {
		return nil, err
	}
	b := newJob(out, a, in, j, o)
	b.dry = dry
	return execute(ctx, b, o, b.run)
}

// journalStart says what import the options ask for.
func journalStart(a *APIs, in *Input, o *ImportOptions, mode journal.Mode) (journal.Start, error) {
	start := journal.Start{
		Identity: identity(a, in), Mode: mode, SinceLast: o.Choose.Since == LastImport, KeepSince: o.Start.KeepSince,
		Flags: o.Settings.Flags(".") + flag("profiles-from", o.Choose.ProfilesFrom), Confirm: !o.Confirm.Off, DryRun: o.Send.DryRun, WarnValues: o.Report.WarnValues, KeepHistory: o.Start.KeepHistory,
		AnySender: o.Start.Restart || o.Send.DryRun || o.Settings.Sandbox,
		Others:    []journal.Names{journal.NewNames(o.Dir, ""), journal.NewNames(o.Dir, "-retry")},
	}
	if o.Start.Offset != journal.Beginning {
		start.Offset = o.Start.Offset
	}
	if o.Choose.Since != "" && !start.SinceLast {
		var err error
		if start.Since, err = ParseSince(o.Choose.Since, time.Now()); err != nil {
			return start, fmt.Errorf("--since %q: %w", o.Choose.Since, err)
		}
	}
	if o.Send.DryRun {
		start.Mode, start.Basis = journal.Discard, journal.NewNames(o.Dir, "")
	}
	return start, nil
}

// checkListOffset returns an error if the offset is not within the profiles of --profiles-from.
func checkListOffset(in *Input, offset string) error {
	if in.Profiles == nil || offset == "" {
		return nil
	}
	if n, err := strconv.Atoi(offset); err != nil || n > len(in.Profiles) {
		return Usage(fmt.Errorf("--offset %s is not within the %d profiles of --profiles-from", offset, len(in.Profiles)))
	}
	return nil
}

// recommendCheck says, before the first import into a directory, that there is a check.
func recommendCheck(out *term.Output, in *Input, o *ImportOptions) {
	if in.File == nil && in.Warehouse == nil || in.From.ReadOnce() {
		return
	}
	if _, err := os.Stat(Names(o.Dir, "", false).LogPath()); errors.Is(err, fs.ErrNotExist) {
		out.Log.Info("the first import of this directory: segsync check" + o.Settings.Flags(o.Dir) +
			" tells whether all profiles are there, and whether they agree with Segment's API")
	}
}
