package app

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"segsync/segmentprofiles"
)

func TestParseProfiles(t *testing.T) {
	t.Parallel()
	id := segmentprofiles.SegmentID
	typed := func(idType, value string) segmentprofiles.Identifier {
		return segmentprofiles.Identifier{Type: idType, Value: value}
	}
	type ids = []segmentprofiles.Identifier
	for _, c := range []struct {
		name, file string
		want       ids
		err        string
	}{
		{"nothing", "", ids{}, ""},
		{"ids", "use_a\nuse_b", ids{id("use_a"), id("use_b")}, ""},
		{"Windows line ends", "\ufeffuse_a\r\nuse_b\r\n", ids{id("use_a"), id("use_b")}, ""},
		{"comments, blank lines and spaces", "# a\n\n  use_a \n#use_b\n \n", ids{id("use_a")}, ""},
		{"type and value", "user_id:42\nemail:ada+1@example.com\nx:a:b", ids{typed("user_id", "42"), typed("email", "ada+1@example.com"), typed("x", "a:b")}, ""},
		{"header of one column", "segment_id\nuse_a\n", ids{id("use_a")}, ""},
		{"CSV", "id,name\nuse_a,\"Ada\nLovelace\"\nuse_b,\n", ids{id("use_a"), id("use_b")}, ""},
		{"our report", "segment_id,source_id,reason,detail,async_action_id,request_id\nuse_a,1,r,\"a,\"\"b\"\"\",aa_1,v-1\n,,not_named,d,aa_1,v-1\n", ids{id("use_a")}, ""},
		{"guarded cell", "id,x\n'-a,\n'=,\n", nil, `line 3: "=" is neither`},
		{"Excel with semicolons", "\ufeffsegment_id;source_id;reason;detail\r\nuse_a;1;r;\"a, b; c\"\r\n\"email:x;y@example.com\";;r;\r\n'-b;;r;\r\n",
			ids{id("use_a"), typed("email", "x;y@example.com"), id("-b")}, ""},
		{"semicolons in values", "user_id:a;b\nuse_a\nemail:c;d\n", ids{typed("user_id", "a;b"), id("use_a"), typed("email", "c;d")}, ""},
		{"quoted cells", "\"segment_id\",\"x\"\n\"use_a\",\"'=1\"\n\"user_id:\"\"b\"\"\",\n", ids{id("use_a"), typed("user_id", `"b"`)}, ""},
		{"apostrophes", "user_id:'=x\n'-a\n", ids{typed("user_id", "'=x"), id("-a")}, ""},
		{"full-width forms", "id,x\n'＝1,\n", nil, `line 2: "＝1" is neither`},
		{"not UTF-8", "use_a\nuse_\xff\n", nil, "line 2: not UTF-8 text"},
		{"not UTF-8, in another column", "id,x\nuse_a,\xe4\n", nil, "line 2: not UTF-8 text"},
		{"UTF-16", "\xff\xfeu\x00", nil, "line 1: not UTF-8 text"},
		{"escapes", "a b\x1b[2J\u202e\u009b\n", nil, `line 1: "a b\x1b[2J\u202e\u009b" is neither`},
		{"words without end", "use_a\n" + strings.Repeat("a ", 1000), nil, `line 2: "` + strings.Repeat("a ", 50) + `" is neither`},
		{"a line without end", "use_a\n" + strings.Repeat("a", maxProfilesLine+1), nil, "line 2: longer than 1 MiB"},
		{"words", "use_a\n# b\nno id\n", nil, `line 3: "no id" is neither a segment id nor type:value, such as user_id:42`},
		{"no value", "user_id:\n", nil, `line 1: "user_id:" is neither`},
		{"no type", ":42\n", nil, `line 1: ":42" is neither`},
		{"after a cell of two lines", "id,x\nuse_a,\"1\n2\"\n?,\n", nil, `line 4: "?" is neither`},
		{"open quote", "id,x\n\"use_a,b\n", nil, `line 2: extraneous or missing " in quoted-field`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseProfiles([]byte(c.file))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("profiles (-want +got):\n%s", diff)
			}
			text := ""
			if err != nil {
				text = err.Error()
			}
			if len(text) < len(c.err) || text[:len(c.err)] != c.err || c.err == "" && text != "" {
				t.Errorf("error %q, want %q", text, c.err)
			}
		})
	}
}

// What a report says of an id, as it is written and as a spreadsheet saves it again, is
// read as that id.
func TestReportsReadBack(t *testing.T) {
	t.Parallel()
	want := []segmentprofiles.Identifier{
		segmentprofiles.SegmentID("use_a"), segmentprofiles.SegmentID("-b"), segmentprofiles.SegmentID("--c"),
		{Type: "user_id", Value: "=1+1"}, {Type: "user_id", Value: "a;b,c"}, {Type: "-x", Value: "'=1"},
		{Type: "email", Value: "\"ada\"@example.com"}, {Type: "user_id", Value: "＝1"}, {Type: "user_id", Value: "# Ω"},
	}
	guard := func(cell string) string {
		if strings.ContainsRune("=+-@\t\r＝＋－＠", []rune(cell)[0]) {
			return "'" + cell
		}
		return cell
	}
	quoted := func(cell string, always bool) string {
		if always || strings.ContainsAny(cell, ";,\"") {
			return `"` + strings.ReplaceAll(cell, `"`, `""`) + `"`
		}
		return cell
	}
	for _, separator := range []string{",", ";"} {
		for _, lineEnd := range []string{"\n", "\r\n"} {
			for _, mark := range []string{"", "\ufeff"} {
				for _, always := range []bool{false, true} {
					file := mark + strings.Join([]string{"segment_id", "source_id", "reason"}, separator) + lineEnd
					for _, id := range want {
						text := id.Value
						if id.Type != segmentprofiles.SegmentID("").Type {
							text = id.Type + ":" + id.Value
						}
						file += strings.Join([]string{quoted(guard(text), always), quoted("'=1", always), quoted("a;b", true)}, separator) + lineEnd
					}
					got, err := parseProfiles([]byte(file))
					if diff := cmp.Diff(want, got); diff != "" || err != nil {
						t.Errorf("%q: %v (-want +got):\n%s", file, err, diff)
					}
				}
			}
		}
	}
}

func FuzzProfiles(f *testing.F) {
	for _, s := range []string{"", "use_a\n", "a,b\n'=c,\"d\n", "\ufeff#\r\nx:y\n", "\"\n", "segment_id\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		ids, err := parseProfiles(data)
		if (ids == nil) != (err != nil) {
			t.Fatalf("profiles %v and error %v", ids, err)
		}
		for _, id := range ids {
			if id.Type == "" || id.Value == "" {
				t.Fatalf("profile %+v", id)
			}
		}
	})
}

func TestParseSince(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for s, want := range map[string]string{
		"24h":                       "2026-11-19T12:00:00Z",
		"90m":                       "2026-11-20T10:30:00Z",
		"7d":                        "2026-11-13T12:00:00Z",
		"2026-11-19":                "2026-11-19T00:00:00Z",
		"2026-11-19T01:00:00+02:00": "2026-11-18T23:00:00Z",
		"2026-11-20T12:00:00Z":      "2026-11-20T12:00:00Z",
		"2026-11-20T12:00:01Z":      "",
		"0h":                        "",
		"-1h":                       "",
		"d":                         "",
		"1.5d":                      "",
		"7 d":                       "",
		"last week":                 "",
	} {
		got, err := ParseSince(s, now)
		if err != nil && want != "" || err == nil && got.Format(time.RFC3339) != want {
			t.Errorf("ParseSince(%q) = %s, %v; want %q", s, got.Format(time.RFC3339), err, want)
		}
	}
}
