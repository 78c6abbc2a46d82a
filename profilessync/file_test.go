package profilessync_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"segsync/profilessync"
)

const (
	ndjson = `{"segment_id":"use_2","external_ids":[{"type":"user_id","id":"ada","created_at":"2026-05-01T10:00:00Z"},{"type":"phone","id":"1"}],"traits":{"age":36.50,"address":{"city":"Paris"},"no":null}}
{"segment_id":"use_1","more":1}
`
	rowsCSV = `canonical_segment_id,kind,name,value,seq
use_1,identifier,user_id,ada,1
use_1,trait,name,"Ada ""the first"", Countess
of Lovelace",2
use_1,trait,city,,4
use_1,trait,city,London,3
use_2,trait,name,Bob,5
`
	rowsJSON = `{"canonical_segment_id":"use_1","kind":"identifier","name":"user_id","value":"ada","seq":1}
{"canonical_segment_id":"use_1","kind":"trait","name":"name","value":"Ada \"the first\", Countess\nof Lovelace","seq":"2"}
{"CANONICAL_SEGMENT_ID":"use_1","KIND":"trait","NAME":"city","VALUE":null,"SEQ":4}
{"canonical_segment_id":"use_1","kind":"trait","name":"city","value":"London","seq":3}
{"canonical_segment_id":"use_2","kind":"trait","name":"name","value":"Bob","seq":5}
`
)

const header = "canonical_segment_id,kind,name,value,seq\n"

// rowProfiles are the profiles of rowsCSV and rowsJSON.
var rowProfiles = []profilessync.Profile{
	{
		SegmentID:   "use_1",
		ExternalIDs: []profilessync.ExternalID{{Type: "user_id", ID: "ada"}},
		Traits:      map[string]any{"name": "Ada \"the first\", Countess\nof Lovelace"},
	},
	{SegmentID: "use_2", Traits: map[string]any{"name": "Bob"}},
}

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "profiles")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func openFile(t *testing.T, content string) *profilessync.File {
	t.Helper()
	f, err := profilessync.OpenFile(write(t, content))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func readFile(t *testing.T, content string, q profilessync.Query) []profilessync.Profile {
	t.Helper()
	return collect(t, openFile(t, content).Profiles(t.Context(), q, profilessync.Position{}))
}

func compress(t *testing.T, contents ...string) string {
	t.Helper()
	var b bytes.Buffer
	for _, content := range contents {
		w := gzip.NewWriter(&b)
		io.WriteString(w, content)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func TestFileOfProfiles(t *testing.T) {
	want := []profilessync.Profile{
		{
			SegmentID:   "use_2",
			ExternalIDs: []profilessync.ExternalID{{Type: "user_id", ID: "ada", CreatedAt: time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)}},
			Traits:      map[string]any{"age": json.Number("36.50"), "address": map[string]any{"city": "Paris"}, "no": nil},
			Removed:     []string{"no"},
		},
		{SegmentID: "use_1", Traits: map[string]any{}},
	}
	for name, content := range map[string]string{
		"plain":            ndjson,
		"gzip":             compress(t, ndjson),
		"gzip in parts":    compress(t, ndjson[:10], ndjson[10:]),
		"no line end":      strings.TrimSuffix(ndjson, "\n"),
		"CRLF, BOM, blank": "\ufeff" + strings.ReplaceAll(ndjson, "\n", "\r\n\r\n  \r\n"),
	} {
		t.Run(name, func(t *testing.T) { equal(t, readFile(t, content, everything), want) })
	}
	got := readFile(t, ndjson, profilessync.Query{IdentifierTypes: []string{}, Traits: []string{"age"}})
	want[0].ExternalIDs, want[0].Traits, want[0].Removed = nil, map[string]any{"age": json.Number("36.50")}, nil
	equal(t, got, want)
}

// A NULL with the greatest seq says that a trait was removed, and an older one nothing.
func TestRemovedTraits(t *testing.T) {
	const rows = `{"canonical_segment_id":"use_1","kind":"trait","name":"phone","value":null,"seq":4}
{"canonical_segment_id":"use_1","kind":"trait","name":"name","value":null,"seq":4}
{"canonical_segment_id":"use_1","kind":"trait","name":"name","value":"Ada","seq":5}
{"canonical_segment_id":"use_1","kind":"trait","name":"address_postal_code","value":null,"seq":4}
{"canonical_segment_id":"use_1","kind":"trait","name":"address_city","value":"Oslo","seq":4}
{"canonical_segment_id":"use_1","kind":"trait","name":"metadata_a.b","value":null,"seq":4}
{"canonical_segment_id":"use_1","kind":"trait","name":"not_asked_for","value":null,"seq":4}
`
	got := readFile(t, rows, profilessync.Query{
		Traits: []string{"name", "phone"}, Members: [][]string{{"address", "city"}, {"address", "postalCode"}}, Objects: [][]string{{"metadata"}},
	})
	equal(t, got, []profilessync.Profile{{
		SegmentID: "use_1",
		Traits:    map[string]any{"name": "Ada", "address": map[string]any{"city": "Oslo"}},
		Removed:   []string{"address.postalCode", `metadata.a\.b`, "phone"},
	}})
}

func TestFilesOfRows(t *testing.T) {
	const moved = `LOADED,SEQ,VALUE,KIND,NAME,CANONICAL_SEGMENT_ID
x,1,ada,identifier,user_id,use_1
x,2,"Ada ""the first"", Countess
of Lovelace",trait,name,use_1
,4,,trait,city,use_1
,3,London,trait,city,use_1
,5,Bob,trait,name,use_2
`
	for name, content := range map[string]string{
		"CSV":                       rowsCSV,
		"CSV, gzip":                 compress(t, rowsCSV),
		"CSV, BOM, no line end":     "\ufeff" + strings.TrimSuffix(rowsCSV, "\n"),
		"CSV, columns elsewhere":    moved,
		"CSV, files joined":         compress(t, rowsCSV[:strings.Index(rowsCSV, "use_1,trait,city")], header+rowsCSV[strings.Index(rowsCSV, "use_1,trait,city"):]),
		"CSV, files joined, BOM":    "\ufeff" + strings.Replace(rowsCSV, "use_2", "\ufeff"+header+"use_2", 1),
		"CSV, CRLF between records": strings.ReplaceAll(strings.ReplaceAll(rowsCSV, "\n", "\r\n"), "Countess\r\n", "Countess\n") + "\r\n\r\n",
		"NDJSON":                    rowsJSON,
		"NDJSON, CRLF":              strings.ReplaceAll(rowsJSON, "\n", "\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			want := slices.Clone(rowProfiles)
			if strings.HasPrefix(name, "NDJSON") { // an empty cell of CSV says nothing
				want[0].Removed = []string{"city"}
			}
			equal(t, readFile(t, content, everything), want)
		})
	}
	equal(t, len(readFile(t, "canonical_segment_id,kind,name,value,seq\n", everything)), 0)
}

func TestValuesOfFilesArriveUnchanged(t *testing.T) {
	for _, value := range []string{"a\r\nb", `"`, `""`, `",`, " x ", "\u2028\U0001F469\u200D\U0001F680", `\n`, strings.Repeat("a,\"\n", 100_000), `{"a"`} {
		quoted := `"` + strings.ReplaceAll(value, `"`, `""`) + `"`
		want := []profilessync.Profile{{SegmentID: "use_1", Traits: map[string]any{"x": value}}}
		equal(t, readFile(t, "canonical_segment_id,kind,name,value,seq\nuse_1,trait,x,"+quoted+",1\n", everything), want)
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, readFile(t, `{"canonical_segment_id":"use_1","kind":"trait","name":"x","value":`+string(text)+`,"seq":1}`, everything), want)
	}
	got := readFile(t, `{"canonical_segment_id":"use_1","kind":"trait","name":"x","value":"","seq":1}
{"canonical_segment_id":"use_1","kind":"trait","name":"y","value":12.50,"seq":1}
{"canonical_segment_id":"use_1","kind":"trait","name":"z","value":{"a": 1},"seq":1}`, everything)
	equal(t, got[0].Traits, map[string]any{"x": "", "y": "12.50", "z": `{"a": 1}`})
}

// Wherever reading ends, it continues there: from the position behind each profile come
// exactly those after it.
func TestFileResumes(t *testing.T) {
	for name, content := range map[string]string{
		"profiles": ndjson, "CSV": rowsCSV, "NDJSON": rowsJSON, "gzip": compress(t, rowsCSV), "BOM": "\ufeff" + rowsCSV,
		"CRLF": strings.ReplaceAll(rowsCSV, "\n", "\r\n"), "blank": strings.ReplaceAll(rowsJSON, "\n", "\n\n"),
	} {
		t.Run(name, func(t *testing.T) {
			f := openFile(t, content)
			all := collect(t, f.Profiles(t.Context(), everything, profilessync.Position{}))
			var positions []profilessync.Position
			for p := range f.Profiles(t.Context(), everything, profilessync.Position{}) {
				positions = append(positions, p.Position)
			}
			for i, position := range positions {
				saved, err := json.Marshal(position)
				if err != nil {
					t.Fatal(err)
				}
				var loaded profilessync.Position
				if err := json.Unmarshal(saved, &loaded); err != nil {
					t.Fatal(err)
				}
				rest := collect(t, f.Profiles(t.Context(), everything, loaded))
				equal(t, append(all[:i+1:i+1], rest...), all)
				for p := range f.Profiles(t.Context(), everything, loaded) {
					equal(t, p.Position, positions[i+1])
					break
				}
			}
		})
	}
}

func TestAnotherFileIsRefused(t *testing.T) {
	var first profilessync.Position
	for p := range openFile(t, rowsCSV).Profiles(t.Context(), everything, profilessync.Position{}) {
		first = p.Position
		break
	}
	for name, content := range map[string]string{
		"changed":    strings.Replace(rowsCSV, "ada", "bob", 1),
		"shorter":    rowsCSV[:60],
		"the header": strings.Replace(rowsCSV, "seq", "SEQ", 1),
	} {
		for _, err := range openFile(t, content).Profiles(t.Context(), everything, first) {
			if !errors.Is(err, profilessync.ErrOtherFile) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	longer := strings.Replace(rowsCSV, "Bob", "Bobby", 1) // only behind the position
	equal(t, len(collect(t, openFile(t, longer).Profiles(t.Context(), everything, first))), 1)
}

// A file that has grown goes on behind the position, but not with the same profile.
func TestFileThatHasGrown(t *testing.T) {
	var last profilessync.Position
	for p := range openFile(t, rowsCSV).Profiles(t.Context(), everything, profilessync.Position{}) {
		last = p.Position
	}
	grown := openFile(t, rowsCSV+"use_3,trait,x,1,1\n").Profiles(t.Context(), everything, last)
	equal(t, ids(collect(t, grown)), []string{"use_3"})
	for _, err := range openFile(t, rowsCSV+"use_2,trait,x,1,1\n").Profiles(t.Context(), everything, last) {
		if err == nil || !strings.Contains(err.Error(), ", line 8: ") {
			t.Errorf("the error is %v", err)
		}
	}
}

func TestStandardInputIsReadOnce(t *testing.T) {
	f, err := profilessync.OpenOnce("standard input", strings.NewReader(compress(t, rowsCSV)))
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range f.Profiles(t.Context(), everything, profilessync.Position{ID: "use_1", Offset: 10}) {
		if !errors.Is(err, profilessync.ErrReadOnce) {
			t.Errorf("from a position: %v", err)
		}
	}
	equal(t, collect(t, f.Profiles(t.Context(), everything, profilessync.Position{})), rowProfiles)
	for _, err := range f.Profiles(t.Context(), everything, profilessync.Position{}) {
		if !errors.Is(err, profilessync.ErrReadOnce) || !strings.Contains(err.Error(), "standard input") {
			t.Errorf("a second time: %v", err)
		}
	}
}

func TestWrongLinesAreNamed(t *testing.T) {
	const good = "use_2,trait,x,1,1\n"
	huge := strings.Repeat("x", 16<<20)
	for name, test := range map[string]struct {
		content, place, text string
		profiles             int // before the error
	}{
		"empty":                {"", "", "empty", 0},
		"empty gzip":           {compress(t, ""), "", "empty", 0},
		"column twice":         {"seq,canonical_segment_id,kind,name,value, SEQ\n", ", line 1", "the column seq twice", 0},
		"only the magic":       {"\x1f\x8b", "", "too early", 0},
		"behind gzip":          {compress(t, rowsCSV) + rowsCSV, "", "something else", 1},
		"header":               {"use_1,trait,x,1,1\n", ", line 1", "none of the columns", 0},
		"rows without a value": {"canonical_segment_id,kind,name,seq\n", ", line 1", "lacks the column value", 0},
		"array of what else":   {"[\n{}]", ", line 1", "neither", 0},
		"array of arrays":      {"[[1]]", ", line 1", "none of the columns", 0},
		"array, its third":     {`[{"segment_id":"x"},{"segment_id":"y"}, {"segment_id":7}]`, ", line 3, column 16", "must not be of type number", 2},
		"array that is cut":    {`[{"segment_id":"x"},{"segment_id":"y"`, "", "has no end", 1},
		"neither":              {`{"id":1}`, ", line 1", "neither", 0},
		"not JSON":             {ndjson + `{"segment_id":"é",x}`, ", line 3, column 19", "not JSON", 2},
		"cut":                  {ndjson + `{"segment_id":"é"`, ", line 3, column 18", "unexpected EOF", 2},
		"type":                 {ndjson + "\n" + `{"segment_id":1}`, ", line 4, column 15", "segment_id must not be of type number", 2},
		"trailing":             {`{"segment_id":"use_1"}  {}`, ", line 1, column 25", "not JSON", 0},
		"trailing, later":      {ndjson + `{"segment_id":"use_1"}  {}`, ", line 3, column 25", "not JSON", 2},
		"no segment_id":        {ndjson + `{"traits":{}}`, ", line 3", "no segment_id", 2},
		"created_at":           {ndjson + `{"segment_id":"x","external_ids":[{"type":"email","created_at":"now"}]}`, ", line 3, column 64", "created_at is not a timestamp", 2},
		"external IDs":         {ndjson + `{"segment_id":"x","external_ids":[{"type":"email"},7]}`, ", line 3, column 52", "an external ID must not be of type number", 2},
		"traits":               {ndjson + `{"segment_id":"x","traits":[]}`, ", line 3, column 28", "traits must not be of type array", 2},
		"no object":            {ndjson + ` "x"`, ", line 3, column 2", "a profile must not be of type string", 2},
		"row of JSON":          {rowsJSON + `{"canonical_segment_id":"use_3","kind":7}`, ", line 6, column 40", "kind must not be of type number", 1},
		"row that is null":     {rowsJSON + `null`, ", line 6, column 1", "a row must not be of type null", 1},
		"row without id":       {header + good + ",trait,x,1,1\n", ", line 3", "no canonical_segment_id", 0},
		"kind":                 {header + good + "use_2,\"tr\nait\",x,1,1\n", ", line 3", `"tr\nait"`, 0},
		"bare quote":           {header + good + "use_2,trait,x,a\"b\"c,1\n", ", line 3, column 16", "quoted as a whole", 0},
		"behind the quote":     {header + good + "use_2,trait,x,\"é\n\"b,1\n", ", line 4, column 2", "comma", 0},
		"open quote":           {header + good + "use_2,trait,x,\"b,1\n" + good, ", line 3, column 15", "never closed", 0},
		"columns":              {header + good + "use_2,trait,x\n", ", line 3", "3 columns, the header 5", 0},
		"another header":       {header + good + strings.ToUpper(header), ", line 3", "comes after", 1},
		"order":                {header + good + "use_3,trait,x,1,1\n" + good, ", line 4", `"use_2" comes after "use_3"`, 2},
		"order of bytes":       {header + "use_a,trait,x,1,1\nuse_B,trait,x,1,1\n", ", line 3", "byte by byte", 1},
		"id in no UTF-8":       {header + good + "use_\xff,trait,x,x,1\n", ", line 3", "UTF-8", 0},
		"damaged segment_id":   {ndjson + `{"segment_id":"\ud800"}`, ", line 3", "segment_id is not valid Unicode", 2},
		"column of JSON twice": {rowsJSON + `{"canonical_segment_id":"use_3","kind":"trait","name":"a","NAME":"b"}`, ", line 6", "twice", 1},
		"UTF-16":               {"\xff\xfe{\x00", "", "UTF-16", 0},
		"long line":            {ndjson + huge + "x", ", line 3", "longer than 16 MiB", 2},
		"long open quote":      {header + good + "use_2,trait,x,\"" + strings.Repeat("x\n", 9<<20), ", line 3", "never closed", 0},
		"gzip that ends early": {compress(t, rowsCSV)[:80], "", "too early", 0},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := profilessync.OpenFile(write(t, test.content))
			n := 0
			if err == nil {
				for _, e := range f.Profiles(t.Context(), everything, profilessync.Position{}) {
					if err = e; e == nil {
						n++
					}
				}
			}
			var place *profilessync.FileError
			if !errors.As(err, &place) || !strings.Contains(err.Error(), test.text) || !strings.Contains(err.Error(), `profiles"`+test.place+": ") && test.place != "" {
				t.Errorf("the error is %v", err)
			}
			if n != test.profiles {
				t.Errorf("%d profiles before the error", n)
			}
			t.Log(err)
		})
	}
	equal(t, len(readFile(t, `{"segment_id":"x","traits":{"x":"`+huge[:len(huge)-40]+`"}}`, everything)), 1)
	if _, err := profilessync.OpenFile(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestCancelledContextEndsTheFile(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	var last error
	for _, err := range openFile(t, ndjson).Profiles(ctx, everything, profilessync.Position{}) {
		cancel()
		n++
		last = err
	}
	if n != 2 || !errors.Is(last, context.Canceled) {
		t.Errorf("%d, %v", n, last)
	}
}

// Whatever a file holds: reading it ends, and reading it in two parts gives the same.
func FuzzFile(f *testing.F) {
	for _, content := range []string{ndjson, rowsCSV, rowsJSON, "\ufeff" + rowsCSV, "\x1f\x8b", "a,b\n", `{"segment_id":"x"}`, "canonical_segment_id,kind,name,value,seq\n\"\n"} {
		f.Add([]byte(content))
	}
	path := filepath.Join(f.TempDir(), "profiles")
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := profilessync.OpenFile(path)
		if err != nil {
			return
		}
		var all []string
		var middle profilessync.Position
		read := func(from profilessync.Position) (got []string, end string) {
			for p, err := range file.Profiles(t.Context(), everything, from) {
				if err != nil {
					return got, err.Error()
				}
				got = append(got, fmt.Sprint(*p))
				if len(got) == 2 && from == (profilessync.Position{}) {
					middle = p.Position
				}
			}
			return got, ""
		}
		all, end := read(profilessync.Position{})
		if len(all) < 2 {
			return
		}
		rest, endOfRest := read(middle)
		if fmt.Sprint(rest) != fmt.Sprint(all[2:]) || end != endOfRest {
			t.Errorf("%q, %s; behind the second: %q, %s", all, end, rest, endOfRest)
		}
	})
}

// A query for one profile finds it by its id, and by an external ID that is not its newest.
func TestOnlyOneProfile(t *testing.T) {
	const rows = header + `use_0,identifier,user_id,x,1
use_1,identifier,user_id,old,1
use_1,identifier,user_id,new,2
use_1,identifier,email,ada@example.com,3
use_2,trait,user_id,old,4
`
	const profiles = `{"segment_id":"use_0","external_ids":[{"type":"email","id":"x"}]}
{"segment_id":"use_1","external_ids":[{"type":"user_id","id":"old"},{"type":"email","id":"ada@example.com"}],"traits":{"a":1}}
`
	for name, content := range map[string]string{"rows": rows, "profiles": profiles} {
		for only, want := range map[string]int{"use_1": 1, "user_id:old": 1, "email:ada@example.com": 1, "user_id:ada@example.com": 0, "old": 0, "user_id:": 0, ":old": 0} {
			got := readFile(t, content, profilessync.Query{Only: only})
			if len(got) != want || want == 1 && (got[0].SegmentID != "use_1" || len(got[0].ExternalIDs) != 2) {
				t.Errorf("%s, %q: %v", name, only, got)
			}
		}
	}
}
