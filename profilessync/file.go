package profilessync

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"time"
	"unicode/utf8"
)

// Errors of a file as a whole, which errors.Is finds.
var (
	ErrOtherFile = errors.New("the file is not the one that the position is of: what is before it has changed")
	ErrReadOnce  = errors.New("it is not a regular file, so it can be read once only, from its beginning")
)

// FileError is an error in a file, or of one.
type FileError struct {
	Name   string // of the file; "standard input" for -
	Line   int64  // from 1; 0: the file as a whole
	Column int    // in characters, from 1; 0: the line as a whole
	// Opening says that it was found when the file was opened: nothing of it was read.
	Opening bool
	Err     error
}

func (e *FileError) Error() string {
	place := fmt.Sprintf("%q", e.Name)
	if e.Line > 0 {
		place += fmt.Sprintf(", line %d", e.Line)
	}
	if e.Column > 0 {
		place += fmt.Sprintf(", column %d", e.Column)
	}
	return place + ": " + e.Err.Error()
}

// Unwrap returns what is wrong.
func (e *FileError) Unwrap() error { return e.Err }

// Refused reports whether it is the file that is wrong, and not the reading of it.
func (e *FileError) Refused() bool {
	_, failed := errors.AsType[*fs.PathError](e.Err)
	return !failed
}

// File is a file of profiles, or of the rows of the query that SQL returns. It may be
// compressed with gzip.
type File struct {
	name   string
	format format
	once   *bufio.Reader // what is read, if it can be read only once
	taken  bool          // and somebody has
}

type format int

const (
	formatProfiles format = iota + 1 // NDJSON: {"segment_id":…,"external_ids":[…],"traits":{…}}
	formatRows                       // NDJSON: {"canonical_segment_id":…,"kind":…,"name":…,"value":…,"seq":…}
	formatCSV                        // the same rows, with a header
)

// OpenFile looks at the beginning of a regular file to find out its format. Errors in the file
// are *FileError.
func OpenFile(path string) (*File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() // it is only read
	if info, err := file.Stat(); err == nil && info.IsDir() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("it is a directory")}
	}
	f, err := OpenOnce(path, file)
	if f != nil {
		f.once = nil
	}
	return f, err
}

// OpenOnce is OpenFile for what can be read only once, such as a pipe. The name is for errors.
func OpenOnce(name string, input io.Reader) (*File, error) {
	f := &File{name: name}
	err := f.detect(input)
	if inFile, ok := errors.AsType[*FileError](err); ok {
		inFile.Opening = true
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// detect finds out the format from the first line. It leaves once at the beginning of the
// decompressed content.
func (f *File) detect(input io.Reader) error {
	content, err := decompress(input)
	if err != nil {
		return &FileError{Name: f.name, Err: inWords(err)}
	}
	var seen bytes.Buffer
	lines := newLineReader(io.TeeReader(content, &seen))
	first, err := lines.next()
	if err == io.EOF {
		return &FileError{Name: f.name, Err: errors.New("the file is empty")}
	}
	if err != nil {
		return f.lineError(lines, nil, err)
	}
	if f.format, err = formatOf(first); err != nil {
		return f.lineError(lines, first, err)
	}
	if f.format == formatCSV && bytes.Count(first, []byte(`"`))%2 == 0 { // else the header has more lines
		if _, err := newCSVColumns(first); err != nil {
			return f.lineError(lines, first, err)
		}
	}
	f.once = bufio.NewReader(io.MultiReader(&seen, content))
	return nil
}

// decompress returns what r holds, decompressed if it begins as gzip does.
func decompress(r io.Reader) (io.Reader, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	if magic, _ := in.Peek(2); !bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return in, nil
	}
	return gzip.NewReader(in)
}

func formatOf(line []byte) (format, error) {
	switch bytes.TrimSpace(line)[0] {
	case '{':
	case '[':
		return 0, errors.New("this is a JSON array; each line must be a JSON object of its own")
	default:
		return formatCSV, nil
	}
	var keys struct {
		Profile *json.RawMessage `json:"segment_id"`
		Row     *json.RawMessage `json:"canonical_segment_id"`
	}
	if err := json.Unmarshal(line, &keys); err != nil {
		return 0, err
	}
	switch {
	case keys.Profile != nil:
		return formatProfiles, nil
	case keys.Row != nil:
		return formatRows, nil
	}
	return 0, errors.New("this is neither a profile, which has a segment_id, nor a row, which has a canonical_segment_id")
}

// Texts reports whether the traits of its profiles are texts: whether it is a file of rows.
func (f *File) Texts() bool { return f.format != formatProfiles }

// errStopped says that no more profiles are wanted.
var errStopped = errors.New("stopped")

// Profiles ranges over the profiles of the file from a position, in the order of the file.
// A file of rows must have the rows of a profile one after the other, and the profiles in
// the byte order of their ids; in a file of profiles any order will do, and the same id may
// come again. It stops at the first error. What OpenOnce has opened can be read once only, from
// its beginning. After, Since and Started of the query are not used.
func (f *File) Profiles(ctx context.Context, q Query, from Position) iter.Seq2[*Profile, error] {
	return func(yield func(*Profile, error) bool) {
		lines, closeFile, err := f.open(from)
		if err != nil {
			yield(nil, err)
			return
		}
		defer closeFile()
		take := func(p *Profile) error {
			if !yield(p, nil) {
				return errStopped
			}
			return ctx.Err()
		}
		if f.format == formatProfiles {
			err = f.readProfiles(lines, newPlan(q), from, take)
		} else {
			err = f.readRows(lines, newPlan(q), from, take)
		}
		if err != nil && err != errStopped {
			yield(nil, err)
		}
	}
}

// open returns the lines of the file.
func (f *File) open(from Position) (lines *lineReader, closeFile func(), err error) {
	if f.once != nil || f.taken {
		if f.taken || from != (Position{}) {
			return nil, nil, &FileError{Name: f.name, Err: ErrReadOnce}
		}
		lines, f.once, f.taken = newLineReader(f.once), nil, true
		lines.csv = f.format == formatCSV
		return lines, func() {}, nil
	}
	file, err := os.Open(f.name)
	if err != nil {
		return nil, nil, err
	}
	content, err := decompress(file)
	if err != nil {
		file.Close()
		return nil, nil, &FileError{Name: f.name, Err: inWords(err)}
	}
	lines = newLineReader(content)
	lines.csv = f.format == formatCSV
	return lines, func() { file.Close() }, nil
}

// resume goes to the position, past what may have been read of the file, such as a header.
func (f *File) resume(lines *lineReader, from Position) error {
	lines.take()
	if from == (Position{}) {
		return nil
	}
	if from.Offset < lines.offset {
		return &FileError{Name: f.name, Err: ErrOtherFile}
	}
	switch err := lines.skip(from.Offset); {
	case err == io.EOF:
		return &FileError{Name: f.name, Err: ErrOtherFile}
	case err != nil:
		return &FileError{Name: f.name, Err: inWords(err)}
	}
	if lines.position("").Hash != from.Hash {
		return &FileError{Name: f.name, Err: ErrOtherFile}
	}
	lines.line = from.Line
	return nil
}

// lineError returns the error with its place. line is the record that was read, if any.
func (f *File) lineError(lines *lineReader, line []byte, err error) error {
	e := &FileError{Name: f.name, Line: lines.line + 1, Err: err}
	at := -1
	var syntax *json.SyntaxError
	var placed *placedError
	switch {
	case errors.As(err, &syntax):
		at = int(syntax.Offset) - 1
		e.Err = fmt.Errorf("this line is not JSON: %w", err)
	case errors.As(err, &placed):
		at = placed.at
	default:
		e.Err = inWords(err)
	}
	if at < 0 || at > len(line) {
		return e
	}
	before := line[:at]
	if i := bytes.LastIndexByte(before, '\n'); i >= 0 { // in a record of CSV
		e.Line += int64(bytes.Count(before, []byte("\n")))
		before = before[i+1:]
	}
	e.Column = utf8.RuneCount(before) + 1
	return e
}

// inWords explains errors of compressed data.
func inWords(err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the compressed data ends too early")
	case errors.Is(err, gzip.ErrHeader):
		return errors.New("behind the compressed data is something else")
	}
	return err
}

// readProfiles reads a file of profiles.
func (f *File) readProfiles(lines *lineReader, p *plan, from Position, take func(*Profile) error) error {
	if err := f.resume(lines, from); err != nil {
		return err
	}
	for {
		line, err := lines.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return f.lineError(lines, nil, err)
		}
		profile, err := parseProfile(line, p)
		if err != nil {
			return f.lineError(lines, line, err)
		}
		lines.take()
		if profile == nil {
			continue // it is none of those that are wanted
		}
		profile.Position = lines.position(profile.SegmentID)
		if err := take(profile); err != nil {
			return err
		}
	}
}

// parseProfile returns nil for a profile that is none of those that the plan is limited to.
func parseProfile(line []byte, p *plan) (*Profile, error) {
	if err := checkJSON(line); err != nil {
		return nil, err
	}
	fields := [...]field{{name: "segment_id", kind: "string"}, {name: "external_ids", kind: "array"}, {name: "traits", kind: "object"}}
	if err := find(line, behind(line, space), "a profile", fields[:]); err != nil {
		return nil, err
	}
	profile := &Profile{SegmentID: string(fields[0].text()), Traits: map[string]any{}}
	if profile.SegmentID == "" {
		return nil, errors.New("the profile has no segment_id")
	}
	wanted := p.only == "" || p.only == profile.SegmentID
	if ids := fields[1].value; ids != nil {
		for object := range elements(ids) {
			id, err := parseExternalID(line, object, p)
			if err != nil {
				return nil, err
			}
			wanted = wanted || p.isOnly(id.Type, id.ID)
			if p.usesIdentifier(id.Type) != 0 {
				profile.ExternalIDs = append(profile.ExternalIDs, id)
			}
		}
	}
	if !wanted {
		return nil, nil
	}
	if traits := fields[2].value; traits != nil {
		for key, value := range members(traits) {
			if p.all || p.traits[string(key)] {
				profile.Traits[string(key)] = decode(value)
			}
		}
	}
	return profile, nil
}

// parseExternalID reads the time of one that the plan wants only.
func parseExternalID(line, object []byte, p *plan) (id ExternalID, err error) {
	fields := [...]field{{name: "type", kind: "string"}, {name: "id", kind: "string"}, {name: "created_at", kind: "string"}}
	if err := find(line, object, "an external ID", fields[:]); err != nil {
		return id, err
	}
	id.Type, id.ID = string(fields[0].text()), string(fields[1].text())
	if created := fields[2]; created.value != nil && p.usesIdentifier(id.Type) != 0 {
		if id.CreatedAt, err = time.Parse(time.RFC3339, string(created.text())); err != nil {
			return id, &placedError{offsetIn(line, created.value), "created_at is not a time such as 2026-05-01T10:00:00Z"}
		}
	}
	return id, nil
}
