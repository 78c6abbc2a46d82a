package profilessync

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"segsync/internal/strictjson"
)

// readRows reads the rows of all parts.
func (r *reader) readRows(from Position, take func(*Profile) error) error {
	g := newGrouper(r.selection)
	last := from.ID
	finish := func() error {
		if last = cmp.Or(g.id, last); !g.wanted {
			return nil
		}
		profile := g.profile()
		profile.Position = r.position(g.id)
		return take(profile)
	}
	for {
		line, err := r.next()
		if err == io.EOF {
			return finish()
		}
		if err != nil {
			return err
		}
		row, err := r.parseRow(line)
		if err != nil {
			return r.lineError(line, err)
		}
		if id := row.id; string(id) != g.id {
			if err := finish(); err != nil {
				return err
			}
			if string(id) <= last {
				return r.lineError(nil, orderError(id, last))
			}
			g.start(id)
		}
		if err := g.add(row); err != nil {
			return r.lineError(nil, err)
		}
	}
}

func orderError(id []byte, last string) error {
	return fmt.Errorf("the id %q comes after %q: the rows must be ordered by canonical_segment_id, byte by byte", clip(id), clip([]byte(last)))
}

// parseRow returns the row of a line; it is valid until the next line is read.
func (r *reader) parseRow(line []byte) (*row, error) {
	r.row = row{size: len(line)}
	parse := parseJSONRow
	if r.part().format == formatCSVRows {
		parse = r.columns.parse
	}
	if err := parse(line, &r.row); err != nil {
		return nil, err
	}
	if len(r.row.id) == 0 {
		return nil, errors.New("the row has no canonical_segment_id")
	}
	return &r.row, nil
}

// parseJSONRow takes names of columns in any case: warehouses may write them in capitals.
func parseJSONRow(line []byte, r *row) error {
	columns := [...]*[]byte{&r.id, &r.kind, &r.name, &r.value, &r.seq, &r.receivedAt, &r.entries}
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
