package main

import (
	"fmt"

	"segsync/importer/mapping"
	"segsync/internal/app"

	"github.com/spf13/cobra"
)

func newMappingCommand() *cobra.Command {
	var schema bool
	cmd := &cobra.Command{
		Use:   "mapping",
		Short: "Print the default mapping, as a start for your own",
		Long: `Mapping prints the default mapping of traits to the fields of a customer as YAML, with
comments that explain the form. A copy of it that was changed is used with --mapping, or
the setting SEGSYNC_MAPPING. With the schema beside it, an editor completes and checks it.`,
		Example: `  segsync mapping > mapping.yaml
  segsync mapping --schema > mapping.schema.json
  segsync import --mapping mapping.yaml`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text := mapping.DefaultFile()
			if schema {
				text = mapping.FileSchema()
			}
			if _, err := fmt.Fprint(cmd.OutOrStdout(), text); err != nil {
				return &app.Error{Code: app.ExitFailed, Err: err}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&schema, "schema", false, "print the JSON Schema of mapping files instead, for editors")
	return cmd
}
