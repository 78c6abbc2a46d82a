package importer

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
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
// a temporary file; in memory are 40 to 80 bytes for each of them. It is for one goroutine.
type Existing struct {
	file  *os.File // JSON of one customer after the other
	index map[[16]byte]place
	known map[string]bool // fields that the export has
}

// place is where a customer is in the file.
type place struct {
	offset int64
	length int32
	seen   bool // it was asked for
}

// existingCustomer is a customer in the file.
type existingCustomer struct {
	SourceID string         `json:"source_id"`
	Fields   map[string]any `json:"fields"` // those that are not empty
}

// ReadExisting reads the customers of an export. schemaKeys are the metadata keys that the
// project defines: an export has those and no others. ordered says that the export has the
// fields that TakeExport orders; else its columns are known by their titles. Close must be
// called.
func ReadExisting(export io.Reader, schemaKeys []string, ordered bool) (_ *Existing, err error) {
	file, err := os.CreateTemp("", "segsync-customers-") // 0600
	if err != nil {
		return nil, fmt.Errorf("keeping the customers of the export: %w", err)
	}
	e := &Existing{file: file, index: make(map[[16]byte]place), known: make(map[string]bool)}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.Close())
		}
	}()
	var fields []string
	if ordered {
		fields = orderedFields()
	}
	out := bufio.NewWriterSize(file, 1<<16)
	offset, hasMetadata := int64(0), ordered
	for customer, err := range voucherify.ReadExport(export, fields, schemaKeys) {
		if err != nil {
			return nil, err
		}
		hasMetadata = hasMetadata || customer.Metadata != nil
		data, err := json.Marshal(e.customerOf(customer))
		if err != nil {
			return nil, err
		}
		if customer.SourceID == "" {
			continue
		}
		if _, err := out.Write(data); err != nil {
			return nil, fmt.Errorf("keeping the customers of the export: %w", err)
		}
		e.index[keyOf(customer.SourceID)] = place{offset: offset, length: int32(len(data))}
		offset += int64(len(data))
	}
	if hasMetadata {
		for _, key := range schemaKeys {
			e.known["metadata."+key] = true
		}
	}
	if err := out.Flush(); err != nil {
		return nil, fmt.Errorf("keeping the customers of the export: %w", err)
	}
	return e, nil
}

// customerOf returns what is kept of a customer, and notes which fields the export has.
func (e *Existing) customerOf(c *voucherify.ExportedCustomer) existingCustomer {
	fields := make(map[string]any)
	for _, f := range exportFields {
		if value, there := c.Fields[f.export]; there && f.field != "" {
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
	return existingCustomer{c.SourceID, fields}
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
	return compare(customer, now)
}

func keyOf(sourceID string) (key [16]byte) {
	sum := sha256.Sum256([]byte(sourceID))
	copy(key[:], sum[:])
	return key
}

// stored returns what there is of the customer, nil for none, and notes that it was asked
// for.
func (e *Existing) stored(_ context.Context, sourceID string) (*stored, error) {
	key := keyOf(sourceID)
	at, there := e.index[key]
	if !there {
		return nil, nil
	}
	at.seen = true
	e.index[key] = at
	customer, err := e.read(at)
	if err != nil {
		return nil, err
	}
	return &stored{customer.Fields, func(field string) bool { return e.known[field] }}, nil
}

func (e *Existing) read(at place) (*existingCustomer, error) {
	data := make([]byte, at.length)
	if _, err := e.file.ReadAt(data, at.offset); err != nil {
		return nil, fmt.Errorf("reading the customers of the export: %w", err)
	}
	var customer existingCustomer
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.UseNumber()
	if err := decoder.Decode(&customer); err != nil {
		return nil, fmt.Errorf("reading the customers of the export: %w", err)
	}
	return &customer, nil
}

// Unseen returns how many customers were not asked for.
func (e *Existing) Unseen() int {
	n := 0
	for _, at := range e.index {
		if !at.seen {
			n++
		}
	}
	return n
}

// UnseenIDs ranges over the source ids of the customers that were not asked for, in the
// order of the export.
func (e *Existing) UnseenIDs() iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		var unseen []place
		for _, at := range e.index {
			if !at.seen {
				unseen = append(unseen, at)
			}
		}
		slices.SortFunc(unseen, func(a, b place) int { return int(min(max(a.offset-b.offset, -1), 1)) })
		for _, at := range unseen {
			customer, err := e.read(at)
			if err != nil {
				yield("", err)
				return
			}
			if !yield(customer.SourceID, nil) {
				return
			}
		}
	}
}

// Close removes the temporary file.
func (e *Existing) Close() error {
	return errors.Join(e.file.Close(), os.Remove(e.file.Name()))
}
