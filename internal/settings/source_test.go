package settings_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"segsync/internal/settings"
)

// A warehouse with a REST API has its schema in its URL, and its secrets in settings of their own.
func TestNativeWarehouse(t *testing.T) {
	s, err := settings.Load(settings.Env{Environ: []string{"SEGSYNC_WAREHOUSE_URL=databricks://dbc-1.example.com/main/profiles?warehouse=1",
		"DATABRICKS_TOKEN=canary-token", "SNOWFLAKE_PRIVATE_KEY_PASSPHRASE=canary phrase"}}, settings.Needs{Warehouse: true})
	if err != nil {
		t.Fatal(err)
	}
	if s.Warehouse.Schema != "main.profiles" {
		t.Errorf("the schema is %q", s.Warehouse.Schema)
	}
	for _, secret := range []string{"canary-token", "canary phrase"} {
		if !slices.Contains(s.Secrets(), secret) {
			t.Errorf("%q is no secret", secret)
		}
	}
}

func TestSourceFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b.csv", "a.csv", "_SUCCESS", ".a.csv.crc", "other.json", "folder/x"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in := func(names ...string) (paths []string) {
		for _, name := range names {
			paths = append(paths, filepath.Join(dir, name))
		}
		return paths
	}
	for _, c := range []struct {
		name       string
		from, want []string
	}{
		{"folder", in(""), in("a.csv", "b.csv", "other.json")},
		{"pattern", in("*.csv"), in("a.csv", "b.csv")},
		{"several", in("b.csv", "a.csv"), in("a.csv", "b.csv")},
		{"twice", in("b.csv", "*.csv"), in("a.csv", "b.csv")},
		{"one that is not there", in("none"), in("none")},
		{"pattern that matches none", in("none*"), nil},
		{"pattern that is wrong", in("[none"), nil},
	} {
		var s settings.Source
		for _, from := range c.from {
			if err := s.Set(from); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := s.Files(); !slices.Equal(got, c.want) || (err == nil) != (c.want != nil) {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
	for _, from := range [][]string{{"a", "-"}, {"warehouse", "a"}, {"-", "-"}, {"s3://bucket/a"}, {"https://example.com/a"}} {
		var s settings.Source
		var err error
		for _, value := range from {
			if err == nil {
				err = s.Set(value)
			}
		}
		if err == nil && from[0] != "-" {
			t.Errorf("%q is taken", from)
		}
	}
}
