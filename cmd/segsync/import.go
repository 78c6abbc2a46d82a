package main

import (
	"errors"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"segsync/importer/journal"
	"segsync/internal/app"
	"segsync/internal/settings"
)

const noSinceOfFile = "--since goes with --from api and --from warehouse: a file does not say when profiles changed"

// importFlags are the flags of segsync import.
type importFlags struct {
	app.ImportOptions
	output outputFlags
	verify string // on or off
}

func newImportCommand() *cobra.Command {
	var o importFlags
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Import the profiles of a Segment space into Voucherify",
		Long: `Import reads all profiles of a Segment space and upserts them as customers of a
Voucherify project. At the end it tries again what earlier imports could not import.
segsync help tuning lists further flags.`,
		Example: `  segsync import --sandbox                # needs no settings
  segsync import --resume                 # continue, or start
  segsync import --resume --since last    # every night`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runImport(cmd, &o) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	addFrom(f, &o.Settings)
	f.IntVar(&o.Choose.Limit, "limit", 0, "import this `number` of profiles and stop there; --resume goes on (default: all)")
	f.StringVar(&o.Choose.Since, "since", "", "import only what changed since this `time`: last (the start of the last finished import), 24h, 7d, 2026-11-19T00:00:00Z")
	f.StringVar(&o.Choose.ProfilesFrom, "profiles-from", "", "import only the profiles that this `file` names, one segment id or type:value a line; - for stdin")
	addSettings(f, &o.Settings)
	f.BoolVar(&o.Settings.Sandbox, "sandbox", false, "import 500 made-up profiles from an embedded sandbox of both APIs")
	group(f, "What", "from", "limit", "since", "profiles-from", "mapping", "env-file", "sandbox")

	addDir(f, &o.Dir)
	f.BoolVar(&o.Start.Resume, "resume", false, "continue the unfinished import of this directory; start a new one if there is none")
	f.BoolVar(&o.Start.Restart, "restart", false, "start anew, whatever is in the directory")
	f.StringVar(&o.Start.Offset, "offset", "", "start at this `offset` of the profile list; 0 always starts anew")
	f.BoolVar(&o.Start.KeepSince, "keep-since", false, "with --since last, do not import everything although the mapping changed")
	f.IntVar(&o.Start.KeepHistory, "keep-history", journal.DefaultHistory, "keep the logs of this `number` of earlier imports")
	f.BoolVar(&o.output.NonInteractive, "non-interactive", false, "never ask whether to resume")
	group(f, "Where it continues", "dir", "resume", "restart", "offset", "keep-since", "keep-history", "non-interactive")

	f.BoolVar(&o.Send.DryRun, "dry-run", false, "send nothing to Voucherify: write the customers as JSON, one per line, to stdout")
	f.StringVar(&o.Send.Output, "output", "", "write the customers of a dry run to this `file`")
	f.BoolVar(&o.Send.OnlyChanges, "only-changes", false, "take an export of Voucherify's customers first, and send only what would be created, changed or cleared")
	f.BoolVar(&o.Send.AllowOdd, "allow-odd-identifiers", false, "take identifiers of a file or a warehouse such as NULL, undefined or 42.0, too")
	f.BoolVar(&o.Send.CompareAll, "compare-all", false, "with --only-changes, ask for each customer that an export cannot be compared with, not for 500 only")
	f.BoolVar(&o.Send.KeepExport, "keep-export", false, "with --only-changes, leave the export at Voucherify once it is read")
	f.IntVar(&o.Send.MaxClears, "max-clears", -1, "stop before a field would be cleared in more than this `number` of customers (default 5 % of those sent, at least 100)")
	f.StringVar(&o.verify, "verify", "on", "`on|off`: whether to check that Voucherify imported the customers sent")
	f.IntVar(&o.Send.MaxRejects, "max-rejects", -1, "stop once more than this `number` of customers were rejected; without it there is no limit")
	group(f, "Sending and confirming", "dry-run", "output", "only-changes", "allow-odd-identifiers", "max-clears", "verify", "max-rejects")

	addReports(f, &o.ImportOptions)
	o.output.addTo(f)
	group(f, "Output", "summary", "metrics-file", "log-format", "color", "verbose", "quiet")

	f.BoolVar(&o.Start.NoRetry, "no-retry-rejected", false, "do not try again what earlier imports could not import")
	f.BoolVar(&o.Choose.NoCatchUp, "no-catch-up", false, "do not look again for profiles that moved while the list was read")
	f.BoolVar(&o.Choose.Recheck, "recheck", false, "read the whole list again at the end, for profiles that were passed over while others were deleted or merged")
	f.BoolVar(&o.Report.WarnValues, "warn-values", false, "write the values that could not be used to warnings.csv and the log, too: personal data")
	addWait(f, &o.Wait)
	group(f, tuning, "no-retry-rejected", "no-catch-up", "recheck", "warn-values", "compare-all", "keep-export", "retry-for", "max-wait", "verify-interval", "verify-timeout")
	for _, name := range []string{"max-clears", "max-rejects"} {
		f.Lookup(name).DefValue = "0" // or the help would show -1
	}
	for _, pair := range [][]string{
		{"resume", "offset"}, {"resume", "restart"}, {"offset", "restart"}, {"dry-run", "resume"}, {"recheck", "no-catch-up"},
		{"since", "profiles-from"}, {"since", "offset"}, {"verbose", "quiet"},
	} {
		cmd.MarkFlagsMutuallyExclusive(pair...)
	}
	return cmd
}

// boundHeap lets the heap grow by half only between two collections: what is known of each profile
// stays in memory, and must not be there twice.
func boundHeap() {
	const percent = 50
	if os.Getenv("GOMEMLIMIT") == "" && os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}

func runImport(cmd *cobra.Command, o *importFlags) error {
	if err := o.check(cmd.Flags()); err != nil {
		return app.Usage(app.WithHint(err, "see segsync import --help"))
	}
	boundHeap()
	out, err := newOutput(cmd, o.output.Options)
	if err != nil {
		return err
	}
	f := cmd.Flags()
	o.Command, o.Given, o.DirGiven, o.Settings.EnvFileNamed = cmd.CommandPath(), given(f), f.Changed("dir"), f.Changed("env-file")
	o.Confirm.Off = o.verify == "off"
	return app.Import(cmd.Context(), out, cmd.InOrStdin(), cmd.OutOrStdout(), &o.ImportOptions)
}

func (o *importFlags) check(f *pflag.FlagSet) error {
	var m mistakes
	if f.Changed("offset") && !app.IsPlausibleOffset(o.Start.Offset) {
		m.add("invalid offset %q: use the number that an earlier run printed", o.Start.Offset)
	}
	if o.verify != "on" && o.verify != "off" {
		m.add("--verify %q: it must be on or off", o.verify)
	}
	if o.Choose.Since != "" && o.Choose.Since != app.LastImport {
		if _, err := app.ParseSince(o.Choose.Since, time.Now()); err != nil {
			m.add("--since %q: %w", o.Choose.Since, err)
		}
	}
	if o.Send.Output != "" && !o.Send.DryRun {
		m.add("--output goes with --dry-run")
	}
	if f.Changed("keep-since") && o.Choose.Since != app.LastImport {
		m.add("--keep-since goes with --since last")
	}
	if f.Changed("limit") && o.Choose.Limit < 1 {
		m.add("--limit %d: it must be a number of profiles above 0", o.Choose.Limit)
	}
	for _, flag := range []struct {
		name  string
		value int
	}{{"max-rejects", o.Send.MaxRejects}, {"max-clears", o.Send.MaxClears}, {"keep-history", o.Start.KeepHistory}} {
		if f.Changed(flag.name) && flag.value < 0 {
			m.add("--%s %d is negative", flag.name, flag.value)
		}
	}
	for _, name := range []string{"compare-all", "keep-export"} {
		if f.Changed(name) && !o.Send.OnlyChanges {
			m.add("--%s goes with --only-changes", name)
		}
	}
	m = append(m, o.output.check()...)
	m = append(m, checkWait(f, &o.Wait)...)
	m = append(m, checkReports(f, &o.ImportOptions)...)
	m = append(m, empty(f, "dir", "env-file", "profiles-from", "mapping", "since", "summary", "output", "metrics-file")...)
	return errors.Join(append(m, o.checkFrom(f)...)...)
}

// checkFrom returns what is wrong with the flags where the profiles do not come from the Profile API.
func (o *importFlags) checkFrom(f *pflag.FlagSet) (m mistakes) {
	from := o.Settings.From
	if from.Kind == settings.FromAPI {
		return nil
	}
	if f.Changed("offset") {
		m.add("--offset goes with --from api: elsewhere a place is not a number; --resume continues, --restart starts anew")
	}
	for _, name := range []string{"profiles-from", "recheck", "no-catch-up"} {
		if f.Changed(name) {
			m.add("--%s goes with --from api", name)
		}
	}
	switch {
	case from.Kind == settings.FromWarehouse:
	case o.Choose.Since != "":
		m.add(noSinceOfFile)
	case from.ReadOnce() && o.Start.Resume:
		m.add("--resume: %s cannot be read again from the middle; save it to a file, or use --restart", from.Name())
	}
	return m
}
