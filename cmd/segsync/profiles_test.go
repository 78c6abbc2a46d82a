package main

import (
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
		got, err := parseSince(s, now)
		if err != nil && want != "" || err == nil && got.Format(time.RFC3339) != want {
			t.Errorf("parseSince(%q) = %s, %v; want %q", s, got.Format(time.RFC3339), err, want)
		}
	}
}
