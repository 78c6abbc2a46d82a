package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"segsync/internal/app"
	"segsync/internal/pgtest"
	"segsync/internal/sandbox"
)

// warehouseWorld is a sandbox, and a Postgres with the same people.
type warehouseWorld struct {
	*world
	url, schema string
}

func newWarehouseWorld(t *testing.T, o sandbox.Options) *warehouseWorld {
	t.Helper()
	url := pgtest.URL(t)
	w := &warehouseWorld{startWorld(t, o), url, pgtest.Schema(t, url)}
	p := startProcess(t, w.dir, w.environ(), nil,
		"sandbox", "--profiles", itoa(o.Profiles), "--postgres", url, "--schema", w.schema)
	p.wantExit(t, app.ExitDone)
	if !strings.Contains(p.stdout.String(), "export SEGSYNC_WAREHOUSE_SCHEMA='"+w.schema+"'\n") {
		t.Errorf("the sandbox printed:\n%s", p.stdout)
	}
	return w
}

// segsync runs a command with other settings than the usual ones, if any are given, and
// returns what it printed.
func (w *warehouseWorld) segsync(t *testing.T, code int, env []string, args ...string) (stdout, stderr string) {
	t.Helper()
	env = append([]string{"SEGSYNC_WAREHOUSE_URL=" + w.url, "SEGSYNC_WAREHOUSE_SCHEMA=" + w.schema}, env...)
	p := startProcess(t, w.dir, w.environ(env...), nil, args...)
	p.wantExit(t, code)
	return p.stdout.String(), p.stderr.String()
}

func wantMatch(t *testing.T, text, pattern string) {
	t.Helper()
	if !regexp.MustCompile(`(?m)` + pattern).MatchString(text) {
		t.Errorf("there is no %q in:\n%s", pattern, text)
	}
}

var noSegment = []string{"SEGMENT_ACCESS_TOKEN=", "SEGMENT_SPACE_ID="}

func TestImportFromAWarehouse(t *testing.T) {
	t.Parallel()
	w := newWarehouseWorld(t, sandbox.Options{Profiles: 200})
	stdout, stderr := w.segsync(t, app.ExitDone, noSegment, "import", "--from", "warehouse", "--dir", "out")
	wantMatch(t, stdout, `^196 read = .*: it adds up$`)
	wantMatch(t, stderr, `segsync check --from warehouse`)
	if n := w.requests(`^GET /v1/spaces/`); n != 0 {
		t.Errorf("%d requests to Segment", n)
	}
	if n, want := len(w.box.Customers()), 160; n != want {
		t.Errorf("%d customers, want %d", n, want)
	}
	// The next night: nothing has changed, but the rows may have come late.
	_, stderr = w.segsync(t, app.ExitDone, noSegment, "import", "--from", "warehouse", "--since", "last", "--dir", "out")
	wantMatch(t, stderr, `importing what changed`)
	// Neither is it another import's state.
	_, stderr = w.segsync(t, app.ExitUsage, noSegment, "verify", "--from", "people.ndjson", "--dir", "out")
	wantMatch(t, stderr, `is about something else: the settings now have the source "file" instead of "warehouse`)
	if strings.Contains(stderr, "postgres://") {
		t.Errorf("a URL is shown:\n%s", stderr)
	}
}

func TestCheckOfAWarehouse(t *testing.T) {
	t.Parallel()
	w := newWarehouseWorld(t, sandbox.Options{Profiles: 300})
	stdout, _ := w.segsync(t, app.ExitDone, nil, "check", "--from", "warehouse")
	wantMatch(t, stdout, `^✓ warehouse +PostgreSQL \d+.*, schema "test.*", can be read$`)
	wantMatch(t, stdout, `^✓ tables +294 profiles: [\d,]+ rows of external IDs, [\d,]+ of traits$`)
	wantMatch(t, stdout, `^✓ coverage +246 of 294 profiles have an identifier by IDENTIFIER_SAVED_AS_SOURCE_ID=user_id$`)
	wantMatch(t, stdout, `^✓ freshness +the newest row was written at .* ago$`)
	wantMatch(t, stdout, `^✓ completeness +294 profiles; Segment has about 300$`)
	wantMatch(t, stdout, `^✓ agreement +\d+ profiles read both ways have the same source_id$`)

	pgtest.Exec(t, w.url, `UPDATE "`+w.schema+`".user_identifiers SET value = 'x' || value, uuid_ts = now() - interval '3 days'`)
	pgtest.Exec(t, w.url, `UPDATE "`+w.schema+`".user_traits SET uuid_ts = now() - interval '3 days'`)
	stdout, _ = w.segsync(t, app.ExitUsage, nil, "check", "--from", "warehouse")
	wantMatch(t, stdout, `^✗ agreement +the source_id of \d+ of \d+ profiles differs from the API's:\n +use_.*: "user-.*" by the API, "xuser-.*" here\n`)
	wantMatch(t, stdout, `^! freshness +the newest row was written at .*, 3 d ago$`)

	// Where a trait identifies, those without it need not be here.
	stdout, _ = w.segsync(t, app.ExitDone, []string{"IDENTIFIER_SAVED_AS_SOURCE_ID=trait:email"}, "check", "--from", "warehouse")
	wantMatch(t, stdout, `^✓ coverage +\d+ of 294 profiles have an identifier by IDENTIFIER_SAVED_AS_SOURCE_ID=trait:email$`)
	if strings.Contains(stdout, "are not here") {
		t.Errorf("profiles are missing:\n%s", stdout)
	}

	stdout, _ = w.segsync(t, app.ExitDone, noSegment, "check", "--from", "warehouse")
	if strings.Contains(stdout, "agreement") {
		t.Errorf("something was compared without credentials:\n%s", stdout)
	}

	pgtest.Exec(t, w.url, `TRUNCATE "`+w.schema+`".user_identifiers, "`+w.schema+`".user_traits`)
	stdout, _ = w.segsync(t, app.ExitDone, nil, "check", "--from", "warehouse")
	wantMatch(t, stdout, `^! tables +0 profiles: 0 rows of external IDs, 0 of traits\n +hint: has Profiles Sync run yet`)
	wantMatch(t, stdout, `^! completeness +0 profiles; Segment has about 300$`)
	if strings.Contains(stdout, "freshness") {
		t.Errorf("the age of no rows is told:\n%s", stdout)
	}
}

// Numbers and booleans of a warehouse are texts, unless the project's schema says better.
func TestCheckOfMetadataInAWarehouse(t *testing.T) {
	t.Parallel()
	const schema = `{"id":"ms_1","related_object":"customer","object":"metadata_schema","allow_defined_only":true,
		"properties":{"lifetime_value":{"type":"number","array":false,"optional":true,"deleted":false}}}`
	for name, o := range map[string]sandbox.Options{
		"without a schema": {Profiles: 100}, "with one": {Profiles: 100, Schema: json.RawMessage(schema)},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWarehouseWorld(t, o)
			if err := os.WriteFile(filepath.Join(w.dir, "m.yaml"), []byte("metadata: {traits: [lifetime_value]}\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			stdout, _ := w.segsync(t, app.ExitDone, nil, "check", "--from", "warehouse", "--mapping", "m.yaml")
			warned := strings.Contains(stdout, "numbers and booleans are texts here")
			if want := o.Schema == nil; warned != want {
				t.Errorf("warned: %v:\n%s", warned, stdout)
			}
		})
	}
}

// What is wrong with a warehouse is said with a hint, and without the password.
func TestWarehouseThatCannotBeRead(t *testing.T) {
	t.Parallel()
	w := newWarehouseWorld(t, sandbox.Options{Profiles: 10})
	for name, test := range map[string]struct {
		env  []string
		code int
		want string
	}{
		"schema":      {[]string{"SEGSYNC_WAREHOUSE_SCHEMA=nowhere"}, app.ExitUsage, `has no schema "nowhere"\nsegsync: hint: check SEGSYNC_WAREHOUSE_SCHEMA`},
		"unreachable": {[]string{"SEGSYNC_WAREHOUSE_URL=postgres://u:made-up-secret@127.0.0.1:1/db"}, app.ExitFailed, `hint: is the server up`},
		"not set":     {[]string{"SEGSYNC_WAREHOUSE_URL="}, app.ExitUsage, `SEGSYNC_WAREHOUSE_URL is missing`},
	} {
		t.Run(name, func(t *testing.T) {
			_, stderr := w.segsync(t, test.code, append(test.env, noSegment...), "import", "--from", "warehouse", "--dir", name)
			wantMatch(t, stderr, test.want)
			if strings.Contains(stderr, "made-up-secret") {
				t.Errorf("the password is shown:\n%s", stderr)
			}
		})
	}
}

// The result of segsync sql, saved as a file, is imported like the warehouse itself.
func TestQueryResultIsImported(t *testing.T) {
	t.Parallel()
	w := newWarehouseWorld(t, sandbox.Options{Profiles: 200})
	sql, _ := w.segsync(t, app.ExitDone, noSegment, "sql", "--dialect", "postgres")
	file, err := os.Create(filepath.Join(w.dir, "rows.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	pgtest.Copy(t, w.url, file, "COPY ("+sql+") TO STDOUT (FORMAT csv, HEADER)")
	fromFile, _ := w.segsync(t, app.ExitDone, noSegment, "import", "--from", "rows.csv", "--dry-run", "--dir", "out")
	direct, _ := w.segsync(t, app.ExitDone, noSegment, "import", "--from", "warehouse", "--dry-run", "--dir", "out")
	if fromFile != direct || strings.Count(direct, "\n") != 160 {
		t.Errorf("%d and %d bytes of %d customers", len(fromFile), len(direct), strings.Count(direct, "\n"))
	}
}

// A profile is found by its segment id, and by an external ID that is not its newest.
func TestInspectOfAWarehouse(t *testing.T) {
	t.Parallel()
	w := newWarehouseWorld(t, sandbox.Options{Profiles: 50})
	pgtest.Exec(t, w.url, `INSERT INTO "`+w.schema+`".user_identifiers VALUES ('use_a:b', 'user_id', 'old', 1), ('use_a:b', 'user_id', 'new', 2)`)
	env := append([]string{"VOUCHERIFY_SECRET_KEY="}, noSegment...)
	for _, profile := range []string{"use_a:b", "user_id:old", "user_id:new"} {
		stdout, _ := w.segsync(t, app.ExitDone, env, "inspect", "--from", "warehouse", "--offline", profile)
		wantMatch(t, stdout, `^Profile use_a:b$`)
		wantMatch(t, stdout, `^  source_id +"new"  ← user_id$`)
	}
	_, stderr := w.segsync(t, app.ExitFailed, env, "inspect", "--from", "warehouse", "--offline", "user_id:o'ld\\")
	wantMatch(t, stderr, `^segsync: error: there is no profile user_id:o'ld\\ in warehouse$`)
	_, stderr = w.segsync(t, app.ExitUsage, append(env, "SEGSYNC_WAREHOUSE_SCHEMA=x"), "inspect", "--from", "warehouse", "--offline", "user_id:old")
	wantMatch(t, stderr, `has no schema "x"`)
}
