package importer

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Names of the reports in Settings.Dir.
const (
	WithoutIdentifierFile = "profiles-without-identifier.txt" // segment ids, one per line
	NotImportedFile       = "not-imported.csv"
)

// notImported is a line of NotImportedFile.
type notImported struct {
	segmentID, sourceID string
	why                 refusal
}

// reports are the files that name the profiles which did not become customers.
type reports struct {
	withoutIdentifier, notImported *appendFile
}

// openReports opens the reports to continue them, and makes them if there are none.
func openReports(dir string) (*reports, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory for the reports: %w", err)
	}
	withoutIdentifier, err := openAppend(filepath.Join(dir, WithoutIdentifierFile), "")
	if err != nil {
		return nil, err
	}
	notImported, err := openAppend(filepath.Join(dir, NotImportedFile), "segment_id,source_id,reason,detail\n")
	if err != nil {
		withoutIdentifier.close()
		return nil, err
	}
	return &reports{withoutIdentifier, notImported}, nil
}

func (r *reports) close() error {
	return errors.Join(r.withoutIdentifier.close(), r.notImported.close())
}

// startAnew empties the reports.
func (r *reports) startAnew() error {
	return errors.Join(r.withoutIdentifier.empty(), r.notImported.empty())
}

// append writes the lines of one or more pages.
func (r *reports) append(o outcome) error {
	var ids, rows bytes.Buffer
	for _, id := range o.withoutIdentifier {
		ids.WriteString(id + "\n")
	}
	w := csv.NewWriter(&rows)
	for _, n := range o.notImported {
		w.Write([]string{cell(n.segmentID), cell(n.sourceID), cell(n.why.reason), cell(n.why.detail)})
	}
	w.Flush() // a bytes.Buffer takes everything
	before := r.withoutIdentifier.size
	if err := r.withoutIdentifier.write(ids.Bytes()); err != nil {
		return err
	}
	if err := r.notImported.write(rows.Bytes()); err != nil {
		return errors.Join(err, r.withoutIdentifier.cut(before)) // both are written again
	}
	return nil
}

// cell guards a cell that a spreadsheet would take for a formula.
func cell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

// appendFile is a file that grows by whole writes: what was written in part, because
// the disk is full, is taken back.
type appendFile struct {
	file   *os.File
	header string
	size   int64
}

// openAppend opens the file to continue it. It is readable by its owner only, because
// it holds personal data.
func openAppend(path, header string) (*appendFile, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		file.Close()
		return nil, err
	}
	a := &appendFile{file: file, header: header, size: size}
	if size == 0 {
		if err := a.write([]byte(header)); err != nil {
			file.Close()
			return nil, err
		}
	}
	return a, nil
}

func (a *appendFile) write(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	if _, err := a.file.WriteAt(data, a.size); err != nil {
		return errors.Join(err, a.file.Truncate(a.size))
	}
	a.size += int64(len(data))
	return nil
}

// cut takes back what was written after size.
func (a *appendFile) cut(size int64) error {
	if err := a.file.Truncate(size); err != nil {
		return err
	}
	a.size = size
	return nil
}

// empty cuts the file back to its header.
func (a *appendFile) empty() error {
	if err := a.cut(0); err != nil {
		return err
	}
	return a.write([]byte(a.header))
}

func (a *appendFile) close() error { return a.file.Close() }
