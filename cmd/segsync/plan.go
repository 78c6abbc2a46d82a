package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"segsync/importer"
	"segsync/importer/journal"
	"segsync/internal/safetext"
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
Voucherify, and nothing is written but the file of --orphans.

With --sample only the first profiles are read: of the API's list those that were active
last, of a file those at its beginning, of a warehouse those with the smallest ids.
Voucherify is then asked for their customers one by one.

Exit codes: 0 done; 1 failed; 2 wrong usage, settings or credentials; 5 stopped for a
quota; with --exit-code, 6 where something would be created, changed or
cleared.`,
		Example: `  segsync plan
  segsync plan --sample 200 --show 3
  segsync plan --json --exit-code
  segsync plan --from warehouse --sample 200
  segsync plan --existing customers.csv
  segsync plan --orphans only-in-voucherify.txt`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run.carryOut(cmd, o.check(cmd.Flags()), func() error { return runPlan(cmd, &o) })
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.IntVar(&o.sample, "sample", 0, "plan for the first `number` of profiles only, at most 500")
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

func (o *planOptions) check(flags *pflag.FlagSet) error {
	var m mistakes
	if flags.Changed("sample") && (o.sample < 1 || o.sample > mostSampled) {
		m.add("--sample %d: it must be 1 to %d", o.sample, mostSampled)
	}
	if o.show < 0 {
		m.add("--show %d is negative", o.show)
	}
	m = append(m, o.run.checkCommon()...)
	if o.run.wait.retryFor < 0 || flags.Changed("retry-for") && o.run.wait.retryFor == 0 {
		m.add("--retry-for %s: it must be above 0", o.run.wait.retryFor)
	}
	m = append(m, empty(flags, "env-file", "profiles-from", "mapping", "since", "from", "existing", "orphans")...)
	m = append(m, o.checkOrphans()...)
	if o.since == lastImport {
		m.add("--since last: a plan knows of no import before it; give a time, such as 24h")
	} else if _, err := parseSince(o.since, time.Now()); o.since != "" && err != nil {
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

// checkOrphans says before the profiles are read what is wrong with the file of --orphans.
func (o *planOptions) checkOrphans() mistakes {
	var m mistakes
	if o.orphans == "" {
		return nil
	}
	for _, other := range []string{o.existing, o.run.settings.fromFile(), o.run.settings.envFile, o.run.settings.mapping, o.run.settings.mappingSetting()} {
		if other != "" && sameFile(o.orphans, other) {
			m.add("--orphans %s would overwrite a file that this command needs", o.orphans)
			return m
		}
	}
	if info, err := os.Stat(o.orphans); err == nil && !info.Mode().IsRegular() {
		m.add("--orphans %s is not a regular file", o.orphans)
	} else if err := writable(filepath.Dir(o.orphans)); err != nil {
		m.add("--orphans: %w", err)
	}
	return m
}

func runPlan(cmd *cobra.Command, o *planOptions) error {
	o.run.confirm.verify = "off"
	s, err := newSession(cmd, &o.run)
	if err != nil {
		return err
	}
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
	if o.orphans != "" { // it must not speak of an earlier plan where this one fails
		if err := os.Remove(o.orphans); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return &exitError{exitUsage, fmt.Errorf("--orphans: %w", err)}
		}
	}
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	interrupts := watchInterrupts(ctx, "interrupted", func() {
		cancel() // there is nothing to finish
		s.closeInput()
	}, s.tell)
	defer interrupts.close()
	report, err := s.plan(interrupts.ctx, o, profiles)
	if code := interrupts.exitCode(); code != exitDone {
		return &exitError{code: code}
	}
	if report != nil {
		err = errors.Join(err, report.show(s.tell.stdout, o.json))
	}
	if err != nil {
		var exit *exitError
		if errors.As(err, &exit) {
			return err
		}
		return &exitError{exitCodeOf(err), err}
	}
	if o.exitCode && report.differs() {
		return exitWith(exitChanges)
	}
	return nil
}

// plan reads the profiles and compares their customers. It may return a report with an error.
func (s *session) plan(ctx context.Context, o *planOptions, profiles []segmentprofiles.Identifier) (_ *planReport, err error) {
	if o.run.dir, err = os.MkdirTemp("", "segsync-plan-"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.run.dir)) }()
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
	plan := importer.NewPlan(existing, s.apis.voucherify, schema, o.show)
	s.importer = importer.New(s.apis.segment, s.apis.voucherify, s.planSettings(o, plan, profiles), s.journal, s.tell.log)
	if err := s.readSchema(ctx); err != nil {
		return nil, err
	}
	if s.tell.people && o.sample == 0 {
		s.count(ctx)
	}
	began, before := time.Now(), s.apis.toSegment.Stats().Requests
	stopProgress := s.showProgress(ctx)
	err = s.importer.Run(ctx)
	stopProgress(err == nil)
	if err != nil {
		return nil, err
	}
	report := newPlanReport(s, plan)
	if o.sample > 0 {
		report.Sample = &planSample{Profiles: s.importer.State().Counts.Read}
	} else {
		report.Estimate = &planEstimate{
			SegmentRequests: s.apis.toSegment.Stats().Requests - before, perSecond: s.apis.settings.segmentRate, took: time.Since(began),
		}
	}
	if existing == nil || !s.importer.Complete() {
		if o.orphans != "" {
			return report, errors.New("--orphans: not all profiles could be read, so nobody knows which customers only Voucherify has: the file is not written")
		}
		return report, nil
	}
	n := existing.Unseen()
	report.Counts.OnlyInVoucherify = &n
	if o.orphans != "" {
		return report, writeOrphans(o.orphans, existing)
	}
	return report, nil
}

// planSettings are those of an import, with the plan in place of Voucherify.
func (s *session) planSettings(o *planOptions, plan *importer.Plan, profiles []segmentprofiles.Identifier) importer.Settings {
	settings := s.importSettings()
	settings.Profiles, settings.Plan, settings.MaxRejects, settings.MaxClears = profiles, plan, -1, math.MaxInt
	settings.CatchUp = o.sample == 0
	settings.Recheck = o.orphans != "" // also for profiles that others which were deleted pushed past the reader
	if o.sample > 0 {
		settings.Whole, settings.Limit, s.extent.limit = true, o.sample, o.sample
	}
	return settings
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
	existing, err := importer.ReadExisting(file, schema, false)
	if err != nil {
		return nil, &exitError{exitUsage, &hinted{
			fmt.Errorf("--existing %s: %w", o.existing, err), "it must be a whole export of customers, a CSV file with a column Source ID"}}
	}
	return existing, nil
}

// writeOrphans writes the source ids that were not asked for, one a line.
func writeOrphans(path string, existing *importer.Existing) error {
	err := journal.ReplaceFile(path, 0o600, func(file *os.File) error {
		out := bufio.NewWriter(file)
		for id, err := range existing.UnseenIDs() {
			if err != nil {
				return err
			}
			fmt.Fprintln(out, safetext.Line(id)) // Flush returns its error
		}
		return out.Flush()
	})
	if err != nil {
		return fmt.Errorf("--orphans: %w", err)
	}
	return nil
}
