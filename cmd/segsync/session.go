package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"segsync/importer"
	"segsync/internal/httpretry"
	"segsync/segmentprofiles"
	"segsync/voucherify"
)

// session is one execution of segsync import: its importer, run once and perhaps
// resumed once, and what it tells people.
type session struct {
	options             *importOptions
	settings            *settings
	command             string
	files               importer.Files
	flags               *pflag.FlagSet
	importer            *importer.Importer
	segment, voucherify *httpretry.Transport

	stdout      io.Writer
	console     *console // stderr
	log         *slog.Logger
	interactive bool
	began       time.Time
}

// newSession returns a session that can speak. total is the number of profiles, or -1 if
// it is not known.
func newSession(cmd *cobra.Command, o *importOptions, set *settings, total int64) *session {
	s := &session{options: o, command: cmd.CommandPath(), flags: cmd.Flags(), stdout: cmd.OutOrStdout(), began: time.Now()}
	terminal := term.IsTerminal(int(os.Stderr.Fd()))
	s.interactive = terminal && term.IsTerminal(int(os.Stdin.Fd())) && !o.nonInteractive
	s.console = newConsole(os.Stderr, terminal && !o.quiet && o.logFormat == "text", total)
	s.log = o.newLogger(s.console)
	s.settings = set
	return s
}

// connect makes the importer and the clients below it.
func (s *session) connect(set *settings, files importer.Files, profiles []segmentprofiles.Identifier, state *importer.State) error {
	s.segment = httpretry.New(httpretry.Options{
		API: "Segment", Rate: set.segmentRate, MaxWait: s.options.maxWait, Secrets: set.secrets(), Log: s.log,
	})
	s.voucherify = httpretry.New(httpretry.Options{
		API: "Voucherify", Bucket: voucherifyBuckets(set.reserve), MaxWait: s.options.maxWait, Secrets: set.secrets(), Log: s.log,
	})
	segment, err := segmentprofiles.NewClient(s.segment.Client(), set.segmentURL, set.spaceID, set.segmentToken)
	if err != nil {
		return err
	}
	vch, err := voucherify.NewClient(s.voucherify.Client(), set.voucherifyURL, set.appID, set.secretKey)
	if err != nil {
		return err
	}
	s.files = files
	s.importer = importer.New(segment, vch, importer.Settings{
		Identifiers: set.identifiers,
		PageSize:    set.pageSize,
		TraitsLimit: set.traitsLimit,
		BatchSize:   set.batchSize,
		Readers:     readers(set.segmentRate),
		Mapping:     importer.DefaultMapping(),
		Files:       files,
		Profiles:    profiles,
		CatchUp:     !s.options.noCatchUp,
		Verify: importer.Verify{
			Off:      s.options.verify == "off",
			Interval: s.options.verifyInterval,
			Timeout:  s.options.verifyTimeout,
		},
		MaxRejects: s.options.maxRejects,
	}, state, s.log)
	return nil
}

// voucherifyBuckets returns the quota that a request to Voucherify counts in. Bulk requests
// have one of their own, which is counted by the hour.
//
// https://docs.voucherify.io/guides/limits
func voucherifyBuckets(reserve float64) func(*http.Request) *httpretry.Bucket {
	calls := &httpretry.Bucket{Name: "api_calls", Period: time.Minute, Reserve: reserve}
	bulk := &httpretry.Bucket{Name: "bulk_api_calls", Period: time.Hour, Reserve: reserve}
	return func(req *http.Request) *httpretry.Bucket {
		if req.Method == http.MethodPost {
			return bulk
		}
		return calls
	}
}

// readers returns how many profiles to read at once: as many as keep the quota in use
// while an answer takes up to a second.
func readers(rate float64) int { return int(min(max(rate, 16), 256)) }

func (s *session) close() {
	s.segment.CloseIdleConnections()
	s.voucherify.CloseIdleConnections()
}

// run carries out the import, asks after the first error whether to resume, and says how
// it ended.
func (s *session) run(ctx context.Context, do func(context.Context) error) error {
	interrupts := watchInterrupts(ctx, s.importer.Stop, s.log)
	defer interrupts.close()
	s.announce()
	for attempt := 1; ; attempt++ {
		stopProgress := s.console.showProgress(s.importer, s.log)
		err := do(interrupts.ctx)
		stopProgress()
		if err == nil && (interrupts.exitCode() == exitDone || !s.importer.State().Unfinished()) {
			return s.ended()
		}
		if code := interrupts.exitCode(); code != exitDone {
			s.printUnlessStopped(err)
			return s.stopped(code, err)
		}
		s.printError(err)
		if attempt == 2 || !s.interactive || !s.askResume(s.offset(), interrupts) {
			return s.stopped(cmp.Or(interrupts.exitCode(), exitCodeOf(err)), err)
		}
	}
}

// announce says what is about to be done.
func (s *session) announce() {
	state := s.importer.State()
	if s.options.sandbox {
		s.log.Info("importing from the embedded sandbox", "dir", s.files.Dir)
	}
	if state.Counts.Read > 0 {
		s.log.Info("continuing the import in this directory", "offset", s.offset(), "profiles", state.Counts.Read,
			"unconfirmed", state.Unconfirmed())
	}
}

// offset is how the position of the import is shown.
func (s *session) offset() string {
	at := s.importer.State().Position
	if at.Done || at.Pass > 0 {
		return "end of the list"
	}
	return at.Offset
}

// exitCodeOf tells errors that the operator must mend first from those after which the
// same command can be continued, now or later.
func exitCodeOf(err error) int {
	var refused interface{ Refused() bool }
	var wait *httpretry.WaitError
	var usedUp interface{ QuotaUsedUp() bool }
	switch {
	case errors.As(err, &wait), errors.As(err, &usedUp) && usedUp.QuotaUsedUp():
		return exitLater
	case errors.As(err, &refused) && refused.Refused():
		return exitUsage
	}
	return exitFailed
}

// askResume asks whether to go on from the offset. Only "yes" means yes.
func (s *session) askResume(offset string, interrupts *interrupts) bool {
	fmt.Fprintf(s.console, "Do you wish to resume the process from the offset: %s? Type \"yes\" or \"no\": ", offset)
	answer := make(chan string, 1)
	go func() { // ends with the process at the latest: a read of a terminal cannot be called off
		line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
		answer <- line
	}()
	select {
	case line := <-answer:
		if !strings.HasSuffix(line, "\n") {
			fmt.Fprintln(s.console)
		}
		return strings.EqualFold(strings.TrimSpace(line), "yes")
	case <-interrupts.first:
		fmt.Fprintln(s.console)
		return false
	}
}

// ended says what became of everything.
func (s *session) ended() error {
	state, code := s.importer.State(), exitDone
	unconfirmed := state.Unconfirmed()
	switch {
	case !state.AddsUp():
		code = exitFailed
	case !state.Position.Done:
		code = exitFailed // segsync verify, of an import that was not finished
	case unconfirmed > 0:
		code = exitUnconfirmed
	case state.Counts.Rejected+state.Counts.Vanished > 0:
		code = exitNotImported
	}
	if err := s.printSummary(code, nil); err != nil {
		s.printError(err)
		code = exitFailed
	}
	if n := state.Counts.Rejected + state.Counts.Vanished; n > 0 {
		s.log.Warn("some profiles were not imported; try them again with --profiles-from", "profiles", n,
			"file", s.files.Path(s.files.NotImported))
	}
	if !state.Position.Done {
		s.say("The import itself is not finished.", s.continueCommand(), code)
	} else if unconfirmed > 0 {
		s.say(fmt.Sprintf("%d customers are sent, not confirmed.", unconfirmed), s.verifyCommand(), code)
	}
	return exitWith(code)
}

// stopped says where the import ended before its time, and how to continue it.
func (s *session) stopped(code int, cause error) error {
	if err := s.printSummary(code, cause); err != nil {
		s.printError(err)
	}
	s.say("Stopped at the offset: "+s.offset(), s.continueCommand(), code)
	return exitWith(code)
}

// say prints the last lines of an import with which something is left to do.
func (s *session) say(what, command string, code int) {
	if s.options.logFormat == "json" {
		s.log.Error(what, "offset", s.offset(), "continue", command, "exit_code", code)
		return
	}
	fmt.Fprintf(s.console, "%s\nContinue with: %s\n", what, command)
}

func exitWith(code int) error {
	if code == exitDone {
		return nil
	}
	return &exitError{code: code}
}

func (s *session) printError(err error) {
	if s.options.logFormat == "json" {
		s.log.Error(err.Error(), "hints", hints(err))
		return
	}
	printError(s.console, err)
}

// printUnlessStopped prints the error of an interrupted run, unless it says no more
// than that.
func (s *session) printUnlessStopped(err error) {
	if err != nil && !errors.Is(err, importer.ErrStopped) && !errors.Is(err, context.Canceled) {
		s.printError(err)
	}
}

// continueCommand returns the command that continues the import, with the flags that were
// given to this one.
func (s *session) continueCommand() string {
	if at := s.importer.State().Position; at.Done || at.Pass > 0 {
		return "segsync import --resume" + s.givenFlags()
	}
	return "segsync import --offset " + shellQuote(s.offset()) + s.givenFlags()
}

// verifyCommand returns the command that asks again for what is not confirmed.
func (s *session) verifyCommand() string {
	if s.options.sandbox {
		return "segsync import --resume" + s.givenFlags()
	}
	return "segsync verify" + s.flagsOf(newVerifyCommand().Flags())
}

func (s *session) givenFlags() string { return s.flagsOf(newImportCommand().Flags()) }

// flagsOf returns those of the given flags that the other command has, too.
func (s *session) flagsOf(other *pflag.FlagSet) string {
	words := ""
	s.flags.Visit(func(f *pflag.Flag) {
		switch {
		case other.Lookup(f.Name) == nil, f.Name == "offset", f.Name == "resume", f.Name == "dir":
		case f.Value.Type() == "bool":
			words += " --" + f.Name
		default:
			words += " --" + f.Name + " " + shellQuote(f.Value.String())
		}
	})
	if s.options.dir != s.flags.Lookup("dir").DefValue {
		words += " --dir " + shellQuote(s.options.dir)
	}
	return words
}

// shellQuote quotes a word for a POSIX shell, if it needs it.
func shellQuote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./:=@%,", r)
	}
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool { return !plain(r) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
