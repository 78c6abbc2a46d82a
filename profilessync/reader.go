package profilessync

import (
	"bytes"
	"fmt"
	"hash"
	"io"
	"slices"
)

// reader goes through the records of all parts of a file.
type reader struct {
	file      *File
	query     Query
	selection *selection
	at        int // the part
	lines     *lineReader
	closePart func()
	hash      hash.Hash // of everything that was taken

	header []byte // of a part that is CSV, else nil
	// parse takes a line of a part that has rows, parseProfile one of another; it returns nil for a profile that is
	// none of those that the selection is limited to.
	parse        func(line []byte, into *row) error
	parseProfile func(line []byte, place string) (*Profile, error)
	row          row // the last one
}

func (r *reader) part() *part { return &r.file.parts[r.at] }

// place is how a record is called that has no name of its own.
func (r *reader) place() string { return fmt.Sprintf("%s:%d", r.part().base(), r.lines.line+1) }

func (r *reader) lineError(line []byte, err error) error {
	return r.part().lineError(r.lines, line, err)
}

// open begins with a part, and reads the header that it may have.
func (r *reader) open(at int) (err error) {
	r.closePart()
	r.at, r.closePart = at, func() {}
	p := r.part()
	lines, closeFile, err := r.file.open(p, r.hash)
	if err != nil {
		return err
	}
	r.lines, r.closePart, r.header = lines, closeFile, nil
	lines.csv = p.format.isCSV()
	if !lines.csv {
		r.parse = parseJSONRow
		r.parseProfile = func(line []byte, _ string) (*Profile, error) { return parseProfile(line, r.selection) }
		return nil
	}
	header, err := lines.next()
	if err != nil {
		return r.lineError(nil, err)
	}
	r.header = bytes.Clone(header)
	splitter, err := newCSVSplitter(header, p.separator)
	if err == nil {
		err = r.useColumns(p.format, splitter)
	}
	if err != nil {
		inFile := r.lineError(header, err).(*FileError)
		inFile.Opening = true
		return inFile
	}
	return nil
}

// useColumns lets the records of a part be parsed by its header.
func (r *reader) useColumns(format format, splitter *csvSplitter) error {
	switch format {
	case formatCSVRows:
		columns, err := newCSVColumns(splitter)
		r.parse = columns.parse
		return err
	case formatAudience:
		columns, err := newAudienceColumns(splitter)
		r.parseProfile = func(line []byte, place string) (*Profile, error) { return columns.profile(line, place, r.selection) }
		return err
	}
	columns, err := newWideColumns(splitter, r.query, r.selection)
	r.parseProfile = columns.profile
	return err
}

// next returns the next record, of whatever part.
func (r *reader) next() ([]byte, error) {
	for {
		line, err := r.lines.next()
		switch {
		case err == io.EOF && r.at+1 < len(r.file.parts):
			if err := r.open(r.at + 1); err != nil {
				return nil, err
			}
		case err == io.EOF:
			return nil, err
		case err != nil:
			return nil, r.lineError(nil, err)
		case r.header != nil && bytes.Equal(bytes.TrimPrefix(line, byteOrderMark), r.header):
			// the beginning of another file, of several that were joined
		default:
			return line, nil
		}
	}
}

// position returns the place behind what was taken.
func (r *reader) position(id string) Position {
	p := r.lines.position(id)
	if len(r.file.parts) > 1 {
		p.Part = r.part().name
	}
	return p
}

// resume goes to the position, past what may have been read of its part, such as a header. Earlier
// parts are read for the hash alone.
func (r *reader) resume(from Position) error {
	if (r.file.once != nil || r.file.taken) && from != (Position{}) {
		return r.part().err(ErrReadOnce)
	}
	at, err := r.file.partOf(from)
	if err != nil {
		return err
	}
	for i := range at {
		if err := r.open(i); err != nil {
			return err
		}
		if err := r.lines.skipAll(); err != nil {
			return r.part().err(err)
		}
	}
	if err := r.open(at); err != nil {
		return err
	}
	if from == (Position{}) {
		r.lines.take()
		return nil
	}
	if from.Offset > 0 { // else nothing was taken of this part, not even a header
		r.lines.take()
	}
	if from.Offset < r.lines.offset {
		return r.part().err(ErrOtherFile)
	}
	switch err := r.lines.skip(from.Offset); {
	case err == io.EOF:
		return r.part().err(ErrOtherFile)
	case err != nil:
		return r.part().err(err)
	}
	if r.lines.position("").Hash != from.Hash {
		return r.part().err(ErrOtherFile)
	}
	r.lines.line = from.Line
	return nil
}

// partOf returns the part that the position is in. A folder may be moved, if the names of its files
// stay.
func (f *File) partOf(from Position) (int, error) {
	if from.Part == "" {
		return 0, nil
	}
	at := slices.IndexFunc(f.parts, func(p part) bool { return p.name == from.Part })
	if moved := (&part{name: from.Part}); at < 0 {
		at = slices.IndexFunc(f.parts, func(p part) bool { return p.base() == moved.base() })
	}
	if at < 0 {
		return 0, &FileError{Name: from.Part, Err: fmt.Errorf("%w: the import stopped in this file, which is not among those given", ErrOtherFile)}
	}
	return at, nil
}
