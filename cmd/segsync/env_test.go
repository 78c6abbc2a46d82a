package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// parseEnv returns the settings of a .env file, or the number of its bad line.
func parseEnv(data []byte) (values map[string]string, badLine int) {
	parsed, mistake := parseEnvFile(data)
	if mistake != nil {
		return nil, mistake.line
	}
	values = make(map[string]string)
	for name, v := range parsed {
		values[name] = v.text
	}
	return values, 0
}

func TestParseEnv(t *testing.T) {
	t.Parallel()
	const a, b, c = "SEGMENT_SPACE_ID", "VOUCHERIFY_SECRET_KEY", "PING_URL"
	letter := regexp.MustCompile(`(^|[\r\n\t \x{feff}])[ABC] ?[=:]`)
	type values = map[string]string
	for _, test := range []struct {
		name, file string // A, B and C stand for settings
		want       values
		badLine    int
		text       string // part of the mistake
	}{
		{"nothing", "", values{}, 0, ""},
		{"comments and blank lines", "# A=1\n\n  # B=2\nC=3\n", values{c: "3"}, 0, ""},
		{"export", "export A=1\n \texport\tB = 2\n", values{a: "1", b: "2"}, 0, ""},
		{"byte order mark", "\ufeffA=1\n", values{a: "1"}, 0, ""},
		{"Windows line ends", "A=1\r\nB='2'\r\n", values{a: "1", b: "2"}, 0, ""},
		{"old Mac line ends", "A=1\rB=2\r", values{a: "1", b: "2"}, 0, ""},
		{"no line end", "A=1\nB='2'", values{a: "1", b: "2"}, 0, ""},
		{"empty values", "A=\nB=''\nC=3", values{a: "", b: "", c: "3"}, 0, ""},
		{"single quotes keep everything", "A='$B ${C} #\"c\\n'\n", values{a: `$B ${C} #"c\n`}, 0, ""},
		{"double quotes", "A=\"a b\\\"c\"\n", values{a: `a b"c`}, 0, ""},
		{"equals signs", "A=a==\nB=b=c#d", values{a: "a==", b: "b=c#d"}, 0, ""},
		{"comments after values", "A=1 # one\nB='2' # it's two\n", values{a: "1", b: "2"}, 0, ""},
		{"a quoted value of two lines", "A='1\n2'\nB=3\nA=4", nil, 4, "SEGMENT_SPACE_ID is set in line 1 already"},
		{"a $ that begins no variable", "A=a$\nB=b$c\nC=\"$-\"\n", values{a: "a$", b: "b$c", c: "$-"}, 0, ""},
		{"escaped $", "A=a\\$B\nB=\"\\${C}\"\n", values{a: "a$B", b: "${C}"}, 0, ""},
		{"names of other programs", "DB_URL=postgres://${DB_USER}@db\nDB_URL=\"$X\n$Y\"\nB=2\nKING=1\nIMG_URL=x\n", values{b: "2"}, 0, ""},

		{"words", "A=1\nB=2\njust words\nC=3\n", nil, 3, "not of the form NAME=value"},
		{"words and an equals sign", "A=1\njust words=2\n", nil, 2, "not of the form NAME=value"},
		{"no line end after words", "A=1\nwords", nil, 2, "not of the form"},
		{"open quote", "A=1\nB='2\nC=3\n", nil, 2, "the quote that opens here is not closed"},
		{"open quote before another", "A=1\nB='2\nC='3'\n", nil, 2, "something follows the quote"},
		{"a quote in a quoted value", "A='it's'\n", nil, 1, "something follows the quote"},
		{"a backslash before the closing quote", "A='1\\'\nB=2\n", nil, 1, "the quote that opens here is not closed"},
		{"no name", "A=1\n=2\n", nil, 2, "not of the form"},
		{"first line", "?\n", nil, 1, "not of the form"},
		{"YAML", "A=1\nB: 2\n", nil, 2, "a colon follows the name"},
		{"a variable", "A=1\nB=$A\n", nil, 2, "a $ outside single quotes"},
		{"a variable in braces", "A=1\nB=x${A}\n", nil, 2, "a $ outside single quotes"},
		{"a variable in double quotes", "A=1\n\nB=\"1\n$A\"\n", nil, 3, "a $ outside single quotes"},
		{"a digit after a $", "A=pa$1word\n", nil, 1, "a $ outside single quotes"},
		{"not UTF-8", "A=1\nB=\xff\n", nil, 2, "not UTF-8 text"},
		{"UTF-16", "\xff\xfeX\x00=\x001\x00", nil, 1, "not UTF-8 text"},
		{"after a value of two lines", "A=\"1\n2\" # x\n?\n", nil, 3, "not of the form"},

		{"a setting misspelled", "A=1\nIDENTIFIER_SAVE_AS_SOURCE_ID=email\n", nil, 2, "IDENTIFIER_SAVE_AS_SOURCE_ID is not a setting: did you mean IDENTIFIER_SAVED_AS_SOURCE_ID?"},
		{"a setting in lower case", "segment_rate_limit=1\n", nil, 1, "segment_rate_limit is not a setting: did you mean SEGMENT_RATE_LIMIT?"},
		{"a letter missing in the prefix", "VOUCHRIFY_RESERVE=1%\n", nil, 1, "did you mean VOUCHERIFY_RESERVE?"},
		{"one of ours shortened", "VOUCHERIFY_BATCH=1\n", nil, 1, "did you mean VOUCHERIFY_BATCH_SIZE?"},
		{"a short one", "PINGURL=https://example.com\n", nil, 1, "did you mean PING_URL?"},
		{"our prefix, like none of ours", "SEGSYNC_FOO=1\n", nil, 1, "SEGSYNC_FOO is not a setting"},
		{"a secret that ran into the name", "VOUCHERIFY_SECRET_KEYcanary=\n", nil, 1, "this name is not a setting"},
		{"a setting twice", "A=1\n\nA=1\n", nil, 3, "SEGMENT_SPACE_ID is set in line 1 already"},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := letter.ReplaceAllStringFunc(test.file, func(match string) string {
				return strings.NewReplacer("A", a, "B", b, "C", c).Replace(match)
			})
			got, badLine := parseEnv([]byte(file))
			if diff := cmp.Diff(test.want, got); diff != "" || badLine != test.badLine {
				t.Errorf("bad line %d, want %d; values (-want +got):\n%s", badLine, test.badLine, diff)
			}
			if _, mistake := parseEnvFile([]byte(file)); mistake != nil && (!strings.Contains(mistake.text, test.text) || mistake.hint == "") {
				t.Errorf("%q (%q), want %q and a hint", mistake.text, mistake.hint, test.text)
			}
		})
	}
}

// A file takes time and memory in proportion to its size, wherever its mistake is.
func TestLargeEnvFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), ".env")
	fill := func(s string) string { return strings.Repeat(s, (maxEnvFile-100)/len(s)) }
	for name, file := range map[string]string{
		"a bad line at the end":      fill("OTHER_SETTING='1'\n") + "words",
		"a quote open at the end":    fill("OTHER_SETTING='1'\n") + "PING_URL='",
		"quotes of many lines":       fill("A='\n'\n") + "words",
		"a name that never ends":     fill("N"),
		"a long unknown name":        "SEGMENT_" + fill("N") + "=1",
		"many unknown names":         fill("SEGMENU_X=\n") + "words",
		"only comments":              fill("#\n") + "words",
		"variables within variables": "SEGMENT_SPACE_ID=aaaaaaaaaa\n" + fill("PING_URL=${SEGMENT_SPACE_ID}${SEGMENT_SPACE_ID}\n"),
		"a long value of $":          "PING_URL=" + fill("$"),
		"too large":                  strings.Repeat("#", maxEnvFile+1),
	} {
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err := readEnvFile(path, true)
		if took := time.Since(began); took > patience { // in proportion to the square it would be many minutes
			t.Errorf("%s took %s", name, took)
		}
		if err == nil || len(err.Error()) > 300 {
			t.Errorf("%s: %.400v, want a short error", name, err)
		}
	}
	if _, err := os.Stat("/dev/zero"); err == nil {
		if _, err := readEnvFile("/dev/zero", true); err == nil {
			t.Error("/dev/zero was read to its end")
		}
	}
}

// Of an environment only what may be a mistake is spoken of.
func TestMisspelledIn(t *testing.T) {
	t.Parallel()
	got := misspelledIn([]string{
		"PATH=/bin", "SEGMENT_SPACE_ID=spa_x", "SEGMENT_WRITE_KEY=x", "METADATA_SERVER=x", "API_URL=x", "VOUCHERIFY_RESERV=",
		"VOUCHERIFY_RESREVE=canary", "identifier_saved_as_source_id=email", "SEGMENT_ACCESS_TOKENcanary=",
		"VOUCHERIFY_APP_ID=canary", "SEGMENT_TOKEN=canary", "SEGMENT_REGION=eu", "VOUCHERIFY_KEY=canary",
	})
	want := []settingWarning{
		{"SEGMENT_ACCESS_TOKEN", "SEGMENT_TOKEN in the environment is not a setting: did you mean SEGMENT_ACCESS_TOKEN?"},
		{"VOUCHERIFY_APPLICATION_ID", "VOUCHERIFY_APP_ID in the environment is not a setting: did you mean VOUCHERIFY_APPLICATION_ID?"},
		{"VOUCHERIFY_SECRET_KEY", "VOUCHERIFY_KEY in the environment is not a setting: did you mean VOUCHERIFY_SECRET_KEY?"},
		{"VOUCHERIFY_RESERVE", "VOUCHERIFY_RESREVE in the environment is not a setting: did you mean VOUCHERIFY_RESERVE?"},
		{"IDENTIFIER_SAVED_AS_SOURCE_ID", "identifier_saved_as_source_id in the environment is not a setting: did you mean IDENTIFIER_SAVED_AS_SOURCE_ID?"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(settingWarning{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func FuzzEnvFile(f *testing.F) {
	for _, s := range []string{
		"", "SEGMENT_SPACE_ID=1", "\ufeffPING_URL='1'\n", "PING_URL=\"1\n2\"\nB", "export SEGMENT_SPACE_ID=$B\n", "PING_URL='", "=", "PING_URL: 1\n#\n",
		"\r\n\x00=\xff", "PING_URL=\\$A\\", "METADATA_POLICY= # x",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		values, badLine := parseEnv(data)
		if (values == nil) == (badLine == 0) {
			t.Fatalf("values %q and bad line %d", values, badLine)
		}
		lines := 1 + bytes.Count(data, []byte("\n")) + bytes.Count(data, []byte("\r"))
		if badLine < 0 || badLine > lines {
			t.Fatalf("bad line %d of %d", badLine, lines)
		}
		for name, value := range values {
			if !slices.Contains(ownNames(), name) || len(value) > len(data) {
				t.Fatalf("%q=%q", name, value)
			}
		}
	})
}
