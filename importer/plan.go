package importer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"segsync/importer/journal"
	"segsync/importer/mapping"
	"segsync/voucherify"
)

// Plan is what an import would do to the customers that Voucherify has. Give it to Settings
// to fill it in, instead of sending anything.
type Plan struct {
	customers customers
	refusals  func(metadata map[string]any) []mapping.LeftOut
	show      int // examples of each kind

	Counts   map[Kind]int              // customers
	Changes  map[string]FieldChanges   // by field
	Rejected map[string]map[string]int // customers by metadata key and reason
	Examples map[Kind][]Example        // personal data
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
	SourceID string   `json:"source_id"`
	Changes  []Change `json:"changes"`
}

// customers is where a plan looks customers up.
type customers interface {
	stored(ctx context.Context, sourceID string) (*stored, error) // nil for none
}

// NewPlan returns an empty plan that compares with an export, or, where that is nil, with
// the answers of Voucherify to one request a customer. refusals says what the project's
// schema refuses of a customer's metadata, nil for nothing; show is the number of examples
// of each kind.
func NewPlan(existing *Existing, vch *voucherify.Client, refusals func(map[string]any) []mapping.LeftOut, show int) *Plan {
	p := &Plan{
		customers: existing, refusals: refusals, show: show, Counts: make(map[Kind]int), Changes: make(map[string]FieldChanges),
		Rejected: make(map[string]map[string]int), Examples: make(map[Kind][]Example),
	}
	if existing == nil {
		p.customers = oneByOne{vch}
	}
	return p
}

// start is that of a sink.
func (p *Plan) start(ctx context.Context, b *batch) error {
	defer close(b.done)
	for _, record := range b.records {
		if err := p.add(ctx, record.SourceID, record.customer); err != nil {
			return fmt.Errorf("comparing the customer of %s: %w", record.SegmentID, err)
		}
		record.Outcome, record.customer = journal.WouldSend, nil
	}
	return nil
}

func (p *Plan) add(ctx context.Context, sourceID string, customer []byte) error {
	now, err := p.customers.stored(ctx, sourceID)
	if err != nil {
		return err
	}
	d, err := compare(customer, now)
	if err != nil {
		return err
	}
	if refused, err := p.reject(customer); err != nil {
		return err
	} else if refused {
		d.Kind = Rejected
	}
	p.Counts[d.Kind]++
	if len(p.Examples[d.Kind]) < p.show {
		p.Examples[d.Kind] = append(p.Examples[d.Kind], Example{sourceID, d.Changes})
	}
	if d.Kind == Rejected || d.Kind == Create {
		return nil
	}
	for _, c := range d.Changes {
		n := p.Changes[c.Field]
		if c.New == nil {
			n.Clear++
		} else {
			n.Change++
		}
		p.Changes[c.Field] = n
	}
	return nil
}

// reject counts what the schema refuses of a customer, and reports whether it does.
func (p *Plan) reject(customer []byte) (bool, error) {
	if p.refusals == nil {
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
	refusals := p.refusals(metadata)
	for _, l := range refusals {
		if p.Rejected[l.Key] == nil {
			p.Rejected[l.Key] = make(map[string]int)
		}
		p.Rejected[l.Key][l.Reason]++
	}
	return len(refusals) > 0, nil
}

// oneByOne asks Voucherify for each customer.
type oneByOne struct{ voucherify *voucherify.Client }

func (o oneByOne) stored(ctx context.Context, sourceID string) (*stored, error) {
	customer, err := o.voucherify.Customer(ctx, sourceID)
	var answer *voucherify.Error
	if errors.As(err, &answer) && answer.NotFound() {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return storedOf(customer)
}

func storedOf(customer *voucherify.Customer) (*stored, error) {
	data, err := json.Marshal(customer)
	if err != nil {
		return nil, err
	}
	fields, err := sentFields(data)
	return &stored{fields, func(string) bool { return true }}, err
}
