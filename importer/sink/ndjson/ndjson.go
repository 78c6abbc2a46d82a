// Package ndjson is the sink of a dry run: it writes the customers as lines of JSON, in order.
package ndjson

import (
	"bufio"
	"context"
	"fmt"
	"io"

	"segsync/importer/outcome"
	"segsync/importer/sink"
	"segsync/internal/safetext"
)

// Sink writes customers.
type Sink struct{ to *bufio.Writer }

// New returns a sink that writes to w.
func New(w io.Writer) *Sink { return &Sink{bufio.NewWriterSize(w, 1<<16)} }

// Start writes the customers of the batch.
func (s *Sink) Start(_ context.Context, b *sink.Batch) error {
	defer close(b.Done)
	for _, r := range b.Records {
		s.to.Write(safetext.JSON(r.Customer))
		s.to.WriteByte('\n')
		r.Outcome, r.Customer = outcome.WouldSend, nil
	}
	if err := s.to.Flush(); err != nil {
		return fmt.Errorf("writing the customers: %w", err)
	}
	return nil
}

// CheckAccepts returns nil: a dry run refuses no customer.
func (s *Sink) CheckAccepts(context.Context) error { return nil }

// Wait returns at once.
func (s *Sink) Wait() {}
