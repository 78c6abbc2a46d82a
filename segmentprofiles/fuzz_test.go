package segmentprofiles_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"segsync/segmentprofiles"
)

// FuzzCursor decodes cursors and compares them with what the same JSON says when it
// is decoded into a map.
func FuzzCursor(f *testing.F) {
	for _, seed := range []string{
		`{"url":"https://profiles.segment.com/v1/spaces/s?limit=2&next=0","has_more":true,"next":"2","limit":2}`,
		`{"url":"","has_more":false,"next":"","limit":200}`,
		`{"has_more":false,"next":"2"}`,
		`{"has_more":true,"next":100}`,
		`{"next":-1.50e+07}`,
		`{"next":"Invited User? é🎈\u0000\\\""}`,
		`{"next":null,"has_more":null}`,
		`{"next":true}`, `{"next":{}}`, `{"next":["a"]}`, `{"next":"\ud800"}`,
		`{"next":1,"next":"2"}`, `{"NEXT":"a","Has_More":false}`,
		`null`, `{}`, `[]`, `""`, `1`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var c segmentprofiles.Cursor
		if err := json.Unmarshal(data, &c); err != nil {
			if c.Next != "" {
				t.Errorf("%s: next %q in spite of the error %v", data, c.Next, err)
			}
			return
		}
		var raw map[string]any
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		if err := d.Decode(&raw); err != nil {
			t.Fatalf("%s: the cursor was accepted, but it is not an object: %v", data, err)
		}
		want := ""
		switch next := raw["next"].(type) {
		case nil:
		case string:
			want = next
		case json.Number:
			want = next.String()
		default:
			t.Fatalf("%s: accepted, with a next that is neither a string nor a number", data)
		}
		if raw["has_more"] == false {
			want = ""
		}
		if c.Next != want {
			t.Errorf("%s: next %q, want %q", data, c.Next, want)
		}

		// It comes back the same when the API sends it as a string.
		again, err := json.Marshal(map[string]any{"has_more": true, "next": c.Next})
		if err != nil {
			t.Fatal(err)
		}
		var second segmentprofiles.Cursor
		if err := json.Unmarshal(again, &second); err != nil || second.Next != c.Next {
			t.Errorf("%s became %s: %q, %v, want %q", data, again, second.Next, err, c.Next)
		}
	})
}
