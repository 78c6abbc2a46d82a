package importer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"segsync/importer/journal"
	"segsync/importer/outcome"
	"segsync/importer/sink"
)

// saveInterval is the minimum time between two saves.
const saveInterval = 200 * time.Millisecond

// TooManyRejectsError is the error of a run that Options.MaxRejects ended.
type TooManyRejectsError struct{ Rejected, Max int }

func (e *TooManyRejectsError) Error() string {
	return fmt.Sprintf("Voucherify has rejected %s, more than the %d allowed", customers(e.Rejected), e.Max)
}

// committer writes the answered batches, in order, and the verdicts to the journal.
type committer struct {
	*run
	announced map[string]bool // reasons and warnings that were shown
	guard     guard

	batches  <-chan *batch
	verdicts <-chan []sink.Verdict
	onSent   func() // called once, when everything that will be sent is sent and saved

	head    *batch    // the batch whose answer is waited for, nil for none
	saved   time.Time // when the last save ended
	changed bool      // since then
}

// commitAll ends when both its inputs have, or with the first error.
func (c *committer) commitAll(ctx context.Context) error {
	batches, verdicts := c.batches, c.verdicts
	var save <-chan time.Time // nil: nothing is to be saved
	for batches != nil || verdicts != nil {
		var err error
		next, answered := batches, (<-chan struct{})(nil)
		if c.head != nil {
			next, answered = nil, c.head.Done
		}
		allSent, now := false, false
		select {
		case b, more := <-next:
			if c.head = b; !more {
				batches, allSent, err = nil, true, context.Cause(ctx)
				if err == nil && c.sink != nil {
					err = c.guard.end(ctx, c.run)
				}
			}
		case <-answered:
			err = c.commit(ctx, c.head)
			c.head = nil
		case v, more := <-verdicts:
			if err = c.addVerdicts(v); !more {
				verdicts, now = nil, true
			}
		case <-save:
			now = true
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		if n := c.journal.Rejected(); err == nil && c.MaxRejects >= 0 && n > c.MaxRejects {
			err = &TooManyRejectsError{n, c.MaxRejects}
		}
		if c.changed && save == nil {
			save = time.After(saveInterval - time.Since(c.saved))
		}
		if c.changed && (now || allSent || err != nil) {
			if saveErr := c.journal.Save(); saveErr != nil {
				return errors.Join(err, saveErr)
			}
			c.changed, c.saved, save = false, time.Now(), nil
		}
		if err != nil {
			return err
		}
		if allSent {
			c.onSent()
		}
	}
	return nil
}

// commit writes the pages that a batch completes to the journal.
func (c *committer) commit(ctx context.Context, b *batch) error {
	if b.Err != nil {
		return b.Err
	}
	var ended error
	for _, p := range b.pages {
		c.changed = true
		entries, actions := make([]journal.Entry, len(p.profiles)), make(map[string]sink.Action)
		for i, profile := range p.profiles {
			entries[i] = entryOf(profile)
			if profile.Outcome == outcome.Sent {
				actions[profile.Action.ID] = profile.Action
			}
			c.announce(&entries[i])
			if isKnown := p.isRetry || c.journal.IsOutstanding(profile.ID); ended == nil {
				ended = c.guard.observe(ctx, c.run, profile, isKnown)
			}
			if !p.isRetry {
				c.Progress.Committed.Add(1)
			}
		}
		done := journal.Page{After: p.After, Began: p.Began, Behind: p.Behind, Entries: entries, Actions: actions}
		if err := c.journal.AddPage(done); err != nil {
			return err
		}
	}
	return ended
}

// entryOf returns the journal's entry for a profile.
func entryOf(p *profile) journal.Entry {
	e := p.entry
	e.Outcome, e.SourceID, e.Why = p.Outcome, p.SourceID, p.Why
	switch p.Outcome {
	case outcome.Sent:
		e.ActionID = p.Action.ID
	case outcome.Unchanged:
	default:
		e.Content = ""
	}
	return e
}

// addVerdicts writes verdicts to the journal.
func (c *committer) addVerdicts(verdicts []sink.Verdict) error {
	for _, v := range verdicts {
		c.changed = true
		bad, err := c.journal.AddVerdict(v)
		if err != nil {
			return err
		}
		if v.Failed != "" {
			c.Log.Warn("an async action failed: its customers are sent once more", "async_action_id", v.ActionID,
				"request_id", v.RequestID, "customers", len(bad), "cause", v.Failed)
			continue
		}
		for i := range bad {
			if n := bad[i].Unnamed; n > 0 {
				c.Log.Warn("Voucherify rejected customers without saying which", "async_action_id", v.ActionID, "request_id", v.RequestID,
					"named", len(bad)-1, "not_named", n)
				continue
			}
			c.announce(&bad[i])
		}
	}
	return nil
}

// announce shows the first profile of each kind that was not imported, and the first of each
// kind of warning; the others are in the reports.
func (c *committer) announce(e *journal.Entry) {
	sourceID := e.SourceID
	if c.Impersonal {
		sourceID = ""
	}
	isBad := e.Outcome == outcome.Rejected || e.Outcome == outcome.Unreadable || e.Outcome == outcome.Vanished
	if isBad && !c.announced[e.Reason] {
		c.announced[e.Reason] = true
		c.Log.Warn("a profile was not imported; more with this reason are not logged", "segment_id", e.SegmentID, "source_id", sourceID,
			"reason", e.Reason, "detail", e.Detail, "async_action_id", e.ActionID)
	}
	for _, w := range e.Warnings {
		kind := "warning " + w.Field + " " + w.Reason
		level := slog.LevelWarn
		if c.announced[kind] {
			level = slog.LevelDebug
		}
		c.announced[kind] = true
		text, attrs := w.Text.WithoutValue(), []any{"segment_id", e.SegmentID}
		if c.LogValues {
			text = w.Text.String()
		}
		if !c.Impersonal {
			attrs = append(attrs, "source_id", sourceID)
		}
		c.Log.Log(context.Background(), level, text, attrs...)
	}
}
