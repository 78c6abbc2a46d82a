package profilessync

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"
)

// Fill creates the schema, if there is none, and in it the tables of Profiles Sync with
// these profiles, for trying out. It ranges over the profiles twice. Tables that are there
// already are an error. Objects and lists among the traits become JSON text, and nil becomes
// NULL. Of several external IDs of a type the newest one gets the greatest seq; of those
// equally old the smallest one. NUL, which Postgres cannot hold, is left out. Fill works in Postgres only.
func Fill(ctx context.Context, url, schema string, profiles iter.Seq[Profile]) error {
	config, err := parseURL(url)
	if err != nil {
		return err
	}
	w := &Warehouse{config: config, dialect: dialects[0], schema: schema}
	conn, err := w.connect(ctx)
	if err != nil {
		return err
	}
	defer closeConn(conn)
	s := statement{dialect: w.dialect, schema: schema}
	create := `BEGIN;
SET LOCAL client_encoding = 'UTF8';
CREATE SCHEMA IF NOT EXISTS ` + w.dialect.quoteName(schema) + `;
CREATE TABLE ` + s.Table(tableIdentifiers) + ` (canonical_segment_id text, type text, value text, ` + commonColumns + `);
CREATE TABLE ` + s.Table(tableTraits) + ` (canonical_segment_id text, name text, value text, ` + commonColumns + `);`
	if err := conn.Exec(ctx, create).Close(); err != nil {
		return statementError("creating the tables", err)
	}
	identifiers := "COPY " + s.Table(tableIdentifiers) + " (canonical_segment_id, type, value, seq) FROM STDIN"
	if err := copyRows(ctx, conn, identifiers, profiles, writeIdentifiers); err != nil {
		return statementError("filling the table "+tableIdentifiers, err)
	}
	traits := "COPY " + s.Table(tableTraits) + " (canonical_segment_id, name, value, seq) FROM STDIN"
	if err := copyRows(ctx, conn, traits, profiles, writeTraits); err != nil {
		return statementError("filling the table "+tableTraits, err)
	}
	if err := conn.Exec(ctx, "COMMIT").Close(); err != nil {
		return statementError("filling the tables", err)
	}
	return nil
}

const commonColumns = `seq bigint, received_at timestamptz DEFAULT now(), uuid_ts timestamptz DEFAULT now(), "timestamp" timestamptz DEFAULT now()`

// copyRows sends the rows of all profiles. write writes those of one, the first of which
// has the sequence number seq, and returns how many it wrote.
func copyRows(ctx context.Context, conn *pgconn.PgConn, sql string, profiles iter.Seq[Profile],
	write func(w *bufio.Writer, p *Profile, seq int) (int, error)) error {
	in, out := io.Pipe()
	var group errgroup.Group
	group.Go(func() error {
		w := bufio.NewWriter(out)
		seq := 1
		for p := range profiles {
			n, err := write(w, &p, seq)
			if err != nil {
				out.CloseWithError(err)
				return err
			}
			seq += n
		}
		return out.CloseWithError(w.Flush())
	})
	_, err := conn.CopyFrom(ctx, in, sql)
	in.CloseWithError(io.ErrClosedPipe) // ends the goroutine where CopyFrom ended early
	return cmp.Or(err, group.Wait())
}

func writeIdentifiers(w *bufio.Writer, p *Profile, seq int) (int, error) {
	ids := slices.SortedFunc(slices.Values(p.ExternalIDs), func(a, b ExternalID) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(b.ID, a.ID))
	})
	for i, id := range ids {
		if err := writeRow(w, p.SegmentID, id.Type, copyEscaper.Replace(id.ID), seq+i); err != nil {
			return 0, err
		}
	}
	return len(ids), nil
}

func writeTraits(w *bufio.Writer, p *Profile, seq int) (int, error) {
	for i, name := range slices.Sorted(maps.Keys(p.Traits)) {
		var text string
		switch value := p.Traits[name].(type) {
		case nil:
			text = `\N`
		case string:
			text = copyEscaper.Replace(value)
		default:
			data, err := json.Marshal(value)
			if err != nil {
				return 0, fmt.Errorf("trait %q: %w", name, err)
			}
			text = copyEscaper.Replace(string(data))
		}
		if err := writeRow(w, p.SegmentID, name, text, seq+i); err != nil {
			return 0, err
		}
	}
	return len(p.Traits), nil
}

// writeRow writes a line in the text format of COPY; value is escaped already.
func writeRow(w *bufio.Writer, id, name, value string, seq int) error {
	_, err := fmt.Fprintf(w, "%s\t%s\t%s\t%d\n", copyEscaper.Replace(id), copyEscaper.Replace(name), value, seq)
	return err
}

var copyEscaper = strings.NewReplacer("\x00", "", `\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`)
