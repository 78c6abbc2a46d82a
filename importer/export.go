package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"segsync/voucherify"
)

const (
	exportTimeout   = 30 * time.Minute // for Voucherify to make an export
	firstExportLook = time.Second
	exportLook      = 30 * time.Second // the longest time between two looks
	exportDownloads = 3                // of a file that is cut
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

// TakeExport orders an export of all customers, waits for it, and reads it. schema is the
// project's, see ReadExisting. The log gets a line for each minute of waiting.
func TakeExport(ctx context.Context, vch *voucherify.Client, download Download, schema *voucherify.MetadataSchema, log *slog.Logger) (_ *Existing, err error) {
	id, err := vch.CreateExport(ctx, orderedFields())
	if err != nil {
		return nil, fmt.Errorf("ordering an export of the customers: %w", err)
	}
	file, err := newTemporary("segsync-export-")
	if err != nil {
		return nil, fmt.Errorf("downloading the export: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	for attempt := 1; ; attempt++ {
		url, err := exportURL(ctx, vch, id, log)
		if err != nil {
			return nil, err
		}
		req, err := vch.DownloadRequest(ctx, url)
		if err != nil {
			return nil, fmt.Errorf("downloading the export: %w", err)
		}
		if err := download(ctx, req, file.File); err != nil {
			return nil, fmt.Errorf("downloading the export: %w", err)
		}
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return nil, fmt.Errorf("reading the export: %w", err)
		}
		existing, err := ReadExisting(file, schema, true)
		if err == nil || attempt == exportDownloads || ctx.Err() != nil {
			return existing, err
		}
		if err := file.Truncate(0); err != nil { // half a row: it was cut, and nothing said so
			return nil, fmt.Errorf("downloading the export: %w", err)
		}
	}
}

// exportURL waits until the export is done.
func exportURL(ctx context.Context, vch *voucherify.Client, id string, log *slog.Logger) (string, error) {
	began, told, pause := time.Now(), time.Now(), firstExportLook
	for {
		export, err := vch.Export(ctx, id)
		switch {
		case err != nil:
			return "", fmt.Errorf("waiting for the export of the customers: %w", err)
		case export.Status == "DONE":
			return export.URL, nil
		case export.Status == "ERROR", time.Since(began) > exportTimeout:
			return "", &ExportError{export.Status}
		}
		if time.Since(told) >= time.Minute {
			told = time.Now()
			log.Info("waiting for Voucherify to make the export", "status", export.Status, "elapsed", time.Since(began).Round(time.Second))
		}
		select {
		case <-time.After(pause):
			pause = min(pause*3/2, exportLook)
		case <-ctx.Done():
			return "", ctx.Err()
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
