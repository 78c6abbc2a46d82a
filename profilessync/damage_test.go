package profilessync_test

import (
	"encoding/json"
	"strings"
	"testing"

	"segsync/profilessync"
)

const damagedID = "an external ID is not valid Unicode text"

// A damaged trait is left out, a profile with a damaged identifier is unreadable, and the next
// profiles are read.
func TestDamageInFiles(t *testing.T) {
	next := profilessync.Profile{SegmentID: "use_9", Traits: map[string]any{"x": "1"}}
	wantsTags := profilessync.Query{IdentifierTypes: []string{"user_id"}, IsJSON: func(trait string) bool { return trait == "tags" },
		Objects: [][]string{{"company"}}}
	for name, test := range map[string]struct {
		content string
		want    profilessync.Profile
	}{
		"exact names": {`{"segment_id":"use_1","SEGMENT_ID":"use_2","external_ids":[{"type":"user_id","id":"a","ID":"b"}],"traits":{"a":1,"A":2},"TRAITS":{"c":3}}`,
			profilessync.Profile{SegmentID: "use_1", ExternalIDs: []profilessync.ExternalID{{Type: "user_id", ID: "a"}},
				Traits: map[string]any{"a": json.Number("1"), "A": json.Number("2")}}},
		"traits of a profile": {"{\"segment_id\":\"use_1\",\"external_ids\":[{\"type\":\"user_id\",\"id\":\"a\"}],\"traits\":{\"a\":\"\\ud800\",\"b\":[\"\xff\"],\"c\":1,\"c\":2,\"d\":\"\\u0000\"}}",
			profilessync.Profile{SegmentID: "use_1", ExternalIDs: []profilessync.ExternalID{{Type: "user_id", ID: "a"}},
				Traits: map[string]any{"d": "\x00"}, Damaged: []string{"a", "b", "c"}}},
		"an external ID of a profile": {`{"segment_id":"use_1","external_ids":[{"type":"user_id","id":"a\ud800"}],"traits":{"a":1}}`,
			profilessync.Profile{SegmentID: "use_1", Traits: map[string]any{}, Unreadable: "a text is not valid Unicode"}},
		"traits of a profile twice": {`{"segment_id":"use_1","traits":{"a":1},"traits":{}}`,
			profilessync.Profile{SegmentID: "use_1", Traits: map[string]any{}, Unreadable: "a name comes twice in an object"}},
		"a trait of CSV": {header + "use_1,trait,a,\xff,1\nuse_1,trait,b,\xff,1\nuse_1,trait,b,2,2\nuse_1,trait,c,3,1",
			profilessync.Profile{SegmentID: "use_1", Traits: map[string]any{"b": "2", "c": "3"}, Damaged: []string{"a"}}},
		"an external ID of CSV": {header + "use_1,identifier,user_id,a\xff,1",
			profilessync.Profile{SegmentID: "use_1", ExternalIDs: []profilessync.ExternalID{{Type: "user_id", ID: "a\xff"}},
				Traits: map[string]any{}, Unreadable: damagedID}},
		"an external ID of CSV that is not wanted": {header + "use_1,identifier,email,a\xff,1",
			profilessync.Profile{SegmentID: "use_1", Traits: map[string]any{}}},
		"a trait of JSON rows": {`{"canonical_segment_id":"use_1","kind":"trait","name":"a","value":"\udc00","seq":1}
{"CANONICAL_SEGMENT_ID":"use_1","KIND":"trait","NAME":"b","VALUE":"\udc00","SEQ":1}`,
			profilessync.Profile{SegmentID: "use_1", Traits: map[string]any{}, Damaged: []string{"a", "b"}}},
		"an external ID of JSON rows": {`{"canonical_segment_id":"use_1","kind":"identifier","name":"user_id","value":"\ud800","seq":1}`,
			profilessync.Profile{SegmentID: "use_1", ExternalIDs: []profilessync.ExternalID{{Type: "user_id", ID: "\ufffd"}},
				Traits: map[string]any{}, Unreadable: damagedID}},
		"text that is JSON": {header + `use_1,trait,tags,"[""\ud800""]",1` + "\n" + `use_1,trait,company,"{""a"":1,""a"":2}",1`,
			profilessync.Profile{SegmentID: "use_1", Traits: map[string]any{}, Damaged: []string{"company", "tags"}}},
	} {
		t.Run(name, func(t *testing.T) {
			row := "\nuse_9,trait,x,1,1"
			switch {
			case strings.HasPrefix(test.content, `{"segment_id`):
				row = "\n" + `{"segment_id":"use_9","traits":{"x":"1"}}`
			case strings.HasPrefix(test.content, "{"):
				row = "\n" + `{"canonical_segment_id":"use_9","kind":"trait","name":"x","value":1,"seq":1}`
			}
			equal(t, readFile(t, test.content+row, wantsTags), []profilessync.Profile{test.want, next})
		})
	}
}

func TestTextsThatAreJSON(t *testing.T) {
	q := everything
	q.IsJSON = func(trait string) bool { return strings.HasPrefix(trait, "j") }
	got := readFile(t, header+strings.Join([]string{
		`use_1,trait,j1,"[""a"", 9007199254740993]",1`, `use_1,trait,j2," {""id"": 1.50}",1`, `use_1,trait,j3,"[1] and more",1`,
		`use_1,trait,j4,"{not JSON",1`, `use_1,trait,j5,12,1`, `use_1,trait,other,"[1]",1`, ``}, "\n"), q)
	equal(t, got[0].Traits, map[string]any{
		"j1": []any{"a", json.Number("9007199254740993")}, "j2": map[string]any{"id": json.Number("1.50")},
		"j3": "[1] and more", "j4": "{not JSON", "j5": "12", "other": "[1]",
	})
}

// The sizes of the profiles are together that of the file, without line ends and header.
func TestBytes(t *testing.T) {
	for name, test := range map[string]struct {
		content string
		want    []int
	}{
		"profiles": {`{"segment_id":"use_1"}` + "\r\n\n" + `{"segment_id":"use_2","x":1}`, []int{22, 28}},
		"CSV":      {header + "use_1,trait,x,1,1\nuse_1,trait,y,\"a\nb\",1\nuse_2,trait,x,,1\n", []int{17 + 21, 16}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []int
			for p, err := range openFile(t, test.content).Profiles(t.Context(), everything, profilessync.Position{}) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, p.Bytes)
			}
			equal(t, got, test.want)
		})
	}
}
