package profilessync_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"segsync/internal/pgtest"
	"segsync/profilessync"
)

var update = flag.Bool("update", false, "write the golden files")

// wide is a query with every part of the statement.
var wide = profilessync.Query{
	IdentifierTypes: []string{"user_id", "email"},
	Traits:          []string{"email", "first_name", `it's "a" \ trait`},
	Members:         [][]string{{"address", "city"}, {"address", "postalCode"}},
	Objects:         [][]string{{"metadata"}},
	After:           "use_1'",
	Since:           time.Date(2026, 5, 2, 4, 0, 0, 0, time.UTC),
}

func TestSQL(t *testing.T) {
	schemas := map[string]string{"snowflake": "SEGMENT.profiles-1", "bigquery": "my-project.profiles", "databricks": "main.profiles"}
	queries := map[string]profilessync.Query{
		"wide":   wide,
		"all":    {IdentifierTypes: []string{"user_id"}},
		"traits": {IdentifierTypes: []string{}, Traits: []string{"email"}},
	}
	for _, dialect := range profilessync.Dialects() {
		for name, q := range queries {
			schema := schemas[dialect]
			if schema == "" {
				schema = `profiles "1"`
			}
			got, err := profilessync.SQL(dialect, schema, q)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", dialect+"-"+name+".sql")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, got, string(want))
		}
	}
}

func TestSQLRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		dialect, schema string
		q               profilessync.Query
		text            string
	}{
		"dialect": {"oracle", "s", everything, "postgres, redshift, snowflake, bigquery, databricks"},
		"schema":  {"postgres", "", everything, "empty"},
		"nothing": {"postgres", "s", profilessync.Query{IdentifierTypes: []string{}, Traits: []string{}}, "neither"},
		"NUL":     {"postgres", "s", profilessync.Query{Traits: []string{"a\x00b"}}, "NUL"},
		"UTF-8":   {"postgres", "s", profilessync.Query{Traits: []string{"a\xffb"}}, "UTF-8"},
	} {
		if _, err := profilessync.SQL(test.dialect, test.schema, test.q); err == nil || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What psql writes as CSV with the query for Postgres is what reading the warehouse gives.
func TestQueryExportedAsCSVGivesTheSameProfiles(t *testing.T) {
	ts := newTables(t, people(100)...)
	ts.trait("use_000007", `it's "a" \ trait`, "a,\"b\"\r\nc\\n", "1000")
	ts.trait("use_000008", "email", null, "1001")
	ts.trait("use_000009", "address_city", "Oslo", "1002")
	ts.trait("use_000010", "metadata_plan", "pro", "1003")
	ts.trait("use_000011", "address_city", "old", "9")
	ts.trait("use_000011", "address_city", "new", "1004")
	q := wide
	q.After, q.Since = "", time.Time{}
	sql, err := profilessync.SQL("postgres", ts.schema, q)
	if err != nil {
		t.Fatal(err)
	}
	var csv strings.Builder
	pgtest.Copy(t, ts.url, &csv, "COPY ("+sql+") TO STDOUT (FORMAT csv, HEADER)")
	got, want := readFile(t, csv.String(), q), ts.read(q)
	equal(t, want[8].Removed, []string{"email"})
	want[8].Removed = nil // an empty cell says nothing
	equal(t, got, want)
	equal(t, len(want), 100)
	equal(t, want[7].Traits[`it's "a" \ trait`], any("a,\"b\"\r\nc\\n"))
}
