package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"segsync/importer/journal"
)

// carryOut runs a command whose flags are in order, and sees to it that the files that
// monitoring reads do not speak of an earlier run: there is no summary until this one ends,
// and where it ends before there is anything to summarize, the metrics tell its exit code,
// and what is known of the import before.
func (o *runFlags) carryOut(cmd *cobra.Command, flagsErr error, command func() error) error {
	began := time.Now()
	if flagsErr != nil {
		return o.report.logged(&exitError{exitUsage, &hinted{flagsErr, fmt.Sprintf("see %s --help", cmd.CommandPath())}})
	}
	if o.report.summary != "" {
		if err := os.Remove(o.report.summary); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return o.report.logged(&exitError{exitUsage, fmt.Errorf("--summary: %w", err)})
		}
	}
	err := command()
	var early *exitError
	if o.report.metricsFile != "" && errors.As(err, &early) && early.err != nil && early.code != exitLocked {
		var m metrics
		// Without its end, an alert on a night that did not finish fires at once.
		if last, err := journal.Load(o.names(false)); err == nil && last != nil {
			m.addImport(last)
		}
		m.addRun(began, &early.code)
		early.err = errors.Join(early.err, m.writeTo(o.report.metricsFile))
	}
	return o.report.logged(err)
}

// logged turns an error into a line of the log where that is JSON, so that every line
// of stderr is.
func (o *reportFlags) logged(err error) error {
	var exit *exitError
	if o.logFormat != "json" || !errors.As(err, &exit) || exit.err == nil {
		return err
	}
	slog.New(slog.NewJSONHandler(&cleanWriter{os.Stderr, new(secrets), safeJSON}, nil)).Error(exit.err.Error(), "hints", hints(exit.err))
	return &exitError{code: exit.code}
}
