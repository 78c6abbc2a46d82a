// Package pgtest gives tests a Postgres: the one at SEGSYNC_TEST_POSTGRES, or one that it
// starts, in a directory of its own, from the programs that the machine has. Without either
// a test is skipped, unless SEGSYNC_REQUIRE_POSTGRES is 1: then it fails.
package pgtest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"segsync/internal/sandbox"
)

// Server is a Postgres on a loopback port. Its superuser is postgres.
type Server struct {
	URL      string // of the superuser
	programs string // directory of initdb and postgres
	dir      string
	port     int
	as       *user.User // who runs it; nil: the user of the test
	running  *exec.Cmd
	leash    io.Closer // the server stops when this is closed, also by the end of the test
}

// ErrNone is the error of Start where the machine has no Postgres.
var ErrNone = errors.New("this machine has no initdb: install PostgreSQL, or set SEGSYNC_TEST_POSTGRES to the URL of a superuser")

// shared is the server of all tests of a test binary.
var shared = sync.OnceValues(func() (*Server, error) {
	started = true
	return Start()
})

// started says that there is a shared server to stop.
var started bool

// Main runs the tests, eight at once unless -parallel says otherwise, for most wait for a
// server or the clock; with more of them, two cores do little but switch. It stops the
// server that they have used, and returns the exit code.
func Main(m *testing.M) int {
	flag.Parse()
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		parallel.Value.Set("8")
	}
	code := m.Run()
	if started {
		if server, err := shared(); err == nil {
			for _, conn := range idle.conns {
				conn.Close(context.Background())
			}
			server.Remove()
		}
	}
	return code
}

// URL returns the URL of a superuser of the Postgres that all tests of the binary share.
// TestMain must call Main.
func URL(t testing.TB) string {
	t.Helper()
	if url := os.Getenv("SEGSYNC_TEST_POSTGRES"); url != "" {
		return url
	}
	server, err := shared()
	skip(t, err)
	return server.URL
}

// New returns a server of the test's own, which it may stop and start.
func New(t testing.TB) *Server {
	t.Helper()
	server, err := Start()
	skip(t, err)
	t.Cleanup(server.Remove)
	return server
}

func skip(t testing.TB, err error) {
	t.Helper()
	switch {
	case errors.Is(err, ErrNone) && os.Getenv("SEGSYNC_REQUIRE_POSTGRES") != "1":
		t.Skip(err)
	case err != nil:
		t.Fatal(err)
	}
}

// Schema returns the name of a schema that is not there, and that is dropped when the test
// ends.
func Schema(t testing.TB, url string) string {
	t.Helper()
	schema := fmt.Sprintf("test %d %d", os.Getpid(), time.Now().UnixNano())
	t.Cleanup(func() { Exec(t, url, `DROP SCHEMA IF EXISTS "`+schema+`" CASCADE`) })
	return schema
}

// Fill makes the tables of Profiles Sync in the schema, with these people.
func Fill(t testing.TB, url, schema string, people iter.Seq[sandbox.Person]) {
	t.Helper()
	conn := connect(t, url)
	defer release(conn, url)
	if err := sandbox.FillPostgres(t.Context(), conn, schema, people); err != nil {
		t.Fatal(err)
	}
}

// Exec runs statements, separated by semicolons, in one transaction, and returns the rows
// of the last one.
func Exec(t testing.TB, url, sql string) [][]string {
	t.Helper()
	conn := connect(t, url)
	defer release(conn, url)
	results, err := conn.Exec(context.Background(), sql).ReadAll()
	if err != nil {
		t.Fatalf("%s\n%v", sql, err)
	}
	var rows [][]string
	for _, values := range results[len(results)-1].Rows {
		row := []string{}
		for _, value := range values {
			row = append(row, string(value))
		}
		rows = append(rows, row)
	}
	return rows
}

// Copy writes what COPY … TO STDOUT gives.
func Copy(t testing.TB, url string, w io.Writer, sql string) {
	t.Helper()
	conn := connect(t, url)
	defer release(conn, url)
	if _, err := conn.CopyTo(context.Background(), w, sql); err != nil {
		t.Fatalf("%s\n%v", sql, err)
	}
}

// idle are connections to the shared server, to be used again: each new one is a process of
// Postgres, and costs more than most statements do.
var idle struct {
	sync.Mutex
	conns []*pgconn.PgConn
}

// connect returns a connection to the server at the URL. release takes it back.
func connect(t testing.TB, url string) *pgconn.PgConn {
	t.Helper()
	idle.Lock()
	defer idle.Unlock()
	if last := len(idle.conns) - 1; last >= 0 && isShared(url) {
		conn := idle.conns[last]
		idle.conns = idle.conns[:last]
		return conn
	}
	conn, err := pgconn.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func release(conn *pgconn.PgConn, url string) {
	ctx := context.Background()
	if isShared(url) {
		if _, err := conn.Exec(ctx, "DISCARD ALL").ReadAll(); err == nil {
			idle.Lock()
			defer idle.Unlock()
			idle.conns = append(idle.conns, conn)
			return
		}
	}
	conn.Close(ctx)
}

// isShared reports whether the URL is that of the shared server.
func isShared(url string) bool {
	if !started {
		return false
	}
	server, err := shared()
	return err == nil && url == server.URL
}

// Start makes a server and starts it. Remove stops it.
func Start() (*Server, error) {
	programs, err := findPrograms()
	if err != nil {
		return nil, err
	}
	as, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "pgtest")
	if err != nil {
		return nil, err
	}
	s := &Server{programs: programs, dir: dir, as: as}
	if err := s.init(); err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("making a Postgres: %w", err)
	}
	if err := s.Start(); err != nil {
		s.Remove()
		return nil, err
	}
	return s, nil
}

// findPrograms returns the directory of initdb and postgres, of the newest version.
func findPrograms() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	var found []string
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin/initdb", "/usr/pgsql-*/bin/initdb", "/opt/homebrew/opt/postgresql*/bin/initdb"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return "", err
		}
		found = append(found, paths...)
	}
	if len(found) == 0 {
		return "", ErrNone
	}
	slices.SortFunc(found, func(a, b string) int { return version(a) - version(b) })
	return filepath.Dir(found[len(found)-1]), nil
}

// version returns the number in a path.
func version(path string) int {
	isDigit := func(r rune) bool { return '0' <= r && r <= '9' }
	n, _ := strconv.Atoi(strings.Join(strings.FieldsFunc(path, func(r rune) bool { return !isDigit(r) }), ""))
	return n
}

// unprivileged returns the user to run a server as, for it refuses to run as root.
func unprivileged() (*user.User, error) {
	if runtime.GOOS == "windows" || os.Getuid() != 0 {
		return nil, nil
	}
	if u, err := user.Lookup("postgres"); err == nil {
		return u, nil
	}
	return user.Lookup("nobody")
}

const password = "pgtest"

func (s *Server) init() error {
	passwordFile := filepath.Join(s.dir, "password")
	if err := os.WriteFile(passwordFile, []byte(password), 0o600); err != nil {
		return err
	}
	if s.as != nil {
		if err := chown(s.as, s.dir, passwordFile); err != nil {
			return err
		}
	}
	initdb := s.command(filepath.Join(s.programs, "initdb"), "-D", filepath.Join(s.dir, "data"), "-U", "postgres", "--no-sync",
		"--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "--pwfile="+passwordFile)
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.port = listener.Addr().(*net.TCPAddr).Port
	s.URL = (&url.URL{
		Scheme: "postgres",
		User:   url.UserPassword("postgres", password),
		Host:   listener.Addr().String(),
		Path:   "/postgres",
	}).String()
	return listener.Close()
}

// command returns a command that runs as the server's user.
func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = s.dir
	if s.as != nil {
		runAs(cmd, s.as)
	}
	return cmd
}

// wrapper runs a server until its standard input ends, which it does with the test, however
// the test ends.
const wrapper = `"$@" </dev/null & server=$!; cat >/dev/null; kill -INT $server 2>/dev/null; wait $server`

// Start starts the server, and waits until it answers.
func (s *Server) Start() error {
	cmd := s.command("sh", "-c", wrapper, "sh", filepath.Join(s.programs, "postgres"), "-D", filepath.Join(s.dir, "data"),
		"-c", "listen_addresses=127.0.0.1", "-c", "port="+strconv.Itoa(s.port), "-c", "unix_socket_directories="+s.dir,
		"-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off")
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	leash, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.running, s.leash = cmd, leash
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		conn, err := pgconn.Connect(ctx, s.URL)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("starting Postgres: %w\n%s", err, text)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// RequireTLS restarts the server with a certificate, and has it refuse connections without
// TLS. The certificate and its key are PEM.
func (s *Server) RequireTLS(t testing.TB, certificate, key []byte) {
	t.Helper()
	s.Stop()
	data := filepath.Join(s.dir, "data")
	for name, content := range map[string]string{
		"server.crt": string(certificate), "server.key": string(key), "postgresql.auto.conf": "ssl = on\n",
		"pg_hba.conf": "hostssl all all all scram-sha-256\n",
	} {
		path := filepath.Join(data, name)
		err := os.WriteFile(path, []byte(content), 0o600)
		if err == nil && s.as != nil {
			err = chown(s.as, path)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
}

// Stop stops the server, and breaks its connections.
func (s *Server) Stop() {
	if s.running != nil {
		s.leash.Close()
		s.running.Wait() // its exit code says nothing more
		s.running = nil
	}
}

// Remove stops the server and deletes its directory.
func (s *Server) Remove() {
	s.Stop()
	os.RemoveAll(s.dir)
}
