package plan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"time"

	"segsync/voucherify"
)

const (
	exportTimeout   = 30 * time.Minute // for Voucherify to make an export
	minExportPause  = time.Second
	maxExportPause  = 30 * time.Second // between two polls
	exportDownloads = 3                // of a file that is cut
	deleteTimeout   = 10 * time.Second
)

// ExportError says that Voucherify did not make an export of the customers.
type ExportError struct{ Status string }

func (e *ExportError) Error() string {
	if e.Status == "ERROR" {
		return "Voucherify could not make an export of the customers"
	}
	return fmt.Sprintf("Voucherify has not made an export of the customers within %s: it is %s", exportTimeout, e.Status)
}

// Download writes the body of the answer into an empty file. Its errors do not show the URL.
type Download func(ctx context.Context, req *http.Request, into *os.File) error

// ShortExportError says that an export has fewer customers than the project.
type ShortExportError struct{ Rows, Before, After int }

func (e *ShortExportError) Error() string {
	if e.Before == e.After {
		return fmt.Sprintf("the export has %d customers, and the project %d", e.Rows, e.After)
	}
	return fmt.Sprintf("the export has %d customers, and the project had %d before and %d after it", e.Rows, e.Before, e.After)
}

// Exporter takes exports.
type Exporter struct {
	Voucherify *voucherify.Client
	Download   Download
	Schema     *voucherify.MetadataSchema // the project's, see ReadExisting
	Keep       bool                       // the export stays at Voucherify once it is read
	Log        *slog.Logger               // gets a line for each minute of waiting
}

// Take orders an export of all customers, waits for it, reads it, and deletes it. An export with fewer
// customers than the project is an error.
func (x *Exporter) Take(ctx context.Context) (_ *Existing, err error) {
	before, err := x.total(ctx)
	if err != nil {
		return nil, err
	}
	id, err := x.Voucherify.CreateExport(ctx, orderedFields())
	if err != nil {
		return nil, fmt.Errorf("ordering an export of the customers: %w", err)
	}
	defer x.delete(ctx, id)
	existing, err := x.read(ctx, id)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, existing.Close())
		}
	}()
	after, err := x.total(ctx)
	if err != nil || before < 0 || after < 0 {
		return existing, err
	}
	churn := max(after-before, before-after)
	switch {
	case existing.rows < min(before, after)-churn:
		return nil, &ShortExportError{existing.rows, before, after}
	case existing.rows > max(before, after)+churn: // nothing is missing
		x.Log.Warn("the export has more customers than the project", "export", existing.rows, "project", after)
	}
	existing.isCounted = true
	return existing, nil
}

// total returns how many customers the project has, -1 where it cannot be read.
func (x *Exporter) total(ctx context.Context) (int, error) {
	n, err := x.Voucherify.CustomersTotal(ctx)
	answer, isAnswer := errors.AsType[*voucherify.Error](err)
	_, isForeign := errors.AsType[*voucherify.ForeignAnswerError](err)
	switch {
	case isForeign || isAnswer && (answer.Forbidden() || answer.Unknown() || answer.Status == http.StatusNotFound):
		x.Log.Warn("the number of customers cannot be read: whether the export has them all is not known", "cause", err)
		return -1, nil
	case err != nil:
		return 0, fmt.Errorf("reading the number of customers: %w", err)
	}
	return n, nil
}

// delete deletes the export: it holds the data of all customers, and Voucherify keeps it.
func (x *Exporter) delete(ctx context.Context, id string) {
	if x.Keep {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteTimeout)
	defer cancel()
	err := x.Voucherify.DeleteExport(ctx, id)
	if answer, ok := errors.AsType[*voucherify.Error](err); ok && answer.NotFound() { // the first answer was lost
		return
	}
	if err != nil {
		x.Log.Warn("the export stays at Voucherify, with the data of all customers: it could not be deleted", "export", id, "cause", err)
	}
}

// LeftExports returns the exports at Voucherify that an Exporter ordered, of the newest 100: they were
// kept, or could not be deleted.
func LeftExports(ctx context.Context, vch *voucherify.Client) (ours []voucherify.ExportOrder, err error) {
	all, err := vch.Exports(ctx)
	for _, o := range all {
		if o.Object == "customer" && o.Parameters.Order == "source_id" && slices.Equal(o.Parameters.Fields, orderedFields()) {
			ours = append(ours, o)
		}
	}
	return ours, err
}

// read downloads and reads the export once it is made.
func (x *Exporter) read(ctx context.Context, id string) (*Existing, error) {
	for attempt := 1; ; attempt++ {
		urls, err := exportURLs(ctx, x.Voucherify, id, x.Log)
		if err != nil {
			return nil, err
		}
		existing, cut, err := x.readFiles(ctx, urls)
		if err == nil || !cut || attempt == exportDownloads || ctx.Err() != nil {
			return existing, err
		}
	}
}

// readFiles downloads the files and reads them. It reports whether an error is one of reading: then
// half a row may say that a file was cut, and nothing else did.
func (x *Exporter) readFiles(ctx context.Context, urls []string) (_ *Existing, isCut bool, err error) {
	files := make([]io.Reader, len(urls))
	for i, url := range urls {
		file, err := newTemporary("segsync-export-")
		if err != nil {
			return nil, false, fmt.Errorf("downloading the export: %w", err)
		}
		defer file.Close() // it is only read from here on
		req, err := x.Voucherify.DownloadRequest(ctx, url)
		if err == nil {
			err = x.Download(ctx, req, file.File)
		}
		if err != nil {
			return nil, false, fmt.Errorf("downloading the export: %w", err)
		}
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return nil, false, fmt.Errorf("reading the export: %w", err)
		}
		files[i] = file
	}
	existing, err := ReadExisting(x.Schema, true, files...)
	return existing, true, err
}

// exportURLs waits until the export is done.
func exportURLs(ctx context.Context, vch *voucherify.Client, id string, log *slog.Logger) ([]string, error) {
	began, told, pause := time.Now(), time.Now(), minExportPause
	for {
		export, err := vch.Export(ctx, id)
		switch {
		case err != nil:
			return nil, fmt.Errorf("waiting for the export of the customers: %w", err)
		case export.Status == "DONE":
			return export.URLs, nil
		case export.Status == "ERROR", time.Since(began) > exportTimeout:
			return nil, &ExportError{export.Status}
		}
		if time.Since(told) >= time.Minute {
			told = time.Now()
			log.Info("waiting for Voucherify to make the export", "status", export.Status, "elapsed", time.Since(began).Round(time.Second))
		}
		select {
		case <-time.After(pause):
			pause = min(pause*3/2, maxExportPause)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// temporary is a file of customers that nobody else can read, and that is gone with Close.
type temporary struct{ *os.File }

func newTemporary(pattern string) (temporary, error) {
	file, err := os.CreateTemp("", pattern) // 0600
	if err == nil {
		os.Remove(file.Name()) // already now, where the system can: a killed process leaves nothing behind
	}
	return temporary{file}, err
}

func (t temporary) Close() error {
	err := t.File.Close()
	os.Remove(t.Name()) // where it could not be done before
	return err
}
