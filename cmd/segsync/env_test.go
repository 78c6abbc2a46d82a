package main

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseEnv(t *testing.T) {
	for _, c := range []struct {
		name, file string
		want       map[string]string
		badLine    int
	}{
		{"nothing", "", map[string]string{}, 0},
		{"comments and blank lines", "# A=1\n\n  # B=2\nC=3\n", map[string]string{"C": "3"}, 0},
		{"export", "export A=1\n", map[string]string{"A": "1"}, 0},
		{"byte order mark", "\ufeffA=1\n", map[string]string{"A": "1"}, 0},
		{"Windows line ends", "A=1\r\nB='2'\r\n", map[string]string{"A": "1", "B": "2"}, 0},
		{"single quotes keep everything", "A='$B #\"c\\n'\n", map[string]string{"A": `$B #"c\n`}, 0},
		{"comment after a value", "A=1 # one\n", map[string]string{"A": "1"}, 0},
		{"a quoted value of two lines", "A='1\n2'\nB=3\n", map[string]string{"A": "1\n2", "B": "3"}, 0},
		{"words", "A=1\nB=2\njust words\nC=3\n", nil, 3},
		{"no line end", "A=1\nwords", nil, 2},
		{"open quote", "A=1\nB='2\nC=3\n", nil, 2},
		{"no name", "A=1\n=2\n", nil, 2},
		{"first line", "?\n", nil, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			values, badLine := parseEnv([]byte(c.file))
			if diff := cmp.Diff(c.want, values); diff != "" || badLine != c.badLine {
				t.Errorf("bad line %d, want %d; values (-want +got):\n%s", badLine, c.badLine, diff)
			}
		})
	}
}

func FuzzEnvFile(f *testing.F) {
	for _, s := range []string{"", "A=1", "\ufeffA='1'\n", "A=\"1\n2\"\nB", "export A=$B\n", "A='", "=", "A: 1\n#\n", "\r\n\x00=\xff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		values, badLine := parseEnv(data)
		if (values == nil) == (badLine == 0) {
			t.Fatalf("values %q and bad line %d", values, badLine)
		}
		if lines := bytes.Count(data, []byte("\n")) + 1; badLine < 0 || badLine > lines {
			t.Fatalf("bad line %d of %d", badLine, lines)
		}
	})
}
