package main

import (
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"

	"segsync/importer"
	"segsync/importer/journal"
)

// verifyOptions are the flags of segsync verify.
type verifyOptions struct{ run runFlags }

func newVerifyCommand() *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Find out what became of customers that were sent, and not confirmed",
		Long: `Verify takes up the async actions that an import left unconfirmed, and waits until
Voucherify has carried them out. It imports nothing.`,
		Example: `  segsync verify
  segsync verify --dir /var/lib/segsync`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.run.confirm.verify, o.run.confirm.maxRejects = "on", -1
			err := errors.Join(o.run.check(cmd.Flags(), "")...)
			return o.run.carryOut(cmd, err, func() error { return runVerify(cmd, &o) })
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	o.run.addTo(f)
	f.DurationVar(&o.run.confirm.interval, "verify-interval", 30*time.Second, "the longest time between two looks")
	f.StringVar(&o.run.profilesFrom, "profiles-from", "", "take up the import of the profiles that this `file` names")
	cmd.MarkFlagsMutuallyExclusive("verbose", "quiet")
	return cmd
}

func runVerify(cmd *cobra.Command, o *verifyOptions) (err error) {
	s, err := newSession(cmd, &o.run)
	if err != nil {
		return err
	}
	defer func() { s.tellEarly(err) }()
	s.extent.total = 0 // nothing is read
	if err := s.connect(); err != nil {
		return err
	}
	defer s.apis.close()
	profiles, err := o.run.profiles(cmd.InOrStdin(), s.tell.log)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	names := o.run.names(false)
	if _, err := os.Stat(o.run.dir); errors.Is(err, os.ErrNotExist) {
		return &exitError{exitUsage, advise(&journal.NoImportError{Dir: o.run.dir})} // and none is made by locking
	}
	unlock, err := lockDir(o.run.dir)
	if err != nil {
		return err
	}
	defer unlock()
	id := s.identity(profiles)
	if old, err := journal.Load(names); err == nil && old != nil {
		id.Mapping = old.Mapping // nothing is mapped
	}
	if err := s.openJournal(names, journal.Start{Identity: id, Mode: journal.Existing}); err != nil {
		return err
	}
	s.importer = importer.New(s.apis.segment, s.apis.voucherify, s.importSettings(), s.journal, s.tell.log)
	return s.carryOut(cmd.Context(), s.importer.Verify)
}
