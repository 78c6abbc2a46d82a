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
	"slices"
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

// session is one execution of a command that reads or imports: its importer, run once and
// perhaps resumed once, and what it tells people.
type session struct {
	options             *importOptions
	settings            *settings
	command             string
	files               importer.Files
	flags               *pflag.FlagSet
	importer            *importer.Importer
	segment, voucherify *httpretry.Transport
	segmentClient       *segmentprofiles.Client
	voucherifyClient    *voucherify.Client
	schemaRead          bool

	stdout    io.Writer // for the summary
	customers io.Writer // of a dry run, else nil
	// closeCustomers closes a file of customers; nil if there is none.
	closeCustomers func() error
	console        *console // stderr
	log            *slog.Logger
	interactive    bool
	attempts       int   // of each request; 0 means the usual number
	total          int64 // number of profiles, or -1 if it is not known
	began          time.Time
}

// newSession returns a session that can speak. total is the number of profiles, or -1 if
// it is not known.
func newSession(cmd *cobra.Command, o *importOptions, set *settings, total int64) *session {
	s := &session{options: o, command: cmd.CommandPath(), flags: cmd.Flags(), stdout: cmd.OutOrStdout(), began: time.Now()}
	terminal := term.IsTerminal(int(os.Stderr.Fd()))
	s.interactive = terminal && term.IsTerminal(int(os.Stdin.Fd())) && !o.nonInteractive
	s.console = newConsole(os.Stderr, terminal && !o.quiet && o.logFormat == "text", total)
	s.log = o.newLogger(s.console)
	s.settings, s.total = set, total
	return s
}

// identity says what this import is about. The embedded sandbox is the same one at
// whatever port it listens.
func (s *session) identity(profiles []segmentprofiles.Identifier) importer.Identity {
	id := s.settings.identity(profiles)
	if s.options.sandbox {
		id.SegmentURL, id.VoucherifyURL = "sandbox", "sandbox"
	}
	return id
}

// connect makes the importer and the clients below it.
func (s *session) connect(set *settings, files importer.Files, profiles []segmentprofiles.Identifier, state *importer.State) error {
	s.segment = httpretry.New(httpretry.Options{
		API: "Segment", Rate: set.segmentRate, Attempts: s.attempts, MaxWait: s.options.maxWait, Secrets: set.secrets(), Log: s.log,
	})
	s.voucherify = httpretry.New(httpretry.Options{
		API: "Voucherify", Bucket: voucherifyBuckets(set.reserve), Attempts: s.attempts, MaxWait: s.options.maxWait, Secrets: set.secrets(), Log: s.log,
	})
	segment, err := segmentprofiles.NewClient(s.segment.Client(), set.segmentURL, set.spaceID, set.segmentToken)
	if err != nil {
		return err
	}
	vch, err := voucherify.NewClient(s.voucherify.Client(), set.voucherifyURL, set.appID, set.secretKey)
	if err != nil {
		return err
	}
	s.files, s.segmentClient, s.voucherifyClient = files, segment, vch
	s.importer = importer.New(segment, vch, importer.Settings{
		Identifiers: set.identifiers,
		PageSize:    set.pageSize,
		TraitsLimit: set.traitsLimit,
		BatchSize:   set.batchSize,
		Readers:     readers(set.segmentRate),
		Mapping:     set.mapping,
		Files:       files,
		Profiles:    profiles,
		CatchUp:     !s.options.noCatchUp,
		Verify: importer.Verify{
			Off:      s.options.verify == "off" || s.customers != nil,
			Interval: s.options.verifyInterval,
			Timeout:  s.options.verifyTimeout,
		},
		MaxRejects: s.options.maxRejects,
		DryRun:     s.customers,
	}, state, s.log)
	return nil
}

// readSchema reads the metadata schema once, where it can matter.
func (s *session) readSchema(ctx context.Context) error {
	policy := s.settings.metadataPolicy
	if s.schemaRead || policy == asIs || !s.settings.mapping.Metadata.Any() {
		return nil
	}
	schema, err := s.voucherifyClient.MetadataSchema(ctx, "customer")
	var answer *voucherify.Error
	forbidden := errors.As(err, &answer) && answer.Forbidden()
	switch {
	case err != nil && answer != nil && answer.Unknown() && policy == "":
		s.log.Warn("this Voucherify has no metadata schemas: metadata is sent as it is", "cause", err)
	case forbidden && policy == "":
		s.log.Warn("the application key may not read the metadata schema: metadata is sent as it is; "+
			"allow it, or set METADATA_POLICY=as-is", "cause", err)
	case forbidden:
		return &hinted{fmt.Errorf("reading the metadata schema: %w", err),
			"METADATA_POLICY=strict-to-schema needs the metadata schema; METADATA_POLICY=as-is does without it"}
	case err != nil:
		return fmt.Errorf("reading the metadata schema: %w", err)
	case schema != nil:
		strict := policy == strictToSchema || schema.AllowDefinedOnly
		s.log.Debug("metadata schema read", "keys", len(schema.Properties), "strict", strict)
		s.importer.UseSchema(importer.NewSchema(schema), strict)
	}
	s.schemaRead = true
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

// readers returns how many profiles to read at once to begin with: enough to use the usual
// quota while answers take up to a second and more, few enough to stay small where there
// is no quota to speak of. The importer then tries whether more help.
func readers(rate float64) int {
	switch {
	case rate > 2000:
		return 32
	case rate > 200:
		return 128 // more of them stand in line before the request for the next page
	}
	return int(max(2*rate, 8))
}

func (s *session) close() {
	s.segment.CloseIdleConnections()
	s.voucherify.CloseIdleConnections()
}

// run carries out the import, asks after the first error whether to resume, and says how
// it ended.
func (s *session) run(ctx context.Context, do func(context.Context) error) error {
	interrupts := watchInterrupts(ctx, func() {
		s.importer.Stop()
		s.segment.Hurry()
		s.voucherify.Hurry()
	}, s.log)
	defer interrupts.close()
	s.announce()
	for attempt := 1; ; attempt++ {
		stopProgress := s.showProgress(interrupts.ctx)
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
		code := exitCodeOf(err)
		if attempt == 2 || !s.interactive || s.customers != nil || code == exitLater || !s.askResume(s.offset(), interrupts) {
			return s.stopped(cmp.Or(interrupts.exitCode(), code), err)
		}
	}
}

// announce says what is about to be done.
func (s *session) announce() {
	state := s.importer.State()
	if s.customers != nil {
		s.log.Info("dry run: nothing is sent to Voucherify")
	}
	if s.options.sandbox {
		s.log.Info("importing from the embedded sandbox", "dir", s.files.Dir)
	}
	if s.console.bar == nil {
		s.log.Info(s.what()+" begins", "space", state.Identity.Space, "identifier", state.Identity.Identifier, "dir", s.files.Dir)
	}
	if state.Counts.Read > 0 {
		s.log.Info("continuing the import in this directory", "offset", s.offset(), "profiles", state.Counts.Read,
			"unconfirmed", state.Unconfirmed())
	}
}

// what is import or verify.
func (s *session) what() string { return strings.TrimPrefix(s.command, "segsync ") }

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
	var unverified *importer.VerifyError
	switch {
	case errors.As(err, &unverified) && !waits(err):
		return exitUnconfirmed
	case anyOf(err, func(err error) bool { w, ok := err.(interface{ Refused() bool }); return ok && w.Refused() }):
		return exitUsage
	case waits(err):
		return exitLater
	}
	return exitFailed
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
	code = s.report(code, nil)
	if n := state.Counts.Rejected + state.Counts.Vanished; n > 0 {
		s.log.Warn("some profiles were not imported; try them again with --profiles-from", "profiles", n,
			"file", s.files.Path(s.files.NotImported))
	}
	if state.Counts.Read == 0 && state.From != importer.Beginning && s.options.profilesFrom == "" {
		s.log.Warn("nothing was read: the offset is past the end of the list", "offset", state.From)
	}
	if !state.Position.Done {
		s.say("The import itself is not finished.", s.continueCommand(), code)
	} else if state.HasFailed() {
		s.say("Customers of failed async actions are to be sent again.", s.continueCommand(), code)
	} else if unconfirmed > 0 {
		s.say(fmt.Sprintf("%d customers are sent, not confirmed.", unconfirmed), s.verifyCommand(), code)
	}
	return exitWith(code)
}

// stopped says where the import ended before its time, and how to continue it.
func (s *session) stopped(code int, cause error) error {
	code = s.report(code, cause)
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
	if c := sum.Counts; s.console.bar == nil {
		s.log.Info(s.what()+" ended", "exit_code", code, "profiles", c.Read, "confirmed", c.Confirmed, "rejected", c.Rejected,
			"unconfirmed", c.Unconfirmed, "would_send", c.WouldSend, "without_identifier", c.WithoutIdentifier,
			"vanished", c.Vanished, "merged", c.Merged)
	}
	s.printSummary(sum)
	if err := errors.Join(summaryErr, metricsErr); err != nil {
		s.printError(err)
	}
	return code
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
	if at := s.importer.State().Position; s.customers != nil && (s.options.output != "" || at.Done || at.Pass > 0) {
		return "segsync import --offset " + shellQuote(s.options.offset) + s.givenFlags() // all of it again
	}
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
		case f.Value.Type() == "bool" && f.Value.String() == "true":
			words += " --" + f.Name
		case f.Value.Type() == "bool":
			words += " --" + f.Name + "=false"
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
