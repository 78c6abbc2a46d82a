package journal_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"segsync/importer/journal"
	"segsync/importer/outcome"
	"segsync/importer/sink"
)

func with1(change func(*journal.Start)) journal.Start {
	s := start(journal.StartNew)
	change(&s)
	return s
}

// A new import takes over what is to be done of the one before it, and what is known of it.
func TestNewImportTakesOver(t *testing.T) {
	left := []string{"use_0_0", "use_0_9", "use_1_0", "use_1_9"}
	atLast := []string{"async_action:aa_2_1", "use_0_0", "use_0_5", "use_1_0", "use_1_8", "use_1_9", "use_2_0"}
	since := func(s *journal.Start) { s.Since = began }
	type got struct {
		Outstanding []string
		Vanished    int // rows
		Actions     []string
		Unconfirmed int
		Dropped     int
	}
	actions := []string{"aa_0_0", "aa_0_1", "aa_1_0", "aa_1_1"}
	for name, c := range map[string]struct {
		old    func(*testing.T) journal.Names
		change func(*journal.Start)
		want   got
	}{
		"whole, after an unfinished one": {unfinished, func(*journal.Start) {}, got{left, 0, actions, 10, 0}},
		"since, after an unfinished one": {unfinished, since, got{left, 2, actions, 10, 0}},
		"another mapping":                {unfinished, func(s *journal.Start) { s.Identity.Mapping = "m2" }, got{left, 0, actions, 10, 0}},
		"another identifier":             {unfinished, func(s *journal.Start) { s.Identity.Identifier = "email" }, got{left, 0, actions, 10, 0}},
		"another space":                  {unfinished, func(s *journal.Start) { s.Identity.Space = "spb" }, got{nil, 0, nil, 0, 4}},
		"another project":                {unfinished, func(s *journal.Start) { s.Identity.VoucherifyApp = "other" }, got{nil, 0, nil, 0, 4}},
		"another region":                 {unfinished, func(s *journal.Start) { s.Identity.VoucherifyURL = "https://us1" }, got{nil, 0, nil, 0, 4}},
		"a dry run":                      {unfinished, func(s *journal.Start) { s.DryRun = true }, got{nil, 0, nil, 0, 0}},
		"whole, after a finished one":    {finished, func(*journal.Start) {}, got{atLast, 0, nil, 0, 0}},
		"since, after a finished one":    {finished, since, got{atLast, 0, nil, 0, 0}},
		"nothing there":                  {func(t *testing.T) journal.Names { return journal.NewNames(t.TempDir(), "") }, since, got{}},
	} {
		t.Run(name, func(t *testing.T) {
			names := c.old(t)
			j := open(t, names, with1(c.change))
			begin(t, j)
			must(t, j.Close())
			s, err := journal.Load(names)
			must(t, err)
			g := got{outstanding(t, names), strings.Count(reports(t, names)[names.NotImported], "vanished"), nil, s.Unconfirmed(), j.Dropped}
			for _, a := range s.Actions {
				g.Actions = append(g.Actions, a.ID)
				if !a.Carried || a.Open {
					t.Errorf("the action is %+v", a)
				}
			}
			if diff := cmp.Diff(c.want, g); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(counts(s)) > 0 || s.Position.At != "" || s.Position.Done || !s.IsUnfinished() {
				t.Errorf("the new import has %v at %+v", counts(s), s.Position)
			}
		})
	}
}

// Entries that have no name are in a whole import again.
func TestNamelessEntriesGoWithAWholeImport(t *testing.T) {
	for _, whole := range []bool{true, false} {
		names := journal.NewNames(t.TempDir(), "")
		j := open(t, names, start(journal.StartNew))
		add(t, j, journal.Entry{SegmentID: "line 7", Outcome: outcome.Unreadable, Nameless: true, Why: outcome.Why{Reason: "malformed"}})
		must(t, j.Save(), j.Finish(), j.Close())
		j = open(t, names, with1(func(s *journal.Start) {
			if !whole {
				s.Since = began
			}
		}))
		must(t, j.Save())
		if got := len(outstanding(t, names)) == 0; got != whole || len(j.Retries(true)) > 0 {
			t.Errorf("whole %v: gone %v", whole, got)
		}
	}
}

// Verdicts on the actions of the import before change what is outstanding, and not the counts.
func TestVerdictsOnCarriedActions(t *testing.T) {
	names := unfinished(t)
	first := func(id string) time.Time {
		records, _, err := journal.ReadOutstanding(names)
		must(t, err)
		for _, r := range records {
			if r.ID() == id {
				return r.First
			}
		}
		t.Fatalf("%s is not outstanding", id)
		return time.Time{}
	}
	since := first("use_0_0")
	j := open(t, names, with1(func(s *journal.Start) { s.Since = began }))
	begin(t, j)
	for _, a := range j.State().Actions {
		judge(t, j, verdict(a))
	}
	must(t, j.Save())
	for range 2 {
		if got, want := outstanding(t, names), []string{"use_0_0", "use_0_5", "use_0_9", "use_1_0", "use_1_3", "use_1_4", "use_1_6", "use_1_8", "use_1_9"}; !cmp.Equal(got, want) {
			t.Errorf("outstanding: %q, want %q", got, want)
		}
		// What was failed or merged there is sent by this one even where it does not retry what is outstanding.
		if got, want := j.Retries(false), []string{"use_1_4", "use_1_6", "use_1_8", "use_1_3"}; !cmp.Equal(got, want) {
			t.Errorf("to be read again: %q, want %q", got, want)
		}
		if s := j.State(); len(counts(s)) > 0 || len(s.Actions) > 0 || s.Unconfirmed() > 0 {
			t.Errorf("%v; actions %v", counts(s), s.Actions)
		}
		j = open(t, names, start(journal.Resume))
	}
	if got := first("use_0_0"); !got.Equal(since) {
		t.Errorf("outstanding since %s, want %s", got, since)
	}
	j.MarkSent("user-1-6", "use_1_6")
	must(t, j.AddPage(journal.Page{Entries: []journal.Entry{retry(sent("use_1_6", "user-1-6", "aa_9"))}, Actions: map[string]sink.Action{"aa_9": action("aa_9", 1)}}))
	judge(t, j, sink.Verdict{ActionID: "aa_9", Failed: "again"})
	must(t, j.Save())
	if got := counts(j.State()); !cmp.Equal(got, map[outcome.Outcome]int{outcome.Rejected: 1}) {
		t.Errorf("failed twice: %v", got)
	}
}

// What is known of the imports before: the start of the last finished one, who sent last, the quotas.
func TestBefore(t *testing.T) {
	names := finished(t)
	old, err := journal.Load(names)
	must(t, err)
	want := journal.Before{Began: began, ClockBehind: time.Second, Mapping: "m1", Ended: old.Finished, Position: old.Position,
		Sender: &journal.Sender{Identity: identity, At: old.Started}}
	if diff := cmp.Diff(want, old.Before); diff != "" {
		t.Errorf("finished (-want +got):\n%s", diff)
	}
	next := func(name string, s journal.Start, want journal.Before) {
		t.Helper()
		j := open(t, names, s)
		begin(t, j)
		must(t, j.Close())
		s2, err := journal.Load(names)
		if diff := cmp.Diff(want, s2.Before); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
	next("the same", start(journal.StartNew), want)
	next("another mapping", with1(func(s *journal.Start) { s.Identity.Mapping = "m2" }), want)
	sender := journal.Before{Sender: want.Sender}
	next("another list", with1(func(s *journal.Start) { s.Identity.Input = "sha" }), sender)
	next("the same again", start(journal.StartNew), sender)
}

// What is known of the quotas is left to the next import into the same project.
func TestQuotasOutliveTheImport(t *testing.T) {
	names := unfinished(t)
	quota := func(n int) map[string]journal.Quota {
		return map[string]journal.Quota{"bulk": {Limit: 10, Remaining: n, End: began}}
	}
	now := quota(3)
	j := open(t, names, start(journal.Resume))
	j.KeepQuotas(func() map[string]journal.Quota { return now })
	must(t, j.Save())
	if s, err := journal.Load(names); err != nil || !cmp.Equal(s.Quotas, now) {
		t.Errorf("saved: %+v, %v", s, err)
	}
	now = quota(2)
	must(t, j.Close())
	for name, c := range map[string]struct {
		change func(*journal.Start)
		want   map[string]journal.Quota
	}{
		"the same":     {func(s *journal.Start) { s.Mode = journal.Resume }, now},
		"a new import": {func(*journal.Start) {}, now},
		"of a space":   {func(s *journal.Start) { s.Identity.Space = "another" }, now},
		"of a project": {func(s *journal.Start) { s.Identity.VoucherifyApp = "another" }, nil},
		"of a region":  {func(s *journal.Start) { s.Identity.VoucherifyURL = "https://us1" }, nil},
	} {
		if _, opened, err := journal.Open(names, with1(c.change)); err != nil || !cmp.Equal(opened.Quotas, c.want) {
			t.Errorf("%s: %+v, %v", name, opened, err)
		}
	}
}

// The first Save of a new import archives the old log as it is; only the newest are kept.
func TestHistory(t *testing.T) {
	names := unfinished(t)
	old := filesOf(t, names.Dir)
	j := open(t, names, start(journal.StartNew))
	if j.IsSaved() || !j.HasOtherUnfinished() || !cmp.Equal(filesOf(t, names.Dir), old) {
		t.Error("Start changed files")
	}
	must(t, j.Save())
	if diff := cmp.Diff(old, filesOf(t, names.Dir)); diff != "" {
		t.Errorf("an import that has done nothing took the place of an unfinished one (-before +after):\n%s", diff)
	}
	must(t, j.Sending([]string{"u1"}), j.Close())
	if !j.IsSaved() || j.HasOtherUnfinished() {
		t.Error("it is not saved")
	}
	all, err := journal.History(names)
	must(t, err)
	if len(all) != 1 {
		t.Fatalf("archives: %q", all)
	}
	file, err := os.Open(all[0])
	must(t, err)
	defer file.Close()
	zip, err := gzip.NewReader(file)
	must(t, err)
	if data, err := io.ReadAll(zip); err != nil || string(data) != old[logName] {
		t.Errorf("the archive has %d bytes, want %d: %v", len(data), len(old[logName]), err)
	}
	plant := func(day int, size int64) string {
		path := filepath.Join(names.HistoryDir(), fmt.Sprintf("journal-x-202611%02dT120000.000Z.ndjson.gz", day))
		must(t, os.WriteFile(path, nil, 0o600), os.Truncate(path, size))
		return path
	}
	renew := func(keep int) []string {
		j := open(t, names, with1(func(s *journal.Start) { s.KeepHistory = keep }))
		begin(t, j)
		must(t, j.Close())
		all, err := journal.History(names)
		must(t, err)
		return all
	}
	planted := []string{plant(1, 400<<20), plant(2, 400<<20), plant(3, 1)}
	if got := renew(30); len(got) != 4 || got[0] != planted[1] || got[1] != planted[2] {
		t.Errorf("of 800 MB are kept: %q", got)
	}
	if got := renew(2); len(got) != 2 {
		t.Errorf("two are kept: %q", got)
	}
	if got := renew(0); len(got) != 0 {
		t.Errorf("none is kept: %q", got)
	}
	damaged := `{"import":` // is kept as it is, too
	must(t, os.WriteFile(names.LogPath(), []byte(damaged), 0o600))
	j = open(t, names, with1(func(s *journal.Start) { s.Mode = journal.Discard }))
	must(t, j.Save(), j.Close())
	if all, err := journal.History(names); err != nil || len(all) != 1 {
		t.Errorf("of a damaged one: %q, %v", all, err)
	}
}

// A dry run has a log of its own, is not archived, and takes its files away when it is done.
func TestDryRun(t *testing.T) {
	names := unfinished(t)
	before := filesOf(t, names.Dir)
	dry := journal.NewNames(names.Dir, "-dry-run")
	for range 2 {
		j := open(t, dry, with1(func(s *journal.Start) { s.DryRun = true }))
		if err := j.Sending([]string{"u1"}); err != nil || j.IsSending("u1") {
			t.Errorf("a dry run sends: %v", err)
		}
		add(t, j, journal.Entry{SegmentID: "A", SourceID: "u1", Outcome: outcome.WouldSend})
		must(t, j.Save(), j.Finish(), j.Close())
		s, err := journal.Load(dry)
		if err != nil || s.Before.Sender != nil || !cmp.Equal(counts(s), map[outcome.Outcome]int{outcome.WouldSend: 1}) {
			t.Errorf("%+v, %v", s, err)
		}
		if all, err := journal.History(names); err != nil || len(all) > 0 {
			t.Errorf("archives: %q, %v", all, err)
		}
		if len(filesOf(t, names.Dir)) != len(before)+5 {
			t.Error("it has no files of its own")
		}
		must(t, j.Delete())
		if diff := cmp.Diff(before, filesOf(t, names.Dir)); diff != "" {
			t.Errorf("(-before +after):\n%s", diff)
		}
	}
}
