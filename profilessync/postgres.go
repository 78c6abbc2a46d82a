package profilessync

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// postgres is the server of Postgres and Redshift.
type postgres struct {
	config   *pgconn.Config
	redshift bool
}

type postgresConn struct {
	conn     *pgconn.PgConn
	redshift bool
}

func (p *postgres) connect(ctx context.Context) (connection, error) {
	conn, err := p.dial(ctx)
	if err != nil {
		return nil, err
	}
	p.redshift = p.redshift || conn.ParameterStatus("server_version") == versionOfAllRedshift
	return &postgresConn{conn, p.redshift}, nil
}

func (p *postgres) dialect() dialect {
	if p.redshift {
		return dialects[1]
	}
	return dialects[0]
}

// begin starts a transaction that reads only, has no timeout, and writes times so that they
// can be compared as text, whatever the role's settings are. Start-up parameters for this
// would not pass PgBouncer.
func (c *postgresConn) begin(ctx context.Context) error {
	sql := "BEGIN READ ONLY; SET LOCAL statement_timeout = 0; SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO'"
	encoding := "UTF8"
	if c.conn.ParameterStatus("server_encoding") == "SQL_ASCII" {
		// Such a database has any bytes. Converted, the first that is not UTF-8 would end the statement; as they
		// are, the profile that has it is known.
		encoding = "SQL_ASCII"
	}
	if !c.redshift { // it has no other than UTF-8
		sql += "; SET LOCAL client_encoding = '" + encoding + "'"
	}
	if err := c.conn.Exec(ctx, sql).Close(); err != nil {
		return statementError("beginning a transaction", err)
	}
	return nil
}

// rows runs a statement by the simple protocol, which streams and is all that Redshift needs.
func (c *postgresConn) rows(ctx context.Context, doing, sql string, columns func([]column), each func([][]byte) error) error {
	results := c.conn.Exec(ctx, sql)
	if !results.NextResult() {
		return statementError(doing, results.Close())
	}
	rows := results.ResultReader()
	if columns != nil {
		// https://github.com/postgres/postgres/blob/master/src/include/catalog/pg_type.dat
		const json, jsonb, date, timestamp, timestamptz = 114, 3802, 1082, 1114, 1184
		var all []column
		for _, field := range rows.FieldDescriptions() {
			oid := field.DataTypeOID
			all = append(all, column{field.Name, oid == json || oid == jsonb, oid == date || oid == timestamp || oid == timestamptz})
		}
		columns(all)
	}
	for rows.NextRow() {
		if err := each(rows.Values()); err != nil {
			return err
		}
	}
	if err := results.Close(); err != nil {
		return statementError(doing, err)
	}
	return nil
}

// Connect connects to the database at the URL, as Open does.
func Connect(ctx context.Context, url string) (*pgconn.PgConn, error) {
	config, err := ParseURL(url)
	if err != nil {
		return nil, err
	}
	conn, err := (&postgres{config: config}).dial(ctx)
	return conn, err
}

func (p *postgres) dial(ctx context.Context) (*pgconn.PgConn, error) {
	conn, err := pgconn.ConnectConfig(ctx, p.config)
	if ctx.Err() != nil && err != nil {
		return nil, fmt.Errorf("connecting to the warehouse: %w", ctx.Err())
	}
	if err != nil {
		return nil, connectError(p.config, err)
	}
	return conn, nil
}

// close closes the connection. A statement that was cut short is cancelled in the
// background; close waits for that a while.
func (c *postgresConn) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	c.conn.Close(ctx)
	select {
	case <-c.conn.CleanupDone():
	case <-ctx.Done():
	}
}

// ParseURL parses the URL of a warehouse as Open does. Its errors never quote the URL, nor what
// pgconn says about it: where a password is not percent-encoded, any part of it may be the
// password.
func ParseURL(raw string) (*pgconn.Config, error) {
	invalid := func(text string) error { return &Error{Problem: InvalidURL, text: "the URL of the warehouse " + text} }
	if rest, ok := strings.CutPrefix(raw, prefixRedshift); ok {
		u, err := url.Parse("postgres://" + rest)
		if err != nil || u.Fragment != "" {
			return nil, invalid(badCharacters)
		}
		raw = withPort(u, portRedshift)
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

const (
	percentEncoding = "special characters in the user name and the password must be percent-encoded: %23 for #, %25 for %, %2F for /, %40 for @"
	badCharacters   = "cannot be used: " + percentEncoding
)

// parseProblem picks what pgconn has to say of a URL from a list of its texts.
func parseProblem(err error) string {
	for _, known := range []string{
		"sslmode is invalid", "failed to read service", "unable to read CA file", "unable to add CA to cert pool",
		"unable to read sslkey", "unable to read cert", "invalid connect_timeout", "unknown target_session_attrs value",
	} {
		if strings.HasSuffix(err.Error(), ")") && strings.Contains(err.Error(), known) {
			return known
		}
	}
	if strings.Contains(err.Error(), "invalid port") { // or the end of the password is taken for the host
		return "the port is invalid, or " + percentEncoding
	}
	return percentEncoding
}

// saysSSLMode reports whether the URL, or libpq's variable, says how TLS is used.
func saysSSLMode(raw string) bool {
	query := raw[strings.LastIndex(raw, "?")+1:]
	return os.Getenv("PGSSLMODE") != "" || strings.Contains("&"+query, "&sslmode=")
}

// withPort adds a port to a URL that has a host but no port.
func withPort(u *url.URL, port string) string {
	if u.Hostname() != "" && u.Port() == "" && !u.Query().Has("port") && os.Getenv("PGPORT") == "" {
		u.Host = net.JoinHostPort(u.Hostname(), port)
	}
	return u.String()
}

// isRemote reports whether any of the hosts is another machine.
func isRemote(config *pgconn.Config) bool {
	return isRemoteHost(config.Host) || slices.ContainsFunc(config.Fallbacks, func(f *pgconn.FallbackConfig) bool { return isRemoteHost(f.Host) })
}

func isRemoteHost(host string) bool {
	ip := net.ParseIP(host)
	return host != "localhost" && !strings.HasPrefix(host, "/") && (ip == nil || !ip.IsLoopback())
}

func allowsPlaintext(config *pgconn.Config) bool {
	return config.TLSConfig == nil || slices.ContainsFunc(config.Fallbacks, func(f *pgconn.FallbackConfig) bool { return f.TLSConfig == nil })
}
