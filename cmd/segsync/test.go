package main

import (
	"github.com/spf13/cobra"

	"segsync/internal/diagnose"
	"segsync/internal/term"
)

func newTestCommand() *cobra.Command {
	var o diagnose.TestOptions
	cmd := &cobra.Command{
		Use:   "test FILE|DIR...",
		Short: "Test the mapping with profiles in files",
		Long: `Test maps the profile of each file, *.yaml or *.json, and compares the customer and the
warnings with those in the file. It needs no credentials and no network. A file has
profile and customer, and may have warnings, identifiers, and source: api or warehouse.
With a difference it ends with 1. segsync inspect --as-test writes such a file.`,
		Example: `  segsync test mapping-tests/ --mapping mapping.yaml
  segsync inspect user_id:42 --as-test mapping-tests/42.yaml --redact
  segsync test mapping-tests/ --update`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			out, err := newOutput(cmd, term.Options{})
			if err != nil {
				return err
			}
			o.Settings.EnvFileNamed = cmd.Flags().Changed("env-file")
			return diagnose.RunTests(out, args, o)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVar(&o.Update, "update", false, "write what comes out into the files that fail, for review")
	f.BoolVar(&o.JSON, "json", false, "print the results as JSON")
	addSettings(f, &o.Settings)
	return cmd
}
