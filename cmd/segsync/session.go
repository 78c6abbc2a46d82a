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
	"segsync/importer/mapping"
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
func (s *session) connect(files importer.Files, profiles []segmentprofiles.Identifier, state *importer.State) error {
	set := s.settings
	s.segment = httpretry.New(httpretry.Options{
		API: "Segment", Rate: set.segmentRate, Attempts: s.attempts, MaxWait: s.options.maxWait, Secrets: set.secrets(), Log: s.log,
	})
	s.voucherify = httpretry.New(httpretry.Options{
		API: "Voucherify", Bucket: voucherifyBuckets(set.reserve), Attempts: s.attempts, MaxWait: s.options.maxWait,
		Secrets: set.secrets(), RedactAll: true, Log: s.log,
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
		Recheck:     s.options.recheck,
		Verify: importer.Verify{
			Off:      s.options.verify == "off" || s.options.dryRun,
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
		strict := s.settings.strict(schema)
		s.log.Debug("metadata schema read", "keys", len(schema.Properties), "strict", strict)
		s.importer.UseSchema(mapping.NewSchema(schema), strict)
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
		if attempt == 2 || !s.interactive || s.options.dryRun || code == exitLater || !s.askResume(s.offset(), interrupts) {
			return s.stopped(cmp.Or(interrupts.exitCode(), code), err)
		}
	}
}

// announce says what is about to be done.
func (s *session) announce() {
	state := s.importer.State()
	if s.options.dryRun {
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
