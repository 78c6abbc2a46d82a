package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/spf13/cobra"

	"segsync/importer"
	"segsync/importer/journal"
	"segsync/importer/mapping"
	"segsync/segmentprofiles"
	"segsync/voucherify"
)

// mostSampled is how many customers a sample may ask for, one by one.
const mostSampled = 500

// planOptions are the flags of segsync plan.
type planOptions struct {
	run      runFlags
	since    string
	sample   int
	show     int
	json     bool
	orphans  string
	existing string
	exitCode bool
}

func newPlanCommand() *cobra.Command {
	var o planOptions
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what an import would change in Voucherify",
		Long: `Plan reads the profiles as an import does, and compares the customers that they
become with those of Voucherify, of which it takes an export. Nothing is sent to
Voucherify, and nothing is written.

With --sample the first profiles are read, and Voucherify is asked
for their customers one by one.

Exit codes: 0 done; 1 failed; 2 wrong usage, settings or credentials; 5 stopped for a
quota; with --exit-code, 6 where something would be created, changed or
cleared.`,
		Example: `  segsync plan
  segsync plan --sample 200 --show 3
  segsync plan --json --exit-code
  segsync plan --from warehouse
  segsync plan --existing customers.csv
  segsync plan --orphans only-in-voucherify.txt`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run.report.carryOut(cmd, o.check(), func() error { return runPlan(cmd, &o) })
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.IntVar(&o.sample, "sample", 0, "plan for this `number` of profiles only, at most 500")
	f.IntVar(&o.show, "show", 0, "show this `number` of customers of each kind, with their personal data")
	f.BoolVar(&o.json, "json", false, "print the plan as JSON")
	f.StringVar(&o.orphans, "orphans", "", "write the source ids that only Voucherify has to this `file`")
	f.StringVar(&o.existing, "existing", "", "compare with this `file`, an export of the customers that was downloaded before")
	f.BoolVar(&o.exitCode, "exit-code", false, "end with exit code 6 where something would be created, changed or cleared")
	f.StringVar(&o.run.profilesFrom, "profiles-from", "", "plan only for the profiles that this `file` names; - for stdin")
	f.StringVar(&o.since, "since", "", "plan only for what changed since this `time`: 24h, 7d, 2026-11-19T00:00:00Z")
	o.run.settings.addFrom(f)
	o.run.settings.addMapping(f)
	o.run.settings.addEnvFile(f)
	f.DurationVar(&o.run.wait.maxWait, "max-wait", 5*time.Minute, "the longest pause to wait out when a server asks for one; after a longer one, exit code 5")
	f.DurationVar(&o.run.wait.retryFor, "retry-for", 0, "how long to retry while an API does not answer (default 30m, on a terminal 3m)")
	f.StringVar(&o.run.report.logFormat, "log-format", "text", "`format` of the log on stderr: text or json")
	f.StringVar(&o.run.report.color, "color", "auto", "`when` to use colours on the terminal: auto, always or never")
	f.BoolVarP(&o.run.report.verbose, "verbose", "v", false, "log every retry and warning")
	f.BoolVarP(&o.run.report.quiet, "quiet", "q", false, "log nothing but errors and warnings about settings")
	f.BoolVar(&o.run.settings.sandbox, "sandbox", false, "plan for the embedded sandbox")
	for _, other := range []string{"since", "profiles-from", "existing", "orphans"} {
		cmd.MarkFlagsMutuallyExclusive("sample", other)
	}
	cmd.MarkFlagsMutuallyExclusive("since", "profiles-from", "orphans") // orphans need a complete read
	cmd.MarkFlagsMutuallyExclusive("verbose", "quiet")
	return cmd
}

func (o *planOptions) check() error {
	var m mistakes
	if o.sample < 0 || o.sample > mostSampled {
		m.add("--sample %d: it must be 1 to %d", o.sample, mostSampled)
	}
	if o.show < 0 {
		m.add("--show %d is negative", o.show)
	}
	m = append(m, o.run.checkCommon()...)
	if o.run.wait.retryFor < 0 {
		m.add("--retry-for %s: it must be above 0", o.run.wait.retryFor)
	}
	if _, err := parseSince(o.since, time.Now()); o.since != "" && err != nil {
		m.add("--since %q: %w", o.since, err)
	}
	if from := &o.run.settings; !from.fromAPI() {
		if o.run.profilesFrom != "" {
			m.add("--profiles-from goes with --from api")
		}
		if o.since != "" && !from.fromWarehouse() {
			m.add(noSinceOfFile)
		}
	}
	return errors.Join(m...)
}

func runPlan(cmd *cobra.Command, o *planOptions) (err error) {
	o.run.confirm.verify = "off"
	s, err := newSession(cmd, &o.run)
	if err != nil {
		return err
	}
	s.extent.noCount = o.sample > 0
	if err := s.connect(); err != nil {
		return err
	}
	defer s.apis.close()
	if err := s.openFrom(cmd); err != nil {
		return err
	}
	profiles, err := o.run.profiles(cmd.InOrStdin(), s.tell.log)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if o.run.dir, err = os.MkdirTemp("", "segsync-plan-"); err != nil {
		return &exitError{exitFailed, err}
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.run.dir)) }()
	interrupts := watchInterrupts(cmd.Context(), s.apis.hurry, s.tell)
	defer interrupts.close()
	report, err := s.plan(interrupts.ctx, o, profiles)
	if code := interrupts.exitCode(); code != exitDone {
		return &exitError{code: code}
	}
	if err != nil {
		var exit *exitError
		if errors.As(err, &exit) {
			return err
		}
		return &exitError{exitCodeOf(err), err}
	}
	if o.json {
		err = printJSON(s.tell.stdout, report)
	} else {
		report.print(s.tell.stdout)
	}
	if err == nil && o.exitCode && report.differs() {
		return exitWith(exitChanges)
	}
	return err
}

// plan reads the profiles and compares their customers.
func (s *session) plan(ctx context.Context, o *planOptions, profiles []segmentprofiles.Identifier) (*planReport, error) {
	if o.sample > 0 && s.run.settings.fromAPI() {
		var err error
		if profiles, err = s.firstProfiles(ctx, o.sample); err != nil {
			return nil, err
		}
	}
	schema, err := s.schemaOfExport(ctx)
	if err != nil {
		return nil, err
	}
	existing, err := s.existing(ctx, o, schema)
	if err != nil {
		return nil, err
	}
	if existing != nil {
		defer existing.Close()
	}
	start := journal.Start{Identity: s.identity(profiles), Mode: journal.Anew, Offset: importer.Beginning}
	if o.since != "" {
		start.Since, _ = parseSince(o.since, time.Now()) // it was checked
	}
	if err := s.openJournal(journal.NewNames(o.run.dir, ""), start); err != nil {
		return nil, err
	}
	plan := importer.NewPlan(existing, s.apis.voucherify, refusalsOf(schema), o.show)
	settings := s.importSettings()
	if !s.run.settings.fromAPI() {
		settings.Limit = o.sample
	}
	settings.Profiles, settings.Plan, settings.MaxRejects, settings.MaxClears = profiles, plan, -1, math.MaxInt
	s.importer = importer.New(s.apis.segment, s.apis.voucherify, settings, s.journal, s.tell.log)
	if err := s.readSchema(ctx); err != nil {
		return nil, err
	}
	stopProgress := s.showProgress(ctx)
	err = s.importer.Run(ctx)
	stopProgress(err == nil)
	if err != nil {
		return nil, err
	}
	report := newPlanReport(s, plan)
	if existing != nil && profiles == nil && o.since == "" {
		n := existing.Unseen()
		report.Counts.OnlyInVoucherify = &n
	}
	if o.orphans != "" {
		return report, writeOrphans(o.orphans, existing)
	}
	return report, nil
}

// firstProfiles returns the first n profiles of the list.
func (s *session) firstProfiles(ctx context.Context, n int) ([]segmentprofiles.Identifier, error) {
	profiles := []segmentprofiles.Identifier{}
	for page, err := range s.apis.segment.AllProfiles(ctx, importer.Beginning, min(s.apis.settings.pageSize, n)) {
		if err != nil {
			return nil, fmt.Errorf("listing profiles: %w", err)
		}
		for _, p := range page.Data {
			if profiles = append(profiles, segmentprofiles.SegmentID(p.SegmentID)); len(profiles) == n {
				return profiles, nil
			}
		}
	}
	return profiles, nil
}

// existing returns the customers to compare with; nil where they are asked for one by one.
func (s *session) existing(ctx context.Context, o *planOptions, schema *voucherify.MetadataSchema) (*importer.Existing, error) {
	switch {
	case o.sample > 0:
		return nil, nil
	case o.existing == "":
		return s.takeExport(ctx, schema)
	}
	file, err := os.Open(o.existing)
	if err != nil {
		return nil, &exitError{exitUsage, fmt.Errorf("--existing: %w", err)}
	}
	defer file.Close()
	existing, err := importer.ReadExisting(file, definedKeys(schema), false)
	if err != nil {
		return nil, &exitError{exitUsage, fmt.Errorf("--existing: %w", err)}
	}
	return existing, nil
}

// refusalsOf returns what a project's schema refuses of a customer's metadata as it is sent.
func refusalsOf(schema *voucherify.MetadataSchema) func(map[string]any) []mapping.LeftOut {
	if schema == nil {
		return nil
	}
	rules := mapping.NewSchema(schema)
	return func(metadata map[string]any) []mapping.LeftOut {
		return rules.Refusals(metadata, false, schema.AllowDefinedOnly)
	}
}

// writeOrphans writes the source ids that were not asked for, one a line.
func writeOrphans(path string, existing *importer.Existing) (err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return &exitError{exitUsage, fmt.Errorf("--orphans: %w", err)}
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	for id, err := range existing.UnseenIDs() {
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(file, id); err != nil {
			return fmt.Errorf("--orphans: %w", err)
		}
	}
	return nil
}
