package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"segsync/importer"
	"segsync/importer/journal"
	"segsync/segmentprofiles"
)

func newImportCommand() *cobra.Command {
	var o importOptions
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Import the profiles of a Segment space into Voucherify",
		Long: `Import reads all profiles of a Segment space and upserts them as customers of a
Voucherify project. It first tries again what earlier imports could not import.`,
		Example: `  segsync import --sandbox                # needs no settings
  segsync import --resume                 # continue what is unfinished, else start
  segsync import --resume --since last    # every night`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run.carryOut(cmd, o.check(cmd.Flags()), func() error { return runImport(cmd, &o) })
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.IntVar(&o.choose.limit, "limit", 0, "import this `number` of profiles and stop there; --resume goes on (default: all)")
	f.StringVar(&o.choose.since, "since", "", "import only what changed since this `time`: last (the start of the last finished import), 24h, 7d, 2026-11-19T00:00:00Z")
	f.StringVar(&o.run.profilesFrom, "profiles-from", "", "import only the profiles that this `file` names, one segment id or type:value a line; - for stdin")
	o.run.settings.addMapping(f)
	f.BoolVar(&o.run.settings.sandbox, "sandbox", false, "import 500 made-up profiles from an embedded sandbox of both APIs")
	f.BoolVar(&o.start.resume, "resume", false, "continue the unfinished import of this directory; start a new one if there is none")
	f.BoolVar(&o.start.restart, "restart", false, "start anew, whatever is in the directory")
	f.StringVar(&o.start.offset, "offset", importer.Beginning, "start at this `offset` of the profile list; 0 always starts anew")
	f.BoolVar(&o.start.noRetry, "no-retry-rejected", false, "do not first try again what earlier imports could not import")
	f.BoolVar(&o.dry.run, "dry-run", false, "send nothing to Voucherify: write the customers as JSON, one per line, to stdout")
	f.StringVar(&o.dry.output, "output", "", "write the customers of a dry run to this `file`")
	f.BoolVar(&o.choose.onlyChanges, "only-changes", false, "take an export of Voucherify's customers first, and send only what would be created, changed or cleared")
	f.IntVar(&o.choose.maxClears, "max-clears", -1, "stop before a field would be cleared in more than this `number` of customers (default 5 % of those sent, at least 100)")
	f.Lookup("max-clears").DefValue = "0"
	f.StringVar(&o.run.confirm.verify, "verify", "on", "`on|off`: ask Voucherify what became of the customers sent, or do not")
	f.IntVar(&o.run.confirm.maxRejects, "max-rejects", -1, "stop once more than this `number` of customers were rejected; without it there is no limit")
	f.Lookup("max-rejects").DefValue = "0" // or the help would show -1
	o.run.addTo(f)
	f.BoolVar(&o.choose.values, "warn-values", false, "write the values that could not be used to warnings.csv, too: personal data")
	f.BoolVar(&o.choose.noCatchUp, "no-catch-up", false, "do not look again for profiles that moved while the list was read")
	f.BoolVar(&o.choose.recheck, "recheck", false, "read the whole list again at the end, for profiles that were passed over while others were deleted or merged")
	f.DurationVar(&o.run.confirm.interval, "verify-interval", 30*time.Second, "the longest time between two looks at what became of them")
	f.BoolVar(&o.run.wait.nonInteractive, "non-interactive", false, "never ask whether to resume")
	groupImportFlags(f)
	for _, pair := range [][]string{
		{"resume", "offset"}, {"resume", "restart"}, {"offset", "restart"}, {"dry-run", "resume"}, {"recheck", "no-catch-up"},
		{"since", "profiles-from"}, {"verbose", "quiet"},
	} {
		cmd.MarkFlagsMutuallyExclusive(pair...)
	}
	return cmd
}

// groupImportFlags puts the flags into the groups of the help.
func groupImportFlags(f *pflag.FlagSet) {
	group(f, "What", "from", "limit", "since", "profiles-from", "mapping", "env-file", "sandbox")
	group(f, "Where it continues", "dir", "resume", "restart", "offset", "no-retry-rejected", "non-interactive")
	group(f, "Sending and confirming", "dry-run", "output", "only-changes", "max-clears", "verify", "max-rejects")
	group(f, "Output", "summary", "metrics-file", "log-format", "color", "verbose", "quiet", "warn-values")
	group(f, "Tuning", "no-catch-up", "recheck", "retry-for", "max-wait", "verify-interval", "verify-timeout")
}

// memoryLimit is where an import collects garbage before it is as much as what is in use.
// Bulk requests of 10 MB, of which three are in memory, take some 50 MB.
const memoryLimit = 96 << 20

func runImport(cmd *cobra.Command, o *importOptions) (err error) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	s, err := newSession(cmd, &o.run)
	if err != nil {
		return err
	}
	defer func() { s.tellEarly(err) }()
	s.dry, s.catchUp = o.dry, !o.choose.noCatchUp
	s.extent.limit = o.choose.limit
	if err := s.connect(); err != nil {
		return err
	}
	defer s.apis.close()
	if err := s.openFrom(cmd); err != nil {
		return err
	}
	profiles, err := o.profiles(cmd, s.tell.log)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if profiles != nil {
		s.extent.total = int64(len(profiles))
	}
	if o.run.settings.sandbox && !cmd.Flags().Changed("dir") {
		if o.run.dir, err = os.MkdirTemp("", "segsync-"); err != nil {
			return &exitError{exitFailed, err}
		}
	}
	if err := s.makeDir(o.run.dir, o.start.resume || o.choose.since == lastImport); err != nil {
		return err
	}
	unlock, err := lockDir(o.run.dir)
	if err != nil {
		return err
	}
	defer unlock()
	if o.dry.run {
		if err := s.openOutput(); err != nil {
			return &exitError{exitUsage, err}
		}
	}
	mode := o.start.mode(cmd.Flags().Changed("offset"))
	err = s.importOnce(cmd.Context(), o, profiles, mode)
	var exit *exitError
	done := err == nil || errors.As(err, &exit) && exit.code == exitNotImported // which the next one tries again
	if !done || !s.continued || o.choose.since == "" || s.importer.State().Unfinished() {
		return err
	}
	// What was unfinished is finished now; the import that was asked for comes after it.
	s.earlier = s.requests()
	return s.importOnce(cmd.Context(), o, profiles, journal.Plain)
}

// importOnce carries out one import: the unfinished one of the directory or a new one.
func (s *session) importOnce(ctx context.Context, o *importOptions, profiles []segmentprofiles.Identifier, mode journal.Mode) error {
	start, err := o.journalStart(s.identity(profiles), mode)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if err := s.openJournal(o.run.names(o.dry.run), start); err != nil {
		return err
	}
	settings := s.importSettings()
	settings.Profiles, settings.MaxClears = profiles, o.choose.maxClears
	settings.CatchUp, settings.Recheck, settings.Limit = !o.choose.noCatchUp, o.choose.recheck, o.choose.limit
	settings.RetryOutstanding = !o.start.noRetry && !o.dry.run
	s.importer = importer.New(s.apis.segment, s.apis.voucherify, settings, s.journal, s.tell.log)
	s.schemaRead = false
	return s.carryOut(ctx, func(ctx context.Context) error {
		if err := s.readSchema(ctx); err != nil {
			return err
		}
		run := s.importer.Run
		if o.choose.onlyChanges {
			run = s.runOnlyChanges
		}
		err := run(ctx)
		if s.closeCustomers != nil { // a dry run is not resumed
			err = errors.Join(err, s.closeCustomers())
		}
		return err
	})
}

// journalStart says what import the flags ask for.
func (o *importOptions) journalStart(id journal.Identity, mode journal.Mode) (journal.Start, error) {
	start := journal.Start{Identity: id, Mode: mode, Confirm: o.run.confirm.verify == "on", WarnValues: o.choose.values, Offset: o.start.offset, SinceLast: o.choose.since == lastImport}
	if o.choose.since != "" && !start.SinceLast {
		var err error
		if start.Since, err = parseSince(o.choose.since, time.Now()); err != nil {
			return start, fmt.Errorf("--since %q: %w", o.choose.since, err)
		}
	}
	if o.dry.run {
		start.Mode, start.Basis = journal.Anew, journal.NewNames(o.run.dir, "")
	}
	return start, nil
}

// profiles returns the profiles of --profiles-from, or nil for all of the space.
func (o *importOptions) profiles(cmd *cobra.Command, log *slog.Logger) ([]segmentprofiles.Identifier, error) {
	profiles, err := o.run.profiles(cmd.InOrStdin(), log)
	if err != nil || profiles == nil {
		return nil, err
	}
	if n, err := strconv.Atoi(o.start.offset); err != nil || n > len(profiles) {
		return nil, fmt.Errorf("--offset %s is not within the %d profiles of --profiles-from", o.start.offset, len(profiles))
	}
	return profiles, nil
}

func (o *runFlags) profiles(stdin io.Reader, log *slog.Logger) ([]segmentprofiles.Identifier, error) {
	if o.profilesFrom == "" {
		return nil, nil
	}
	profiles, err := readProfiles(o.profilesFrom, stdin)
	if err != nil {
		return nil, fmt.Errorf("--profiles-from: %w", err)
	}
	if len(profiles) == 0 {
		log.Warn("--profiles-from names no profile; lines of a report without an id are passed over", "file", o.profilesFrom)
	}
	return profiles, nil
}

// openOutput opens what a dry run writes customers to. When that is stdout, the summary
// goes to stderr. A device or a pipe is written to as it is.
func (s *session) openOutput() error {
	if s.dry.output == "" {
		s.customers, s.tell.stdout = s.tell.plain, s.tell.stderr
		return nil
	}
	info, err := os.Stat(s.dry.output)
	regular := errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode().IsRegular()
	flags := os.O_WRONLY
	if regular {
		flags |= os.O_CREATE | os.O_TRUNC
	}
	file, err := os.OpenFile(s.dry.output, flags, 0o600)
	if err != nil {
		return fmt.Errorf("--output: %w", err)
	}
	if regular && runtime.GOOS != "windows" { // it may have been there before
		if err := file.Chmod(0o600); err != nil {
			file.Close()
			return fmt.Errorf("--output: %w", err)
		}
	}
	s.customers, s.closeCustomers = file, file.Close
	return nil
}
