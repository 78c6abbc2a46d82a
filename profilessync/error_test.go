package profilessync_test

import (
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"segsync/internal/pgtest"
	"segsync/profilessync"
)

func isProblem(t *testing.T, err error, want profilessync.Problem, texts ...string) {
	t.Helper()
	var e *profilessync.Error
	if !errors.As(err, &e) || e.Problem != want {
		t.Fatalf("the error is %v (%+v); want problem %d", err, e, want)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("the error %q lacks %q", err, text)
		}
	}
	t.Log(err)
}

// with changes the URL.
func with(t *testing.T, raw string, change func(u *url.URL)) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	change(u)
	return u.String()
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	ts := newTables(t)
	for name, test := range map[string]struct {
		prepare string
		url     func(u *url.URL)
		schema  string
		want    profilessync.Problem
		texts   []string
	}{
		"password": {url: func(u *url.URL) { u.User = url.UserPassword("postgres", "hunter2") }, want: profilessync.WrongPassword, texts: []string{`"postgres"`}},
		"user":     {url: func(u *url.URL) { u.User = url.UserPassword("nobody", "hunter2") }, want: profilessync.WrongPassword, texts: []string{`"nobody"`}},
		"database": {url: func(u *url.URL) { u.Path = "/nowhere" }, want: profilessync.UnknownDatabase, texts: []string{`"nowhere"`}},
		"port":     {url: func(u *url.URL) { u.Host = "127.0.0.1:1" }, want: profilessync.Unreachable, texts: []string{"127.0.0.1:1", "connection refused"}},
		"host":     {url: func(u *url.URL) { u.Host = "warehouse.invalid" }, want: profilessync.Unreachable, texts: []string{"warehouse.invalid:5432"}},
		"tls":      {url: func(u *url.URL) { u.RawQuery = "sslmode=require" }, want: profilessync.TLSFailed, texts: []string{"the server has none"}},
		"schema":   {schema: "else", want: profilessync.UnknownSchema, texts: []string{`no schema "else"`}},
		"case":     {schema: "PG_Catalog", want: profilessync.UnknownSchema, texts: []string{`no schema "PG_Catalog"; it has "pg_catalog"`}},
		"empty":    {schema: "-", want: profilessync.UnknownSchema},
		"table":    {prepare: "DROP TABLE TRAITS", want: profilessync.MissingTable, texts: []string{"user_traits"}},
		"tables":   {prepare: "DROP TABLE IDS, TRAITS", want: profilessync.MissingTable, texts: []string{"user_traits, user_identifiers"}},
		"column":   {prepare: "ALTER TABLE IDS DROP type; ALTER TABLE TRAITS DROP seq", want: profilessync.MissingColumn, texts: []string{"user_traits.seq, user_identifiers.type"}},
	} {
		t.Run(name, func(t *testing.T) {
			if test.want == profilessync.WrongPassword && os.Getenv("SEGSYNC_TEST_POSTGRES") != "" {
				t.Skip("that server may not ask for passwords")
			}
			ts := ts
			if test.prepare != "" {
				ts = newTables(t)
				ts.exec(test.prepare)
			}
			raw, schema := ts.url, ts.schema
			if test.url != nil {
				raw = with(t, raw, test.url)
			}
			if test.schema != "" {
				schema = strings.Trim(test.schema, "-")
			}
			_, err := profilessync.Open(t.Context(), raw, schema)
			isProblem(t, err, test.want, test.texts...)
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the password is in the error %q", err)
			}
		})
	}
}

func TestPermissionDeniedNamesTheTable(t *testing.T) {
	ts := newTables(t, people(1)...)
	role := strings.ReplaceAll(ts.schema, " ", "_")
	ts.exec(`CREATE ROLE ` + role + ` LOGIN PASSWORD 'hunter2'`)
	t.Cleanup(func() { ts.exec("DROP OWNED BY " + role + "; DROP ROLE " + role) })
	reader := with(t, ts.url, func(u *url.URL) { u.User = url.UserPassword(role, "hunter2") })

	_, err := profilessync.Open(t.Context(), reader, ts.schema)
	isProblem(t, err, profilessync.PermissionDenied, "schema "+ts.schema)
	ts.exec("GRANT USAGE ON schema SCHEMA TO " + role + "; GRANT SELECT ON TRAITS TO " + role)
	_, err = profilessync.Open(t.Context(), reader, ts.schema)
	isProblem(t, err, profilessync.PermissionDenied, "user_identifiers")
	ts.exec("GRANT SELECT ON IDS TO " + role)
	w, err := profilessync.Open(t.Context(), reader, ts.schema)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, len(collect(t, w.Profiles(t.Context(), everything))), 1)
	ts.exec("REVOKE SELECT ON TRAITS FROM " + role)
	for _, err := range w.Profiles(t.Context(), everything) {
		isProblem(t, err, profilessync.PermissionDenied, "user_traits")
	}
}

func TestTableOfIdentifiersInTheSingular(t *testing.T) {
	ts := newTables(t, people(1)...)
	ts.exec("ALTER TABLE IDS RENAME TO user_identifier; ALTER TABLE SCHEMA.user_identifier DROP received_at")
	equal(t, ts.read(everything)[0].ExternalIDs, people(1)[0].ExternalIDs)
}

// The URL may be wrong in any way: nothing of it is in the error.
func TestURLIsNeverInAnError(t *testing.T) {
	for _, raw := range []string{
		"mysql://u:hunter2@example.com/db",
		"u:hunter2@example.com/db",
		"host=example.com password=hunter2",
		"postgres://u:hunter2@example.com:port/db",
		"postgres://u:p@hunter2@example.invalid/db",
		"postgres://u:p/hunter2@example.invalid/db",
		"postgres://u:1/hunter2@example.invalid/db",
		"postgres://u:1/hunter2?x=y@example.invalid/db",
		"postgres://u:p?hunter2@example.invalid/db",
		"postgres://u:p#hunter2@example.invalid/db",
		"postgres://u:%zzhunter2@example.invalid/db",
		"postgres://u:hunter2@[::1/db",
		"postgres://u:hunter2@example.com/db?sslmode=hunter2",
		"postgres://u:hunter2@example.com/db?sslrootcert=/hunter2",
		"redshift://u:p@hunter2@example.invalid/db",
		"redshift://u:hunter2@example.invalid/db",
		"",
	} {
		_, err := profilessync.Open(t.Context(), raw, "s")
		if err == nil {
			t.Fatalf("%q is opened", raw)
		}
		for e := err; e != nil; e = errors.Unwrap(e) {
			if strings.Contains(e.Error(), "hunter2") {
				t.Errorf("%s: %v", raw, e)
			}
		}
	}
}

func TestAnotherHostNeedsTLS(t *testing.T) {
	for raw, wantTLS := range map[string]bool{
		"postgres://u:p@warehouse.example.com/db":                    true,
		"postgres://u:p?q@warehouse.example.com/db":                  true, // or an error
		"postgres://u:p@warehouse.example.com/db?application_name=x": true,
		"postgres://u:p@localhost,warehouse.example.com/db":          true,
		"postgres://u:p@warehouse.example.com/db?sslmode=prefer":     false,
		"postgres://u:p@warehouse.example.com/db?sslmode=disable":    false,
		"postgres://u:p@localhost/db":                                false,
		"postgres://u:p@[::1]/db":                                    false,
		"postgres:///db?host=/tmp":                                   false,
		"redshift://u:p@warehouse.example.com/db":                    true,
	} {
		needs, err := profilessync.NeedsTLS(raw)
		if needs != wantTLS && (err == nil || !wantTLS) {
			t.Errorf("%s: needs TLS: %v, %v", raw, needs, err)
		}
	}
	t.Setenv("PGSSLMODE", "prefer")
	if needs, err := profilessync.NeedsTLS("postgres://u:p@warehouse.example.com/db"); needs || err != nil {
		t.Errorf("with PGSSLMODE: %v, %v", needs, err)
	}
}

// proxy stands between client and server, and can cut the connection.
type proxy struct {
	listener net.Listener
	server   string
	limit    atomic.Int64 // bytes of an answer that pass before the cut; 0: all
	done     sync.WaitGroup
}

func newProxy(t *testing.T, server string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, server: server}
	p.done.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.done.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() { listener.Close(); p.done.Wait() })
	return p
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	p.done.Go(func() {
		io.Copy(server, client)
		server.Close()
	})
	if limit := p.limit.Load(); limit > 0 {
		io.CopyN(client, server, limit)
		server.Close()
		return
	}
	io.Copy(client, server)
}

// A connection that is cut anywhere gives whole profiles and an error, and behind the last
// one reading continues.
func TestConnectionCutInTheMiddleOfARow(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) }) // behind the end of the proxy
	ts := newTables(t, people(500)...)
	ts.exec(`UPDATE TRAITS SET value = value || repeat('x', 1000)`)
	whole := ts.read(everything)
	u, err := url.Parse(ts.url)
	if err != nil {
		t.Fatal(err)
	}
	p := newProxy(t, u.Host)
	u.Host = p.listener.Addr().String()
	w, err := profilessync.Open(t.Context(), u.String(), ts.schema)
	if err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int64{100_001, 100_499, 234_567, 345_678} {
		q := everything
		var got []profilessync.Profile
		for range 2 { // cut, then whole
			p.limit.Store(limit)
			for profile, err := range w.Profiles(t.Context(), q) {
				if err != nil {
					isProblem(t, err, profilessync.ConnectionLost)
					break
				}
				q.After = profile.Position.ID
				profile.Position, profile.Bytes = profilessync.Position{}, 0
				got = append(got, *profile)
			}
			if limit > 0 && (len(got) == 0 || len(got) == len(whole)) {
				t.Fatalf("%d profiles before the cut", len(got))
			}
			limit = 0
		}
		equal(t, got, whole)
	}
}

func TestServerThatRestarts(t *testing.T) {
	if os.Getenv("SEGSYNC_TEST_POSTGRES") != "" {
		t.Skip("the server is not ours to stop")
	}
	server := pgtest.New(t)
	ts := newTablesAt(t, server.URL, people(20*profilessync.ReadAhead)...)
	ts.exec(`UPDATE TRAITS SET value = repeat('x', 10000)`)
	w := ts.open()
	q := everything
	for p, err := range w.Profiles(t.Context(), q) {
		if err != nil {
			isProblem(t, err, profilessync.ConnectionLost)
			break
		}
		if q.After == "" {
			server.Stop()
		}
		q.After = p.Position.ID
	}
	for _, err := range w.Profiles(t.Context(), q) {
		isProblem(t, err, profilessync.Unreachable)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	rest := collect(t, w.Profiles(t.Context(), q))
	if len(rest) == 0 || rest[len(rest)-1].SegmentID != "use_001279" || rest[0].SegmentID <= q.After {
		t.Errorf("%d profiles after %s", len(rest), q.After)
	}
}

func TestEndedByTheServer(t *testing.T) {
	ts := newTables(t, people(20*profilessync.ReadAhead)...)
	ts.exec(`UPDATE TRAITS SET value = repeat('x', 10000)`)
	n := 0
	var last error
	for _, err := range ts.open().Profiles(t.Context(), everything) {
		if n++; n == 1 {
			ts.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'segsync' AND query LIKE '%` + ts.schema + `%'`)
		}
		last = err
	}
	isProblem(t, last, profilessync.ConnectionLost)
}
