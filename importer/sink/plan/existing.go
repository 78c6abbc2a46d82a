package plan

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"iter"
	"maps"
	"math"
	"slices"
	"strings"

	"segsync/voucherify"
)

// exportFields are ordered of an export, with the names that they have in a customer.
var exportFields = []struct{ export, field string }{
	{"source_id", ""}, {"name", "name"}, {"email", "email"}, {"phone", "phone"}, {"description", "description"},
	{"birthdate", "birthdate"}, {"address_city", "address.city"}, {"address_state", "address.state"},
	{"address_country", "address.country"}, {"address_postal_code", "address.postal_code"},
	{"address_line_1", "address.line_1"}, {"address_line_2", "address.line_2"}, {"metadata", ""},
}

func orderedFields() []string {
	var names []string
	for _, f := range exportFields {
		names = append(names, f.export)
	}
	return names
}

// Existing is what Voucherify has of all customers, as an export tells. The customers are in
// a temporary file; in memory are 17 bytes for each of them. It is for one goroutine.
type Existing struct {
	file   temporary // JSON of one customer after the other
	seed   maphash.Seed
	places []place         // sorted by hash, then by offset
	seen   []bool          // which of places were asked for
	known  map[string]bool // fields that the export has
	rows   int             // customers, those without a source id included
	// isCounted says that the number of rows was compared with that of the project.
	isCounted   bool
	asks        oneByOne
	mayAsk      int // customers; negative: any number
	schema      *voucherify.MetadataSchema
	isConfirmed func(sourceID string, customer []byte) bool // see Trust
}

// place is where a customer is in the file.
type place struct {
	hash   uint64 // of its source id: two may have the same
	offset int64
}

// existingCustomer is a customer in the file.
type existingCustomer struct {
	Row      int            `json:"row"` // of the export, counted from 1 after the header
	SourceID string         `json:"source_id"`
	Fields   map[string]any `json:"fields"` // those that are not empty
}

// ReadExisting reads the customers of an export. schema is the project's: an export has the
// metadata that it defines and no other, none if it is nil. ordered says that the export has
// the fields that an Exporter orders; else its columns are known by their titles. Close must
// be called.
func ReadExisting(schema *voucherify.MetadataSchema, ordered bool, files ...io.Reader) (_ *Existing, err error) {
	file, err := newTemporary("segsync-customers-")
	if err != nil {
		return nil, fmt.Errorf("keeping the customers of the export: %w", err)
	}
	e := &Existing{file: file, seed: maphash.MakeSeed(), known: make(map[string]bool), schema: schema,
		isConfirmed: func(string, []byte) bool { return false }}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.Close())
		}
	}()
	var fields []string
	if ordered {
		fields = orderedFields()
	}
	keys := definedKeys(schema)
	if err := e.keep(voucherify.ReadExport(fields, keys, files...), keys); err != nil {
		return nil, err
	}
	slices.SortFunc(e.places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.offset, b.offset))
	})
	e.seen = make([]bool, len(e.places))
	if err := e.checkTwice(); err != nil {
		return nil, err
	}
	return e, nil
}

// definedKeys are the metadata keys that a schema, which may be nil, defines.
func definedKeys(schema *voucherify.MetadataSchema) []string {
	if schema == nil {
		return nil
	}
	keys := slices.Sorted(maps.Keys(schema.Properties))
	return slices.DeleteFunc(keys, func(key string) bool { return schema.Properties[key].Deleted })
}

// keep writes the customers to the file, and notes where they are.
func (e *Existing) keep(customers iter.Seq2[*voucherify.ExportedCustomer, error], schemaKeys []string) error {
	out := bufio.NewWriterSize(e.file, 1<<16)
	offset := int64(0)
	for customer, err := range customers {
		if err != nil {
			return err
		}
		e.rows++
		if customer.AllMetadata {
			for _, key := range schemaKeys {
				e.known["metadata."+key] = true
			}
		}
		kept := existingCustomer{e.rows, customer.SourceID, e.fieldsOf(customer)}
		if customer.SourceID == "" { // no profile can become it
			continue
		}
		data, err := json.Marshal(kept)
		if err != nil {
			return err
		}
		if _, err := out.Write(data); err != nil {
			return fmt.Errorf("keeping the customers of the export: %w", err)
		}
		e.places = append(e.places, place{maphash.String(e.seed, customer.SourceID), offset})
		offset += int64(len(data))
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("keeping the customers of the export: %w", err)
	}
	return nil
}

// checkTwice returns an error if two customers have the same source id: then nobody can say
// what Voucherify has of it.
func (e *Existing) checkTwice() error {
	for i := 1; i < len(e.places); i++ {
		if e.places[i].hash != e.places[i-1].hash {
			continue
		}
		customer, err := e.read(e.places[i].offset)
		if err != nil {
			return err
		}
		_, other, err := e.find(customer.SourceID) // the first of them
		if err != nil {
			return err
		}
		if other.Row != customer.Row {
			return fmt.Errorf("the customers %d and %d of the export have the same source_id", other.Row, customer.Row)
		}
	}
	return nil
}

// IsComplete reports whether the export is known to have all customers: those that it lacks cannot be
// told from those that Voucherify lacks.
func (e *Existing) IsComplete() bool { return e.isCounted }

// UnknownColumns are the metadata keys of the export that the project does not define, sorted: titles of
// fields may be among them.
func (e *Existing) UnknownColumns() []string {
	var unknown []string
	for field := range e.known {
		key, isMetadata := strings.CutPrefix(field, "metadata.")
		if isMetadata && !slices.Contains(definedKeys(e.schema), key) {
			unknown = append(unknown, key)
		}
	}
	slices.Sort(unknown)
	return unknown
}

// fieldsOf returns the fields of a customer that are not empty, and notes which fields the
// export has.
func (e *Existing) fieldsOf(c *voucherify.ExportedCustomer) map[string]any {
	fields := make(map[string]any)
	for _, f := range exportFields {
		if value, isPresent := c.Fields[f.export]; isPresent && f.field != "" {
			e.known[f.field] = true
			if value != "" {
				fields[f.field] = value
			}
		}
	}
	for key, value := range c.Metadata {
		e.known["metadata."+key] = true
		if !isEmpty(value) {
			fields["metadata."+key] = value
		}
	}
	return fields
}

// AskFor lets Compare ask for the customers that the export cannot be compared with, one by one: for
// so many at most, or for each where max is negative. The others stay not comparable.
func (e *Existing) AskFor(vch *voucherify.Client, max int) {
	e.asks, e.mayAsk = oneByOne{vch, e.schema}, max
}

// Trust has customers that cannot be compared, and are not asked for, count as unchanged where isConfirmed
// reports that they were last sent as they are now.
func (e *Existing) Trust(isConfirmed func(sourceID string, customer []byte) bool) {
	e.isConfirmed = isConfirmed
}

// Compare says what sending a customer, its JSON, would do.
func (e *Existing) Compare(ctx context.Context, customer []byte) (Difference, error) {
	var id struct {
		SourceID string `json:"source_id"`
	}
	if err := json.Unmarshal(customer, &id); err != nil {
		return Difference{}, err
	}
	now, err := e.stored(ctx, id.SourceID)
	if err != nil {
		return Difference{}, err
	}
	d, err := compare(customer, now)
	if err != nil || d.Kind != NotComparable {
		return d, err
	}
	if e.mayAsk != 0 {
		e.mayAsk--
		asked, err := e.asks.compare(ctx, id.SourceID, customer)
		if refused, ok := errors.AsType[*voucherify.Error](err); !ok || !refused.Forbidden() && !refused.Unknown() {
			return asked, err
		}
		e.mayAsk = 0
	}
	if e.isConfirmed(id.SourceID, customer) {
		d = Difference{Kind: Unchanged}
	}
	return d, nil
}

// stored returns what there is of the customer, nil for none, and notes that it was asked
// for.
func (e *Existing) stored(_ context.Context, sourceID string) (*storedCustomer, error) {
	i, customer, err := e.find(sourceID)
	if err != nil || customer == nil {
		return nil, err
	}
	e.seen[i] = true
	return &storedCustomer{customer.Fields, func(field string) bool { return e.known[field] }, e.schema}, nil
}

// markSeen notes that the source has the customer, if there is one.
func (e *Existing) markSeen(sourceID string) error {
	i, customer, err := e.find(sourceID)
	if err == nil && customer != nil {
		e.seen[i] = true
	}
	return err
}

// find returns the customer with this source id, and its number in places; nil for none.
func (e *Existing) find(sourceID string) (int, *existingCustomer, error) {
	hash := maphash.String(e.seed, sourceID)
	i, _ := slices.BinarySearchFunc(e.places, hash, func(p place, hash uint64) int { return cmp.Compare(p.hash, hash) })
	for ; i < len(e.places) && e.places[i].hash == hash; i++ {
		customer, err := e.read(e.places[i].offset)
		if err != nil || customer.SourceID == sourceID {
			return i, customer, err
		}
	}
	return 0, nil, nil
}

// read reads the customer at the offset.
func (e *Existing) read(offset int64) (*existingCustomer, error) {
	customer := new(existingCustomer)
	decoder := json.NewDecoder(io.NewSectionReader(e.file, offset, math.MaxInt64-offset))
	decoder.UseNumber()
	if err := decoder.Decode(customer); err != nil {
		return nil, fmt.Errorf("reading the customers of the export: %w", err)
	}
	return customer, nil
}

// Unseen returns how many customers were not asked for.
func (e *Existing) Unseen() int {
	n := 0
	for _, seen := range e.seen {
		if !seen {
			n++
		}
	}
	return n
}

// Orphan is a customer that was not asked for.
type Orphan struct {
	SourceID string
	Fields   map[string]any // by name, such as metadata.origin; those that are not empty
}

// Orphans ranges over the customers that were not asked for, in the order of the export.
func (e *Existing) Orphans() iter.Seq2[Orphan, error] {
	return func(yield func(Orphan, error) bool) {
		var unseen []int64
		for i, at := range e.places {
			if !e.seen[i] {
				unseen = append(unseen, at.offset)
			}
		}
		slices.Sort(unseen)
		for _, offset := range unseen {
			customer, err := e.read(offset)
			if err != nil {
				yield(Orphan{}, err)
				return
			}
			if !yield(Orphan{customer.SourceID, customer.Fields}, nil) {
				return
			}
		}
	}
}

// HasField reports whether the export has the field, such as metadata.origin.
func (e *Existing) HasField(name string) bool { return e.known[name] }

// Close removes the temporary file.
func (e *Existing) Close() error { return e.file.Close() }
