package profilessync_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"segsync/profilessync"
)

func writeParts(t *testing.T, contents ...string) (paths []string) {
	t.Helper()
	dir := t.TempDir()
	for i, content := range contents {
		path := filepath.Join(dir, "part-"+string(rune('0'+i)))
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

func zstandard(t *testing.T, content string) string {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte(content))
	w.Close()
	return b.String()
}

// However rows are divided into parts, and whatever their form: the profiles are the same, and an
// import continues from each of them.
func TestParts(t *testing.T) {
	lines := strings.SplitAfter(rowsJSON, "\n")
	csv := strings.SplitAfter(rowsCSV, "\n")
	for name, contents := range map[string][]string{
		"one":               {rowsJSON},
		"a profile in two":  {lines[0] + lines[1], strings.Join(lines[2:], "")},
		"one line each":     lines[:5],
		"gzip, zstd":        {compress(t, lines[0]), zstandard(t, strings.Join(lines[1:], ""))},
		"byte order marks":  {"\ufeff" + lines[0], "\ufeff" + strings.Join(lines[1:], "")},
		"joined with marks": {"\ufeff" + lines[0] + "\ufeff" + strings.Join(lines[1:], "")},
		"headers":           {csv[0] + csv[1], "\ufeff" + csv[0] + strings.Join(csv[2:], "")},
		"CSV, then JSON":    {csv[0] + csv[1], strings.Join(lines[1:], "")},
		"entries":           {`{"canonical_segment_id":"use_1","entries":[` + strings.Join(strings.Split(strings.TrimSpace(strings.Join(lines[:4], "")), "\n"), ",") + `]}` + "\n" + lines[4]},
		"entries as text":   {"canonical_segment_id,entries\nuse_1,\"[" + strings.ReplaceAll(strings.Join(strings.Split(strings.TrimSpace(strings.Join(lines[:4], "")), "\n"), ","), `"`, `""`) + "]\"\n", lines[4]},
		"an array":          {"[\n" + strings.Join(strings.Split(strings.TrimSpace(rowsJSON), "\n"), ",\n") + "\n]\n"},
		"arrays":            {"[" + lines[0] + "]", "[" + strings.Join(strings.Split(strings.TrimSpace(strings.Join(lines[1:], "")), "\n"), ",") + "]"},
	} {
		t.Run(name, func(t *testing.T) {
			paths := writeParts(t, contents...)
			f, err := profilessync.OpenFile(paths...)
			if err != nil {
				t.Fatal(err)
			}
			profiles := slices.Clone(rowProfiles)
			if name != "headers" { // an empty cell of CSV says nothing
				profiles[0].Removed = []string{"city"}
			}
			equal(t, collect(t, f.Profiles(t.Context(), everything, profilessync.Position{})), profiles)
			var after []profilessync.Position
			for p, err := range f.Profiles(t.Context(), everything, profilessync.Position{}) {
				if err != nil {
					t.Fatal(err)
				}
				after = append(after, p.Position)
			}
			for i, at := range after {
				if got, want := collect(t, f.Profiles(t.Context(), everything, at)), profiles[i+1:]; len(got)+len(want) > 0 {
					equal(t, got, want)
				}
			}
		})
	}
}

func TestChangedParts(t *testing.T) {
	const a, b, c = `{"segment_id":"a"}` + "\n", `{"segment_id":"b"}` + "\n" + `{"segment_id":"c"}` + "\n", `{"segment_id":"d"}` + "\n"
	paths := writeParts(t, a, b, c)
	f, err := profilessync.OpenFile(paths[:2]...)
	if err != nil {
		t.Fatal(err)
	}
	var at profilessync.Position // after b
	for p, err := range f.Profiles(t.Context(), everything, profilessync.Position{}) {
		if err != nil {
			t.Fatal(err)
		}
		if p.SegmentID == "b" {
			at = p.Position
		}
	}
	rest := func(paths ...string) (ids []string, err error) {
		f, err := profilessync.OpenFile(paths...)
		if err != nil {
			t.Fatal(err)
		}
		for p, err := range f.Profiles(t.Context(), everything, at) {
			if err != nil {
				return ids, err
			}
			ids = append(ids, p.SegmentID)
		}
		return ids, nil
	}
	refused := func(name string, paths ...string) {
		t.Helper()
		if ids, err := rest(paths...); !errors.Is(err, profilessync.ErrOtherFile) {
			t.Errorf("%s: %q, %v", name, ids, err)
		}
	}
	if ids, err := rest(paths...); err != nil || !slices.Equal(ids, []string{"c", "d"}) {
		t.Errorf("a new part after the position: %q, %v", ids, err)
	}
	moved := writeParts(t, a, b)
	if ids, err := rest(moved...); err != nil || !slices.Equal(ids, []string{"c"}) {
		t.Errorf("a folder that was moved: %q, %v", ids, err)
	}
	refused("the part is missing", paths[0], paths[2])
	refused("an earlier part is missing", paths[1], paths[2])
	refused("a new part before the position", moved[0], paths[0], paths[1])
	os.WriteFile(paths[1], []byte(strings.Replace(b, `"b"`, `"x"`, 1)), 0o600)
	refused("the part changed before the position", paths...)
	os.WriteFile(paths[1], []byte(b), 0o600)
	os.WriteFile(paths[0], []byte(a+"\n"), 0o600)
	refused("an earlier part changed", paths...)
	if _, err := profilessync.OpenFile(paths[0], write(t, rowsCSV)); err == nil || !strings.Contains(err.Error(), "form differs") {
		t.Errorf("profiles and rows: %v", err)
	}
}

// What is not read is recognized, with what helps.
func TestForeignFiles(t *testing.T) {
	tar := make([]byte, 512)
	copy(tar[257:], "ustar\x0000")
	for name, test := range map[string]struct{ content, text, hint string }{
		"parquet":       {"PAR1\x15\x04", "Parquet", "duckdb"},
		"avro":          {"Obj\x01\x04", "Avro", "avro-tools"},
		"xlsx":          {"PK\x03\x04\x14\x00\x06\x00[Content_Types].xml", "XLSX", "CSV UTF-8"},
		"zip":           {"PK\x03\x04\x14\x00\x06\x00rows.csv", "zip", "unzip -p FILE | segsync import --from -"},
		"tar":           {string(tar), "tar", "tar -xOf"},
		"tar.gz":        {compress(t, string(tar)), "tar", "tar -xOf"},
		"bzip2":         {"BZh91AY&SY", "bzip2", "bzip2 -dc"},
		"xz":            {"\xfd7zXZ\x00", "xz", "xz -dc"},
		"old Macintosh": {"user_id,plan\r42,pro\r", "end with carriage returns alone", `tr '\r' '\n'`},
		"UTF-16":        {"\xff\xfes\x00", "UTF-16", "iconv"},
		"identify":      {`{"type":"identify","userId":"42","traits":{"email":"ada@example.com"}}`, "identify call", "jq -c"},
		"flat":          {`{"user_id":"42","email":"ada@example.com"}`, "neither a profile", "jq -c"},
		"customers":     {"ID,Source ID,Email\ncust_1,42,ada@example.com\n", "export of customers from Voucherify", "plan --existing"},
		"another name":  {"User ID,plan\n42,pro\n", `"User ID" must be called user_id`, ""},
		"no identifier": {"name,plan\nAda,pro\n", "none of the columns", "IDENTIFIER_SAVED_AS_SOURCE_ID"},
		"two ids":       {"segment_id,Segment ID\na,b\n", "several columns for segment_id", ""},
		"two addresses": {"user_id,address,address.city\n1,a,b\n", "address and address.city", ""},
		"a name twice":  {"user_id,x,x\n1,a,b\n", `"x" twice`, ""},
		"separators":    {"a,b;c,d\n", "commas, semicolons or tabs", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := profilessync.OpenFile(write(t, test.content))
			if err == nil {
				err = f.CheckColumns(wideQuery)
			}
			var inFile *profilessync.FileError
			if !errors.As(err, &inFile) || !strings.Contains(err.Error(), test.text) || !strings.Contains(inFile.Hint, test.hint) || !inFile.Opening {
				t.Errorf("%v; hint %+v", err, inFile)
			}
		})
	}
}

var wideQuery = profilessync.Query{IdentifierTypes: []string{"user_id"}, Identity: []string{"user_id", "email"}, Traits: []string{"user_id", "email", "plan"},
	Members: [][]string{{"address", "city"}, {"address", "postalCode"}}}

func TestWideCSV(t *testing.T) {
	ada := profilessync.Profile{SegmentID: "user_id:42", ExternalIDs: []profilessync.ExternalID{{Type: "user_id", ID: "42"}},
		Traits: map[string]any{"user_id": "42", "email": "ada@example.com", "plan": "a;b", "address": map[string]any{"city": "London"}}}
	bob := profilessync.Profile{SegmentID: "email:bob@example.com", Traits: map[string]any{"email": "bob@example.com"}}
	nobody := profilessync.Profile{SegmentID: "profiles:4", Nameless: true, Traits: map[string]any{"plan": "pro"}}
	for name, content := range map[string]string{
		"commas":     "user_id,email,plan,address.city,unused\n42,ada@example.com,a;b,London,x\n,bob@example.com,,,\n,,pro,,\n",
		"semicolons": "\ufeffuser_id;email;plan;address.city;unused\n42;ada@example.com;\"a;b\";London;x\n;bob@example.com;;;\n;;pro;;\n",
		"tabs":       "user_id\temail\tplan\taddress.city\tunused\n42\tada@example.com\ta;b\tLondon\tx\n\tbob@example.com\t\t\t\n\t\tpro\t\t\n",
		"flattened":  "user_id,email,plan,address_city\n42,ada@example.com,a;b,London\n,bob@example.com,,\n,,pro,\n",
		"JSON":       "user_id,email,plan,address\n42,ada@example.com,a;b,\"{\"\"city\"\":\"\"London\"\"}\"\n,bob@example.com,,\n,,pro,\n",
	} {
		t.Run(name, func(t *testing.T) {
			equal(t, readFile(t, content, wideQuery), []profilessync.Profile{ada, bob, nobody})
		})
	}
	ada.SegmentID, bob.SegmentID = "use_1", "email:bob@example.com"
	equal(t, readFile(t, "Segment ID,user_id,email,plan,address.city\nuse_1,42,ada@example.com,a;b,London\n,,bob@example.com,,\n", wideQuery),
		[]profilessync.Profile{ada, bob})
	only := wideQuery
	only.Only = "user_id:42"
	equal(t, len(readFile(t, "user_id,email\n41,x\n42,y\n43,z\n", only)), 1)
	damaged := readFile(t, "user_id,email\n\xff,x\n42,\xff\n", wideQuery)
	equal(t, damaged, []profilessync.Profile{
		{SegmentID: "profiles:2", Nameless: true, ExternalIDs: damaged[0].ExternalIDs, Traits: map[string]any{"email": "x"}, Damaged: []string{"user_id"},
			Unreadable: "an external ID is not valid Unicode text"},
		{SegmentID: "user_id:42", ExternalIDs: []profilessync.ExternalID{{Type: "user_id", ID: "42"}}, Traits: map[string]any{"user_id": "42"}, Damaged: []string{"email"}},
	})
}

func TestAudienceCSV(t *testing.T) {
	want := []profilessync.Profile{
		{SegmentID: "use_1", ExternalIDs: []profilessync.ExternalID{{Type: "user_id", ID: "42"}}, Traits: map[string]any{"plan": "pro"}},
		{SegmentID: "use_2", Traits: map[string]any{}},
	}
	q := profilessync.Query{IdentifierTypes: []string{"user_id"}, Traits: []string{"plan"}}
	for name, content := range map[string]string{
		"lists":   "user_key,external_ids,traits\nuse_1,\"[{\"\"type\"\":\"\"user_id\"\",\"\"id\"\":\"\"42\"\"},{\"\"type\"\":\"\"email\"\",\"\"id\"\":\"\"a\"\"}]\",\"{\"\"plan\"\":\"\"pro\"\",\"\"x\"\":1}\"\nuse_2,,\n",
		"objects": "Key,External IDs,Traits\nuse_1,\"{\"\"user_id\"\":[\"\"42\"\"],\"\"email\"\":\"\"a\"\"}\",\"{\"\"plan\"\":\"\"pro\"\"}\"\nuse_2,{},{}\n",
	} {
		t.Run(name, func(t *testing.T) { equal(t, readFile(t, content, q), want) })
	}
	f := openFile(t, "key,external_ids\nuse_1,x\n")
	for _, err := range f.Profiles(t.Context(), q, profilessync.Position{}) {
		if err == nil || !strings.Contains(err.Error(), `line 2: external_ids: expected JSON`) {
			t.Error(err)
		}
	}
}

// A name that is not Unicode makes its profile unreadable; the rest goes on.
func TestDamagedNames(t *testing.T) {
	for name, content := range map[string]string{
		"CSV":  header + "use_1,trait,a\xff,x,1\nuse_1,trait,b,x,1\nuse_2,trait,b,y,1\n",
		"JSON": `{"canonical_segment_id":"use_1","kind":"trait","name":"\ud800","value":"x","seq":1}` + "\n" + `{"canonical_segment_id":"use_1","kind":"trait","name":"b","value":"x","seq":1}` + "\n" + `{"canonical_segment_id":"use_2","kind":"trait","name":"b","value":"y","seq":1}`,
	} {
		t.Run(name, func(t *testing.T) {
			equal(t, readFile(t, content, everything), []profilessync.Profile{
				{SegmentID: "use_1", Traits: map[string]any{"b": "x"}, Unreadable: "the name of a trait or of an external ID is not valid Unicode text"},
				{SegmentID: "use_2", Traits: map[string]any{"b": "y"}},
			})
		})
	}
}

// Members are found by the names that Segment's snake case gives them.
func TestSegmentCase(t *testing.T) {
	for member, column := range map[string]string{
		"postalCode": "address_postal_code", "postal code": "address_postal_code", "postal-code": "address_postal_code", "line1": "address_line1",
		"line-2": "address_line_2", "Straße": "address_stra_e", "ISOCode": "address_isocode", "2ndLine": "address_2nd_line", "city": "address_city",
	} {
		q := profilessync.Query{Traits: []string{}, Members: [][]string{{"address", member}}}
		got := readFile(t, header+"use_1,trait,"+column+",x,1\n", q)
		equal(t, got[0].Traits, map[string]any{"address": map[string]any{member: "x"}})
	}
}
