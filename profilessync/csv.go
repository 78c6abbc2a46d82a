package profilessync

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// csvColumns parses the records of a CSV file.
type csvColumns struct {
	splitter csvSplitter
	count    int
	at       [6]int // where the columns are; -1: nowhere
}

var columnNames = [6]string{"canonical_segment_id", "kind", "name", "value", "seq", "received_at"}

func newCSVColumns(header []byte) (*csvColumns, error) {
	c := &csvColumns{}
	if err := c.splitter.split(header); err != nil {
		return nil, err
	}
	c.count = len(c.splitter.fields)
	var missing []string
	for i, name := range columnNames {
		is := func(field []byte) bool { return strings.EqualFold(strings.TrimSpace(string(field)), name) }
		c.at[i] = slices.IndexFunc(c.splitter.fields, is)
		if c.at[i] < 0 && name != "received_at" {
			missing = append(missing, name)
		}
		if c.at[i] >= 0 && slices.ContainsFunc(c.splitter.fields[c.at[i]+1:], is) {
			return nil, fmt.Errorf("the header has the column %s twice", name)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("the header lacks the column %s", strings.Join(missing, ", "))
	}
	return c, nil
}

// parse takes an empty value for NULL.
func (c *csvColumns) parse(record []byte, r *row) error {
	if err := c.splitter.split(record); err != nil {
		return err
	}
	fields := c.splitter.fields
	if len(fields) != c.count {
		return fmt.Errorf("the row has %d columns, the header %d", len(fields), c.count)
	}
	for i, into := range []*[]byte{&r.id, &r.kind, &r.name, &r.value, &r.seq, &r.receivedAt} {
		if at := c.at[i]; at >= 0 && len(fields[at]) > 0 {
			*into = fields[at]
		}
	}
	return nil
}

// csvSplitter splits records of CSV into fields. encoding/csv is not used because it turns
// the line ends in values from \r\n into \n.
//
// https://www.rfc-editor.org/rfc/rfc4180
type csvSplitter struct {
	fields [][]byte // of the last record; they point into it, or into unquoted
	// unquoted holds the fields that have doubled quotes.
	unquoted []byte
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
		start = end // the comma
	}
}

// field adds the field that begins at start. It returns where it ends.
func (c *csvSplitter) field(record []byte, start int) (end int, err error) {
	rest := record[start:]
	if len(rest) == 0 || rest[0] != '"' {
		if comma := bytes.IndexByte(rest, ','); comma >= 0 {
			rest = rest[:comma]
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
		if at < len(record) && record[at] != ',' {
			return 0, &placedError{at, "a comma must follow the closing quote"}
		}
		if len(c.unquoted) > from {
			c.unquoted = append(c.unquoted, part...)
			part = c.unquoted[from:]
		}
		c.fields = append(c.fields, part)
		return at, nil
	}
}
