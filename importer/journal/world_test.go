package journal_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"segsync/importer/journal"
	"segsync/importer/mapping"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var identity = journal.Identity{Space: "spa", Identifier: "user_id"}

func start(mode journal.Mode) journal.Start {
	return journal.Start{Identity: identity, Mode: mode, Offset: journal.Beginning}
}

// open opens the journal of the directory, as a new process would, and starts it.
func open(names journal.Names, s journal.Start) (*journal.Journal, error) {
	j, _, err := journal.Open(names, s)
	if err != nil {
		return nil, err
	}
	return j, j.Start()
}

func mustOpen(t *testing.T, names journal.Names, s journal.Start) *journal.Journal {
	t.Helper()
	j, err := open(names, s)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// page returns page n of a made-up list: of ten profiles one is rejected at once, one is
// without identifier, one has vanished, one is merged, one has a warning, and the rest are
// sent with two actions.
func page(n int, last bool) journal.Page {
	p := journal.Page{After: journal.Position{Offset: fmt.Sprint(10 * (n + 1)), Done: last}}
	if n == 0 {
		p.Began = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	}
	for i := range 10 {
		e := journal.Entry{SegmentID: fmt.Sprintf("use_%d_%d", n, i), SourceID: fmt.Sprintf("user-%d-%d", n, i), Identifier: "user_id",
			Outcome: journal.Unconfirmed, Claimed: true,
			Action: journal.Action{ID: fmt.Sprintf("aa_%d_%d", n, i%2), Accepted: time.Date(2026, 11, 1, 12, 0, n, 0, time.UTC), Sent: 3}}
		switch i {
		case 0:
			e.Outcome, e.Why = journal.Rejected, journal.Why{Reason: "too_large", Detail: "Voucherify answered 413"}
		case 1:
			e.Outcome, e.SourceID, e.Claimed = journal.WithoutIdentifier, "", false
		case 2:
			e.Outcome, e.Why, e.SourceID, e.Claimed = journal.Vanished, journal.Why{Reason: "vanished"}, "", false
		case 3:
			e.Outcome, e.Claimed = journal.Merged, false
		case 4:
			e.Warnings = []mapping.Warning{{Field: "birthdate", Reason: "not a date"}}
			e.InvalidBirthdate = true
		}
		p.Entries = append(p.Entries, e)
	}
	return p
}

const pages = 3

// unfinished makes an import in the directory that has read two of three pages.
func unfinished(t *testing.T) journal.Names {
	t.Helper()
	names := journal.NewNames(t.TempDir(), "")
	j := mustOpen(t, names, start(journal.Plain))
	for n := range 2 {
		if err := errors.Join(j.AddPage(page(n, false)), j.Save()); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return names
}

// finish continues the import to its end.
func finish(names journal.Names) (*journal.State, error) {
	j, err := open(names, start(journal.Existing))
	if err != nil {
		return nil, err
	}
	profiles, err := j.Profiles(context.Background())
	if err != nil {
		return nil, errors.Join(err, j.Close())
	}
	sources, err := j.Sources(context.Background())
	if err != nil {
		return nil, errors.Join(err, profiles.Close(), j.Close())
	}
	p := page(2, true)
	for n := range pages {
		for _, e := range page(n, false).Entries {
			added, addErr := profiles.Add(e.SegmentID)
			if added != (n == 2) {
				err = errors.Join(err, fmt.Errorf("%s is new: %v", e.SegmentID, added))
			}
			sender, sendErr := sources.Sender(e.SourceID, e.SegmentID)
			if e.Claimed && n < 2 != (sender == journal.Itself) {
				err = errors.Join(err, fmt.Errorf("%s was sent by %d", e.SourceID, sender))
			}
			err = errors.Join(err, addErr, sendErr)
		}
	}
	err = errors.Join(err, j.AddPage(p))
	for _, a := range slices.Clone(j.Next().Actions) {
		err = errors.Join(err, j.Settle(a.ID, nil))
	}
	return j.State(), errors.Join(err, j.Finish(true), profiles.Close(), sources.Close(), j.Close())
}

// filesOf returns the content of all files of the directory.
func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(data)
	}
	return all
}

// copyOf writes the files to a new directory.
func copyOf(t *testing.T, files map[string]string) journal.Names {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return journal.NewNames(dir, "")
}
