package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"

	"segsync/importer"
	"segsync/voucherify"
)

// schemaOfExport returns the project's metadata schema, which says what metadata an export
// has; nil for none, or where the key may not read it. Then no metadata can be compared.
func (s *session) schemaOfExport(ctx context.Context) (*voucherify.MetadataSchema, error) {
	if !s.apis.settings.mapping.Metadata.Any() {
		return nil, nil
	}
	schema, err := s.apis.voucherify.MetadataSchema(ctx, "customer")
	var answer *voucherify.Error
	switch {
	case errors.As(err, &answer) && (answer.Forbidden() || answer.Unknown()):
		s.tell.log.Warn("the metadata schema cannot be read: metadata cannot be compared", "cause", err)
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading the metadata schema: %w", err)
	}
	return schema, nil
}

// takeExport returns what Voucherify has of all customers.
func (s *session) takeExport(ctx context.Context, schema *voucherify.MetadataSchema) (*importer.Existing, error) {
	s.tell.log.Info("asking Voucherify for an export of its customers")
	return importer.TakeExport(ctx, s.apis.voucherify, func(ctx context.Context, req *http.Request, into *os.File) error {
		_, err := s.apis.toVoucherify.Download(ctx, req, into)
		return err
	}, schema, s.tell.log)
}

// runOnlyChanges runs the importer with what has changed.
func (s *session) runOnlyChanges(ctx context.Context) (err error) {
	beforehand, cancel := s.importer.UntilStopped(ctx) // nothing is read yet: there is nothing to finish
	defer cancel()
	schema, err := s.schemaOfExport(beforehand)
	if err != nil {
		return err
	}
	existing, err := s.takeExport(beforehand, schema)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, existing.Close()) }()
	s.importer.SendOnlyChanges(existing)
	return s.importer.Run(ctx)
}
