package journal_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"segsync/importer/journal"
	"segsync/importer/outcome"
	"segsync/importer/sink"
	"segsync/importer/source"
)

func TestMain(m *testing.M) {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() && os.Getenv("TMPDIR") == "" {
		os.Setenv("TMPDIR", "/dev/shm") // where fsync costs nothing
	}
	goleak.VerifyTestMain(m)
}

// isFull reports whether everything is tried, and not a sample.
var isFull = os.Getenv("SEGSYNC_FULL") != ""

var (
	identity = journal.Identity{Space: "spa", VoucherifyApp: "app", Identifier: "user_id", Mapping: "m1"}
	began    = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
)

func start(mode journal.Mode) journal.Start {
	return journal.Start{Identity: identity, Mode: mode, Confirm: true, AnySender: true, KeepHistory: journal.DefaultHistory}
}

// must fails the test at an error.
func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// open opens the journal of the directory, as a new process would, and starts it.
func open(t *testing.T, names journal.Names, s journal.Start) *journal.Journal {
	t.Helper()
	j, _, err := journal.Open(names, s)
	must(t, err)
	must(t, j.Start())
	t.Cleanup(func() { j.Close() }) // of a process that was killed
	return j
}

// begin saves the journal of an import that has something to save.
func begin(t *testing.T, j *journal.Journal) {
	t.Helper()
	must(t, j.AddPage(journal.Page{}), j.Save())
}

const pages = 3

func ids(n, i int) (id, sourceID string) {
	return fmt.Sprintf("use_%d_%d", n, i), fmt.Sprintf("user-%d-%d", n, i)
}

// sent makes the entry of a customer that was sent with the action.
func sent(id, sourceID, action string) journal.Entry {
	return journal.Entry{SegmentID: id, SourceID: sourceID, Outcome: outcome.Sent, Why: outcome.Why{ActionID: action}}
}

func action(id string, customers int) sink.Action {
	return sink.Action{ID: id, Accepted: began, Sent: customers}
}

// page returns page n of a list of profiles: most are sent with two actions, and of the rest each
// has another outcome. The fourth was merged into the fifth, on the later pages into one
// of the page before, which is not imported.
func page(n int) journal.Page {
	p := journal.Page{After: source.Position{At: fmt.Sprint(10 * (n + 1)), Done: n == pages-1}, Actions: make(map[string]sink.Action)}
	if n == 0 {
		p.Began, p.Behind = began, time.Second
	}
	for i := range 10 {
		id, sourceID := ids(n, i)
		e := journal.Entry{SegmentID: id, SourceID: sourceID}
		switch i {
		case 0:
			e.Outcome, e.Reason, e.Detail = outcome.Rejected, "too_large", "Voucherify answered 413"
		case 1:
			e.Outcome, e.SourceID = outcome.WithoutIdentifier, ""
		case 2:
			e.Outcome, e.SourceID, e.Reason = outcome.Vanished, "", "vanished"
		case 3:
			e.Outcome, e.SourceID = outcome.Merged, []string{"user-0-4", "user-0-5", "user-1-4"}[n]
		case 9:
			e.Outcome, e.SourceID, e.Reason = outcome.Unreadable, "", "malformed"
		default:
			a := action(fmt.Sprintf("aa_%d_%d", n, i%2), 3-i%2)
			e.Outcome, e.ActionID, p.Actions[a.ID] = outcome.Sent, a.ID, a
		}
		if i == 4 {
			e.Warnings = []journal.Warning{{Field: "birthdate", Reason: "not a date", Value: "31.2."}}
			e.NullBirthdate, e.Cleared, e.LeftOut = true, []string{"birthdate"}, []journal.Remark{{Key: "vip", Reason: "not defined"}}
		}
		p.Entries = append(p.Entries, e)
	}
	return p
}

// verdict is what the server says of an action.
func verdict(a journal.Action) sink.Verdict {
	v := sink.Verdict{ActionID: a.ID, RequestID: "v-1"}
	switch a.ID {
	case "aa_0_1":
		v.Rejected = map[string]sink.Rejection{"user-0-5": {Reason: "invalid", Detail: "no such thing"}}
	case "aa_1_0":
		v.Failed = "an internal error"
	case "aa_2_1":
		v.Unnamed = 1
	}
	return v
}

// lookup returns the entry of a profile that is read again.
func lookup(j *journal.Journal, id string) journal.Entry {
	e := sent(id, strings.Replace(id, "use_", "user-", 1), "retry_"+id)
	e.SourceID, e.Retry = strings.ReplaceAll(e.SourceID, "_", "-"), true
	switch id {
	case "use_1_3":
		e.SourceID = "user-0-5"
	case "use_2_3":
		e.SourceID = "user-1-4"
	case "use_1_9":
		e.Outcome, e.SourceID, e.Reason, e.ActionID = outcome.Unreadable, "", "malformed", ""
	case "use_1_4", "use_2_9":
		e.Outcome, e.SourceID, e.Reason, e.ActionID = outcome.Vanished, "", "vanished", ""
	case "use_1_8":
		e.Outcome, e.Reason, e.ActionID = outcome.Rejected, "too_large", ""
	}
	if e.SourceID != "" && j.SentBy(e.SourceID, id) == journal.ByOtherProfile {
		e.Outcome, e.ActionID = outcome.Merged, ""
	}
	return e
}

var errKilled = errors.New("killed")

// run takes an import to its end, as the pipeline does, or as far as the number of operations says;
// it is negative for no bound. What a kill leaves in memory is lost.
func run(t *testing.T, names journal.Names, s journal.Start, operations int) (*journal.State, error) {
	t.Helper()
	j, _, err := journal.Open(names, s)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { j.Close() })
	step := func(do func() error) {
		if operations == 0 && err == nil {
			err = errKilled
		}
		if operations--; err == nil {
			err = do()
		}
	}
	send := func(p journal.Page, save bool) {
		var all []string
		for _, e := range p.Entries {
			if e.Outcome == outcome.Sent {
				all = append(all, e.SourceID)
				j.MarkSent(e.SourceID, e.SegmentID)
			}
		}
		step(func() error { return j.Sending(all) })
		step(func() error { return j.AddPage(p) })
		if save {
			step(j.Save)
		}
	}
	confirm := func() {
		for i, a := range j.State().Actions {
			step(func() error { _, err := j.AddVerdict(verdict(a)); return err })
			if i%2 == 0 {
				step(j.Save)
			}
		}
		step(j.Save)
	}
	step(j.Start)
	first := 0
	fmt.Sscan(j.State().Position.At, &first)
	for n := first / 10; n < pages && err == nil; n++ {
		p := page(n)
		for _, e := range p.Entries {
			if !j.Add(e.SegmentID) {
				return nil, fmt.Errorf("%s was listed before", e.SegmentID)
			}
		}
		send(p, n != 1)
	}
	confirm()
	for range 4 {
		again := j.Retries(true)
		if err != nil || len(again) == 0 {
			break
		}
		p := journal.Page{After: j.State().Position, Actions: make(map[string]sink.Action)}
		for _, id := range again {
			j.Add(id)
			e := lookup(j, id)
			if e.Outcome == outcome.Sent {
				j.MarkSent(e.SourceID, id)
				p.Actions[e.ActionID] = action(e.ActionID, 1)
			}
			p.Entries = append(p.Entries, e)
		}
		send(p, true)
		confirm()
	}
	step(func() error { return j.GiveUp("it was to be sent again, and could not be") })
	step(j.Finish)
	step(j.Close)
	return j.State(), err
}

// unfinished makes an import in the directory that has read two of three pages.
func unfinished(t *testing.T) journal.Names {
	t.Helper()
	names := journal.NewNames(t.TempDir(), "")
	j := open(t, names, start(journal.StartNew))
	for n := range 2 {
		for _, e := range page(n).Entries {
			j.Add(e.SegmentID)
			if e.Outcome == outcome.Sent {
				j.MarkSent(e.SourceID, e.SegmentID)
			}
		}
		must(t, j.AddPage(page(n)), j.Save())
	}
	must(t, j.Close())
	return names
}

// finished makes an import in the directory that has come to its end.
func finished(t *testing.T) journal.Names {
	t.Helper()
	names := journal.NewNames(t.TempDir(), "")
	_, err := run(t, names, start(journal.StartNew), -1)
	must(t, err)
	return names
}

func counts(s *journal.State) map[outcome.Outcome]int {
	all := make(map[outcome.Outcome]int)
	for _, o := range outcome.All() {
		if n := s.Count(o); n != 0 {
			all[o] = n
		}
	}
	return all
}

// result is what an import that was finished left.
type result struct {
	Counts  map[outcome.Outcome]int
	Read    int
	Details journal.Details
	Records []string
	Reports map[string]string
}

func resultOf(t *testing.T, names journal.Names) result {
	t.Helper()
	records, s, err := journal.ReadOutstanding(names)
	must(t, err)
	r := result{counts(s), s.Counts.Read(), s.Details, nil, reports(t, names)}
	for _, record := range records {
		r.Records = append(r.Records, fmt.Sprintln(record.ID(), record.SourceID, record.Outcome, record.Why))
	}
	slices.Sort(r.Records)
	return r
}

// reports returns the reports with their lines in alphabetical order.
func reports(t *testing.T, names journal.Names) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, name := range []string{names.WithoutIdentifier, names.NotImported, names.Merged, names.Warnings} {
		data, err := os.ReadFile(names.Path(name))
		must(t, err)
		lines := strings.SplitAfter(string(data), "\n")
		slices.Sort(lines)
		all[name] = strings.Join(lines, "")
	}
	return all
}

// filesOf returns the content of all files below the directory.
func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		all[rel] = string(data)
		return err
	}))
	return all
}

// copyOf writes the files to a new directory.
func copyOf(t *testing.T, files map[string]string) journal.Names {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(data), 0o600))
	}
	return journal.NewNames(dir, "")
}

const logName = "segsync-data/journal.ndjson"

// with returns the files with another log.
func with(files map[string]string, log string) map[string]string {
	files = maps.Clone(files)
	files[logName] = log
	return files
}

// outstanding returns the ids of the records that are outstanding.
func outstanding(t *testing.T, names journal.Names) []string {
	t.Helper()
	records, _, err := journal.ReadOutstanding(names)
	must(t, err)
	var all []string
	for _, r := range records {
		all = append(all, r.ID())
	}
	slices.Sort(all)
	return all
}
