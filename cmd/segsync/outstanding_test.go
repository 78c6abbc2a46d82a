package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"segsync/importer/journal"
)

// While an import runs, what is outstanding can be listed, and not forgotten.
func TestOutstandingWhileAnImportRuns(t *testing.T) {
	t.Parallel()
	names := journal.NewNames(t.TempDir(), "")
	j, _, err := journal.Open(names, journal.Start{Identity: journal.Identity{Space: "spa_1", Identifier: "user_id"}, Offset: journal.Beginning})
	check(t, err)
	rejected := journal.Entry{SegmentID: "use_1", SourceID: "user-1", Outcome: journal.Rejected, Why: journal.Why{Reason: "too_large"}}
	check(t, j.Start())
	check(t, j.AddPage(journal.Page{After: journal.Position{Offset: "1", Done: true}, Entries: []journal.Entry{rejected}}))
	check(t, errors.Join(j.Save(), j.Close()))

	unlock, err := journal.Lock(names.Dir)
	check(t, err)
	defer unlock()
	for _, c := range []struct {
		flags string
		code  int
	}{{"", exitNotImported}, {"--json", exitNotImported}, {"--forget use_1", exitLocked}, {"--forget-all", exitLocked}} {
		cmd := newOutstandingCommand()
		cmd.SetArgs(append([]string{"--dir", names.Dir}, strings.Fields(c.flags)...))
		cmd.SetOut(io.Discard)
		cmd.SetErr(io.Discard)
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		var exit *exitError
		if err := cmd.Execute(); !errors.As(err, &exit) || exit.code != c.code {
			t.Errorf("outstanding %s: %v, want the exit code %d", c.flags, err, c.code)
		}
	}
	if records, _, err := journal.ReadOutstanding(names); err != nil || len(records) != 1 {
		t.Errorf("outstanding afterwards: %v (%v), want one", records, err)
	}
}

// On a terminal the details are folded, or the profiles have lines of their own; what is not
// printable is escaped.
func TestOutstandingTable(t *testing.T) {
	records := []journal.Record{
		{SegmentID: "use_1", SourceID: "user-1", First: time.Date(2026, 11, 1, 2, 0, 0, 0, time.UTC),
			Why: journal.Why{Reason: "rule", Detail: "a\x1b[2J detail that is too long for a narrow terminal"}},
		{First: time.Date(2026, 11, 2, 2, 0, 0, 0, time.UTC), Unnamed: 2, Why: journal.Why{Reason: "rule", ActionID: "aa_1"}},
	}
	for width, want := range map[int]string{
		0: `SEGMENT_ID         SOURCE_ID  SINCE       REASON  DETAIL
use_1              user-1     2026-11-01  rule    a\x1b[2J detail that is too long for a narrow terminal
async_action:aa_1             2026-11-02  rule    2 customers
`,
		74: `SEGMENT_ID         SOURCE_ID  SINCE       REASON  DETAIL
use_1              user-1     2026-11-01  rule    a\x1b[2J detail that is
                                                  too long for a narrow
                                                  terminal
async_action:aa_1             2026-11-02  rule    2 customers
`,
		40: `SEGMENT_ID
    SOURCE_ID  SINCE  REASON  DETAIL
use_1
    user-1  2026-11-01  rule  a\x1b[2J
    detail that is too long for a narrow
    terminal
async_action:aa_1
    2026-11-02  rule  2 customers
`,
	} {
		var b bytes.Buffer
		check(t, printRecords(&page{Writer: &b, columns: func() int { return width }, clean: asItIs}, records))
		if b.String() != want {
			t.Errorf("at a width of %d, got\n%swant\n%s", width, b.String(), want)
		}
		for line := range strings.Lines(b.String()) {
			if n := utf8.RuneCountInString(line) - 1; width > 0 && n > width {
				t.Errorf("%d columns, more than %d: %s", n, width, line)
			}
		}
	}
}
