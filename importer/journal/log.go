package journal

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"strings"

	"segsync/importer/outcome"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// DamagedError says that the log cannot be used.
type DamagedError struct {
	Path  string
	Line  int  // from 1; 0: the file as a whole
	Newer bool // it is not damaged: a newer program wrote it
	Err   error
}

func (e *DamagedError) Error() string {
	switch {
	case e.Newer:
		return fmt.Sprintf("%s cannot be used: %s", e.Path, e.Err)
	case e.Line > 0:
		return fmt.Sprintf("%s is damaged: line %d: %s", e.Path, e.Line, e.Err)
	}
	return fmt.Sprintf("%s is damaged: %s", e.Path, e.Err)
}

func (e *DamagedError) Unwrap() error { return e.Err }

// log is the file that is appended to. Lines are collected in memory until they are written.
type log struct {
	file *os.File // nil: the log is not on the disk yet
	size int64    // of the file
	buf  []byte   // not written yet
	crc  uint32   // of all bytes since the last commit
}

// end returns where the next line begins.
func (l *log) end() int64 { return l.size + int64(len(l.buf)) }

// add appends a line.
func (l *log) add(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("writing the log: %w", err)
	}
	begin := len(l.buf)
	l.buf = append(append(l.buf, data...), '\n')
	l.crc = crc32.Update(l.crc, castagnoli, l.buf[begin:])
	return nil
}

// A commit line ends with the checksum of all bytes before it since the commit before: those
// of the line itself, too.
const (
	commitHead = `{"commit":`
	commitTail = `00000000"}}` + "\n"
)

// commit seals the lines since the last commit.
func (l *log) commit(c commitLine) error {
	c.CRC = commitTail[:8]
	data, err := json.Marshal(line{Commit: &c})
	if err != nil {
		return fmt.Errorf("writing the log: %w", err)
	}
	data = data[:len(data)+1-len(commitTail)]
	crc := crc32.Update(l.crc, castagnoli, data)
	l.buf = fmt.Appendf(append(l.buf, data...), "%08x%s", crc, commitTail[8:])
	l.crc = 0
	return nil
}

// write writes what is in memory to the file. What was written in part, because the disk is
// full, is taken back.
func (l *log) write() error {
	if len(l.buf) == 0 {
		return nil
	}
	if _, err := l.file.WriteAt(l.buf, l.size); err != nil {
		return errors.Join(fmt.Errorf("writing the log: %w", err), l.file.Truncate(l.size))
	}
	l.size += int64(len(l.buf))
	l.buf = l.buf[:0]
	return nil
}

// entries calls do with the entries between two places of the log.
func (l *log) entries(from, to int64, do func(*Entry) error) error {
	var parts []io.Reader
	if written := min(to, l.size); from < written {
		parts = append(parts, io.NewSectionReader(l.file, from, written-from))
	}
	if to > l.size {
		parts = append(parts, bytes.NewReader(l.buf[max(from-l.size, 0):to-l.size]))
	}
	lines := bufio.NewReader(io.MultiReader(parts...))
	for {
		text, err := readLine(lines)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the log: %w", err)
		}
		line, err := parseLine(text)
		if err != nil {
			return fmt.Errorf("reading the log: %w", err)
		}
		if line.Entry == nil {
			continue
		}
		if err := do(line.Entry); err != nil {
			return err
		}
	}
}

// entryAt returns the entry at a place of the log.
func (l *log) entryAt(at int64) (*Entry, error) {
	var found *Entry
	err := l.entries(at, l.end(), func(e *Entry) error { found = e; return errStop })
	if err != errStop {
		return nil, fmt.Errorf("reading the log: expected a profile at byte %d: %w", at, err)
	}
	return found, nil
}

var errStop = errors.New("stop")

// customersOf returns the customers of an action.
func (l *log) customersOf(a Action) ([]Entry, error) {
	var all []Entry
	err := l.entries(a.from, a.to, func(e *Entry) error {
		if e.Outcome == outcome.Sent && e.ActionID == a.ID {
			all = append(all, *e)
		}
		return nil
	})
	if err == nil && len(all) != a.Customers {
		err = fmt.Errorf("the log names %d of the %d customers of the async action %s", len(all), a.Customers, a.ID)
	}
	return all, err
}

// maxLine bounds a line: a longer one is damage.
const maxLine = 64 << 20

// scan calls apply with each line up to the last valid commit, together with its place, and
// returns the place behind that commit. Damage before it is a *DamagedError; what follows it is
// what a killed run wrote last, and is ignored.
func scan(path string, file io.Reader, apply func(text []byte, at int64) error) (end int64, err error) {
	lines := bufio.NewReaderSize(file, 1<<16)
	var segment []byte // since the last commit
	for n, first := 1, 1; ; n++ {
		text, err := readLine(lines)
		if err == io.EOF {
			return end, nil // cut: a killed run wrote no more
		}
		if err != nil {
			return end, &DamagedError{Path: path, Line: n, Err: err}
		}
		segment = append(segment, text...)
		if !bytes.HasPrefix(text, []byte(commitHead)) {
			continue
		}
		if !isSealed(segment) {
			if _, err := lines.Peek(1); err == io.EOF && bytes.IndexByte(segment, 0) >= 0 { // blocks that a power cut left empty
				return end, nil
			}
			return end, &DamagedError{Path: path, Line: first, Err: fmt.Errorf("lines %d to %d are not what was written", first, n)}
		}
		for text := range bytes.Lines(segment) {
			if err := apply(text, end); err != nil {
				if damaged, ok := errors.AsType[*DamagedError](err); ok {
					damaged.Path, damaged.Line = path, first
				}
				return end, err
			}
			end += int64(len(text))
			first++
		}
		segment = segment[:0]
	}
}

// scanLines calls take with each line of a log and its offset, until take returns errStop. Where there is no log,
// there are no lines. Logs of the history are compressed.
func scanLines(path string, take func(l *line, at int64) error) error {
	file, err := openRegular(path, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	lines := io.Reader(file)
	if strings.HasSuffix(path, ".gz") {
		if lines, err = gzip.NewReader(file); err != nil {
			return &DamagedError{Path: path, Err: err}
		}
	}
	_, err = scan(path, lines, func(text []byte, at int64) error {
		l, err := parseLine(text)
		if err != nil {
			return &DamagedError{Err: err}
		}
		return take(&l, at)
	})
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

// isSealed reports whether the checksum at the end of a commit is that of what comes before it.
func isSealed(segment []byte) bool {
	sealed := segment[:max(len(segment)-len(commitTail), 0)]
	return string(segment[len(sealed):]) == fmt.Sprintf("%08x%s", crc32.Checksum(sealed, castagnoli), commitTail[8:])
}

// readLine returns the next line with its end; io.EOF where it has none.
func readLine(r *bufio.Reader) ([]byte, error) {
	text, err := r.ReadSlice('\n')
	if err != bufio.ErrBufferFull {
		return text, err
	}
	long := bytes.Clone(text)
	for err == bufio.ErrBufferFull {
		text, err = r.ReadSlice('\n')
		if long = append(long, text...); len(long) > maxLine {
			return nil, fmt.Errorf("it is longer than %d MiB", maxLine>>20)
		}
	}
	return long, err
}
