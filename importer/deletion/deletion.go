// Package deletion deletes customers of Voucherify whose profiles have left Segment.
//
// Run is the only place that deletes customers. For each source id, one after the other,
//
//	the customer is read, and must have exactly this source_id
//	the profile is looked up, and Segment must answer that there is none
//	the customer is deleted
//	the answer is on the disk
//
// before the next one begins. Nothing is noted beforehand: whenever a run is killed, the customer that was
// under way is read and looked up again.
package deletion

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"segsync/importer/journal"
	"segsync/segmentprofiles"
	"segsync/voucherify"
)

// lookupAge is how old the answers about a customer and its profile may be when the customer is deleted.
const lookupAge = 10 * time.Second

// maxChecks is how often a customer is checked again because its deletion had to wait.
const maxChecks = 6

// maxRefused is how many customers in a row Voucherify may refuse to delete.
const maxRefused = 10

// Deleter deletes customers.
type Deleter struct {
	Segment    *segmentprofiles.Client
	Voucherify *voucherify.Client
	Types      []string // of the external IDs that a source_id may be; none: no profile is looked up
	Permanent  bool
	Parallel   int // lookups at once
}

// UnknownProfilesError says that Segment does not find profiles that it must have.
type UnknownProfilesError struct{ Looked int }

func (e *UnknownProfilesError) Error() string {
	switch e.Looked {
	case 0:
		return "the logs name no customer outside the list by which the space could be checked: nothing is deleted"
	case 1:
		return "Segment does not find the profile that an earlier import sent: nothing is deleted"
	}
	return fmt.Sprintf("Segment finds none of %d profiles that earlier imports sent: nothing is deleted", e.Looked)
}

// RefusedError says that Voucherify refused to delete customers in a row.
type RefusedError struct{ Last string }

func (e *RefusedError) Error() string {
	return fmt.Sprintf("Voucherify refused to delete %d customers in a row; the last answer: %s", maxRefused, e.Last)
}

// CheckKnown returns an *UnknownProfilesError unless Segment finds one of the customers that were sent: a
// wrong space answers that it has no profile, whatever is asked.
func (d *Deleter) CheckKnown(ctx context.Context, sent []journal.Entry) error {
	for _, e := range sent {
		found, err := d.lookUp(ctx, e.By, e.SourceID)
		if found || err != nil {
			return err
		}
	}
	return &UnknownProfilesError{len(sent)}
}

// HasProfile reports whether a profile of Segment has the source id, in its spelling or in lower case.
func (d *Deleter) HasProfile(ctx context.Context, sourceID string) (bool, error) {
	for _, idType := range d.Types {
		for _, value := range slices.Compact([]string{sourceID, strings.ToLower(sourceID)}) {
			if found, err := d.lookUp(ctx, idType, value); found || err != nil {
				return found, err
			}
		}
	}
	return false, nil
}

func (d *Deleter) lookUp(ctx context.Context, idType, value string) (bool, error) {
	id := segmentprofiles.Identifier{Type: idType, Value: value}
	found, err := d.Segment.HasProfile(ctx, id)
	if err != nil {
		return false, fmt.Errorf("looking up the profile %s: %w", id, err)
	}
	return found, nil
}

// WithoutProfile returns those of the source ids that no profile has.
func (d *Deleter) WithoutProfile(ctx context.Context, ids []string) ([]string, error) {
	found := make([]bool, len(ids))
	err := d.each(ctx, ids, func(ctx context.Context, i int) (err error) {
		found[i], err = d.HasProfile(ctx, ids[i])
		return err
	})
	var without []string
	for i, id := range ids {
		if !found[i] {
			without = append(without, id)
		}
	}
	return without, err
}

func (d *Deleter) each(ctx context.Context, ids []string, do func(ctx context.Context, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(d.Parallel, 1))
	for i := range ids {
		g.Go(func() error { return do(ctx, i) })
	}
	return g.Wait()
}

// Preview is what a deletion would do.
type Preview struct {
	IDs       map[journal.Answer][]string
	Deletable []*voucherify.StoredCustomer // those that IDs has as Deleted
}

// Preview reads the customers and looks their profiles up.
func (d *Deleter) Preview(ctx context.Context, ids []string) (*Preview, error) {
	customers, answers := make([]*voucherify.StoredCustomer, len(ids)), make([]journal.Answer, len(ids))
	err := d.each(ctx, ids, func(ctx context.Context, i int) error {
		customer, result, err := d.check(ctx, ids[i])
		customers[i], answers[i] = customer, result.Answer
		if err == nil && result.Answer == journal.Refused {
			err = errors.New(result.Detail)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	p := &Preview{IDs: make(map[journal.Answer][]string)}
	for i, answer := range answers {
		if answer == "" {
			answer = journal.Deleted
			p.Deletable = append(p.Deletable, customers[i])
		}
		p.IDs[answer] = append(p.IDs[answer], ids[i])
	}
	return p, nil
}

// check reads the customer and looks its profile up. The answer is "" where it may be deleted.
func (d *Deleter) check(ctx context.Context, id string) (*voucherify.StoredCustomer, journal.Deletion, error) {
	result := journal.Deletion{SourceID: id}
	customer, err := d.Voucherify.StoredCustomer(ctx, id)
	if err != nil {
		return nil, result, takeAnswer(&result, "reading", err)
	}
	if customer.SourceID != id { // the API takes its own ids, too
		result.Answer, result.Detail = journal.Kept, "its source_id is "+customer.SourceID
		return customer, result, nil
	}
	found, err := d.HasProfile(ctx, id)
	if found {
		result.Answer = journal.StillInSegment
	}
	return customer, result, err
}

// delete deletes the customer, if it may be deleted. Where the deletion has to wait, for a quota or a pause,
// the customer and its profile are looked up again.
func (d *Deleter) delete(ctx context.Context, id string) (journal.Deletion, error) {
	wasAsked := false // for the deletion, without an answer
	var last error
	for range maxChecks {
		customer, result, err := d.check(ctx, id)
		if err == nil && result.Answer == journal.NotThere && wasAsked {
			result.Answer, result.Detail = journal.Deleted, "the answer was lost"
		}
		if err != nil || result.Answer != "" {
			return result, err
		}
		deleting, cancel := context.WithTimeout(ctx, lookupAge)
		result.RequestID, result.Detail, err = d.deleteNow(deleting, customer)
		isLate := deleting.Err() != nil && ctx.Err() == nil
		cancel()
		if err != nil && isLate {
			wasAsked, last = true, err
			continue
		}
		if err != nil {
			err = takeAnswer(&result, "deleting", err)
		} else {
			result.Answer = journal.Deleted
		}
		if result.Answer == journal.NotThere { // it was there: a repeated request finds it gone
			result.Answer, result.Detail = journal.Deleted, "the answer was lost"
		}
		return result, err
	}
	return journal.Deletion{}, fmt.Errorf("deleting the customer %s: no answer in %d attempts of %s: %w", id, maxChecks, lookupAge, last)
}

func (d *Deleter) deleteNow(ctx context.Context, customer *voucherify.StoredCustomer) (requestID, detail string, err error) {
	if !d.Permanent {
		return "", "", d.Voucherify.DeleteCustomer(ctx, customer.SourceID)
	}
	requestID, isDone, err := d.Voucherify.DeletePermanently(ctx, customer.ID)
	if err == nil && !isDone {
		detail = "Voucherify has not finished the permanent deletion yet"
	}
	return requestID, detail, err
}

// takeAnswer takes the error of a request as an answer about this customer. It returns the error if it is
// about all: only Voucherify's own 404 means that there is no such customer.
func takeAnswer(result *journal.Deletion, doing string, err error) error {
	answer, ok := errors.AsType[*voucherify.Error](err)
	ofAll := []int{http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusTooManyRequests}
	switch {
	case ok && answer.NotFound():
		result.Answer = journal.NotThere
	case ok && answer.Status/100 == 4 && !slices.Contains(ofAll, answer.Status):
		result.Answer, result.Detail = journal.Refused, answer.Error()
	default:
		return fmt.Errorf("%s the customer %s: %w", doing, result.SourceID, err)
	}
	result.RequestID = answer.RequestID
	return nil
}

// List is what a deletion is about.
type List struct {
	Fingerprint string
	IDs         []string        // source ids
	Agreed      map[string]bool // those that no profile had when the deletion was agreed to; no other is deleted
}

// Run deletes the customers of a list, and counts the answers. It ends after the present customer when stop
// ends; told is called after each.
func (d *Deleter) Run(ctx, stop context.Context, j *journal.Journal, list List, told func(answers map[journal.Answer]int)) (map[journal.Answer]int, error) {
	answers := make(map[journal.Answer]int)
	if err := j.PrepareDeletions(); err != nil {
		return answers, err
	}
	refused := 0 // in a row
	for _, id := range list.IDs {
		if stop.Err() != nil {
			return answers, context.Cause(stop)
		}
		result := journal.Deletion{SourceID: id, Answer: journal.StillInSegment}
		if list.Agreed[id] {
			var err error
			if result, err = d.delete(ctx, id); err != nil {
				return answers, err
			}
		}
		result.List, result.Time = list.Fingerprint, time.Now().UTC().Truncate(time.Second)
		if err := j.AddDeletion(result); err != nil {
			return answers, fmt.Errorf("%s: %s, and that could not be noted: %w", id, result.Answer, err)
		}
		answers[result.Answer]++
		told(answers)
		if refused++; result.Answer != journal.Refused {
			refused = 0
		} else if refused == maxRefused {
			return answers, &RefusedError{result.Detail}
		}
	}
	return answers, j.FinishDeletion(list.Fingerprint)
}
