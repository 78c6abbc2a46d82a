package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"segsync/importer/source"
	"segsync/internal/app"

	"github.com/spf13/cobra"

	"segsync/profilessync"
)

// sqlOptions are the flags of segsync sql.
type sqlOptions struct {
	settings app.SettingsOptions
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
			if o.dialect == "" {
				return app.Usage(app.WithHint(errors.New("--dialect is missing: it names the warehouse"), "one of "+strings.Join(profilessync.Dialects(), ", ")))
			}
			if !slices.Contains(profilessync.Dialects(), o.dialect) {
				err := fmt.Errorf("--dialect %q: it must be one of %s", o.dialect, strings.Join(profilessync.Dialects(), ", "))
				return app.Usage(err)
			}
			return o.print(cmd)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.dialect, "dialect", "", "`name` of the warehouse: "+strings.Join(profilessync.Dialects(), ", "))
	f.StringVar(&o.schema, "schema", "", "`name` of the schema with the tables (default: $SEGSYNC_WAREHOUSE_SCHEMA)")
	addSettings(f, &o.settings)
	return cmd
}

func (o *sqlOptions) print(cmd *cobra.Command) error {
	set, err := loadSettings(cmd, o.settings)
	if err != nil {
		return app.Usage(err)
	}
	schema := cmp.Or(o.schema, set.Warehouse.Schema)
	if schema == "" {
		return app.Usage(app.WithHint(errors.New("the schema with the tables is not known"), "set SEGSYNC_WAREHOUSE_SCHEMA, or --schema"))
	}
	sql, err := profilessync.SQL(o.dialect, schema, source.QueryFor(set.Identifiers, set.Mapping))
	if err != nil {
		return app.Usage(err)
	}
	if _, err := fmt.Fprint(cmd.OutOrStdout(), sql); err != nil {
		return &app.Error{Code: app.ExitFailed, Err: err}
	}
	return nil
}
