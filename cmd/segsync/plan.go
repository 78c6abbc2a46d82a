package main

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"segsync/internal/app"
	"segsync/internal/settings"
)

// maxSampled is how many customers a sample may ask for, one by one.
const maxSampled = 500

// planFlags are the flags of segsync plan.
type planFlags struct {
	app.PlanOptions
	output outputFlags
}

func newPlanCommand() *cobra.Command {
	var o planFlags
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what an import would change in Voucherify",
		Long: `Plan reads the profiles as an import does, and compares the customers that they
become with those of Voucherify, of which it takes an export. Nothing is sent to
Voucherify, and nothing is written but the file of --orphans.

With --sample only the first profiles are read: of the API's list those that were active
last, of a file those at its beginning, of a warehouse those with the smallest ids.
Voucherify is then asked for their customers one by one.`,
		Example: `  segsync plan --sample 200 --show 3
  segsync plan --json --exit-code
  segsync plan --from warehouse --sample 200
  segsync plan --existing customers.csv
  segsync plan --orphans only-in-voucherify.txt`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runPlan(cmd, &o) },
	}
	f, i := cmd.Flags(), &o.Import
	f.SortFlags = false
	f.IntVar(&o.Sample, "sample", 0, "plan for the first `number` of profiles only, at most 500")
	f.IntVar(&o.Show, "show", 0, "show this `number` of customers of each kind, with their personal data")
	f.BoolVar(&o.JSON, "json", false, "print the plan as JSON")
	f.StringVar(&o.Orphans, "orphans", "", "write the source ids that only Voucherify has to this `file`")
	f.StringVar(&o.OwnedBy, "owned-by", "", "with --orphans, write only customers for which this `condition` holds: metadata.origin=segment")
	f.StringVar(&o.Existing, "existing", "", "compare with this `file`, an export of the customers that was downloaded before")
	f.BoolVar(&i.Send.CompareAll, "compare-all", false, "ask for each customer that an export cannot be compared with, not for 500 only")
	f.BoolVar(&i.Send.KeepExport, "keep-export", false, "leave the export at Voucherify once it is read")
	f.BoolVar(&o.ExitCode, "exit-code", false, "end with exit code 6 where something would be created, changed or cleared, or more than 1 % cannot be compared")
	f.StringVar(&i.Choose.ProfilesFrom, "profiles-from", "", "plan only for the profiles that this `file` names; - for stdin")
	f.StringVar(&i.Choose.Since, "since", "", "plan only for what changed since this `time`: 24h, 7d, 2026-11-19T00:00:00Z")
	addFrom(f, &i.Settings)
	addSettings(f, &i.Settings)
	f.StringVar(&i.Dir, "dir", ".", "`directory` of the imports, whose identifier must be the same")
	f.BoolVar(&i.Settings.Sandbox, "sandbox", false, "plan for the embedded sandbox")
	addWait(f, &i.Wait)
	o.output.addTo(f)
	cmd.MarkFlagsMutuallyExclusive("existing", "keep-export")
	for _, other := range []string{"since", "profiles-from", "existing", "orphans", "compare-all", "keep-export"} {
		cmd.MarkFlagsMutuallyExclusive("sample", other)
	}
	cmd.MarkFlagsMutuallyExclusive("since", "profiles-from", "orphans") // orphans need a complete read
	cmd.MarkFlagsMutuallyExclusive("verbose", "quiet")
	return cmd
}

func runPlan(cmd *cobra.Command, o *planFlags) error {
	if err := o.check(cmd.Flags()); err != nil {
		return app.Usage(app.WithHint(err, "see segsync plan --help"))
	}
	boundHeap()
	out, err := newOutput(cmd, o.output.Options)
	if err != nil {
		return err
	}
	o.Import.Command, o.Import.Settings.EnvFileNamed = cmd.CommandPath(), cmd.Flags().Changed("env-file")
	return app.Plan(cmd.Context(), out, cmd.InOrStdin(), &o.PlanOptions)
}

func (o *planFlags) check(f *pflag.FlagSet) error {
	var m mistakes
	i := &o.Import
	if f.Changed("sample") && (o.Sample < 1 || o.Sample > maxSampled) {
		m.add("--sample %d: it must be 1 to %d", o.Sample, maxSampled)
	}
	if o.Show < 0 {
		m.add("--show %d is negative", o.Show)
	}
	m = append(m, o.output.check()...)
	m = append(m, checkWait(f, &i.Wait)...)
	m = append(m, empty(f, "env-file", "profiles-from", "mapping", "since", "from", "existing", "orphans", "owned-by", "dir")...)
	m = append(m, o.checkOrphans()...)
	if i.Choose.Since == app.LastImport {
		m.add("--since last: a plan knows of no import before it; give a time, such as 24h")
	} else if _, err := app.ParseSince(i.Choose.Since, time.Now()); i.Choose.Since != "" && err != nil {
		m.add("--since %q: %w", i.Choose.Since, err)
	}
	if from := i.Settings.From; from.Kind != settings.FromAPI {
		if i.Choose.ProfilesFrom != "" {
			m.add("--profiles-from goes with --from api")
		}
		if i.Choose.Since != "" && from.Kind != settings.FromWarehouse {
			m.add(noSinceOfFile)
		}
	}
	return errors.Join(m...)
}

// checkOrphans says before the profiles are read what is wrong with the file of --orphans.
func (o *planFlags) checkOrphans() (m mistakes) {
	if o.Orphans == "" {
		if o.OwnedBy != "" {
			m.add("--owned-by goes with --orphans")
		}
		return m
	}
	if _, err := app.ParseCondition(o.OwnedBy); o.OwnedBy != "" && err != nil {
		m.add("--owned-by %q: %w", o.OwnedBy, err)
	}
	set := o.Import.Settings
	files, _ := set.From.Files() // opening them reports what is wrong
	for _, other := range append(files, o.Existing, set.EnvFile, set.Mapping, mappingSetting(set)) {
		if other != "" && app.SameFile(o.Orphans, other) {
			m.add("--orphans %s would overwrite a file that this command needs", o.Orphans)
			return m
		}
	}
	if info, err := os.Stat(o.Orphans); err == nil && !info.Mode().IsRegular() {
		m.add("--orphans %s is not a regular file", o.Orphans)
	} else if err := writable(filepath.Dir(o.Orphans)); err != nil {
		m.add("--orphans: %w", err)
	}
	return m
}
