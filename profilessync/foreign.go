package profilessync

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/klauspost/compress/zstd"
)

// maxPeek is how much is looked at to recognize a file: the mark of tar is near the end of a block of
// 512 bytes.
const maxPeek = 512

// maxZstdWindow bounds the memory of a decoder. zstd -19 needs 8 MiB, --ultra -22 128 MiB.
const maxZstdWindow = 32 << 20

// errForeign says that a file is of a kind that is not read, and what helps.
type errForeign struct{ text, hint string }

func (e *errForeign) Error() string { return e.text }

func hintOf(err error) string {
	if foreign, ok := errors.AsType[*errForeign](err); ok {
		return foreign.hint
	}
	return ""
}

const profileExample = `a profile looks like this: {"segment_id":"use_1","external_ids":[{"type":"user_id","id":"42"}],"traits":{"email":"ada@example.com"}}`

type identifyCall struct {
	UserID      jsontext.Value `json:"userId"`
	AnonymousID jsontext.Value `json:"anonymousId"`
	Traits      jsontext.Value `json:"traits"`
}

var (
	errIdentifyCall = &errForeign{"this is an identify call, not a profile", profileExample +
		`; jq -c '{segment_id:("user_id:"+.userId),external_ids:[{type:"user_id",id:.userId}],traits}' FILE | segsync import --from - makes some, of which the first of each user counts`}
	errNeither = &errForeign{"this is neither a profile, which has a segment_id, nor a row, which has a canonical_segment_id", profileExample +
		`; jq -c '{segment_id:("user_id:"+.user_id),external_ids:[{type:"user_id",id:.user_id}],traits:.}' FILE | segsync import --from - makes them of flat objects with a user_id`}
)

// foreignKinds are the beginnings of files that are not read.
var foreignKinds = []struct {
	magic string
	at    int
	errForeign
}{
	{"PAR1", 0, errForeign{"this is Parquet", `duckdb -c "COPY (FROM 'FILE' ORDER BY canonical_segment_id) TO 'rows.json' (FORMAT json)" makes lines of JSON; leave out ORDER BY for profiles`}},
	{"Obj\x01", 0, errForeign{"this is Avro", "avro-tools tojson FILE | segsync import --from -"}},
	{"ORC", 0, errForeign{"this is ORC", "export it as lines of JSON or as CSV"}},
	{"BZh", 0, errForeign{"this is compressed with bzip2", "bzip2 -dc FILE | segsync import --from -"}},
	{"\xfd7zXZ\x00", 0, errForeign{"this is compressed with xz", "xz -dc FILE | segsync import --from -"}},
	{"\xff\xfe", 0, errForeign{"this is UTF-16", "iconv -f UTF-16 -t UTF-8 FILE | segsync import --from -"}},
	{"\xfe\xff", 0, errForeign{"this is UTF-16", "iconv -f UTF-16 -t UTF-8 FILE | segsync import --from -"}},
	{"\xd0\xcf\x11\xe0", 0, errForeign{"this is a document of Excel", `save it there as "CSV UTF-8"`}},
	{"ustar", 257, errForeign{"this is a tar archive", "tar -xOf FILE | segsync import --from - reads its files one after the other"}},
}

// recognizeForeign returns an error if this is the beginning of something that is not read.
func recognizeForeign(start []byte) error {
	for _, kind := range foreignKinds {
		if len(start) > kind.at && bytes.HasPrefix(start[kind.at:], []byte(kind.magic)) {
			return &kind.errForeign
		}
	}
	if !bytes.HasPrefix(start, []byte("PK\x03\x04")) {
		return nil
	}
	if bytes.Contains(start, []byte("[Content_Types].xml")) || bytes.Contains(start, []byte("xl/")) {
		return &errForeign{"this is a workbook of Excel (XLSX)", `save it there as "CSV UTF-8"`}
	}
	return &errForeign{"this is a zip archive", "unzip -p FILE | segsync import --from - reads its files one after the other"}
}

// decompress returns what r holds: decompressed if it begins as gzip or zstd does, and a JSON array as
// lines. The memory of zstd is that of one goroutine.
func decompress(r io.Reader) (content io.Reader, err error) {
	in := bufio.NewReaderSize(r, 64<<10)
	switch magic, _ := in.Peek(4); {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		content, err = gzip.NewReader(in)
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		content, err = zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxZstdWindow))
	default:
		content = in
	}
	if err != nil {
		return nil, err
	}
	text := bufio.NewReaderSize(content, 64<<10)
	start, err := text.Peek(maxPeek)
	if err != nil && err != io.EOF {
		return text, nil // whoever reads it has the error again, with its place
	}
	if err := recognizeForeign(start); err != nil {
		return nil, err
	}
	start = bytes.TrimLeft(bytes.TrimPrefix(start, byteOrderMark), " \t\r\n")
	if bytes.HasPrefix(start, []byte("[")) {
		return &arrayLines{in: text}, nil
	}
	return text, nil
}

// arrayLines turns the elements of a JSON array into lines, byte for byte: the commas between them and
// the bracket behind them become line ends, and other line ends become spaces. So the
// number of a line is that of the element.
type arrayLines struct {
	in       io.Reader
	depth    int
	inString bool
	escaped  bool
	ended    bool
}

func (a *arrayLines) Read(p []byte) (int, error) {
	n, err := a.in.Read(p)
	for i, c := range p[:n] {
		switch {
		case a.ended: // what follows is read as it is, and is an error unless it is space
		case a.inString:
			a.inString, a.escaped = c != '"' || a.escaped, c == '\\' && !a.escaped
		case c == '"':
			a.inString = true
		case c == '\n' || c == '\r':
			p[i] = ' '
		case c == '[' || c == '{':
			if a.depth++; a.depth == 1 {
				p[i] = ' '
			}
		case c == ',' && a.depth == 1:
			p[i] = '\n'
		case c == ']' || c == '}':
			if a.depth--; a.depth == 0 {
				p[i], a.ended = '\n', true
			}
		}
	}
	if err == io.EOF && !a.ended {
		err = errArrayCut
	}
	return n, err
}

var errArrayCut = errors.New("the JSON array has no end: the file is cut")
