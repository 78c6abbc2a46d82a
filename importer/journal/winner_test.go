package journal_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"segsync/importer/journal"
	"segsync/importer/outcome"
	"segsync/importer/sink"
	"segsync/importer/source"
)

var atEnd = source.Position{At: "2", Done: true}

// add adds a page with the entries. Those that are sent have an action of their own.
func add(t *testing.T, j *journal.Journal, entries ...journal.Entry) {
	t.Helper()
	p := journal.Page{After: atEnd, Entries: entries, Actions: make(map[string]sink.Action)}
	for _, e := range entries {
		j.Add(e.SegmentID)
		if e.Outcome == outcome.Sent {
			j.MarkSent(e.SourceID, e.SegmentID)
			p.Actions[e.ActionID] = action(e.ActionID, 1)
		}
	}
	must(t, j.AddPage(p))
}

func judge(t *testing.T, j *journal.Journal, v sink.Verdict) {
	t.Helper()
	_, err := j.AddVerdict(v)
	must(t, err)
}

func rejected(id, sourceID string) journal.Entry {
	return journal.Entry{SegmentID: id, SourceID: sourceID, Outcome: outcome.Rejected, Why: outcome.Why{Reason: "too_large"}}
}

func retry(e journal.Entry) journal.Entry { e.Retry = true; return e }

// A and B have the same source_id. A was sent with it, and B is merged. However A then ends without being
// imported, B is sent, and both are counted once.
func TestMergedProfileIsSentWhereItsWinnerIsNotImported(t *testing.T) {
	failed := sink.Verdict{ActionID: "aa_1", Failed: "an internal error"}
	// again reads A again after its action failed.
	again := func(e journal.Entry) func(*testing.T, *journal.Journal) {
		return func(t *testing.T, j *journal.Journal) {
			judge(t, j, failed)
			must(t, j.Save())
			if got := j.Retries(false); !slices.Contains(got, "A") || !slices.Contains(got, "B") {
				t.Errorf("to be read again: %q", got)
			}
			add(t, j, retry(e))
		}
	}
	endings := map[string]struct {
		end   func(*testing.T, *journal.Journal)
		wantA outcome.Outcome
	}{
		"rejected by name": {func(t *testing.T, j *journal.Journal) {
			judge(t, j, sink.Verdict{ActionID: "aa_1", Rejected: map[string]sink.Rejection{"u1": {Reason: "invalid"}}})
		}, outcome.Rejected},
		"rejected without a name": {func(t *testing.T, j *journal.Journal) { judge(t, j, sink.Verdict{ActionID: "aa_1", Unnamed: 1}) }, outcome.Rejected},
		"sent once more and rejected": {func(t *testing.T, j *journal.Journal) {
			again(sent("A", "u1", "aa_2"))(t, j)
			add(t, j, journal.Entry{SegmentID: "B", SourceID: "u1", Outcome: outcome.Merged, Retry: true})
			must(t, j.Save())
			judge(t, j, sink.Verdict{ActionID: "aa_2", Failed: "again"})
		}, outcome.Rejected},
		"failed, and refused at once": {again(rejected("A", "u1")), outcome.Rejected},
		"failed, and vanished":        {again(journal.Entry{SegmentID: "A", Outcome: outcome.Vanished}), outcome.Vanished},
		"failed, and has another id":  {again(sent("A", "u2", "aa_2")), outcome.Confirmed},
		"refused at once":             {nil, outcome.Rejected},
		"found again and refused":     {func(t *testing.T, j *journal.Journal) { add(t, j, rejected("A", "u1")) }, outcome.Rejected},
	}
	for name, c := range endings {
		for _, order := range []string{"AB", "BA", "A|B", "B|A"} { // | is a save
			for _, killed := range []bool{false, true} {
				t.Run(fmt.Sprint(name, " ", order, " ", killed), func(t *testing.T) {
					names := journal.NewNames(t.TempDir(), "")
					j := open(t, names, start(journal.StartNew))
					restart := func() {
						if killed {
							must(t, j.Save())
							j = open(t, names, start(journal.ContinueAny))
						}
					}
					a, b := sent("A", "u1", "aa_1"), journal.Entry{SegmentID: "B", SourceID: "u1", Outcome: outcome.Merged}
					if c.end == nil {
						a = rejected("A", "u1")
					}
					j.MarkSent("u1", "A")
					for _, line := range order {
						switch line {
						case 'A':
							add(t, j, a)
						case 'B':
							add(t, j, b)
						default:
							must(t, j.Save())
						}
					}
					restart()
					if c.end != nil {
						c.end(t, j)
					}
					restart()
					must(t, j.Save(), j.Finish())
					if got := j.Retries(false); !slices.Contains(got, "B") || !j.State().IsUnfinished() {
						t.Fatalf("to be read again: %q; finished %s", got, j.State().Finished)
					}
					if by := j.SentBy("u1", "B"); by == journal.ByOtherProfile {
						t.Error("the source_id is taken")
					}
					add(t, j, retry(sent("B", "u1", "aa_9")))
					must(t, j.Save())
					restart()
					for _, open := range j.State().Actions {
						judge(t, j, sink.Verdict{ActionID: open.ID})
					}
					must(t, j.Save(), j.Finish())
					want := map[outcome.Outcome]int{outcome.Confirmed: 1}
					want[c.wantA]++
					s, err := journal.Load(names)
					if err != nil || !cmp.Equal(counts(s), want) || s.IsUnfinished() || len(j.Retries(false)) > 0 {
						t.Errorf("%v, %v, want %v; finished %s", counts(s), err, want, s.Finished)
					}
				})
			}
		}
	}
}

// B stays merged where A arrives, or another one took the source_id.
func TestMergedProfileStaysMerged(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *journal.Journal){
		"would be sent": nil,
		"confirmed":     func(t *testing.T, j *journal.Journal) { judge(t, j, sink.Verdict{ActionID: "aa_1"}) },
		"a newer one was sent": func(t *testing.T, j *journal.Journal) {
			add(t, j, sent("C", "u1", "aa_2"))
			judge(t, j, sink.Verdict{ActionID: "aa_1", Unnamed: 1})
			judge(t, j, sink.Verdict{ActionID: "aa_2"})
		},
	} {
		names := journal.NewNames(t.TempDir(), "")
		j := open(t, names, start(journal.StartNew))
		a := sent("A", "u1", "aa_1")
		if end == nil {
			a.Outcome, a.ActionID = outcome.WouldSend, ""
			j.MarkSent("u1", "A")
		}
		add(t, j, a, journal.Entry{SegmentID: "B", SourceID: "u1", Outcome: outcome.Merged})
		if end != nil {
			end(t, j)
		}
		must(t, j.Save())
		j = open(t, names, start(journal.ContinueAny))
		must(t, j.Save())
		if got := j.Retries(false); len(got) > 0 || j.State().Count(outcome.Merged) != 1 {
			t.Errorf("%s: to be read again: %q; %v", name, got, counts(j.State()))
		}
	}
}

// A new import takes over the action of A, or what was left of it.
func TestMergedProfileOutlivesTheImport(t *testing.T) {
	since := start(journal.StartNew)
	since.Since = began
	for name, rejectedBefore := range map[string]bool{"rejected before": true, "rejected after": false} {
		names := journal.NewNames(t.TempDir(), "")
		j := open(t, names, start(journal.StartNew))
		j.MarkSent("u1", "A") // but its line is lost
		add(t, j, journal.Entry{SegmentID: "B", SourceID: "u1", Outcome: outcome.Merged})
		must(t, j.Save())
		if !rejectedBefore {
			add(t, j, sent("A", "u1", "aa_1"))
			must(t, j.Save())
		}
		j = open(t, names, since)
		begin(t, j)
		if !rejectedBefore {
			j = open(t, names, start(journal.Resume))
			judge(t, j, sink.Verdict{ActionID: "aa_1", Unnamed: 1})
			must(t, j.Save())
		}
		j = open(t, names, start(journal.Resume))
		must(t, j.Save())
		if got := j.Retries(false); !cmp.Equal(got, []string{"B"}) {
			t.Errorf("%s: to be read again: %q", name, got)
		}
		add(t, j, retry(sent("B", "u1", "aa_9")))
		judge(t, j, sink.Verdict{ActionID: "aa_9"})
		must(t, j.Save(), j.Close())
		want := []string{"A"}
		if rejectedBefore {
			want = nil
		}
		s, err := journal.Load(names)
		if got := outstanding(t, names); err != nil || !cmp.Equal(got, want) || !cmp.Equal(counts(s), map[outcome.Outcome]int{outcome.Confirmed: 1}) {
			t.Errorf("%s: outstanding %q, want %q; %v, %v", name, got, want, counts(s), err)
		}
	}
}
