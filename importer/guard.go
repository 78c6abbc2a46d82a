package importer

import (
	"cmp"
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
	unreadable, vanished, refused streak
	serverErrors                  int
	last                          string // why the last customer was refused
}

// streak is a number of failures in a row.
type streak struct{ n, next int }

// add counts a failure. It reports whether to check for an outage: after the first so many failures, then each
// time after ten times as many.
func (s *streak) add(first int) bool {
	s.n++
	s.next = cmp.Or(s.next, first)
	if s.n < s.next {
		return false
	}
	s.next = 10 * s.n
	return true
}

// observe counts the outcome of a profile. Its error ends the run.
func (g *guard) observe(ctx context.Context, r *run, p *profile, isKnown bool) error {
	if isKnown {
		return nil
	}
	switch p.Outcome {
	case outcome.Unreadable:
		if !g.unreadable.add(suspectUnreadable) || p.entry.Nameless {
			return nil
		}
		if err := r.source.CheckReadable(ctx); err != nil {
			return &UnreadableError{g.unreadable.n, p.Why.Detail, err}
		}
		return nil
	case outcome.Vanished:
		if !g.vanished.add(suspectVanished) {
			return nil
		}
		return r.source.CheckReadable(ctx)
	case outcome.Rejected:
		if p.Why.Reason == outcome.MetadataRequired { // it was not sent
			return nil
		}
		return g.observeRefused(ctx, r, p)
	case outcome.Sent, outcome.Confirmed:
		g.refused, g.serverErrors = streak{}, 0
	}
	g.unreadable, g.vanished = streak{}, streak{}
	return nil
}

func (g *guard) observeRefused(ctx context.Context, r *run, p *profile) error {
	g.last = p.Why.Detail
	if p.ServerError {
		g.serverErrors++
	}
	if !g.refused.add(suspectRefused) {
		return nil
	}
	err := r.sink.CheckAccepts(ctx)
	if errors.Is(err, sink.ErrNoneAccepted) && g.refused.n < maxRefused && g.serverErrors < maxServerErrors {
		g.refused.next = g.refused.n + 1
		return nil
	}
	if err != nil {
		return &RefusedError{g.refused.n, p.Why.Detail, err}
	}
	return nil
}

// end returns an error if the run ends with customers that were all refused.
func (g *guard) end(ctx context.Context, r *run) error {
	if g.refused.n < minRefused || !errors.Is(r.sink.CheckAccepts(ctx), sink.ErrNoneAccepted) {
		return nil
	}
	return &RefusedError{g.refused.n, g.last, sink.ErrNoneAccepted}
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
