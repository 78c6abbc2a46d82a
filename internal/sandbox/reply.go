package sandbox

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strconv"
	"strings"
)

// compressFrom is the size in bytes from which answers are compressed.
const compressFrom = 1024

// reply writes the answer to c.
func (s *Sandbox) reply(w http.ResponseWriter, c *call, a answer) {
	s.done(c, a.status)
	h := s.startReply(w, c, a)
	body := a.body
	if c.segment && !s.o.Plain && len(body) > compressFrom && strings.Contains(c.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = s.compress(body)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(a.status)
	w.Write(body) // an error means that the client is gone
}

// startReply sets the headers that an answer of either API has.
func (s *Sandbox) startReply(w http.ResponseWriter, c *call, a answer) http.Header {
	h := w.Header()
	for name, values := range a.header {
		h[name] = values
	}
	h.Set("Content-Type", "application/json; charset=utf-8")
	if c.segment {
		h.Set("Request-Id", hexID(s.o.Seed, uint64(c.N)))
	}
	return h
}

// done takes note of the status of c's answer, just before it is written.
func (s *Sandbox) done(c *call, status int) {
	s.count.answered(c, status)
	r := s.log.finish(c, status)
	if s.o.OnAnswer != nil {
		s.o.OnAnswer(r)
	}
}

func (s *Sandbox) compress(body []byte) []byte {
	var b bytes.Buffer
	z, ok := s.zips.Get().(*gzip.Writer)
	if ok {
		z.Reset(&b)
	} else {
		z = gzip.NewWriter(&b)
	}
	defer s.zips.Put(z)
	z.Write(body) // a bytes.Buffer takes everything
	z.Close()
	return b.Bytes()
}

// statusWriter remembers the status that was written.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the real writer.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
