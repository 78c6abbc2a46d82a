package app

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"segsync/segmentprofiles"
)

// The limits of a list of profiles, in bytes.
const (
	maxProfilesFile = 256 << 20
	maxProfilesLine = 1 << 20
)

// readProfiles reads the profiles of --profiles-from; "-" is stdin.
func readProfiles(path string, stdin io.Reader) ([]segmentprofiles.Identifier, error) {
	name, data, err := readList(path, stdin)
	if err != nil {
		return nil, err
	}
	ids, err := parseProfiles(data)
	if err != nil {
		return nil, fmt.Errorf("%s, %w", name, err)
	}
	return ids, nil
}

// readList reads a file, or stdin for "-", and returns what to call it.
func readList(path string, stdin io.Reader) (name string, data []byte, err error) {
	in := stdin
	if path == "-" {
		path = "stdin"
	} else {
		f, err := os.Open(path)
		if err != nil {
			return path, nil, err
		}
		defer f.Close()
		in = f
	}
	data, err = io.ReadAll(io.LimitReader(in, maxProfilesFile+1))
	if err == nil && len(data) > maxProfilesFile {
		err = fmt.Errorf("%s is larger than %d MiB", path, maxProfilesFile>>20)
	}
	return path, data, err
}

// parseProfiles reads a segment id or type:value from each line, or from the first column
// of a CSV with a header, which is one whose first line has a comma or, as spreadsheets
// write it in many countries, a semicolon. Blank lines and lines that begin with # are
// passed over.
func parseProfiles(data []byte) ([]segmentprofiles.Identifier, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if err := checkLines(data); err != nil {
		return nil, err
	}
	ids := []segmentprofiles.Identifier{}
	first := true
	for cell, err := range firstCells(data) {
		if err != nil {
			return nil, err
		}
		header := first && (cell.csv && !strings.Contains(cell.text, ":") && !strings.HasPrefix(cell.text, "use_") || cell.text == "segment_id")
		first = false
		if header || cell.text == "" {
			continue
		}
		id, ok := ParseIdentifier(cell.text)
		if !ok {
			return nil, fmt.Errorf("line %d: %.100q is neither a segment id nor type:value, such as user_id:42", cell.line, cell.text)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// checkLines returns an error if a line is not text, or too long.
func checkLines(data []byte) error {
	n := 0
	for line := range bytes.Lines(data) {
		n++
		if len(line) > maxProfilesLine {
			return fmt.Errorf("line %d: longer than %d MiB", n, maxProfilesLine>>20)
		}
		if !utf8.Valid(line) {
			return fmt.Errorf("line %d: not UTF-8 text", n)
		}
	}
	return nil
}

// cell is the first cell of a line.
type cell struct {
	text  string
	line  int
	csv   bool // there are more cells, or a header
	typed bool // of a list of source ids: a type that is not the identifier's comes before it
}

// firstCells yields the first cell of each line that is neither blank nor a comment.
func firstCells(data []byte) func(yield func(cell, error) bool) {
	return func(yield func(cell, error) bool) {
		r := csv.NewReader(bytes.NewReader(data))
		r.Comma = separator(data)
		r.Comment = '#'
		r.FieldsPerRecord = -1
		r.TrimLeadingSpace = true
		for {
			row, err := r.Read()
			if errors.Is(err, io.EOF) {
				return
			}
			var bad *csv.ParseError
			if errors.As(err, &bad) {
				yield(cell{}, fmt.Errorf("line %d: %w", bad.Line, bad.Err))
				return
			}
			line, _ := r.FieldPos(0)
			if !yield(cell{text: unguarded(strings.TrimSpace(row[0])), line: line, csv: len(row) > 1}, nil) {
				return
			}
		}
	}
}

// separator returns what stands between the cells: a semicolon if the first line has one
// and no comma. In user_id:a;b it is part of the value.
func separator(data []byte) rune {
	for line := range bytes.Lines(data) {
		if line = bytes.TrimSpace(line); len(line) == 0 || line[0] == '#' {
			continue
		}
		before, _, found := bytes.Cut(line, []byte(";"))
		if found && !bytes.ContainsRune(before, ':') && !bytes.ContainsRune(line, ',') {
			return ';'
		}
		break
	}
	return ','
}

// unguarded returns the text of a cell without the apostrophe that our reports put before
// what a spreadsheet would take for a formula.
func unguarded(cell string) string {
	text, found := strings.CutPrefix(cell, "'")
	if found && text != "" && strings.ContainsRune("=+-@\t\r＝＋－＠", []rune(text)[0]) {
		return text
	}
	return cell
}

var (
	segmentIDForm = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	idTypeForm    = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)
)

// ParseIdentifier parses a segment id or type:value, such as user_id:42.
func ParseIdentifier(s string) (segmentprofiles.Identifier, bool) {
	idType, value, typed := strings.Cut(s, ":")
	if !typed {
		return segmentprofiles.SegmentID(s), segmentIDForm.MatchString(s)
	}
	ok := idTypeForm.MatchString(idType) && value != "" && value == strings.TrimSpace(value) &&
		!strings.ContainsFunc(value, unicode.IsControl)
	return segmentprofiles.Identifier{Type: idType, Value: value}, ok
}

// fingerprint tells one list of profiles from another.
func fingerprint(ids []segmentprofiles.Identifier) string {
	h := sha256.New()
	for _, id := range ids {
		fmt.Fprintf(h, "%s\n", id)
	}
	return hex.EncodeToString(h.Sum(nil))
}
