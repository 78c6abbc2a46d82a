package plan

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"segsync/voucherify"
)

// MaxAsked is how many customers that an export cannot be compared with are asked for, one by one.
const MaxAsked = 500

// askedAtOnce is how many requests for customers are under way at once.
const askedAtOnce = 8

// question is a customer whose metadata an export does not have: it may be unchanged. No field that the export
// has differs.
type question struct {
	profileID, sourceID string
	customer            []byte
	size                int // its index in Plan.sizes
	difference          Difference
}

// questions are the customers that a plan asks Voucherify for, one by one.
type questions struct {
	from    oneByOne
	all     bool // else a random choice of MaxAsked
	waiting []question
	seen    int
	result  Asked
}

// Asked is the result of the questions.
type Asked struct {
	Customers int           // that were asked for
	Differ    int           // of them
	Took      time.Duration // to ask for them
	Refused   error         // why they could not be asked for, or nil
}

// add keeps a question. Where there are too many, those that are kept are a random choice, and dropped is
// the one that is not asked.
func (a *questions) add(q question) (dropped *question) {
	a.seen++
	if a.all || len(a.waiting) < MaxAsked {
		a.waiting = append(a.waiting, q)
		return nil
	}
	if i := rand.IntN(a.seen); i < MaxAsked {
		q, a.waiting[i] = a.waiting[i], q
	}
	return &q
}

// Finish asks for the customers that an export could not be compared with. It must be called after the
// run.
func (p *Plan) Finish(ctx context.Context) (Asked, error) {
	err := p.askAll(ctx)
	return p.questions.result, err
}

// askAll asks for the customers that wait, and counts them.
func (p *Plan) askAll(ctx context.Context) error {
	a, began := &p.questions, time.Now()
	found := make([]*Difference, len(a.waiting))
	g, asking := errgroup.WithContext(ctx)
	g.SetLimit(askedAtOnce)
	for i, q := range a.waiting {
		if a.result.Refused != nil {
			break
		}
		g.Go(func() error {
			d, err := a.from.compare(asking, q.sourceID, q.customer)
			if err != nil {
				return fmt.Errorf("comparing the customer of %s: %w", q.profileID, err)
			}
			found[i] = &d
			return nil
		})
	}
	err := g.Wait()
	if refused, ok := errors.AsType[*voucherify.Error](err); ok && (refused.Forbidden() || refused.Unknown()) {
		a.result.Refused, err = refused, nil // by this key: a plan tells less without them
	}
	if err != nil {
		return err
	}
	for i, q := range a.waiting {
		p.sizes[q.size].isUnchanged = p.isConfirmed(&q)
		if d := found[i]; d != nil {
			a.result.Customers++
			q.difference = *d
			p.sizes[q.size].isUnchanged = d.Kind == Unchanged
			if d.Kind != Unchanged {
				a.result.Differ++
			}
		}
		p.count(q.sourceID, &q.difference)
	}
	a.waiting = nil
	a.result.Took += time.Since(began)
	return nil
}

// compare says what sending a customer, its JSON, does to the one that Voucherify answers with.
func (o oneByOne) compare(ctx context.Context, sourceID string, customer []byte) (Difference, error) {
	now, err := o.stored(ctx, sourceID)
	if err != nil {
		return Difference{}, err
	}
	return compare(customer, now)
}
