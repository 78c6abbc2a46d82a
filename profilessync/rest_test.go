package profilessync_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"segsync/internal/httpretry"
	"segsync/internal/warehousetest"
	"segsync/profilessync"
)

var vendors = []string{"snowflake", "bigquery", "databricks"}

// openFake opens the warehouse of a fake. What is logged goes to log.
func openFake(t *testing.T, f *warehousetest.Fake, log *bytes.Buffer) (*profilessync.Warehouse, error) {
	t.Helper()
	set := f.Settings()
	n, err := profilessync.ParseNative(f.URL())
	if err != nil {
		t.Fatal(err)
	}
	transport := httpretry.New(httpretry.Options{API: f.Vendor, Attempts: 4, RetryFor: -1, Compact: true, Secrets: []string{warehousetest.Secret},
		Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	t.Cleanup(transport.CloseIdleConnections)
	return profilessync.OpenNative(t.Context(), n, profilessync.Credentials{
		SnowflakeKeyFile: set["SNOWFLAKE_PRIVATE_KEY_FILE"], GoogleKeyFile: set["GOOGLE_APPLICATION_CREDENTIALS"],
		DatabricksClientID: set["DATABRICKS_CLIENT_ID"], DatabricksClientSecret: set["DATABRICKS_CLIENT_SECRET"],
	}, transport.Client())
}

// fakeRows are the five rows of the ith profile.
func fakeRows(i int) (rows []warehousetest.Row) {
	id := fmt.Sprintf("use_%07d", i)
	for _, values := range [][]any{
		{"identifier", "user_id", fmt.Sprint("u", i), "9007199254740993"},
		{"trait", "email", "old", "9007199254740992"},
		{"trait", "email", fmt.Sprintf("%d@example.com", i), "9007199254740994"},
		{"trait", "name", "\"Ada\", \\ the\nfirst\u2028é", "5"},
		{"trait", "gone", nil, "6"},
	} {
		rows = append(rows, warehousetest.Row{ID: id, Values: values})
	}
	return rows
}

func fakeProfiles(n int) (all []profilessync.Profile) {
	for i := range n {
		all = append(all, profilessync.Profile{SegmentID: fmt.Sprintf("use_%07d", i), ExternalIDs: []profilessync.ExternalID{{Type: "user_id", ID: fmt.Sprint("u", i)}},
			Traits: map[string]any{"email": fmt.Sprintf("%d@example.com", i), "name": "\"Ada\", \\ the\nfirst\u2028é"}, Removed: []string{"gone"}})
	}
	return all
}

var fakeQuery = profilessync.Query{IdentifierTypes: []string{"user_id"}, Traits: []string{"email", "name", "gone"}}

// Whatever the API does, the profiles are the same.
func TestNative(t *testing.T) {
	const n = 60
	for name, set := range map[string]func(*warehousetest.Fake){
		"ordinary":            func(*warehousetest.Fake) {},
		"one page":            func(f *warehousetest.Fake) { f.PageRows = 10_000 },
		"long":                func(f *warehousetest.Fake) { f.Pending = 2 },
		"429":                 func(f *warehousetest.Fake) { f.Throttled = 2 },
		"429, Retry-After":    func(f *warehousetest.Fake) { f.Throttled, f.RetryAfter = 1, true },
		"expired result":      func(f *warehousetest.Fake) { f.GonePage = 3 },
		"expired at once":     func(f *warehousetest.Fake) { f.GonePage = 1 },
		"cut gzip":            func(f *warehousetest.Fake) { f.CutGzip = 2 },
		"expired link":        func(f *warehousetest.Fake) { f.ExpiredLink = 1 },
		"our clock is ahead":  func(f *warehousetest.Fake) { f.Skew = 2 * time.Hour },
		"our clock is behind": func(f *warehousetest.Fake) { f.Skew = -2 * time.Hour },
	} {
		for _, vendor := range vendors {
			t.Run(name+"/"+vendor, func(t *testing.T) {
				t.Parallel()
				f := warehousetest.New(t, vendor, n, fakeRows)
				f.PageRows = 7
				set(f)
				var log bytes.Buffer
				w, err := openFake(t, f, &log)
				if err != nil {
					t.Fatal(err)
				}
				var times int
				q := fakeQuery
				q.Started = func(at time.Time) {
					if times++; time.Since(at.Add(f.Skew)).Abs() > time.Minute {
						t.Errorf("it began at %s", at)
					}
				}
				equal(t, collect(t, w.Profiles(t.Context(), q)), fakeProfiles(n))
				q.After = "use_0000029"
				equal(t, collect(t, w.Profiles(t.Context(), q)), fakeProfiles(n)[30:])
				if f.Leaked > 0 || strings.Contains(log.String(), warehousetest.Secret) {
					t.Errorf("%d links got our header; the log: %s", f.Leaked, log.String())
				}
				if f.GonePage+f.CutGzip+max(f.ExpiredLink, 0) > 0 && (f.Vendor == "databricks" || f.ExpiredLink == 0) {
					t.Errorf("the fault did not happen: %+v", f.Switches)
				}
			})
		}
	}
}

func TestNativeByIDAndCheck(t *testing.T) {
	for _, vendor := range vendors {
		t.Run(vendor, func(t *testing.T) {
			t.Parallel()
			f := warehousetest.New(t, vendor, 9, fakeRows)
			w, err := openFake(t, f, new(bytes.Buffer))
			if err != nil {
				t.Fatal(err)
			}
			got, err := w.ByID(t.Context(), []string{"use_0000007", "use_0000002", "none"}, fakeQuery)
			if err != nil || len(got) != 2 || got[0].SegmentID != "use_0000002" || got[1].SegmentID != "use_0000007" {
				t.Errorf("%v, %v", got, err)
			}
			r, err := w.Check(t.Context(), fakeQuery, fakeQuery)
			if err != nil || r.Profiles != 9 || r.Server != "Fake 1.0" || r.Age > time.Minute || !slices.Equal(r.Absent, []string{"gone", "name"}) {
				t.Errorf("%+v, %v", r, err)
			}
			if !w.TellsChanges() {
				t.Error("it does not tell changes")
			}
		})
	}
}

// Where the tables do not tell when their rows were written, a time is refused.
func TestNativeTimes(t *testing.T) {
	for want, set := range map[string]func(*warehousetest.Fake){
		"":                     func(*warehousetest.Fake) {},
		"is not a timestamp":   func(f *warehousetest.Fake) { f.TextTimes = true },
		"is NULL in every row": func(f *warehousetest.Fake) { f.NullTimes = true },
	} {
		for _, vendor := range vendors {
			t.Run(want+"/"+vendor, func(t *testing.T) {
				t.Parallel()
				f := warehousetest.New(t, vendor, 2, fakeRows)
				set(f)
				w, err := openFake(t, f, new(bytes.Buffer))
				if err != nil {
					t.Fatal(err)
				}
				q := fakeQuery
				q.Since = time.Now()
				for _, e := range w.Profiles(t.Context(), q) {
					err = e
				}
				switch {
				case w.TellsChanges() != (want == ""):
					t.Errorf("it tells changes: %v", w.TellsChanges())
				case want == "" && err != nil:
					t.Error(err)
				case want != "":
					isProblem(t, err, profilessync.NoTimes, want)
				}
			})
		}
	}
}

// Errors are of a kind, in the words of the vendor, and without secrets.
func TestNativeErrors(t *testing.T) {
	for name, test := range map[string]struct {
		vendors []string
		set     func(*warehousetest.Fake)
		problem map[string]profilessync.Problem
		text    string
	}{
		"denied": {vendors, func(f *warehousetest.Fake) { f.Denied = true },
			map[string]profilessync.Problem{"snowflake": profilessync.MissingTable, "bigquery": profilessync.PermissionDenied, "databricks": profilessync.PermissionDenied}, "not authorized"},
		"always gone": {vendors, func(f *warehousetest.Fake) { f.AlwaysGone, f.PageRows = true, 1 },
			map[string]profilessync.Problem{"snowflake": profilessync.ConnectionLost, "bigquery": profilessync.ConnectionLost, "databricks": profilessync.ConnectionLost}, "each time"},
		"short partition": {[]string{"snowflake", "databricks"}, func(f *warehousetest.Fake) { f.ShortPage = true },
			map[string]profilessync.Problem{"snowflake": profilessync.Unreachable, "databricks": profilessync.Unreachable}, "rows, not"},
		"truncated": {[]string{"databricks"}, func(f *warehousetest.Fake) { f.Truncated = true },
			map[string]profilessync.Problem{"databricks": profilessync.Refused}, "truncated"},
		"links that do not work": {[]string{"databricks"}, func(f *warehousetest.Fake) { f.ExpiredLink = 1 << 30 },
			map[string]profilessync.Problem{"databricks": profilessync.Unreachable}, "does not work"},
		"out of order": {vendors, func(f *warehousetest.Fake) {
			f.Rows = func(i int) []warehousetest.Row { return fakeRows(f.Profiles - 1 - i) }
		},
			map[string]profilessync.Problem{"snowflake": profilessync.Refused, "bigquery": profilessync.Refused, "databricks": profilessync.Refused}, "comes after"},
	} {
		for _, vendor := range test.vendors {
			t.Run(name+"/"+vendor, func(t *testing.T) {
				t.Parallel()
				f := warehousetest.New(t, vendor, 9, fakeRows)
				f.PageRows = 7
				test.set(f)
				var log bytes.Buffer
				w, err := openFake(t, f, &log)
				if err == nil {
					for _, e := range w.Profiles(t.Context(), fakeQuery) {
						err = e
					}
				}
				e, ok := errors.AsType[*profilessync.Error](err)
				if !ok || e.Problem != test.problem[vendor] || !strings.Contains(err.Error(), test.text) || strings.Contains(err.Error()+log.String(), warehousetest.Secret) {
					t.Errorf("%+v: %v", e, err)
				}
			})
		}
	}
}

func TestNativeStops(t *testing.T) {
	f := warehousetest.New(t, "snowflake", 50, fakeRows)
	f.PageRows = 7
	w, err := openFake(t, f, new(bytes.Buffer))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, err := range w.Profiles(ctx, fakeQuery) {
		if cancel(); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	for range w.Profiles(t.Context(), fakeQuery) {
		break
	}
}

func TestParseNative(t *testing.T) {
	for raw, want := range map[string]string{
		"snowflake://u@acme-eu1/DB/S?warehouse=W":                 "snowflake acme-eu1.snowflakecomputing.com DB.S",
		"snowflake://u@xy1.eu-west-1/DB/S":                        "snowflake xy1.eu-west-1.snowflakecomputing.com DB.S",
		"bigquery://acme/profiles?location=EU":                    "bigquery bigquery.googleapis.com acme.profiles",
		"databricks://dbc-1.cloud.databricks.com/c/s?warehouse=1": "databricks dbc-1.cloud.databricks.com c.s",
	} {
		if n, err := profilessync.ParseNative(raw); err != nil || n.Name() != want {
			t.Errorf("%s: %v, %v", raw, n, err)
		}
	}
	for _, raw := range []string{"snowflake://u:secret@acme/DB/S", "snowflake://u@acme/DB", "snowflake:///DB/S", "bigquery://acme", "bigquery://acme/a/b",
		"databricks://host/c/s", "databricks://host/c/s?warehouse=1&endpoint=http://example.com", "snowflake://u@a c/DB/S",
		"bigquery://acme/profiles?endpoint=https://user@example.com", "bigquery://acme/profiles?endpoint=example.com"} {
		if n, err := profilessync.ParseNative(raw); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, %v", raw, n, err)
		}
	}
}
