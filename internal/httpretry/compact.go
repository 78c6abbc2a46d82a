package httpretry

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/klauspost/compress/s2"
)

// compactBlock is how much of a compact body is compressed at once.
const compactBlock = 256 << 10

// compactBody is the body of an answer, compressed in memory. JSON of a table takes a fifth or less.
type compactBody struct {
	*s2.Reader
	packed []byte
}

// readCompact reads a body of at most limit bytes.
func readCompact(in io.Reader, limit int64) (*compactBody, error) {
	var packed bytes.Buffer
	pack := s2.NewWriter(&packed, s2.WriterConcurrency(1), s2.WriterBlockSize(compactBlock))
	n, err := io.Copy(pack, io.LimitReader(in, limit+1))
	if n > limit {
		err = &TooLargeError{limit}
	}
	if err = errors.Join(err, pack.Close()); err != nil {
		return nil, err
	}
	return &compactBody{s2.NewReader(bytes.NewReader(packed.Bytes()), s2.ReaderMaxBlockSize(compactBlock)), packed.Bytes()}, nil
}

// Seek goes back to the start; other places are not supported.
func (b *compactBody) Seek(offset int64, whence int) (int64, error) {
	if offset != 0 || whence != io.SeekStart {
		return 0, errors.ErrUnsupported
	}
	b.Reset(bytes.NewReader(b.packed))
	return 0, nil
}

// Close does nothing: the body is in memory.
func (*compactBody) Close() error { return nil }

// isJSON reports whether the body is one JSON value.
func (b *compactBody) isJSON() bool {
	d := jsontext.NewDecoder(b, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if d.SkipValue() != nil {
		return false
	}
	_, err := d.ReadToken()
	b.Seek(0, io.SeekStart) // it always can
	return err == io.EOF
}
