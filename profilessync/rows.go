package profilessync

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
)

// readRows reads a file of rows.
func (f *File) readRows(lines *lineReader, p *plan, from Position, take func(*Profile) error) error {
	parser, err := f.newRowParser(lines)
	if err != nil {
		return err
	}
	if err := f.resume(lines, from); err != nil {
		return err
	}
	g := newGrouper(p)
	last := from.ID
	finish := func() error {
		if last = cmp.Or(g.id, last); !g.wanted {
			return nil
		}
		profile := g.profile()
		profile.Position = lines.position(g.id)
		return take(profile)
	}
	for {
		line, err := lines.next()
		if err == io.EOF {
			return finish()
		}
		if err != nil {
			return f.lineError(lines, nil, err)
		}
		if parser.header != nil && bytes.Equal(bytes.TrimPrefix(line, byteOrderMark), parser.header) {
			continue // the beginning of another file, of several that were joined
		}
		if err := parser.next(line); err != nil {
			return f.lineError(lines, line, err)
		}
		if id := parser.row.id; string(id) != g.id {
			if err := finish(); err != nil {
				return err
			}
			if string(id) <= last {
				return f.lineError(lines, nil, fmt.Errorf("the id %q comes after %q: the rows must be ordered by canonical_segment_id, byte by byte", clip(id), clip([]byte(last))))
			}
			g.start(id)
		}
		if err := g.add(&parser.row); err != nil {
			return f.lineError(lines, nil, err)
		}
	}
}

// rowParser parses one row at a time.
type rowParser struct {
	row    row
	parse  func(line []byte, r *row) error
	header []byte // of a CSV file
}

// newRowParser reads the header, if the file must have one.
func (f *File) newRowParser(lines *lineReader) (*rowParser, error) {
	if f.format != formatCSV {
		return &rowParser{parse: parseJSONRow}, nil
	}
	header, err := lines.next()
	if err != nil {
		return nil, f.lineError(lines, nil, err)
	}
	columns, err := newCSVColumns(header)
	if err != nil {
		return nil, f.lineError(lines, header, err)
	}
	return &rowParser{parse: columns.parse, header: bytes.Clone(header)}, nil
}

func (p *rowParser) next(line []byte) error {
	p.row = row{}
	if err := p.parse(line, &p.row); err != nil {
		return err
	}
	if len(p.row.id) == 0 {
		return errors.New("the row has no canonical_segment_id")
	}
	return nil
}

func parseJSONRow(line []byte, r *row) error {
	if err := checkJSON(line); err != nil {
		return err
	}
	fields := [...]field{
		{name: "canonical_segment_id", kind: "string"}, {name: "kind", kind: "string"}, {name: "name", kind: "string"},
		{name: "value"}, {name: "seq"}, {name: "received_at"},
	}
	if err := find(line, behind(line, space), "a row", fields[:]); err != nil {
		return err
	}
	for i, into := range []*[]byte{&r.id, &r.kind, &r.name, &r.value, &r.seq, &r.receivedAt} {
		*into = fields[i].text()
	}
	return nil
}
