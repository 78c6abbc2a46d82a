package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"segsync/importer/journal"
	"segsync/internal/app"
	"segsync/internal/settings"
	"segsync/internal/term"
)

// mistakes collects what is wrong with flags.
type mistakes []error

func (m *mistakes) add(format string, args ...any) { *m = append(*m, fmt.Errorf(format, args...)) }

// outputFlags are the flags for how a command speaks.
type outputFlags struct{ term.Options }

func (o *outputFlags) addTo(f *pflag.FlagSet) {
	f.StringVar(&o.LogFormat, "log-format", "text", "`format` of the log on stderr: text or json")
	f.StringVar(&o.Color, "color", "auto", "`when` to use colours on the terminal: auto, always or never")
	f.BoolVarP(&o.Verbose, "verbose", "v", false, "log every retry, bulk request and warning")
	f.BoolVarP(&o.Quiet, "quiet", "q", false, "print nothing where all is well, else the reason and the next command")
}

func (o *outputFlags) check() (m mistakes) {
	if o.LogFormat != "text" && o.LogFormat != "json" {
		m.add("--log-format %q: it must be text or json", o.LogFormat)
	}
	return m
}

func addSettings(f *pflag.FlagSet, o *app.SettingsOptions) {
	f.StringVar(&o.EnvFile, "env-file", ".env", "`file` with settings")
	f.StringVar(&o.Mapping, "mapping", "", "map traits as this YAML `file` says (default: $SEGSYNC_MAPPING, else as segsync mapping prints)")
}

// loadSettings reads the settings and the mapping for a command that needs no credentials.
func loadSettings(cmd *cobra.Command, o app.SettingsOptions) (*settings.Settings, error) {
	o.EnvFileNamed = cmd.Flags().Changed("env-file")
	out, err := newOutput(cmd, term.Options{})
	if err != nil {
		return nil, err
	}
	return app.LoadSettings(out.Log, o, func(env settings.Env) (*settings.Settings, error) { return settings.Load(env, settings.Needs{}) })
}

func addFrom(f *pflag.FlagSet, o *app.SettingsOptions) {
	f.Var(&o.From, "from", "where the profiles come from: api, warehouse, or a `file`, folder or pattern in quotes, several times if need be; - for stdin")
}

func addDir(f *pflag.FlagSet, dir *string) {
	f.StringVar(dir, "dir", ".", "`directory` for the files of the import")
}

func addWait(f *pflag.FlagSet, o *app.WaitOptions) {
	f.DurationVar(&o.MaxWait, "max-wait", 0, "the longest pause to wait out when a server asks for one; after a longer one, exit code 5 (default 2h, on a terminal 5m)")
	f.DurationVar(&o.RetryFor, "retry-for", 0, "how long to retry while an API does not answer (default 30m, on a terminal 3m)")
}

func checkWait(f *pflag.FlagSet, o *app.WaitOptions) (m mistakes) {
	for _, flag := range []struct {
		name  string
		value time.Duration
	}{{"max-wait", o.MaxWait}, {"retry-for", o.RetryFor}} {
		if flag.value < 0 || f.Changed(flag.name) && flag.value == 0 {
			m.add("--%s %s: it must be above 0", flag.name, flag.value)
		}
	}
	return m
}

// addReports adds the flags of import and verify for what is written and waited for.
func addReports(f *pflag.FlagSet, o *app.ImportOptions) {
	f.DurationVar(&o.Confirm.Timeout, "verify-timeout", 10*time.Minute, "how long to wait for Voucherify to confirm the last customers")
	f.DurationVar(&o.Confirm.Interval, "verify-interval", 30*time.Second, "the longest time between two status checks")
	f.StringVar(&o.Report.Summary, "summary", "", "write the summary as JSON to this `file`, too")
	f.StringVar(&o.Report.MetricsFile, "metrics-file", "", "write metrics to this `file` every minute, in Prometheus' text format")
}

func checkReports(f *pflag.FlagSet, o *app.ImportOptions) (m mistakes) {
	if o.Confirm.Interval <= 0 {
		m.add("--verify-interval %s: it must be above 0", o.Confirm.Interval)
	}
	if o.Confirm.Timeout < 0 {
		m.add("--verify-timeout %s is negative", o.Confirm.Timeout)
	}
	for _, name := range []string{"summary", "metrics-file"} {
		path := f.Lookup(name).Value.String()
		if path == "" {
			continue
		}
		if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
			m.add("--%s %s is not a regular file", name, path)
		}
		if err := writable(filepath.Dir(path)); err != nil {
			m.add("--%s %s cannot be written: %w", name, path, err)
		}
	}
	return append(m, overwritten(o)...)
}

// overwritten returns an error for each flag whose file would take the place of one that is
// read, of one that is the import's own, or of another flag's.
func overwritten(o *app.ImportOptions) (m mistakes) {
	taken := append(app.Names(o.Dir, o.Choose.ProfilesFrom, false).Paths(), journal.NewNames(o.Dir, "").Paths()...)
	files, _ := o.Settings.From.Files() // opening them reports what is wrong
	taken = append(append(taken, files...), o.Settings.EnvFile, o.Choose.ProfilesFrom, o.Settings.Mapping, mappingSetting(o.Settings))
	for _, f := range []struct{ flag, file string }{{"output", o.Send.Output}, {"summary", o.Report.Summary}, {"metrics-file", o.Report.MetricsFile}} {
		if f.file == "" {
			continue
		}
		if journal.OwnsPath(o.Dir, f.file) || slices.ContainsFunc(taken, func(other string) bool { return other != "" && app.SameFile(f.file, other) }) {
			m.add("--%s %s would overwrite a file that this command needs", f.flag, f.file)
		}
		taken = append(taken, f.file)
	}
	return m
}

// mappingSetting returns the mapping file that the settings name, "" if they name none or
// cannot be read yet.
func mappingSetting(o app.SettingsOptions) string {
	env, err := app.ReadEnv(o)
	if err != nil {
		return "" // loading the settings says so
	}
	set, _ := settings.Load(env, settings.Needs{})
	if set == nil {
		return ""
	}
	return set.MappingFile
}

// writable reports whether a file can be made in the directory.
func writable(dir string) error {
	file, err := os.CreateTemp(dir, ".segsync-*.tmp")
	if err != nil {
		if path, ok := errors.AsType[*os.PathError](err); ok {
			return path.Err
		}
		return err
	}
	return errors.Join(file.Close(), os.Remove(file.Name()))
}

// empty returns an error for each of the flags that was given an empty value.
func empty(f *pflag.FlagSet, names ...string) (m mistakes) {
	for _, name := range names {
		if f.Lookup(name) != nil && f.Changed(name) && f.Lookup(name).Value.String() == "" {
			m.add("--%s is empty", name)
		}
	}
	return m
}
