package safetext_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"segsync/internal/safetext"
)

func TestLineAndText(t *testing.T) {
	for _, c := range []struct {
		name, in, line, text string
	}{
		{"empty", "", "", ""},
		{"plain", "Zoë 🎈 日本 e\u0301", "Zoë 🎈 日本 e\u0301", "Zoë 🎈 日本 e\u0301"},
		{"quotes and backslashes stay", `say "a\b" 'c'`, `say "a\b" 'c'`, `say "a\b" 'c'`},
		{"line feeds", "a\nb\n", `a\nb\n`, "a\nb\n"},
		{"carriage return and tab", "a\r\n\tb", `a\r\n\tb`, "a\\r\n\\tb"},
		{"escape sequence", "\x1b]0;owned\a", `\x1b]0;owned\a`, `\x1b]0;owned\a`},
		{"NUL, DEL, C1", "\x00\x7f\u0085\u009b", `\x00\x7f\u0085\u009b`, `\x00\x7f\u0085\u009b`},
		{"bidirectional controls", "a\u202eb\u2066c\u200fd\u061c", `a\u202eb\u2066c\u200fd\u061c`, `a\u202eb\u2066c\u200fd\u061c`},
		{"zero width", "a\u200bb\u200dc\ufeffd\u00ad\u2060", `a\u200bb\u200dc\ufeffd\u00ad\u2060`, `a\u200bb\u200dc\ufeffd\u00ad\u2060`},
		{"separators and other spaces", "a\u2028b\u2029c\u00a0d\u3000", `a\u2028b\u2029c\u00a0d\u3000`, `a\u2028b\u2029c\u00a0d\u3000`},
		{"tag characters", "a\U000e0041", `a\U000e0041`, `a\U000e0041`},
		{"invalid UTF-8", "a\xffb\xc3\xed\xa0\x80", `a\xffb\xc3\xed\xa0\x80`, `a\xffb\xc3\xed\xa0\x80`},
		{"a replacement character that is there", "a\ufffdb", "a\ufffdb", "a\ufffdb"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := safetext.Line(c.in); got != c.line {
				t.Errorf("Line(%q) = %q, want %q", c.in, got, c.line)
			}
			if got := safetext.Text(c.in); got != c.text {
				t.Errorf("Text(%q) = %q, want %q", c.in, got, c.text)
			}
		})
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		in           string
		n            int
		runes, bytes string
	}{
		{"", 0, "", ""},
		{"a", 0, "…", "…"},
		{"abc", 3, "abc", "abc"},
		{"abcd", 3, "abc…", "abc…"},
		{"äöü", 3, "äöü", "ä…"},
		{"äöüß", 6, "äöüß", "äöü…"},
		{"a\nb", 3, `a\n…`, `a\n…`},
		{"ab\u202ecd", 7, `ab…`, `ab…`}, // not half an escape
		{"ab\u202ecd", 8, `ab\u202e…`, `ab\u202e…`},
	} {
		if got := safetext.Cut(c.in, c.n); got != c.runes {
			t.Errorf("Cut(%q, %d) = %q, want %q", c.in, c.n, got, c.runes)
		}
		if got := safetext.CutBytes(c.in, c.n); got != c.bytes {
			t.Errorf("CutBytes(%q, %d) = %q, want %q", c.in, c.n, got, c.bytes)
		}
	}
}

func TestJSON(t *testing.T) {
	for in, want := range map[string]string{
		`{"a":"Zoë 🎈"}`:            `{"a":"Zoë 🎈"}`,
		"{\n\t\"a\": 1\n}\n":       "{\n\t\"a\": 1\n}\n",
		"{\r\n\"a\": 1}":           "{ \n\"a\": 1}",
		"\"\u202e\u009b\x7f\"":     `"\u202e\u009b\u007f"`,
		"{\"\u200b\":\"\u2028\"}":  `{"\u200b":"\u2028"}`,
		"\"\U000e0041\U0010ffff\"": `"\udb40\udc41\udbff\udfff"`,
		"\"a\xff\"":                `"a\ufffd"`,
	} {
		if got := string(safetext.JSON([]byte(in))); got != want {
			t.Errorf("JSON(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestNothingToDoCostsNothing(t *testing.T) {
	s, data := strings.Repeat("Zoë 🎈 ", 10), []byte(`{"name":"Zoë 🎈"}`)
	if n := testing.AllocsPerRun(100, func() {
		safetext.Line(s)
		safetext.Text(s)
		safetext.JSON(data)
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func FuzzEscape(f *testing.F) {
	for _, seed := range []string{"", "a\nb", "\x1b[2J", "\u202e\xff\U000e0041", `"\u009b"`, "{\"a\":\r\n\"\u200b\"}"} {
		f.Add(seed, 3)
	}
	f.Fuzz(func(t *testing.T, s string, n int) {
		for name, got := range map[string]string{
			"Line": safetext.Line(s), "Text": strings.ReplaceAll(safetext.Text(s), "\n", ""), "Cut": safetext.Cut(s, n), "CutBytes": safetext.CutBytes(s, n),
		} {
			if i := strings.IndexFunc(got, func(c rune) bool { return !strconv.IsPrint(c) }); i >= 0 || !utf8.ValidString(got) {
				t.Errorf("%s(%q) = %q is not printable", name, s, got)
			}
		}
		if got := utf8.RuneCountInString(safetext.Cut(s, n)); got > max(n, 0)+1 {
			t.Errorf("Cut(%q, %d) has %d characters", s, n, got)
		}
		if !json.Valid([]byte(s)) {
			return
		}
		safe := safetext.JSON([]byte(s))
		var before, after any
		if json.Unmarshal([]byte(s), &before) != nil {
			return // such as a number out of range
		}
		if err := json.Unmarshal(safe, &after); err != nil || !reflect.DeepEqual(before, after) {
			t.Errorf("JSON(%q) = %q is another value: %v", s, safe, err)
		}
		printable := bytes.NewReader(bytes.ReplaceAll(bytes.ReplaceAll(safe, []byte("\n"), nil), []byte("\t"), nil))
		for printable.Len() > 0 {
			if c, _, _ := printable.ReadRune(); !strconv.IsPrint(c) {
				t.Errorf("JSON(%q) = %q is not printable", s, safe)
			}
		}
	})
}
