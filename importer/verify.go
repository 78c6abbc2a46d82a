package importer

import (
	"context"
	"time"

	"segsync/importer/sink"
)

const (
	firstPoll = time.Second
	nextPoll  = 5 * time.Second
)

// VerifyError is the error of a run that sent everything, and could not check its status.
type VerifyError struct{ Err error }

func (e *VerifyError) Error() string {
	return "all customers were sent; their status could not be checked: " + e.Err.Error()
}

func (e *VerifyError) Unwrap() error { return e.Err }

// verifier polls the async actions in the journal, while the import goes on and for a while after it.
type verifier struct {
	*run
	allSent  <-chan struct{} // closed when no further customer will be sent
	verdicts chan []sink.Verdict
	done     map[string]bool // actions with a verdict, or without one that this run can get
}

// watch polls until everything is sent and no action is open, or until the timeout. It closes verdicts.
func (v *verifier) watch(ctx context.Context) error {
	defer close(v.verdicts)
	if v.Verify.Off {
		return nil
	}
	first := min(firstPoll, v.Verify.Interval)
	interval, allSent := first, v.allSent
	timer := time.NewTimer(interval)
	defer timer.Stop()
	for {
		select {
		case <-allSent:
			allSent = nil
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, v.Verify.Timeout) // of a poll under way, too
			defer cancel()
			interval = first
		case <-timer.C:
			found, err := v.poll(ctx)
			if err != nil && ctx.Err() == nil {
				if allSent == nil {
					return err
				}
				v.Log.Warn("the status of the customers sent could not be checked; trying again later", "cause", err)
			}
			interval = v.nextInterval(interval, found)
		case <-ctx.Done():
			return nil
		}
		if allSent == nil && len(v.open()) == 0 {
			return nil
		}
		timer.Reset(interval)
	}
}

// poll asks for the open actions, and sends the verdicts on. It returns their number.
func (v *verifier) poll(ctx context.Context) (found int, err error) {
	for {
		open := v.open()
		if len(open) == 0 {
			return found, nil
		}
		verdicts, lost, err := v.confirmer.Poll(ctx, open)
		for _, a := range lost {
			v.done[a.ID] = true
		}
		for _, d := range verdicts {
			v.done[d.ActionID] = true
		}
		if len(verdicts) > 0 {
			select {
			case v.verdicts <- verdicts:
			case <-ctx.Done():
				return found, ctx.Err()
			}
		}
		found += len(verdicts)
		if err != nil || len(verdicts) == 0 {
			return found, err
		}
	}
}

// open returns the actions that may still get a verdict.
func (v *verifier) open() []sink.Action {
	var open []sink.Action
	for _, a := range v.journal.State().Actions {
		if !a.Open && !v.done[a.ID] {
			open = append(open, a.Action)
		}
	}
	return open
}

// nextInterval returns the time to the next poll: soon after one that found something, later
// and later while nothing is found.
func (v *verifier) nextInterval(interval time.Duration, found int) time.Duration {
	if found > 0 || interval < nextPoll {
		return min(nextPoll, v.Verify.Interval)
	}
	return min(interval*3/2, v.Verify.Interval)
}
