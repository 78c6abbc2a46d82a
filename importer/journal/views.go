package journal

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"

	"segsync/importer/outcome"
	"segsync/internal/safetext"
)

// views are the reports for people. They show what the log says: rows are appended while an import
// runs, and each view is written anew when an import is continued, and at its end where rows were
// superseded.
type views struct {
	withoutIdentifier, notImported, merged, warnings view

	warnValues bool // the values, which the log does not have, are in the view of warnings
	superseded bool // a profile has another outcome than a row says
}

// view is one of the reports.
type view struct {
	path, header string
	rows         bytes.Buffer // not written yet
	file         *os.File     // nil: not open
}

// newViews returns the views, or an error if something else stands in the place of one.
func newViews(names Names, warnValues bool) (*views, error) {
	v := &views{warnValues: warnValues}
	v.withoutIdentifier.path = names.Path(names.WithoutIdentifier)
	v.notImported.path, v.notImported.header = names.Path(names.NotImported), "segment_id,source_id,reason,detail,async_action_id,request_id\n"
	v.merged.path, v.merged.header = names.Path(names.Merged), "segment_id,source_id\n"
	v.warnings.path, v.warnings.header = names.Path(names.Warnings), "segment_id,source_id,field,reason\n"
	if warnValues {
		v.warnings.header = "segment_id,source_id,field,reason,value\n"
	}
	for _, view := range v.all() {
		if err := checkRegular(view.path); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func (v *views) all() []*view {
	return []*view{&v.withoutIdentifier, &v.notImported, &v.merged, &v.warnings}
}

// add notes the rows of an entry. was is the outcome that the profile had before.
func (v *views) add(e *Entry, was outcome.Outcome) {
	if was != outcome.None && was != outcome.Sent {
		v.superseded = true
	}
	if !e.Carried {
		v.addRows(e)
	}
	if e.Outcome.IsOutstanding() || e.Outcome == outcome.Vanished {
		v.addNotImported(e)
	}
}

// addRows notes the rows of an entry but those of the view of what was not imported.
func (v *views) addRows(e *Entry) {
	switch e.Outcome {
	case outcome.WithoutIdentifier:
		v.withoutIdentifier.rows.WriteString(safetext.Line(e.SegmentID) + "\n")
	case outcome.Merged:
		writeRow(&v.merged.rows, e.SegmentID, e.SourceID)
	}
	for _, w := range e.Warnings {
		cells := []string{e.SegmentID, e.SourceID, w.Field, w.Reason}
		if v.warnValues {
			cells = append(cells, w.Value)
		}
		writeRow(&v.warnings.rows, cells...)
	}
}

// open opens the view to append to it. One that is empty gets its header.
func (v *view) open() (err error) {
	if v.file == nil {
		if v.file, err = openRegular(v.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND); err != nil {
			return err
		}
	}
	info, err := v.file.Stat()
	if err == nil && runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		err = v.file.Chmod(0o600)
	}
	if err == nil && info.Size() == 0 {
		_, err = v.file.WriteString(v.header)
		err = errors.Join(err, giveToOwner(v.path))
	}
	return err
}

// write appends the rows to the file.
func (v *view) write() error {
	if v.rows.Len() == 0 {
		return nil
	}
	if v.file == nil {
		if err := v.open(); err != nil {
			return err
		}
	}
	_, err := v.rows.WriteTo(v.file)
	return err
}

// clear leaves the header only.
func (v *view) clear() error {
	v.rows.Reset()
	if err := v.open(); err != nil {
		return err
	}
	return errors.Join(v.file.Truncate(0), v.open())
}

// write appends the rows to the files.
func (v *views) write() (err error) {
	for _, view := range v.all() {
		err = errors.Join(err, view.write())
	}
	return err
}

// rewrite writes all views anew. each calls its argument with the entries of the log.
func (v *views) rewrite(f *fold, each func(func(*Entry) error) error) error {
	views := v.all()
	keepWarnings := v.warnValues && (f.state.From != "" || !f.state.Saved.IsZero())
	warnings := bytes.Clone(v.warnings.rows.Bytes())
	if keepWarnings {
		views = slices.DeleteFunc(views, func(view *view) bool { return view == &v.warnings })
	}
	for _, view := range views {
		if err := view.clear(); err != nil {
			return err
		}
	}
	merged := make(map[string]bool) // one that was merged again has two lines
	err := each(func(e *Entry) error {
		if e.Carried && f.state.From == "" || e.Outcome == outcome.Merged && merged[e.SegmentID] {
			return nil
		}
		if e.Outcome == outcome.Merged {
			merged[e.SegmentID] = true
		}
		if now := f.profiles[f.hash(e.SegmentID)]; !e.Carried && now != e.Outcome {
			e.Outcome = outcome.None // a later line took its place
		}
		if v.warnValues {
			e.Warnings = nil // without its value
		}
		v.addRows(e)
		if v.withoutIdentifier.rows.Len()+v.merged.rows.Len()+v.warnings.rows.Len() > 1<<20 {
			return v.write()
		}
		return nil
	})
	if err != nil {
		return err
	}
	if v.warnValues && !keepWarnings {
		v.warnings.rows.Write(warnings)
	}
	v.superseded = false
	return errors.Join(v.write(), v.writeNotImported(f))
}

// writeNotImported writes the view of what was not imported anew.
func (v *views) writeNotImported(f *fold) error {
	if err := v.notImported.clear(); err != nil {
		return err
	}
	for _, r := range f.sortedRecords() {
		v.addNotImported(r)
		if v.notImported.rows.Len() > 1<<20 {
			if err := v.notImported.write(); err != nil {
				return err
			}
		}
	}
	return v.notImported.write()
}

func (v *views) addNotImported(e *Entry) {
	for range max(e.Unnamed, 1) {
		writeRow(&v.notImported.rows, e.SegmentID, e.SourceID, e.Reason, e.Detail, e.ActionID, e.RequestID)
	}
}

func (v *views) close() (err error) {
	for _, view := range v.all() {
		if view.file != nil {
			err = errors.Join(err, view.file.Close())
		}
	}
	return err
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
