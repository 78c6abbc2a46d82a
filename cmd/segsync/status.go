package main

import (
	"github.com/spf13/cobra"

	"segsync/internal/app"
	"segsync/internal/term"
)

func newStatusCommand() *cobra.Command {
	var dir, profilesFrom string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the state of a directory, without any request, and what to type next",
		Long: `Status reads the log of the imports of a directory: what they import, when the last one
finished, what is unfinished or outstanding, and the next command.`,
		Example: `  segsync status
  segsync status --dir /var/lib/segsync --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := newOutput(cmd, term.Options{})
			if err != nil {
				return err
			}
			return app.ShowStatus(out, dir, profilesFrom, asJSON)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	addDir(f, &dir)
	f.StringVar(&profilesFrom, "profiles-from", "", "tell of the import of the profiles that this `file` names")
	f.BoolVar(&asJSON, "json", false, "print it as JSON")
	return cmd
}
