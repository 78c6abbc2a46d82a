package profilessync

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"
)

// readAhead is how many profiles are read before they are taken.
const readAhead = 64

// errPaused ends a statement whose profiles nobody takes.
var errPaused = errors.New("paused")

// Profiles ranges over the profiles of the query, in the byte order of their ids. They come
// from one statement, and so from one snapshot. If no profile is taken for a minute, the
// statement is closed, so that it does not hold back the vacuum of the database; the next
// profiles then come from another snapshot. A profile comes only when all of its rows have
// been read. It stops at the first error.
func (w *Warehouse) Profiles(ctx context.Context, q Query) iter.Seq2[*Profile, error] {
	return func(yield func(*Profile, error) bool) {
		for {
			last, err := w.stream(ctx, q, yield)
			switch {
			case errors.Is(err, errPaused):
				q.After = last
			case err != nil:
				yield(nil, err)
				return
			default:
				return
			}
		}
	}
}

// stream yields the profiles of one statement. It returns the id of the last one. Only the
// consumer's goroutine calls yield and Started.
func (w *Warehouse) stream(ctx context.Context, q Query, yield func(*Profile, error) bool) (last string, err error) {
	last = q.After
	s, err := w.statement(q)
	if err != nil {
		return last, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	started := make(chan time.Time, 1)
	profiles := make(chan *Profile, readAhead)
	var group errgroup.Group
	group.Go(func() error {
		defer close(profiles)
		return w.read(ctx, s, newPlan(q), started, profiles)
	})
	for p := range profiles {
		if q.Started != nil {
			q.Started(<-started)
			q.Started = nil
		}
		last = p.SegmentID
		if !yield(p, nil) {
			cancel()
			group.Wait() // its error is that of the cancelled context
			return last, nil
		}
	}
	if err := group.Wait(); err != nil {
		return last, err
	}
	if q.Started != nil {
		q.Started(<-started)
	}
	return last, nil
}

// read sends the profiles of the statement. It tells started the time, before the first one.
func (w *Warehouse) read(ctx context.Context, s *statement, p *plan, started chan<- time.Time, profiles chan<- *Profile) error {
	sql, err := s.execute("rows")
	if err != nil {
		return err
	}
	conn, err := w.connect(ctx)
	if err != nil {
		return err
	}
	defer closeConn(conn)
	if err := w.begin(ctx, conn); err != nil {
		return err
	}
	now, err := w.now(ctx, conn)
	if err != nil {
		return err
	}
	started <- now
	return scan(ctx, conn, sql, p, func(p *Profile) error { return w.send(ctx, profiles, p) })
}

// send sends the profile. It gives up, with errPaused, when nobody takes it.
func (w *Warehouse) send(ctx context.Context, profiles chan<- *Profile, p *Profile) error {
	select {
	case profiles <- p:
		return nil
	default:
	}
	timer := time.NewTimer(w.patience)
	defer timer.Stop()
	select {
	case profiles <- p:
		return nil
	case <-timer.C:
		return errPaused
	case <-ctx.Done():
		return ctx.Err()
	}
}

// now returns the time at which the transaction began, or one shortly after.
func (w *Warehouse) now(ctx context.Context, conn *pgconn.PgConn) (time.Time, error) {
	rows, err := query(ctx, conn, "SELECT to_char("+w.dialect.clock+`, '`+timeFormat+`')`)
	if err != nil {
		return time.Time{}, err
	}
	return time.Parse(time.RFC3339, rows[0][0])
}

const timeFormat = `YYYY-MM-DD"T"HH24:MI:SS.US"Z"`

// scan runs the statement and calls do for each profile, once all of its rows are there.
func scan(ctx context.Context, conn *pgconn.PgConn, sql string, p *plan, do func(*Profile) error) error {
	const doing = "reading profiles from the warehouse"
	results := conn.Exec(ctx, sql)
	if !results.NextResult() {
		return statementError(doing, results.Close())
	}
	rows := results.ResultReader()
	g := newGrouper(p)
	var r row
	for rows.NextRow() {
		values := rows.Values()
		r = row{id: values[0], kind: values[1], name: values[2], value: values[3], seq: values[4]}
		if len(values) > 5 {
			r.receivedAt = values[5]
		}
		if string(r.id) != g.id {
			if g.wanted {
				if err := do(g.profile()); err != nil {
					return err
				}
			}
			g.start(r.id)
		}
		if err := g.add(&r); err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
	}
	if err := results.Close(); err != nil {
		return statementError(doing, err)
	}
	if !g.wanted {
		return nil
	}
	return do(g.profile())
}

// byIDLimit is how many ids one statement asks for.
const byIDLimit = 1000

// ByID returns those of the profiles with these ids that are there, in the order of their
// ids. Of the query, After and Since are not used.
func (w *Warehouse) ByID(ctx context.Context, ids []string, q Query) ([]*Profile, error) {
	q.After, q.Since = "", time.Time{}
	s, err := w.statement(q)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	conn, err := w.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer closeConn(conn)
	if err := w.begin(ctx, conn); err != nil {
		return nil, err
	}
	var all []*Profile
	ids = slices.Sorted(slices.Values(ids))
	for part := range slices.Chunk(slices.Compact(ids), byIDLimit) {
		s.IDs = part
		sql, err := s.execute("rows")
		if err != nil {
			return nil, err
		}
		if err := scan(ctx, conn, sql, newPlan(q), func(p *Profile) error {
			all = append(all, p)
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return all, nil
}
