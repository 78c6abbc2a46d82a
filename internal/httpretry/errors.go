package httpretry

import (
	"cmp"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"segsync/internal/safetext"
)

// WaitError says that the server asks for a longer pause than Options.MaxWait.
type WaitError struct {
	API    string
	Until  time.Time // when the server may be asked again
	Status int       // of the answer that asked for the pause; 0: only the reserve is left of Quota
	Quota  string    // that the request counts in, if that is what the answer was about
}

func (e *WaitError) Error() string {
	if e.Status == 0 {
		return fmt.Sprintf("only the reserve is left of %s's quota %s until %s, longer than this run waits",
			e.API, e.Quota, e.Until.Format(time.RFC3339))
	}
	return fmt.Sprintf("%s answered %d and asks to wait until %s, longer than this run waits",
		e.API, e.Status, e.Until.Format(time.RFC3339))
}

// EndsRun says that no other request to the API will fare better for now.
func (e *WaitError) EndsRun() bool { return true }

// OutageError says that an API gave no good answer to any request for Options.RetryFor,
// or for a minute if it never gave one.
type OutageError struct {
	API      string
	Since    time.Time // first failed attempt of this request
	Attempts int       // of this request
	Never    bool      // the API gave no good answer in the life of the Transport
	Status   int       // of the last answer, 0 for none
	Err      error     // describes the last answer, or is the last network error
}

func (e *OutageError) Error() string {
	switch {
	case e.Status == http.StatusTooManyRequests:
		return fmt.Sprintf("%s has refused all requests since %s: after %d attempts: %v", e.API, e.Since.Format(time.RFC3339), e.Attempts, e.Err)
	case e.Never:
		return fmt.Sprintf("%s did not answer once: after %d attempts: %v", e.API, e.Attempts, e.Err)
	}
	return fmt.Sprintf("%s has not answered since %s: after %d attempts: %v",
		e.API, e.Since.Format(time.RFC3339), e.Attempts, e.Err)
}

func (e *OutageError) Unwrap() error { return e.Err }

// EndsRun says that no other request to the API will fare better for now.
func (e *OutageError) EndsRun() bool { return true }

// TimeoutError says that a POST had no answer in time, twice. The server may have applied it.
type TimeoutError struct {
	API      string
	After    time.Duration // time limit of the last attempt
	Bytes    int           // size of the request's body
	Attempts int
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("%s gave no answer to a request of %d bytes within %s, %d times",
		e.API, e.Bytes, e.After.Round(time.Second), e.Attempts)
}

// TimedOut tells the error from others to callers that do not import this package.
func (e *TimeoutError) TimedOut() bool { return true }

// CutError says that no attempt of a request had an answer, while other requests had.
type CutError struct {
	Attempts int
	Err      error // of the last attempt
}

func (e *CutError) Error() string { return fmt.Sprintf("after %d attempts: %v", e.Attempts, e.Err) }

func (e *CutError) Unwrap() error { return e.Err }

// OthersAnswered tells the error from others to callers that do not import this package.
func (e *CutError) OthersAnswered() bool { return true }

// StatusError is an answer to Download that is not a file.
type StatusError struct {
	API    string
	Status int
	Body   string // its first 200 bytes, without secrets
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s answered the download with %s", e.API, summary(e.Status, e.Body))
}

// TooLargeError says that an answer is larger than Options.MaxBody allows.
type TooLargeError struct {
	Limit int64 // bytes
}

func (e *TooLargeError) Error() string {
	if e.Limit >= 1<<20 {
		return fmt.Sprintf("larger than %d MiB", e.Limit>>20)
	}
	return fmt.Sprintf("larger than %d bytes", e.Limit)
}

// lateError is the error of an attempt that ran out of time.
type lateError struct{ after time.Duration }

func (e *lateError) Error() string {
	return fmt.Sprintf("no answer within %s", e.after.Round(time.Second))
}

// permanentError is an error that every other attempt would end with, too.
type permanentError struct{ error }

func (e permanentError) Unwrap() error { return e.error }

// isPermanent reports whether another attempt would end the same way.
func isPermanent(err error) bool {
	return is[*WaitError](err) || is[*TooLargeError](err) || is[permanentError](err) || is[*tls.CertificateVerificationError](err)
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// statusLine is made from the code alone: the server's reason phrase is never used.
func statusLine(code int) string { return fmt.Sprintf("%d %s", code, http.StatusText(code)) }

// summary describes an answer in a line: by its message, if its body is JSON with one.
func summary(status int, body string) string {
	if text := messageOf(body); text != "" {
		return statusLine(status) + ": " + safetext.Line(text)
	}
	if body == "" {
		return statusLine(status)
	}
	return fmt.Sprintf("%s: %q", statusLine(status), body)
}

// messageMember also finds the message of JSON that is cut off behind it.
var messageMember = regexp.MustCompile(`"message"\s*:\s*("(?:[^"\\]|\\.)*")`)

// messageOf returns the message of an error in JSON, "" if there is none. A proxy may put the JSON of the
// server behind it into its own message.
func messageOf(body string) string {
	var text string
	member := messageMember.FindStringSubmatch(body)
	if !strings.HasPrefix(strings.TrimSpace(body), "{") || member == nil || json.Unmarshal([]byte(member[1]), &text) != nil {
		return ""
	}
	return cmp.Or(messageOf(text), text)
}
