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
	coverage  *coverageCounter
	all       bulkCalls // of an import
	changes   bulkCalls // of one that sends only changes

	Counts        map[Kind]int              // customers
	Changes       map[string]FieldChanges   // by field
	NotComparable map[string]int            // customers by field
	Rejected      map[string]map[string]int // customers by metadata key and reason
	Examples      map[Kind][]Example        // personal data
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

// customers is where a plan looks customers up.
type customers interface {
	stored(ctx context.Context, sourceID string) (*stored, error) // nil for none
	// see notes that the source has the customer, although an import would not send it.
	see(sourceID string) error
}

// NewPlan returns an empty plan that compares with an export, or, where that is nil, with
// the answers of Voucherify to one request a customer. schema is the project's, nil for none;
// show is the number of examples of each kind.
func NewPlan(existing *Existing, vch *voucherify.Client, schema *voucherify.MetadataSchema, show int) *Plan {
	p := &Plan{
		customers: existing, refusals: refusalsOf(schema), show: show, Counts: make(map[Kind]int), Changes: make(map[string]FieldChanges),
		NotComparable: make(map[string]int), Rejected: make(map[string]map[string]int), Examples: make(map[Kind][]Example),
	}
	if existing == nil {
		p.customers = oneByOne{vch, schema}
	}
	return p
}

// refusalsOf returns what a schema refuses of a customer's metadata as it is sent.
func refusalsOf(schema *voucherify.MetadataSchema) func(map[string]any) []mapping.LeftOut {
	if schema == nil {
		return nil
	}
	rules := mapping.NewSchema(schema)
	return func(metadata map[string]any) []mapping.LeftOut {
		return rules.Refusals(metadata, schema.AllowDefinedOnly)
	}
}

// begin makes the plan that of an importer with these settings.
func (p *Plan) begin(s Settings) *coverageCounter {
	p.all, p.changes = bulkCalls{cutter: newCutter(s)}, bulkCalls{cutter: newCutter(s)}
	p.coverage = countCoverage(s.Mapping, newCoverage())
	return p.coverage
}

// Coverage returns what the profiles have, after the run.
func (p *Plan) Coverage() *Coverage { return p.coverage.done() }

// Cost is what is sent to Voucherify at least: an import takes more calls where Voucherify
// takes less in one, or where calls fail.
type Cost struct{ Customers, BulkCalls int }

// Cost returns that of an import, and that of one that sends only changes, after the run.
func (p *Plan) Cost() (all, onlyChanges Cost) { return p.all.cost(), p.changes.cost() }

// start is that of a sink.
func (p *Plan) start(ctx context.Context, b *batch) error {
	defer close(b.done)
	pages := b.pages
	for _, record := range b.records {
		for ; len(pages) > 0 && pages[0] != record.page; pages = pages[1:] {
			p.endPage()
		}
		if err := p.add(ctx, record); err != nil {
			return fmt.Errorf("comparing the customer of %s: %w", record.SegmentID, err)
		}
		record.Outcome, record.customer = journal.WouldSend, nil
	}
	for range pages {
		p.endPage()
	}
	return p.seeOthers(b.pages)
}

func (p *Plan) endPage() {
	p.all.endPage()
	p.changes.endPage()
}

// seeOthers notes the customers of the profiles that are not sent.
func (p *Plan) seeOthers(pages []*page) error {
	for _, page := range pages {
		for _, profile := range page.profiles {
			if profile.SourceID == "" || profile.Outcome == journal.WouldSend {
				continue
			}
			if err := p.customers.see(profile.SourceID); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *Plan) add(ctx context.Context, record *profile) error {
	now, err := p.customers.stored(ctx, record.SourceID)
	if err != nil {
		return err
	}
	d, err := compare(record.customer, now)
	if err != nil {
		return err
	}
	p.all.add(len(record.customer))
	if d.Kind != Unchanged {
		p.changes.add(len(record.customer))
	}
	if refused, err := p.reject(record.customer); err != nil {
		return err
	} else if refused {
		d.Kind = Rejected
	}
	p.count(record.SourceID, &d)
	return nil
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
		countKey(p.NotComparable, field)
	}
	for _, c := range d.Changes {
		field := keyIn(p.Changes, c.Field)
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
		key := keyIn(p.Rejected, l.Key)
		if p.Rejected[key] == nil {
			p.Rejected[key] = make(map[string]int)
		}
		p.Rejected[key][l.Reason]++
	}
	return len(refusals) > 0, nil
}

// bulkCalls counts the batches that a batcher cuts of the same customers and pages.
type bulkCalls struct {
	cutter
	sent             Cost
	customers, bytes int // of the batch that is being filled
	pages            int // that it has waited for
}

func (c *bulkCalls) add(bytes int) {
	if c.full(c.customers, c.bytes, bytes) {
		c.cut()
	}
	c.sent.Customers++
	c.customers, c.bytes = c.customers+1, c.bytes+bytes+len(",")
}

func (c *bulkCalls) endPage() {
	if c.pages++; c.overdue(c.customers, c.pages) {
		c.cut()
	}
}

func (c *bulkCalls) cut() {
	if c.customers > 0 {
		c.sent.BulkCalls++
	}
	c.customers, c.bytes, c.pages = 0, 0, 0
}

// cost returns what is sent in the end, with the batch that is not full.
func (c *bulkCalls) cost() Cost {
	all := c.sent
	if c.customers > 0 {
		all.BulkCalls++
	}
	return all
}

// oneByOne asks Voucherify for each customer.
type oneByOne struct {
	voucherify *voucherify.Client
	schema     *voucherify.MetadataSchema
}

func (o oneByOne) stored(ctx context.Context, sourceID string) (*stored, error) {
	customer, err := o.voucherify.Customer(ctx, sourceID)
	var answer *voucherify.Error
	if errors.As(err, &answer) && answer.NotFound() {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return storedOf(customer, o.schema)
}

func (oneByOne) see(string) error { return nil }

func storedOf(customer *voucherify.Customer, schema *voucherify.MetadataSchema) (*stored, error) {
	data, err := json.Marshal(customer)
	if err != nil {
		return nil, err
	}
	fields, err := sentFields(data)
	return &stored{fields, func(string) bool { return true }, schema}, err
}
