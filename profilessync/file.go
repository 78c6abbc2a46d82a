package profilessync

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/klauspost/compress/zstd"

	"segsync/internal/strictjson"
)

// Errors of a file as a whole, which errors.Is finds.
var (
	ErrOtherFile = errors.New("the file changed before the point where the import stopped")
	ErrReadOnce  = errors.New("it is not a regular file, so it can be read once only, from its beginning")
)

// FileError is an error in a file, or of one.
type FileError struct {
	Name   string // of the file; "standard input" for -
	Line   int64  // from 1; 0: the file as a whole
	Column int    // in characters, from 1; 0: the line as a whole
	// Opening says that it was found when the file was opened: nothing of it was read.
	Opening bool
	Hint    string // what helps; "" if nothing is known
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

// File is a file of profiles, or of the rows of the query that SQL returns, or several such
// files: its parts, which are read one after the other. Each may be compressed with gzip or zstd.
type File struct {
	parts []part
	once  *bufio.Reader // what is read, if it can be read only once
	taken bool          // and somebody has
}

// part is one file.
type part struct {
	name      string
	format    format
	header    []byte // of CSV
	separator byte   // of its columns
}

type format int

const (
	formatProfiles format = iota + 1 // NDJSON: {"segment_id":…,"external_ids":[…],"traits":{…}}
	formatRows                       // NDJSON: {"canonical_segment_id":…,"kind":…,"name":…,"value":…,"seq":…}
	formatCSVRows                    // the same rows, with a header
	formatAudience                   // CSV: key, external IDs as JSON, traits as JSON
	formatWide                       // CSV: one row a profile, one column a trait
)

func (f format) isCSV() bool    { return f >= formatCSVRows }
func (f format) hasRows() bool  { return f == formatRows || f == formatCSVRows }
func (f format) hasTexts() bool { return f.hasRows() || f == formatWide }
func (p *part) base() string    { return filepath.Base(p.name) }

// err makes a FileError of an error that is none yet.
func (p *part) err(err error) error {
	if inFile, ok := errors.AsType[*FileError](err); ok {
		return inFile
	}
	return &FileError{Name: p.name, Err: inWords(err), Hint: hintOf(err)}
}

// OpenFile looks at the beginning of regular files to find out their formats. They are read in
// this order. Errors in a file are *FileError.
func OpenFile(paths ...string) (*File, error) {
	f := &File{}
	for _, path := range paths {
		p, err := openPart(path)
		if err != nil {
			return nil, err
		}
		f.parts = append(f.parts, *p)
		if first := f.parts[0].format; p.format.hasRows() != first.hasRows() || p.format.hasTexts() != first.hasTexts() {
			return nil, &FileError{Name: path, Opening: true, Err: fmt.Errorf("its form differs from that of %q: import them one after the other", paths[0])}
		}
	}
	if f.parts == nil {
		return nil, errors.New("no file is given")
	}
	return f, nil
}

func openPart(path string) (*part, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() // it is only read
	if info, err := file.Stat(); err == nil && info.IsDir() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("it is a directory")}
	}
	f, err := OpenOnce(path, file)
	if err != nil {
		return nil, err
	}
	return &f.parts[0], nil
}

// OpenOnce is OpenFile for what can be read only once, such as a pipe. The name is for errors.
func OpenOnce(name string, input io.Reader) (*File, error) {
	f := &File{parts: []part{{name: name}}}
	once, err := f.parts[0].detect(input)
	if inFile, ok := errors.AsType[*FileError](err); ok {
		inFile.Opening = true
	}
	if err != nil {
		return nil, err
	}
	f.once = once
	return f, nil
}

// detect finds out the format from the first line. It returns the decompressed content.
func (p *part) detect(input io.Reader) (*bufio.Reader, error) {
	content, err := decompress(input)
	if err != nil {
		return nil, p.err(err)
	}
	var seen bytes.Buffer
	lines := newLineReader(io.TeeReader(content, &seen), sha256.New())
	lines.csv = !lines.beginsWith("{")
	first, err := lines.next()
	if err == io.EOF {
		return nil, p.err(errors.New("the file is empty"))
	}
	if err != nil {
		return nil, p.lineError(lines, nil, err)
	}
	if lines.csv {
		p.header = bytes.Clone(first)
		p.format, p.separator, err = csvFormat(first)
	} else {
		p.format, err = formatOf(first)
	}
	if err != nil {
		return nil, p.lineError(lines, first, err)
	}
	return bufio.NewReader(io.MultiReader(&seen, content)), nil
}

func formatOf(line []byte) (format, error) {
	var keys struct {
		Profile jsontext.Value `json:"segment_id"`
		Row     jsontext.Value `json:"canonical_segment_id,case:ignore"`
		identifyCall
	}
	if err := json.Unmarshal(line, &keys, strictjson.Lenient); err != nil {
		return 0, jsonError(line, err, "a line")
	}
	switch {
	case keys.Profile != nil:
		return formatProfiles, nil
	case keys.Row != nil:
		return formatRows, nil
	case keys.Traits != nil && (keys.UserID != nil || keys.AnonymousID != nil):
		return 0, errIdentifyCall
	}
	return 0, errNeither
}

// Texts reports whether the traits of its profiles are texts, as in rows and in columns of CSV.
func (f *File) Texts() bool { return f.parts[0].format.hasTexts() }

// CheckColumns returns an error if it cannot be told from the header of a part which columns
// identify a profile.
func (f *File) CheckColumns(q Query) error {
	for i := range f.parts {
		p := &f.parts[i]
		if p.format != formatWide {
			continue
		}
		splitter, err := newCSVSplitter(p.header, p.separator)
		if err == nil {
			_, err = newWideColumns(splitter, q, newSelection(q))
		}
		if err != nil {
			return &FileError{Name: p.name, Line: 1, Opening: true, Err: err, Hint: hintOf(err)}
		}
	}
	return nil
}

// errStopped says that no more profiles are wanted.
var errStopped = errors.New("stopped")

// Profiles ranges over the profiles of the file from a position, in the order of the file.
// Rows of a profile must come one after the other, and the profiles that they make in
// the byte order of their ids; in the other formats any order will do, and the same id may
// come again. It stops at the first error. What OpenOnce has opened can be read once only, from
// its beginning. After, Since and Started of the query are not used.
func (f *File) Profiles(ctx context.Context, q Query, from Position) iter.Seq2[*Profile, error] {
	return func(yield func(*Profile, error) bool) {
		r := &reader{file: f, query: q, selection: newSelection(q), hash: sha256.New(), closePart: func() {}}
		defer func() { r.closePart() }()
		err := r.resume(from)
		take := func(p *Profile) error {
			if !yield(p, nil) {
				return errStopped
			}
			return ctx.Err()
		}
		switch {
		case err != nil:
		case f.parts[0].format.hasRows():
			err = r.readRows(from, take)
		default:
			err = r.readProfiles(take)
		}
		if err != nil && err != errStopped {
			yield(nil, err)
		}
	}
}

// open returns the lines of a part.
func (f *File) open(p *part, hash hash.Hash) (lines *lineReader, closeFile func(), err error) {
	if f.once != nil || f.taken {
		if f.taken {
			return nil, nil, &FileError{Name: p.name, Err: ErrReadOnce}
		}
		lines, f.once, f.taken = newLineReader(f.once, hash), nil, true
		return lines, func() {}, nil
	}
	file, err := os.Open(p.name)
	if err != nil {
		return nil, nil, err
	}
	content, err := decompress(file)
	if err != nil {
		file.Close()
		return nil, nil, p.err(err)
	}
	return newLineReader(content, hash), func() { file.Close() }, nil
}

// lineError returns the error with its place. line is the record that was read, if any.
func (p *part) lineError(lines *lineReader, line []byte, err error) error {
	e := &FileError{Name: p.name, Line: lines.line + 1, Err: err, Hint: hintOf(err)}
	at := -1
	if placed, ok := errors.AsType[*placedError](err); ok {
		at = placed.at
	} else {
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
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return errors.New("zstd needs more than 32 MiB to decompress it: compress it without --long")
	case errors.Is(err, zstd.ErrMagicMismatch):
		return errors.New("behind the compressed data is something else")
	}
	return err
}
