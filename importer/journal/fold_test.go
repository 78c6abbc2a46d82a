package journal_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"segsync/importer/journal"
	"segsync/importer/outcome"
	"segsync/importer/sink"
	"segsync/importer/source"
)

// What is read back from the log is what the journal knew at its last commit, whatever happened.
func TestFoldIsTheLiveState(t *testing.T) {
	seeds := 5
	if isFull {
		seeds = 100
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := &randomImport{t: t, Rand: rand.New(rand.NewPCG(uint64(seed), 1)), names: journal.NewNames(t.TempDir(), ""), read: make(map[string]bool)}
			w.j = open(t, w.names, start(journal.StartNew))
			for range 100 {
				w.step()
			}
		})
	}
}

// randomImport does at random what an import may do.
type randomImport struct {
	t *testing.T
	*rand.Rand
	names   journal.Names
	j       *journal.Journal
	read    map[string]bool
	actions int
}

func (w *randomImport) step() {
	switch n := w.IntN(20); {
	case n < 8:
		var ids []string
		for range 1 + w.IntN(5) {
			ids = append(ids, fmt.Sprint("use_", w.IntN(60)))
		}
		w.page(ids, false)
	case n < 12:
		must(w.t, w.j.Save())
		if open := w.j.State().Actions; len(open) > 0 {
			w.verdict(open[w.IntN(len(open))])
		}
	case n < 14:
		w.page(w.j.Retries(w.IntN(2) == 0), true)
	case n == 14:
		must(w.t, w.j.Sending([]string{fmt.Sprint("user_", w.IntN(25))}))
		w.check("Sending")
	case n == 15:
		must(w.t, w.j.GiveUp("that is enough"))
		w.check("GiveUp")
	case n == 16:
		must(w.t, w.j.MarkVanishedUnreadable())
		w.check("MarkVanishedUnreadable")
	case n == 17:
		must(w.t, w.j.Save(), w.j.Finish())
		w.check("Finish")
	case n == 18:
		must(w.t, w.j.Save(), w.j.Close())
		if w.IntN(2) == 0 {
			_, err := journal.Forget(w.names, func(journal.Entry) bool { return w.IntN(3) == 0 })
			must(w.t, err)
		}
		w.j = open(w.t, w.names, start(journal.ContinueAny))
		w.check("Close")
	default:
		must(w.t, w.j.Save())
		w.check("Save")
	}
}

func (w *randomImport) page(ids []string, isRetry bool) {
	w.actions++
	id := fmt.Sprint("aa_", w.actions)
	p := journal.Page{After: source.Position{At: fmt.Sprint(len(w.read)), Done: w.IntN(2) == 0}}
	for _, profile := range ids {
		w.j.Add(profile)
		w.read[profile] = true
		e := sent(profile, fmt.Sprint("user_", w.IntN(25)), id)
		e.Retry, e.Late = isRetry, !isRetry && w.IntN(4) == 0
		switch o := outcome.Outcome(1 + w.IntN(2*int(outcome.Count))); {
		case o == outcome.Merged && w.j.SentBy(e.SourceID, e.SegmentID) != journal.ByOtherProfile:
		case o == outcome.Sent || o == outcome.WouldSend || o >= outcome.Count:
		case o == outcome.Unconfirmed:
			e.Outcome, e.ActionID = outcome.Unreadable, ""
		default:
			e.Outcome, e.ActionID = o, ""
		}
		switch e.Outcome {
		case outcome.Sent, outcome.Confirmed, outcome.Unchanged:
			w.j.MarkSent(e.SourceID, e.SegmentID)
			e.LeftOut = []journal.Remark{{Key: "vip", Reason: "not defined"}}
		case outcome.Unreadable, outcome.Vanished, outcome.WithoutIdentifier:
			e.SourceID, e.Reason = "", "that is how it is"
		}
		p.Entries = append(p.Entries, e)
	}
	customers := 0
	for _, e := range p.Entries {
		if e.Outcome == outcome.Sent {
			customers++
		}
	}
	p.Actions = map[string]sink.Action{id: action(id, customers+w.IntN(2))}
	must(w.t, w.j.AddPage(p))
}

func (w *randomImport) verdict(a journal.Action) {
	v := sink.Verdict{ActionID: a.ID, RequestID: "v-1", Rejected: make(map[string]sink.Rejection)}
	switch w.IntN(4) {
	case 0:
		v.Failed = "an internal error"
	case 1:
		v.Unnamed = w.IntN(3)
	case 2:
		for n := range 25 {
			if w.IntN(2) == 0 {
				v.Rejected[fmt.Sprint("user_", n)] = sink.Rejection{Reason: "invalid"}
			}
		}
	}
	_, err := w.j.AddVerdict(v)
	must(w.t, err)
}

func (w *randomImport) check(after string) {
	w.t.Helper()
	live := w.j.State()
	loaded, err := journal.Load(w.names)
	must(w.t, err)
	opts := cmp.Options{cmp.Exporter(func(reflect.Type) bool { return true }), cmpopts.IgnoreFields(journal.Action{}, "Open"), cmpopts.EquateEmpty()}
	if diff := cmp.Diff(live, loaded, opts); diff != "" {
		w.t.Fatalf("%s (-live +loaded):\n%s", after, diff)
	}
	sum := 0
	for _, n := range counts(live) {
		sum += n
	}
	if sum != len(w.read) || live.Counts.Read() != sum {
		w.t.Fatalf("%s: %d profiles in all, %d read, want %d", after, sum, live.Counts.Read(), len(w.read))
	}
	j, _, err := journal.Open(w.names, start(journal.ContinueAny))
	must(w.t, err)
	for n := range 60 {
		id, sourceID := fmt.Sprint("use_", n), fmt.Sprint("user_", n)
		a := []any{j.Has(id), j.IsOutstanding(id), j.IsSending(sourceID), j.Len(), j.Rejected()}
		b := []any{w.j.Has(id), w.j.IsOutstanding(id), w.j.IsSending(sourceID), w.j.Len(), w.j.Rejected()}
		for other := n % 5; other < 25; other += 5 {
			sourceID := fmt.Sprint("user_", other)
			a, b = append(a, j.SentBy(sourceID, id)), append(b, w.j.SentBy(sourceID, id))
		}
		if !cmp.Equal(a, b) {
			w.t.Fatalf("%s: of %s the log says %v, the journal %v", after, id, a, b)
		}
	}
}

// Ids are what they are, whatever stands in them.
func TestIDsOfAllKinds(t *testing.T) {
	names := journal.NewNames(t.TempDir(), "")
	j := open(t, names, start(journal.StartNew))
	all := []string{"use_1", `a"b`, `a\`, `\"}`, `","outcome":"sent`, "<é\u2028\n", `{"commit":`}
	for i, id := range all {
		add(t, j, sent(id, "source "+id, fmt.Sprint(id, i)))
	}
	must(t, j.Save())
	j = open(t, names, start(journal.ContinueAny))
	for i, id := range all {
		if a := j.State().Actions[i]; j.SentBy("source "+id, id) != journal.BySameProfile || a.ID != fmt.Sprint(id, i) || a.Customers != 1 {
			t.Errorf("%q was sent by %d with %+v", id, j.SentBy("source "+id, id), a)
		}
	}
	if j.Len() != len(all) {
		t.Errorf("%d profiles", j.Len())
	}
}
