package profilessync

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// The tables, by their documented names. Segment's set-up writes user_identifier in places.
const (
	tableTraits          = "user_traits"
	tableIdentifiers     = "user_identifiers"
	tableIdentifiersToo  = "user_identifier"
	connectTimeout       = 15 * time.Second // unless the URL or PGCONNECT_TIMEOUT says otherwise
	closeTimeout         = 5 * time.Second
	defaultPatience      = time.Minute
	portRedshift         = "5439"
	applicationName      = "segsync"
	prefixRedshift       = "redshift://"
	versionOfAllRedshift = "8.0.2" // what it says of its Postgres
)

// Warehouse is a Postgres or Redshift database that Profiles Sync writes to. It keeps no
// connection open. It only reads.
type Warehouse struct {
	config      *pgconn.Config
	dialect     dialect
	schema      string
	identifiers string        // name of the table
	receivedAt  bool          // it has the column
	changes     bool          // both tables have uuid_ts
	patience    time.Duration // how long a statement stays open while nobody takes its profiles
}

// Open connects to the database at the URL, which begins with postgres://, postgresql:// or
// redshift://, and looks at the tables in the schema. What the URL leaves out comes from the
// PG* environment variables of libpq. Without an sslmode a connection to another host needs
// TLS. Errors are *Error, without the URL and the password.
func Open(ctx context.Context, url, schema string) (*Warehouse, error) {
	config, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	w := &Warehouse{config: config, dialect: dialects[0], schema: schema, patience: defaultPatience}
	if strings.HasPrefix(url, prefixRedshift) {
		w.dialect = dialects[1]
	}
	conn, err := w.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer closeConn(conn)
	if conn.ParameterStatus("server_version") == versionOfAllRedshift {
		w.dialect = dialects[1]
	}
	if err := w.readLayout(ctx, conn); err != nil {
		return nil, err
	}
	return w, nil
}

// parseURL never quotes the URL, nor what pgconn says about it: where a password is not
// percent-encoded, any part of it may be the password.
func parseURL(raw string) (*pgconn.Config, error) {
	invalid := func(text string) error { return &Error{Problem: InvalidURL, text: "the URL of the warehouse " + text} }
	if rest, ok := strings.CutPrefix(raw, prefixRedshift); ok {
		raw = withPort("postgres://"+rest, portRedshift)
	}
	if !strings.HasPrefix(raw, "postgres://") && !strings.HasPrefix(raw, "postgresql://") {
		return nil, invalid("does not begin with postgres:// or redshift://")
	}
	config, err := pgconn.ParseConfig(raw)
	if err != nil {
		return nil, invalid("cannot be used: " + parseProblem(err))
	}
	if !saysSSLMode(raw) && isRemote(config) && allowsPlaintext(config) {
		separator := "?"
		if strings.Contains(raw, "?") {
			separator = "&"
		}
		if config, err = pgconn.ParseConfig(raw + separator + "sslmode=require"); err != nil {
			return nil, invalid("cannot be used: " + parseProblem(err))
		}
		if allowsPlaintext(config) {
			return nil, invalid(badCharacters)
		}
	}
	if strings.ContainsAny(config.Host, "@?#% ") || strings.ContainsAny(config.Database, "@/?") {
		return nil, invalid(badCharacters)
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = applicationName
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	return config, nil
}

const badCharacters = "cannot be used: special characters in the user name and the password must be percent-encoded, such as %40 for @"

// parseProblem picks what pgconn has to say of a URL from a list of its texts.
func parseProblem(err error) string {
	for _, known := range []string{
		"sslmode is invalid", "invalid port", "failed to read service", "unable to read CA file", "unable to add CA to cert pool",
		"unable to read sslkey", "unable to read cert", "invalid connect_timeout", "unknown target_session_attrs value",
	} {
		if strings.HasSuffix(err.Error(), ")") && strings.Contains(err.Error(), known) {
			return known
		}
	}
	return "it cannot be parsed; special characters in the password must be percent-encoded, such as %40 for @"
}

// saysSSLMode reports whether the URL, or libpq's variable, says how TLS is used.
func saysSSLMode(raw string) bool {
	u, err := url.Parse(raw)
	return os.Getenv("PGSSLMODE") != "" || err == nil && u.Query().Has("sslmode")
}

// withPort adds a port to a URL that has a host but no port.
func withPort(raw, port string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.Port() != "" || u.Query().Has("port") || os.Getenv("PGPORT") != "" {
		return raw
	}
	u.Host = net.JoinHostPort(u.Hostname(), port)
	return u.String()
}

// isRemote reports whether any of the hosts is another machine.
func isRemote(config *pgconn.Config) bool {
	remote := func(host string) bool {
		ip := net.ParseIP(host)
		return host != "localhost" && !strings.HasPrefix(host, "/") && (ip == nil || !ip.IsLoopback())
	}
	return remote(config.Host) || slices.ContainsFunc(config.Fallbacks, func(f *pgconn.FallbackConfig) bool { return remote(f.Host) })
}

func allowsPlaintext(config *pgconn.Config) bool {
	return config.TLSConfig == nil || slices.ContainsFunc(config.Fallbacks, func(f *pgconn.FallbackConfig) bool { return f.TLSConfig == nil })
}

func (w *Warehouse) connect(ctx context.Context) (*pgconn.PgConn, error) {
	conn, err := pgconn.ConnectConfig(ctx, w.config)
	if ctx.Err() != nil && err != nil {
		return nil, fmt.Errorf("connecting to the warehouse: %w", ctx.Err())
	}
	if err != nil {
		return nil, connectError(w.config, err)
	}
	return conn, nil
}

// closeConn closes the connection. A statement that was cut short is cancelled in the
// background; closeConn waits for that a while.
func closeConn(conn *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	conn.Close(ctx)
	select {
	case <-conn.CleanupDone():
	case <-ctx.Done():
	}
}

// begin starts a transaction that reads only, has no timeout, and writes times so that they
// can be compared as text, whatever the role's settings are. Start-up parameters for this
// would not pass PgBouncer.
func (w *Warehouse) begin(ctx context.Context, conn *pgconn.PgConn) error {
	sql := "BEGIN READ ONLY; SET LOCAL statement_timeout = 0; SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO'"
	if w.dialect.name == "postgres" { // Redshift has no other
		sql += "; SET LOCAL client_encoding = 'UTF8'"
	}
	if err := conn.Exec(ctx, sql).Close(); err != nil {
		return statementError("beginning a transaction", err)
	}
	return nil
}

// readLayout finds out which tables and columns there are.
func (w *Warehouse) readLayout(ctx context.Context, conn *pgconn.PgConn) error {
	if w.schema == "" {
		return &Error{Problem: UnknownSchema, text: "the name of the warehouse's schema is empty"}
	}
	traits, err := w.columns(ctx, conn, tableTraits)
	if err != nil {
		return err
	}
	w.identifiers = tableIdentifiers
	identifiers, err := w.columns(ctx, conn, w.identifiers)
	if err == nil && identifiers == nil {
		if identifiers, err = w.columns(ctx, conn, tableIdentifiersToo); identifiers != nil {
			w.identifiers = tableIdentifiersToo
		}
	}
	if err != nil {
		return err
	}
	if err := w.missing(ctx, conn, traits, identifiers); err != nil {
		return err
	}
	w.receivedAt = slices.Contains(identifiers, "received_at")
	w.changes = slices.Contains(identifiers, "uuid_ts") && slices.Contains(traits, "uuid_ts")
	return nil
}

// columns returns the columns of a table, or nil if there is no such table. It asks for no
// rows instead of reading the catalog, where Redshift's external tables and views are not.
func (w *Warehouse) columns(ctx context.Context, conn *pgconn.PgConn, table string) ([]string, error) {
	s := statement{dialect: w.dialect, schema: w.schema}
	results := conn.Exec(ctx, "SELECT * FROM "+s.Table(table)+" LIMIT 0")
	columns := []string{}
	if results.NextResult() {
		for _, field := range results.ResultReader().FieldDescriptions() {
			columns = append(columns, strings.ToLower(field.Name))
		}
	}
	err := results.Close()
	if err == nil {
		return columns, nil
	}
	err = statementError("reading the table "+table, err)
	if p := problemOf(err); p == MissingTable || p == UnknownSchema {
		return nil, nil
	}
	return nil, err
}

// missing returns an error that names everything that is not there; nil columns mean that
// there is no table.
func (w *Warehouse) missing(ctx context.Context, conn *pgconn.PgConn, traits, identifiers []string) error {
	if traits == nil && identifiers == nil {
		s := statement{dialect: w.dialect}
		rows, err := query(ctx, conn, "SELECT nspname FROM pg_catalog.pg_namespace WHERE lower(nspname) = lower("+s.Literal(w.schema)+")")
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(rows, func(row []string) bool { return row[0] == w.schema }) {
			text := fmt.Sprintf("the database %q has no schema %q", w.config.Database, w.schema)
			if len(rows) > 0 {
				text += fmt.Sprintf("; it has %q", rows[0][0])
			}
			return &Error{Problem: UnknownSchema, text: text}
		}
	}
	var tables, columns []string
	note := func(table string, has []string, needed ...string) {
		if has == nil {
			tables = append(tables, table)
			return
		}
		for _, column := range needed {
			if !slices.Contains(has, column) {
				columns = append(columns, table+"."+column)
			}
		}
	}
	note(tableTraits, traits, "canonical_segment_id", "name", "value", "seq")
	note(w.identifiers, identifiers, "canonical_segment_id", "type", "value", "seq")
	switch {
	case len(tables) > 0:
		return &Error{Problem: MissingTable, text: fmt.Sprintf("the schema %q has no table %s", w.schema, strings.Join(append(tables, columns...), ", "))}
	case len(columns) > 0:
		return &Error{Problem: MissingColumn, text: fmt.Sprintf("the schema %q has no column %s", w.schema, strings.Join(columns, ", "))}
	}
	return nil
}

// TellsChanges reports whether the tables say when their rows were written, which Query.Since
// needs.
func (w *Warehouse) TellsChanges() bool { return w.changes }

// statement returns what the templates need for the query.
func (w *Warehouse) statement(q Query) (*statement, error) {
	s, err := newStatement(w.dialect, w.schema, q)
	if err != nil {
		return nil, err
	}
	if !q.Since.IsZero() && !w.changes {
		return nil, &Error{Problem: NoTimes, text: fmt.Sprintf(
			"the tables of the schema %q have no column uuid_ts, so it cannot be said what changed since a time", w.schema)}
	}
	s.Identifiers, s.ReceivedAt, s.Changes = w.identifiers, w.receivedAt, w.changes
	return s, nil
}

// query returns the rows of a small result, as text; "" for NULL.
func query(ctx context.Context, conn *pgconn.PgConn, sql string) ([][]string, error) {
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, statementError("asking the warehouse", err)
	}
	var rows [][]string
	for _, values := range results[0].Rows {
		row := make([]string, len(values))
		for i, value := range values {
			row[i] = string(value)
		}
		rows = append(rows, row)
	}
	return rows, nil
}
