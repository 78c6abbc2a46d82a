package profilessync

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

var errNotUTF8 = errors.New("this is not UTF-8")

// columnNames are the columns of rows. One with entries needs no other but the id.
var columnNames = [7]string{"canonical_segment_id", "kind", "name", "value", "seq", "received_at", "entries"}

// csvColumns parses the records of a CSV file of rows.
type csvColumns struct {
	*csvSplitter
	at [len(columnNames)]int // where the columns are; -1: nowhere
}

func newCSVColumns(splitter *csvSplitter) (*csvColumns, error) {
	c := &csvColumns{csvSplitter: splitter}
	var missing []string
	for i, name := range columnNames {
		is := func(column string) bool { return strings.EqualFold(column, name) }
		c.at[i] = slices.IndexFunc(c.names, is)
		if c.at[i] < 0 && i < 5 {
			missing = append(missing, name)
		}
		if c.at[i] >= 0 && slices.ContainsFunc(c.names[c.at[i]+1:], is) {
			return nil, fmt.Errorf("the header has the column %s twice", name)
		}
	}
	if len(missing) > 0 && (c.at[0] < 0 || c.at[6] < 0) {
		return nil, fmt.Errorf("the header lacks the column %s", strings.Join(missing, ", "))
	}
	return c, nil
}

// parse takes an empty value for NULL, which does not say that the trait was removed.
func (c *csvColumns) parse(record []byte, r *row) error {
	fields, err := c.record(record)
	if err != nil {
		return err
	}
	for i, into := range r.columns() {
		if at := c.at[i]; at >= 0 && len(fields[at]) > 0 {
			*into = fields[at]
		}
	}
	r.unknown = r.value == nil
	r.damaged, r.nameDamaged = !utf8.Valid(r.value), !utf8.Valid(r.name)
	if !utf8.Valid(r.id) {
		return errNotUTF8
	}
	return nil
}

// csvSplitter splits records of CSV into fields. encoding/csv is not used because it turns
// the line ends in values from \r\n into \n.
//
// https://www.rfc-editor.org/rfc/rfc4180
type csvSplitter struct {
	separator byte
	names     []string // of the columns
	fields    [][]byte // of the last record; they point into it, or into unquoted
	// unquoted holds the fields that have doubled quotes.
	unquoted []byte
}

func newCSVSplitter(header []byte, separator byte) (*csvSplitter, error) {
	c := &csvSplitter{separator: separator}
	if err := c.split(header); err != nil {
		return nil, err
	}
	for _, field := range c.fields {
		c.names = append(c.names, strings.TrimSpace(string(field)))
	}
	return c, nil
}

// record splits a record, which must have as many fields as the header.
func (c *csvSplitter) record(record []byte) ([][]byte, error) {
	if err := c.split(record); err != nil {
		return nil, err
	}
	if len(c.fields) != len(c.names) {
		return nil, fmt.Errorf("the row has %d columns, the header %d", len(c.fields), len(c.names))
	}
	return c.fields, nil
}

func (c *csvSplitter) split(record []byte) error {
	c.fields, c.unquoted = c.fields[:0], c.unquoted[:0]
	for start := 0; ; start++ {
		end, err := c.field(record, start)
		if err != nil {
			return err
		}
		if end == len(record) {
			return nil
		}
		start = end // the separator
	}
}

// field adds the field that begins at start. It returns where it ends.
func (c *csvSplitter) field(record []byte, start int) (end int, err error) {
	rest := record[start:]
	if len(rest) == 0 || rest[0] != '"' {
		if end := bytes.IndexByte(rest, c.separator); end >= 0 {
			rest = rest[:end]
		}
		if quote := bytes.IndexByte(rest, '"'); quote >= 0 {
			return 0, &placedError{start + quote, `a value with a quote must be quoted as a whole`}
		}
		c.fields = append(c.fields, rest)
		return start + len(rest), nil
	}
	from := len(c.unquoted)
	for at := start + 1; ; {
		quote := bytes.IndexByte(record[at:], '"')
		if quote < 0 {
			return 0, &placedError{start, "the quote that opens here is never closed"}
		}
		part := record[at : at+quote]
		at += quote + 1
		if at < len(record) && record[at] == '"' {
			c.unquoted = append(append(c.unquoted, part...), '"')
			at++
			continue
		}
		if at < len(record) && record[at] != c.separator {
			return 0, &placedError{at, separatorNames[c.separator] + " must follow the closing quote"}
		}
		if len(c.unquoted) > from {
			c.unquoted = append(c.unquoted, part...)
			part = c.unquoted[from:]
		}
		c.fields = append(c.fields, part)
		return at, nil
	}
}
