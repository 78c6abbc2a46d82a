package app

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"segsync/importer/mapping"
)

// maxListErrors is how many mistakes of a list are shown.
const maxListErrors = 10

// readSourceIDs reads a list of source ids, each once: one a line, or a CSV with a column source_id.
func readSourceIDs(path string, stdin io.Reader, identifiers []mapping.Identifier) ([]string, error) {
	name, data, err := readList(path, stdin)
	if err != nil {
		return nil, err
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if err := checkLines(data); err != nil {
		return nil, fmt.Errorf("%s, %w", name, err)
	}
	cells, err := sourceIDCells(data, identifiers)
	if err != nil {
		return nil, fmt.Errorf("%s, %w", name, err)
	}
	var ids []string
	var wrong []error
	seen := make(map[string]bool)
	for _, c := range cells {
		if what := mistakeOf(c); what != "" {
			wrong = append(wrong, fmt.Errorf("%s, line %d: %s", name, c.line, what))
		} else if !seen[c.text] {
			seen[c.text] = true
			ids = append(ids, c.text)
		}
	}
	if n := len(wrong); n > maxListErrors {
		wrong = append(wrong[:maxListErrors], fmt.Errorf("and %d more", n-maxListErrors))
	}
	return ids, errors.Join(wrong...)
}

// sourceIDCells returns the source ids with their lines. In a CSV a cell is the source id itself; a line of
// a list may have the type of an identifier before it.
func sourceIDCells(data []byte, identifiers []mapping.Identifier) (cells []cell, err error) {
	rows := csv.NewReader(bytes.NewReader(data))
	rows.Comma = separator(data)
	header, _ := rows.Read() // a list is no CSV, or one of a column
	column := slices.IndexFunc(header, isSourceIDTitle)
	if column >= 0 && slices.ContainsFunc(header[column+1:], isSourceIDTitle) {
		return nil, errors.New("line 1: two columns are named source_id")
	}
	n := 0
	for line := range bytes.Lines(data) {
		n++
		text := strings.TrimRight(string(line), "\r\n")
		if column >= 0 && strings.TrimSpace(text) != "" { // the reader of CSV passes over empty lines
			continue
		}
		idType, value, isTyped := strings.Cut(text, ":")
		if isTyped && slices.Contains(identifiers, mapping.Identifier{Type: idType}) {
			text, isTyped = value, false
		}
		cells = append(cells, cell{text: text, line: n, typed: isTyped && idTypeForm.MatchString(idType)})
	}
	if column < 0 {
		return cells, nil
	}
	for {
		row, err := rows.Read()
		if bad, ok := errors.AsType[*csv.ParseError](err); ok {
			return nil, fmt.Errorf("line %d: %w", bad.Line, bad.Err)
		}
		if err != nil { // io.EOF
			return cells, nil
		}
		line, _ := rows.FieldPos(column)
		cells = append(cells, cell{text: row[column], line: line, csv: true})
	}
}

// isSourceIDTitle reports whether a column is the one of the source ids: source_id, or as in an export of
// Voucherify.
func isSourceIDTitle(title string) bool {
	title = strings.ToLower(strings.Trim(title, `" `))
	return slices.Contains([]string{"source_id", "source id", "sourceid"}, title)
}

// isListable reports whether a list can name the source id on a line of its own.
func isListable(id string, identifiers []mapping.Identifier) bool {
	cells, err := sourceIDCells([]byte(id), identifiers)
	return err == nil && len(cells) == 1 && cells[0].text == id && mistakeOf(cells[0]) == ""
}

// mistakeOf says what is wrong with a source id of a list, "" for nothing.
func mistakeOf(c cell) string {
	switch {
	case strings.TrimSpace(c.text) == "":
		return "the line is empty"
	case c.text != strings.TrimSpace(c.text):
		return fmt.Sprintf("%.100q has spaces around it", c.text)
	case strings.ContainsFunc(c.text, unicode.IsControl):
		return fmt.Sprintf("%.100q has a control character", c.text)
	case strings.Contains(c.text, "\ufeff"):
		return fmt.Sprintf("%.100q has a byte order mark", c.text)
	case !c.csv && (strings.ContainsAny(c.text, ",;\"“”„") || strings.HasPrefix(c.text, "#")):
		return fmt.Sprintf("%.100q is not a source id alone; one with a comma, a semicolon, quotes or # goes into a CSV with the column source_id", c.text)
	case strings.HasPrefix(c.text, "cust_"):
		return fmt.Sprintf("%.100q is Voucherify's own id: expected a source id", c.text)
	case c.typed:
		return fmt.Sprintf("the type of %.100q is not the identifier: expected a source id; one with a colon must be in a CSV with the column source_id", c.text)
	case c.csv && unguarded(c.text) != c.text:
		return fmt.Sprintf("%.100q begins with the apostrophe of a report: write the source id itself", c.text)
	}
	return ""
}
