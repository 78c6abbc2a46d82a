package main

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

	"segsync/segmentprofiles"
)

// readProfiles reads the profiles of --profiles-from; "-" is stdin.
func readProfiles(path string, stdin io.Reader) ([]segmentprofiles.Identifier, error) {
	var data []byte
	var err error
	if path == "-" {
		path = "stdin"
		data, err = io.ReadAll(stdin)
	} else {
		data, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, err
	}
	ids, err := parseProfiles(data)
	if err != nil {
		return nil, fmt.Errorf("%s, %w", path, err)
	}
	return ids, nil
}

// parseProfiles reads a segment id or type:value from each line, or from the first column
// of a CSV with a header, which is one whose first line has a comma. Blank lines and
// lines that begin with # are passed over.
func parseProfiles(data []byte) ([]segmentprofiles.Identifier, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
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
		id, ok := parseIdentifier(cell.text)
		if !ok {
			return nil, fmt.Errorf("line %d: %q is neither a segment id nor type:value, such as user_id:42", cell.line, cell.text)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// cell is the first cell of a line.
type cell struct {
	text string
	line int
	csv  bool // there are more cells
}

// firstCells yields the first cell of each line that is neither blank nor a comment.
func firstCells(data []byte) func(yield func(cell, error) bool) {
	return func(yield func(cell, error) bool) {
		r := csv.NewReader(bytes.NewReader(data))
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
			text := strings.TrimSpace(row[0])
			if len(text) > 1 && text[0] == '\'' && strings.ContainsRune("=+-@", rune(text[1])) {
				text = text[1:] // our own reports guard cells like this
			}
			if !yield(cell{text, line, len(row) > 1}, nil) {
				return
			}
		}
	}
}

var (
	segmentIDForm = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	idTypeForm    = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)
)

func parseIdentifier(s string) (segmentprofiles.Identifier, bool) {
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
