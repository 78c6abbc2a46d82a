package segmentprofiles

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"segsync/internal/safetext"
	"segsync/internal/strictjson"
)

// Route is a part of the API.
type Route int

// The routes that the client reads.
const (
	RouteList Route = iota
	RouteTraits
	RouteExternalIDs
	RouteMetadata
)

// Error is an answer of the API with a status other than 200. Its texts are printable.
type Error struct {
	Route     Route
	Status    int    // HTTP status
	Code      string // such as "not_found"; "" if the body was not the API's
	Message   string // the API's words, or the first 200 bytes of a foreign body, quoted
	RequestID string // from the header Request-Id, for Segment's support
	Attempts  int    // how many times the request was sent
}

// maxErrorText bounds the text of an Error, in bytes.
const maxErrorText = 1000

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Segment answered %d", e.Status)
	for _, s := range []string{e.Code, e.Message} {
		if s != "" {
			b.WriteString(": " + s)
		}
	}
	if e.Attempts > 1 {
		fmt.Fprintf(&b, ", %d times", e.Attempts)
	}
	if e.RequestID != "" {
		fmt.Fprintf(&b, " (request id %s)", e.RequestID)
	}
	return safetext.CutBytes(b.String(), maxErrorText)
}

// NotFound reports whether the profile that was asked for does not exist.
func (e *Error) NotFound() bool { return e.Status == http.StatusNotFound && e.Route != RouteList }

// Refused reports whether the credentials or the space are wrong, so that no request
// will be answered.
func (e *Error) Refused() bool {
	return e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden ||
		e.Status == http.StatusNotFound && e.Route == RouteList
}

func newError(route Route, resp *http.Response) *Error {
	e := &Error{Route: route, Status: resp.StatusCode, RequestID: shorten(resp.Header.Get("Request-Id"))}
	e.Attempts, _ = strconv.Atoi(resp.Header.Get("X-Attempts")) // set by a transport that retries
	if resp.StatusCode < http.StatusOK {
		return e // the body of 101 Switching Protocols is the connection: it does not end
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	var parsed struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if strictjson.Unmarshal(body, &parsed) == nil && parsed.Error.Code+parsed.Error.Message != "" {
		e.Code, e.Message = shorten(parsed.Error.Code), shorten(parsed.Error.Message)
	} else if len(body) > 0 {
		e.Message = strconv.Quote(string(body[:min(len(body), 200)]))
	}
	return e
}

func shorten(s string) string { return safetext.Cut(s, 200) }

// AnswerError is an answer of 200 that is no answer of the Profile API.
type AnswerError struct {
	Route     Route
	RequestID string
	Err       error // what is wrong with it
}

func (e *AnswerError) Error() string {
	text := "decoding the answer"
	if e.RequestID != "" {
		text += " (request id " + e.RequestID + ")"
	}
	return safetext.CutBytes(text+": "+strictjson.Cause(e.Err), maxErrorText)
}

func (e *AnswerError) Unwrap() error { return e.Err }

// IncompleteError is an answer of 200 that lacks its data, or says that there is more
// without saying where. The client has read it a second time before it gives this error.
type IncompleteError struct {
	Route Route
	What  string // what is missing
}

func (e *IncompleteError) Error() string { return "the answer is incomplete: it has no " + e.What }

// EndError is a page of the list that says that more follow, but not where. Reading it a
// second time gave the same. What the page holds was not returned.
type EndError struct {
	Cursor string // of the page
}

func (e *EndError) Error() string {
	return fmt.Sprintf("the list claims more pages after the one at %s, but gives no cursor for them", e.Cursor)
}

// CursorError is a cursor of the list that cannot be used.
type CursorError struct {
	What string // printable
}

func (e *CursorError) Error() string { return "the cursor " + e.What }

// MalformedError is a part of an answer that is not as documented and concerns one
// profile. Its text quotes nothing of the answer.
type MalformedError struct {
	What string
}

func (e *MalformedError) Error() string { return "malformed answer: " + e.What }

// InvalidUTF8Error is an id, or another text beside the traits, that is not valid Unicode: it
// has bytes that are not UTF-8, or one half of a surrogate pair. With U+FFFD in place of them,
// different ids would become the same.
type InvalidUTF8Error struct {
	What string // which text
}

func (e *InvalidUTF8Error) Error() string { return e.What + " is not valid Unicode text" }

// OfProfile reports whether the error concerns the profile that was read, while other
// profiles may be read well. The reason is one word: malformed, invalid_utf8 or incomplete.
// A profile that does not exist is another matter, see Error.NotFound.
func OfProfile(err error) (reason string, ok bool) {
	if _, ok := errors.AsType[*MalformedError](err); ok {
		return "malformed", true
	}
	if _, ok := errors.AsType[*InvalidUTF8Error](err); ok {
		return "invalid_utf8", true
	}
	if e, ok := errors.AsType[*IncompleteError](err); ok && e.Route != RouteList {
		return "incomplete", true
	}
	return "", false
}
