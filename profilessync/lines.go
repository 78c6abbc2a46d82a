package profilessync

import (
	"bufio"
	"bytes"
	"fmt"
	"hash"
	"io"
	"strings"
)

// maxLine bounds a line of NDJSON, and a record of CSV, in bytes.
const maxLine = 16 << 20

// lineReader reads the records of a file: lines of NDJSON, or records of CSV, which have
// several lines where a quoted value has. It counts and hashes what was taken of the file.
type lineReader struct {
	in     *bufio.Reader
	csv    bool   // a record ends at a line end outside of quotes
	record []byte // the last one, which is not taken yet; valid until the next one is read
	long   []byte // holds a record that the buffer of in cannot
	lines  int64  // of the record
	offset int64  // bytes taken
	line   int64  // lines taken
	hash   hash.Hash
	sum    []byte
}

// newLineReader returns the lines of r. The hash may have begun with what is before them.
func newLineReader(r io.Reader, hash hash.Hash) *lineReader {
	return &lineReader{in: bufio.NewReaderSize(r, 64<<10), hash: hash}
}

// beginsWith reports whether the text begins with one of these characters, behind space.
func (l *lineReader) beginsWith(characters string) bool {
	start, _ := l.in.Peek(maxPeek) // less at the end
	start = bytes.TrimLeft(bytes.TrimPrefix(start, byteOrderMark), " \t\r\n")
	return len(start) > 0 && strings.IndexByte(characters, start[0]) >= 0
}

var byteOrderMark = []byte("\ufeff")

// next takes the last record and returns the one behind it, without its line end. Blank
// lines are passed over. It returns io.EOF at the end.
func (l *lineReader) next() ([]byte, error) {
	for {
		l.take()
		if err := l.read(); err != nil {
			return nil, err
		}
		content := l.record
		if l.offset == 0 || !l.csv { // files of NDJSON were put together, each with its mark
			content = bytes.TrimPrefix(content, byteOrderMark)
		}
		content = bytes.TrimSuffix(bytes.TrimSuffix(content, []byte("\n")), []byte("\r"))
		if len(bytes.TrimSpace(content)) == 0 {
			continue
		}
		return content, nil
	}
}

// read reads a record.
func (l *lineReader) read() error {
	l.record, l.long = nil, l.long[:0]
	quotes := 0
	for {
		part, err := l.in.ReadSlice('\n')
		if len(l.long)+len(part) > maxLine {
			if l.csv && quotes%2 == 1 {
				return fmt.Errorf("a record is longer than %d MiB: a quote that opens here is never closed, perhaps", maxLine>>20)
			}
			return fmt.Errorf("a line is longer than %d MiB", maxLine>>20)
		}
		if l.csv {
			quotes += bytes.Count(part, []byte(`"`))
		}
		whole := err == nil && quotes%2 == 0
		if whole {
			l.lines++
		}
		switch {
		case whole && len(l.long) == 0:
			l.record = part
			return nil
		case err != nil && err != bufio.ErrBufferFull && err != io.EOF:
			return err
		}
		l.long = append(l.long, part...)
		switch {
		case err == io.EOF && len(l.long) == 0:
			return io.EOF
		case whole || err == io.EOF:
			l.record = l.long
			return nil
		case err == nil:
			l.lines++
		}
	}
}

// take counts and hashes the last record.
func (l *lineReader) take() {
	l.hash.Write(l.record) // it never returns an error
	l.offset += int64(len(l.record))
	l.line += l.lines
	l.record, l.lines = nil, 0
}

// skip takes everything before the offset, as it is.
func (l *lineReader) skip(offset int64) error {
	n, err := io.CopyN(l.hash, l.in, offset-l.offset)
	l.offset += n
	return err
}

// skipAll takes everything.
func (l *lineReader) skipAll() error {
	l.take()
	n, err := io.Copy(l.hash, l.in)
	l.offset += n
	return err
}

// position returns the place behind what was taken.
func (l *lineReader) position(id string) Position {
	l.sum = l.hash.Sum(l.sum[:0])
	return Position{ID: id, Offset: l.offset, Line: l.line, Hash: Hash(l.sum[:len(Hash{})])}
}
