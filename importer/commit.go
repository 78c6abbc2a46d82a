package importer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"segsync/importer/mapping"
	"slices"
	"time"
)

// inOrder hands on the batches in order, each once it was answered.
func (r *run) inOrder(ctx context.Context, batches <-chan *batch, answered chan<- *batch) {
	defer close(answered)
	for b := range receive(ctx, batches) {
		select {
		case <-b.done:
		case <-ctx.Done():
			return
		}
		select {
		case answered <- b:
		case <-ctx.Done():
			return
		}
	}
}

// saveInterval is the least time between two saves; what comes in between is saved
// together.
const saveInterval = 200 * time.Millisecond

// commit takes the answered batches in order, and verdicts as they come, and saves what
// they say: reports first, state after.
func (r *run) commit(ctx context.Context, answered <-chan *batch, verdicts <-chan []verdict) error {
	next := r.State().clone()
	var saved time.Time
	var due <-chan time.Time // nil: nothing is to be saved
	for answered != nil || verdicts != nil {
		var err error
		saveNow, changed := false, true
		select {
		case b, more := <-answered:
			if more {
				err = r.commitBatch(next, b)
			} else {
				answered, saveNow, changed = nil, true, false
				err = ctx.Err() // then it is closed because the run ends, not because all is sent
			}
		case v, more := <-verdicts:
			if more {
				err = r.settleAll(next, v)
			} else {
				verdicts, saveNow, changed = nil, true, false
			}
		case <-due:
			saveNow, changed = true, false
		case <-ctx.Done():
			err, changed = ctx.Err(), false
		}
		if err != nil {
			changed = false // above all a new import has no room yet: its state must not take that of an older one
		}
		if limit := r.settings.MaxRejects; err == nil && limit >= 0 && next.Counts.Rejected > limit {
			err = &TooManyRejectsError{next.Counts.Rejected, limit}
		}
		if changed && due == nil {
			due = time.After(saveInterval - time.Since(saved))
		}
		if due != nil && (saveNow || err != nil) {
			if saveErr := r.save(next); saveErr != nil {
				return errors.Join(err, saveErr)
			}
			next, saved, due = r.State().clone(), time.Now(), nil
		}
		if err != nil {
			return err
		}
		if answered == nil && saveNow {
			r.everythingSent()
		}
	}
	if len(r.State().Actions) > 0 {
		return ctx.Err() // that the verifier was canceled does not tell
	}
	return nil
}

// everythingSent lets the verifier come to its end.
func (r *run) everythingSent() {
	if r.sentAll {
		return
	}
	r.sentAll = true
	if r.pageErr != nil {
		r.stopVerifying() // the next run takes its actions up
		return
	}
	close(r.allSent)
	if n := r.State().Unconfirmed(); n > 0 && !r.settings.Verify.Off {
		r.log.Info("everything is sent; waiting for Voucherify to confirm", "customers", n)
	}
}

// commitBatch brings what Voucherify answered to a batch, and the pages that the batch
// completes, into the next state and the reports.
func (r *run) commitBatch(next *State, b *batch) error {
	if b.err != nil {
		return b.err
	}
	if !r.saved.Load() {
		if err := r.begin(); err != nil {
			return err
		}
	}
	for _, a := range b.answers {
		for i, rec := range a.records {
			rec.profile.page.outcome.answered(rec.profile, a, i == len(a.records)-1)
			if r.settings.DryRun != nil {
				if _, err := r.settings.DryRun.Write(append(mapping.EscapeJSON(rec.json), '\n')); err != nil {
					return fmt.Errorf("writing the customers: %w", err)
				}
			}
		}
	}
	for _, p := range b.pages {
		r.commitPage(next, p)
	}
	return nil
}

// outcome is what Voucherify said of the customers of a page.
type outcome struct {
	counts  Counts
	refused []notImported
	sent    []sentRecord
	leftOut map[mapping.LeftOut]int
}

// sentRecord is a customer that Voucherify accepted.
type sentRecord struct {
	customer   sentCustomer
	identifier mapping.Identifier
	action     Action
	last       bool // of the action
}

// answered notes what Voucherify said of a customer. Its page is not committed yet: a
// page ends with the batch that holds its last customer, or later.
func (o *outcome) answered(p *profile, a answer, last bool) {
	if a.refused != nil {
		o.counts.Rejected++
		o.refused = append(o.refused, notImported{segmentID: p.segmentID, sourceID: p.sourceID, why: *a.refused})
		return
	}
	if p.invalidBirthdate {
		o.counts.InvalidBirthdates++
	}
	for _, l := range p.leftOut {
		if o.leftOut == nil {
			o.leftOut = make(map[mapping.LeftOut]int)
		}
		o.leftOut[l]++
	}
	if a.action.ID == "" {
		o.counts.WouldSend++
		return
	}
	o.sent = append(o.sent, sentRecord{sentCustomer{p.segmentID, p.sourceID}, p.identifier, a.action, last})
}

func (r *run) commitPage(next *State, p *page) {
	counts := p.found.counts
	counts.add(p.outcome.counts)
	if p.replaces != "" { // these profiles were counted when they were sent first
		counts.Read, counts.InvalidBirthdates = 0, 0
		next.removeAction(p.replaces)
	} else {
		for _, hash := range p.found.hashes {
			noteHash(&r.reports.hashes, hash)
		}
		for _, hash := range p.found.sourceHashes {
			noteHash(&r.reports.sourceHashes, hash)
		}
		for l, n := range p.outcome.leftOut {
			next.noteLeftOut(l, n)
		}
	}
	next.Counts.add(counts)
	for _, id := range p.found.withoutIdentifier {
		r.reports.noteWithoutIdentifier(id)
	}
	for _, n := range slices.Concat(p.found.vanished, p.outcome.refused) {
		r.reports.noteNotImported(n)
		r.announce(n)
	}
	var a *Action
	for _, s := range p.outcome.sent {
		if a == nil || a.ID != s.action.ID {
			a = next.ensureAction(s.action)
		}
		r.reports.noteSent(a, s.customer)
		a.open = !s.last
		if p.replaces == "" {
			next.Identifiers[s.identifier.String()]++
		}
	}
	next.Position = p.after
}

// begin makes room for a new import: the files of an older one that was not finished are
// kept under other names, and the reports are started anew, unless this import starts
// where an older one stopped. Then a first state is saved: without it, nothing would tell
// how long the reports were that this import continues.
func (r *run) begin() error {
	path := r.settings.Files.Path(r.settings.Files.State)
	if old, err := LoadState(path); err != nil || old != nil && old.Unfinished() {
		if err := r.reports.backup(); err != nil {
			return err
		}
		if err := os.Rename(path, path+".bak"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := errors.Join(r.reports.pending.cut(0), r.reports.seen.cut(0), r.reports.sources.cut(0)); err != nil {
		return err
	}
	if r.from == Beginning {
		if err := r.reports.withoutIdentifier.cut(0); err != nil {
			return err
		}
	}
	if r.from == Beginning && r.since.IsZero() { // else what was not imported before is not read again
		if err := r.reports.notImported.cut(0); err != nil {
			return err
		}
	}
	r.reports.noteHeader()
	return r.save(r.State().clone())
}

// save saves the state after the reports it speaks of.
func (r *run) save(next *State) error {
	lengths, err := r.reports.flush()
	if err != nil {
		return err
	}
	if len(next.Actions) == 0 {
		lengths[PendingFile] = 0
	}
	next.Lengths = lengths
	if err := next.save(r.settings.Files.Path(r.settings.Files.State)); err != nil {
		return err
	}
	r.state.Store(next)
	r.saved.Store(true)
	return r.reports.pending.cut(lengths[PendingFile])
}

// receive ranges over a channel until it is closed or ctx ends.
func receive[T any](ctx context.Context, ch <-chan T) iter.Seq[T] {
	return func(yield func(T) bool) {
		for {
			select {
			case v, more := <-ch:
				if !more || !yield(v) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}
