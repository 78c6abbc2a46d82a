package journal

import (
	"bytes"
	"os"
	"testing"
	"time"
)

// Whatever the state file holds, it is refused or taken, and never crashes the program.
func FuzzLoad(f *testing.F) {
	for _, name := range []string{"unfinished", "finished"} {
		data, err := os.ReadFile("testdata/v1/" + name + "/segsync-state.json")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	s := NewState(Identity{Space: "spa_1", Identifier: "user_id"}, Beginning)
	path := NewNames(f.TempDir(), "").Path("state.json")
	if err := s.save(path); err != nil {
		f.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		names := NewNames(t.TempDir(), "")
		if err := os.WriteFile(names.Path(names.State), data, 0o600); err != nil {
			t.Fatal(err)
		}
		if state, err := Load(names); err == nil && !state.AddsUp() {
			t.Errorf("a state was taken that does not add up: %+v", state)
		}
	})
}

// Whatever the file of pending customers and the records hold, they are refused or taken.
func FuzzOwnFiles(f *testing.F) {
	f.Add([]byte(`["aa_1","use_1","user-1"]`+"\n"), []byte(`{"segment_id":"use_1","outcome":"rejected","first":"2026-11-21T00:00:00Z","import":"2026-11-21T00:00:00Z","reason":"x"}`+"\n"))
	f.Fuzz(func(t *testing.T, pending, records []byte) {
		names := NewNames(t.TempDir(), "")
		s := NewState(Identity{Space: "spa_1", Identifier: "user_id"}, Beginning)
		s.Counts.Read = 1
		s.Actions = []Action{{ID: "aa_1", Accepted: time.Now(), Sent: 1, Customers: 1, LastByte: int64(len(pending))}}
		s.Files[filePending], s.Files[fileRecords] = extentOf(pending), extentOf(records)
		for name, data := range map[string][]byte{names.pending: pending, names.records: records} {
			if err := os.WriteFile(names.Path(name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.save(names.Path(names.State)); err != nil {
			t.Fatal(err)
		}
		j, _, err := Open(names, Start{Identity: s.Identity, Mode: Resume})
		if err != nil {
			t.Fatal(err)
		}
		if j.Start() != nil {
			return
		}
		defer j.Close()
		if customers, err := j.SentBy(j.State().Actions[0]); err == nil && len(customers) != 1 {
			t.Errorf("%d customers of an action of one", len(customers))
		}
	})
}

// A report of the first version from which somebody deleted a line still gives the records
// of the others.
func TestRecordsOfAShortenedReportOfVersion1(t *testing.T) {
	names := NewNames(t.TempDir(), "")
	report := "segment_id,source_id,reason,detail,async_action_id,request_id\na,1,bad,,,\nb,2,bad,,,\n"
	if err := os.WriteFile(names.Path(names.NotImported), []byte(report), 0o600); err != nil {
		t.Fatal(err)
	}
	j := &Journal{names: names}
	lines, err := j.convertRecords(&State{v1: &stateV1{Lengths: map[string]int64{"not_imported": int64(len(report)) + 11}}})
	if n := bytes.Count(lines, []byte("\n")); err != nil || n != 2 {
		t.Errorf("%d records, %v, want 2", n, err)
	}
}
