package profilessync

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// What is valid JSON is decoded as encoding/json does.
func FuzzDecode(f *testing.F) {
	for _, text := range []string{
		`{"a":{"b":[1,-2.50e3,"x\"y\\",true,false,null]},"c":"\ud83d\ude00\u0041","":{}}`, ` [ [ ] , { } ,"a,b:]}", 1 ] `, `"\\"`, `1`, `-0`,
		`{"a":1,"a":2}`, `"\ud800"`, `{"a" : 1 , "b":2}`, `[1,2]`, `{"a":"é\/"}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := checkJSON(data); (err == nil) != json.Valid(data) {
			t.Fatalf("%q: %v", data, err)
		} else if err != nil || !utf8.Valid(data) { // which a line always is
			return
		}
		var want any
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.UseNumber()
		if err := decoder.Decode(&want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, decode(bytes.TrimSpace(data))); diff != "" {
			t.Errorf("%q (-want +got)\n%s", data, diff)
		}
	})
}

func TestDuplicateMembers(t *testing.T) {
	line := []byte(`{"segment_id":"a","traits":{"x":1,"y":2},"external_ids":[{"type":"t","id":"1","created_at":"2026-01-01T00:00:00Z"}],
		"segment_id":"b","traits":{"x":3,"x":4},"external_ids":[{"type":"t","id":"2"}]}`)
	got, err := parseProfile(line, newPlan(Query{}))
	want := &Profile{SegmentID: "b", Traits: map[string]any{"x": json.Number("4")}, ExternalIDs: []ExternalID{{Type: "t", ID: "2"}}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}
