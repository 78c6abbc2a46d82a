package sandbox

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
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"
)

// WriteNDJSON writes people as a file of profiles, one a line.
func WriteNDJSON(to io.Writer, people iter.Seq[Person]) error {
	type externalID struct {
		ID        string    `json:"id"`
		Type      string    `json:"type"`
		CreatedAt time.Time `json:"created_at,omitzero"`
	}
	out := bufio.NewWriter(to)
	encoder := json.NewEncoder(out)
	for p := range people {
		line := struct {
			SegmentID   string         `json:"segment_id"`
			ExternalIDs []externalID   `json:"external_ids"`
			Traits      map[string]any `json:"traits"`
		}{SegmentID: p.SegmentID, Traits: p.Traits}
		for _, id := range p.ExternalIDs {
			line.ExternalIDs = append(line.ExternalIDs, externalID{id.ID, id.Type, id.CreatedAt})
		}
		if err := encoder.Encode(line); err != nil {
			return err
		}
	}
	return out.Flush()
}

// FillPostgres creates the schema, if there is none, and in it the tables of Profiles Sync with
// these people. It ranges over them twice. Tables that are there already are an error. Objects
// and lists among the traits become JSON text, and nil becomes NULL. Of several external IDs of
// a type the newest one gets the greatest seq; of those equally old the smallest one. NUL, which
// Postgres cannot hold, is left out.
func FillPostgres(ctx context.Context, conn *pgconn.PgConn, schema string, people iter.Seq[Person]) error {
	const common = `seq bigint, received_at timestamptz DEFAULT now(), uuid_ts timestamptz DEFAULT now(), "timestamp" timestamptz DEFAULT now()`
	schema = `"` + strings.ReplaceAll(schema, `"`, `""`) + `"`
	create := `BEGIN;
SET LOCAL client_encoding = 'UTF8';
CREATE SCHEMA IF NOT EXISTS ` + schema + `;
CREATE TABLE ` + schema + `.user_identifiers (canonical_segment_id text, type text, value text, ` + common + `);
CREATE TABLE ` + schema + `.user_traits (canonical_segment_id text, name text, value text, ` + common + `);`
	if err := conn.Exec(ctx, create).Close(); err != nil {
		return fmt.Errorf("creating the tables: %w", err)
	}
	identifiers := "COPY " + schema + ".user_identifiers (canonical_segment_id, type, value, seq) FROM STDIN"
	if err := copyRows(ctx, conn, identifiers, people, writeIdentifiers); err != nil {
		return fmt.Errorf("filling the table user_identifiers: %w", err)
	}
	traits := "COPY " + schema + ".user_traits (canonical_segment_id, name, value, seq) FROM STDIN"
	if err := copyRows(ctx, conn, traits, people, writeTraits); err != nil {
		return fmt.Errorf("filling the table user_traits: %w", err)
	}
	return conn.Exec(ctx, "COMMIT").Close()
}

// copyRows sends the rows of all people. write writes those of one, the first of which
// has the sequence number seq, and returns how many it wrote.
func copyRows(ctx context.Context, conn *pgconn.PgConn, sql string, people iter.Seq[Person],
	write func(w *bufio.Writer, p *Person, seq int) (int, error)) error {
	in, out := io.Pipe()
	var group errgroup.Group
	group.Go(func() error {
		w := bufio.NewWriter(out)
		seq := 1
		for p := range people {
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

func writeIdentifiers(w *bufio.Writer, p *Person, seq int) (int, error) {
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

func writeTraits(w *bufio.Writer, p *Person, seq int) (int, error) {
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
