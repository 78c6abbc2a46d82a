package bulk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"segsync/importer/sink"
	"segsync/voucherify"
)

const (
	listMargin = 5 * time.Minute // between our clock and Voucherify's
	// maxActionPages bounds the pages read of the list, which has actions of other jobs, too.
	maxActionPages = 200
	// listDelay is how long an accepted action may be missing from the list before it
	// is asked for by its id.
	listDelay = 15 * time.Second
	// abandonAfter is the age at which an action is given up that is unknown, unreadable or does not end.
	abandonAfter = 24 * time.Hour
	// maxReads is how often a run tries to read an action that cannot be read.
	maxReads = 3
	// maxVerdicts bounds the verdicts of one poll.
	maxVerdicts = 50
)

// Confirmer reads the results of async actions. It is for one run.
type Confirmer struct {
	client *voucherify.Client
	log    *slog.Logger
	failed map[string]int // how often reading an action was an error
}

// NewConfirmer returns a Confirmer.
func NewConfirmer(client *voucherify.Client, log *slog.Logger) *Confirmer {
	return &Confirmer{client: client, log: log, failed: make(map[string]int)}
}

// Poll gives a verdict on each action that has ended, newest first.
func (c *Confirmer) Poll(ctx context.Context, open []sink.Action) (verdicts []sink.Verdict, lost []sink.Action, err error) {
	open = slices.Clone(open)
	slices.SortStableFunc(open, func(a, b sink.Action) int { return b.Accepted.Compare(a.Accepted) })
	listed, listErr := c.list(ctx, open)
	if ctx.Err() != nil {
		return nil, nil, ctx.Err()
	}
	asked, unread := 0, 0
	for _, a := range open {
		hasEnded, isListed := listed[a.ID]
		if isListed && !hasEnded || !isListed && listErr == nil && time.Since(a.Accepted) < listDelay {
			if v := abandonOld(a, "it has not ended"); v != nil {
				verdicts = append(verdicts, *v)
			}
			continue
		}
		asked++
		v, why, readErr := c.read(ctx, a)
		switch {
		case ctx.Err() != nil:
			return verdicts, lost, ctx.Err()
		case v != nil:
			verdicts = append(verdicts, *v)
		case why != "":
			if v := abandonOld(a, why); v != nil {
				verdicts = append(verdicts, *v)
				continue
			}
			lost = append(lost, a)
			c.log.Warn("an async action cannot be confirmed", "async_action_id", a.ID, "customers", a.Sent, "cause", why)
		case readErr != nil:
			unread++
			err = readErr
		}
		if len(verdicts) >= maxVerdicts {
			return verdicts, lost, nil
		}
	}
	if unread < asked || listErr == nil { // Voucherify answers: one unreadable action is not an outage
		err = nil
	}
	if listErr != nil && asked == 0 {
		err = listErr
	}
	return verdicts, lost, err
}

// list returns for each open action that the list shows whether it has ended. It reads
// back to the oldest one.
func (c *Confirmer) list(ctx context.Context, open []sink.Action) (map[string]bool, error) {
	oldest, ids := time.Now(), make(map[string]bool)
	for _, a := range open {
		ids[a.ID] = true
		if a.Accepted.Before(oldest) {
			oldest = a.Accepted
		}
	}
	listed := make(map[string]bool)
	err := c.eachListed(ctx, oldest.Add(-listMargin), func(a voucherify.AsyncAction) bool {
		if ids[a.ID] {
			listed[a.ID] = a.Ended()
		}
		return len(listed) < len(ids)
	})
	if err != nil { // what is not listed is asked for by its id
		return listed, fmt.Errorf("listing the async actions: %w", err)
	}
	return listed, nil
}

// read reads the action. It returns the verdict, or why this run gets none, or neither while the action is
// open.
func (c *Confirmer) read(ctx context.Context, a sink.Action) (v *sink.Verdict, lost string, err error) {
	action, err := c.client.AsyncAction(ctx, a.ID)
	if answer, ok := errors.AsType[*voucherify.Error](err); ok && answer.NotFound() {
		return nil, "Voucherify does not know it", nil
	}
	if err != nil {
		if c.failed[a.ID]++; c.failed[a.ID] >= maxReads {
			return nil, "it cannot be read: " + err.Error(), nil
		}
		return nil, "", fmt.Errorf("reading the async action %s: %w", a.ID, err)
	}
	r := action.Result
	switch {
	case action.ID != "" && action.ID != a.ID:
		return nil, "Voucherify answers with another one, " + action.ID, nil
	case !action.Ended():
		return abandonOld(a, "it has not ended"), "", nil
	case action.Status == "FAILED":
		return &sink.Verdict{ActionID: a.ID, RequestID: action.RequestID, Failed: "its status is FAILED"}, "", nil
	case r.DoneCount == nil:
		return nil, "it is DONE without counts", nil
	case !isPlausible(r.DoneCount, a.Sent) || !isPlausible(r.FailedCount, a.Sent):
		return nil, "its counts cannot be true", nil
	}
	rejected, unnamed := rejections(r, a.Sent)
	if contradiction := action.Contradiction(a.Sent); contradiction != "" {
		return nil, contradiction, nil
	}
	return &sink.Verdict{ActionID: a.ID, RequestID: action.RequestID, Rejected: rejected, Unnamed: unnamed}, "", nil
}

func isPlausible(n *int, sent int) bool { return n == nil || *n >= 0 && *n <= sent }

// rejections returns the rejected records of a finished action by name, and the number of others. Records
// that the action does not account for count as rejected.
func rejections(r voucherify.ActionResult, sent int) (named map[string]sink.Rejection, unnamed int) {
	named = make(map[string]sink.Rejection)
	add := func(id, reason, detail string) {
		if _, known := named[id]; id != "" && !known { // one customer may have several errors
			named[id] = sink.Rejection{Reason: reason, Detail: detail}
		}
	}
	for _, e := range r.Errors {
		detail := e.Message
		if e.Details != "" {
			detail += ": " + e.Details
		}
		if e.Message == "" {
			detail = e.Details
		}
		add(e.SourceID, e.Key, detail)
	}
	for _, record := range r.Results {
		if !record.Updated {
			add(record.SourceID, "not_updated", "Voucherify did not update this customer")
		}
	}
	failed := sent - *r.DoneCount
	if r.FailedCount != nil {
		failed = max(failed, *r.FailedCount)
	}
	return named, max(failed-len(named), 0)
}

// abandonOld gives up an action that is too old.
func abandonOld(a sink.Action, why string) *sink.Verdict {
	if time.Since(a.Accepted) <= abandonAfter {
		return nil
	}
	return &sink.Verdict{ActionID: a.ID, Failed: why + ", after " + abandonAfter.String()}
}
