package importer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"segsync/importer/journal"
)

// saveInterval is the least time between two saves; what comes in between is saved
// together. Where a save takes long, for the state is large, ten times as long passes, but no
// more than longestInterval: what is not saved is in memory.
const (
	saveInterval    = 200 * time.Millisecond
	longestInterval = 2 * time.Second
)

// TooManyRejectsError is the error of a run that Settings.MaxRejects ended.
type TooManyRejectsError struct{ Rejected, Max int }

func (e *TooManyRejectsError) Error() string {
	return fmt.Sprintf("Voucherify has rejected %d customers, more than the %d allowed", e.Rejected, e.Max)
}

// committer is the only one that writes the journal: it takes the answered batches in
// order, and verdicts as they come, and saves what they say.
type committer struct {
	journal    *journal.Journal
	maxRejects int
	limited    *atomic.Int64 // see Importer
	log        *slog.Logger
	announced  map[string]bool // reasons and warnings that were shown
	impersonal bool            // show nothing of a customer: of a plan, that is asked for

	in       *feed
	verdicts <-chan []verdict
	onSent   func() // called once, when everything that will be sent is sent and saved

	head    *batch    // the batch whose answer is waited for, nil for none
	saved   time.Time // when the last save ended
	took    time.Duration
	changed bool // since then
}

// run ends when both its inputs have, or with the first error.
func (c *committer) run(ctx context.Context) error {
	batches, verdicts := (<-chan *batch)(c.in.batches), c.verdicts
	var save <-chan time.Time // nil: nothing is to be saved
	for batches != nil || verdicts != nil {
		var err error
		next, answered := batches, (<-chan struct{})(nil)
		if c.head != nil {
			next, answered = nil, c.head.done
		}
		sent, now := false, false
		select {
		case b, more := <-next:
			if c.head = b; !more {
				batches, sent, err = nil, true, ctx.Err()
			}
		case <-answered:
			err = c.batch(c.head)
			c.head = nil
		case v, more := <-verdicts:
			if err = c.settle(v); !more {
				verdicts, now = nil, true
			}
		case <-save:
			now = true
		case <-ctx.Done():
			err = ctx.Err()
		}
		if rejected := c.journal.Next().Count(journal.Rejected); err == nil && c.maxRejects >= 0 && rejected > c.maxRejects {
			err = &TooManyRejectsError{rejected, c.maxRejects}
		}
		if c.changed && save == nil {
			save = time.After(min(max(saveInterval, 10*c.took), longestInterval) - time.Since(c.saved))
		}
		if c.changed && (now || sent || err != nil) {
			if saveErr := c.save(); saveErr != nil {
				return errors.Join(err, saveErr)
			}
			save = nil
		}
		if err != nil {
			return err
		}
		if sent {
			c.onSent()
		}
	}
	if len(c.journal.State().Actions) > 0 {
		return ctx.Err() // that the verifier was canceled does not tell
	}
	return nil
}

// save saves what was committed.
func (c *committer) save() error {
	began := time.Now()
	if err := c.journal.Save(); err != nil {
		return err
	}
	c.changed, c.saved = false, time.Now()
	c.took = c.saved.Sub(began)
	return nil
}

// batch commits the pages that a batch completes.
func (c *committer) batch(b *batch) error {
	if b.err != nil {
		return b.err
	}
	if !c.journal.OnDisk() { // without a first state, nothing would tell how long the reports were
		if err := c.journal.Save(); err != nil {
			return err
		}
	}
	for _, p := range b.pages {
		if err := c.page(p); err != nil {
			return err
		}
	}
	return nil
}

func (c *committer) page(p *page) error {
	c.changed = true
	entries := make([]journal.Entry, len(p.profiles))
	for i, profile := range p.profiles {
		entries[i] = profile.Entry
		c.tell(&entries[i])
		if !p.retry && profile.Was == journal.None && p.replaces == "" {
			c.limited.Add(1)
		}
	}
	done := journal.Page{After: p.after, Replaces: p.replaces, Entries: entries}
	if p.first {
		done.Began = p.began
	}
	return c.journal.AddPage(done)
}

// tell shows the first profile of each kind that was not imported, and the first of each
// kind of warning; the others are in the reports.
func (c *committer) tell(e *journal.Entry) {
	if e.Outcome == journal.Rejected || e.Outcome == journal.Unreadable || e.Outcome == journal.Vanished {
		c.announce(e.SegmentID, e.SourceID, e.Why)
	}
	for _, w := range e.Warnings {
		kind := "warning " + w.Field + " " + w.Reason
		level := slog.LevelWarn
		if c.announced[kind] {
			level = slog.LevelDebug
		}
		c.announced[kind] = true
		if c.impersonal {
			c.log.Log(context.Background(), level, w.WithoutValue(), "segment_id", e.SegmentID)
			continue
		}
		c.log.Log(context.Background(), level, w.String(), "segment_id", e.SegmentID, "source_id", e.SourceID)
	}
}

func (c *committer) announce(segmentID, sourceID string, why journal.Why) {
	if c.announced[why.Reason] {
		return
	}
	c.announced[why.Reason] = true
	if c.impersonal {
		sourceID = ""
	}
	c.log.Warn("profile not imported; the first for this reason", "segment_id", segmentID, "source_id", sourceID,
		"reason", why.Reason, "detail", why.Detail, "async_action_id", why.ActionID)
}
