package importer

import (
	"fmt"
	"time"

	"segsync/voucherify"
)

// TooManyRejectsError is the error of a run that Settings.MaxRejects ended.
type TooManyRejectsError struct{ Rejected, Max int }

func (e *TooManyRejectsError) Error() string {
	return fmt.Sprintf("Voucherify has rejected %d customers, more than the %d allowed", e.Rejected, e.Max)
}

// Hint says what to do about the error.
func (e *TooManyRejectsError) Hint() string {
	return "look at the reasons in the file of profiles that were not imported; then continue with a larger --max-rejects"
}

func (r *run) settleAll(next *State, verdicts []verdict) error {
	for _, v := range verdicts {
		if err := r.settle(next, v); err != nil {
			return err
		}
	}
	return nil
}

// settle brings a verdict into the next state and the reports.
func (r *run) settle(next *State, v verdict) error {
	current := next.action(v.action.ID)
	if current == nil {
		return fmt.Errorf("a verdict on the unknown async action %s", v.action.ID)
	}
	action := *current
	if v.failed && !action.Resent {
		r.log.Warn("an async action failed: its customers are sent once more", "async_action_id", action.ID,
			"request_id", v.requestID, "customers", action.Customers, "cause", v.why)
		current.Failed = true
		next.Finished = time.Time{} // there is something to do again
		return nil
	}
	rejected, err := r.rejectedOf(action, v)
	if err != nil {
		return err
	}
	for _, n := range rejected {
		r.reports.noteNotImported(n)
		r.announce(n)
	}
	next.Counts.Rejected += len(rejected)
	next.Counts.Confirmed += action.Customers - len(rejected)
	next.removeAction(action.ID)
	return nil
}

// rejectedOf returns the lines for the customers of the action that were rejected.
func (r *run) rejectedOf(a Action, v verdict) ([]notImported, error) {
	if !v.failed && len(v.rejected) == 0 && v.unnamed == 0 {
		return nil, nil
	}
	customers, err := r.reports.sentBy(a)
	if err != nil {
		return nil, err
	}
	why := make(map[string]voucherify.ActionError)
	for _, e := range v.rejected {
		why[e.SourceID] = e
	}
	line := func(c sentCustomer, reason, detail string) notImported {
		return notImported{c.segmentID, c.sourceID, refusal{reason, detail}, a.ID, v.requestID}
	}
	var lines []notImported
	for _, c := range customers {
		if v.failed {
			lines = append(lines, line(c, "action_failed", "the async action failed twice: "+v.why))
		} else if e, ok := why[c.sourceID]; ok {
			lines = append(lines, line(c, e.Key, joinNonEmpty(e.Message, e.Details)))
		}
	}
	unnamed := 0
	if !v.failed {
		unnamed = v.unnamed
		if a.Customers == a.Sent { // else those named may be of a page that is sent again
			unnamed += len(v.rejected) - len(lines)
		}
		unnamed = min(unnamed, len(customers)-len(lines))
	}
	switch rest := len(customers) - len(lines); {
	case unnamed == 0:
	case unnamed == rest: // then it is clear which
		for _, c := range customers {
			if _, named := why[c.sourceID]; !named {
				lines = append(lines, line(c, "not_named", "Voucherify rejected this customer without saying why"))
			}
		}
	default:
		r.log.Warn("Voucherify rejected customers without saying which", "async_action_id", a.ID, "request_id", v.requestID,
			"named", len(lines), "not_named", unnamed, "of", a.Customers)
		detail := fmt.Sprintf("one of %d customers that were rejected without their names, of the %d in this async action", unnamed, a.Customers)
		for range unnamed {
			lines = append(lines, line(sentCustomer{}, "not_named", detail))
		}
	}
	return lines, nil
}

// announce shows the first rejection of each kind; the others are in the report.
func (r *run) announce(n notImported) {
	if r.announced[n.why.reason] {
		return
	}
	r.announced[n.why.reason] = true
	r.log.Warn("profile not imported; the first for this reason", "segment_id", n.segmentID, "source_id", n.sourceID,
		"reason", n.why.reason, "detail", n.why.detail, "async_action_id", n.actionID)
}

func joinNonEmpty(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + ": " + b
}
