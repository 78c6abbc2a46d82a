package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/joho/godotenv"
)

const (
	maxFile  = 64 << 10 // bytes
	maxValue = 4 << 10  // of an assignment: godotenv's time grows with its square
)

// File is what a .env file sets.
type File struct {
	path    string
	missing bool
	values  map[string]fileValue
}

type fileValue struct {
	text string
	line int
}

// ReadFile reads a .env file. One that is missing sets nothing, unless it is required.
func ReadFile(path string, required bool) (*File, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) && !required {
		return &File{path: path, missing: true}, nil
	}
	if err != nil {
		return nil, &Error{fmt.Errorf("reading the settings: %w", err), "--env-file names the file with the settings; .env-example shows what it has"}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading the settings: %w", err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("reading the settings: %s is larger than %d bytes", path, maxFile)
	}
	values, bad := parseFile(data)
	if bad != nil {
		return nil, &Error{fmt.Errorf("%s, line %d: %s", path, bad.line, bad.text), bad.hint}
	}
	return &File{path: path, values: values}, nil
}

// mistake is what is wrong with a line. It quotes nothing but names of settings: anything
// else in the file may be a secret.
type mistake struct {
	line       int
	text, hint string
}

const (
	hintQuotes = "put values with special characters into single quotes, and close every quote"
	hintUTF8   = "save the file as UTF-8"
	hintNames  = ".env-example shows all settings; --env-file names a file that other programs do not share"
)

// parseFile returns what the file sets. It is stricter than godotenv, which reads the values:
// that one takes NAME: value, expands variables, begins a comment at the last #, and quotes
// secrets in its errors. Assignments of other programs are skipped.
func parseFile(data []byte) (map[string]fileValue, *mistake) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) || bytes.IndexByte(data, 0) >= 0 {
		return nil, &mistake{1, "the file is UTF-16, not UTF-8 text", hintUTF8}
	}
	if valid := bytes.ToValidUTF8(data, nil); len(valid) < len(data) {
		i := 0
		for i < len(valid) && valid[i] == data[i] {
			i++
		}
		return nil, &mistake{1 + bytes.Count(data[:i], []byte("\n")), "not UTF-8 text", hintUTF8}
	}
	rest := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data))
	ours, values := Names(), make(map[string]fileValue)
	for line := 1; rest != ""; {
		a, bad := cutAssignment(rest, line)
		if bad == nil && a.name != "" {
			bad = a.addTo(values, ours, line)
		}
		if bad != nil {
			return nil, bad
		}
		line += 1 + strings.Count(rest[:a.length], "\n")
		_, rest, _ = strings.Cut(rest[a.length:], "\n") // what is left of the line is a comment
	}
	return values, nil
}

// assignment is NAME=value. The name of an empty line or a comment is "".
type assignment struct {
	name, value string // the value with its quotes, without a comment
	length      int    // of the assignment in the file; a quoted value may have several lines
}

var (
	assignmentForm = regexp.MustCompile(`^\s*(?:export\s+)?([\pL\pN_.]+)\s*([=:])\s*`)
	commentStart   = regexp.MustCompile(`\s#`)
)

// cutAssignment returns the assignment on the first line of the text.
func cutAssignment(text string, line int) (a assignment, bad *mistake) {
	first, _, _ := strings.Cut(text, "\n")
	a.length = len(first)
	if s := strings.TrimSpace(first); s == "" || s[0] == '#' {
		return a, nil
	}
	m := assignmentForm.FindStringSubmatchIndex(first)
	if m == nil {
		return a, &mistake{line, "not of the form NAME=value", hintQuotes}
	}
	if first[m[4]] == ':' {
		return a, &mistake{line, "not of the form NAME=value: a colon follows the name", "write NAME=value; NAME: value is YAML"}
	}
	a.name = first[m[2]:m[3]]
	if value := text[m[1]:]; value != "" && (value[0] == '\'' || value[0] == '"') {
		end := closingQuote(value)
		if end < 0 {
			return a, &mistake{line, "the quote that opens here is not closed", hintQuotes}
		}
		a.value, a.length = value[:end+1], m[1]+end+1
		after, _, _ := strings.Cut(value[end+1:], "\n")
		if after = strings.TrimSpace(after); after != "" && after[0] != '#' {
			return a, &mistake{line, "something follows the quote that closes the value", hintQuotes}
		}
		return a, nil
	}
	a.value = first[m[5]:] // with the space before it, so that NAME= # note is empty
	if comment := commentStart.FindStringIndex(a.value); comment != nil {
		a.value = a.value[:comment[0]]
	}
	return a, nil
}

// closingQuote returns the index of the quote that closes the one at the beginning, or -1. A
// backslash makes a quote part of the value, as for godotenv.
func closingQuote(s string) int {
	for i := 1; i < len(s); i++ {
		if s[i] == s[0] && s[i-1] != '\\' {
			return i
		}
	}
	return -1
}

// addTo adds the value if the name is one of ours.
func (a assignment) addTo(values map[string]fileValue, ours []string, line int) *mistake {
	if !slices.Contains(ours, a.name) {
		if text := unknown(a.name, ours); text != "" {
			return &mistake{line, text, hintNames}
		}
		return nil
	}
	if first, doubled := values[a.name]; doubled {
		return &mistake{line, fmt.Sprintf("%s is set in line %d already", a.name, first.line), "delete one of the two lines"}
	}
	if len(a.value) > maxValue {
		return &mistake{line, fmt.Sprintf("longer than %d bytes", maxValue), "no setting is so long: is a quote missing?"}
	}
	value := a.value
	if !strings.HasPrefix(value, "'") { // there are no variables: every $ stands for itself
		value = strings.ReplaceAll(strings.ReplaceAll(value, `\$`, "$"), "$", `\$`)
	}
	read, err := godotenv.Unmarshal(a.name + "=" + value)
	text, found := read[a.name]
	if err != nil || !found || len(read) != 1 {
		return &mistake{line, "not of the form NAME=value", hintQuotes}
	}
	values[a.name] = fileValue{strings.TrimSpace(text), line}
	return nil
}
