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
	// slowestUpload is the speed at which a request body is sent at least, in bytes per second.
	slowestUpload = 64 << 10

	defaultMaxBody = 16 << 20
	// maxErrorBody is how much is read of an answer that is an error.
	maxErrorBody = 64 << 10
	// maxErrorText bounds errors that may quote the server.
	maxErrorText = 1000
	// freeBody is the size up to which a body is read at once. Larger ones share maxHeld:
	// together they reserve no more bytes than that, each as many as its limit.
	freeBody = 64 << 10
	maxHeld  = 32 << 20
)

// upload returns the time that the request's body may take.
func upload(req *http.Request) time.Duration {
	return time.Duration(max(req.ContentLength, 0)) * time.Second / slowestUpload
}

// limit returns how long an attempt may take.
func (t *Transport) limit(c *call) time.Duration {
	limit := attemptTimeout + upload(c.req)
	if c.probe {
		return probeTimeout
	}
	if t.hurried.Err() != nil {
		return attemptTimeout
	}
	if t.opts.RetryFor >= 0 && t.health.never() {
		limit = min(limit, max(t.patience(c)-time.Since(c.began), time.Second))
	}
	return limit
}

// try sends the request once and reads the whole answer.
func (t *Transport) try(c *call) (*http.Response, error) {
	limit := t.limit(c)
	ctx, cancel := context.WithCancelCause(c.req.Context())
	defer cancel(nil)
	deadline := time.Now().Add(limit)
	timer := time.AfterFunc(limit, func() { cancel(&lateError{limit}) })
	defer timer.Stop()
	stop := context.AfterFunc(t.hurried, func() {
		if time.Until(deadline) > attemptTimeout {
			timer.Reset(attemptTimeout)
		}
	})
	defer stop()
	resp, err := t.send(ctx, c.req, t.redactor)
	if err == nil {
		err = t.read(ctx, c.req, resp)
	}
	if err == nil {
		return resp, nil
	}
	if late, ok := errors.AsType[*lateError](context.Cause(ctx)); ok {
		err = late
	}
	return nil, err
}

// send sends the request once. It returns an answer whose status line and header are free
// of secrets.
func (t *Transport) send(ctx context.Context, req *http.Request, redactor *redact.Redactor) (*http.Response, error) {
	once := req.WithContext(ctx)
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, fmt.Errorf("rewinding the request body: %w", err)
		}
		once.Body = body
	}
	t.requests.Add(1)
	resp, err := t.opts.Base.RoundTrip(once)
	if err != nil {
		return nil, clean(err, redactor)
	}
	if resp.StatusCode < 200 {
		resp.Body.Close()
		return nil, &switchError{resp.StatusCode}
	}
	if resp.StatusCode == http.StatusTooManyRequests {
		t.throttled.Add(1)
	}
	resp.Status = statusLine(resp.StatusCode)
	for _, values := range resp.Header {
		for i, v := range values {
			values[i] = redactor.String(v)
		}
	}
	return resp, nil
}

// clean returns err without secrets, without what the server sent, and not too long.
func clean(err error, redactor *redact.Redactor) error {
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

// read reads the whole body of an answer, which must be JSON if the request succeeded.
func (t *Transport) read(ctx context.Context, req *http.Request, resp *http.Response) error {
	defer closeWith(ctx, resp.Body)()
	if resp.StatusCode/100 != 2 {
		return readError(resp, t.redactor)
	}
	limit := int64(defaultMaxBody)
	if t.opts.MaxBody != nil {
		limit = t.opts.MaxBody(req)
	}
	body, release, err := t.readAll(ctx, resp, limit)
	if err != nil {
		return fmt.Errorf("reading the answer (status %d): %w", resp.StatusCode, clean(err, t.redactor))
	}
	if !json.Valid(body) {
		defer release()
		start := t.redactor.Bytes(body[:min(len(body), maxErrorText)])
		return fmt.Errorf("the answer (status %d) is not valid JSON: %q", resp.StatusCode, start[:min(len(start), 200)])
	}
	if t.opts.RedactAll {
		body = t.redactor.Bytes(body)
	}
	resp.Body = &heldBody{Reader: bytes.NewReader(body), release: sync.OnceFunc(release)}
	return nil
}

// readError reads the start of the body of an answer that is an error.
func readError(resp *http.Response, redactor *redact.Redactor) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if err != nil {
		return fmt.Errorf("reading the answer (status %d): %w", resp.StatusCode, clean(err, redactor))
	}
	resp.Body = io.NopCloser(bytes.NewReader(redactor.Bytes(body)))
	return nil
}

// closeWith closes a body when ctx ends, which also ends a Read that hangs. The caller must
// call the function that it returns, which closes the body, too.
func closeWith(ctx context.Context, body io.Closer) func() {
	stop := context.AfterFunc(ctx, func() { body.Close() })
	return func() {
		stop()
		body.Close()
	}
}

// heldBody is a body in memory. Until it is closed it counts among the bodies that are
// held at once.
type heldBody struct {
	*bytes.Reader
	release func()
}

func (b *heldBody) Close() error {
	b.release()
	return nil
}

// readAll reads a body of at most limit bytes. The caller must call release when it no
// longer needs the body.
func (t *Transport) readAll(ctx context.Context, resp *http.Response, limit int64) (body []byte, release func(), err error) {
	release = func() {}
	expected := resp.ContentLength
	if expected > limit {
		return nil, nil, &TooLargeError{limit}
	}
	const least = 4 << 10
	body = make([]byte, 0, min(max(expected+1, least), freeBody+1, limit+1))
	for {
		if len(body) == cap(body) {
			if cap(body) == freeBody+1 {
				weight := min(limit, maxHeld)
				if err := t.held.Acquire(ctx, weight); err != nil {
					return nil, nil, err
				}
				release = func() { t.held.Release(weight) }
			}
			size := min(4*int64(cap(body)), limit+1)
			if cap(body) < freeBody+1 {
				size = min(size, freeBody+1)
			}
			body = append(make([]byte, 0, size), body...)
		}
		n, err := resp.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case int64(len(body)) > limit:
			release()
			return nil, nil, &TooLargeError{limit}
		case err == io.EOF:
			return body, release, nil
		case err != nil:
			release()
			return nil, nil, err
		}
	}
}
