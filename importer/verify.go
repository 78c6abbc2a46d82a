package importer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"segsync/importer/journal"
	"segsync/voucherify"
)

// Verify says whether and how to find out what became of the customers sent.
type Verify struct {
	Off      bool
	Interval time.Duration // the longest time between two looks
	Timeout  time.Duration // how long to look on once everything is sent
}

const (
	firstLook  = time.Second
	nextLook   = 5 * time.Second
	listMargin = 5 * time.Minute // between our clock and Voucherify's
	// maxActionPages bounds one look at the list: other jobs of the project are in it, too.
	maxActionPages = 200
	// hiddenFor is how long an accepted action may be missing from the list before it
	// is asked for by its id.
	hiddenFor = 15 * time.Second
	// givenUpAfter is the age at which an action that is unknown to Voucherify, or
	// never ends, is taken for failed.
	givenUpAfter = 12 * time.Hour
)

// verdict is what became of the customers of an action.
type verdict struct {
	action    journal.Action
	requestID string
	failed    bool   // the action as a whole
	why       string // if failed
	rejected  []voucherify.ActionError
	unnamed   int // customers rejected beyond those named
}

// verifier finds out what became of the actions in the state, while the import goes on
// and for a while after it.
type verifier struct {
	client  *voucherify.Client
	how     Verify
	log     *slog.Logger
	pending func() []journal.Action // a snapshot

	allSent  <-chan struct{} // closed when no further customer will be sent
	verdicts chan []verdict
	settled  map[string]bool // a verdict was given in this run
	lost     map[string]bool // Voucherify does not know it, or gave no counts

	unreadable map[string]int // how often reading it was an error
}

// run gives a verdict on every action it can, until none is left once everything is
// sent, or the time is up. It closes verdicts.
func (v *verifier) run(ctx context.Context) error {
	defer close(v.verdicts)
	if v.how.Off {
		return nil
	}
	interval, allSent := firstLook, v.allSent
	timer := time.NewTimer(interval)
	defer timer.Stop()
	for {
		select {
		case <-allSent:
			allSent = nil
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, v.how.Timeout) // of a look under way, too
			defer cancel()
			interval = firstLook
		case <-timer.C:
			if len(v.open()) == 0 {
				break // nothing to look for is no reason to look more seldom
			}
			found, err := v.look(ctx)
			if err != nil && ctx.Err() == nil {
				if allSent == nil {
					return err
				}
				v.log.Warn("cannot see what became of the customers sent; trying again later", "cause", err)
			}
			interval = v.next(interval, found)
		case <-ctx.Done():
			return nil
		}
		if allSent == nil && len(v.open()) == 0 {
			return nil
		}
		timer.Reset(interval)
	}
}

// VerifyError is the error of a run that sent everything, and could not find out what
// became of it.
type VerifyError struct{ Err error }

func (e *VerifyError) Error() string {
	return "everything is sent, but it cannot be seen what became of it: " + e.Err.Error()
}

func (e *VerifyError) Unwrap() error { return e.Err }

// newVerifier returns a verifier of the actions in the journal's state. What it finds out
// comes by verdicts.
func newVerifier(client *voucherify.Client, how Verify, state func() *journal.State, allSent <-chan struct{}, log *slog.Logger) *verifier {
	return &verifier{
		client:   client,
		how:      how,
		log:      log,
		pending:  func() []journal.Action { return state().Actions },
		allSent:  allSent,
		verdicts: make(chan []verdict),
		settled:  make(map[string]bool),
		lost:     make(map[string]bool),

		unreadable: make(map[string]int),
	}
}

// next returns the time to the next look: soon after one that found something, later
// and later while nothing is found.
func (v *verifier) next(interval time.Duration, found int) time.Duration {
	if found > 0 || interval < nextLook {
		return min(nextLook, v.how.Interval)
	}
	return min(interval*3/2, v.how.Interval)
}

// open returns the actions that a verdict may still be given on.
func (v *verifier) open() []journal.Action {
	var open []journal.Action
	for _, a := range v.pending() {
		if !a.Open && !a.Failed && !v.settled[a.ID] && !v.lost[a.ID] {
			open = append(open, a)
		}
	}
	return open
}

// maxUnreadable is how many actions in one look may not be readable before it is given up.
const maxUnreadable = 3

// verdictsAtOnce bounds how many verdicts wait for their last action to be read.
const verdictsAtOnce = 50

// look gives a verdict on each action that has ended since the last look, and returns
// how many there were.
func (v *verifier) look(ctx context.Context) (found int, err error) {
	open := v.open()
	if len(open) == 0 {
		return 0, nil
	}
	listed, err := v.list(ctx, open)
	if err != nil {
		return 0, fmt.Errorf("listing the async actions: %w", err)
	}
	// What could not be read last time comes last, so that it does not hold up the rest.
	slices.SortStableFunc(open, func(a, b journal.Action) int { return v.unreadable[a.ID] - v.unreadable[b.ID] })
	var given []verdict
	var errs []error
	for _, a := range open {
		ended, isListed := listed[a.ID]
		var one *verdict
		switch {
		case ended, !isListed && time.Since(a.Accepted) >= hiddenFor:
			if one, err = v.judge(ctx, a); err != nil {
				v.unreadable[a.ID]++
				if errs = append(errs, err); len(errs) == maxUnreadable || ctx.Err() != nil {
					return found, errors.Join(append(errs, v.give(ctx, given))...)
				}
			}
		default:
			one = unended(a)
		}
		if one != nil {
			given = append(given, *one)
			found++
		}
		if len(given) == verdictsAtOnce {
			if err := v.give(ctx, given); err != nil {
				return found, err
			}
			given = nil
		}
	}
	return found, errors.Join(append(errs, v.give(ctx, given))...)
}

// list returns for each open action that the list shows whether it has ended. It reads
// back to the oldest one.
func (v *verifier) list(ctx context.Context, open []journal.Action) (map[string]bool, error) {
	wanted, oldest := make(map[string]bool), open[0].Accepted
	for _, a := range open {
		wanted[a.ID] = true
		if a.Accepted.Before(oldest) {
			oldest = a.Accepted
		}
	}
	listed, known := make(map[string]bool), make(map[string]bool)
	for end, pages := (time.Time{}), 0; ; pages++ {
		page, err := v.client.AsyncActions(ctx, voucherify.MaxActionsLimit, end)
		if err != nil {
			return nil, err
		}
		more := false // the page told something new: end_date may or may not include its instant
		for _, a := range page {
			more = more || !known[a.ID]
			known[a.ID] = true
			if wanted[a.ID] {
				listed[a.ID] = a.Ended()
			}
			if end.IsZero() || a.CreatedAt.Before(end) {
				end = a.CreatedAt
			}
		}
		if pages == maxActionPages { // what is not listed is asked for by its id
			return listed, nil
		}
		if !more || len(page) < voucherify.MaxActionsLimit || len(listed) == len(wanted) || end.Before(oldest.Add(-listMargin)) {
			return listed, nil
		}
	}
}

// judge reads the action and returns the verdict on it, or nil if there is none yet.
func (v *verifier) judge(ctx context.Context, a journal.Action) (*verdict, error) {
	action, err := v.client.AsyncAction(ctx, a.ID)
	var answer *voucherify.Error
	switch {
	case errors.As(err, &answer) && answer.NotFound():
		return v.lose(a, "Voucherify does not know it"), nil
	case err != nil:
		return nil, fmt.Errorf("reading the async action %s: %w", a.ID, err)
	case !action.Ended():
		return unended(a), nil
	case action.Status == "FAILED":
		return &verdict{action: a, requestID: action.RequestID, failed: true, why: "its status is FAILED"}, nil
	case action.Result.DoneCount == nil:
		return v.lose(a, "it is DONE without counts"), nil
	}
	if !plausible(action.Result, a.Sent) {
		return v.lose(a, "its counts cannot be true"), nil
	}
	rejected, unnamed := rejections(action.Result, a.Sent)
	return &verdict{action: a, requestID: action.RequestID, rejected: rejected, unnamed: unnamed}, nil
}

// unended takes an action for failed that has not ended for too long.
func unended(a journal.Action) *verdict {
	if time.Since(a.Accepted) <= givenUpAfter {
		return nil
	}
	return &verdict{action: a, failed: true, why: "it has not ended within " + givenUpAfter.String()}
}

// plausible reports whether the counts of an action can be true.
func plausible(r voucherify.ActionResult, sent int) bool {
	within := func(n *int) bool { return n == nil || *n >= 0 && *n <= sent }
	return within(r.DoneCount) && within(r.FailedCount)
}

// rejections returns the records of a finished action that were rejected, and how many
// there are beyond those that can be named. What the action does not account for counts
// as rejected.
func rejections(r voucherify.ActionResult, sent int) (named []voucherify.ActionError, unnamed int) {
	seen := make(map[string]bool)
	name := func(e voucherify.ActionError) {
		if e.SourceID != "" && !seen[e.SourceID] { // one customer may have several errors
			seen[e.SourceID] = true
			named = append(named, e)
		}
	}
	for _, e := range r.Errors {
		name(e)
	}
	for _, record := range r.Results {
		if !record.Updated {
			name(voucherify.ActionError{SourceID: record.SourceID, Key: "not_updated",
				Message: "Voucherify did not update this customer"})
		}
	}
	failed := sent - *r.DoneCount
	if r.FailedCount != nil {
		failed = max(failed, *r.FailedCount)
	}
	return named, max(failed-len(named), 0)
}

// lose takes an action for failed that will not be heard of any more, once it is old.
// A younger one is left unconfirmed, for a later run to look again.
func (v *verifier) lose(a journal.Action, why string) *verdict {
	if time.Since(a.Accepted) > givenUpAfter {
		return &verdict{action: a, failed: true, why: why}
	}
	v.lost[a.ID] = true
	v.log.Warn("an async action cannot be confirmed", "async_action_id", a.ID, "customers", a.Customers, "cause", why)
	return nil
}

// give sends the verdicts to be settled.
func (v *verifier) give(ctx context.Context, all []verdict) error {
	if len(all) == 0 {
		return nil
	}
	for _, d := range all {
		v.settled[d.action.ID] = true
	}
	select {
	case v.verdicts <- all:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
