package main

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// required are the settings without which nothing is imported.
var required = map[string]string{
	"SEGMENT_ACCESS_TOKEN": "token", "SEGMENT_SPACE_ID": "spa_x",
	"VOUCHERIFY_APPLICATION_ID": "app", "VOUCHERIFY_SECRET_KEY": "key",
}

// lookupOf returns a lookup in the required settings and others.
func lookupOf(others map[string]string) func(string) string {
	all := maps.Clone(required)
	maps.Copy(all, others)
	return func(name string) string { return all[name] }
}

func TestEachCommandNeedsItsOwnCredentials(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		of   []needs
		want []string // what is missing
	}{
		{nil, []string{"SEGMENT_ACCESS_TOKEN", "SEGMENT_SPACE_ID", "VOUCHERIFY_APPLICATION_ID", "VOUCHERIFY_SECRET_KEY"}},
		{[]needs{{}}, nil},
		{[]needs{{segment: true}}, []string{"SEGMENT_ACCESS_TOKEN", "SEGMENT_SPACE_ID"}},
		{[]needs{{voucherify: true, warehouse: true}},
			[]string{"VOUCHERIFY_APPLICATION_ID", "VOUCHERIFY_SECRET_KEY", "SEGSYNC_WAREHOUSE_URL", "SEGSYNC_WAREHOUSE_SCHEMA"}},
	} {
		s, err := loadSettings(func(string) string { return "" }, c.of...)
		var missing []string
		if err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if name, _, found := strings.Cut(line, " is missing: see "); found {
					missing = append(missing, name)
				}
			}
		}
		if diff := cmp.Diff(c.want, missing); diff != "" || (err == nil) != (c.want == nil) {
			t.Errorf("needs %+v: %v (-want +got):\n%s", c.of, err, diff)
		}
		if s.segmentURL == nil || s.pageSize != 100 {
			t.Errorf("needs %+v: the other settings have no defaults: %+v", c.of, s)
		}
	}
}

func TestSettingsAsTheyAreRead(t *testing.T) {
	t.Parallel()
	s, err := loadSettings(lookupOf(map[string]string{
		"SEGMENT_API_URL": "http://LOCALHOST:8080/", "VOUCHERIFY_BATCH_SIZE": "max", "VOUCHERIFY_RESERVE": "7.5%",
		"SEGSYNC_WAREHOUSE_URL": "postgres://ada:p%40ss%2Fword@db.example.com/profiles", "SEGSYNC_WAREHOUSE_SCHEMA": "profiles eu",
		"NOTIFY_URL": "HTTPS://hooks.example.com/T0/secret?key=x", "PING_URL": "http://127.0.0.1:8000/",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.segmentURL.Port(); got != "8080" || s.batchSize != maxBatchSize || s.reserve != 0.075 || s.warehouse.schema != "profiles eu" {
		t.Errorf("settings %+v", s)
	}
	want := []string{
		"token", "key", "app", "postgres://ada:p%40ss%2Fword@db.example.com/profiles", "p@ss/word",
		"https://hooks.example.com/T0/secret?key=x", "/T0/secret?key=x", "http://127.0.0.1:8000/",
	}
	for _, secret := range want {
		if !slices.Contains(s.secrets(), secret) {
			t.Errorf("%q is not among the secrets %q", secret, s.secrets())
		}
	}
	if slices.Contains(s.secrets(), "") || slices.Contains(s.secrets(), "/") {
		t.Errorf("the secrets %q have what stands everywhere", s.secrets())
	}
	for name, values := range map[string][]string{
		"NOTIFY_URL":               {"http://example.com/", "https://", "https:/x", "https://u@example.com", "ftp://127.0.0.1", "x", "https://example.com/#x"},
		"SEGSYNC_WAREHOUSE_URL":    {"https://example.com", "db.example.com", "postgres://a b", "postgres:x", "host=x password=y"},
		"SEGSYNC_WAREHOUSE_SCHEMA": {"a\nb"},
		"VOUCHERIFY_BATCH_SIZE":    {"MAX", "100,000", "0", "100001", "1e3", "99999999999999999999"},
		"VOUCHERIFY_RESERVE":       {"0.2", "100", "-0.1%", "Inf"},
	} {
		for _, v := range values {
			_, err := loadSettings(lookupOf(map[string]string{name: v}))
			if err == nil || !strings.Contains(err.Error(), "\n"+name+" must be ") {
				t.Errorf("%s=%q: %v", name, v, err)
			}
		}
	}
}

// Not parallel: it sets the environment.
func TestSettingsAreShownWithTheirOrigin(t *testing.T) {
	for _, name := range ownNames() {
		t.Setenv(name, "")
	}
	path := filepath.Join(t.TempDir(), ".env")
	text := "# settings\nSEGMENT_ACCESS_TOKEN='canary1'\n\nSEGMENT_SPACE_ID=spa_x\nSEGMENT_REQUEST_LIMIT=7\nSEGSYNC_WAREHOUSE_URL=postgres://canary2@db.example.com/x\nPING_URL=https://example.com/canary4\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SEGMENT_REQUEST_LIMIT", "8")
	t.Setenv("VOUCHERIFY_SECRET_KEY", "canary3")
	file, err := readEnvFile(path, true)
	if err != nil {
		t.Fatal(err)
	}
	s, err := loadSettings(lookupIn(file), needs{segment: true})
	if err != nil {
		t.Fatal(err)
	}
	s.origin = originIn(file)
	want := []shownSetting{
		{"SEGMENT_ACCESS_TOKEN", "set", path + ", line 2"},
		{"SEGMENT_SPACE_ID", "spa_x", path + ", line 4"},
		{"SEGMENT_API_URL", "https://profiles.segment.com", "default"},
		{"SEGMENT_RATE_LIMIT", "100", "default"},
		{"SEGMENT_REQUEST_LIMIT", "8", "environment"},
		{"SEGMENT_TRAITS_LIMIT", "200", "default"},
		{"VOUCHERIFY_APPLICATION_ID", "not set", "default"},
		{"VOUCHERIFY_SECRET_KEY", "set", "environment"},
		{"VOUCHERIFY_API_URL", "https://api.voucherify.io", "default"},
		{"VOUCHERIFY_BATCH_SIZE", "100", "default"},
		{"VOUCHERIFY_RESERVE", "20%", "default"},
		{"METADATA_POLICY", "", "default"},
		{"IDENTIFIER_SAVED_AS_SOURCE_ID", "user_id", "default"},
		{"SEGSYNC_MAPPING", "", "default"},
		{"SEGSYNC_WAREHOUSE_URL", "set", path + ", line 6"},
		{"SEGSYNC_WAREHOUSE_SCHEMA", "", "default"},
		{"NOTIFY_URL", "not set", "default"},
		{"PING_URL", "set", path + ", line 7"},
	}
	if diff := cmp.Diff(want, s.shown()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A misspelled name in the environment is a warning.
func TestSettingsWarnOfTheEnvironment(t *testing.T) {
	t.Setenv("IDENTIFIER_SAVE_AS_SOURCE_ID", "email")
	for name, load := range map[string]func() (*settings, error){
		"loadSettings":        func() (*settings, error) { return loadSettings(lookupOf(nil)) },
		"loadOfflineSettings": func() (*settings, error) { return loadOfflineSettings(lookupOf(nil)) },
	} {
		s, err := load()
		if err != nil || !slices.Contains(s.warnings, settingWarning{"IDENTIFIER_SAVED_AS_SOURCE_ID",
			"IDENTIFIER_SAVE_AS_SOURCE_ID in the environment is not a setting: did you mean IDENTIFIER_SAVED_AS_SOURCE_ID?"}) {
			t.Errorf("%s: %v, warnings %q", name, err, s.warnings)
		}
	}
}

// brokenEnvFiles are files of settings with mistakes. <T>, <A>, <K> and <W> stand for
// the secrets.
var brokenEnvFiles = map[string]string{
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
	"secret in another by ${}":           "VOUCHERIFY_SECRET_KEY=<K>\nSEGMENT_SPACE_ID=${VOUCHERIFY_SECRET_KEY}\n",
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
	"secret twice":                       "VOUCHERIFY_SECRET_KEY=<K>\nVOUCHERIFY_SECRET_KEY=<T>\n",
	"secret in another encoding":         "VOUCHERIFY_SECRET_KEY=<K>\xff\n",
}

// Whatever is wrong with a file of settings, the error shows no secret.
func TestBrokenEnvFilesShowNoSecret(t *testing.T) {
	t.Parallel()
	secrets := strings.NewReplacer("<T>", "canaryToken", "<A>", "canary-App", "<K>", "canary-Key", "<W>", "canary-Word")
	path := filepath.Join(t.TempDir(), ".env")
	for name, file := range brokenEnvFiles {
		file = secrets.Replace(file)
		if !strings.Contains(file, "canary") {
			t.Fatalf("%s has no secret: %s", name, file)
		}
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		values, err := readEnvFile(path, true)
		if err == nil {
			lookup := func(name string) string {
				if v := values.value(name).text; v != "" {
					return v
				}
				return required[name]
			}
			_, err = loadSettings(lookup)
		}
		if err == nil {
			t.Errorf("%s: no error for\n%s", name, file)
			continue
		}
		text := err.Error()
		if h := (*hinted)(nil); errors.As(err, &h) {
			text += h.Hint()
		}
		if strings.Contains(strings.ToLower(text), "canary") {
			t.Errorf("%s: the error shows a secret:\n%s", name, text)
		}
	}
}
