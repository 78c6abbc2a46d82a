package voucherify

import (
	"bufio"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"

	"segsync/internal/safetext"
	"segsync/internal/strictjson"
)

// ExportedCustomer is one row of an export.
type ExportedCustomer struct {
	SourceID string // "" for a customer that has none
	// Fields are the other fields by name, such as address_city, of all columns that the
	// file has. Null and empty text are both "": CSV has no null.
	Fields map[string]string
	// Metadata is the customer's metadata as far as the export has it. Of a column of its
	// own it is a string, "" where there is none; of a column of JSON, what the JSON holds,
	// with numbers as json.Number.
	Metadata map[string]any
	// AllMetadata says that Metadata is from a column of JSON: a key that is not in it is
	// empty, or its value is damaged.
	AllMetadata bool
}

// exportFields are the fields of an export and other titles that they may have, in the form
// of normal. Those of the two times were seen in production, in exports of vouchers.
var exportFields = map[string][]string{
	"id": {"customer_id"}, "name": nil, "description": nil, "email": {"e_mail"}, "source_id": nil, "created_at": {"creation_date"}, "updated_at": {"last_update_date"},
	"phone": {"phone_number"}, "birthday": nil, "birthdate": {"birth_date", "date_of_birth"},
	"address_city": {"city"}, "address_state": {"state"}, "address_line_1": {"line_1"}, "address_line_2": {"line_2"},
	"address_country": {"country"}, "address_postal_code": {"postal_code", "address_zip_code", "zip_code", "postcode"}, "metadata": nil,
}

// maxRecord bounds a row of an export, in bytes.
const maxRecord = 4 << 20

// ReadExport ranges over the customers of an export, a CSV file with a header, perhaps
// compressed with gzip. It stops at
// the first error; a row with another number of columns than the header is one, for the
// file is cut there. Errors quote no values.
//
// fields are those the export was ordered with, metadata last if at all; all columns must be
// there. A column is known by its title, which is a field's name or its title, short or in
// full (address_city, Address City, City), in any case. Another title is one of the field
// that was ordered at its position. What remains is metadata: one column of JSON titled
// metadata, or columns titled metadata.KEY or KEY. schemaKeys are the metadata keys that the
// project defines, which tell a key such as phone from the field.
//
// With fields nil the columns are taken by their titles alone, and all others as metadata.
//
// An export of several files has the same header in each of them.
func ReadExport(fields, schemaKeys []string, files ...io.Reader) iter.Seq2[*ExportedCustomer, error] {
	return func(yield func(*ExportedCustomer, error) bool) {
		var first []string
		n := 0
		for _, file := range files {
			in, header, err := openExport(file)
			if err != nil {
				yield(nil, exportError("header", err))
				return
			}
			if first == nil {
				first = slices.Clone(header)
			}
			columns, err := columnsOf(header, fields, schemaKeys)
			if err == nil && !slices.Equal(header, first) {
				err = errors.New("the files of the export have different headers")
			}
			if err != nil {
				yield(nil, fmt.Errorf("reading the export's header: %w", err))
				return
			}
			for {
				n++
				record, err := in.next()
				if err == io.EOF {
					n--
					break
				}
				var customer *ExportedCustomer
				if err == nil {
					customer, err = customerOf(record, columns)
				}
				if err != nil {
					yield(nil, exportError(fmt.Sprintf("customer %d", n), err))
					return
				}
				if !yield(customer, nil) {
					return
				}
			}
		}
	}
}

// exportReader reads the records of one file.
type exportReader struct {
	csv     *csv.Reader
	limited *recordReader
}

// openExport returns a reader behind the header of the file.
func openExport(file io.Reader) (*exportReader, []string, error) {
	plain, err := decompress(file)
	if err != nil {
		return nil, nil, err
	}
	limited := &recordReader{r: plain, left: maxRecord}
	in := &exportReader{csv.NewReader(&quotedLineEnds{r: withoutBOM(limited)}), limited}
	in.csv.ReuseRecord = true
	header, err := in.next()
	if err == io.EOF {
		err = errors.New("the file is empty")
	}
	return in, header, err
}

// next returns the next record, which must be UTF-8: of another encoding the source ids
// would be others.
func (r *exportReader) next() ([]string, error) {
	r.limited.left = maxRecord
	record, err := r.csv.Read()
	if err == nil && slices.ContainsFunc(record, func(value string) bool { return !utf8.ValidString(value) }) {
		err = errors.New("it is not UTF-8 text")
	}
	return record, err
}

func exportError(what string, err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if parse, ok := errors.AsType[*csv.ParseError](err); ok {
		err = fmt.Errorf("line %d: %w", parse.Line, parse.Err)
	}
	return fmt.Errorf("reading the export's %s: %w", what, err)
}

// recordReader fails when more is read than left, which is set anew for each record.
type recordReader struct {
	r    io.Reader
	left int
}

func (r *recordReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, fmt.Errorf("a row has more than %d bytes", maxRecord)
	}
	n, err := r.r.Read(p)
	r.left -= n
	return n, err
}

// decompress returns what r holds, decompressed if it begins as gzip does.
func decompress(r io.Reader) (io.Reader, error) {
	in := bufio.NewReader(r)
	if magic, _ := in.Peek(2); string(magic) != "\x1f\x8b" {
		return in, nil
	}
	return gzip.NewReader(in)
}

func withoutBOM(r io.Reader) *bufio.Reader {
	b := bufio.NewReader(r)
	if start, _ := b.Peek(3); string(start) == "\ufeff" {
		b.Discard(3)
	}
	return b
}

// quotedLineEnds writes each CR before a LF in quotes twice, for a csv.Reader takes one of
// them away: it is part of the value.
type quotedLineEnds struct {
	r        *bufio.Reader
	inQuotes bool
	again    bool // the CR is due a second time
}

func (q *quotedLineEnds) Read(p []byte) (n int, err error) {
	for ; n < len(p) && (n == 0 || q.again || q.r.Buffered() > 0); n++ {
		if q.again {
			p[n], q.again = '\r', false
			continue
		}
		if p[n], err = q.r.ReadByte(); err != nil {
			return n, err
		}
		switch p[n] {
		case '"': // a quote in a value is written twice
			q.inQuotes = !q.inQuotes
		case '\r':
			next, _ := q.r.Peek(1)
			q.again = q.inQuotes && string(next) == "\n"
		}
	}
	return n, nil
}

// column is what a column of an export holds: a field, a metadata key, or, with both "",
// nothing that is wanted.
type column struct {
	field string // "metadata": JSON
	key   string
}

// normal returns a title in the form of a field's name.
func normal(title string) string {
	return strings.ToLower(strings.NewReplacer(" ", "_", "-", "_").Replace(strings.TrimSpace(title)))
}

// fieldOf returns the field with this title, or "".
func fieldOf(title string) string {
	title = normal(title)
	if _, ok := exportFields[title]; ok {
		return title
	}
	for field, others := range exportFields {
		if slices.Contains(others, title) {
			return field
		}
	}
	return ""
}

func columnsOf(header, fields, schemaKeys []string) ([]column, error) {
	fixed := len(fields)
	wantsMetadata := fields == nil
	if fixed > 0 && fields[fixed-1] == "metadata" {
		fixed, wantsMetadata = fixed-1, true
	}
	columns := make([]column, len(header))
	taken := map[string]bool{}
	ordered := func(field string) bool { return fields == nil || slices.Contains(fields, field) }

	for i, title := range header { // by title
		field := fieldOf(title)
		key, isKey := metadataKey(title)
		ofSchema := fields != nil && i >= fixed && slices.Contains(schemaKeys, title)
		switch {
		case isKey:
			columns[i].key = key
		case field != "" && ordered(field) && !taken[field] && !ofSchema:
			columns[i].field, taken[field] = field, true
		case slices.Contains(schemaKeys, title):
			columns[i].key = title
		}
	}
	for i, title := range header { // by position, then what remains
		switch {
		case columns[i] != column{}:
		case i < fixed && !taken[fields[i]]:
			columns[i].field, taken[fields[i]] = fields[i], true
		case i < fixed:
			return nil, fmt.Errorf(`there are two columns of %s, "%s" is one of them`, fields[i], safetext.Cut(title, 40))
		case fields == nil && taken[fieldOf(title)]:
			return nil, fmt.Errorf(`there are two columns of %s, "%s" is one of them`, fieldOf(title), safetext.Cut(title, 40))
		case wantsMetadata:
			columns[i].key = title
		}
	}
	return columns, checkColumns(columns, fields, taken)
}

func checkColumns(columns []column, fields []string, taken map[string]bool) error {
	if !taken["source_id"] {
		return errors.New("there is no column of source_id")
	}
	for _, field := range fields {
		if field != "metadata" && !taken[field] {
			return fmt.Errorf("there is no column of %s", field)
		}
	}
	keys := map[string]bool{}
	for _, c := range columns {
		if keys[c.key] {
			return fmt.Errorf(`there are two columns of the metadata key "%s"`, safetext.Cut(c.key, 40))
		}
		keys[c.key] = c.key != ""
	}
	if delete(keys, ""); len(keys) > 0 && taken["metadata"] {
		return errors.New("there is a column of all metadata, and columns of single keys")
	}
	return nil
}

// metadataKey returns the key of a title metadata.KEY.
func metadataKey(title string) (key string, ok bool) {
	const prefix = "metadata."
	if len(title) > len(prefix) && strings.EqualFold(title[:len(prefix)], prefix) {
		return title[len(prefix):], true
	}
	return "", false
}

func customerOf(record []string, columns []column) (*ExportedCustomer, error) {
	customer := &ExportedCustomer{Fields: make(map[string]string, len(columns))}
	for i, c := range columns {
		value := record[i]
		switch {
		case c.key != "":
			if customer.Metadata == nil {
				customer.Metadata = make(map[string]any)
			}
			customer.Metadata[c.key] = value
		case c.field == "source_id":
			customer.SourceID = strings.Clone(value) // a caller may keep it, and not the row
		case c.field == "metadata":
			customer.AllMetadata = true
			if value == "" {
				continue
			}
			metadata, err := strictjson.Object([]byte(value))
			if err != nil {
				return nil, errors.New("its metadata is not a JSON object")
			}
			customer.Metadata = metadata
		case c.field != "":
			customer.Fields[c.field] = value
		}
	}
	return customer, nil
}
