package journal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"segsync/importer/journal"
)

// A state that was cut anywhere is refused; nothing but its last newline may be missing.
func TestLoadStateThatWasCut(t *testing.T) {
	names := unfinished(t)
	path := names.Path(names.State)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range data[:len(data)-1] {
		if err := os.WriteFile(path, data[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		state, err := journal.Load(names)
		if e, ok := errors.AsType[*journal.DamagedError](err); !ok || e.Path != path || e.Newer || state != nil {
			t.Errorf("cut after %d bytes: %v, %v", n, state, err)
		}
	}
	if err := os.WriteFile(path, data[:len(data)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	if state, err := journal.Load(names); err != nil || state.Counts.Read != 20 {
		t.Errorf("without its last newline: %v, %v", state, err)
	}
}

// The checksum finds what is wrong before anything else does; the rest is for programs that
// write states of their own.
func TestLoadState(t *testing.T) {
	names := unfinished(t)
	path := names.Path(names.State)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	replace := func(old, with string) string {
		if !bytes.Contains(data, []byte(old)) {
			t.Fatalf("there is no %s in\n%s", old, data)
		}
		return strings.Replace(string(data), old, with, 1)
	}
	for name, c := range map[string]struct{ data, err string }{
		"newer":            {replace(`"version": 2`, `"version": 3, "new": true`), path + " cannot be used: a newer segsync wrote it (version 3; this one knows 2)"},
		"no version":       {replace(`"version": 2`, `"version": 0`), path + " is damaged: its checksum is wrong"},
		"not ours":         {`[]`, path + " is damaged: json: cannot unmarshal array into Go value"},
		"null":             {`null`, path + " is damaged: "},
		"an unknown field": {replace(`"version": 2`, `"version": 2, "new": true`), path + ` is damaged: json: unknown field "new"`},
		"an unknown count": {replace(`"merged": `, `"nerged": `), path + ` is damaged: unknown count "nerged"`},
		"a negative count": {replace(`"merged": 2`, `"merged": -2`), path + ` is damaged: the count "merged" is negative`},
		"another space":    {replace(`"spa"`, `"spb"`), path + " is damaged: its checksum is wrong"},
	} {
		if err := os.WriteFile(path, []byte(c.data), 0o600); err != nil {
			t.Fatal(err)
		}
		state, err := journal.Load(names)
		if _, ok := errors.AsType[*journal.DamagedError](err); !ok || state != nil || !strings.HasPrefix(err.Error(), c.err) {
			t.Errorf("%s: %v, %v", name, state, err)
		}
		if after, _ := os.ReadFile(path); string(after) != c.data {
			t.Errorf("%s: the file was changed", name)
		}
	}
	if state, err := journal.Load(journal.NewNames(t.TempDir(), "")); state != nil || err != nil {
		t.Errorf("no file: %v, %v", state, err)
	}
}

// What is no regular file is refused wherever a file of the journal belongs.
func TestWhatIsNoRegularFileIsRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no FIFOs, and no links for everybody")
	}
	plants := map[string]func(path string) error{
		"link":      func(path string) error { return os.Symlink(filepath.Join(t.TempDir(), "elsewhere"), path) },
		"FIFO":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
	}
	names := journal.NewNames(t.TempDir(), "")
	all := []string{names.State, names.WithoutIdentifier, names.NotImported, names.Merged, names.Warnings,
		"segsync-pending.jsonl", "segsync-profiles.bin", "segsync-source-ids.bin", "segsync-not-imported.jsonl"}
	for what, plant := range plants {
		for _, name := range append(all, "segsync.lock") {
			names := journal.NewNames(t.TempDir(), "")
			if err := plant(names.Path(name)); err != nil {
				t.Fatal(err)
			}
			var err error
			if name == "segsync.lock" {
				_, err = journal.Lock(names.Dir)
			} else {
				_, err = open(names, start(journal.Anew))
			}
			if e, ok := errors.AsType[*journal.NotRegularError](err); !ok || e.Path != names.Path(name) {
				t.Errorf("%s as %s: error %v", what, name, err)
			}
		}
	}
}

// A lock file that somebody removed lets no second import in.
func TestLock(t *testing.T) {
	dir := t.TempDir()
	unlock, err := journal.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string) {
		t.Helper()
		second, err := journal.Lock(dir)
		if e, ok := errors.AsType[*journal.LockedError](err); !ok || e.Dir != dir {
			t.Errorf("%s: error %v", what, err)
		}
		if second != nil {
			second()
		}
	}
	refused("locked")
	if runtime.GOOS != "windows" {
		if err := os.Remove(filepath.Join(dir, "segsync.lock")); err != nil {
			t.Fatal(err)
		}
		refused("the lock file is removed")
	}
	unlock()
	again, err := journal.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	again()
}

// The files hold personal data: nobody else may read them, those included that were there
// before.
func TestFilesArePrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no modes")
	}
	names := unfinished(t)
	for name := range filesOf(t, names.Dir) {
		if err := os.Chmod(names.Path(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := finish(names); err != nil {
		t.Fatal(err)
	}
	n := 0
	for name := range filesOf(t, names.Dir) {
		info, err := os.Stat(names.Path(name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has the mode %o", name, info.Mode().Perm())
		}
		n++
	}
	if n != 9 {
		t.Errorf("%d files", n)
	}
}

// A new import keeps the files of an unfinished one under other names, and none of a
// finished one.
func TestNewImportKeepsTheUnfinishedOne(t *testing.T) {
	names := unfinished(t)
	before := filesOf(t, names.Dir)
	began, opened, err := journal.Open(names, start(journal.Plain))
	if err != nil {
		t.Fatal(err)
	}
	if opened.Continued || opened.Unfinished == nil || opened.Unfinished.Counts.Read != 20 {
		t.Errorf("%+v", opened)
	}
	if diff := cmp.Diff(before, filesOf(t, names.Dir)); diff != "" {
		t.Errorf("Open changed files (-before +after):\n%s", diff)
	}
	err = errors.Join(began.Start(), began.Save(), began.Close())
	after := filesOf(t, names.Dir)
	for name, data := range before {
		if after[name+".bak"] != data {
			t.Errorf("%s.bak (%v) is\n%s\nwant\n%s", name, err, after[name+".bak"], data)
		}
		if name != names.State && name != names.NotImported && !strings.Contains(name, "not-imported") && after[name] != "" {
			t.Errorf("%s begins with\n%s", name, after[name])
		}
	}
}

// Open chooses what to go on from.
func TestOpen(t *testing.T) {
	other := identity
	other.Space = "another"
	finished := func(t *testing.T) journal.Names {
		names := unfinished(t)
		if _, err := finish(names); err != nil {
			t.Fatal(err)
		}
		return names
	}
	none := func(t *testing.T) journal.Names { return journal.NewNames(t.TempDir(), "") }
	broken := func(t *testing.T) journal.Names {
		names := unfinished(t)
		if err := os.WriteFile(names.Path(names.State), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		return names
	}
	type got struct {
		Continued, Unfinished, Damaged bool
		Offset, Error                  string
	}
	at := func(offset string) journal.Start {
		return journal.Start{Identity: identity, Mode: journal.At, Offset: offset}
	}
	as := func(s journal.Start, id journal.Identity) journal.Start { s.Identity = id; return s }
	fresh := got{Offset: "0"}
	for name, c := range map[string]struct {
		dir   func(*testing.T) journal.Names
		start journal.Start
		want  got
	}{
		"plain, nothing there":         {none, start(journal.Plain), fresh},
		"plain, finished":              {finished, start(journal.Plain), fresh},
		"plain, unfinished":            {unfinished, start(journal.Plain), got{Unfinished: true, Offset: "0"}},
		"plain, damaged":               {broken, start(journal.Plain), got{Error: "DamagedError"}},
		"anew, unfinished":             {unfinished, start(journal.Anew), got{Unfinished: true, Offset: "0"}},
		"anew, damaged":                {broken, start(journal.Anew), got{Damaged: true, Offset: "0"}},
		"at, where it stopped":         {unfinished, at("20"), got{Continued: true, Offset: "20"}},
		"at, elsewhere":                {unfinished, at("10"), got{Unfinished: true, Offset: "10"}},
		"at, finished":                 {finished, at("30"), got{Offset: "30"}},
		"at, of another space":         {unfinished, as(at("20"), other), got{Unfinished: true, Offset: "20"}},
		"at, damaged":                  {broken, at("20"), got{Damaged: true, Offset: "20"}},
		"resume, nothing there":        {none, start(journal.Resume), fresh},
		"resume, unfinished":           {unfinished, start(journal.Resume), got{Continued: true, Offset: "20"}},
		"resume, finished":             {finished, start(journal.Resume), fresh},
		"resume, damaged":              {broken, start(journal.Resume), got{Error: "DamagedError"}},
		"resume, of another space":     {unfinished, as(start(journal.Resume), other), got{Error: "OtherError"}},
		"existing, nothing there":      {none, start(journal.Existing), got{Error: "NoImportError"}},
		"existing, unfinished":         {unfinished, start(journal.Existing), got{Continued: true, Offset: "20"}},
		"existing, finished":           {finished, start(journal.Existing), got{Continued: true, Offset: "30"}},
		"existing, of another space":   {unfinished, as(start(journal.Existing), other), got{Error: "OtherError"}},
		"plain, of another, finished":  {finished, as(start(journal.Plain), other), fresh},
		"resume, of another, finished": {finished, as(start(journal.Resume), other), fresh},
	} {
		t.Run(name, func(t *testing.T) {
			j, opened, err := journal.Open(c.dir(t), c.start)
			var is got
			switch err.(type) {
			case nil:
				is = got{Continued: opened.Continued, Unfinished: opened.Unfinished != nil, Damaged: opened.Damaged != nil,
					Offset: j.State().Position.Offset}
			case *journal.DamagedError:
				is.Error = "DamagedError"
			case *journal.OtherError:
				is.Error = "OtherError"
			case *journal.NoImportError:
				is.Error = "NoImportError"
			default:
				t.Error(err)
			}
			if diff := cmp.Diff(c.want, is); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What is outstanding of an import is taken over by the next one, and by one that fails and
// is continued.
func TestRecordsOutliveTheImport(t *testing.T) {
	names := unfinished(t)
	if _, err := finish(names); err != nil {
		t.Fatal(err)
	}
	ids := func(j *journal.Journal) (ids []string) {
		for _, r := range j.Outstanding() {
			ids = append(ids, r.SegmentID)
		}
		return ids
	}
	all := []string{"use_0_0", "use_1_0", "use_2_0"}
	j := mustOpen(t, names, start(journal.Plain))
	if diff := cmp.Diff(all, ids(j)); diff != "" {
		t.Errorf("outstanding (-want +got):\n%s", diff)
	}
	first := j.Outstanding()[1].First
	p := journal.Page{After: journal.Position{Offset: "3"}, Entries: []journal.Entry{
		{SegmentID: "use_0_0", SourceID: "user-0-0", Outcome: journal.Confirmed},
		{SegmentID: "use_1_0", SourceID: "user-1-0", Outcome: journal.Rejected, Why: journal.Why{Reason: "again"}},
		{SegmentID: "use_2_0", Outcome: journal.Vanished, Why: journal.Why{Reason: "vanished"}},
	}}
	if err := errors.Join(j.AddPage(p), j.Save(), j.Close()); err != nil {
		t.Fatal(err)
	}
	j = mustOpen(t, names, start(journal.Resume))
	defer j.Close()
	left := j.Outstanding()
	if len(left) != 1 || left[0].SegmentID != "use_1_0" || left[0].Reason != "again" || !left[0].First.Equal(first) {
		t.Errorf("outstanding: %+v, want use_1_0 since %s", left, first)
	}
	if o := j.State().Outstanding; o.Count != 1 || !o.Oldest.Equal(first) {
		t.Errorf("the state has %+v", o)
	}
}

// The basis of what changed since the last import is that of the same import only.
func TestSinceLast(t *testing.T) {
	names := unfinished(t)
	state, err := finish(names)
	if err != nil {
		t.Fatal(err)
	}
	since := func(s journal.Start, names journal.Names) (time.Time, bool) {
		t.Helper()
		s.SinceLast = true
		j, opened, err := journal.Open(names, s)
		if err != nil {
			t.Fatal(err)
		}
		return j.State().Since, opened.NoBasis
	}
	if at, none := since(start(journal.Resume), names); none || !at.Equal(state.Started.Add(-journal.ClockMargin)) {
		t.Errorf("since %s, %v", at, none)
	}
	other := start(journal.Resume)
	other.Identity.Mapping = "another"
	if at, none := since(other, names); !none || !at.IsZero() {
		t.Errorf("another mapping: since %s, %v", at, none)
	}
	beside := start(journal.Resume)
	beside.Basis = names
	if at, none := since(beside, journal.NewNames(t.TempDir(), "-other")); none || !at.Equal(state.Started.Add(-journal.ClockMargin)) {
		t.Errorf("of another directory: since %s, %v", at, none)
	}
}

// The names of the counts are in files, summaries and metrics of people.
func TestCountsInJSON(t *testing.T) {
	names := unfinished(t)
	state, err := journal.Load(names)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(state.Counts)
	want := `{"confirmed":0,"filtered":0,"found_late":0,"invalid_birthdates":2,"merged":2,"read":20,"rejected":2,"unchanged":0,` +
		`"unreadable":0,"vanished":2,"without_identifier":2,"would_send":0}`
	if err != nil || string(data) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, data, want)
	}
}

// Begun anew and killed before its first state is saved, and begun anew once more, an import
// still takes over what is outstanding.
func TestAnewTwiceKeepsWhatIsOutstanding(t *testing.T) {
	names := unfinished(t)
	want := outstanding(t, names)
	if err := os.Rename(names.Path(names.State), names.Path(names.State)+".bak"); err != nil { // what a kill leaves
		t.Fatal(err)
	}
	j := mustOpen(t, names, start(journal.Anew))
	if err := errors.Join(j.Save(), j.Close()); err != nil {
		t.Fatal(err)
	}
	if got := outstanding(t, names); !slices.Equal(got, want) || len(want) == 0 {
		t.Errorf("outstanding: %q, want %q", got, want)
	}
}

// What is known of the quotas is left to the next import into the same project, whatever else
// is different, and whenever it came to be known.
func TestQuotasOutliveTheImport(t *testing.T) {
	names := unfinished(t)
	state := func() string { return filesOf(t, names.Dir)[names.State] }
	if strings.Contains(state(), "quotas") {
		t.Errorf("without quotas the state is\n%s", state())
	}
	known := map[string]journal.Quota{}
	now := func() map[string]journal.Quota { return known }
	resume := func() *journal.Journal {
		j := mustOpen(t, names, start(journal.Resume))
		j.KeepQuotas(now)
		return j
	}
	before := state()
	if err := resume().Close(); err != nil || state() != before {
		t.Errorf("%v, and with none the state is\n%s", err, state())
	}
	known = map[string]journal.Quota{"bulk": {Limit: 10, Remaining: 3, End: time.Date(2026, 11, 1, 13, 0, 0, 0, time.UTC)}}
	j := resume()
	if err := errors.Join(j.AddPage(page(2, false)), j.Save()); err != nil {
		t.Fatal(err)
	}
	if s, err := journal.Load(names); err != nil || s.Counts.Read != 30 || !cmp.Equal(s.Quotas, known) {
		t.Errorf("saved: %+v, %v", s, err)
	}
	known = map[string]journal.Quota{"bulk": {Limit: 10, Remaining: 2, End: time.Date(2026, 11, 1, 13, 0, 0, 0, time.UTC)}}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err := journal.Load(names); err != nil || s.Counts.Read != 30 || !cmp.Equal(s.Quotas, known) {
		t.Errorf("closed: %+v, %v", s, err)
	}
	for _, c := range []struct {
		name   string
		change func(*journal.Start)
		want   map[string]journal.Quota
	}{
		{"the same", func(s *journal.Start) { s.Mode = journal.Resume }, known},
		{"a new import", func(*journal.Start) {}, known},
		{"of another space", func(s *journal.Start) { s.Identity.Space = "another" }, known},
		{"into another project", func(s *journal.Start) { s.Identity.VoucherifyApp = "another" }, nil},
		{"into another region", func(s *journal.Start) { s.Identity.VoucherifyURL = "https://example.com" }, nil},
	} {
		s := start(journal.Plain)
		c.change(&s)
		if _, opened, err := journal.Open(names, s); err != nil || !cmp.Equal(opened.Quotas, c.want) {
			t.Errorf("%s: %+v, %v", c.name, opened, err)
		}
	}
}
