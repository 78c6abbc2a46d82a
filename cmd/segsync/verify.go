package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"segsync/importer"
)

func newVerifyCommand() *cobra.Command {
	var o importOptions
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Find out what became of customers that were sent, and not confirmed",
		Long: `Verify takes up the async actions that an import left unconfirmed, and waits until
Voucherify has carried them out. It imports nothing.

` + exitCodes,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.offset, o.verify, o.resume, o.maxRejects = importer.Beginning, "on", true, -1
			return o.carryOut(cmd, runVerify)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	o.addTo(f)
	f.DurationVar(&o.verifyInterval, "verify-interval", 30*time.Second, "the longest time between two looks")
	f.StringVar(&o.profilesFrom, "profiles-from", "", "take up the import of the profiles that this `file` names")
	return cmd
}

func runVerify(cmd *cobra.Command, o *importOptions) error {
	settings, total, _, err := o.settings(cmd.Flags())
	if err != nil {
		return err
	}
	profiles, err := o.profiles(cmd)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	noImport := &hinted{fmt.Errorf("there is no import in %s", o.dir), "use the --dir of the import, and its --profiles-from if it had one"}
	if _, err := os.Stat(o.dir); errors.Is(err, os.ErrNotExist) {
		return &exitError{exitUsage, noImport} // and none is made by locking
	}
	unlock, err := lockDir(o.dir)
	if err != nil {
		return err
	}
	defer unlock()
	s := newSession(cmd, o, settings, total)
	state, err := importer.LoadState(o.files().Path(o.files().State))
	if err == nil && state == nil {
		err = noImport
	}
	if err == nil {
		id := settings.identity(profiles)
		id.Mapping = state.Mapping // nothing is mapped
		err = refuseOther(state, id, o.files())
	}
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if err := s.connect(o.files(), profiles, state); err != nil {
		return &exitError{exitUsage, err}
	}
	defer s.close()
	return s.run(cmd.Context(), s.importer.Verify)
}
