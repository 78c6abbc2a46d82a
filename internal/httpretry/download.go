package httpretry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"segsync/internal/redact"
)

// File is what Download writes to, for example an *os.File.
type File interface {
	io.WriterAt
	Truncate(size int64) error
}

// Download sends a GET request and writes the body of the answer, of any size and kind,
// into an empty file. It returns the size of the body. After an error the file may hold
// a part of it. A body that the server compressed with gzip, unasked, stays so.
//
// An attempt lasts as long as bytes come, one each 30 s at least. Attempts are counted as
// in RoundTrip. An answer that is cut is resumed where the server supports it, and else
// begun again. Redirects are not followed. An answer that is not 200 is a StatusError.
// Hurry ends a download at once. The values of the URL's query are taken for secrets:
// they are in no error and no log.
func (t *Transport) Download(ctx context.Context, req *http.Request, into File) (n int64, err error) {
	if !safe(req.URL) {
		return 0, fmt.Errorf("refusing to send secrets to %s://%s", req.URL.Scheme, req.URL.Host)
	}
	d := &download{transport: t, into: into, redactor: redact.New(append(secretsOf(req.URL), t.opts.Secrets...)...)}
	resp, err := t.persist(&call{req: req.WithContext(ctx), once: d.try})
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 == 2 {
		return d.size, nil
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 200)) // from memory
	return 0, &StatusError{API: t.opts.API, Status: resp.StatusCode, Body: string(body)}
}

// secretsOf returns the parts of a URL that may be secret.
func secretsOf(u *url.URL) []string {
	secrets := []string{u.RawQuery}
	for _, values := range u.Query() {
		secrets = append(secrets, values...)
	}
	return secrets
}

// download is the state of a download between its attempts.
type download struct {
	transport *Transport
	into      File
	redactor  *redact.Redactor

	size  int64  // bytes written so far
	total int64  // bytes that were announced; -1: unknown
	etag  string // of what was written
}

// writeError is an error of the file, not of the server.
type writeError struct{ err error }

func (e *writeError) Error() string { return "writing the download: " + e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

// try is one attempt.
func (d *download) try(c *call) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(c.req.Context())
	defer cancel(nil)
	idle := time.AfterFunc(attemptTimeout, func() { cancel(&lateError{attemptTimeout}) })
	defer idle.Stop()
	defer context.AfterFunc(d.transport.hurried, func() { cancel(ErrInterrupted) })()
	resp, err := d.fetch(ctx, c.req, idle)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	return resp, err
}

// fetch asks for what is missing and writes it. idle is reset by each byte that comes.
func (d *download) fetch(ctx context.Context, req *http.Request, idle *time.Timer) (*http.Response, error) {
	resp, err := d.transport.send(ctx, d.request(ctx, req), d.redactor)
	if err != nil {
		return nil, err
	}
	defer closeWith(ctx, resp.Body)()
	switch {
	case resp.StatusCode == http.StatusPartialContent && d.continues(resp):
	case resp.StatusCode == http.StatusOK && knownEncoding(resp):
		if err := d.restart(resp); err != nil {
			return nil, err
		}
	case resp.StatusCode/100 == 2, resp.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		d.size = 0 // from the beginning
		return nil, fmt.Errorf("unexpected answer %s to a download", resp.Status)
	default:
		if err := readError(resp, d.redactor); err != nil {
			return nil, err
		}
		return resp, nil
	}
	now := time.Now()
	d.transport.health.record(now, now, true)
	if err := d.save(resp.Body, idle); err != nil {
		return nil, err
	}
	resp.Body = http.NoBody
	return resp, nil
}

// knownEncoding reports whether the body is the file itself, or the file as gzip: some hosts
// of files have no other form of it, whatever is asked for.
func knownEncoding(resp *http.Response) bool {
	encoding := strings.ToLower(resp.Header.Get("Content-Encoding"))
	return encoding == "" || encoding == "identity" || encoding == "gzip"
}

// request asks for the rest of the file, if a part of it is there and can be continued.
func (d *download) request(ctx context.Context, req *http.Request) *http.Request {
	req = req.Clone(ctx)
	req.Header.Set("Accept-Encoding", "identity") // sizes and ranges are those of the file
	if d.size == 0 || d.total < 0 {
		return req
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-", d.size))
	if d.etag != "" {
		req.Header.Set("If-Range", d.etag)
	}
	return req
}

// continues reports whether the answer begins where the file ends.
func (d *download) continues(resp *http.Response) bool {
	want := fmt.Sprintf("bytes %d-%d/%d", d.size, d.total-1, d.total)
	return d.size > 0 && resp.Header.Get("Content-Range") == want
}

func (d *download) restart(resp *http.Response) error {
	if err := d.into.Truncate(0); err != nil {
		return &writeError{err}
	}
	d.size, d.total = 0, resp.ContentLength
	d.etag = resp.Header.Get("ETag")
	if strings.HasPrefix(d.etag, "W/") {
		d.etag = "" // a weak one does not tell that the bytes are the same
	}
	return nil
}

func (d *download) save(body io.Reader, idle *time.Timer) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			idle.Reset(attemptTimeout)
			if _, err := d.into.WriteAt(buf[:n], d.size); err != nil {
				return &writeError{err}
			}
			d.size += int64(n)
		}
		switch {
		case err == io.EOF && d.total >= 0 && d.size != d.total:
			return fmt.Errorf("reading the download: %d of %d bytes: %w", d.size, d.total, io.ErrUnexpectedEOF)
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("reading the download: %w", clean(err, d.redactor))
		}
	}
}
