package main

import (
	"errors"

	"segsync/internal/app"
	"segsync/internal/diagnose"
	"segsync/internal/term"

	"github.com/spf13/cobra"
)

func newInspectCommand() *cobra.Command {
	var o diagnose.InspectOptions
	var history, dir string
	cmd := &cobra.Command{
		Use:   "inspect PROFILE",
		Short: "Show one profile and the customer that it becomes",
		Long: `Inspect shows the external IDs and the traits of a profile, and the customer that the
import makes of it: where each field comes from, and what was left out and why, beside
what Voucherify has now. PROFILE is a segment id or type:value. Nothing is changed.

With --from the profile is looked for in a warehouse or a file of profiles, as an import
would read it; credentials for Segment are not needed. With --file it is read from a JSON
file with the members traits and external_ids, as Segment's API answers them; nothing is
sent at all then. With --history the logs of the imports of a directory say what was done
with it.`,
		Example: `  segsync inspect user_id:42
  segsync inspect user_id:42 --offline
  segsync inspect user_id:42 --from people.ndjson
  segsync inspect use_1zbUiWwtDGiBTOEbVFbjwZVTlEt --json
  segsync inspect --file profile.json
  segsync inspect user_id:42 --as-test mapping-tests/42.yaml --redact
  segsync inspect --history user_id:42 --dir /var/lib/segsync`,
		Args: maxArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			out, err := newOutput(cmd, term.Options{})
			if err != nil {
				return err
			}
			f := cmd.Flags()
			if len(args) > 0 {
				o.Profile = args[0]
			}
			switch {
			case f.Changed("history") && (o.Profile != "" || o.File != ""):
				return app.Usage(errors.New("--history names the profile: leave out the other"))
			case f.Changed("history"):
				return app.ShowHistory(out, dir, history, o.JSON)
			case f.Changed("dir"):
				return app.Usage(errors.New("--dir goes with --history"))
			}
			o.Settings.EnvFileNamed, o.Stdin = f.Changed("env-file"), cmd.InOrStdin()
			return diagnose.Inspect(cmd.Context(), out, &o)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.File, "file", "", "read the profile from this JSON `file`")
	f.StringVar(&o.AsTest, "as-test", "", "write the profile and the customer to this new `file`, *.yaml or *.json, as a case for segsync test")
	f.BoolVar(&o.Redact, "redact", false, "with --as-test: replace values by examples of the same form")
	f.StringVar(&history, "history", "", "show what the imports of --dir did with this `PROFILE`")
	addDir(f, &dir)
	f.BoolVar(&o.JSON, "json", false, "print it as JSON")
	f.BoolVar(&o.Settings.Offline, "offline", false, "do not ask Voucherify what it has of the customer")
	addSettings(f, &o.Settings)
	addFrom(f, &o.Settings)
	f.BoolVar(&o.Settings.Sandbox, "sandbox", false, "inspect a profile of the embedded sandbox")
	return cmd
}
