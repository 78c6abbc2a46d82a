package sandbox

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// DownloadLength says how a download tells its end.
type DownloadLength int

const (
	// LengthKnown sends Content-Length.
	LengthKnown DownloadLength = iota
	// LengthChunked sends chunks.
	LengthChunked
	// LengthByClose ends with the connection: a cut looks like the end.
	LengthByClose
)

// ServeDownload answers for the host from which exports are downloaded.
func (s *Sandbox) ServeDownload(w http.ResponseWriter, r *http.Request) {
	c, err := s.receive(r, routeDownload)
	if err != nil || s.misbehave(w, c) {
		return
	}
	if s.o.OnRequest != nil {
		s.o.OnRequest(*c.Request)
	}
	s.exports.mu.Lock()
	e := s.exports.byID[c.last]
	s.exports.downloads++
	cut := s.exports.downloads <= s.o.Exports.Cuts
	s.exports.mu.Unlock()
	known := c.Header.Get("X-App-Id") == s.o.AppID && c.Header.Get("X-App-Token") == s.o.SecretKey
	if e == nil || !known || c.Query.Get("token") != e.token || c.Time.Before(e.done) {
		s.reply(w, c, answer{status: http.StatusUnauthorized, body: []byte(`{"code":401,"message":"Unauthorized","key":"unauthorized"}`)})
		return
	}
	from, ok := s.rangeStart(c, e)
	if !ok {
		s.reply(w, c, answer{status: http.StatusRequestedRangeNotSatisfiable,
			header: http.Header{"Content-Range": {fmt.Sprintf("bytes */%d", e.size())}}})
		return
	}
	s.sendFile(w, c, e, from, cut)
}

// rangeStart returns the first byte that is asked for, and false where the
// file has none there. Only "bytes=N-" is understood.
func (s *Sandbox) rangeStart(c *call, e *export) (int64, bool) {
	v, ok := strings.CutPrefix(c.Header.Get("Range"), "bytes=")
	v, open := strings.CutSuffix(v, "-")
	if match := c.Header.Get("If-Range"); !ok || !open || !s.o.Exports.Ranges || match != "" && match != quoted(e.id) {
		return 0, true
	}
	from, err := strconv.ParseInt(v, 10, 64)
	if err != nil || from < 0 {
		return 0, true
	}
	return from, from < e.size()
}

// sendFile sends the file of e from a byte on, or half of that.
func (s *Sandbox) sendFile(w http.ResponseWriter, c *call, e *export, from int64, cut bool) {
	h := w.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8")
	h.Set("ETag", quoted(e.id))
	status := http.StatusOK
	if s.o.Exports.Ranges {
		h.Set("Accept-Ranges", "bytes")
	}
	if from > 0 {
		status = http.StatusPartialContent
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, e.size()-1, e.size()))
	}
	switch s.o.Exports.Length {
	case LengthKnown:
		h.Set("Content-Length", strconv.FormatInt(e.size()-from, 10))
	case LengthByClose:
		h.Set("Connection", "close")
		h.Set("Transfer-Encoding", "identity")
	}
	s.done(c, status)
	w.WriteHeader(status)
	if s.o.Exports.Length == LengthChunked {
		http.NewResponseController(w).Flush() // else a short file gets a Content-Length
	}
	part := &section{w: w, skip: from, left: e.size() - from}
	if cut {
		part.left /= 2
	}
	s.writeCSV(part, e) // an error means that the client is gone, or the end of the part
	if cut && s.o.Exports.Length != LengthByClose {
		s.abortAfter(w, nil)
	}
}

// writeCSV writes the file of e.
func (s *Sandbox) writeCSV(w io.Writer, e *export) error {
	header, keys := s.exportColumns(e)
	out := csv.NewWriter(w)
	if err := out.Write(header); err != nil {
		return err
	}
	row := make([]string, 0, len(header))
	for i := range e.customers {
		row = s.appendRow(row[:0], &e.customers[i], e.parameters.Fields, keys)
		if err := out.Write(row); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// appendRow appends the cells of one customer.
func (s *Sandbox) appendRow(row []string, c *customer, fields, keys []string) []string {
	values := object(c.fields)
	address := object(values["address"])
	for _, field := range fields {
		switch part, ok := strings.CutPrefix(field, "address_"); {
		case ok:
			row = append(row, cell(address[part]))
		case field == "id":
			row = append(row, c.id)
		case field == "created_at":
			row = append(row, formatMillis(c.created))
		case field == "updated_at":
			row = append(row, formatMillis(c.updated))
		case field == "metadata":
			row = s.appendMetadata(row, object(values["metadata"]), keys)
		default:
			row = append(row, cell(values[field]))
		}
	}
	return row
}

// appendMetadata appends the cells of the defined keys.
func (s *Sandbox) appendMetadata(row []string, metadata map[string]json.RawMessage, keys []string) []string {
	if s.o.Exports.Metadata != MetadataJSON {
		for _, key := range keys {
			row = append(row, cell(metadata[key]))
		}
		return row
	}
	defined := map[string]json.RawMessage{}
	for _, key := range keys {
		if v, ok := metadata[key]; ok {
			defined[key] = v
		}
	}
	return append(row, string(marshal(defined)))
}

// cell writes a JSON value as a cell: null and absent ones are empty, a text
// stands without its quotes, all others are JSON.
func cell(raw json.RawMessage) string {
	var text string
	if len(raw) == 0 || string(raw) == "null" {
		return ""
	}
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}

// counter counts the bytes that are written to it.
type counter int64

func (n *counter) Write(b []byte) (int, error) {
	*n += counter(len(b))
	return len(b), nil
}

// section writes a part of what is written to it: left bytes behind skip. It
// returns io.ErrShortWrite at its end.
type section struct {
	w          io.Writer
	skip, left int64
}

func (p *section) Write(b []byte) (int, error) {
	n := len(b)
	skipped := min(p.skip, int64(n))
	b = b[skipped:]
	p.skip -= skipped
	end := int64(len(b)) > p.left
	b = b[:min(int64(len(b)), p.left)]
	p.left -= int64(len(b))
	if _, err := p.w.Write(b); err != nil {
		return 0, err
	}
	if end {
		return 0, io.ErrShortWrite
	}
	return n, nil
}
