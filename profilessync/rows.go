package profilessync

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
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
		if parser.header != nil && bytes.Equal(line, parser.header) {
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
	var parsed struct {
		ID         string   `json:"canonical_segment_id"`
		Kind       string   `json:"kind"`
		Name       string   `json:"name"`
		Value      jsonText `json:"value"`
		Seq        jsonText `json:"seq"`
		ReceivedAt jsonText `json:"received_at"`
	}
	if err := json.Unmarshal(line, &parsed); err != nil {
		return err
	}
	r.id, r.kind, r.name = []byte(parsed.ID), []byte(parsed.Kind), []byte(parsed.Name)
	r.value, r.seq, r.receivedAt = parsed.Value, parsed.Seq, parsed.ReceivedAt
	return nil
}

// jsonText is a JSON string, or the text of another JSON value; nil for null.
type jsonText []byte

func (t *jsonText) UnmarshalJSON(data []byte) error {
	switch {
	case string(data) == "null":
		*t = nil
		return nil
	case data[0] != '"':
		*t = slices.Clone(data)
		return nil
	}
	var s string
	err := json.Unmarshal(data, &s)
	*t = append([]byte{}, s...) // not nil, for ""
	return err
}
