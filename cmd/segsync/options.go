package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
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
	recheck        bool
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
	if o.recheck && o.noCatchUp {
		bad("--recheck and --no-catch-up exclude each other")
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
	errs = append(errs, o.overwritten()...)
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

// overwritten returns an error for each flag whose file would take the place of one that is
// read, or of one that is the import's own.
func (o *importOptions) overwritten() []error {
	taken := append(o.files().Paths(), importer.NewFiles(o.dir, "").Paths()...)
	taken = append(taken, filepath.Join(o.dir, lockFile), o.envFile, o.profilesFrom, o.mapping)
	var errs []error
	for _, f := range []struct{ flag, file string }{{"output", o.output}, {"summary", o.summary}, {"metrics-file", o.metricsFile}} {
		if f.file != "" && slices.ContainsFunc(taken, func(other string) bool { return other != "" && sameFile(f.file, other) }) {
			errs = append(errs, fmt.Errorf("--%s %s would overwrite a file that this command needs", f.flag, f.file))
		}
	}
	return errs
}

// plausibleOffset tells an offset, which is whatever Segment's list gave as its cursor,
// from what a slip of the fingers gives: a sign, a fraction, a word.
func plausibleOffset(s string) bool {
	return strings.ContainsFunc(s, unicode.IsDigit) && !strings.HasPrefix(s, "-") &&
		!strings.ContainsFunc(s, func(r rune) bool {
			return r > unicode.MaxASCII || !unicode.IsPrint(r) || strings.ContainsRune(" .,+\"'`$\\", r)
		})
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

// carryOut runs a command if its flags are in order, and sees to it that the files that monitoring reads do not speak
// of an earlier run: there is no summary until this one ends, and where it ends before
// there is anything to summarize, the metrics tell its exit code.
func (o *importOptions) carryOut(cmd *cobra.Command, command func(*cobra.Command, *importOptions) error) error {
	began := time.Now()
	if err := o.check(cmd.Flags()); err != nil {
		return o.logged(&exitError{exitUsage, &hinted{err, fmt.Sprintf("see %s --help", cmd.CommandPath())}})
	}
	if o.summary != "" {
		if err := os.Remove(o.summary); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return o.logged(&exitError{exitUsage, fmt.Errorf("--summary: %w", err)})
		}
	}
	err := command(cmd, o)
	var early *exitError
	if o.metricsFile != "" && errors.As(err, &early) && early.err != nil && early.code != exitLocked {
		var m metrics
		m.addRun(began, &early.code)
		early.err = errors.Join(early.err, m.writeTo(o.metricsFile))
	}
	return o.logged(err)
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
