package main

import (
	"segsync/internal/diagnose"
	"segsync/internal/term"

	"github.com/spf13/cobra"
)

func newCheckCommand() *cobra.Command {
	var o diagnose.CheckOptions
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the set-up before the first import",
		Long: `Check tries everything that an import needs: the settings, both APIs, the quotas and
the directory. It writes nothing. segsync plan --sample 200 shows what an import would make
of the first 200 profiles. --notify sends a test to NOTIFY_URL and PING_URL, which counts as
an import that ended well.

Exit codes: 0 everything is as it should be, perhaps with warnings; 2 something is wrong.`,
		Example: `  segsync check
  segsync check --from warehouse
  segsync check --notify
  segsync check --sandbox --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := newOutput(cmd, term.Options{Quiet: true}) // findings say it all
			if err != nil {
				return err
			}
			o.Settings.EnvFileNamed, o.Stdin = cmd.Flags().Changed("env-file"), cmd.InOrStdin()
			return diagnose.Check(cmd.Context(), out, &o)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVar(&o.JSON, "json", false, "print the findings as JSON")
	f.BoolVar(&o.Notify, "notify", false, "send a test to NOTIFY_URL and PING_URL")
	addFrom(f, &o.Settings)
	addDir(f, &o.Dir)
	addSettings(f, &o.Settings)
	f.BoolVar(&o.Settings.Sandbox, "sandbox", false, "check the embedded sandbox")
	return cmd
}
