package profilessync

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"segsync/internal/strictjson"
)

// readRows reads the rows of all parts.
func (r *reader) readRows(from Position, take func(*Profile) error) error {
	g := newGrouper(r.selection, from.ID)
	end := func() error {
		return g.end(func(p *Profile) error {
			p.Position = r.position(p.SegmentID)
			return take(p)
		})
	}
	for {
		line, err := r.next()
		if err == io.EOF {
			return end()
		}
		if err != nil {
			return err
		}
		row, err := r.parseRow(line)
		if err != nil {
			return r.lineError(line, err)
		}
		if string(row.id) != g.id {
			if err := end(); err != nil {
				return err
			}
			if err := g.start(row.id); err != nil {
				return r.lineError(nil, err)
			}
		}
		if err := g.add(row); err != nil {
			return r.lineError(nil, err)
		}
	}
}

// parseRow returns the row of a line; it is valid until the next line is read.
func (r *reader) parseRow(line []byte) (*row, error) {
	r.row = row{size: len(line)}
	if err := r.parse(line, &r.row); err != nil {
		return nil, err
	}
	if len(r.row.id) == 0 {
		return nil, errors.New("the row has no canonical_segment_id")
	}
	return &r.row, nil
}

// parseJSONRow takes names of columns in any case: warehouses may write them in capitals.
func parseJSONRow(line []byte, r *row) error {
	columns := r.columns()
	var seen [len(columns)]bool
	err := strictjson.Members(line, func(name, value jsontext.Value, at int) error {
		i := slices.IndexFunc(columnNames[:], func(column string) bool {
			return len(column) == len(name)-2 && strings.EqualFold(column, string(name[1:len(name)-1]))
		})
		kind := value.Kind()
		switch {
		case i < 0:
			return nil
		case seen[i]:
			return strictjson.ErrNameTwice
		case i < 3 && kind != '"' && kind != 'n':
			return &placedError{at, columnNames[i] + " must not be of type " + kindName(kind)}
		}
		seen[i] = true
		if kind == 'n' {
			return nil
		}
		text, ok := textOf(line[at : at+len(value)]) // which is valid as long as the line
		switch {
		case !ok && i == 0:
			return strictjson.ErrNotUnicode
		case !ok && i == 3:
			r.damaged = true
		case !ok:
			r.nameDamaged = true
		}
		*columns[i] = text
		return nil
	})
	if err != nil {
		return jsonError(line, err, "a row")
	}
	return nil
}

// textOf returns the text of a string, or another value as it is written. It is not ok if that
// is not valid Unicode.
func textOf(value jsontext.Value) (text []byte, ok bool) {
	if value.Kind() != '"' {
		return value, true
	}
	if text = value[1 : len(value)-1]; bytes.IndexByte(text, '\\') < 0 {
		return text, utf8.Valid(text)
	}
	text, err := jsontext.AppendUnquote(nil, value)
	return text, err == nil
}
