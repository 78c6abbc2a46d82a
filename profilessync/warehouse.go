package profilessync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The tables, by their documented names. Segment's set-up writes user_identifier in places.
const (
	tableTraits          = "user_traits"
	tableIdentifiers     = "user_identifiers"
	tableIdentifiersToo  = "user_identifier"
	connectTimeout       = 15 * time.Second // unless the URL or PGCONNECT_TIMEOUT says otherwise
	closeTimeout         = 5 * time.Second
	defaultIdleTimeout   = time.Minute
	portRedshift         = "5439"
	applicationName      = "segsync"
	prefixRedshift       = "redshift://"
	versionOfAllRedshift = "8.0.2" // what it says of its Postgres
)

// Warehouse is a database or a warehouse with a REST API that Profiles Sync writes to. It keeps no
// connection open. It only reads.
type Warehouse struct {
	server      server
	dialect     dialect
	schema      string
	identifiers string        // name of the table
	receivedAt  bool          // it has the column
	jsonValues  bool          // user_traits.value is json or jsonb
	absent      *Error        // what the server said of a table that is not there
	noTimes     string        // why the tables do not tell when their rows were written, or ""
	idleTimeout time.Duration // how long a statement stays open while nobody takes its profiles
}

// Open connects to the database at the URL, which begins with postgres://, postgresql:// or
// redshift://, and looks at the tables in the schema. What the URL leaves out comes from the
// PG* environment variables of libpq. Without an sslmode a connection to another host needs
// TLS. Errors are *Error, without the URL and the password.
func Open(ctx context.Context, url, schema string) (*Warehouse, error) {
	config, err := ParseURL(url)
	if err != nil {
		return nil, err
	}
	return open(ctx, &postgres{config, strings.HasPrefix(url, prefixRedshift)}, schema, defaultIdleTimeout)
}

// server is a warehouse that statements are run in. Postgres is one, and those with a REST API are.
type server interface {
	connect(ctx context.Context) (connection, error)
	dialect() dialect // once it was connected to
}

// connection runs statements.
type connection interface {
	// begin lets the statements behind it read only, and read one moment where the server can do that.
	begin(ctx context.Context) error
	// rows runs a statement. It tells its columns, unless columns is nil, and calls each for its rows,
	// whose values are text, or nil for NULL, and valid until each returns.
	// It returns errPaused if the result is no longer there, but may be had anew.
	rows(ctx context.Context, doing, sql string, columns func([]column), each func(values [][]byte) error) error
	close()
}

// column is a column of a result.
type column struct {
	name   string
	isJSON bool
	isTime bool // its values can be compared with a time
}

func open(ctx context.Context, server server, schema string, idleTimeout time.Duration) (*Warehouse, error) {
	if err := checkText(schema); err != nil {
		return nil, err
	}
	w := &Warehouse{server: server, schema: schema, idleTimeout: idleTimeout}
	conn, err := server.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.close()
	w.dialect = server.dialect()
	if err := w.readLayout(ctx, conn); err != nil {
		return nil, err
	}
	return w, nil
}

// readLayout finds out which tables and columns there are.
func (w *Warehouse) readLayout(ctx context.Context, conn connection) error {
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
	w.jsonValues = slices.ContainsFunc(traits, func(c column) bool { return c.name == "value" && c.isJSON })
	w.receivedAt = hasColumn(identifiers, "received_at")
	w.noTimes, err = w.readTimes(ctx, conn, traits, identifiers)
	return err
}

func hasColumn(columns []column, name string) bool {
	return slices.ContainsFunc(columns, func(c column) bool { return c.name == name })
}

// readTimes returns why the tables do not tell when their rows were written, or "". A row without a
// uuid_ts counts as changed; where no row has one, every reading would be a whole one.
func (w *Warehouse) readTimes(ctx context.Context, conn connection, traits, identifiers []column) (string, error) {
	s := statement{dialect: w.dialect, schema: w.schema, identifiers: w.identifiers}
	for _, t := range []struct {
		table   string
		columns []column
	}{{tableTraits, traits}, {w.identifiers, identifiers}} {
		i := slices.IndexFunc(t.columns, func(c column) bool { return c.name == "uuid_ts" })
		if i < 0 {
			return fmt.Sprintf("the tables of the schema %q have no column uuid_ts", w.schema), nil
		}
		if !t.columns[i].isTime {
			return fmt.Sprintf("the column uuid_ts of the table %s is not a timestamp", t.table), nil
		}
	}
	rows, err := query(ctx, conn, s.timesSQL())
	if problemOf(err) == PermissionDenied { // reading the rows says so
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if someSet, someNull := rows[0][0] != "0", rows[0][1] != "0"; someNull && !someSet {
		return fmt.Sprintf("the column uuid_ts of the tables of the schema %q is NULL in every row", w.schema), nil
	}
	return "", nil
}

// columns returns the columns of a table, or nil if there is no such table. It asks for no
// rows instead of reading the catalog, where Redshift's external tables and views are not.
func (w *Warehouse) columns(ctx context.Context, conn connection, table string) ([]column, error) {
	s := statement{dialect: w.dialect, schema: w.schema}
	columns := []column{}
	err := conn.rows(ctx, "reading the table "+table, "SELECT * FROM "+s.table(table)+" LIMIT 0", func(all []column) {
		for _, c := range all {
			if w.dialect.name != "postgres" { // the others fold the case of names, unless they are told not to
				c.name = strings.ToLower(c.name)
			}
			columns = append(columns, c)
		}
	}, func([][]byte) error { return nil })
	if err == nil {
		return columns, nil
	}
	if p := problemOf(err); p == MissingTable || p == UnknownSchema {
		w.absent, _ = errors.AsType[*Error](err)
		return nil, nil
	}
	return nil, err
}

// missing returns an error that names everything that is not there; nil columns mean that
// there is no table.
func (w *Warehouse) missing(ctx context.Context, conn connection, traits, identifiers []column) error {
	var similar [][]string                                                           // schemas, and tables of them, whose names differ in case at most
	if pg, ok := w.server.(*postgres); ok && (traits == nil || identifiers == nil) { // the others name what they do not find
		s := statement{dialect: w.dialect}
		rows, err := query(ctx, conn, "SELECT n.nspname, c.relname FROM pg_catalog.pg_namespace n LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid "+
			"AND lower(c.relname) IN ("+s.list([]string{tableTraits, tableIdentifiers})+") WHERE lower(n.nspname) = lower("+s.literal(w.schema)+")")
		if err != nil {
			return err
		}
		hasSchema := slices.ContainsFunc(rows, func(row []string) bool { return row[0] == w.schema })
		if traits == nil && identifiers == nil && !hasSchema {
			text := fmt.Sprintf("the database %q has no schema %q", pg.config.Database, w.schema)
			if len(rows) > 0 {
				text += fmt.Sprintf("; it has %q", rows[0][0])
			}
			return &Error{Problem: UnknownSchema, text: text}
		}
		similar = rows
	}
	var tables, columns []string
	note := func(table string, has []column, needed ...string) {
		if has == nil {
			text := table
			if i := slices.IndexFunc(similar, func(row []string) bool { return row[0] == w.schema && strings.EqualFold(row[1], table) }); i >= 0 {
				text += fmt.Sprintf(" (it has %q: the case counts)", similar[i][1])
			}
			tables = append(tables, text)
			return
		}
		for _, name := range needed {
			if hasColumn(has, name) {
				continue
			}
			text := table + "." + name
			if i := slices.IndexFunc(has, func(c column) bool { return strings.EqualFold(c.name, name) }); i >= 0 {
				text += fmt.Sprintf(" (it has %q: the case counts)", has[i].name)
			}
			columns = append(columns, text)
		}
	}
	note(tableTraits, traits, "canonical_segment_id", "name", "value", "seq")
	note(w.identifiers, identifiers, "canonical_segment_id", "type", "value", "seq")
	switch {
	case len(tables) > 0 && w.absent != nil && w.absent.Vendor != "": // which does not tell what may not be seen
		return w.absent
	case len(tables) > 0:
		return &Error{Problem: MissingTable, text: fmt.Sprintf("the schema %q has no table %s", w.schema, strings.Join(append(tables, columns...), ", "))}
	case len(columns) > 0:
		return &Error{Problem: MissingColumn, text: fmt.Sprintf("the schema %q has no column %s", w.schema, strings.Join(columns, ", "))}
	}
	return nil
}

// TellsChanges reports whether the tables say when their rows were written, which Query.Since
// needs.
func (w *Warehouse) TellsChanges() bool { return w.noTimes == "" }

// statement returns what the text of a statement for the query is made from.
func (w *Warehouse) statement(q Query) (*statement, error) {
	s, err := newStatement(w.dialect, w.schema, q)
	if err != nil {
		return nil, err
	}
	if !q.Since.IsZero() && w.noTimes != "" {
		return nil, &Error{Problem: NoTimes, text: w.noTimes + ", so it cannot be said what changed since a time"}
	}
	s.identifiers, s.receivedAt, s.changes = w.identifiers, w.receivedAt, w.TellsChanges()
	s.jsonValues = w.jsonValues
	return s, nil
}

// query returns the rows of a small result, as text; "" for NULL.
func query(ctx context.Context, conn connection, sql string) ([][]string, error) {
	var rows [][]string
	err := conn.rows(ctx, "asking the warehouse", sql, nil, func(values [][]byte) error {
		row := make([]string, len(values))
		for i, value := range values {
			row[i] = string(value)
		}
		rows = append(rows, row)
		return nil
	})
	return rows, err
}
