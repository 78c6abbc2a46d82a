package bulk

import (
	"context"
	"slices"
	"time"

	"segsync/importer/sink"
	"segsync/voucherify"
)

// bulkUpdate is Voucherify's type of the async actions of bulk requests.
const bulkUpdate = "CUSTOMERS.BULK_UPDATE"

// The bounds of the time between two polls of the queue.
const (
	minQueuePause = time.Second
	maxQueuePause = 30 * time.Second
)

// WaitForQueue waits until the known actions and all listed bulk updates have ended, whoever sent them: an
// earlier export would show customers that are about to change. It returns the ids of the known actions
// that have not ended within the timeout or cannot be read.
func (c *Confirmer) WaitForQueue(ctx context.Context, known []sink.Action, timeout time.Duration) (unsettled []string, err error) {
	end, pause := time.Now().Add(timeout), minQueuePause
	since := time.Now().Add(-abandonAfter)
	for isFirst := true; ; isFirst = false {
		var queued int
		unsettled, queued, since = c.readQueue(ctx, known, since)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case queued == 0:
			return unsettled, nil
		case !time.Now().Add(pause).Before(end):
			c.log.Warn("Voucherify has not finished earlier bulk updates: what they change may be missed until the next import", "async_actions", queued)
			return unsettled, nil
		case isFirst:
			c.log.Info("waiting until Voucherify has finished earlier bulk updates", "async_actions", queued)
		}
		select {
		case <-time.After(pause):
			pause = min(pause*3/2, maxQueuePause)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// readQueue reads the actions created since then, once. It returns the known ones that have not
// ended, the number of actions to wait for, and from when to read the next time.
func (c *Confirmer) readQueue(ctx context.Context, known []sink.Action, since time.Time) (unsettled []string, queued int, oldest time.Time) {
	oldest = time.Now()
	listed := make(map[string]bool) // ids; whether it has ended
	err := c.eachListed(ctx, since, func(a voucherify.AsyncAction) bool {
		listed[a.ID] = a.Ended()
		isKnown := slices.ContainsFunc(known, func(k sink.Action) bool { return k.ID == a.ID })
		if a.Ended() || isKnown || a.Type != bulkUpdate || a.CreatedAt.Before(since) {
			return true
		}
		queued++
		if a.CreatedAt.Before(oldest) {
			oldest = a.CreatedAt
		}
		return true
	})
	if err != nil {
		c.log.Debug("the list of async actions cannot be read", "cause", err)
	}
	for _, a := range known {
		if hasEnded, isListed := listed[a.ID]; isListed && hasEnded {
			continue
		}
		action, err := c.client.AsyncAction(ctx, a.ID)
		if err == nil && action.Ended() {
			continue
		}
		unsettled = append(unsettled, a.ID)
		age := time.Since(a.Accepted)
		if err == nil && age < abandonAfter || age < listDelay { // else it may never end
			queued++
			if a.Accepted.Before(oldest) {
				oldest = a.Accepted
			}
		}
	}
	return unsettled, queued, oldest.Add(-listMargin)
}

// eachListed calls do with the actions in Voucherify's list, the newest first, back to since, or until do
// returns false.
func (c *Confirmer) eachListed(ctx context.Context, since time.Time, do func(voucherify.AsyncAction) (more bool)) error {
	known := make(map[string]bool)
	for end, pages := (time.Time{}), 0; pages < maxActionPages; pages++ {
		page, full, err := c.client.AsyncActions(ctx, voucherify.MaxActionsLimit, end)
		if err != nil {
			return err
		}
		isNew, more := false, true // end_date may or may not include its instant
		for _, a := range page {
			if !known[a.ID] {
				known[a.ID], isNew = true, true
				more = do(a)
			}
			if !a.CreatedAt.IsZero() && (end.IsZero() || a.CreatedAt.Before(end)) {
				end = a.CreatedAt
			}
		}
		if !more || !isNew || !full || end.Before(since) {
			break
		}
	}
	return nil
}
