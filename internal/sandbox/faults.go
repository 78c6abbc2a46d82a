package sandbox

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
)

// fault is the name of a way to answer wrongly.
type fault string

const (
	noFault          fault = ""
	fault429After    fault = "429 with Retry-After"
	fault429         fault = "429"
	fault500         fault = "500"
	fault502         fault = "502"
	fault503         fault = "503"
	fault504         fault = "504"
	fault502HTML     fault = "502 HTML"
	fault200HTML     fault = "200 HTML"
	faultReset       fault = "reset"
	faultCutLength   fault = "cut body"
	faultCutChunk    fault = "cut chunk"
	faultInvalidJSON fault = "invalid JSON"
	faultStall       fault = "stall"
)

// allFaults returns the faults that are drawn from, each as likely.
func allFaults() []fault {
	return []fault{
		fault429After, fault429, fault500, fault502, fault503, fault504, fault502HTML,
		fault200HTML, faultReset, faultCutLength, faultCutChunk, faultInvalidJSON, faultStall,
	}
}

// drawFault decides about the next request.
func (s *Sandbox) drawFault() fault {
	if s.o.Faults <= 0 || s.draw() >= s.o.Faults {
		return noFault
	}
	all := allFaults()
	return all[int(s.draw()*float64(len(all)))]
}

// answerWithFault answers c with f instead of, or after, its true answer.
// header is what a true answer carries.
func (s *Sandbox) answerWithFault(w http.ResponseWriter, c *call, f fault, header http.Header) {
	c.fault = f
	if f != faultStall && !wait(c.r.Context(), s.latency(c)) {
		return
	}
	switch f {
	case faultCutLength, faultCutChunk, faultInvalidJSON:
		a := s.answer(c)
		a.header = header
		s.spoil(w, c, f, a)
		return
	case faultStall:
		s.stall(w, c, header)
		return
	case fault429, fault429After: // refused, so it never took effect
	default:
		if s.answerIsLost(c) {
			s.answer(c)
		}
	}
	switch f {
	case faultReset:
		s.done(c, 0)
		reset(c.r)
	case fault200HTML:
		s.replyHTML(w, c, http.StatusOK)
	case fault502HTML:
		s.replyHTML(w, c, http.StatusBadGateway)
	case fault429After:
		s.reply(w, c, faultAnswer(c, 429, http.Header{"Retry-After": {"1"}}))
	default:
		status, _ := strconv.Atoi(string(f))
		s.reply(w, c, faultAnswer(c, status, nil))
	}
}

// answerIsLost decides whether c takes effect although its answer is a fault.
// For a GET it makes no difference.
func (s *Sandbox) answerIsLost(c *call) bool {
	return c.Method != http.MethodGet && s.draw() < 0.5
}

// stall gives the true answer, far too late.
func (s *Sandbox) stall(w http.ResponseWriter, c *call, header http.Header) {
	var a answer
	early := s.answerIsLost(c)
	if early {
		a = s.answer(c)
	}
	if !wait(c.r.Context(), s.o.Stall) {
		s.done(c, 0)
		return
	}
	if !early {
		a = s.answer(c)
	}
	a.header = header
	s.reply(w, c, a)
}

// spoil writes a in a way that no client can read.
func (s *Sandbox) spoil(w http.ResponseWriter, c *call, f fault, a answer) {
	s.done(c, a.status)
	h := s.startReply(w, c, a)
	half := a.body[:len(a.body)/2]
	switch f {
	case faultCutLength:
		h.Set("Content-Length", strconv.Itoa(len(a.body)))
		w.WriteHeader(a.status)
		s.abortAfter(w, half)
	case faultCutChunk:
		w.WriteHeader(a.status)
		s.abortAfter(w, half)
	default:
		w.WriteHeader(a.status)
		w.Write(append(half[:len(half):len(half)], "\x00<cut>"...))
	}
}

// abortAfter sends part of a body and closes the connection.
func (s *Sandbox) abortAfter(w http.ResponseWriter, part []byte) {
	w.Write(part)
	http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// reset ends the connection of r without an answer; the client reads
// "connection reset by peer" when the server is one of Listen, else EOF.
func reset(r *http.Request) {
	if c, ok := r.Context().Value(connKey{}).(*net.TCPConn); ok {
		c.SetLinger(0)
	}
	panic(http.ErrAbortHandler)
}

func (s *Sandbox) replyHTML(w http.ResponseWriter, c *call, status int) {
	s.done(c, status)
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<html>\r\n<head><title>%[1]d %[2]s</title></head>\r\n<body>\r\n<center><h1>%[1]d %[2]s</h1></center>\r\n<hr><center>proxy</center>\r\n</body>\r\n</html>\r\n",
		status, http.StatusText(status))
}

// faultAnswer returns an error in the words of c's API.
func faultAnswer(c *call, status int, header http.Header) answer {
	var a answer
	switch {
	case status == http.StatusTooManyRequests && c.segment:
		a = segmentTooMany()
	case status == http.StatusTooManyRequests:
		a = voucherifyTooMany()
	case c.segment:
		a = segmentError(status, "internal_error", http.StatusText(status))
	default:
		a = answer{status: status, body: fmt.Appendf(nil, `{"code":%d,"key":"internal_error","message":%q}`, status, http.StatusText(status))}
	}
	a.header = header
	return a
}
