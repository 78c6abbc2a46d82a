package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"segsync/internal/sandbox"
	"segsync/profilessync"
)

// fillFlags say where the made-up profiles are written to, instead of being served.
type fillFlags struct {
	ndjson   string
	postgres string
	schema   string
}

func (o *fillFlags) addTo(f *pflag.FlagSet) {
	f.StringVar(&o.ndjson, "ndjson", "", "write the profiles to this `file`, one a line, instead of serving them; - for stdout")
	f.StringVar(&o.postgres, "postgres", "", "write the profiles to the Postgres at this `URL`, as Profiles Sync does, instead of serving them")
	f.StringVar(&o.schema, "schema", "profiles", "`name` of the schema that --postgres makes")
}

func (o *fillFlags) any() bool { return o.ndjson != "" || o.postgres != "" }

// fill writes the profiles of the sandbox.
func (o *sandboxFlags) fill(cmd *cobra.Command) error {
	box := sandbox.New(o.options())
	if o.out.ndjson != "" {
		if err := writeNDJSON(o.out.ndjson, cmd.OutOrStdout(), profilesOf(box)); err != nil {
			return &exitError{exitFailed, fmt.Errorf("--ndjson: %w", err)}
		}
	}
	if o.out.postgres == "" {
		return nil
	}
	if err := profilessync.Fill(cmd.Context(), o.out.postgres, o.out.schema, profilesOf(box)); err != nil {
		if errors.Is(err, context.Canceled) {
			return &exitError{exitFailed, err}
		}
		return &exitError{exitCodeOf(err), fmt.Errorf("--postgres: %w", err)}
	}
	fmt.Fprintf(cmd.OutOrStdout(), "export SEGSYNC_WAREHOUSE_URL=%s\nexport SEGSYNC_WAREHOUSE_SCHEMA=%s\n",
		shellQuote(o.out.postgres), shellQuote(o.out.schema))
	return nil
}

// profilesOf returns the people of a sandbox as Profiles Sync knows them.
func profilesOf(box *sandbox.Sandbox) iter.Seq[profilessync.Profile] {
	return func(yield func(profilessync.Profile) bool) {
		for person := range box.People() {
			p := profilessync.Profile{SegmentID: person.SegmentID, Traits: person.Traits}
			for _, id := range person.ExternalIDs {
				p.ExternalIDs = append(p.ExternalIDs, profilessync.ExternalID{ID: id.ID, Type: id.Type, CreatedAt: id.CreatedAt})
			}
			if !yield(p) {
				return
			}
		}
	}
}

// writeNDJSON writes a file of profiles, one a line.
func writeNDJSON(path string, stdout io.Writer, profiles iter.Seq[profilessync.Profile]) (err error) {
	to := stdout
	if path != "-" {
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		to = file
	}
	return profilessync.WriteNDJSON(to, profiles)
}
