package journal

import (
	"bytes"
	"segsync/internal/safetext"
	"strings"
)

// report is a file for people that grows with the import. They may edit it: what is not as
// the state says is left alone, and continued at its end.
type report struct {
	*growing
	header string
	noted  bytes.Buffer
}

func openReport(dir, name, header string) (*report, error) {
	file, err := openGrowing(dir, name)
	if err != nil {
		return nil, err
	}
	return &report{growing: file, header: header}, nil
}

// resume cuts the report back to the extent. If somebody edited it, it is kept as it is,
// and edited is true: some lines may be written a second time.
func (r *report) resume(e Extent) (edited bool, err error) {
	fits, err := r.fits(e)
	if err != nil {
		return false, err
	}
	if fits {
		return false, r.cut(e)
	}
	return true, r.continueAtEnd()
}

// continueAtEnd goes on behind the last line of the report, which gets its end if it has
// none.
func (r *report) continueAtEnd() error {
	if err := r.takeWhole(); err != nil || r.size == 0 {
		return err
	}
	last, err := r.read(r.size-1, r.size)
	if err == nil && last[0] != '\n' {
		err = r.write([]byte("\n"))
	}
	return err
}

// flush writes what was noted, after the header in a new report.
func (r *report) flush() error {
	if r.size == 0 && r.noted.Len() > 0 && r.header != "" {
		if err := r.write([]byte(r.header)); err != nil {
			return err
		}
	}
	if err := r.write(r.noted.Bytes()); err != nil {
		return err
	}
	r.noted.Reset()
	return nil
}

const (
	notImportedHeader = "segment_id,source_id,reason,detail,async_action_id,request_id\n"
	mergedHeader      = "segment_id,source_id\n"
	warningsHeader    = "segment_id,source_id,field,reason\n"
)

// notImportedRow writes the lines of a record.
func notImportedRow(b *bytes.Buffer, r Record) {
	for range max(r.Unnamed, 1) {
		writeRow(b, r.SegmentID, r.SourceID, r.Reason, r.Detail, r.ActionID, r.RequestID)
	}
}

// writeRow writes a line of CSV that a spreadsheet can open: no cell is a formula, and a
// semicolon separates nothing.
func writeRow(b *bytes.Buffer, cells ...string) {
	for i, cell := range cells {
		if i > 0 {
			b.WriteByte(',')
		}
		cell = safetext.Line(cell)
		if cell != "" && strings.ContainsRune("=+-@＝＋－＠", []rune(cell)[0]) {
			cell = "'" + cell
		}
		if strings.ContainsAny(cell, ",;\"") || strings.TrimSpace(cell) != cell {
			cell = `"` + strings.ReplaceAll(cell, `"`, `""`) + `"`
		}
		b.WriteString(cell)
	}
	b.WriteByte('\n')
}
