package profilessync_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"segsync/internal/pgtest"
	"segsync/internal/sandbox"
	"segsync/profilessync"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// tables is a schema with the tables of Profiles Sync.
type tables struct {
	t           *testing.T
	url, schema string
}

// newTables makes the tables, with the profiles in them.
func newTables(t *testing.T, profiles ...profilessync.Profile) *tables {
	t.Helper()
	url := pgtest.URL(t)
	return newTablesAt(t, url, profiles...)
}

func newTablesAt(t *testing.T, url string, profiles ...profilessync.Profile) *tables {
	t.Helper()
	schema := pgtest.Schema(t, url)
	pgtest.Fill(t, url, schema, persons(profiles))
	return &tables{t: t, url: url, schema: schema}
}

// exec runs SQL in which TRAITS and IDS stand for the tables.
func (ts *tables) exec(sql string) [][]string {
	ts.t.Helper()
	return pgtest.Exec(ts.t, ts.url, strings.NewReplacer(
		"TRAITS", `"`+ts.schema+`".user_traits`, "IDS", `"`+ts.schema+`".user_identifiers`, "SCHEMA", `"`+ts.schema+`"`).Replace(sql))
}

// trait writes a row, with \N for NULL.
func (ts *tables) trait(id, name, value, seq string) {
	ts.t.Helper()
	ts.exec(fmt.Sprintf("INSERT INTO TRAITS (canonical_segment_id, name, value, seq) VALUES (%s, %s, %s, %s)",
		literal(id), literal(name), literal(value), seq))
}

func (ts *tables) identifier(id, idType, value, seq string) {
	ts.t.Helper()
	ts.exec(fmt.Sprintf("INSERT INTO IDS (canonical_segment_id, type, value, seq) VALUES (%s, %s, %s, %s)",
		literal(id), literal(idType), literal(value), seq))
}

const null = `\N`

func literal(s string) string {
	if s == null {
		return "NULL"
	}
	return profilessync.Literal("postgres", s)
}

func (ts *tables) open() *profilessync.Warehouse {
	ts.t.Helper()
	w, err := profilessync.Open(ts.t.Context(), ts.url, ts.schema)
	if err != nil {
		ts.t.Fatal(err)
	}
	return w
}

// read returns all profiles of the query, without their positions.
func (ts *tables) read(q profilessync.Query) []profilessync.Profile {
	ts.t.Helper()
	return collect(ts.t, ts.open().Profiles(ts.t.Context(), q))
}

func collect(t *testing.T, profiles iter.Seq2[*profilessync.Profile, error]) []profilessync.Profile {
	t.Helper()
	var all []profilessync.Profile
	for p, err := range profiles {
		if err != nil {
			t.Fatal(err)
		}
		if p.Position.ID != p.SegmentID {
			t.Errorf("the position behind %s is that of %s", p.SegmentID, p.Position.ID)
		}
		if p.Bytes == 0 {
			t.Errorf("%s was read from no bytes", p.SegmentID)
		}
		p.Position, p.Bytes = profilessync.Position{}, 0
		all = append(all, *p)
	}
	return all
}

func ids(profiles []profilessync.Profile) (ids []string) {
	for _, p := range profiles {
		ids = append(ids, p.SegmentID)
	}
	return ids
}

func equal(t *testing.T, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// persons returns the profiles as those of a sandbox.
func persons(profiles []profilessync.Profile) iter.Seq[sandbox.Person] {
	return func(yield func(sandbox.Person) bool) {
		for _, profile := range profiles {
			p := sandbox.Person{SegmentID: profile.SegmentID, Traits: profile.Traits}
			for _, id := range profile.ExternalIDs {
				p.ExternalIDs = append(p.ExternalIDs, sandbox.ExternalID{Type: id.Type, ID: id.ID, CreatedAt: id.CreatedAt})
			}
			if !yield(p) {
				return
			}
		}
	}
}

var everything = profilessync.Query{IdentifierTypes: []string{"user_id", "email"}}

func people(n int) []profilessync.Profile {
	profiles := make([]profilessync.Profile, n)
	for i := range profiles {
		profiles[i] = profilessync.Profile{
			SegmentID:   fmt.Sprintf("use_%06d", i),
			ExternalIDs: []profilessync.ExternalID{{Type: "user_id", ID: fmt.Sprint("u", i)}},
			Traits:      map[string]any{"email": fmt.Sprintf("u%d@example.com", i)},
		}
	}
	return profiles
}

func TestRowsBecomeProfiles(t *testing.T) {
	ts := newTables(t)
	ts.identifier("use_1", "user_id", "ada", "1")
	ts.identifier("use_1", "email", "ada@example.com", "2")
	ts.identifier("use_1", "anonymous_id", "not wanted", "3")
	ts.trait("use_1", "email", "ada@example.com", "4")
	ts.trait("use_1", "vip", "true", "5")
	ts.trait("use_2", "email", "bob@example.com", "6")
	ts.identifier("use_3", "user_id", "eve", "7")
	got := ts.read(profilessync.Query{IdentifierTypes: []string{"user_id", "email"}, Traits: []string{"email", "phone"}})
	equal(t, got, []profilessync.Profile{
		{
			SegmentID:   "use_1",
			ExternalIDs: []profilessync.ExternalID{{Type: "email", ID: "ada@example.com"}, {Type: "user_id", ID: "ada"}},
			Traits:      map[string]any{"email": "ada@example.com"},
		},
		{SegmentID: "use_2", Traits: map[string]any{"email": "bob@example.com"}},
		{SegmentID: "use_3", ExternalIDs: []profilessync.ExternalID{{Type: "user_id", ID: "eve"}}, Traits: map[string]any{}},
	})
}

func TestGreatestSeqWins(t *testing.T) {
	ts := newTables(t)
	ts.exec(`ALTER TABLE TRAITS ALTER seq TYPE text; ALTER TABLE IDS ALTER seq TYPE text`)
	ts.trait("use_1", "plan", "new", "'10'")
	ts.trait("use_1", "plan", "old", "'9'")
	ts.trait("use_1", "plan", "new", "'10'") // a row that is there twice
	ts.trait("use_1", "city", null, "'12'")
	ts.trait("use_1", "city", "Paris", "'11'")
	ts.trait("use_1", "zip", "75001", "'14'")
	ts.trait("use_1", "zip", null, "'13'")
	ts.trait("use_1", "tier", "gold", "'b'")
	ts.trait("use_1", "tier", "iron", "'a'")
	ts.trait("use_1", "size", "number", "'1'")
	ts.trait("use_1", "size", "text", "'z'")
	ts.identifier("use_1", "user_id", "new", "'100'")
	ts.identifier("use_1", "user_id", "old", "'99'")
	ts.identifier("use_1", "user_id", " ", "'101'")
	ts.identifier("use_1", "email", null, "'102'")
	equal(t, ts.read(everything), []profilessync.Profile{{
		SegmentID:   "use_1",
		ExternalIDs: []profilessync.ExternalID{{Type: "user_id", ID: "new"}},
		Traits:      map[string]any{"plan": "new", "zip": "75001", "tier": "gold", "size": "number"},
		Removed:     []string{"city"},
	}})
}

func TestSameSeqTheLatestReceivedThenTheSmallestWins(t *testing.T) {
	ts := newTables(t)
	ts.exec(`INSERT INTO IDS (canonical_segment_id, type, value, seq, received_at) VALUES
		('use_1', 'user_id', 'later', 1, '2026-05-01 10:00:00.5+00'), ('use_1', 'user_id', 'earlier', 1, '2026-05-01 10:00:00+00'),
		('use_1', 'email', 'b@example.com', 1, '2026-05-01'), ('use_1', 'email', 'a@example.com', 1, '2026-05-01')`)
	want := []profilessync.ExternalID{{Type: "email", ID: "a@example.com"}, {Type: "user_id", ID: "later"}}
	equal(t, ts.read(everything)[0].ExternalIDs, want)
	// However the role writes times.
	ts.exec(`UPDATE IDS SET received_at = '2026-04-30' WHERE value = 'earlier'`)
	ts.url = with(t, ts.url, func(u *url.URL) { u.RawQuery = "datestyle=German" })
	equal(t, ts.read(everything)[0].ExternalIDs, want)
}

func TestSameSeqAValueWinsOverNull(t *testing.T) {
	for _, values := range [][]string{{null, "b", "a"}, {"a", null, "b"}, {"b", "a", null}} {
		ts := newTables(t)
		for _, value := range values {
			ts.trait("use_1", "plan", value, "1")
		}
		equal(t, ts.read(everything)[0].Traits, map[string]any{"plan": "a"})
	}
}

func TestFillMakesTheNewestThenTheSmallestIDWin(t *testing.T) {
	old, young := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	ts := newTables(t, profilessync.Profile{SegmentID: "use_1", ExternalIDs: []profilessync.ExternalID{
		{Type: "user_id", ID: "b", CreatedAt: young}, {Type: "user_id", ID: "c", CreatedAt: young}, {Type: "user_id", ID: "a", CreatedAt: old},
	}})
	equal(t, ts.read(everything)[0].ExternalIDs, []profilessync.ExternalID{{Type: "user_id", ID: "b"}})
}

func TestTenThousandIdentifiers(t *testing.T) {
	ts := newTables(t)
	ts.exec(`INSERT INTO IDS SELECT 'use_1', 'email', 'a' || n || '@example.com', n FROM generate_series(1, 10000) AS n`)
	equal(t, ts.read(everything), []profilessync.Profile{{
		SegmentID:   "use_1",
		ExternalIDs: []profilessync.ExternalID{{Type: "email", ID: "a10000@example.com"}},
		Traits:      map[string]any{},
	}})
}

func TestValuesArriveUnchanged(t *testing.T) {
	values := map[string]any{
		"huge":          strings.Repeat("é", 1<<19),
		"odd":           "a\tb\nc\r\\N \\ ' \" \u2028 \U0001F469\u200D\U0001F680 \u202e\ufeff\x7f",
		"nearly":        `{"city": "Paris"`,
		"two":           `{} {}`,
		"empty":         "",
		"null":          "null",
		"it's \\ \"x\"": "odd name",
	}
	ts := newTables(t, profilessync.Profile{SegmentID: `use_'\"`, Traits: values})
	var names []string
	for name := range values {
		names = append(names, name)
	}
	q := profilessync.Query{Traits: names, IsJSON: func(trait string) bool { return trait == "two" }, Objects: [][]string{{"nearly"}, {"two"}, {"null"}}}
	equal(t, ts.read(q), []profilessync.Profile{{SegmentID: `use_'\"`, Traits: values}})
	byID, err := ts.open().ByID(t.Context(), []string{`use_'\"`}, q)
	if err != nil || len(byID) != 1 || byID[0].Traits["odd"] != values["odd"] {
		t.Errorf("by id: %v, %v", byID, err)
	}
}

func TestValuesOfALatin1DatabaseArriveAsUTF8(t *testing.T) {
	traits := map[string]any{"name": "Zoë"}
	ts := newTablesAt(t, newDatabase(t, "ENCODING 'LATIN1' LOCALE 'C'"), profilessync.Profile{SegmentID: "use_1", Traits: traits})
	equal(t, ts.exec(`SELECT length(value) FROM TRAITS`), [][]string{{"3"}})
	equal(t, ts.read(everything)[0].Traits, traits)
}

// newDatabase makes a database with these options and returns its URL.
func newDatabase(t *testing.T, options string) string {
	t.Helper()
	admin := pgtest.URL(t)
	name := fmt.Sprintf("pgtest%d", time.Now().UnixNano())
	pgtest.Exec(t, admin, "CREATE DATABASE "+name+" TEMPLATE template0 "+options)
	t.Cleanup(func() { pgtest.Exec(t, admin, "DROP DATABASE "+name+" WITH (FORCE)") })
	u, err := url.Parse(admin)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

func TestTextOf512CharactersIsReported(t *testing.T) {
	exact := strings.Repeat("ż", 512)
	ts := newTables(t, profilessync.Profile{SegmentID: "use_1", Traits: map[string]any{
		"cut": exact, "b": exact, "shorter": exact[2:], "longer": exact + "x",
	}})
	equal(t, ts.read(everything)[0].Truncated, []string{"b", "cut"})
}

// The order of ids must not depend on the collation of the database, for it is the order to
// continue in.
func TestOrderIsThatOfBytesWhateverTheCollation(t *testing.T) {
	url := newDatabase(t, "LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C' ENCODING 'UTF8'")
	var profiles []profilessync.Profile
	for _, id := range []string{"use_a", "use_B", "use_ä", "use_b", "use_A", "use_Z"} {
		profiles = append(profiles, profilessync.Profile{SegmentID: id, Traits: map[string]any{"x": "1"}})
	}
	ts := newTablesAt(t, url, profiles...)
	if byDatabase := ts.exec("SELECT canonical_segment_id FROM TRAITS ORDER BY 1"); byDatabase[0][0] != "use_a" {
		t.Fatalf("the database orders bytes: %v", byDatabase)
	}
	want := []string{"use_A", "use_B", "use_Z", "use_a", "use_b", "use_ä"}
	equal(t, ids(ts.read(everything)), want)
	for i, id := range want {
		equal(t, ids(ts.read(profilessync.Query{After: id})), slices.Clip(append([]string(nil), want[i+1:]...)))
	}
}

func TestObjectsFromTextOrFlattenedTraits(t *testing.T) {
	ts := newTables(t,
		profilessync.Profile{SegmentID: "use_1", Traits: map[string]any{"address": `{"city":"Paris","zip":75001}`, "tags": `["a", 1]`}},
		profilessync.Profile{SegmentID: "use_2", Traits: map[string]any{
			"address_city": "Oslo", "address_postal_code": "0150", "metadata_plan": "pro", "metadata_is_vip": "true", "tags": "[a", "other": "x",
		}},
		profilessync.Profile{SegmentID: "use_3", Traits: map[string]any{"address": "Main St 1", "metadata": "{oops"}},
	)
	q := profilessync.Query{
		Traits:  []string{"other", "address_city", "tags"},
		Members: [][]string{{"address", "city"}, {"address", "postalCode"}, {"address", "postal_code"}},
		Objects: [][]string{{"metadata"}},
		IsJSON:  func(trait string) bool { return trait == "tags" },
	}
	got := ts.read(q)
	equal(t, fmt.Sprint(got[0].Traits), "map[address:map[city:Paris zip:75001] tags:[a 1]]")
	equal(t, got[1].Traits, map[string]any{
		"address":      map[string]any{"city": "Oslo", "postalCode": "0150", "postal_code": "0150"},
		"metadata":     map[string]any{"plan": "pro", "is_vip": "true"},
		"tags":         "[a",
		"other":        "x",
		"address_city": "Oslo", // it was asked for by its name, too
	})
	equal(t, got[2].Traits, map[string]any{"address": "Main St 1", "metadata": "{oops"})

	q.Traits = nil
	equal(t, ts.read(q)[1].Traits, map[string]any{
		"address":  map[string]any{"city": "Oslo", "postalCode": "0150", "postal_code": "0150"},
		"metadata": map[string]any{"plan": "pro", "is_vip": "true"},
		"tags":     "[a",
		"other":    "x",
	})
}

func TestSinceReadsWhatWasWrittenInEitherTable(t *testing.T) {
	ts := newTables(t, people(4)...)
	ts.exec(`UPDATE TRAITS SET uuid_ts = '2026-05-01'; UPDATE IDS SET uuid_ts = '2026-05-01';
		UPDATE TRAITS SET uuid_ts = '2026-05-10 12:00:00+00' WHERE canonical_segment_id = 'use_000001';
		UPDATE IDS SET uuid_ts = '2026-05-10 12:00:00+00' WHERE canonical_segment_id = 'use_000003'`)
	q := everything
	q.Since = time.Date(2026, 5, 11, 16, 0, 0, 0, time.UTC) // 28 hours later
	got := ts.read(q)
	equal(t, ids(got), []string{"use_000001", "use_000003"})
	if len(got[0].ExternalIDs) != 1 || len(got[1].Traits) != 1 {
		t.Errorf("a changed profile is read in part: %v", got)
	}
	q.Since = q.Since.Add(time.Microsecond)
	equal(t, ids(ts.read(q)), []string(nil))

	ts.exec("ALTER TABLE TRAITS DROP uuid_ts")
	for _, err := range ts.open().Profiles(t.Context(), q) {
		isProblem(t, err, profilessync.NoTimes, "uuid_ts")
	}
}

func TestStartedIsToldTheTimeOfTheWarehouse(t *testing.T) {
	for _, n := range []int{0, 2 * profilessync.ReadAhead} {
		ts := newTables(t, people(n)...)
		q := everything
		var told []time.Time
		q.Started = func(now time.Time) { told = append(told, now) }
		equal(t, len(ts.read(q)), n)
		if len(told) != 1 || time.Since(told[0]).Abs() > time.Minute || told[0].Location() != time.UTC {
			t.Errorf("%d profiles: told %v", n, told)
		}
	}
}

func TestByIDReadsTheseProfiles(t *testing.T) {
	ts := newTables(t, people(3000)...)
	var asked, want []string
	for i := 2999; i >= 0; i -= 2 {
		asked = append(asked, fmt.Sprintf("use_%06d", i))
	}
	want = slices.Sorted(slices.Values(asked))
	got, err := ts.open().ByID(t.Context(), append(asked, "use_gone", asked[0]), everything)
	if err != nil {
		t.Fatal(err)
	}
	var gotIDs []string
	for _, p := range got {
		gotIDs = append(gotIDs, p.SegmentID)
	}
	equal(t, gotIDs, want)
	if none, err := ts.open().ByID(t.Context(), nil, everything); none != nil || err != nil {
		t.Errorf("no ids: %v, %v", none, err)
	}
}

func TestCheckCounts(t *testing.T) {
	ts := newTables(t, people(10)...)
	ts.trait("use_x", "address_city", "Rome", "99")
	ts.identifier("use_x", "user_id", " ", "1")
	ts.exec(`UPDATE TRAITS SET uuid_ts = now() - interval '2 days'; UPDATE IDS SET uuid_ts = now() - interval '3 hours'`)
	report, err := ts.open().Check(t.Context(), profilessync.Query{
		IdentifierTypes: []string{"user_id"},
		Traits:          []string{"email", "nope"},
		Members:         [][]string{{"address", "city"}},
		Objects:         [][]string{{"metadata"}},
	}, profilessync.Query{IdentifierTypes: []string{"user_id"}})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(report.Server, "PostgreSQL ") || report.Age.Round(time.Minute) != 3*time.Hour ||
		time.Since(report.Newest).Round(time.Minute) != 3*time.Hour {
		t.Errorf("report is %+v", report)
	}
	report.Server, report.Newest, report.Age = "", time.Time{}, 0
	equal(t, report, &profilessync.Report{Identifiers: 11, Traits: 11, Profiles: 11, Identified: 10, Absent: []string{"metadata", "nope"}})

	byTrait, err := ts.open().Check(t.Context(), everything, profilessync.Query{IdentifierTypes: []string{"user_id"}, Traits: []string{"address_city"}})
	if err != nil || byTrait.Identified != 11 {
		t.Errorf("with a trait that identifies: %+v, %v", byTrait, err)
	}

	empty, err := newTables(t).open().Check(t.Context(), everything, everything)
	if err != nil || empty.Profiles != 0 || !empty.Newest.IsZero() {
		t.Errorf("empty tables: %+v, %v", empty, err)
	}
}

func TestOneSnapshotWhateverIsWrittenMeanwhile(t *testing.T) {
	n := 40 * profilessync.ReadAhead
	ts := newTables(t, people(n)...)
	ts.exec(`UPDATE TRAITS SET value = repeat('x', 1000)`) // more than sockets hold
	seen := 0
	for p, err := range ts.open().Profiles(t.Context(), everything) {
		if err != nil {
			t.Fatal(err)
		}
		if seen++; seen == 1 {
			ts.exec(`DELETE FROM IDS WHERE canonical_segment_id > 'use_001'; UPDATE TRAITS SET value = 'changed', seq = seq + 1000000;
				INSERT INTO TRAITS SELECT 'use_9' || n, 'email', 'new', n FROM generate_series(1, 100) AS n`)
		}
		if len(p.ExternalIDs) != 1 || p.Traits["email"] == "changed" {
			t.Fatalf("%s is of another snapshot: %v", p.SegmentID, p)
		}
	}
	equal(t, seen, n)
	after := ts.read(profilessync.Query{IdentifierTypes: []string{"user_id"}, Traits: []string{"email"}, After: "use_002"})
	equal(t, len(after), n-2000+100) // use_002000 is behind use_002
}

// A statement that nobody reads from is closed, and another one continues.
func TestPauseClosesTheStatement(t *testing.T) {
	defer goleak.VerifyNone(t)
	n := 20 * profilessync.ReadAhead
	ts := newTables(t, people(n)...)
	ts.exec(`UPDATE TRAITS SET value = repeat('x', 10000)`)
	w := ts.open()
	w.SetIdleTimeout(50 * time.Millisecond)
	// The connection that counts is not counted: it has no application name.
	open := func() string {
		return ts.exec(`SELECT count(*) FROM pg_stat_activity WHERE application_name = 'segsync' AND query LIKE '%` + ts.schema + `%'`)[0][0]
	}
	q := everything
	var starts []int // the profiles that had come when a statement started
	var got []string
	q.Started = func(time.Time) { starts = append(starts, len(got)) }
	for p, err := range w.Profiles(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, p.SegmentID); len(got) == 1 {
			deadline := time.Now().Add(10 * time.Second)
			for open() != "0" {
				if time.Now().After(deadline) {
					t.Fatal("the statement is still open")
				}
			}
			ts.trait("use_999999", "email", "later", "1") // another snapshot, then
		}
	}
	equal(t, got, append(ids(people(n)), "use_999999"))
	if len(starts) < 2 || starts[0] != 0 || starts[1] < profilessync.ReadAhead {
		t.Errorf("statements started after %v profiles", starts)
	}
}

func TestBreakEndsTheStatement(t *testing.T) {
	defer goleak.VerifyNone(t)
	ts := newTables(t, people(10*profilessync.ReadAhead)...)
	ts.exec(`UPDATE TRAITS SET value = repeat('x', 10000)`)
	for range ts.open().Profiles(t.Context(), everything) {
		break
	}
}

func TestCancelledContextEndsTheStatement(t *testing.T) {
	defer goleak.VerifyNone(t)
	ts := newTables(t, people(10*profilessync.ReadAhead)...)
	ts.exec(`UPDATE TRAITS SET value = repeat('x', 10000)`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, err := range ts.open().Profiles(ctx, everything) {
		cancel()
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("the error is %v", last)
	}
}

// Before the first row, the server may sort for a long time.
func TestEndOfContextCancelsAStatementThatHasNoRowsYet(t *testing.T) {
	defer goleak.VerifyNone(t)
	ts := newTables(t, people(1)...)
	ts.exec(`ALTER TABLE TRAITS RENAME TO t; CREATE VIEW TRAITS AS SELECT canonical_segment_id, name, pg_sleep(60)::text AS value, seq FROM SCHEMA.t`)
	w := ts.open()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	for _, err := range w.Profiles(ctx, everything) {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the error is %v", err)
		}
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	equal(t, ts.exec(`SELECT query FROM pg_stat_activity WHERE application_name = 'segsync' AND state = 'active' AND query LIKE '%`+ts.schema+`%'`), [][]string(nil))
}

// It reads only, without the server's timeout for statements, also where the role has one.
func TestTransactionReadsOnlyAndHasNoTimeout(t *testing.T) {
	ts := newTables(t, people(1)...)
	ts.exec(`CREATE FUNCTION SCHEMA.slow() RETURNS text LANGUAGE plpgsql AS $$ BEGIN
		PERFORM pg_sleep(0.3); RETURN current_setting('transaction_read_only') || ' ' || current_setting('application_name'); END $$;
		ALTER TABLE TRAITS RENAME TO t; CREATE VIEW TRAITS AS SELECT canonical_segment_id, name, SCHEMA.slow() AS value, seq FROM SCHEMA.t`)
	u, err := url.Parse(ts.url)
	if err != nil {
		t.Fatal(err)
	}
	u.RawQuery = url.Values{"statement_timeout": {"200"}}.Encode()
	ts.url = u.String()
	equal(t, ts.read(everything)[0].Traits["email"], any("on segsync"))
}

// A value that is JSON comes as the text that it is of, and not with its quotes.
func TestValuesThatAreJSON(t *testing.T) {
	for _, kind := range []string{"json", "jsonb"} {
		t.Run(kind, func(t *testing.T) {
			ts := newTables(t)
			ts.exec(`ALTER TABLE TRAITS ALTER COLUMN value TYPE ` + kind + ` USING to_json(value)`)
			ts.trait("use_1", "email", `"ada@example.com"`, "1")
			ts.trait("use_1", "age", "36.50", "2")
			ts.trait("use_1", "gone", "null", "3")
			ts.trait("use_1", "address", `{"city": "London"}`, "4")
			q := profilessync.Query{Traits: []string{"email", "age", "gone"}, Members: [][]string{{"address", "city"}}}
			equal(t, collect(t, ts.open().Profiles(t.Context(), q)), []profilessync.Profile{{SegmentID: "use_1", Traits: map[string]any{
				"email": "ada@example.com", "age": "36.50", "address": map[string]any{"city": "London"}}, Removed: []string{"gone"}}})
		})
	}
}

// A database of the encoding SQL_ASCII has any bytes: those that are not UTF-8 concern their profile alone.
func TestDatabaseWithoutAnEncoding(t *testing.T) {
	t.Parallel()
	server := pgtest.URL(t)
	name := fmt.Sprintf("ascii_%d", time.Now().UnixNano())
	pgtest.Exec(t, server, "CREATE DATABASE "+name+" ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
	t.Cleanup(func() { pgtest.Exec(t, server, "DROP DATABASE "+name+" WITH (FORCE)") })
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	ts := newTablesAt(t, u.String())
	ts.exec(`INSERT INTO IDS (canonical_segment_id, type, value, seq) VALUES ('use_1', 'user_id', 'u1', 1), ('use_2', 'user_id', E'u\3512', 1), ('use_3', 'user_id', 'é', 1);
		INSERT INTO TRAITS (canonical_segment_id, name, value, seq) VALUES ('use_1', 'name', E'Ren\351', 1), ('use_3', 'name', 'René', 1)`)
	equal(t, ts.read(everything), []profilessync.Profile{
		{SegmentID: "use_1", ExternalIDs: []profilessync.ExternalID{{Type: "user_id", ID: "u1"}}, Traits: map[string]any{}, Damaged: []string{"name"}},
		{SegmentID: "use_2", ExternalIDs: []profilessync.ExternalID{{Type: "user_id", ID: "u\xe92"}}, Traits: map[string]any{}, Unreadable: damagedID},
		{SegmentID: "use_3", ExternalIDs: []profilessync.ExternalID{{Type: "user_id", ID: "é"}}, Traits: map[string]any{"name": "René"}},
	})
}
