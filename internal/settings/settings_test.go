package settings_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"segsync/internal/settings"
)

var (
	required = map[string]string{
		"SEGMENT_ACCESS_TOKEN": "token", "SEGMENT_SPACE_ID": "spa_x",
		"VOUCHERIFY_APPLICATION_ID": "app", "VOUCHERIFY_SECRET_KEY": "key",
	}
	bothAPIs = settings.Needs{Segment: true, Voucherify: true}
)

// environ returns an environment with the required settings and others.
func environ(others map[string]string) (all []string) {
	values := maps.Clone(required)
	maps.Copy(values, others)
	for name, value := range values {
		all = append(all, name+"="+value)
	}
	return all
}

// readFile reads a .env file with this text.
func readFile(t *testing.T, text string) (*settings.File, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), ".env")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return settings.ReadFile(path, true)
}

func hintOf(err error) string {
	if withHint, ok := errors.AsType[*settings.Error](err); ok {
		return withHint.Hint()
	}
	return ""
}

func TestEachCommandNeedsItsOwnCredentials(t *testing.T) {
	segment, vch := []string{"SEGMENT_ACCESS_TOKEN", "SEGMENT_SPACE_ID"}, []string{"VOUCHERIFY_APPLICATION_ID", "VOUCHERIFY_SECRET_KEY"}
	for _, c := range []struct {
		need settings.Needs
		want []string // what is missing
	}{
		{settings.Needs{}, nil},
		{settings.Source{}.Needs(false), segment},
		{settings.Source{}.Needs(true), slices.Concat(segment, vch)},
		{settings.Source{Kind: settings.FromStdin}.Needs(true), vch},
		{settings.Source{Kind: settings.FromWarehouse}.Needs(true), slices.Concat(vch, []string{"SEGSYNC_WAREHOUSE_URL", "SEGSYNC_WAREHOUSE_SCHEMA"})},
	} {
		s, err := settings.Load(settings.Env{}, c.need)
		var missing []string
		if err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if name, _, found := strings.Cut(line, " is missing: see "); found {
					missing = append(missing, name)
				}
			}
		}
		if diff := cmp.Diff(c.want, missing); diff != "" || (err == nil) != (c.want == nil) {
			t.Errorf("needs %+v: %v (-want +got):\n%s", c.need, err, diff)
		}
		if s.Segment.URL == nil || s.Segment.PageSize != 100 {
			t.Errorf("needs %+v: the other settings have no defaults: %+v", c.need, s)
		}
	}
}

// The hint says what was read, and speaks of the sandbox only where everything is missing.
func TestHintNamesTheFile(t *testing.T) {
	t.Chdir(t.TempDir())
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	const sandbox = "segsync import --sandbox needs none"
	for _, c := range []struct {
		name, file  string // "" for no file
		environ     []string
		want        string
		wantSandbox bool
	}{
		{"no file", "", nil, "there is no file .env in " + dir + "; ", true},
		{"no file, a token", "", []string{"SEGMENT_ACCESS_TOKEN=x"}, "there is no file .env in " + dir + "; ", false},
		{"empty file", "# nothing\n", nil, dir + "/.env has no settings; ", true},
		{"the example as it is", "SEGMENT_ACCESS_TOKEN=\nVOUCHERIFY_RESERVE=20%\n", nil, "the settings were read from " + dir + "/.env and the environment; ", true},
		{"file with a token", "SEGMENT_ACCESS_TOKEN=x\n", nil, "the settings were read from " + dir + "/.env and the environment; ", false},
	} {
		os.Remove(".env")
		if c.file != "" {
			if err := os.WriteFile(".env", []byte(c.file), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		file, err := settings.ReadFile(".env", false)
		if err != nil {
			t.Fatal(err)
		}
		_, err = settings.Load(settings.Env{File: file, Environ: c.environ}, bothAPIs)
		hint := filepath.ToSlash(hintOf(err))
		if !strings.HasPrefix(hint, filepath.ToSlash(c.want)) || strings.Contains(hint, sandbox) != c.wantSandbox {
			t.Errorf("%s: hint %q, want %q, with the sandbox: %v", c.name, hint, c.want, c.wantSandbox)
		}
	}
}

func TestValues(t *testing.T) {
	s, err := settings.Load(settings.Env{Environ: environ(map[string]string{
		"SEGMENT_API_URL": "http://LOCALHOST:8080/", "VOUCHERIFY_BATCH_SIZE": "max", "VOUCHERIFY_RESERVE": "7.5%",
		"SEGSYNC_WAREHOUSE_URL": "postgres://ada:p%40ss%2Fword@db.example.com/profiles", "SEGSYNC_WAREHOUSE_SCHEMA": "profiles eu",
		"NOTIFY_URL": "HTTPS://hooks.example.com/T0/secret?key=x", "PING_URL": "http://127.0.0.1:8000/",
	})}, bothAPIs)
	if err != nil {
		t.Fatal(err)
	}
	got := []any{s.Segment.URL.String(), s.Voucherify.BatchSize, s.Voucherify.Reserve, s.Warehouse.Schema}
	if diff := cmp.Diff([]any{"http://localhost:8080", settings.MaxBatchSize, 0.075, "profiles eu"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	secrets := []string{ // no "/", which is everywhere
		"token", "app", "key", "postgres://ada:p%40ss%2Fword@db.example.com/profiles", "p@ss/word",
		"https://hooks.example.com/T0/secret?key=x", "/T0/secret?key=x", "http://127.0.0.1:8000/",
	}
	if diff := cmp.Diff(secrets, s.Secrets()); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
}

func TestWrongValues(t *testing.T) {
	const encode = "special characters in the user name and the password must be percent-encoded: %23 for #, %25 for %, %2F for /"
	for _, c := range []struct {
		name, want string // the text after the name
		values     []string
	}{
		{"SEGMENT_ACCESS_TOKEN", "must be a token without spaces: see Unify", []string{"a b", "é", "x\u00a0y"}},
		{"SEGMENT_ACCESS_TOKEN", "contains “ ” quotation marks", []string{"“token”", "‘token’", "token”", "„token“", "«token»"}},
		{"SEGSYNC_MAPPING", "contains “ ” quotation marks", []string{"“mapping.yaml”"}},
		{"VOUCHERIFY_SECRET_KEY", "is in quotes", []string{`"key"`, `'key'`}},
		{"SEGMENT_API_URL", "has a path: leave out what follows the host (default: https://profiles.segment.com)",
			[]string{"https://profiles.segment.com/v1/spaces", "https://profiles.segment.com/v1/", "https://example.com/proxy"}},
		{"VOUCHERIFY_API_URL", "has a path", []string{"https://api.voucherify.io/v1"}},
		{"VOUCHERIFY_API_URL", "must be an https:// URL without user", []string{"api.voucherify.io", "http://api.voucherify.io", "https://u@api.voucherify.io", "https://api.voucherify.io?x"}},
		{"NOTIFY_URL", "must be an https:// URL", []string{"http://example.com/", "https://", "https:/x", "https://u@example.com", "ftp://127.0.0.1", "x", "https://example.com/#x"}},
		{"SEGSYNC_WAREHOUSE_URL", "does not begin with postgres:// or redshift://", []string{"https://example.com", "db.example.com", "postgres:x", "host=x password=y"}},
		{"SEGSYNC_WAREHOUSE_URL", encode, []string{
			"postgres://u:pa%ss@h/db", "postgres://u:pa/ss@h/db", "postgres://u:12/34@h/db", "redshift://u:pa#ss@h/db", "redshift://u:12#34@h/db", "redshift://u:pa%ss@h/db", "redshift://u:pa/ss@h/db"}},
		{"SEGSYNC_WAREHOUSE_URL", "sslmode is invalid", []string{"postgres://u@h/db?sslmode=x"}},
		{"SEGSYNC_WAREHOUSE_SCHEMA", "must be the name of a schema", []string{"a\tb"}},
		{"SEGMENT_REQUEST_LIMIT", "must be a whole number from 1 to 100 (default: 100)", []string{"0", "101", "1.5", "ten"}},
		{"SEGMENT_RATE_LIMIT", "must be a number of requests per second above 0", []string{"0", "-1", "NaN", "fast"}},
		{"VOUCHERIFY_BATCH_SIZE", "must be a whole number from 1 to 100,000", []string{"MAX", "100,000", "0", "100001", "1e3", "99999999999999999999"}},
		{"VOUCHERIFY_RESERVE", "must be a percentage", []string{"0.2", "100", "-0.1%", "Inf", "NaN"}},
		{"METADATA_POLICY", "must be fit, strict or as-is (default: fit)", []string{"Strict", "asis"}},
		{"IDENTIFIER_SAVED_AS_SOURCE_ID", "must be types of external IDs or traits", []string{"user id", "user_id,user_id", "trait:"}},
	} {
		for _, v := range c.values {
			_, err := settings.Load(settings.Env{Environ: environ(map[string]string{c.name: v})}, bothAPIs)
			if err == nil || !strings.Contains(err.Error(), "\n"+c.name+" ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s=%q: %v, want %q", c.name, v, err, c.want)
			}
		}
	}
}

func TestMetadataPolicy(t *testing.T) {
	for text, want := range map[string]settings.MetadataPolicy{
		"": settings.Fit, "fit": settings.Fit, "strict": settings.Strict, "strict-to-schema": settings.Strict, "as-is": settings.AsIs,
	} {
		s, err := settings.Load(settings.Env{Environ: []string{"METADATA_POLICY=" + text}}, settings.Needs{})
		if err != nil || s.Voucherify.Policy != want {
			t.Errorf("%q: %v, %v", text, s.Voucherify.Policy, err)
		}
	}
}

func TestList(t *testing.T) {
	file, err := readFile(t, "# settings\nSEGMENT_ACCESS_TOKEN='canary1'\n\nSEGMENT_SPACE_ID=spa_x\nSEGMENT_REQUEST_LIMIT=7\n"+
		"SEGSYNC_WAREHOUSE_URL=postgres://canary2@db.example.com/x\nPING_URL=https://example.com/canary4\nVOUCHERIFY_API_URL=https://example.com\n")
	if err != nil {
		t.Fatal(err)
	}
	env := settings.Env{
		Sandbox: map[string]string{"VOUCHERIFY_API_URL": "http://127.0.0.1:1"},
		Environ: []string{"SEGMENT_REQUEST_LIMIT=8", "VOUCHERIFY_SECRET_KEY=canary3", "SEGMENT_TRAITS_LIMIT= "},
		File:    file,
	}
	s, err := settings.Load(env, settings.Needs{Segment: true})
	if err != nil {
		t.Fatal(err)
	}
	mappingFile := filepath.Join(t.TempDir(), "mapping.yaml")
	if err := os.WriteFile(mappingFile, []byte("email: email\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.ReadMapping(mappingFile); err != nil {
		t.Fatal(err)
	}
	const inFile = "FILE, line "
	want := []settings.Item{
		{"SEGMENT_ACCESS_TOKEN", "set", inFile + "2"},
		{"SEGMENT_SPACE_ID", "spa_x", inFile + "4"},
		{"SEGMENT_API_URL", "https://profiles.segment.com", "default"},
		{"SEGMENT_RATE_LIMIT", "100", "default"},
		{"SEGMENT_REQUEST_LIMIT", "8", "environment"},
		{"SEGMENT_TRAITS_LIMIT", "200", "default"},
		{"VOUCHERIFY_APPLICATION_ID", "not set", "default"},
		{"VOUCHERIFY_SECRET_KEY", "set", "environment"},
		{"VOUCHERIFY_API_URL", "http://127.0.0.1:1", "sandbox"},
		{"VOUCHERIFY_BATCH_SIZE", "100", "default"},
		{"VOUCHERIFY_RESERVE", "20%", "default"},
		{"METADATA_POLICY", "fit", "default"},
		{"IDENTIFIER_SAVED_AS_SOURCE_ID", "user_id", "default"},
		{"SEGSYNC_MAPPING", mappingFile, "--mapping"},
		{"SEGSYNC_WAREHOUSE_URL", "set", inFile + "6"},
		{"SEGSYNC_WAREHOUSE_SCHEMA", "", "default"},
		{"SNOWFLAKE_PRIVATE_KEY_FILE", "", "default"},
		{"SNOWFLAKE_PRIVATE_KEY_PASSPHRASE", "not set", "default"},
		{"SNOWFLAKE_TOKEN", "not set", "default"},
		{"GOOGLE_APPLICATION_CREDENTIALS", "", "default"},
		{"GOOGLE_OAUTH_ACCESS_TOKEN", "not set", "default"},
		{"DATABRICKS_TOKEN", "not set", "default"},
		{"DATABRICKS_CLIENT_ID", "", "default"},
		{"DATABRICKS_CLIENT_SECRET", "not set", "default"},
		{"NOTIFY_URL", "not set", "default"},
		{"PING_URL", "set", inFile + "7"},
	}
	got := s.List()
	for i, item := range got {
		if j := strings.Index(item.From, ".env, line "); j > 0 {
			got[i].From = "FILE" + item.From[j+len(".env"):]
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Of an environment only what may be a mistake is spoken of.
func TestMisspelledNamesInTheEnvironment(t *testing.T) {
	env := settings.Env{Environ: []string{
		"PATH=/bin", "SEGMENT_SPACE_ID=spa_x", "SEGMENT_WRITE_KEY=x", "METADATA_SERVER=x", "API_URL=x", "VOUCHERIFY_RESERV=",
		"VOUCHERIFY_RESREVE=canary", "identifier_saved_as_source_id=email", "SEGMENT_ACCESS_TOKENcanary=",
		"VOUCHERIFY_APP_ID=canary", "SEGMENT_TOKEN=canary", "SEGMENT_REGION=eu", "VOUCHERIFY_KEY=canary",
	}}
	want := [][2]string{
		{"SEGMENT_TOKEN", "SEGMENT_ACCESS_TOKEN"}, {"VOUCHERIFY_APP_ID", "VOUCHERIFY_APPLICATION_ID"},
		{"VOUCHERIFY_KEY", "VOUCHERIFY_SECRET_KEY"}, {"VOUCHERIFY_RESREVE", "VOUCHERIFY_RESERVE"},
		{"identifier_saved_as_source_id", "IDENTIFIER_SAVED_AS_SOURCE_ID"},
	}
	for name, load := range map[string]func(settings.Env) (*settings.Settings, error){
		"Load":        func(e settings.Env) (*settings.Settings, error) { return settings.Load(e, settings.Needs{}) },
		"LoadMapping": settings.LoadMapping,
	} {
		s, err := load(env)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var warnings []settings.Warning
		for _, w := range want {
			warnings = append(warnings, settings.Warning{Setting: w[1], Text: w[0] + " in the environment is not a setting: did you mean " + w[1] + "?"})
		}
		if diff := cmp.Diff(warnings, s.Warnings); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestSource(t *testing.T) {
	t.Setenv("PGHOST", "")
	t.Setenv("PGDATABASE", "")
	warehouse := func(url string) settings.Warehouse {
		s, err := settings.Load(settings.Env{Environ: []string{"SEGSYNC_WAREHOUSE_URL=" + url, "SEGSYNC_WAREHOUSE_SCHEMA=profiles"}}, settings.Needs{})
		if err != nil {
			t.Errorf("%s: %v", url, err)
		}
		return s.Warehouse
	}
	for _, c := range []struct {
		from, name, url, id string
	}{
		{"api", "api", "", ""},
		{"-", "standard input", "", "standard input"},
		{"rows.csv", "rows.csv", "", "file"},
		{"warehouse", "warehouse", "postgres://u:secret@db.example.com:5432/analytics?sslmode=require", "warehouse db.example.com:5432/analytics profiles"},
		{"warehouse", "warehouse", "redshift://u@db.example.com/analytics", "warehouse db.example.com:5439/analytics profiles"},
		{"warehouse", "warehouse", "snowflake://u@acme-eu1/DB/S?warehouse=W", "warehouse snowflake acme-eu1.snowflakecomputing.com DB.S"},
		{"warehouse", "warehouse", "bigquery://acme/profiles", "warehouse bigquery bigquery.googleapis.com acme.profiles"},
		{"warehouse", "warehouse", "postgres:///analytics?host=db1.example.com", "warehouse db1.example.com:5432/analytics profiles"},
		{"warehouse", "warehouse", "postgres://db.example.com?dbname=analytics", "warehouse db.example.com:5432/analytics profiles"},
		{"warehouse", "warehouse", "postgres://u@%2Fvar%2Frun%2Fpostgresql/analytics", "warehouse /var/run/postgresql:5432/analytics profiles"},
	} {
		var s settings.Source
		if err := s.Set(c.from); err != nil || s.String() != c.from || s.Name() != c.name {
			t.Errorf("%s: %v, %q, %q", c.from, err, s.String(), s.Name())
		}
		if got := s.ID(warehouse(c.url)); got != c.id {
			t.Errorf("%s %s: %q, want %q", c.from, c.url, got, c.id)
		}
		if got := s.ReadOnce(); got != (c.from == "-") {
			t.Errorf("%s is read once: %v", c.from, got)
		}
	}
	if (settings.Source{}).String() != "api" {
		t.Error("the zero value is not the API")
	}
	if new(settings.Source).Set("") == nil {
		t.Error("an empty --from is taken")
	}
}
