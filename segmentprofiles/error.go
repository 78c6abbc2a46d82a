package segmentprofiles

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Error is an answer of the API with a status other than 200.
type Error struct {
	Status    int    // HTTP status
	Code      string // such as "not_found"; "" if the body was not the API's
	Message   string // the API's words, or the first 200 bytes of a foreign body, quoted
	RequestID string // from the header Request-Id, for Segment's support
	Attempts  int    // how many times the request was sent
	route     route
}

// route is the part of the API that answered; the hints differ.
type route int

const (
	routeList route = iota
	routeTraits
	routeExternalIDs
)

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
	return b.String()
}

// NotFound reports whether the profile that was asked for does not exist.
func (e *Error) NotFound() bool { return e.Status == http.StatusNotFound && e.route != routeList }

// Refused reports whether the credentials or the space are wrong, so that no request
// will be answered.
func (e *Error) Refused() bool {
	return e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden ||
		e.Status == http.StatusNotFound && e.route == routeList
}

// Hint says what to do about the error, or "".
func (e *Error) Hint() string {
	switch {
	case e.Status >= 300 && e.Status < 400:
		return "redirects are not followed; check SEGMENT_API_URL"
	case e.Status == http.StatusBadRequest && e.route == routeTraits:
		return "the API may take fewer traits per request: try SEGMENT_TRAITS_LIMIT=100"
	case e.Status == http.StatusUnauthorized:
		return "SEGMENT_ACCESS_TOKEN is wrong, or SEGMENT_API_URL is another region's than the workspace's " +
			"(in the EU https://profiles.euw1.segment.com); tokens are made in Unify > Unify settings > API access"
	case e.Status == http.StatusForbidden:
		return "the access token may not read this space; make one for it in Unify > Unify settings > API access"
	case e.Status == http.StatusNotFound && e.route == routeList:
		return "SEGMENT_SPACE_ID is wrong, or the space is in another region (SEGMENT_API_URL); " +
			"the id is shown in Unify > Unify settings > API access"
	case e.Status == http.StatusTooManyRequests:
		return "somebody else is using up the quota of this space; lower SEGMENT_RATE_LIMIT, or continue later"
	case e.Status >= 500:
		return "Segment has a problem; continue later"
	}
	return ""
}

func newError(route route, resp *http.Response) *Error {
	e := &Error{Status: resp.StatusCode, RequestID: printable(resp.Header.Get("Request-Id")), route: route}
	e.Attempts, _ = strconv.Atoi(resp.Header.Get("X-Attempts")) // set by a transport that retries
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	var parsed struct {
		Error struct{ Code, Message string }
	}
	if json.Unmarshal(body, &parsed) == nil && parsed.Error.Code+parsed.Error.Message != "" {
		e.Code, e.Message = printable(parsed.Error.Code), printable(parsed.Error.Message)
	} else if len(body) > 0 {
		e.Message = strconv.Quote(string(body[:min(len(body), 200)]))
	}
	return e
}

// printable returns at most 200 bytes of text from outside, escaped where it would
// change a terminal.
func printable(s string) string {
	q := strconv.Quote(s[:min(len(s), 200)])
	if unquoted := q[1 : len(q)-1]; unquoted != s {
		return strings.ReplaceAll(unquoted, `\"`, `"`)
	}
	return s
}
