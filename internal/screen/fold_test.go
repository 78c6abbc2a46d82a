package screen_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rivo/uniseg"

	"segsync/internal/screen"
)

func TestFold(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text          string
		indent, width int
		want          string
	}{
		"it fits":             {"  two  words", 4, 12, "  two  words"},
		"any width":           {strings.Repeat("word ", 100), 4, 0, strings.Repeat("word ", 100)},
		"between words":       {"✓ settings  complete; source_id from user_id, batches of 100", 12, 40, "✓ settings  complete; source_id from\n            user_id, batches of 100"},
		"paragraphs":          {"the mapping has mistakes:\n  line 1: it is not there", 4, 16, "the mapping has\n    mistakes:\n  line 1: it is\n    not there"},
		"narrow":              {"✓ settings     complete; source_id from user_id", 15, 20, "✓ settings\n    complete;\n    source_id from\n    user_id"},
		"a long word":         {"in /srv/segsync/spaces/not-imported.csv", 4, 20, "in\n    /srv/segsync/spa\n    ces/not-imported\n    .csv"},
		"a word of one line":  {"abcdefghij", 0, 5, "abcde\nfghij"},
		"a command":           {"hint: segsync import --resume continues it", 6, 20, "hint:\n    segsync import --resume\n    continues it"},
		"two commands":        {"segsync check --sample 5 or segsync plan", 0, 12, "segsync check --sample\n5 or\nsegsync plan"},
		"the name of it":      {"a bug in segsync", 0, 10, "a bug in\nsegsync"},
		"wide characters":     {"顧客データ", 0, 3, "顧\n客\nデ\nー\nタ"},
		"wider than the line": {"顧客", 0, 1, "顧客"},
		"an indent only":      {"            word", 0, 8, "    word"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, strings.Join(screen.Fold(test.text, test.indent, test.width), "\n")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

var (
	listHead = []string{"setting", "value", "from"}
	listRows = [][]string{
		{"SEGMENT_SPACE_ID", "spa_x", "environment"},
		{"SEGSYNC_MAPPING", "", "default"},
		{"VOUCHERIFY_API_URL", "https://api.voucherify.io", ".env of the project, line 12"},
	}
)

func TestAListIsNeverWiderThanTheTerminal(t *testing.T) {
	t.Parallel()
	for width := 8; width <= 120; width++ {
		var out bytes.Buffer
		if err := screen.List(&out, width, 2, listHead, listRows); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if w := uniseg.StringWidth(strings.TrimSuffix(line, "\n")); w > width {
				t.Errorf("%d columns: this line has %d: %s", width, w, line)
			}
		}
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		width int
		want  string
	}{
		"any width": {0, `
  setting             value                      from
  SEGMENT_SPACE_ID    spa_x                      environment
  SEGSYNC_MAPPING                                default
  VOUCHERIFY_API_URL  https://api.voucherify.io  .env of the project, line 12
`},
		"the last cell is folded": {76, `
  setting             value                      from
  SEGMENT_SPACE_ID    spa_x                      environment
  SEGSYNC_MAPPING                                default
  VOUCHERIFY_API_URL  https://api.voucherify.io  .env of the project, line
                                                 12
`},
		"too narrow for columns": {60, `
  setting
    value  from
  SEGMENT_SPACE_ID
    spa_x  environment
  SEGSYNC_MAPPING
    default
  VOUCHERIFY_API_URL
    https://api.voucherify.io  .env of the project, line 12
`},
		"narrower": {24, `
  setting
    value  from
  SEGMENT_SPACE_ID
    spa_x  environment
  SEGSYNC_MAPPING
    default
  VOUCHERIFY_API_URL
    https://api.voucheri
    fy.io  .env of the
    project, line 12
`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if err := screen.List(&out, test.width, 2, listHead, listRows); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, "\n"+out.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzFold(f *testing.F) {
	f.Add("two  words, and 顧客 segsync import --resume", 4, 12)
	f.Add("  \t\n x", 90, 1)
	f.Fuzz(func(t *testing.T, text string, indent, width int) {
		indent, width = indent&127, width&127
		without := func(text string) string { return strings.Join(strings.Fields(text), "") }
		lines := screen.Fold(text, indent, width)
		if got := without(strings.Join(lines, "\n")); got != without(text) {
			t.Errorf("%q was lost of %q", got, text)
		}
		if width < 2 || strings.Contains(text, "segsync") || strings.IndexFunc(text, func(r rune) bool { return r > '~' }) >= 0 {
			return // one column does not hold a wide character, and a command may be wider
		}
		for _, line := range lines {
			if uniseg.StringWidth(line) > width {
				t.Errorf("%d columns: a line has %d: %q", width, uniseg.StringWidth(line), line)
			}
		}
	})
}
