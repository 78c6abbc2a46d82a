package main

import (
	"errors"

	"github.com/spf13/cobra"

	"segsync/internal/app"
)

// verifyFlags are the flags of segsync verify.
type verifyFlags struct {
	app.ImportOptions
	output outputFlags
}

func newVerifyCommand() *cobra.Command {
	var o verifyFlags
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check the status of customers that were sent but not confirmed",
		Long: `Verify takes up the async actions that an import left unconfirmed, and waits until
Voucherify has carried them out. It imports nothing.`,
		Example: `  segsync verify
  segsync verify --dir /var/lib/segsync`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runVerify(cmd, &o) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	addDir(f, &o.Dir)
	addFrom(f, &o.Settings)
	addSettings(f, &o.Settings)
	f.StringVar(&o.Choose.ProfilesFrom, "profiles-from", "", "take up the import of the profiles that this `file` names")
	addReports(f, &o.ImportOptions)
	addWait(f, &o.Wait)
	o.output.addTo(f)
	cmd.MarkFlagsMutuallyExclusive("verbose", "quiet")
	return cmd
}

func runVerify(cmd *cobra.Command, o *verifyFlags) error {
	f := cmd.Flags()
	m := append(o.output.check(), checkWait(f, &o.Wait)...)
	m = append(m, checkReports(f, &o.ImportOptions)...)
	m = append(m, empty(f, "dir", "env-file", "profiles-from", "mapping", "summary", "metrics-file")...)
	if err := errors.Join(m...); err != nil {
		return app.Usage(app.WithHint(err, "see segsync verify --help"))
	}
	out, err := newOutput(cmd, o.output.Options)
	if err != nil {
		return err
	}
	o.Command, o.Given, o.DirGiven, o.Settings.EnvFileNamed = cmd.CommandPath(), given(f), f.Changed("dir"), f.Changed("env-file")
	o.Send.MaxRejects, o.Send.MaxClears = -1, -1
	return app.Verify(cmd.Context(), out, cmd.InOrStdin(), &o.ImportOptions)
}
