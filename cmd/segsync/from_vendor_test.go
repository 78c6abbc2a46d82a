package main

import (
	"slices"
	"strings"
	"testing"

	"segsync/internal/app"
	"segsync/internal/sandbox"
	"segsync/internal/warehousetest"
)

// newVendor returns a fake vendor with the people.
func newVendor(t *testing.T, vendor string, people ...sandbox.Person) *warehousetest.Fake {
	t.Helper()
	slices.SortFunc(people, func(a, b sandbox.Person) int { return strings.Compare(a.SegmentID, b.SegmentID) })
	return warehousetest.New(t, vendor, len(people), func(i int) []warehousetest.Row { return warehousetest.PersonRows(people[i]) })
}

// fakeSettings returns the settings of a fake vendor, as the environment has them.
func fakeSettings(f *warehousetest.Fake) []string {
	env := []string{"SEGSYNC_WAREHOUSE_URL=" + f.URL()}
	for name, value := range f.Settings() {
		env = append(env, name+"="+value)
	}
	return env
}

var vendors = []string{"snowflake", "bigquery", "databricks"}

// A check compares a vendor's warehouse with the Profile API: how many profiles there are, and the identifiers
// of 200 of them.
func TestCheckOfVendors(t *testing.T) {
	t.Parallel()
	w := startWorld(t, sandbox.Options{Profiles: 300})
	people := slices.Collect(w.box.People())
	for _, vendor := range sample(3, vendors) {
		t.Run(vendor, func(t *testing.T) {
			t.Parallel()
			for name, test := range map[string]struct {
				people []sandbox.Person
				code   int
				want   []string
			}{
				"same": {people, app.ExitDone, []string{
					`^✓ warehouse +Fake 1\.0, schema ".+", can be read$`,
					`^✓ tables +294 profiles: `,
					`^✓ completeness +294 profiles; Segment has about 300$`,
					`^✓ agreement +\d+ profiles read both ways have the same source_id$`,
				}},
				"two months": {people[:100], app.ExitDone, []string{
					`^! completeness +100 profiles; Segment has about 300\n +hint: a warehouse that was connected late .*: ask Segment for a full Profiles Backfill`,
					`^! agreement +\d+ of 200 profiles of the API are not here\n`,
				}},
				"other identifiers": {withOtherIDs(people), app.ExitUsage, []string{
					`^✗ agreement +the source_id of \d+ of \d+ profiles differs from the API's:\n +use_.*: "user-.*" by the API, "other-.*" here\n`,
				}},
			} {
				f := newVendor(t, vendor, slices.Clone(test.people)...)
				p := startProcess(t, t.TempDir(), w.environ(fakeSettings(f)...), nil, "check", "--from", "warehouse")
				p.wantExit(t, test.code)
				for _, want := range test.want {
					wantMatch(t, name+":\n"+p.stdout.String(), want)
				}
			}
		})
	}
}

// withOtherIDs returns the people with other user_ids.
func withOtherIDs(people []sandbox.Person) []sandbox.Person {
	others := slices.Clone(people)
	for i, p := range others {
		others[i].ExternalIDs = slices.Clone(p.ExternalIDs)
		for n, id := range p.ExternalIDs {
			if id.Type == "user_id" {
				others[i].ExternalIDs[n].ID = "other-" + id.ID
			}
		}
	}
	return others
}

// Where rights or the sign-in are missing, the check says what is needed, in the vendor's words.
func TestCheckWithoutRights(t *testing.T) {
	t.Parallel()
	w := startWorld(t, sandbox.Options{Profiles: 1, Plain: true})
	for vendor, want := range map[string]struct{ refused, rights, login, wrongLogin string }{
		"snowflake": {"user_traits does not exist or not authorized", "USAGE on the warehouse, the database and the schema, and SELECT on user_traits and user_identifiers",
			"SNOWFLAKE_PRIVATE_KEY_FILE=,SNOWFLAKE_TOKEN=", "SNOWFLAKE_PRIVATE_KEY_FILE=,SNOWFLAKE_TOKEN=wrong"},
		"bigquery": {"Access Denied: Table user_traits", "BigQuery Job User on the project and BigQuery Data Viewer on the dataset",
			"GOOGLE_APPLICATION_CREDENTIALS=,GOOGLE_OAUTH_ACCESS_TOKEN=", "GOOGLE_APPLICATION_CREDENTIALS=,GOOGLE_OAUTH_ACCESS_TOKEN=wrong"},
		"databricks": {"INSUFFICIENT_PERMISSIONS", "USE CATALOG, USE SCHEMA and SELECT on user_traits and user_identifiers, and CAN USE of the SQL warehouse",
			"DATABRICKS_CLIENT_ID=,DATABRICKS_TOKEN=", "DATABRICKS_CLIENT_SECRET=wrong"},
	} {
		t.Run(vendor, func(t *testing.T) {
			t.Parallel()
			f := newVendor(t, vendor, slices.Collect(w.box.People())...)
			f.Do(func() { f.Denied = true })
			check := func(env ...string) string {
				p := startProcess(t, t.TempDir(), w.environ(slices.Concat(fakeSettings(f), env)...), nil, "check", "--from", "warehouse")
				p.wantExit(t, app.ExitUsage)
				text := p.stdout.String() + p.stderr.String()
				if strings.Contains(text, warehousetest.Secret) {
					t.Errorf("a secret is shown:\n%s", text)
				}
				return text
			}
			text := check()
			wantMatch(t, text, `^✗ warehouse +.*`+want.refused)
			wantMatch(t, text, ` +hint: .*`+want.rights+`.*; nothing is written$`)
			name, _, _ := strings.Cut(want.login, "=")
			wantMatch(t, check(strings.Split(want.login, ",")...), name)
			wantMatch(t, check(strings.Split(want.wrongLogin, ",")...), `hint: .*`+name)
		})
	}
}
