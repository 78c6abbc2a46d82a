package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"segsync/importer"
	"segsync/profilessync"
)

// sqlOptions are the flags of segsync sql.
type sqlOptions struct {
	settings settingsFlags
	dialect  string
	schema   string
}

func newSQLCommand() *cobra.Command {
	var o sqlOptions
	cmd := &cobra.Command{
		Use:   "sql",
		Short: "Print the query that reads profiles from a warehouse",
		Long: `SQL prints the query for the rows that an import reads from the tables of Profiles Sync,
for the mapping and the identifiers that are set. Run it in a warehouse that segsync
does not speak to, save its result as a file, and import that.`,
		Example: `  segsync sql --dialect snowflake > query.sql
  segsync import --from rows.csv.gz`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(profilessync.Dialects(), o.dialect) {
				err := fmt.Errorf("--dialect %q: it must be one of %s", o.dialect, strings.Join(profilessync.Dialects(), ", "))
				return &exitError{exitUsage, err}
			}
			return o.print(cmd)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.dialect, "dialect", "", "`name` of the warehouse: "+strings.Join(profilessync.Dialects(), ", "))
	f.StringVar(&o.schema, "schema", "", "`name` of the schema with the tables (default: $SEGSYNC_WAREHOUSE_SCHEMA)")
	o.settings.addMapping(f)
	o.settings.addEnvFile(f)
	return cmd
}

func (o *sqlOptions) print(cmd *cobra.Command) error {
	file, err := readEnvFile(o.settings.envFile, cmd.Flags().Changed("env-file"))
	if err != nil {
		return &exitError{exitUsage, err}
	}
	set, err := loadSettings(lookupIn(file), needs{})
	if err == nil {
		err = set.readMapping(o.settings.mapping)
	}
	if err != nil {
		return &exitError{exitUsage, err}
	}
	set.printWarnings(cmd.ErrOrStderr())
	schema := cmp.Or(o.schema, set.warehouse.schema)
	if schema == "" {
		return &exitError{exitUsage, &hinted{errors.New("the schema with the tables is not known"), "set SEGSYNC_WAREHOUSE_SCHEMA, or --schema"}}
	}
	sql, err := profilessync.SQL(o.dialect, schema, importer.QueryFor(set.identifiers, set.mapping))
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if _, err := fmt.Fprint(cmd.OutOrStdout(), sql); err != nil {
		return &exitError{exitFailed, err}
	}
	return nil
}
