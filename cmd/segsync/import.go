package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"segsync/importer"
	"segsync/internal/sandbox"
	"segsync/segmentprofiles"
)

// importOptions are the flags of segsync import, and of segsync verify, which has some of
// them.
type importOptions struct {
	commonOptions
	offset         string
	resume         bool
	profilesFrom   string
	since          string
	mapping        string
	noCatchUp      bool
	verify         string
	verifyInterval time.Duration
	maxRejects     int
	sandbox        bool
	dryRun         bool
	output         string
	noCount        bool
	nonInteractive bool
}

// commonOptions are the flags that both have.
type commonOptions struct {
	dir            string
	envFile        string
	verifyTimeout  time.Duration
	maxWait        time.Duration
	summary        string
	metricsFile    string
	logFormat      string
	verbose, quiet bool
}

func (o *commonOptions) addTo(f *pflag.FlagSet) {
	f.StringVar(&o.dir, "dir", ".", "`directory` for the files of the import")
	f.StringVar(&o.envFile, "env-file", ".env", "`file` with settings")
	f.DurationVar(&o.verifyTimeout, "verify-timeout", 10*time.Minute, "how long to wait for Voucherify to confirm the last customers")
	f.DurationVar(&o.maxWait, "max-wait", 5*time.Minute, "the longest pause asked for by a server that is sat out; after a longer one, exit code 5")
	f.StringVar(&o.summary, "summary", "", "write the summary as JSON to this `file`, too")
	f.StringVar(&o.metricsFile, "metrics-file", "", "write metrics to this `file` every minute, in Prometheus' text format")
	f.StringVar(&o.logFormat, "log-format", "text", "`format` of the log on stderr: text or json")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "log every retry and bulk request")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "log nothing but errors; the summary is printed all the same")
}

func newImportCommand() *cobra.Command {
	var o importOptions
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Import the profiles of a Segment space into Voucherify",
		Long: `Import reads all profiles of a Segment space and upserts them as customers of a
Voucherify project. When it fails or is interrupted, its last lines are the offset
up to which everything was accepted, and the command that continues from there.

Settings are read from the environment, and from the file .env where the
environment has none; .env-example explains them. With --sandbox no settings are
needed.

` + exitCodes,
		Example: `  segsync import --sandbox
  segsync import
  segsync import --offset 400
  segsync import --resume             # for cron: continue what is unfinished, else start
  segsync import --resume --since last
  segsync import --profiles-from not-imported.csv`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(cmd.Flags()); err != nil {
				return o.logged(&exitError{exitUsage, &hinted{err, "see segsync import --help"}})
			}
			return o.logged(runImport(cmd, &o))
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.offset, "offset", importer.Beginning, "start at this `offset` of the profile list")
	f.BoolVar(&o.resume, "resume", false, "continue the unfinished import of this directory; start a new one if there is none")
	f.StringVar(&o.profilesFrom, "profiles-from", "", "import only the profiles that this `file` names, one segment id or type:value a line; - for stdin")
	f.StringVar(&o.since, "since", "", "import only what changed since this `time`: last (the start of the last finished import), 24h, 7d, 2026-11-19T00:00:00Z")
	f.StringVar(&o.mapping, "mapping", "", "map traits as this YAML `file` says (default: $SEGSYNC_MAPPING, else as segsync mapping prints)")
	f.BoolVar(&o.noCatchUp, "no-catch-up", false, "do not look again for profiles that moved while the list was read")
	f.StringVar(&o.verify, "verify", "on", "`on|off`: ask Voucherify what became of the customers sent, or do not")
	f.DurationVar(&o.verifyInterval, "verify-interval", 30*time.Second, "the longest time between two looks at what became of them")
	f.IntVar(&o.maxRejects, "max-rejects", -1, "stop once more than this `number` of customers were rejected; without it there is no limit")
	o.addTo(f)
	f.BoolVar(&o.sandbox, "sandbox", false, "import 500 made-up profiles from an embedded sandbox of both APIs")
	f.BoolVar(&o.dryRun, "dry-run", false, "send nothing to Voucherify: write the customers as JSON, one per line, to stdout")
	f.StringVar(&o.output, "output", "", "write the customers of a dry run to this `file`")
	f.BoolVar(&o.noCount, "no-count", false, "do not spend requests on finding out how many profiles there are")
	f.BoolVar(&o.nonInteractive, "non-interactive", false, "never ask whether to resume")
	f.Lookup("max-rejects").DefValue = "0" // or the help would show -1
	return cmd
}

func newVerifyCommand() *cobra.Command {
	var o importOptions
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Find out what became of customers that were sent, and not confirmed",
		Long: `Verify takes up the async actions that an import left unconfirmed, and waits until
Voucherify has carried them out. It imports nothing.

` + exitCodes,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.offset, o.verify, o.resume, o.maxRejects = importer.Beginning, "on", true, -1
			if err := o.check(cmd.Flags()); err != nil {
				return o.logged(&exitError{exitUsage, &hinted{err, "see segsync verify --help"}})
			}
			return o.logged(runVerify(cmd, &o))
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	o.addTo(f)
	f.DurationVar(&o.verifyInterval, "verify-interval", 30*time.Second, "the longest time between two looks")
	f.StringVar(&o.profilesFrom, "profiles-from", "", "take up the import of the profiles that this `file` names")
	return cmd
}

func (o *importOptions) check(flags *pflag.FlagSet) error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !plausibleOffset(o.offset) {
		bad("--offset %q is no offset: use the number that an earlier run printed", o.offset)
	}
	if o.resume && flags.Changed("offset") {
		bad("--resume and --offset exclude each other: the state file has the offset")
	}
	if o.logFormat != "text" && o.logFormat != "json" {
		bad("--log-format %q: it must be text or json", o.logFormat)
	}
	if o.verify != "on" && o.verify != "off" {
		bad("--verify %q: it must be on or off", o.verify)
	}
	if o.since != "" && o.since != lastImport {
		if _, err := parseSince(o.since, time.Now()); err != nil {
			bad("--since %q: %w", o.since, err)
		}
	}
	if o.output != "" && !o.dryRun {
		bad("--output goes with --dry-run")
	}
	if o.dryRun && o.resume {
		bad("--dry-run and --resume exclude each other: a dry run is not continued")
	}
	if o.since != "" && o.profilesFrom != "" {
		bad("--since and --profiles-from exclude each other")
	}
	if o.maxWait <= 0 {
		bad("--max-wait %s: it must be above 0", o.maxWait)
	}
	if o.verifyInterval <= 0 {
		bad("--verify-interval %s: it must be above 0", o.verifyInterval)
	}
	if o.verifyTimeout < 0 {
		bad("--verify-timeout %s is negative", o.verifyTimeout)
	}
	if flags.Changed("max-rejects") && o.maxRejects < 0 {
		bad("--max-rejects %d is negative", o.maxRejects)
	}
	if o.verbose && o.quiet {
		bad("--verbose and --quiet exclude each other")
	}
	for _, name := range []string{"summary", "metrics-file"} {
		path := flags.Lookup(name).Value.String()
		if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
			bad("--%s %s is not a regular file", name, path)
		}
		if _, err := os.Stat(filepath.Dir(path)); path != "" && err != nil {
			bad("--%s: %w", name, err)
		}
	}
	if o.output != "" && (o.output == o.summary || o.output == o.metricsFile) || o.summary != "" && o.summary == o.metricsFile {
		bad("--output, --summary and --metrics-file must name different files")
	}
	for _, name := range []string{"dir", "env-file", "profiles-from", "mapping", "since", "summary", "output", "metrics-file"} {
		if flags.Changed(name) && flags.Lookup(name).Value.String() == "" {
			bad("--%s is empty", name)
		}
	}
	return errors.Join(errs...)
}

// plausibleOffset tells an offset, which is whatever Segment's list gave as its cursor,
// from what a slip of the fingers gives: a sign, a fraction, a word.
func plausibleOffset(s string) bool {
	return strings.ContainsFunc(s, unicode.IsDigit) && !strings.HasPrefix(s, "-") &&
		!strings.ContainsFunc(s, func(r rune) bool {
			return r > unicode.MaxASCII || !unicode.IsPrint(r) || strings.ContainsRune(" .,+\"'`$\\", r)
		})
}

func runImport(cmd *cobra.Command, o *importOptions) error {
	settings, total, closeSandbox, err := o.settings(cmd.Flags())
	if err != nil {
		return err
	}
	defer closeSandbox()
	if o.sandbox && !cmd.Flags().Changed("dir") {
		if o.dir, err = os.MkdirTemp("", "segsync-"); err != nil {
			return &exitError{exitFailed, err}
		}
	}
	if err := settings.readMapping(o.mapping); err != nil {
		return &exitError{exitUsage, err}
	}
	profiles, err := o.profiles(cmd)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if profiles != nil {
		total = int64(len(profiles))
		if n, err := strconv.Atoi(o.offset); err != nil || n > len(profiles) {
			return &exitError{exitUsage, fmt.Errorf("--offset %s is not within the %d profiles of --profiles-from", o.offset, len(profiles))}
		}
	}
	if o.sandbox && !cmd.Flags().Changed("dir") {
		if o.dir, err = os.MkdirTemp("", "segsync-"); err != nil {
			return &exitError{exitFailed, err}
		}
	}
	unlock, err := lockDir(o.dir)
	if err != nil {
		return err
	}
	defer unlock()
	s := newSession(cmd, o, settings, total)
	state, err := s.chooseState(s.identity(profiles), o.files())
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if o.dryRun {
		if err := s.openOutput(); err != nil {
			return &exitError{exitUsage, err}
		}
	}
	if err := s.connect(settings, o.files(), profiles, state); err != nil {
		return &exitError{exitUsage, err}
	}
	defer s.close()
	return s.run(cmd.Context(), func(ctx context.Context) error {
		if err := s.readSchema(ctx); err != nil {
			return err
		}
		err := s.importer.Run(ctx)
		if s.closeCustomers != nil { // a dry run is not resumed
			err = errors.Join(err, s.closeCustomers())
		}
		return err
	})
}

func runVerify(cmd *cobra.Command, o *importOptions) error {
	settings, total, _, err := o.settings(cmd.Flags())
	if err != nil {
		return err
	}
	profiles, err := o.profiles(cmd)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	noImport := &hinted{fmt.Errorf("there is no import in %s", o.dir), "use the --dir of the import"}
	if _, err := os.Stat(o.dir); errors.Is(err, os.ErrNotExist) {
		return &exitError{exitUsage, noImport} // and none is made by locking
	}
	unlock, err := lockDir(o.dir)
	if err != nil {
		return err
	}
	defer unlock()
	s := newSession(cmd, o, settings, total)
	state, err := importer.LoadState(o.files().Path(o.files().State))
	if err == nil && state == nil {
		err = noImport
	}
	if err == nil {
		id := settings.identity(profiles)
		id.Mapping = state.Mapping // nothing is mapped
		err = refuseOther(state, id, o.files())
	}
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if err := s.connect(settings, o.files(), profiles, state); err != nil {
		return &exitError{exitUsage, err}
	}
	defer s.close()
	return s.run(cmd.Context(), s.importer.Verify)
}

// settings loads the settings, and starts the sandbox if it is asked for; total is then
// the number of its profiles, else -1.
func (o *importOptions) settings(flags *pflag.FlagSet) (set *settings, total int64, closeSandbox func(), err error) {
	total, closeSandbox = -1, func() {}
	fromEnv := lookupIn(nil)
	if !o.sandbox || flags.Changed("env-file") {
		file, err := readEnvFile(o.envFile, flags.Changed("env-file"))
		if err != nil {
			return nil, 0, nil, &exitError{exitUsage, err}
		}
		fromEnv = lookupIn(file)
	}
	if o.sandbox {
		box := sandbox.New(sandbox.Options{
			Profiles: 500, Seed: 1, RateLimit: 100, Latency: 50 * time.Millisecond, PastActions: true,
		})
		server, err := box.Listen("127.0.0.1:0")
		if err != nil {
			return nil, 0, nil, &exitError{exitFailed, err}
		}
		closeSandbox = func() { server.Close() }
		total = 500
		fromEnv = lookupFirst(box.Settings(server.URL), fromEnv)
	}
	set, err = loadSettings(fromEnv)
	if err != nil {
		closeSandbox()
		return nil, 0, nil, &exitError{exitUsage, err}
	}
	return set, total, closeSandbox, nil
}

// logged turns an error into a line of the log where that is JSON, so that every line
// of stderr is.
func (o *importOptions) logged(err error) error {
	var exit *exitError
	if o.logFormat != "json" || !errors.As(err, &exit) || exit.err == nil {
		return err
	}
	o.newLogger(os.Stderr).Error(exit.err.Error(), "hints", hints(exit.err))
	return &exitError{code: exit.code}
}

// lookupFirst returns a lookup in the sandbox's own settings, then in rest.
func lookupFirst(own []sandbox.Setting, rest func(string) string) func(string) string {
	return func(name string) string {
		for _, s := range own {
			if s.Name == name {
				return s.Value
			}
		}
		return rest(name)
	}
}

// openOutput opens what a dry run writes customers to. When that is stdout, the summary
// goes to stderr.
func (s *session) openOutput() error {
	if s.options.output == "" {
		s.customers, s.stdout = s.stdout, s.console
		return nil
	}
	file, err := os.OpenFile(s.options.output, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("--output: %w", err)
	}
	if err := file.Chmod(0o600); err != nil && runtime.GOOS != "windows" { // it was there before
		file.Close()
		return fmt.Errorf("--output: %w", err)
	}
	s.customers, s.closeCustomers = file, file.Close
	return nil
}

// profiles returns the profiles of --profiles-from, or nil for all of the space.
func (o *importOptions) profiles(cmd *cobra.Command) ([]segmentprofiles.Identifier, error) {
	if o.profilesFrom == "" {
		return nil, nil
	}
	profiles, err := readProfiles(o.profilesFrom, cmd.InOrStdin())
	if err != nil {
		return nil, fmt.Errorf("--profiles-from: %w", err)
	}
	if len(profiles) == 0 {
		o.newLogger(cmd.ErrOrStderr()).Warn("--profiles-from names no profile; lines of a report without an id are passed over",
			"file", o.profilesFrom)
	}
	return profiles, nil
}

// files returns the names of the files of this import. With --profiles-from they have
// "-retry" before the ending, as often as it takes to keep clear of the file that is read.
func (o *importOptions) files() importer.Files {
	dry := ""
	if o.dryRun {
		dry = "-dry-run"
	}
	if o.profilesFrom == "" {
		return importer.NewFiles(o.dir, dry)
	}
	for suffix := "-retry"; ; suffix += "-retry" {
		files := importer.NewFiles(o.dir, suffix+dry)
		if !sameFile(o.profilesFrom, files.Path(files.NotImported)) && !sameFile(o.profilesFrom, files.Path(files.WithoutIdentifier)) {
			return files
		}
	}
}

func sameFile(a, b string) bool {
	if infoA, err := os.Stat(a); err == nil {
		if infoB, err := os.Stat(b); err == nil {
			return os.SameFile(infoA, infoB)
		}
	}
	a, errA := filepath.Abs(a)
	b, errB := filepath.Abs(b)
	return errA == nil && errB == nil && a == b
}

// chooseState returns the state to go on from: that of the unfinished import in the
// directory if it is asked for, else a new one.
func (s *session) chooseState(id importer.Identity, files importer.Files) (*importer.State, error) {
	o := s.options
	if o.dryRun {
		imported := importer.NewFiles(o.dir, "")
		old, err := importer.LoadState(imported.Path(imported.State))
		if err != nil && o.since == lastImport {
			return nil, err
		}
		return s.newState(id, old)
	}
	path := files.Path(files.State)
	old, err := importer.LoadState(path)
	switch {
	case errors.Is(err, importer.ErrState) && s.flags.Changed("offset"):
		s.log.Warn("starting anew; the old state is kept as "+path+".bak", "cause", err)
	case errors.Is(err, importer.ErrState):
		return nil, &hinted{err, "move it away, or start anew with --offset 0, which keeps it as " + path + ".bak"}
	case err != nil:
		return nil, err
	case old == nil || !old.Unfinished():
	case o.resume:
		return old, refuseOther(old, id, files)
	case s.flags.Changed("offset") && old.Position.Pass == 0 && !old.Position.Done && old.Position.Offset == o.offset &&
		old.Identity == id:
		return old, nil // the command that the unfinished import printed
	default:
		s.log.Warn("starting anew although the import in this directory is not finished: --resume would continue it; "+
			"its state is kept as "+path+".bak", "offset", old.Position.Offset)
	}
	return s.newState(id, old)
}

// newState returns the state of a new import, after an older one in the same directory or
// nil.
func (s *session) newState(id importer.Identity, old *importer.State) (*importer.State, error) {
	state := importer.NewState(id, s.options.offset)
	if old != nil && old.Identity == id {
		state.LastStarted, state.LastEnded = old.LastStarted, old.LastEnded
	}
	switch {
	case s.options.since == "":
	case s.options.since != lastImport:
		since, err := parseSince(s.options.since, time.Now())
		if err != nil {
			return nil, err
		}
		state.Since = since.Add(-sinceOverlap)
	case state.LastStarted.IsZero():
		s.log.Info("there is no finished import in this directory yet: importing everything")
	default:
		state.Since = state.LastStarted.Add(-sinceOverlap)
	}
	if !state.Since.IsZero() {
		s.log.Info("importing what changed", "since", state.Since.Format(time.RFC3339))
	}
	return state, nil
}

// lastImport is the value of --since for the start of the last finished import.
const lastImport = "last"

// sinceOverlap is how far our clock may be ahead of Segment's.
const sinceOverlap = time.Minute

// parseSince parses a time, or a duration before now.
func parseSince(s string, now time.Time) (time.Time, error) {
	if days, found := strings.CutSuffix(s, "d"); found {
		if n, err := strconv.Atoi(days); err == nil && n > 0 {
			return now.AddDate(0, 0, -n).UTC(), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return now.Add(-d).UTC(), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			if t.After(now) {
				return t, errors.New("it is in the future")
			}
			return t.UTC(), nil
		}
	}
	return time.Time{}, errors.New("it must be last, a duration such as 24h or 7d, or a time such as 2026-11-19T00:00:00Z")
}

// refuseOther returns an error if the state is of another import than id says.
func refuseOther(state *importer.State, id importer.Identity, files importer.Files) error {
	differences := state.Identity.Differences(id)
	if differences == "" {
		return nil
	}
	return &hinted{
		fmt.Errorf("the import in %s is about something else: the settings now have %s", files.Dir, differences),
		"restore the settings, use another --dir, or start anew with --offset 0",
	}
}

func (o *commonOptions) newLogger(w io.Writer) *slog.Logger {
	level := slog.LevelInfo
	switch {
	case o.verbose:
		level = slog.LevelDebug
	case o.quiet:
		level = slog.LevelError
	}
	options := &slog.HandlerOptions{Level: level}
	if o.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
