package main

import (
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"segsync/internal/app"
)

// maxPreviewed is the largest --show of segsync delete.
const maxPreviewed = 500

// deleteFlags are the flags of segsync delete.
type deleteFlags struct {
	app.DeleteOptions
	output outputFlags
}

func newDeleteCommand() *cobra.Command {
	var o deleteFlags
	cmd := &cobra.Command{
		Use:   "delete --from FILE",
		Short: "Delete customers of Voucherify whose profiles have left Segment",
		Long: `Delete shows which customers of a list it would delete; with --yes it deletes them.
That cannot be undone. The list has a source id on each line, as segsync plan --orphans
writes it, or is a CSV with a column source_id.

A customer is deleted only if Segment has no profile with its source id: each is looked
up immediately before. Every answer is in deleted.csv.`,
		Example: `  segsync delete --from orphans.txt
  segsync delete --from orphans.txt --yes
  segsync delete --from orphans.txt --yes --max-deletes 50`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDelete(cmd, &o) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.From, "from", "", "the `file` with the source ids of the customers; - for stdin")
	f.BoolVar(&o.Yes, "yes", false, "delete; a terminal is asked for the number of customers first")
	f.IntVar(&o.MaxDeletes, "max-deletes", -1, "delete nothing if there are more than this `number` (default on a terminal: 100, or 1 % of all customers)")
	f.BoolVar(&o.Resume, "resume", false, "continue the unfinished deletion of this list; begin it if there is none")
	f.BoolVar(&o.Permanent, "permanent", false, "use Voucherify's permanent deletion, which removes all data about the customers")
	f.BoolVar(&o.NoLookup, "no-lookup", false, "where the identifier is a trait, delete without looking for a profile that has it")
	f.IntVar(&o.Show, "show", 0, "preview only the first `number` of source ids, at most 500")
	f.StringVar(&o.Dir, "dir", ".", "`directory` of the imports")
	f.StringVar(&o.Settings.EnvFile, "env-file", ".env", "`file` with settings")
	f.BoolVar(&o.output.NonInteractive, "non-interactive", false, "never ask; --max-deletes is required then")
	addWait(f, &o.Wait)
	o.output.addTo(f)
	f.Lookup("max-deletes").DefValue = "0" // or the help would show -1
	for _, pair := range [][]string{{"yes", "show"}, {"verbose", "quiet"}} {
		cmd.MarkFlagsMutuallyExclusive(pair...)
	}
	return cmd
}

func runDelete(cmd *cobra.Command, o *deleteFlags) error {
	f := cmd.Flags()
	if err := o.check(f); err != nil {
		return app.Usage(app.WithHint(err, "see segsync delete --help"))
	}
	out, err := newOutput(cmd, o.output.Options)
	if err != nil {
		return err
	}
	o.Given, o.Settings.EnvFileNamed = given(f), f.Changed("env-file")
	return app.Delete(cmd.Context(), out, cmd.InOrStdin(), &o.DeleteOptions)
}

func (o *deleteFlags) check(f *pflag.FlagSet) error {
	var m mistakes
	if o.From == "" {
		m.add("--from is missing: it names the list of customers to delete")
	}
	if f.Changed("max-deletes") && o.MaxDeletes < 0 {
		m.add("--max-deletes %d is negative", o.MaxDeletes)
	}
	if f.Changed("show") && (o.Show < 1 || o.Show > maxPreviewed) {
		m.add("--show %d: it must be 1 to %d", o.Show, maxPreviewed)
	}
	for _, name := range []string{"resume", "max-deletes"} {
		if f.Changed(name) && !o.Yes {
			m.add("--%s goes with --yes", name)
		}
	}
	m = append(m, o.output.check()...)
	m = append(m, checkWait(f, &o.Wait)...)
	return errors.Join(append(m, empty(f, "env-file", "dir")...)...)
}
