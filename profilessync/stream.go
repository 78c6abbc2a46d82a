package profilessync

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"
)

// readAhead is how many profiles are read before they are taken.
const readAhead = 64

// errPaused ends a statement whose profiles nobody takes, or whose result is no longer there: it is
// started again behind the last profile.
var errPaused = errors.New("the result of the statement is no longer there")

// Profiles ranges over the profiles of the query, in the byte order of their ids. They come
// from one statement, and so from one snapshot. If no profile is taken for the idleTimeout, the
// statement is closed, so that it does not hold back the vacuum of a database; the next
// profiles then come from another snapshot. A profile comes only when all of its rows have
// been read. It stops at the first error.
func (w *Warehouse) Profiles(ctx context.Context, q Query) iter.Seq2[*Profile, error] {
	return func(yield func(*Profile, error) bool) {
		stuck := 0 // statements in a row that gave no profile
		for {
			last, err := w.stream(ctx, q, yield)
			switch {
			case errors.Is(err, errPaused) && last == q.After && stuck == maxSilentRestarts:
				yield(nil, &Error{Problem: ConnectionLost, text: "reading profiles from the warehouse: the statement ends each time before a profile is complete"})
				return
			case errors.Is(err, errPaused):
				if stuck++; last != q.After {
					stuck = 0
				}
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
		return w.read(ctx, s, newSelection(q), started, profiles)
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
func (w *Warehouse) read(ctx context.Context, s *statement, selected *selection, started chan<- time.Time, profiles chan<- *Profile) error {
	conn, now, err := w.begin(ctx)
	if err != nil {
		return err
	}
	defer conn.close()
	started <- now
	return scan(ctx, conn, s.rowsSQL(), selected, func(p *Profile) error { return w.send(ctx, profiles, p) })
}

// send sends the profile. It gives up, with errPaused, when nobody takes it.
func (w *Warehouse) send(ctx context.Context, profiles chan<- *Profile, p *Profile) error {
	select {
	case profiles <- p:
		return nil
	default:
	}
	timer := time.NewTimer(w.idleTimeout)
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

// begin connects, and begins to read. It returns the time of that by the warehouse's clock, or one shortly after.
func (w *Warehouse) begin(ctx context.Context) (conn connection, now time.Time, err error) {
	if conn, err = w.server.connect(ctx); err != nil {
		return nil, now, err
	}
	if err = conn.begin(ctx); err == nil {
		var rows [][]string
		if rows, err = query(ctx, conn, "SELECT "+fmt.Sprintf(w.dialect.timeText, w.dialect.clock)); err == nil {
			now, err = time.Parse(time.RFC3339, rows[0][0])
		}
	}
	if err != nil {
		conn.close()
	}
	return conn, now, err
}

// scan runs the statement and calls do for each profile, once all of its rows are there.
func scan(ctx context.Context, conn connection, sql string, selected *selection, do func(*Profile) error) error {
	const doing = "reading profiles from the warehouse"
	g := newGrouper(selected, "")
	var r row
	err := conn.rows(ctx, doing, sql, nil, func(values [][]byte) error {
		if len(values) == 2 {
			r = row{id: values[0], entries: values[1]}
		} else {
			r = row{id: values[0], kind: values[1], name: values[2], value: values[3], seq: values[4], damaged: !utf8.Valid(values[3]), nameDamaged: !utf8.Valid(values[2])}
		}
		if len(values) > 5 {
			r.receivedAt = values[5]
		}
		for _, value := range values {
			r.size += len(value)
		}
		if string(r.id) != g.id {
			if err := g.end(do); err != nil {
				return err
			}
			if err := g.start(r.id); err != nil {
				return &Error{Problem: Refused, text: doing + ": " + err.Error()}
			}
		}
		if err := g.add(&r); err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return g.end(do)
}

// byIDLimit is how many ids one statement asks for.
const byIDLimit = 1000

// ByID returns those of the profiles with these ids that are there, in the order of their
// ids. Of the query, After, Since and Started are not used.
func (w *Warehouse) ByID(ctx context.Context, ids []string, q Query) ([]*Profile, error) {
	var all []*Profile
	ids = slices.Sorted(slices.Values(ids))
	for part := range slices.Chunk(slices.Compact(ids), byIDLimit) {
		q.After, q.Since, q.Started, q.ids = "", time.Time{}, nil, part
		for p, err := range w.Profiles(ctx, q) {
			if err != nil {
				return nil, err
			}
			all = append(all, p)
		}
	}
	return all, nil
}
