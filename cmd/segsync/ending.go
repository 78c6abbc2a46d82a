package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"segsync/importer"
	"segsync/importer/journal"
	"segsync/internal/httpretry"
	"segsync/segmentprofiles"
	"segsync/voucherify"
)

// ended says what became of everything.
func (s *session) ended() error {
	state, code := s.importer.State(), exitDone
	unconfirmed := state.Unconfirmed()
	switch {
	case !state.AddsUp():
		code = exitFailed
	case !state.Position.Done && s.extent.limit == 0:
		code = exitFailed // segsync verify, of an import that was not finished
	case s.pastEnd(state):
		code = exitUsage
	case unconfirmed > 0:
		code = exitUnconfirmed
	case state.Outstanding.Count > 0 || state.Count(journal.Rejected)+state.Count(journal.Unreadable) > 0:
		code = exitNotImported
	}
	code = s.report(code, nil)
	s.sayOutstanding(state, code)
	switch {
	case state.Counts.Read > 0 || s.run.profilesFrom != "":
		s.sayNoIdentifier(state)
	case !s.run.settings.fromAPI() && state.Since.IsZero():
		s.tell.log.Warn("no profile was read: is the source complete?", aboutSetting, "--from "+s.run.settings.source())
	case state.From == importer.Beginning && state.Since.IsZero():
		s.tell.log.Warn("the space has no profiles: is SEGMENT_SPACE_ID the one you mean?", "space", state.Space, aboutSetting, "SEGMENT_SPACE_ID")
	case s.pastEnd(state):
		s.tell.printError(&hinted{fmt.Errorf("nothing was read: the offset %s is past the end of the list", state.From), "segsync check says how many profiles there are"})
	}
	if !state.Position.Done && s.extent.limit > 0 && s.dry.run {
		s.tell.log.Info(fmt.Sprintf("stopped after %d profiles, as --limit says", s.extent.limit))
	} else if !state.Position.Done && s.extent.limit > 0 {
		s.say(fmt.Sprintf("Stopped after %d profiles, as --limit says.", s.extent.limit), s.continueCommand(nil), code)
	} else if !state.Position.Done {
		s.say("The import itself is not finished.", s.continueCommand(nil), code)
	} else if state.HasFailed() {
		s.say("Customers of failed async actions are to be sent again.", s.continueCommand(nil), code)
	} else if unconfirmed > 0 {
		s.say(fmt.Sprintf("%d customers are sent, not confirmed.", unconfirmed), s.verifyCommand(), code)
	}
	return exitWith(code)
}

// sayNoIdentifier warns of an import of everything of which nothing could be sent.
func (s *session) sayNoIdentifier(state *journal.State) {
	if n := state.Counts.Read; n > 0 && n == state.Count(journal.WithoutIdentifier) && state.Since.IsZero() && s.run.profilesFrom == "" {
		s.tell.log.Warn("no profile has an identifier: is IDENTIFIER_SAVED_AS_SOURCE_ID right?", "profiles", n,
			"identifier", state.Identifier, aboutSetting, "IDENTIFIER_SAVED_AS_SOURCE_ID")
	}
}

// pastEnd reports whether the --offset that the import began at was past the end.
func (s *session) pastEnd(state *journal.State) bool {
	return state.Counts.Read == 0 && state.From != importer.Beginning && !s.continued && s.run.profilesFrom == ""
}

// sayOutstanding says that profiles were not imported, also where nothing but errors is
// logged: what ends with a code of its own must say why.
func (s *session) sayOutstanding(state *journal.State, code int) {
	n := state.Outstanding.Count
	if n == 0 || code != exitNotImported {
		return
	}
	s.tell.log.Error("some profiles are not imported; the next import tries them again, "+s.outstandingCommand()+" lists them",
		"outstanding", n, "since", state.Outstanding.Oldest.Format(time.RFC3339), "file", s.journal.Names().Path(s.journal.Names().NotImported))
}

// inDir returns the flag that names the directory, as one word, if the command needs it.
func inDir(dir string) string {
	if dir == "." {
		return ""
	}
	return " --dir=" + shellQuote(dir)
}

// stopped says where the import ended before its time, and how to continue it.
func (s *session) stopped(code int, cause error) error {
	code = s.report(code, cause)
	s.say(s.stoppedAt(), s.continueCommand(cause), code)
	return exitWith(code)
}

// say prints the last lines of an import with which something is left to do.
func (s *session) say(what, command string, code int) {
	if s.tell.json {
		s.tell.log.Error(what, "offset", s.offset(), "continue", command, "exit_code", code)
		return
	}
	s.tell.stderr.line(0, what)
	s.tell.stderr.command("Continue with:", command)
}

// report says what became of everything, to people, to the file of --summary and to that
// of --metrics-file. It returns the exit code, which is another one where all was well but
// a file could not be written.
func (s *session) report(code int, cause error) int {
	failed := code
	switch code {
	case exitDone, exitNotImported, exitUnconfirmed:
		failed = exitFailed
	}
	metricsErr := s.writeMetrics(&code)
	if metricsErr != nil {
		code = failed
	}
	sum := s.summary(code, cause)
	summaryErr := s.writeSummary(sum)
	if summaryErr != nil && code != failed {
		code, sum.ExitCode = failed, failed
		metricsErr = s.writeMetrics(&code)
	}
	if c := sum.Counts; !s.tell.people {
		s.tell.log.Info(s.what()+" ended", c.attrs(code)...)
	}
	s.printSummary(sum)
	s.notifier.ended(context.Background(), notificationOf(sum))
	if err := errors.Join(summaryErr, metricsErr); err != nil {
		s.tell.printError(err)
	}
	return code
}

// interrupted says where the import ended for a signal, and how to continue it. That what
// was under way could not be finished is no error, but for what only the operator can fix.
func (s *session) interrupted(code int, err error) error {
	switch {
	case err == nil, errors.Is(err, importer.ErrStopped), errors.Is(err, context.Canceled), errors.Is(err, httpretry.ErrInterrupted):
	case passing(err):
		s.tell.log.Warn("some of what was under way could not be finished", "cause", err)
	default:
		s.tell.printError(err)
	}
	if !s.tell.json {
		s.tell.stderr.line(0, "Interrupted.")
	}
	return s.stopped(code, err)
}

// passing reports whether the error is one that is retried, unless an interrupt comes.
func passing(err error) bool {
	var outage *httpretry.OutageError
	var segment *segmentprofiles.Error
	var vch *voucherify.Error
	retried := func(status int) bool { return status == http.StatusTooManyRequests || status >= 500 }
	return errors.As(err, &outage) || errors.As(err, &segment) && retried(segment.Status) || errors.As(err, &vch) && retried(vch.Status)
}

// exitCodeOf tells errors that the operator must fix first from those after which the
// same command can be continued, now or later.
func exitCodeOf(err error) int {
	var unverified *importer.VerifyError
	switch {
	case errors.As(err, &unverified) && !waits(err):
		return exitUnconfirmed
	case isDamage(err):
		return exitUsage
	case anyOf(err, func(err error) bool { w, ok := err.(interface{ Refused() bool }); return ok && w.Refused() }):
		return exitUsage
	case waits(err):
		return exitLater
	}
	return exitFailed
}

// isDamage reports whether a file of the import cannot be used any more.
func isDamage(err error) bool {
	var damaged *journal.DamagedError
	return errors.As(err, &damaged)
}

// waits reports whether a quota must be waited for, longer than this run does.
func waits(err error) bool {
	return anyOf(err, func(err error) bool {
		if _, ok := err.(*httpretry.WaitError); ok {
			return true
		}
		w, ok := err.(interface{ QuotaUsedUp() bool })
		return ok && w.QuotaUsedUp()
	})
}

// anyOf reports whether is says so of the error or of one that it wraps.
func anyOf(err error, is func(error) bool) bool {
	if err == nil {
		return false
	}
	if is(err) {
		return true
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return anyOf(e.Unwrap(), is)
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), func(err error) bool { return anyOf(err, is) })
	}
	return false
}

func exitWith(code int) error {
	if code == exitDone {
		return nil
	}
	return &exitError{code: code}
}
