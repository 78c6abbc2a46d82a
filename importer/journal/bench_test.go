package journal_test

import (
	"fmt"
	"runtime"
	"strconv"
	"testing"

	"segsync/importer/journal"
	"segsync/importer/outcome"
	"segsync/importer/sink"
	"segsync/importer/source"
)

// BenchmarkMillion writes the log of a million profiles, and opens it as an import that goes on does.
func BenchmarkMillion(b *testing.B) {
	const profiles, batch = 1_000_000, 5_000
	heap := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	names := journal.NewNames(b.TempDir(), "")
	s := start(journal.StartNew)
	j, _, err := journal.Open(names, s)
	if err == nil {
		err = j.Start()
	}
	before := heap()
	b.Run("write", func(b *testing.B) {
		for n := 0; n < profiles && err == nil && b.N == 1; n += batch {
			a := sink.Action{ID: fmt.Sprint("async_action_01HZX3R5W8Q2", n), Accepted: began, Sent: batch}
			p := journal.Page{After: source.Position{At: strconv.Itoa(n + batch)}, Actions: map[string]sink.Action{a.ID: a}}
			for i := range batch {
				e := journal.Entry{SegmentID: "use_2Qx7b9Lk3Vn0aPz" + strconv.Itoa(n+i), SourceID: "customer-" + strconv.Itoa(n+i), Outcome: outcome.Sent, Why: outcome.Why{ActionID: a.ID}}
				j.Add(e.SegmentID)
				j.MarkSent(e.SourceID, e.SegmentID)
				p.Entries = append(p.Entries, e)
			}
			if err = j.AddPage(p); err == nil {
				_, err = j.AddVerdict(sink.Verdict{ActionID: a.ID})
			}
			if err == nil {
				err = j.Save()
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/profiles, "ns/profile")
	})
	b.Run("open", func(b *testing.B) {
		j.Close()
		j = nil
		before = heap()
		for range b.N {
			s.Mode = journal.ContinueAny
			if j, _, err = journal.Open(names, s); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(profiles*b.N), "ns/profile")
		b.ReportMetric((heap()-before)/profiles, "B/profile")
		if j.Len() != profiles {
			b.Errorf("%d profiles", j.Len())
		}
	})
	if err != nil {
		b.Fatal(err)
	}
}
