// Package plan is the sink of a plan: it compares the customers with those that Voucherify has, as an
// export of all customers or single requests tell, and sends nothing.
package plan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"segsync/importer/metadata"
	"segsync/importer/outcome"
	"segsync/importer/sink"
	"segsync/voucherify"
)

// Plan is what an import would do to the customers that Voucherify has. It is a sink.Sink.
type Plan struct {
	existing  *Existing        // nil: Voucherify is asked for each customer
	rules     *metadata.Schema // what the project refuses; nil: nothing
	show      int              // examples of each kind
	limits    *sink.BatchLimits
	sizes     []size // of the customers
	questions questions

	Counts        map[Kind]int              // customers
	Changes       map[string]FieldChanges   // by field
	NotComparable map[string]int            // customers by field
	Rejected      map[string]map[string]int // customers by metadata key and reason
	Examples      map[Kind][]Example        // personal data
}

// size is what a forecast needs of a customer.
type size struct {
	bytes, before uint32 // profiles that were read before it
	isUnchanged   bool   // it is not sent with the changes
}

// Rejected is the kind of a customer that the project's schema would refuse.
const Rejected Kind = "rejected"

// FieldChanges counts the customers in which a field would change.
type FieldChanges struct {
	Change int `json:"change"`
	Clear  int `json:"clear"`
}

// Example is a customer of a plan.
type Example struct {
	SourceID      string   `json:"source_id"`
	Changes       []Change `json:"changes"`
	NotComparable []string `json:"not_comparable,omitempty"` // fields
}

// New returns an empty plan that compares with an export, or, where that is nil, with
// the answers of Voucherify to one request a customer. schema is the project's, nil for none;
// show is the number of examples of each kind; limits are those of an import's batches. compareAll asks
// for each customer that an export cannot be compared with, else MaxAsked are asked for.
func New(existing *Existing, vch *voucherify.Client, schema *voucherify.MetadataSchema, show int, limits *sink.BatchLimits, compareAll bool) *Plan {
	p := &Plan{
		existing: existing, show: show, limits: limits, questions: questions{from: oneByOne{vch, schema}, all: compareAll},
		Counts: make(map[Kind]int), Changes: make(map[string]FieldChanges), NotComparable: make(map[string]int),
		Rejected: make(map[string]map[string]int), Examples: make(map[Kind][]Example),
	}
	if schema != nil {
		p.rules = metadata.NewSchema(schema)
	}
	return p
}

// Cost is what is sent to Voucherify at least: an import takes more calls where Voucherify
// takes less in one, or where calls fail.
type Cost struct{ Customers, BulkCalls int }

// Cost returns that of an import, and that of one that sends only changes, after Finish.
func (p *Plan) Cost() (all, onlyChanges Cost) {
	every, changes := forecast{limits: p.limits}, forecast{limits: p.limits}
	for _, s := range p.sizes {
		every.add(int(s.bytes), int(s.before))
		if !s.isUnchanged {
			changes.add(int(s.bytes), int(s.before))
		}
	}
	return every.sent, changes.sent
}

// Start compares the customers of the batch.
func (p *Plan) Start(ctx context.Context, b *sink.Batch) error {
	defer close(b.Done)
	for _, r := range b.Records {
		if err := p.add(ctx, r); err != nil {
			return fmt.Errorf("comparing the customer of %s: %w", r.ID, err)
		}
		r.Outcome, r.Customer = outcome.WouldSend, nil
	}
	if p.questions.all {
		if err := p.askAll(ctx); err != nil {
			return err
		}
	}
	if p.existing == nil {
		return nil
	}
	for _, id := range b.Others {
		if err := p.existing.markSeen(id); err != nil {
			return err
		}
	}
	return nil
}

// CheckAccepts returns nil: a plan refuses no customer.
func (p *Plan) CheckAccepts(context.Context) error { return nil }

// Wait returns at once.
func (p *Plan) Wait() {}

func (p *Plan) add(ctx context.Context, record *sink.Record) error {
	find := p.questions.from.stored
	if p.existing != nil {
		find = p.existing.stored
	}
	now, err := find(ctx, record.SourceID)
	if err != nil {
		return err
	}
	d, err := compare(record.Customer, now)
	if err != nil {
		return err
	}
	p.sizes = append(p.sizes, size{uint32(len(record.Customer)), uint32(record.Before), d.Kind == Unchanged})
	isRefused, err := p.reject(record.Customer)
	if err != nil {
		return err
	}
	if isRefused {
		d.Kind = Rejected
	}
	mayChange := d.Kind == NotComparable || d.Kind == ClearFields && len(d.NotComparable) > 0
	if p.questions.from.voucherify == nil || !mayChange {
		p.count(record.SourceID, &d)
	} else if q := p.questions.add(question{record.ID, record.SourceID, record.Customer, len(p.sizes) - 1, d}); q != nil {
		p.sizes[q.size].isUnchanged = p.isConfirmed(q)
		p.count(q.sourceID, &q.difference)
	}
	return nil
}

// isConfirmed reports whether an import of only the changes leaves out a customer that is not asked for.
func (p *Plan) isConfirmed(q *question) bool {
	return q.difference.Kind == NotComparable && p.existing != nil && p.existing.isConfirmed(q.sourceID, q.customer)
}

// count counts a customer.
func (p *Plan) count(sourceID string, d *Difference) {
	p.Counts[d.Kind]++
	if len(p.Examples[d.Kind]) < p.show {
		p.Examples[d.Kind] = append(p.Examples[d.Kind], Example{sourceID, d.Changes, d.NotComparable})
	}
	if d.Kind == Rejected || d.Kind == Create {
		return
	}
	for _, field := range d.NotComparable {
		p.NotComparable[KeyIn(p.NotComparable, field)]++
	}
	for _, c := range d.Changes {
		field := KeyIn(p.Changes, c.Field)
		n := p.Changes[field]
		if c.New == nil {
			n.Clear++
		} else {
			n.Change++
		}
		p.Changes[field] = n
	}
}

// reject counts what the schema refuses of a customer, and reports whether it does.
func (p *Plan) reject(customer []byte) (bool, error) {
	if p.rules == nil {
		return false, nil
	}
	v, err := decode(customer)
	if err != nil {
		return false, err
	}
	object, _ := v.(map[string]any)
	metadata, _ := object["metadata"].(map[string]any)
	for key, value := range metadata { // a null clears
		if value == nil {
			delete(metadata, key)
		}
	}
	refusals := p.rules.Refusals(metadata)
	for _, l := range refusals {
		key := KeyIn(p.Rejected, l.Key)
		if p.Rejected[key] == nil {
			p.Rejected[key] = make(map[string]int)
		}
		p.Rejected[key][l.Reason]++
	}
	return len(refusals) > 0, nil
}

// forecast counts the bulk requests that an import cuts of the same customers.
type forecast struct {
	limits           *sink.BatchLimits
	sent             Cost
	customers, bytes int // of the batch that is being filled
	first            int // profiles that were read before its first customer
}

func (c *forecast) add(bytes, profilesBefore int) {
	if c.limits.IsFull(c.customers, c.bytes, bytes) || c.customers > 0 && profilesBefore-c.first >= sink.PartialProfiles {
		c.customers, c.bytes = 0, 0
	}
	if c.customers == 0 {
		c.sent.BulkCalls++
		c.first = profilesBefore
	}
	c.sent.Customers++
	c.customers, c.bytes = c.customers+1, c.bytes+bytes+len(",")
}

// oneByOne asks Voucherify for each customer.
type oneByOne struct {
	voucherify *voucherify.Client
	schema     *voucherify.MetadataSchema
}

func (o oneByOne) stored(ctx context.Context, sourceID string) (*storedCustomer, error) {
	customer, err := o.voucherify.Customer(ctx, sourceID)
	if answer, ok := errors.AsType[*voucherify.Error](err); ok && answer.NotFound() {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(customer)
	if err != nil {
		return nil, err
	}
	fields, err := sentFields(data)
	return &storedCustomer{fields, func(string) bool { return true }, o.schema}, err
}

// KeyIn returns the key that a value is counted under: where there are too many others, one for all the rest.
func KeyIn[V any](counts map[string]V, key string) string {
	const maxCounted = 5000
	if _, known := counts[key]; !known && len(counts) >= maxCounted {
		return "other keys"
	}
	return key
}

// CompareWith says what sending a customer, its JSON, does to the one that Voucherify has, which is
// read by one request; stored is nil if there is none.
func CompareWith(ctx context.Context, vch *voucherify.Client, sourceID string, customer []byte) (d Difference, stored map[string]any, err error) {
	now, err := oneByOne{vch, nil}.stored(ctx, sourceID)
	if err != nil {
		return d, nil, fmt.Errorf("reading the customer: %w", err)
	}
	if now != nil {
		stored = now.fields
	}
	d, err = compare(customer, now)
	return d, stored, err
}
