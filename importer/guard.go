package importer

import (
	"context"
	"errors"
	"fmt"

	"segsync/importer/outcome"
	"segsync/importer/sink"
)

// RefusedError is the error of a run in which Voucherify refused many customers in a row, and takes
// no other one either.
type RefusedError struct {
	Customers int
	Last      string // what Voucherify said of the last one
	Err       error  // of a customer that it took before
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("Voucherify has refused %d customers in a row; the last: %s", e.Customers, e.Last)
}

func (e *RefusedError) Unwrap() error { return e.Err }

// UnreadableError is the error of a run in which many profiles in a row could not be read, and no
// other one can be read either.
type UnreadableError struct {
	Profiles int
	Last     string
	Err      error
}

func (e *UnreadableError) Error() string {
	return fmt.Sprintf("%d profiles in a row could not be read; the last: %s", e.Profiles, e.Last)
}

func (e *UnreadableError) Unwrap() error { return e.Err }

const (
	suspectUnreadable = 10  // profiles in a row that could not be read, until the source is asked
	suspectVanished   = 200 // profiles in a row that vanished, until the source is asked
	suspectRefused    = 3   // customers in a row that were refused, until the sink is asked
	minRefused        = 10  // customers in a row at the end of a run that fail it, if none was accepted
	maxRefused        = 100 // customers in a row that were refused, if none was accepted
	maxServerErrors   = 3   // the same, refused by server errors after many attempts
)

// guard tells an outage from bad profiles and customers. It counts failures in a row, in the order of the
// source, and checks that a good one fails, too, before it ends a run. Known failures do not count: so the
// next run gets past the place where this guard ended one.
type guard struct {
	unreadable, vanished, refused int // in a row
	nextUnreadable, nextVanished  int // when the source is asked again
	nextRefused                   int
	serverErrors                  int
	last                          string // why the last customer was refused
}

// observe counts the outcome of a profile. Its error ends the run.
func (g *guard) observe(ctx context.Context, r *run, p *profile, isKnown bool) error {
	if isKnown {
		return nil
	}
	switch p.Outcome {
	case outcome.Unreadable:
		g.unreadable++
		if !isDue(g.unreadable, suspectUnreadable, &g.nextUnreadable) || p.entry.Nameless {
			return nil
		}
		if err := r.source.CheckReadable(ctx); err != nil {
			return &UnreadableError{g.unreadable, p.Why.Detail, err}
		}
		return nil
	case outcome.Vanished:
		g.vanished++
		if !isDue(g.vanished, suspectVanished, &g.nextVanished) {
			return nil
		}
		return r.source.CheckReadable(ctx)
	case outcome.Rejected:
		if p.Why.Reason == lacksRequired { // it was not sent
			return nil
		}
		return g.observeRefused(ctx, r, p)
	case outcome.Sent, outcome.Confirmed:
		g.refused, g.nextRefused, g.serverErrors = 0, 0, 0
	}
	g.unreadable, g.nextUnreadable, g.vanished, g.nextVanished = 0, 0, 0, 0
	return nil
}

func (g *guard) observeRefused(ctx context.Context, r *run, p *profile) error {
	g.refused++
	g.last = p.Why.Detail
	if p.ServerError {
		g.serverErrors++
	}
	if !isDue(g.refused, suspectRefused, &g.nextRefused) {
		return nil
	}
	err := r.sink.CheckAccepts(ctx)
	if errors.Is(err, sink.ErrNoneAccepted) && g.refused < maxRefused && g.serverErrors < maxServerErrors {
		g.nextRefused = g.refused + 1
		return nil
	}
	if err != nil {
		return &RefusedError{g.refused, p.Why.Detail, err}
	}
	return nil
}

// end returns an error if the run ends with customers that were all refused.
func (g *guard) end(ctx context.Context, r *run) error {
	if g.refused < minRefused || !errors.Is(r.sink.CheckAccepts(ctx), sink.ErrNoneAccepted) {
		return nil
	}
	return &RefusedError{g.refused, g.last, sink.ErrNoneAccepted}
}

// isDue reports whether to ask after n failures: after the first so many, then each ten times as many.
func isDue(n, first int, next *int) bool {
	if *next == 0 {
		*next = first
	}
	if n < *next {
		return false
	}
	*next = 10 * n
	return true
}

// checkAllGone returns an error if every profile of a run was gone, however few there were, and the
// source gives no other one either.
func (r *run) checkAllGone(ctx context.Context) error {
	s := r.journal.State()
	if n := s.Count(outcome.Vanished); n == 0 || n < s.Counts.Read() {
		return nil
	}
	return r.source.CheckReadable(ctx)
}
