package main

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
	"unicode/utf8"

	"github.com/joho/godotenv"
)

// maxEnvFile is the size of the largest .env file, in bytes.
const maxEnvFile = 64 << 10

// maxEnvValue is the length of the longest assignment. godotenv takes a time in proportion
// to the square of it.
const maxEnvValue = 4 << 10

// envFile is what a .env file says of our settings.
type envFile struct {
	path   string
	values map[string]envValue
}

type envValue struct {
	text string
	line int // on which it begins
}

// packagedEnvFile returns the path of the settings that the packages install, or "" if
// there are none that can be read.
func packagedEnvFile() string {
	const path = "/etc/segsync/segsync.env"
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	f.Close()
	return path
}

// lookupIn returns a lookup in the environment, then in the file, which may be nil.
func lookupIn(file *envFile) func(name string) string {
	return func(name string) string {
		if v := strings.TrimSpace(os.Getenv(name)); v != "" {
			return v
		}
		return file.value(name).text
	}
}

// originIn returns a function that says where lookupIn(file) finds a setting:
// "environment", "FILE, line N", or "" if it is not set.
func originIn(file *envFile) func(name string) string {
	return func(name string) string {
		if strings.TrimSpace(os.Getenv(name)) != "" {
			return "environment"
		}
		if v := file.value(name); v.text != "" {
			return fmt.Sprintf("%s, line %d", file.path, v.line)
		}
		return ""
	}
}

func (f *envFile) value(name string) envValue {
	if f == nil {
		return envValue{}
	}
	return f.values[name]
}

// readEnvFile reads a .env file. A missing one is nil unless it is required.
func readEnvFile(path string, required bool) (*envFile, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) && !required {
		return nil, nil
	}
	if err != nil {
		return nil, &hinted{fmt.Errorf("reading the settings: %w", err), "--env-file names the file with the settings; .env-example shows what it has"}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxEnvFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading the settings: %w", err)
	}
	if len(data) > maxEnvFile {
		return nil, fmt.Errorf("reading the settings: %s is larger than %d bytes", path, maxEnvFile)
	}
	values, mistake := parseEnvFile(data)
	if mistake != nil {
		return nil, &hinted{fmt.Errorf("%s, line %d: %s", path, mistake.line, mistake.text), mistake.hint}
	}
	return &envFile{path, values}, nil
}

// envMistake is what is wrong with a line. It quotes nothing of the file but names of
// settings: the rest may be a secret.
type envMistake struct {
	line       int
	text, hint string
}

const (
	hintQuotes = "put values with special characters into single quotes, and close every quote"
	hintDollar = "put the value into single quotes: then it is taken as it stands"
	hintNames  = ".env-example shows all settings; --env-file names a file that other programs do not share"
)

// parseEnvFile reads the settings of a .env file. What other programs have in it is
// passed over if it has the form NAME=value.
func parseEnvFile(data []byte) (map[string]envValue, *envMistake) {
	statements, mistake := scanEnv(data)
	if mistake != nil {
		return nil, mistake
	}
	ours := ownNames()
	values := make(map[string]envValue)
	for _, s := range statements {
		if !slices.Contains(ours, s.name) {
			if text := unknownInFile(s.name, ours); text != "" {
				return nil, &envMistake{s.line, text, hintNames}
			}
			continue
		}
		if first, twice := values[s.name]; twice {
			return nil, &envMistake{s.line, fmt.Sprintf("%s is set in line %d already", s.name, first.line), "delete one of the two lines"}
		}
		text, mistake := s.value()
		if mistake != nil {
			return nil, mistake
		}
		values[s.name] = envValue{text, s.line}
	}
	return values, nil
}

// envStatement is an assignment, of several lines if its value is quoted.
type envStatement struct {
	name, text string // the text is the whole of it
	line       int    // its first
	quote      byte   // around the value, or 0
}

// envAssignment is the form of the first line of an assignment.
var envAssignment = regexp.MustCompile(`^\s*(?:export\s+)?([\pL\pN_.]+)\s*([=:])\s*(.*)$`)

// scanEnv splits a file into its assignments. It is stricter than godotenv, which takes
// NAME: value, and whatever follows a closing quote for the next assignment; and its
// errors have a line where godotenv's quote the rest of the file.
func scanEnv(data []byte) (statements []envStatement, mistake *envMistake) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if i := invalidUTF8(data); i >= 0 {
		return nil, &envMistake{1 + bytes.Count(data[:i], []byte("\n")), "not UTF-8 text", "save the file as UTF-8"}
	}
	rest := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data))
	for line := 1; rest != ""; {
		first, _, _ := strings.Cut(rest, "\n")
		length, lines := len(first), 1
		if first = strings.TrimSpace(first); first != "" && first[0] != '#' {
			s, mistake := cutStatement(rest, line)
			if mistake != nil {
				return nil, mistake
			}
			statements = append(statements, s)
			length, lines = len(s.text), 1+strings.Count(s.text, "\n")
		}
		_, rest, _ = strings.Cut(rest[length:], "\n") // what is left of the line is a comment
		line += lines
	}
	return statements, nil
}

// cutStatement returns the assignment at the beginning of the text, which is on the line
// of that number.
func cutStatement(text string, line int) (envStatement, *envMistake) {
	first, _, _ := strings.Cut(text, "\n")
	m := envAssignment.FindStringSubmatchIndex(first)
	if m == nil {
		return envStatement{}, &envMistake{line, "not of the form NAME=value", hintQuotes}
	}
	s := envStatement{name: first[m[2]:m[3]], text: first, line: line}
	if first[m[4]] == ':' {
		return s, &envMistake{line, "not of the form NAME=value: a colon follows the name", "write NAME=value; NAME: value is YAML"}
	}
	value := m[6]
	if value == len(first) || first[value] != '\'' && first[value] != '"' {
		return s, nil
	}
	s.quote = first[value]
	length := closingQuote(text[value:])
	if length < 0 {
		return s, &envMistake{line, "the quote that opens here is not closed", hintQuotes}
	}
	s.text = text[:value+length+1]
	behind, _, _ := strings.Cut(text[len(s.text):], "\n")
	if behind = strings.TrimSpace(behind); behind != "" && behind[0] != '#' {
		return s, &envMistake{line, "something follows the quote that closes the value", hintQuotes}
	}
	return s, nil
}

// closingQuote returns the index of the quote that closes the one at the beginning, or
// -1. As for godotenv, a backslash before it makes it part of the value.
func closingQuote(s string) int {
	for i := 1; i < len(s); i++ {
		if s[i] == s[0] && s[i-1] != '\\' {
			return i
		}
	}
	return -1
}

// envVariable is what godotenv takes for a variable. A backslash before it prevents that.
var envVariable = regexp.MustCompile(`(?:^|[^\\])\$\(?\{?[A-Z0-9_]`)

// value returns the value without quotes and comment.
func (s envStatement) value() (string, *envMistake) {
	if s.quote != '\'' && envVariable.MatchString(s.text) {
		return "", &envMistake{s.line, "a $ outside single quotes begins a variable, and there are none in this file", hintDollar}
	}
	if len(s.text) > maxEnvValue {
		return "", &envMistake{s.line, fmt.Sprintf("longer than %d bytes", maxEnvValue), "no setting is so long: is a quote missing?"}
	}
	values, err := godotenv.Unmarshal(s.text)
	text, there := values[s.name]
	if err != nil || !there || len(values) != 1 {
		return "", &envMistake{s.line, "not of the form NAME=value", hintQuotes}
	}
	return strings.TrimSpace(text), nil
}

// invalidUTF8 returns the index of the first byte that is not UTF-8, or -1.
func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}
