package httpretry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"segsync/internal/redact"
)

// downloadAttempts is how often a download is begun.
const downloadAttempts = 3

// File is what Download writes to, for example an *os.File.
type File interface {
	io.WriterAt
	Truncate(size int64) error
}

// Download sends a GET request and writes the body of the answer, of any size and kind, into
// an empty file. It returns the size of the body. After an error the file may hold a part
// of it. A body that the server compressed with gzip, unasked, stays so.
//
// An attempt lasts as long as bytes come, one each 30 s at least. What is cut is downloaded
// again from the beginning, up to three times in all. Redirects are not followed. An answer
// that is not 200 is a StatusError. The values of the URL's query are taken for secrets:
// they are in no error and no log.
func (t *Transport) Download(ctx context.Context, req *http.Request, into File) (n int64, err error) {
	secrets := append([]string{req.URL.RawQuery}, t.opts.Secrets...)
	for _, values := range req.URL.Query() {
		secrets = append(secrets, values...)
	}
	d := &download{guard: guard{t, redact.New(secrets...)}, into: into}
	chain := t.newChain(d)
	chain.attempts, chain.retryFor = downloadAttempts, -1
	resp, err := chain.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return 0, err
	}
	if resp.StatusCode == http.StatusOK {
		return d.size, nil
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 200)) // from memory
	return 0, &StatusError{API: t.opts.API, Status: resp.StatusCode, Body: string(body)}
}

// download takes the place of the guard.
type download struct {
	guard
	into File
	size int64 // bytes written by this attempt
}

func (d *download) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	defer cancel(nil)
	idle := time.AfterFunc(attemptTimeout, func() { cancel(&lateError{attemptTimeout}) })
	defer idle.Stop()
	resp, err := d.fetch(req.Clone(ctx), idle)
	if err != nil {
		return nil, lateOr(ctx, err)
	}
	return resp, nil
}

// fetch writes the answer into the file. idle is reset by each byte that comes.
func (d *download) fetch(req *http.Request, idle *time.Timer) (*http.Response, error) {
	req.Header.Set("Accept-Encoding", "identity") // the size is that of the file
	resp, err := d.send(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	// Some hosts have files only in the form of gzip.
	encoding := strings.ToLower(resp.Header.Get("Content-Encoding"))
	switch {
	case resp.StatusCode/100 != 2:
		return resp, readError(resp, d.redactor)
	case resp.StatusCode != http.StatusOK || encoding != "" && encoding != "identity" && encoding != "gzip":
		return nil, fmt.Errorf("unexpected answer %s to a download", resp.Status)
	}
	d.size = 0
	if err := d.into.Truncate(0); err != nil {
		return nil, permanentError{fmt.Errorf("writing the download: %w", err)}
	}
	if err := d.save(resp, idle); err != nil {
		return nil, err
	}
	resp.Body = http.NoBody
	return resp, nil
}

func (d *download) save(resp *http.Response, idle *time.Timer) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			idle.Reset(attemptTimeout)
			if _, err := d.into.WriteAt(buf[:n], d.size); err != nil {
				return permanentError{fmt.Errorf("writing the download: %w", err)}
			}
			d.size += int64(n)
		}
		switch {
		case err == io.EOF && resp.ContentLength >= 0 && d.size != resp.ContentLength:
			return fmt.Errorf("reading the download: %d of %d bytes: %w", d.size, resp.ContentLength, io.ErrUnexpectedEOF)
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("reading the download: %w", cleanError(err, d.redactor))
		}
	}
}
