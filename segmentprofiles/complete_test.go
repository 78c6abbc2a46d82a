package segmentprofiles_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"segsync/segmentprofiles"
)

// An answer that lacks something is read a second time, and is an error only if that
// lacks it, too.
func TestIncompleteAnswers(t *testing.T) {
	const whole = `{"has_more":false,"next":""}`
	list := &segmentprofiles.IncompleteError{Route: segmentprofiles.RouteList, What: "data: expected a list of profiles"}
	ids := &segmentprofiles.IncompleteError{Route: segmentprofiles.RouteExternalIDs, What: "data"}
	traits := &segmentprofiles.IncompleteError{Route: segmentprofiles.RouteTraits, What: "traits"}
	more := "cursor for the further pages that it claims"
	for _, c := range []struct {
		route, name, body string
		want              error
	}{
		{"list", "no data", `{}`, list},
		{"list", "no data, but a cursor", `{"cursor":` + whole + `}`, list},
		{"list", "more without a next", `{"data":[{"segment_id":"a"}],"cursor":{"has_more":true}}`, &segmentprofiles.EndError{Cursor: "0"}},
		{"list", "more with an empty next", `{"data":[],"cursor":{"has_more":true,"next":""}}`, &segmentprofiles.EndError{Cursor: "0"}},
		{"external ids", "no data", `{}`, ids},
		{"external ids", "no data, but a cursor", `{"cursor":` + whole + `}`, ids},
		{"external ids", "more without a next", `{"data":[],"cursor":{"has_more":true}}`,
			&segmentprofiles.IncompleteError{Route: segmentprofiles.RouteExternalIDs, What: more}},
		{"traits", "no traits", `{}`, traits},
		{"traits", "more without a next", `{"traits":{"a":1},"cursor":{"has_more":true,"next":null}}`,
			&segmentprofiles.IncompleteError{Route: segmentprofiles.RouteTraits, What: more}},
	} {
		for _, l := range listers(t) {
			if l.name != c.route {
				continue
			}
			t.Run(c.route+"/"+c.name, func(t *testing.T) {
				var asked []string
				items, err := l.read(newClient(t, pagesOf(&asked, c.body, c.body)))
				if !reflect.DeepEqual(c.want, err) || len(items) != 0 {
					t.Errorf("twice: %v, %#v, want only %#v", items, err, c.want)
				}
				if diff := cmp.Diff([]string{l.first(), l.first()}, asked); diff != "" {
					t.Errorf("cursors that were sent (-want +got):\n%s", diff)
				}

				asked = nil
				items, err = l.read(newClient(t, pagesOf(&asked, c.body, `{`+l.item(1)+`,"cursor":`+whole+`}`)))
				if diff := cmp.Diff([]string{"i1"}, items); err != nil || diff != "" {
					t.Errorf("once: %v, items (-want +got):\n%s", err, diff)
				}
			})
		}
	}
}

func TestCursorOfTheListIsAToken(t *testing.T) {
	long := strings.Repeat("9", 513)
	const not = " has characters other than letters, digits and _-.=/+:~%"
	for next, want := range map[string]string{
		`"a b"`: `the cursor "a b"` + not, `"a\u001b[2J\n"`: `the cursor "a\x1b[2J\n"` + not, `"ü"`: `the cursor "ü"` + not,
		`"100; curl example.com"`: `the cursor "100; curl example.com"` + not, `"$(x)"`: `the cursor "$(x)"` + not,
		`"` + long + `"`: `the cursor "` + long[:40] + `…" has more than 512 bytes`, long: `the cursor "` + long[:40] + `…" has more than 512 bytes`,
		`{"secret":"CANARY"}`: `the cursor has a next that is neither a string nor a number`,
		`["CANARY"]`:          `the cursor has a next that is neither a string nor a number`,
		`true`:                `the cursor has a next that is neither a string nor a number`,
		`"\ud800"`:            `the cursor has a next that is not valid Unicode text`,
	} {
		var asked []string
		_, err := newClient(t, pagesOf(&asked, `{"data":[{"segment_id":"a"}],"cursor":{"has_more":true,"next":`+next+`}}`)).Profiles(t.Context(), "0", 1)
		if _, ok := errors.AsType[*segmentprofiles.CursorError](err); !ok || err.Error() != want {
			t.Errorf("next %.60s: error %v\nwant %s", next, err, want)
		}
	}
	var asked []string
	edge := long[:512]
	page, err := newClient(t, pagesOf(&asked, `{"data":[],"cursor":{"next":"`+edge+`"}}`)).Profiles(t.Context(), "0", 1)
	if err != nil || page.Cursor.Next != edge {
		t.Errorf("a cursor of 512 bytes: %v, %v", page, err)
	}
}

// An entry that cannot be used is one profile; the others of its page are read.
func TestEntriesOfTheListThatCannotBeUsed(t *testing.T) {
	bad := func(what string) segmentprofiles.Profile {
		return segmentprofiles.Profile{Err: &segmentprofiles.MalformedError{What: what}}
	}
	damaged := segmentprofiles.Profile{Err: &segmentprofiles.InvalidUTF8Error{What: "segment_id"}}
	undated := segmentprofiles.Profile{SegmentID: "b", Metadata: segmentprofiles.Metadata{Unreadable: true}}
	now := time.Date(2026, 11, 2, 8, 0, 1, 0, time.UTC)
	for entry, want := range map[string]segmentprofiles.Profile{
		`7`: bad("an entry of the list is not an object"), `null`: bad("an entry of the list is not an object"),
		`"b"`: bad("an entry of the list is not an object"), `["b"]`: bad("an entry of the list is not an object"),
		`{}`: bad("segment_id is missing"), `{"segment_id":null}`: bad("segment_id is missing"),
		`{"segment_id":17}`: bad("segment_id is not a string"), `{"segment_id":{"a":1}}`: bad("segment_id is not a string"),
		`{"segment_id":"b\ud83d"}`: damaged, `{"segment_id":"b\udc00\ud800"}`: damaged,
		`{"segment_id":"b\ud800\ud800"}`: damaged, "{\"segment_id\":\"b\xff\"}": damaged,
		`{"segment_id":"b\ud83c\udf88\\ud800"}`:                                          {SegmentID: `b🎈\ud800`},
		`{"SEGMENT_ID":"x"}`:                                                             bad("segment_id is missing"),
		`{"segment_id":"b","Segment_ID":"x"}`:                                            {SegmentID: "b"},
		`{"segment_id":"b","segment_id":"b"}`:                                            bad("a name comes twice in an entry of the list"),
		`{"segment_id":"\ufffd"}`:                                                        {SegmentID: "\ufffd"},
		`{"segment_id":"b"}`:                                                             {SegmentID: "b"},
		`{"segment_id":"b","metadata":null}`:                                             {SegmentID: "b"},
		`{"segment_id":"b","metadata":7}`:                                                undated,
		`{"segment_id":"b","metadata":{"updated_at":""}}`:                                undated,
		`{"segment_id":"b","metadata":{"updated_at":1700000000}}`:                        undated,
		`{"segment_id":"b","metadata":{"updated_at":"yesterday"}}`:                       undated,
		`{"segment_id":"b","metadata":{"created_at":"","updated_at":null}}`:              {SegmentID: "b"},
		`{"segment_id":"b","metadata":{"created_at":7,"updated_at":"` + rfc(now) + `"}}`: {SegmentID: "b", Metadata: segmentprofiles.Metadata{UpdatedAt: now}},
	} {
		var asked []string
		page, err := newClient(t, pagesOf(&asked, `{"data":[{"segment_id":"a"},`+entry+`,{"segment_id":"c"}]}`)).Profiles(t.Context(), "0", 3)
		if err != nil {
			t.Errorf("%s: %v", entry, err)
			continue
		}
		if diff := cmp.Diff([]segmentprofiles.Profile{{SegmentID: "a"}, want, {SegmentID: "c"}}, page.Data); diff != "" {
			t.Errorf("%s (-want +got):\n%s", entry, diff)
		}
	}
}

func rfc(t time.Time) string { return t.Format(time.RFC3339) }

func TestExternalIDsThatCannotBeUsed(t *testing.T) {
	bad := func(what string) error { return &segmentprofiles.MalformedError{What: what} }
	for data, want := range map[string]error{
		`[7]`: bad("an external ID is not an object"), `[null]`: bad("an external ID is not an object"),
		`[{"id":7,"type":"user_id"}]`: bad("an external ID is not a string"),
		`[{"type":"user_id"}]`:        bad("an external ID is missing"),
		`[{"id":"u1"}]`:               bad("the type of an external ID is missing"),
		`[{"id":"u1","type":{}}]`:     bad("the type of an external ID is not a string"),
		`[{"id":"u0","type":"a"},{"id":"u1","type":"a","created_at":""}]`:   bad("created_at of an external ID is not a timestamp"),
		`[{"id":"u1","type":"user_id","created_at":17}]`:                    bad("created_at of an external ID is not a timestamp"),
		`[{"id":"u1","type":"user_id","created_at":"2023-13-01T00:00:00"}]`: bad("created_at of an external ID is not a timestamp"),
		`[{"ID":"u1","type":"user_id"}]`:                                    bad("an external ID is missing"),
		`[{"id":"u1","id":"u2","type":"a"}]`:                                bad("a name comes twice in an external ID"),
		`[{"id":"u1","type":"a\ud800"}]`:                                    &segmentprofiles.InvalidUTF8Error{What: "a text of an external ID"},
		`{"a":1}`:                                                           bad("expected a list of external IDs"),
		`[{"id":"u\ud800","type":"user_id"}]`:                               &segmentprofiles.InvalidUTF8Error{What: "an external ID"},
		"[{\"id\":\"u\xc3\",\"type\":\"a\"}]":                               &segmentprofiles.InvalidUTF8Error{What: "an external ID"},
		`[],"cursor":7`:                                                     bad("the cursor is not an object"),
		`[],"cursor":{"has_more":"CANARY"}`:                                 bad("the cursor has a has_more that is not a boolean"),
	} {
		var asked []string
		ids, err := newClient(t, pagesOf(&asked, `{"data":`+data+`}`)).ExternalIDs(t.Context(), segmentprofiles.SegmentID("use_1"), nil)
		if !reflect.DeepEqual(want, err) || ids != nil {
			t.Errorf("%s: %v, %#v, want %#v", data, ids, err, want)
		}
	}
}

func TestTraitsThatCannotBeUsed(t *testing.T) {
	bad := func(what string) error { return &segmentprofiles.MalformedError{What: what} }
	for body, want := range map[string]error{
		`{"traits":[]}`:                         bad("traits has another type than documented"),
		`{"traits":"CANARY"}`:                   bad("traits has another type than documented"),
		`{"traits":{},"cursor":{"next":["a"]}}`: bad("the cursor has a next that is neither a string nor a number"),
	} {
		var asked []string
		traits, _, err := newClient(t, pagesOf(&asked, body)).Traits(t.Context(), segmentprofiles.SegmentID("use_1"), 200, nil)
		if !reflect.DeepEqual(want, err) || traits != nil {
			t.Errorf("%s: %v, %#v, want %#v", body, traits, err, want)
		}
	}
}

// A damaged trait is left out; the others of its page are read.
func TestDamagedTraits(t *testing.T) {
	type result struct {
		Traits  map[string]any
		Damaged []string
	}
	for body, want := range map[string]result{
		`{"traits":{"a":"x\ud800","b":["y\udc00",{"c":1}],"n":1,"z":"\ud83c\udf88"}}`:      {map[string]any{"n": json.Number("1"), "z": "🎈"}, []string{"a", "b"}},
		"{\"traits\":{\"a\":\"x\xff\",\"b\xc3\":1,\"c\":\"\\u0000\"}}":                     {map[string]any{"c": "\x00"}, []string{"a", `b\xc3`}},
		`{"traits":{"a":1,"A":2,"a":3,"b":{"c":1,"c":2}}}`:                                 {map[string]any{"A": json.Number("2")}, []string{"a", "b"}},
		`{"traits":{"a":"x\ufffd"}}`:                                                       {map[string]any{"a": "x\ufffd"}, nil},
		`{"traits":{"a":"\ud800"},"TRAITS":{"b":1},"cursor":{"has_more":false,"url":"x"}}`: {map[string]any{}, []string{"a"}},
	} {
		var asked []string
		traits, damaged, err := newClient(t, pagesOf(&asked, body)).Traits(t.Context(), segmentprofiles.SegmentID("use_1"), 200, nil)
		if err != nil {
			t.Errorf("%s: %v", body, err)
		}
		if diff := cmp.Diff(want, result{traits, damaged}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
	}
}

// What is damaged beside the traits makes the profile unreadable, and no other.
func TestDamageBesideTheTraits(t *testing.T) {
	twice := &segmentprofiles.MalformedError{What: "a name comes twice in an object"}
	for body, want := range map[string]error{
		`{"traits":{"a":1},"traits":{}}`:                 twice,
		`{"traits":{},"cursor":{"next":"a","next":"b"}}`: twice,
		`{"traits":{},"more":"\ud800"}`:                  &segmentprofiles.InvalidUTF8Error{What: "a text"},
	} {
		var asked []string
		traits, _, err := newClient(t, pagesOf(&asked, body)).Traits(t.Context(), segmentprofiles.SegmentID("use_1"), 200, nil)
		if !reflect.DeepEqual(want, err) || traits != nil {
			t.Errorf("%s: %v, %#v, want %#v", body, traits, err, want)
		}
	}
}

// endless answers each page with ever new cursors.
func endless(requests *int, members func(n int) string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		*requests++
		fmt.Fprintf(w, `{%s,"cursor":{"has_more":true,"next":"n%d"}}`, members(*requests), *requests)
	}
}

func TestPagesOfAProfileEnd(t *testing.T) {
	id := segmentprofiles.SegmentID("use_1")
	for _, c := range []struct {
		name    string
		limit   int // of traits; 0: external IDs
		members func(n int) string
		want    string
		pages   int
	}{
		{"empty pages of external ids", 0, func(int) string { return `"data":[]` }, "more than 1500 external IDs, or 60 pages of them", 60},
		{"large pages of external ids", 0, func(int) string {
			return `"data":[` + strings.TrimSuffix(strings.Repeat(`{"id":"u","type":"t"},`, 1000), ",") + `]`
		}, "more than 1500 external IDs, or 60 pages of them", 2},
		{"empty pages of traits", 200, func(int) string { return `"traits":{}` }, "more than 9000 traits, or 55 pages of them", 55},
		{"pages of one trait", 100, func(n int) string { return fmt.Sprintf(`"traits":{"t%d":1}`, n) }, "more than 9000 traits, or 100 pages of them", 100},
		{"large pages of traits", 200, func(n int) string {
			var b strings.Builder
			for i := range 5000 {
				fmt.Fprintf(&b, `,"t%d_%d":1`, n, i)
			}
			return `"traits":{` + b.String()[1:] + `}`
		}, "more than 9000 traits, or 55 pages of them", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			requests := 0
			client := newClient(t, endless(&requests, c.members))
			var err error
			if c.limit == 0 {
				_, err = client.ExternalIDs(t.Context(), id, nil)
			} else {
				_, _, err = client.Traits(t.Context(), id, c.limit, nil)
			}
			if want := (&segmentprofiles.MalformedError{What: c.want}); !reflect.DeepEqual(err, error(want)) || requests != c.pages {
				t.Errorf("%v after %d requests, want %v after %d", err, requests, want, c.pages)
			}
		})
	}
}

// What is documented as the most that a profile has is read whole.
func TestLargestProfile(t *testing.T) {
	id := segmentprofiles.SegmentID("use_1")
	n := 0
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		var b strings.Builder
		if n++; strings.HasSuffix(r.URL.Path, "/traits") {
			for i := range 200 {
				fmt.Fprintf(&b, `,"t%d_%d":%d`, n, i, i)
			}
			fmt.Fprintf(w, `{"traits":{%s},"cursor":{"has_more":%t,"next":"n%d"}}`, b.String()[1:], n < 30, n)
			return
		}
		for i := range 25 {
			fmt.Fprintf(&b, `,{"id":"u%d_%d","type":"user_id"}`, n, i)
		}
		fmt.Fprintf(w, `{"data":[%s],"cursor":{"has_more":%t,"next":"n%d"}}`, b.String()[1:], n < 40, n)
	})
	if ids, err := c.ExternalIDs(t.Context(), id, nil); len(ids) != 1000 || err != nil {
		t.Errorf("%d external ids, %v, want 1000", len(ids), err)
	}
	n = 0
	if traits, _, err := c.Traits(t.Context(), id, 200, nil); len(traits) != 6000 || err != nil {
		t.Errorf("%d traits, %v, want 6000", len(traits), err)
	}
}

func TestPageWithoutADate(t *testing.T) {
	for _, date := range []string{"", "yesterday"} {
		c := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Date"] = nil
			if date != "" {
				w.Header().Set("Date", date)
			}
			io.WriteString(w, `{"data":[]}`)
		})
		page, err := c.Profiles(t.Context(), "0", 1)
		if err != nil || !page.Date.IsZero() {
			t.Errorf("date %q: %v, %v, want a zero Date", date, page, err)
		}
	}
}
