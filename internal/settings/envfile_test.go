package settings_test

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"segsync/internal/settings"
)

const maxFile = 64 << 10

// lineOf returns the line that an error of a file is about; 0 for no error.
func lineOf(err error) (line int) {
	if err != nil {
		_, after, _ := strings.Cut(err.Error(), ", line ")
		fmt.Sscan(after, &line)
	}
	return line
}

func TestFile(t *testing.T) {
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
		{"a quoted value of two lines", "A='1\n2'\nB=3\nA=4", nil, 4, "SEGMENT_SPACE_ID is set in line 1 already"},
		{"comments after values", "A=1 # one\nB='2' # it's two\n", values{a: "1", b: "2"}, 0, ""},
		{"a comment begins at the first #", "A=1 # one # two\nB=\"2\" # two # three\n", values{a: "1", b: "2"}, 0, ""},
		{"a # within quotes", "A='1 # one'\nB=\"2 # two\" # three\n", values{a: "1 # one", b: "2 # two"}, 0, ""},
		{"only a comment", "A= # note\nB=\t# note\nC=x\n", values{a: "", b: "", c: "x"}, 0, ""},
		{"a # without a space", "A=#1\nB=2#3\n", values{a: "#1", b: "2#3"}, 0, ""},
		{"a $ is a $", "A=a$b$1$$\nB=\"$A ${A}\"\nC=$A\n", values{a: "a$b$1$$", b: "$A ${A}", c: "$A"}, 0, ""},
		{"an escaped $", "A=a\\$B\nB=\"\\${C}\"\n", values{a: "a$B", b: "${C}"}, 0, ""},
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
		{"not UTF-8", "A=1\nB=\xff\n", nil, 2, "not UTF-8 text"},
		{"UTF-16", "\xff\xfeA\x00=\x001\x00", nil, 1, "the file is UTF-16, not"},
		{"UTF-16 without a mark", "A\x00=\x001\x00\n\x00", nil, 1, "the file is UTF-16, not"},
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
			file, err := readFile(t, letter.ReplaceAllStringFunc(test.file, func(match string) string {
				return strings.NewReplacer("A", a, "B", b, "C", c).Replace(match)
			}))
			if lineOf(err) != test.badLine {
				t.Errorf("%v, want an error in line %d", err, test.badLine)
			}
			if err != nil && (!strings.Contains(err.Error(), test.text) || hintOf(err) == "") {
				t.Errorf("%v (%q), want %q and a hint", err, hintOf(err), test.text)
			}
			if diff := cmp.Diff(test.want, file.Values()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A file takes time and memory in proportion to its size, wherever its mistake is.
func TestLargeFiles(t *testing.T) {
	fill := func(s string) string { return strings.Repeat(s, (maxFile-100)/len(s)) }
	for name, text := range map[string]string{
		"a bad line at the end":      fill("OTHER_SETTING='1'\n") + "words",
		"a quote open at the end":    fill("OTHER_SETTING='1'\n") + "PING_URL='",
		"quotes of many lines":       fill("A='\n'\n") + "words",
		"a name that never ends":     fill("N"),
		"a long unknown name":        "SEGMENT_" + fill("N") + "=1",
		"many unknown names":         fill("SEGMENU_X=\n") + "words",
		"only comments":              fill("#\n") + "words",
		"variables within variables": "SEGMENT_SPACE_ID=aaaaaaaaaa\n" + fill("PING_URL=${SEGMENT_SPACE_ID}${SEGMENT_SPACE_ID}\n"),
		"a long value of $":          "PING_URL=" + fill("$"),
		"too large":                  strings.Repeat("#", maxFile+1),
	} {
		began := time.Now()
		_, err := readFile(t, text)
		if took := time.Since(began); took > time.Minute { // in proportion to the square it would be many minutes
			t.Errorf("%s took %s", name, took)
		}
		if err == nil || len(err.Error()) > 400 {
			t.Errorf("%s: %.400v, want a short error", name, err)
		}
	}
	if _, err := os.Stat("/dev/zero"); err == nil {
		if _, err := settings.ReadFile("/dev/zero", true); err == nil {
			t.Error("/dev/zero was read to its end")
		}
	}
}

// brokenFiles are files of settings with mistakes. <T>, <A>, <K> and <W> stand for
// the secrets.
var brokenFiles = map[string]string{
	"line end lost before a secret":      "SEGMENT_RATE_LIMIT=50VOUCHERIFY_SECRET_KEY=<K>\n",
	"line end lost in an integer":        "SEGMENT_REQUEST_LIMIT=10SEGMENT_ACCESS_TOKEN='<T>'\n",
	"line end lost in the mapping":       "SEGSYNC_MAPPING=mapping.yamlVOUCHERIFY_SECRET_KEY=<K>\n",
	"line end lost in the space":         "SEGMENT_SPACE_ID=spa_xSEGMENT_ACCESS_TOKEN=<T>\n",
	"line end lost in the URL":           "VOUCHERIFY_API_URL=https://api.voucherify.ioVOUCHERIFY_SECRET_KEY=<K>\n",
	"line end lost in the identifier":    "IDENTIFIER_SAVED_AS_SOURCE_ID=user_idVOUCHERIFY_SECRET_KEY=<K>\n",
	"line end lost behind the name":      "VOUCHERIFY_SECRET_KEY\n<K>\n",
	"equals sign lost":                   "VOUCHERIFY_SECRET_KEY <K>\n",
	"equals sign lost, secret with ==":   "VOUCHERIFY_SECRET_KEY<K>==\n",
	"secret on a line of its own":        "SEGMENT_ACCESS_TOKEN=\n<T>\n",
	"secret as a name":                   "<T>=1\nSEGMENT_<T>=1\nVOUCHERIFY_SECRET_KEK=<K>\n",
	"YAML":                               "VOUCHERIFY_SECRET_KEY: <K>\n",
	"JSON":                               "{\"VOUCHERIFY_SECRET_KEY\": \"<K>\"}\n",
	"shell":                              "set -a; VOUCHERIFY_SECRET_KEY=<K>\n",
	"single quote not closed":            "SEGMENT_ACCESS_TOKEN='<T>\nVOUCHERIFY_SECRET_KEY=<K>\n",
	"double quote not closed":            "SEGMENT_ACCESS_TOKEN=\"<T>\nVOUCHERIFY_SECRET_KEY=<K>\n",
	"quote closed on the next line":      "SEGMENT_ACCESS_TOKEN='<T>\nVOUCHERIFY_SECRET_KEY='<K>'\n",
	"quote not closed before an integer": "SEGMENT_REQUEST_LIMIT='5\nVOUCHERIFY_SECRET_KEY=<K>\nSEGMENT_TRAITS_LIMIT='\n",
	"quote not closed in the mapping":    "SEGSYNC_MAPPING='m.yaml\nVOUCHERIFY_SECRET_KEY=<K>\nMETADATA_POLICY='\n",
	"secret in another by $":             "VOUCHERIFY_SECRET_KEY=<K>\nMETADATA_POLICY=\"$VOUCHERIFY_SECRET_KEY\"\n",
	"secret as another, too":             "VOUCHERIFY_SECRET_KEY=<K>\nSEGMENT_SPACE_ID=<K>\n",
	"secret within the mapping's name":   "VOUCHERIFY_SECRET_KEY=<K>\nSEGSYNC_MAPPING=<K>.yaml\n",
	"secret within the identifier":       "VOUCHERIFY_SECRET_KEY=<K>\nIDENTIFIER_SAVED_AS_SOURCE_ID=user_id,<K>\n",
	"token and space swapped":            "SEGMENT_ACCESS_TOKEN=spa_x\nSEGMENT_SPACE_ID=<T>\n",
	"secret instead of a number":         "SEGMENT_REQUEST_LIMIT=<K>\nSEGMENT_RATE_LIMIT=<T>\nVOUCHERIFY_BATCH_SIZE=<A>\nVOUCHERIFY_RESERVE=<K>\n",
	"secret instead of a choice":         "METADATA_POLICY=<K>\n",
	"secret instead of a URL":            "SEGMENT_API_URL=<T>\nVOUCHERIFY_API_URL=<K>\nNOTIFY_URL=<K>\nPING_URL=<A>\nSEGSYNC_WAREHOUSE_URL=<W>\n",
	"secret in a URL":                    "SEGMENT_API_URL=http://<T>@example.com\nVOUCHERIFY_API_URL=http://<K>.example.com/\nNOTIFY_URL=http://example.com/<K>\n",
	"secret in a URL that is none":       "SEGSYNC_WAREHOUSE_URL=postgres://u:<W>%zz@db.example.com:port/x\nPING_URL=https://exa mple.com/<K>\n",
	"secret with a space":                "SEGMENT_ACCESS_TOKEN='<T> <T>'\nVOUCHERIFY_SECRET_KEY=\"<K>\\n<K>\"\n",
	"secret with a path in the URL":      "VOUCHERIFY_API_URL=https://<K>.example.com/<T>\n",
	"secret in quotes of a page":         "VOUCHERIFY_SECRET_KEY=“<K>”\nSEGMENT_ACCESS_TOKEN=<T>”\n",
	"secret with special characters":     "SEGSYNC_WAREHOUSE_URL=postgres://u:<W>/x@h/db\n",
	"secret in UTF-16":                   "\xff\xfe<K>\x00\n",
	"secret twice":                       "VOUCHERIFY_SECRET_KEY=<K>\nVOUCHERIFY_SECRET_KEY=<T>\n",
	"secret in another encoding":         "VOUCHERIFY_SECRET_KEY=<K>\xff\n",
}

// Whatever is wrong with a file of settings, the error shows no secret.
func TestBrokenFilesShowNoSecret(t *testing.T) {
	secrets := strings.NewReplacer("<T>", "canaryToken", "<A>", "canary-App", "<K>", "canary-Key", "<W>", "canary-Word")
	for name, text := range brokenFiles {
		text = secrets.Replace(text)
		if !strings.Contains(text, "canary") {
			t.Fatalf("%s has no secret: %s", name, text)
		}
		file, err := readFile(t, text)
		if err == nil {
			set, missing := file.Values(), make(map[string]string) // of the required ones
			for name, value := range required {
				if set[name] == "" {
					missing[name] = value
				}
			}
			var environ []string
			for name, value := range missing {
				environ = append(environ, name+"="+value)
			}
			_, err = settings.Load(settings.Env{Environ: environ, File: file}, bothAPIs)
		}
		if err == nil {
			t.Errorf("%s: no error for\n%s", name, text)
		} else if strings.Contains(strings.ToLower(err.Error()+hintOf(err)), "canary") {
			t.Errorf("%s: the error shows a secret:\n%v\n%s", name, err, hintOf(err))
		}
	}
}

func FuzzFile(f *testing.F) {
	for _, s := range []string{
		"", "SEGMENT_SPACE_ID=1", "\ufeffPING_URL='1'\n", "PING_URL=\"1\n2\"\nB", "export SEGMENT_SPACE_ID=$B\n", "PING_URL='", "=", "PING_URL: 1\n#\n",
		"\r\n\x00=\xff", "PING_URL=\\$A\\", "METADATA_POLICY= # x",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := readFile(t, string(data))
		lines := 1 + bytes.Count(data, []byte("\n")) + bytes.Count(data, []byte("\r"))
		if line := lineOf(err); (err != nil) != (line > 0) || line > lines {
			t.Fatalf("line %d of %d: %v", line, lines, err)
		}
		for name, value := range file.Values() {
			if !slices.Contains(settings.Names(), name) || len(value) > len(data) {
				t.Fatalf("%q=%q", name, value)
			}
		}
	})
}
