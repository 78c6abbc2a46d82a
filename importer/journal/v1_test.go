package journal_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"segsync/importer/journal"
)

// v1 returns a copy of an import that version 1 of the program left, and how to go on with
// it. The profiles are those of the sandbox: 40, with the seed 1.
func v1(t *testing.T, name string, mode journal.Mode) (journal.Names, journal.Start) {
	t.Helper()
	names := journal.NewNames(t.TempDir(), "")
	if err := os.CopyFS(names.Dir, os.DirFS(filepath.Join("testdata", "v1", name))); err != nil {
		t.Fatal(err)
	}
	state, err := journal.Load(names)
	if err != nil {
		t.Fatal(err)
	}
	return names, journal.Start{Identity: state.Identity, Mode: mode, Offset: journal.Beginning}
}

// wantNoV1 checks that the files of version 1 are gone.
func wantNoV1(t *testing.T, names journal.Names) {
	t.Helper()
	for name := range filesOf(t, names.Dir) {
		if slices.Contains([]string{"segsync-pending.csv", "segsync-seen.bin", "segsync-sources.bin"}, name) {
			t.Errorf("%s is still there", name)
		}
	}
}

// An unfinished import of version 1 goes on as one of today's: it had read five profiles,
// one of them without identifier; four customers of an action of seven are not confirmed.
func TestUnfinishedImportOfVersion1(t *testing.T) {
	names, s := v1(t, "unfinished", journal.Resume)
	j := mustOpen(t, names, s)
	wantNoV1(t, names)
	saved, err := journal.Load(names)
	if err != nil {
		t.Fatal(err)
	}
	type import1 struct {
		Read, Without, Unconfirmed int
		Offset                     string
		Since                      bool
		Version                    int
	}
	for what, state := range map[string]*journal.State{"in memory": j.State(), "on the disk": saved} {
		got := import1{state.Counts.Read, state.Count(journal.WithoutIdentifier), state.Unconfirmed(), state.Position.Offset,
			!state.Since.IsZero(), state.Version}
		if diff := cmp.Diff(import1{5, 1, 4, "5", false, 2}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	customers, err := j.SentBy(j.State().Actions[0])
	if err != nil {
		t.Fatal(err)
	}
	want := []journal.Customer{
		{SegmentID: "use_J8j7s3pxwB5XMYeT9yJorKKKKKK", SourceID: "user-0000000"},
		{SegmentID: "use_zifNMUQGLoXE9uvDAiKaLGHHHHH", SourceID: "user-0000001"},
		{SegmentID: "use_MrRrC2sE44xv9Ag2gVOgs133333", SourceID: "user-0000002"},
		{SegmentID: "use_eFzQySQFIuatBHucXhsUVtwwwww", SourceID: "user-0000003"},
	}
	if diff := cmp.Diff(want, customers); diff != "" {
		t.Errorf("customers (-want +got):\n%s", diff)
	}
	wantKnown(t, j, want)
	// It is continued, ended by a crash, and continued again.
	add := journal.Page{After: journal.Position{Offset: "10"}, Entries: []journal.Entry{
		{SegmentID: "use_new", SourceID: "user-new", Identifier: "user_id", Outcome: journal.Merged}}}
	if err := errors.Join(j.AddPage(add), j.Save(), j.Close()); err != nil {
		t.Fatal(err)
	}
	j = mustOpen(t, names, s)
	defer j.Close()
	if state := j.State(); state.Counts.Read != 6 || state.Unconfirmed() != 4 || state.Position.Offset != "10" {
		t.Errorf("%+v", state)
	}
	wantKnown(t, j, append(want, journal.Customer{SegmentID: "use_new"}))
}

// wantKnown checks that the import has read the profiles, and sent their source ids.
func wantKnown(t *testing.T, j *journal.Journal, customers []journal.Customer) {
	t.Helper()
	profiles, err := j.Profiles(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer profiles.Close()
	sources, err := j.Sources(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer sources.Close()
	for _, c := range customers {
		if known, err := profiles.Has(c.SegmentID); !known || err != nil {
			t.Errorf("%s was not read: %v", c.SegmentID, err)
		}
		if c.SourceID == "" {
			continue
		}
		if sender, err := sources.Sender(c.SourceID, c.SegmentID); sender != journal.Someone || err != nil {
			t.Errorf("%s was sent by %d, %v", c.SourceID, sender, err)
		}
	}
	if known, err := profiles.Has("use_of_nobody"); known || err != nil {
		t.Errorf("use_of_nobody was read: %v", err)
	}
}

// A crash while the files are converted loses nothing: the old ones are removed last.
func TestVersion1IsConvertedAgainAfterACrash(t *testing.T) {
	names, s := v1(t, "unfinished", journal.Resume)
	old := filesOf(t, names.Dir)
	j := mustOpen(t, names, s)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	converted := filesOf(t, names.Dir)
	for name, data := range old { // the state was not saved yet
		converted[name] = data
	}
	names = copyOf(t, converted)
	j = mustOpen(t, names, s)
	defer j.Close()
	if state := j.State(); state.Counts.Read != 5 || state.Unconfirmed() != 4 {
		t.Errorf("%+v", state)
	}
	wantNoV1(t, names)
}

// What an import of version 1 could not import is outstanding of the next one, which takes
// what changed since it began.
func TestFinishedImportOfVersion1(t *testing.T) {
	names, s := v1(t, "finished", journal.Resume)
	old, err := journal.Load(names)
	if err != nil {
		t.Fatal(err)
	}
	s.SinceLast = true
	j := mustOpen(t, names, s)
	began := time.Date(2026, 11, 21, 14, 38, 36, 16937950, time.UTC)
	if state := j.State(); !state.Since.Equal(began.Add(-journal.ClockMargin)) || !state.Last.Started.Equal(began) || state.Counts.Read != 0 {
		t.Errorf("%+v", state)
	}
	record := func(segmentID, sourceID, action, request string) journal.Record {
		return journal.Record{SegmentID: segmentID, SourceID: sourceID, Outcome: "rejected", First: old.Started, Import: old.Started,
			Why: journal.Why{Reason: "metadata_validation_failed", Detail: "Metadata validation failed: plan: must be a string",
				ActionID: action, RequestID: request}}
	}
	want := []journal.Record{
		record("use_MwDdU1Yf1eIsEbHMN9MzY2ZZZZZ", "user-0000033", "aa_a8b430f02d1a20ab000007", "v-038a29acbf0106acc"),
		record("use_TTY1fla6acfTISz53TU77Wttttt", "user-0000023", "aa_aafa5269b6512966000007", "v-0433acf1702ff5753"),
		record("use_bNR3mMDHlpylI5j8HuRVBTbbbbb", "user-0000013", "aa_cbbb6f0e69d00e92000007", "v-03a80b953b73185af"),
		record("use_eFzQySQFIuatBHucXhsUVtwwwww", "user-0000003", "aa_3e6823f319b50e65000007", "v-03795726a17d7e172"),
	}
	if diff := cmp.Diff(want, j.Outstanding()); diff != "" {
		t.Errorf("outstanding (-want +got):\n%s", diff)
	}
	if err := errors.Join(j.Save(), j.Close()); err != nil {
		t.Fatal(err)
	}
	wantNoV1(t, names)
	j = mustOpen(t, names, s)
	defer j.Close()
	if diff := cmp.Diff(want, j.Outstanding()); diff != "" {
		t.Errorf("outstanding after a crash (-want +got):\n%s", diff)
	}
	if o := j.State().Outstanding; o.Count != 4 || !o.Oldest.Equal(began) {
		t.Errorf("%+v", o)
	}
	report, err := os.ReadFile(names.Path(names.NotImported))
	if err != nil || strings.Count(string(report), "metadata_validation_failed") != 4 {
		t.Errorf("%v\n%s", err, report)
	}
}

// Looking at a finished import of version 1 again converts it.
func TestFinishedImportOfVersion1IsLookedAt(t *testing.T) {
	names, s := v1(t, "finished", journal.Existing)
	j := mustOpen(t, names, s)
	defer j.Close()
	counts, err := json.Marshal(j.State().Counts)
	want := `{"confirmed":29,"filtered":0,"found_late":0,"invalid_birthdates":5,"merged":1,"read":40,"rejected":4,"unchanged":0,` +
		`"unreadable":0,"vanished":0,"without_identifier":6,"would_send":0}`
	if err != nil || string(counts) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, counts, want)
	}
	if len(j.Outstanding()) != 4 || j.State().Outstanding.Count != 4 {
		t.Errorf("%+v, the state has %+v", j.Outstanding(), j.State().Outstanding)
	}
	if j.State().Unfinished() {
		t.Error("it is unfinished now")
	}
}

// A file of version 1 that is shorter than its state says has lost something.
func TestVersion1ThatWasCut(t *testing.T) {
	for _, name := range []string{"segsync-pending.csv", "segsync-seen.bin", "segsync-sources.bin", "segsync-state.json"} {
		names, s := v1(t, "unfinished", journal.Resume)
		data, err := os.ReadFile(names.Path(name))
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{0, len(data) / 2, len(data) - 2} {
			if err := os.WriteFile(names.Path(name), data[:n], 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := open(names, s)
			if e, ok := errors.AsType[*journal.DamagedError](err); !ok || e.Path != names.Path(name) {
				t.Errorf("%s cut after %d bytes: error %v", name, n, err)
			}
		}
	}
}
