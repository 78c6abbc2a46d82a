package main

import (
	"errors"
	"io"
	"strings"
	"testing"

	"segsync/importer/journal"
	"segsync/importer/outcome"
	"segsync/importer/source"
	"segsync/internal/app"
)

// While an import runs, what is outstanding can be listed, and not forgotten.
func TestOutstandingWhileAnImportRuns(t *testing.T) {
	t.Parallel()
	names := journal.NewNames(t.TempDir(), "")
	j, _, err := journal.Open(names, journal.Start{Identity: journal.Identity{Space: "spa_1", Identifier: "user_id"}})
	check(t, err)
	rejected := journal.Entry{SegmentID: "use_1", SourceID: "user-1", Outcome: outcome.Rejected, Why: outcome.Why{Reason: "too_large"}}
	check(t, j.Start())
	check(t, j.AddPage(journal.Page{After: source.Position{At: "1", Done: true}, Entries: []journal.Entry{rejected}}))
	check(t, errors.Join(j.Save(), j.Close()))

	unlock, err := journal.Lock(names.Dir)
	check(t, err)
	defer unlock()
	for _, c := range []struct {
		flags string
		code  int
	}{{"", app.ExitNotImported}, {"--json", app.ExitNotImported}, {"--forget use_1", app.ExitLocked}, {"--forget-all", app.ExitLocked}} {
		cmd := newOutstandingCommand()
		cmd.SetArgs(append([]string{"--dir", names.Dir}, strings.Fields(c.flags)...))
		cmd.SetOut(io.Discard)
		cmd.SetErr(io.Discard)
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		var exit *app.Error
		if err := cmd.Execute(); !errors.As(err, &exit) || exit.Code != c.code {
			t.Errorf("outstanding %s: %v, want the exit code %d", c.flags, err, c.code)
		}
	}
	if records, _, err := journal.ReadOutstanding(names); err != nil || len(records) != 1 {
		t.Errorf("outstanding afterwards: %v (%v), want one", records, err)
	}
}
