package voucherify

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Error is an answer of the API with a status that is no success.
//
// https://docs.voucherify.io/guides/errors
type Error struct {
	Status    int    // HTTP status
	Key       string // such as "too_many_customers"; often absent
	Message   string // the API's words, or the first 200 bytes of a foreign body, quoted
	Details   string
	RequestID string // for Voucherify's support
	LimitType string // of a 429: api_calls, bulk_api_calls, api_calls_cycle, webhook_calls, or ""
	Attempts  int    // how many times the request was sent
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Voucherify answered %d", e.Status)
	for _, s := range []string{e.Key, e.Message, e.Details} {
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

// TooManyCustomers reports whether the request held more records than the API takes.
func (e *Error) TooManyCustomers() bool { return e.Key == "too_many_customers" }

// TooLarge reports whether the body was larger than the API, or a proxy, takes.
func (e *Error) TooLarge() bool { return e.Status == http.StatusRequestEntityTooLarge }

// NotFound reports whether what was asked for does not exist.
func (e *Error) NotFound() bool { return e.Status == http.StatusNotFound && e.Key == "not_found" }

// Refused reports whether the credentials are wrong, or may not do what was asked, so that
// the same request will not be answered.
func (e *Error) Refused() bool {
	return e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden
}

// Forbidden reports whether the credentials are right, but may not do this.
func (e *Error) Forbidden() bool { return e.Status == http.StatusForbidden }

// Unknown reports whether the API does not have what was called.
func (e *Error) Unknown() bool {
	return e.Status == http.StatusMethodNotAllowed || e.Status == http.StatusNotImplemented
}

// QuotaUsedUp reports whether no call will be answered until the next billing cycle.
func (e *Error) QuotaUsedUp() bool { return e.LimitType == "api_calls_cycle" }

// Hint says what to do about the error, or "".
func (e *Error) Hint() string {
	switch {
	case e.Status >= 300 && e.Status < 400:
		return "redirects are not followed; check VOUCHERIFY_API_URL"
	case e.Status == http.StatusUnauthorized:
		return "VOUCHERIFY_APPLICATION_ID or VOUCHERIFY_SECRET_KEY is wrong, or VOUCHERIFY_API_URL is another region's " +
			"than the project's (such as https://us1.api.voucherify.io); the keys are in Project Settings > Application Keys"
	case e.Status == http.StatusPaymentRequired:
		return "the plan of this Voucherify project does not include this; nothing more can be imported until it does"
	case e.Status == http.StatusForbidden:
		return "the application key may not do this: check its permissions and its list of allowed IP addresses " +
			"in Project Settings > Application Keys"
	case e.Status == http.StatusNotFound:
		return "check VOUCHERIFY_API_URL: it is the host alone, with no path"
	case e.QuotaUsedUp():
		return "the calls of this billing cycle are used up; continue in the next one, or raise the plan"
	case e.Status == http.StatusTooManyRequests:
		return "the project's quota is used up, or its subscription has ended: look in Project Settings, then continue later"
	case e.Status >= 500:
		return "Voucherify has a problem; continue later"
	}
	return ""
}

func newError(resp *http.Response) *Error {
	e := &Error{Status: resp.StatusCode, LimitType: printable(resp.Header.Get("X-Rate-Limit-Type"))}
	e.Attempts, _ = strconv.Atoi(resp.Header.Get("X-Attempts")) // set by a transport that retries
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	var parsed struct {
		Key       string
		Message   string
		Details   any    // a string, says the documentation
		RequestID string `json:"request_id"`
	}
	if json.Unmarshal(body, &parsed) == nil && parsed.Message != "" {
		e.Key, e.Message, e.RequestID = printable(parsed.Key), printable(parsed.Message), printable(parsed.RequestID)
		if parsed.Details != nil {
			e.Details = printable(fmt.Sprint(parsed.Details))
		}
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
