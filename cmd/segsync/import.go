package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"segsync/importer"
)

func newImportCommand() *cobra.Command {
	var o importOptions
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Import the profiles of a Segment space into Voucherify",
		Long: `Import reads all profiles of a Segment space and upserts them as customers of a
Voucherify project. When it fails or is interrupted, its last lines are the offset
up to which everything was accepted, and the command that continues from there.

Settings are read from the environment, and from the file .env where the
environment has none; .env-example explains them. With --sandbox no settings are
needed.

` + exitCodes,
		Example: `  segsync import --sandbox
  segsync import
  segsync import --offset 400
  segsync import --resume             # for cron: continue what is unfinished, else start
  segsync import --resume --since last
  segsync import --profiles-from not-imported.csv`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.carryOut(cmd, runImport)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.offset, "offset", importer.Beginning, "start at this `offset` of the profile list")
	f.BoolVar(&o.resume, "resume", false, "continue the unfinished import of this directory; start a new one if there is none")
	f.StringVar(&o.profilesFrom, "profiles-from", "", "import only the profiles that this `file` names, one segment id or type:value a line; - for stdin")
	f.StringVar(&o.since, "since", "", "import only what changed since this `time`: last (the start of the last finished import), 24h, 7d, 2026-11-19T00:00:00Z")
	f.StringVar(&o.mapping, "mapping", "", "map traits as this YAML `file` says (default: $SEGSYNC_MAPPING, else as segsync mapping prints)")
	f.BoolVar(&o.noCatchUp, "no-catch-up", false, "do not look again for profiles that moved while the list was read")
	f.BoolVar(&o.recheck, "recheck", false, "read the whole list again at the end, for profiles that were passed over while others were deleted or merged")
	f.StringVar(&o.verify, "verify", "on", "`on|off`: ask Voucherify what became of the customers sent, or do not")
	f.DurationVar(&o.verifyInterval, "verify-interval", 30*time.Second, "the longest time between two looks at what became of them")
	f.IntVar(&o.maxRejects, "max-rejects", -1, "stop once more than this `number` of customers were rejected; without it there is no limit")
	o.addTo(f)
	f.BoolVar(&o.sandbox, "sandbox", false, "import 500 made-up profiles from an embedded sandbox of both APIs")
	f.BoolVar(&o.dryRun, "dry-run", false, "send nothing to Voucherify: write the customers as JSON, one per line, to stdout")
	f.StringVar(&o.output, "output", "", "write the customers of a dry run to this `file`")
	f.BoolVar(&o.noCount, "no-count", false, "do not spend requests on finding out how many profiles there are")
	f.BoolVar(&o.nonInteractive, "non-interactive", false, "never ask whether to resume")
	f.Lookup("max-rejects").DefValue = "0" // or the help would show -1
	return cmd
}

func runImport(cmd *cobra.Command, o *importOptions) error {
	settings, total, closeSandbox, err := o.settings(cmd.Flags())
	if err != nil {
		return err
	}
	defer closeSandbox()
	if err := settings.readMapping(o.mapping); err != nil {
		return &exitError{exitUsage, err}
	}
	profiles, err := o.profiles(cmd)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if profiles != nil {
		total = int64(len(profiles))
		if n, err := strconv.Atoi(o.offset); err != nil || n > len(profiles) {
			return &exitError{exitUsage, fmt.Errorf("--offset %s is not within the %d profiles of --profiles-from", o.offset, len(profiles))}
		}
	}
	if o.sandbox && !cmd.Flags().Changed("dir") {
		if o.dir, err = os.MkdirTemp("", "segsync-"); err != nil {
			return &exitError{exitFailed, err}
		}
	}
	unlock, err := lockDir(o.dir)
	if err != nil {
		return err
	}
	defer unlock()
	s := newSession(cmd, o, settings, total)
	state, err := s.chooseState(s.identity(profiles), o.files())
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if o.dryRun {
		if err := s.openOutput(); err != nil {
			return &exitError{exitUsage, err}
		}
	}
	if err := s.connect(o.files(), profiles, state); err != nil {
		return &exitError{exitUsage, err}
	}
	defer s.close()
	return s.run(cmd.Context(), func(ctx context.Context) error {
		if err := s.readSchema(ctx); err != nil {
			return err
		}
		err := s.importer.Run(ctx)
		if s.closeCustomers != nil { // a dry run is not resumed
			err = errors.Join(err, s.closeCustomers())
		}
		return err
	})
}

// openOutput opens what a dry run writes customers to. When that is stdout, the summary
// goes to stderr.
func (s *session) openOutput() error {
	if s.options.output == "" {
		s.customers, s.stdout = s.stdout, s.console
		return nil
	}
	file, err := os.OpenFile(s.options.output, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("--output: %w", err)
	}
	if err := file.Chmod(0o600); err != nil && runtime.GOOS != "windows" { // it was there before
		file.Close()
		return fmt.Errorf("--output: %w", err)
	}
	s.customers, s.closeCustomers = file, file.Close
	return nil
}
