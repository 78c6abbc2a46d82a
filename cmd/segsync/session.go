package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"segsync/importer"
	"segsync/importer/journal"
	"segsync/internal/screen"
	"segsync/segmentprofiles"
)

// session is one execution of a command that imports: its importer, run once and perhaps
// resumed once, and what it tells people.
type session struct {
	flags   *pflag.FlagSet
	command string // such as "segsync import"
	run     *runFlags
	dry     dryFlags
	tell    *telling
	apis    *connection

	journal    *journal.Journal
	continued  bool // the import was begun by an earlier command
	importer   *importer.Importer
	notifier   *notifier
	schemaRead bool
	customers  io.Writer // of a dry run, else nil
	// closeCustomers closes a file of customers; nil if there is none.
	closeCustomers func() error
	catchUp        bool
	from           importer.Origin // nil: the Profile API
	closeInput     func()          // ends the reading of profiles from a pipe
	extent         extent
	earlier        summaryRequests // those of an import before this one, in the same process
	began          time.Time
}

// newSession returns a session that can speak.
func newSession(cmd *cobra.Command, o *runFlags) (*session, error) {
	s := &session{flags: cmd.Flags(), command: cmd.CommandPath(), run: o, extent: extent{total: -1}, began: time.Now(), closeInput: func() {}}
	var err error
	if s.tell, err = newTelling(cmd.OutOrStdout(), &o.report, o.wait.nonInteractive); err != nil {
		return nil, &exitError{exitUsage, err}
	}
	return s, nil
}

// connect makes the connection of the session.
func (s *session) connect() (err error) {
	limits := bounds{maxWait: s.run.wait.maxWait, retryFor: s.run.wait.retryFor}
	if limits.retryFor == 0 {
		limits.retryFor = 30 * time.Minute
		if s.tell.people {
			limits.retryFor = 3 * time.Minute // somebody is looking
		}
	}
	if s.apis, err = s.run.settings.connect(s.flags, limits, s.tell.log); err != nil {
		return err
	}
	s.tell.keepSecret(s.apis.settings.secrets()...)
	for _, warning := range s.apis.settings.warnings {
		s.tell.log.Warn(warning.text, aboutSetting, warning.setting)
	}
	if s.run.settings.fromAPI() {
		s.extent.total = int64(s.apis.sandboxProfiles)
	}
	return nil
}

// identity says what this import is about. The embedded sandbox is the same one at
// whatever port it listens.
func (s *session) identity(profiles []segmentprofiles.Identifier) journal.Identity {
	id := s.apis.settings.identity(profiles)
	id.Source = s.run.settings.sourceOf(s.apis.settings)
	if s.run.settings.sandbox {
		id.SegmentURL, id.VoucherifyURL = "sandbox", "sandbox"
	}
	return id
}

// importSettings returns the settings of the importer.
func (s *session) importSettings() importer.Settings {
	set := s.apis.settings
	return importer.Settings{
		Identifiers: set.identifiers,
		Mapping:     set.mapping,
		PageSize:    set.pageSize,
		TraitsLimit: set.traitsLimit,
		BatchSize:   set.batchSize,
		Readers:     readers(set.segmentRate),
		Verify: importer.Verify{
			Off:      s.run.confirm.verify == "off" || s.dry.run,
			Interval: s.run.confirm.interval,
			Timeout:  s.run.confirm.timeout,
		},
		MaxRejects: s.run.confirm.maxRejects,
		From:       s.from,
		DryRun:     s.customers,
	}
}

// readSchema reads the metadata schema once, where it can matter.
func (s *session) readSchema(ctx context.Context) error {
	if s.schemaRead {
		return nil
	}
	schema, strict, err := s.apis.metadataSchema(ctx, func(text string, cause error) { s.tell.log.Warn(text, aboutSetting, "METADATA_POLICY", "cause", cause) })
	if err != nil {
		return err
	}
	if schema != nil {
		s.tell.log.Debug("metadata schema read", "strict", strict)
		s.importer.UseSchema(schema, strict)
	}
	s.schemaRead = true
	return nil
}

// carryOut carries out the import, asks after the first error whether to resume, and says
// how it ended.
func (s *session) carryOut(ctx context.Context, do func(context.Context) error) error {
	interrupts := watchInterrupts(ctx, "interrupted: finishing what is being read; interrupt again to end at once", func() {
		s.importer.Stop()
		s.closeInput()
		s.apis.hurry()
	}, s.tell)
	defer interrupts.close()
	s.notifier = newNotifier(s.apis.settings.ending, s.tell.log, nil)
	s.notifier.start(interrupts.ctx)
	s.announce(interrupts)
	if code := interrupts.exitCode(); code != exitDone {
		return s.interrupted(code, nil) // nothing was begun
	}
	s.began = time.Now() // the time to stop is no part of it
	for attempt := 1; ; attempt++ {
		stopProgress := s.showProgress(interrupts.ctx)
		err := do(interrupts.ctx)
		stopProgress(err == nil && (s.importer.State().Position.Done || s.extent.limit > 0))
		if err == nil && (interrupts.exitCode() == exitDone || !s.importer.State().Unfinished()) {
			return s.ended()
		}
		if code := interrupts.exitCode(); code != exitDone {
			return s.interrupted(code, err)
		}
		s.tell.printError(err)
		code := exitCodeOf(err)
		if attempt == 2 || !s.tell.interactive || s.run.settings.readOnce() || s.dry.run || waits(err) || !s.askResume(s.offset(), interrupts) {
			return s.stopped(cmp.Or(interrupts.exitCode(), code), err)
		}
	}
}

// announce says what is about to be done.
func (s *session) announce(interrupts *interrupts) {
	state := s.importer.State()
	if s.dry.run {
		s.tell.log.Info("dry run: nothing is sent to Voucherify")
	}
	if s.run.settings.sandbox && s.run.settings.fromAPI() {
		s.tell.log.Info("importing from the embedded sandbox", "dir", s.run.dir)
	}
	if !s.tell.people {
		s.tell.log.Info(s.what()+" begins", "space", state.Identity.Space, "identifier", state.Identity.Identifier, "dir", s.run.dir)
	}
	if state.Counts.Read > 0 {
		s.tell.log.Info("continuing the import in this directory", "offset", s.offset(), "profiles", state.Counts.Read,
			"unconfirmed", state.Unconfirmed())
	}
	if s.tell.people || s.extent.limit > 0 {
		s.count(interrupts.ctx)
	}
	if s.tell.people && !s.dry.run && !s.continued {
		s.showProspect(interrupts)
	}
}

// timeToStop is how long a person has to read what is about to be done, and to stop it.
const timeToStop = 2 * time.Second

// showProspect says, before anything is written, what is imported, how long that takes, and
// what cannot be changed later. Then it gives time to stop it.
func (s *session) showProspect(interrupts *interrupts) {
	set, to := s.apis.settings, s.tell.stderr
	to.linef("%s", s.head().Names())
	to.linef("%ssource_id from %s: permanent. Mapping: %s.", s.prospect(), set.identifier(), cmp.Or(set.mappingFile, "the default"))
	to.linef("Ctrl-C within %d seconds writes nothing.", timeToStop/time.Second)
	select {
	case <-time.After(timeToStop):
	case <-interrupts.first:
	case <-interrupts.ctx.Done():
	}
}

// prospect says how many profiles there are to import, and how long that takes; "" if it is
// not known.
func (s *session) prospect() string {
	profiles := s.total() - s.skipped()
	if profiles <= 0 || !s.run.settings.fromAPI() {
		return ""
	}
	set, what := s.apis.settings, screen.Number(profiles)+" profiles"
	if limit := int64(s.extent.limit); limit > 0 && limit < profiles {
		what, profiles = screen.Number(limit)+" of "+what, limit
	}
	return fmt.Sprintf("%s, %s at %g requests/s. ", what, about(set.duration(set.requests(profiles, set.requestsEach()))), set.segmentRate)
}

// about words an expected time.
func about(d time.Duration) string {
	return strings.Replace("about "+screen.Estimate(d), "about <", "less than", 1)
}

// what is import, verify or plan.
func (s *session) what() string { return strings.TrimPrefix(s.command, "segsync ") }

// doing is what it does.
func (s *session) doing() string {
	if s.what() == "plan" {
		return "planning"
	}
	return "importing"
}

// offset is how the position of the import is shown.
func (s *session) offset() string {
	at := s.importer.State().Position
	if at.Done || at.Pass > 0 {
		return "end of the list"
	}
	return s.run.settings.place(at)
}
