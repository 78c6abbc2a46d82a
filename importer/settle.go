package importer

import (
	"fmt"

	"segsync/importer/journal"
	"segsync/voucherify"
)

// settle brings verdicts into the journal.
func (c *committer) settle(verdicts []verdict) error {
	for _, v := range verdicts {
		c.changed = true
		if err := c.settleOne(v); err != nil {
			return err
		}
	}
	return nil
}

func (c *committer) settleOne(v verdict) error {
	action, known := c.journal.Action(v.action.ID)
	if known && v.failed && !action.Resent {
		c.log.Warn("an async action failed: its customers are sent once more", "async_action_id", action.ID,
			"request_id", v.requestID, "customers", action.Customers, "cause", v.why)
		c.journal.Fail(action.ID)
		return nil
	}
	rejected, err := c.rejectedOf(action, v)
	if err != nil {
		return err
	}
	for _, r := range rejected {
		c.announce(r.SegmentID, r.SourceID, r.Why)
	}
	return c.journal.Settle(v.action.ID, rejected)
}

// rejectedOf returns the customers of the action that were rejected.
func (c *committer) rejectedOf(a journal.Action, v verdict) ([]journal.Rejection, error) {
	if !v.failed && len(v.rejected) == 0 && v.unnamed == 0 {
		return nil, nil
	}
	customers, err := c.journal.SentBy(a)
	if err != nil {
		return nil, err
	}
	why := make(map[string]voucherify.ActionError)
	for _, e := range v.rejected {
		why[e.SourceID] = e
	}
	reject := func(customer journal.Customer, reason, detail string) journal.Rejection {
		return journal.Rejection{Customer: customer,
			Why: journal.Why{Reason: reason, Detail: detail, ActionID: a.ID, RequestID: v.requestID}}
	}
	var rejected []journal.Rejection
	for _, customer := range customers {
		if v.failed {
			rejected = append(rejected, reject(customer, "action_failed", "the async action failed twice: "+v.why))
		} else if e, ok := why[customer.SourceID]; ok {
			rejected = append(rejected, reject(customer, e.Key, joinNonEmpty(e.Message, e.Details)))
		}
	}
	if v.failed {
		return rejected, nil
	}
	unnamed := v.unnamed
	if a.Customers == a.Sent { // else those named may be of a page that is sent again
		unnamed += len(v.rejected) - len(rejected)
	}
	rest := len(customers) - len(rejected)
	switch unnamed = min(unnamed, rest); {
	case unnamed == 0:
	case unnamed == rest: // then it is clear which
		for _, customer := range customers {
			if _, named := why[customer.SourceID]; !named {
				rejected = append(rejected, reject(customer, "not_named", "Voucherify rejected this customer without saying why"))
			}
		}
	default:
		c.log.Warn("Voucherify rejected customers without saying which", "async_action_id", a.ID, "request_id", v.requestID,
			"named", len(rejected), "not_named", unnamed, "of", a.Customers)
		detail := fmt.Sprintf("one of %d customers that were rejected without their names, of the %d in this async action", unnamed, a.Customers)
		some := reject(journal.Customer{}, "not_named", detail)
		some.Unnamed = unnamed
		rejected = append(rejected, some)
	}
	return rejected, nil
}

func joinNonEmpty(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + ": " + b
}
