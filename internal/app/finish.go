package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"segsync/importer"
	"segsync/importer/journal"
	"segsync/importer/outcome"
	"segsync/internal/httpretry"
	"segsync/internal/report"
	"segsync/internal/settings"
	"segsync/internal/term"
	"segsync/segmentprofiles"
	"segsync/voucherify"
)

// ending is how an import ended: its exit code, what is said last, and the command that goes on.
type ending struct {
	code    int
	err     error  // to print, nil for none
	what    string // "" if nothing is left to do
	command string
}

// decide is the one place that knows how an import ended.
func decide(r *result) ending {
	s := r.opened.State()
	e := ending{code: codeOfState(s, r)}
	resume := func(what string) ending {
		e.what, e.command = what, resumeCommand(r)
		return e
	}
	switch {
	case r.signal != ExitDone && !r.isDone():
		e.code = r.signal
		if !isInterruption(r.err) && !isRetried(r.err) {
			e.err = r.err
		}
		return resume("Interrupted.\n" + stoppedAt(r))
	case is[*pastEndError](r.err):
		e.code, e.err = CodeOf(r.err), r.err
		if r.opened.HasOtherUnfinished() {
			return resume("The import before it is not finished.")
		}
		return e
	case r.err != nil:
		e.code, e.err = CodeOf(r.err), withCallsSaved(r)
		return resume(stoppedAt(r))
	case hasNoIdentifiers(r):
		e.code = ExitUsage
		e.err = WithHint(fmt.Errorf("none of the %s profiles has an identifier of IDENTIFIER_SAVED_AS_SOURCE_ID=%s: nothing was sent",
			term.Number(s.Counts.Read()), s.Identifier), r.options.Settings.SampleCommand(r.options.Dir)+" shows which types of external IDs the profiles have")
		return e
	case r.dry == nil && importer.NoneMatched(s) && isWhole(r):
		e.code = ExitNotImported
		e.err = WithHint(fmt.Errorf("none of the %s profiles meets %s: nothing was sent", term.Number(s.Counts.Read()), conditionsOf(r)),
			r.options.Settings.SampleCommand(r.options.Dir)+" lists the traits that profiles have")
		return e
	case !s.Position.Done && r.limit > 0 && r.dry != nil:
		r.out.Log.Info("stopped after " + term.Count(r.limit, "profile") + ", as --limit says")
		return e
	case !s.Position.Done && r.limit > 0:
		return resume("Stopped after " + term.Count(r.limit, "profile") + ", as --limit says.")
	case !s.Position.Done:
		e.code = ExitFailed // segsync verify, of an import that was not finished
		if s.Unconfirmed() == 0 {
			return resume("No customer is waiting to be confirmed, but the import is not finished.")
		}
		return resume("The import is not finished.")
	case s.NeedsResend():
		return resume("Customers of failed async actions are to be sent again.")
	case s.Unconfirmed() > 0:
		e.what, e.command = term.Count(s.Unconfirmed(), "customer")+" sent, not confirmed.", verifyCommand(r)
		return e
	}
	return e
}

// withCallsSaved returns the error of the run; where the quota of bulk calls is used up, with how many of them
// larger batches save.
func withCallsSaved(r *result) error {
	wait, isWait := errors.AsType[*httpretry.WaitError](r.err)
	if !isWait || wait.Quota != voucherify.BulkQuota {
		return r.err
	}
	customers := max(int(r.extent.total), r.opened.State().Counts.Read())
	if saved := CallsSaved(customers, r.apis.Settings.Voucherify.BatchSize); saved != "" {
		return WithHint(r.err, fmt.Sprintf("for %s, %s", term.Count(customers, "profile"), saved))
	}
	return r.err
}

// codeOfState returns the exit code of an import that came to its end.
func codeOfState(s *journal.State, r *result) int {
	isUnknown := r.input.Profiles != nil && s.Count(outcome.Vanished) > 0
	switch {
	case s.Unconfirmed() > 0:
		return ExitUnconfirmed
	case s.Outstanding.Count > 0, s.Count(outcome.Rejected)+s.Count(outcome.Unreadable) > 0, isUnknown:
		return ExitNotImported
	}
	return ExitDone
}

// CodeOf tells errors that the operator must fix first from those after which the
// same command can be continued, now or later.
func CodeOf(err error) int {
	var early *Error
	isRefused := func(err error) bool { r, ok := err.(interface{ Refused() bool }); return ok && r.Refused() }
	switch {
	case errors.As(err, &early):
		return early.Code
	case is[*importer.VerifyError](err) && !IsQuotaWait(err):
		return ExitUnconfirmed
	case is[*journal.DamagedError](err), anyOf(err, isRefused):
		return ExitUsage
	case IsQuotaWait(err):
		return ExitLater
	}
	return ExitFailed
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// IsQuotaWait reports whether a quota must be waited for, longer than this run does.
func IsQuotaWait(err error) bool {
	return anyOf(err, func(err error) bool {
		if _, ok := err.(*httpretry.WaitError); ok {
			return true
		}
		q, ok := err.(interface{ QuotaUsedUp() bool })
		return ok && q.QuotaUsedUp()
	})
}

// isInterruption reports whether the error says no more than that the run was interrupted.
func isInterruption(err error) bool {
	return err == nil || errors.Is(err, importer.ErrStopped) || errors.Is(err, errInterrupted) || errors.Is(err, context.Canceled)
}

// isRetried reports whether the error is one that is retried, unless an interrupt comes.
func isRetried(err error) bool {
	segment, isSegment := errors.AsType[*segmentprofiles.Error](err)
	vch, isVoucherify := errors.AsType[*voucherify.Error](err)
	retried := func(status int) bool { return status == 429 || status >= 500 }
	return is[*httpretry.OutageError](err) || isSegment && retried(segment.Status) || isVoucherify && retried(vch.Status)
}

// hasNoIdentifiers reports whether a whole import found no profile with an identifier, those that
// vanished apart.
func hasNoIdentifiers(r *result) bool {
	s := r.opened.State()
	without := s.Count(outcome.WithoutIdentifier)
	return isWhole(r) && without > 0 && without == s.Counts.Read()-s.Count(outcome.Vanished)
}

// isWhole reports whether the import was to read all profiles of the source.
func isWhole(r *result) bool {
	s := r.opened.State()
	return s.Since.IsZero() && s.From == "" && r.input.Profiles == nil && r.limit == 0
}

// stoppedAt says where the import has stopped, and how many profiles were read and not saved.
func stoppedAt(r *result) string {
	at := r.opened.State().Position
	text := "Stopped at the offset: " + at.String()
	switch {
	case r.input.isAPI() || r.input.Profiles != nil:
	case at.Done:
		text = "Everything is read."
	case r.input.From.ReadOnce():
		text = "Stopped after " + at.At + ". It cannot be read again from there: start anew with the same input."
	case at.Tail:
		text = "Stopped while reading again what has changed."
	case at.State == nil:
		text = "Stopped at the beginning."
	case r.input.From.Kind == settings.FromWarehouse:
		text = "Stopped after the profile " + at.At + "."
	case strings.Contains(at.At, " of "): // one of several files
		text = "Stopped after " + at.At + "."
	default:
		text = "Stopped after " + at.At + " of the file."
	}
	if n := r.shown() - r.saved(); n > 0 && r.signal != ExitDone {
		text = fmt.Sprintf("%s more were read and not saved; they will be read again.\n%s", term.Number(n), text)
	}
	return text
}

// finish says how the import ended, to people, to the file of --summary and to that of --metrics-file, and
// to those who want to be told. It returns the error of the exit code.
func finish(r *result, n *notifier) error {
	e := decide(r)
	e.code = writeReports(r, &e, n)
	s := r.opened.State()
	if !r.out.IsQuiet() || e.code != ExitDone {
		if _, told := r.err.(*printedError); e.err != nil && !told {
			r.out.PrintError(e.err, Hints(e.err))
		}
		names := r.opened.Names()
		switch file, unknown := names.Path(names.NotImported), s.Count(outcome.Vanished); {
		case e.code != ExitNotImported:
		case s.Outstanding.Count > 0:
			r.out.Log.Error("some profiles are not imported; "+outstandingCommand(r)+" lists them",
				"outstanding", s.Outstanding.Count, "since", s.Outstanding.Oldest.Format(time.RFC3339), "file", file)
		case unknown > 0 && r.input.Profiles != nil:
			r.out.Log.Error("Segment does not know some of the profiles of --profiles-from", "profiles", unknown, "file", file)
		}
		warnEmpty(r)
	}
	if e.what != "" && (!r.out.IsQuiet() || e.code != ExitDone) {
		printLast(r, e)
	}
	return exitWith(e.code)
}

// printLast prints the last lines of an import with which something is left to do.
func printLast(r *result, e ending) {
	if r.out.IsJSON() {
		level := slog.LevelError
		if e.code == ExitDone {
			level = slog.LevelInfo
		}
		r.out.Log.Log(context.Background(), level, e.what, "offset", r.opened.State().Position.String(), "continue", e.command, "exit_code", e.code)
		return
	}
	r.out.Err.Linef("%s", e.what)
	r.out.Err.Command("Continue with:", e.command)
}

// conditionsOf words the conditions of the mapping.
func conditionsOf(r *result) string {
	where := r.apis.Settings.Mapping.Where
	if len(where) != 1 {
		return "the conditions of the mapping"
	}
	return fmt.Sprintf("the condition %s of the mapping", where[0])
}

// warnEmpty says that nothing was read, where that is probably a mistake.
func warnEmpty(r *result) {
	s := r.opened.State()
	isDryOfNone := r.dry != nil && s.Count(outcome.Filtered) > 0 && s.Count(outcome.WouldSend) == 0
	if r.err == nil && r.options.what() != "verify" && (isDryOfNone || importer.NoneMatched(s) && !isWhole(r)) {
		r.out.Log.Warn("no profile meets "+conditionsOf(r), "profiles", s.Counts.Read(), "hint", r.options.Settings.SampleCommand(r.options.Dir)+" lists the traits that profiles have")
	}
	switch {
	case s.Counts.Read() > 0 || !s.Since.IsZero() || s.From != "" || r.err != nil || r.signal != ExitDone || r.options.what() == "verify":
	case r.input.Profiles != nil:
		if len(r.input.Profiles) == 0 {
			r.out.Log.Warn("--profiles-from names no profile; lines of a report without an id are passed over", "file", r.options.Choose.ProfilesFrom)
		}
	case !r.input.isAPI():
		r.out.Log.Warn("no profile was read: is the source complete?", "setting", "--from "+r.input.From.Name())
	default:
		r.out.Log.Warn("the space has no profiles: is SEGMENT_SPACE_ID the one you mean?", "space", s.Space, "setting", "SEGMENT_SPACE_ID")
	}
}

// writeReports writes the summary and the metrics, and sends the notification. It returns the exit code,
// which is another one where all was well but a file could not be written.
func writeReports(r *result, e *ending, n *notifier) int {
	code, failed := e.code, e.code
	switch code {
	case ExitDone, ExitNotImported, ExitUnconfirmed:
		failed = ExitFailed
	}
	metricsErr := writeMetrics(r, &code)
	if metricsErr != nil {
		code = failed
	}
	sum := summaryOf(r, e, code)
	summaryErr := writeSummary(r, sum)
	if summaryErr != nil && code != failed {
		code, sum.ExitCode = failed, failed
		metricsErr = writeMetrics(r, &code)
	}
	if !r.out.IsTerminal() {
		r.out.Log.Info(r.options.what()+" ended", sum.Counts.Attrs(code)...)
	}
	if !r.out.IsQuiet() {
		printSummary(r, sum)
	}
	n.ended(context.Background(), report.NotificationOf(sum))
	if err := errors.Join(summaryErr, metricsErr); err != nil {
		r.out.PrintError(err, Hints(err))
	}
	return code
}

func printSummary(r *result, sum *report.Summary) {
	out := r.out.Out
	if r.dry != nil && r.dry.file == nil { // stdout has the customers
		out = r.out.Err
		if r.out.IsJSON() {
			r.out.Log.Info("summary", "summary", sum)
			return
		}
	}
	var identifiers []string
	for _, id := range r.apis.Settings.Identifiers {
		identifiers = append(identifiers, id.String())
	}
	saved := -1
	if r.opened.isContinued {
		saved = r.saved()
	}
	report.PrintSummary(out, sum, report.Shown{
		From: r.input.describe(r.apis), To: describeTarget(r.apis, r.dry != nil), Identifiers: identifiers,
		Read: r.read(), Saved: saved, Outstanding: outstandingCommand(r), Rate: r.apis.Settings.Segment.Rate,
	})
}

func summaryOf(r *result, e *ending, code int) *report.Summary {
	s, set, now := r.opened.State(), r.apis.Settings, time.Now()
	requests, seconds := r.apis.Requests().Minus(r.before), report.Round1(now.Sub(r.began).Seconds())
	verify := "on"
	if r.options.Confirm.Off {
		verify = "off"
	}
	sum := &report.Summary{
		Version: 1, Program: report.ProgramOf(Version), Command: r.options.Command,
		Settings: report.Settings{
			Identity: s.Identity, SegmentRateLimit: set.Segment.Rate, PageSize: set.Segment.PageSize, TraitsLimit: set.Segment.TraitsLimit,
			BatchSize: set.Voucherify.BatchSize, Verify: verify, CatchUp: !r.options.Choose.NoCatchUp, DryRun: r.dry != nil,
			MappingFile: set.MappingFile, MetadataPolicy: set.Voucherify.Policy.String(),
		},
		Started: s.Started, Began: r.began.UTC(), Ended: now.UTC(), Seconds: seconds, Finished: !s.IsUnfinished(), ExitCode: code,
		Offset: s.Position.String(), Counts: report.Counts{State: s}, AddsUp: true, Requests: requests,
		Costs: costsOf(r, requests, seconds), Files: report.FilesOf(r.opened.Names()),
	}
	if !s.Began.IsZero() {
		sum.Started = s.Began
	}
	if r.dry == nil || e.err != nil { // else nothing was begun that could be continued
		sum.Continue = e.command
	}
	if e.err != nil {
		sum.Error, sum.Hints = e.err.Error(), Hints(e.err)
	}
	return sum
}

// writeSummary writes the file of --summary.
func writeSummary(r *result, sum *report.Summary) error {
	path := r.options.Report.Summary
	if path == "" {
		return nil
	}
	data, err := json.MarshalIndent(sum, "", "  ")
	if err == nil {
		err = journal.WriteFile(path, append(r.out.CleanJSON(data), '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("--summary: %w", err)
	}
	return nil
}
