package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/pflag"

	"segsync/importer/journal"
)

// settingsFlags say where settings come from.
type settingsFlags struct {
	envFile string
	mapping string
	from    string // where the profiles come from: see from.go
	offline bool   // Voucherify is not asked
	sandbox bool
}

func (o *settingsFlags) addEnvFile(f *pflag.FlagSet) {
	f.StringVar(&o.envFile, "env-file", ".env", "`file` with settings")
}

func (o *settingsFlags) addMapping(f *pflag.FlagSet) {
	f.StringVar(&o.mapping, "mapping", "", "map traits as this YAML `file` says (default: $SEGSYNC_MAPPING, else as segsync mapping prints)")
}

// mappingSetting returns the mapping file that the settings name, "" if they name none or
// cannot be read yet.
func (o *settingsFlags) mappingSetting() string {
	file, err := readEnvFile(o.envFile, false)
	if err != nil {
		file = nil // loading the settings says so
	}
	return lookupIn(file)("SEGSYNC_MAPPING")
}

// runFlags are those that import and verify both have.
type runFlags struct {
	settings     settingsFlags
	dir          string
	profilesFrom string
	confirm      confirmFlags
	wait         waitFlags
	report       reportFlags
}

// confirmFlags say how to find out what became of the customers sent.
type confirmFlags struct {
	verify     string // on or off
	interval   time.Duration
	timeout    time.Duration
	maxRejects int
}

// waitFlags bound what is waited for.
type waitFlags struct {
	maxWait        time.Duration
	retryFor       time.Duration // 0: the default
	nonInteractive bool
}

// reportFlags say what is told, and where.
type reportFlags struct {
	summary        string
	metricsFile    string
	logFormat      string
	color          string
	verbose, quiet bool
}

func (o *runFlags) addTo(f *pflag.FlagSet) {
	f.StringVar(&o.dir, "dir", ".", "`directory` for the files of the import")
	o.settings.addEnvFile(f)
	o.settings.addFrom(f)
	f.DurationVar(&o.confirm.timeout, "verify-timeout", 10*time.Minute, "how long to wait for Voucherify to confirm the last customers")
	f.DurationVar(&o.wait.maxWait, "max-wait", 5*time.Minute, "the longest pause to wait out when a server asks for one; after a longer one, exit code 5")
	f.DurationVar(&o.wait.retryFor, "retry-for", 0, "how long to retry while an API does not answer (default 30m, on a terminal 3m)")
	f.StringVar(&o.report.summary, "summary", "", "write the summary as JSON to this `file`, too")
	f.StringVar(&o.report.metricsFile, "metrics-file", "", "write metrics to this `file` every minute, in Prometheus' text format")
	f.StringVar(&o.report.logFormat, "log-format", "text", "`format` of the log on stderr: text or json")
	f.StringVar(&o.report.color, "color", "auto", "`when` to use colours on the terminal: auto, always or never")
	f.BoolVarP(&o.report.verbose, "verbose", "v", false, "log every retry, bulk request and warning")
	f.BoolVarP(&o.report.quiet, "quiet", "q", false, "log nothing but errors and warnings about settings; progress and the summary are shown all the same")
}

// startFlags say where an import starts.
type startFlags struct {
	offset  string
	resume  bool
	restart bool
	noRetry bool // of what is outstanding
}

// selectFlags say which profiles are imported.
type selectFlags struct {
	since     string
	noCatchUp bool
	recheck   bool
	limit     int // 0: none
	values    bool
	maxClears int // negative: the default
	// onlyChanges sends only what differs from what Voucherify has.
	onlyChanges bool
}

// dryFlags are those of a dry run.
type dryFlags struct {
	run    bool
	output string
}

// importOptions are the flags of segsync import.
type importOptions struct {
	run    runFlags
	start  startFlags
	choose selectFlags
	dry    dryFlags
}

// mistakes collects what is wrong with flags.
type mistakes []error

func (m *mistakes) add(format string, args ...any) { *m = append(*m, fmt.Errorf(format, args...)) }

func (o *importOptions) check(flags *pflag.FlagSet) error {
	var m mistakes
	if !plausibleOffset(o.start.offset) {
		m.add("invalid offset %q: use the number that an earlier run printed", o.start.offset)
	}
	if o.run.confirm.verify != "on" && o.run.confirm.verify != "off" {
		m.add("--verify %q: it must be on or off", o.run.confirm.verify)
	}
	if o.choose.since != "" && o.choose.since != lastImport {
		if _, err := parseSince(o.choose.since, time.Now()); err != nil {
			m.add("--since %q: %w", o.choose.since, err)
		}
	}
	if o.dry.output != "" && !o.dry.run {
		m.add("--output goes with --dry-run")
	}
	if flags.Changed("limit") && o.choose.limit < 1 {
		m.add("--limit %d: it must be a number of profiles above 0", o.choose.limit)
	}
	if flags.Changed("max-rejects") && o.run.confirm.maxRejects < 0 {
		m.add("--max-rejects %d is negative", o.run.confirm.maxRejects)
	}
	if flags.Changed("max-clears") && o.choose.maxClears < 0 {
		m.add("--max-clears %d is negative", o.choose.maxClears)
	}
	m = append(m, o.run.check(flags, o.dry.output)...)
	m = append(m, o.checkFrom(flags)...)
	return errors.Join(m...)
}

// checkCommon returns what is wrong with the flags that plan has, too.
func (o *runFlags) checkCommon() mistakes {
	var m mistakes
	if o.report.logFormat != "text" && o.report.logFormat != "json" {
		m.add("--log-format %q: it must be text or json", o.report.logFormat)
	}
	if o.wait.maxWait <= 0 {
		m.add("--max-wait %s: it must be above 0", o.wait.maxWait)
	}
	return m
}

// check returns what is wrong with the flags. output is the file of a dry run, or "".
func (o *runFlags) check(flags *pflag.FlagSet, output string) mistakes {
	var m mistakes
	m = append(m, o.checkCommon()...)
	if o.wait.retryFor < 0 || flags.Changed("retry-for") && o.wait.retryFor == 0 {
		m.add("--retry-for %s: it must be above 0", o.wait.retryFor)
	}
	if o.confirm.interval <= 0 {
		m.add("--verify-interval %s: it must be above 0", o.confirm.interval)
	}
	if o.confirm.timeout < 0 {
		m.add("--verify-timeout %s is negative", o.confirm.timeout)
	}
	for _, name := range []string{"summary", "metrics-file"} {
		path := flags.Lookup(name).Value.String()
		if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
			m.add("--%s %s is not a regular file", name, path)
		}
		if path == "" {
			continue
		}
		if err := writable(filepath.Dir(path)); err != nil {
			m.add("--%s %s cannot be written: %w", name, path, err)
		}
	}
	m = append(m, o.overwritten(output)...)
	return append(m, empty(flags, "dir", "env-file", "profiles-from", "mapping", "since", "summary", "output", "metrics-file")...)
}

// empty returns an error for each of the flags that was given an empty value.
func empty(flags *pflag.FlagSet, names ...string) mistakes {
	var m mistakes
	for _, name := range names {
		if flags.Changed(name) && flags.Lookup(name).Value.String() == "" {
			m.add("--%s is empty", name)
		}
	}
	return m
}

// overwritten returns an error for each flag whose file would take the place of one that is
// read, of one that is the import's own, or of another flag's.
func (o *runFlags) overwritten(output string) []error {
	taken := append(o.names(false).Paths(), journal.NewNames(o.dir, "").Paths()...)
	taken = append(taken, o.settings.fromFile(), o.settings.envFile, o.profilesFrom, o.settings.mapping, o.settings.mappingSetting())
	var errs []error
	for _, f := range []struct{ flag, file string }{{"output", output}, {"summary", o.report.summary}, {"metrics-file", o.report.metricsFile}} {
		if f.file == "" {
			continue
		}
		if slices.ContainsFunc(taken, func(other string) bool { return other != "" && sameFile(f.file, other) }) {
			errs = append(errs, fmt.Errorf("--%s %s would overwrite a file that this command needs", f.flag, f.file))
		}
		taken = append(taken, f.file)
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

// names returns the names of the files of this import. With --profiles-from they have
// "-retry" before the ending, as often as it takes to keep clear of the file that is read.
func (o *runFlags) names(dryRun bool) journal.Names {
	dry := ""
	if dryRun {
		dry = "-dry-run"
	}
	if o.profilesFrom == "" {
		return journal.NewNames(o.dir, dry)
	}
	for suffix := "-retry"; ; suffix += "-retry" {
		names := journal.NewNames(o.dir, suffix+dry)
		if !sameFile(o.profilesFrom, names.Path(names.NotImported)) && !sameFile(o.profilesFrom, names.Path(names.WithoutIdentifier)) {
			return names
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
