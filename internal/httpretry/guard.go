package httpretry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"segsync/internal/redact"
)

const (
	// attemptTimeout is the time limit of an attempt, besides the time for its body.
	attemptTimeout = 30 * time.Second
	// minUploadSpeed is the speed at which a request body is sent at least, in bytes per second.
	minUploadSpeed = 64 << 10
	// maxErrorBody is how much is read of an answer that is an error.
	maxErrorBody = 64 << 10
	// maxErrorText bounds errors that may quote the server.
	maxErrorText = 1000
)

// guard makes one attempt. It refuses to send secrets in plain text, bounds the attempt in
// time and size, and removes secrets from what the server says. The answer's body is in
// memory, and is JSON if the request succeeded.
type guard struct {
	*Transport
	redactor *redact.Redactor
}

func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	limit := attemptTimeout + uploadTime(req)
	ctx, cancel := context.WithTimeoutCause(req.Context(), limit, &lateError{limit})
	defer cancel()
	resp, err := g.send(req.WithContext(ctx))
	if err == nil {
		err = g.read(req, resp)
	}
	if err != nil {
		return nil, lateOr(ctx, err)
	}
	return resp, nil
}

// uploadTime returns the time that the request's body may take.
func uploadTime(req *http.Request) time.Duration {
	return time.Duration(max(req.ContentLength, 0)) * time.Second / minUploadSpeed
}

// lateOr returns the lateError that ended the attempt, else err.
func lateOr(ctx context.Context, err error) error {
	if late, ok := errors.AsType[*lateError](context.Cause(ctx)); ok {
		return late
	}
	return err
}

// send sends the request. It returns an answer whose status line and header are free of
// secrets, and whose body is still to be read.
func (g *guard) send(req *http.Request) (*http.Response, error) {
	if !isSafe(req.URL) {
		return nil, permanentError{fmt.Errorf("refusing to send secrets to %s://%s", req.URL.Scheme, req.URL.Host)}
	}
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, fmt.Errorf("rewinding the request body: %w", err)
		}
		req.Body = body // of this attempt's copy
	}
	g.requests.Add(1)
	resp, err := g.opts.Base.RoundTrip(req)
	if err != nil {
		return nil, cleanError(err, g.redactor)
	}
	if resp.StatusCode < 200 { // what follows is not HTTP
		resp.Body.Close()
		return nil, permanentError{fmt.Errorf("unexpected answer %s", statusLine(resp.StatusCode))}
	}
	if resp.StatusCode == http.StatusTooManyRequests {
		g.throttled.Add(1)
	}
	resp.Status = statusLine(resp.StatusCode)
	for _, values := range resp.Header {
		for i, v := range values {
			values[i] = g.redactor.String(v)
		}
	}
	header := resp.Header.Clone()
	g.lastHeader.Store(&header)
	return resp, nil
}

// read puts the body of an answer into memory.
func (g *guard) read(req *http.Request, resp *http.Response) error {
	if resp.StatusCode/100 != 2 {
		return readError(resp, g.redactor)
	}
	if g.opts.Compact {
		return g.readCompact(req, resp)
	}
	body, err := readBody(resp, g.opts.MaxBody(req))
	if err != nil {
		return fmt.Errorf("reading the answer (status %d): %w", resp.StatusCode, cleanError(err, g.redactor))
	}
	if !json.Valid(body) && !(resp.StatusCode == http.StatusNoContent && len(body) == 0) {
		return invalidJSON(resp.StatusCode, g.redactor.Bytes(body[:min(len(body), maxErrorText)]))
	}
	if g.opts.RedactAll {
		body = g.redactor.Bytes(body)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

// invalidJSON is the error of an answer of which the start is given. What is damaged JSON, or cut, may be traits, and
// is not quoted.
func invalidJSON(status int, start []byte) error {
	text := fmt.Sprintf("the answer (status %d) is not valid JSON", status)
	if start = bytes.TrimSpace(bytes.TrimPrefix(start, []byte("\ufeff"))); len(start) > 0 && start[0] != '{' && start[0] != '[' {
		text += fmt.Sprintf(": %q", start[:min(len(start), 200)])
	}
	return errors.New(text)
}

// readCompact puts the body of an answer into memory, compressed.
func (g *guard) readCompact(req *http.Request, resp *http.Response) error {
	defer resp.Body.Close()
	body, err := readCompact(resp.Body, g.opts.MaxBody(req))
	if err != nil {
		return fmt.Errorf("reading the answer (status %d): %w", resp.StatusCode, cleanError(err, g.redactor))
	}
	if !body.isJSON() {
		start, _ := io.ReadAll(io.LimitReader(body, maxErrorText)) // from memory
		return invalidJSON(resp.StatusCode, g.redactor.Bytes(start))
	}
	resp.Body = body
	return nil
}

// smallBody is up to what size answers are read at the same time; of larger ones, one.
const smallBody = 512 << 10

var largeBody sync.Mutex

// readBody reads a body of at most limit bytes, and closes it.
func readBody(resp *http.Response, limit int64) ([]byte, error) {
	defer resp.Body.Close()
	if resp.ContentLength > limit {
		return nil, &TooLargeError{limit}
	}
	var body bytes.Buffer
	const maxTrusted = 64 << 10 // of the server's own word, before any byte has come
	body.Grow(int(min(max(resp.ContentLength, 0), maxTrusted)) + bytes.MinRead)
	n, err := body.ReadFrom(io.LimitReader(resp.Body, min(limit+1, smallBody)))
	if err == nil && n == smallBody && n <= limit {
		largeBody.Lock() // else many at once would take much memory
		defer largeBody.Unlock()
		var more int64
		more, err = body.ReadFrom(io.LimitReader(resp.Body, limit+1-n))
		n += more
	}
	if n > limit {
		return nil, &TooLargeError{limit}
	}
	return body.Bytes(), err
}

// readError puts the start of the body of an answer that is an error into memory.
func readError(resp *http.Response, redactor *redact.Redactor) error {
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if err != nil {
		return fmt.Errorf("reading the answer (status %d): %w", resp.StatusCode, cleanError(err, redactor))
	}
	resp.Body = io.NopCloser(bytes.NewReader(redactor.Bytes(body)))
	return nil
}

// cleanError returns err without secrets, without what the server sent, and not too long.
func cleanError(err error, redactor *redact.Redactor) error {
	if strings.Contains(err.Error(), "malformed HTTP") { // what follows is the answer itself, personal data included
		return errors.New("the answer is not HTTP")
	}
	text := redactor.String(err.Error())
	if len(text) > maxErrorText {
		text = text[:maxErrorText] + "…"
	}
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}
