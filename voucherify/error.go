package voucherify

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"segsync/internal/safetext"
	"segsync/internal/strictjson"
)

// Error is an answer of the API with a status that is no success. Its texts are printable.
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
	Foreign   bool   // the body is not one of Voucherify's: a proxy may have answered
}

// maxErrorText bounds the text of an error, in bytes.
const maxErrorText = 1000

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Voucherify answered %d", e.Status)
	words := []string{e.Key, e.Message, e.Details}
	if strings.EqualFold(e.Key, e.Message) { // unauthorized: Unauthorized
		words = words[1:]
	}
	for _, s := range words {
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

// TooManyCustomers reports whether the request held more records than the API takes.
func (e *Error) TooManyCustomers() bool { return e.Key == "too_many_customers" }

// TooLarge reports whether the body was larger than the API, or a proxy, takes.
func (e *Error) TooLarge() bool {
	return e.Status == http.StatusRequestEntityTooLarge || e.Key == "query_too_large"
}

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
func (e *Error) QuotaUsedUp() bool { return e.LimitType == cycleQuota }

// OfRecords reports whether a record of the request was refused, and not the request as a
// whole: without that record the same request may be accepted.
func (e *Error) OfRecords() bool {
	switch e.Status {
	case http.StatusBadRequest, http.StatusConflict, http.StatusUnprocessableEntity:
		return !e.TooManyCustomers() && !e.TooLarge()
	}
	return false
}

// OfFirewall reports whether a firewall in front of the API refused the request, perhaps for what a record holds. The
// API itself redirects nothing.
func (e *Error) OfFirewall() bool {
	switch e.Status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	case http.StatusForbidden, http.StatusNotFound, http.StatusNotAcceptable, http.StatusUnsupportedMediaType, http.StatusUnavailableForLegalReasons:
		return e.Foreign || e.Message == "" // no answer of Voucherify is empty
	}
	return false
}

var atMost = regexp.MustCompile(`(?i)at most (\d{1,7})\b`)

// actualValue is what Voucherify adds to the details of a value that does not fit the schema. Where it is not clear
// where the value ends, it goes on to the end.
var actualValue = regexp.MustCompile(`(?s)\s*\(actual value is (?:(?:'.*'|".*"|[\w.+-]+)\)(,|;|$)|.*)`)

// withoutValue returns the details of an error without the value, which is personal data.
func withoutValue(details string) string { return actualValue.ReplaceAllString(details, "$1") }

// MaxCustomers returns how many records the API takes in one request, as the details of
// TooManyCustomers have it: "Specify at most 100 customers". 0 means that they do not say.
func (e *Error) MaxCustomers() int {
	if !e.TooManyCustomers() {
		return 0
	}
	match := atMost.FindStringSubmatch(e.Details)
	if match == nil {
		return 0
	}
	n, _ := strconv.Atoi(match[1])
	return n
}

func newError(resp *http.Response) *Error {
	e := &Error{Status: resp.StatusCode, LimitType: shorten(resp.Header.Get("X-Rate-Limit-Type"))}
	e.Attempts, _ = strconv.Atoi(resp.Header.Get("X-Attempts")) // set by a transport that retries
	if resp.StatusCode < http.StatusOK {
		return e // the body of 101 Switching Protocols is the connection: it does not end
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	var parsed struct {
		Key       string `json:"key"`
		Message   string `json:"message"`
		Details   any    `json:"details"` // a string, says the documentation
		RequestID string `json:"request_id"`
	}
	if strictjson.Unmarshal(body, &parsed) == nil && parsed.Message != "" {
		e.Key, e.Message, e.RequestID = shorten(parsed.Key), shorten(parsed.Message), shorten(parsed.RequestID)
		if parsed.Details != nil {
			e.Details = shorten(withoutValue(fmt.Sprint(parsed.Details)))
		}
	} else if len(body) > 0 {
		text := withoutValue(string(body))
		e.Message, e.Foreign = strconv.Quote(text[:min(len(text), 200)]), !strings.HasPrefix(strings.TrimSpace(text), "{")
	}
	return e
}

func shorten(s string) string { return safetext.Cut(s, 200) }

// AnswerError is an answer of success that cannot be decoded.
type AnswerError struct {
	Err error
}

func (e *AnswerError) Error() string {
	return safetext.CutBytes("decoding Voucherify's answer: "+strictjson.Cause(e.Err), maxErrorText)
}

func (e *AnswerError) Unwrap() error { return e.Err }

// ForeignAnswerError is an answer of success that is not what Voucherify answers: it may
// come from another server.
type ForeignAnswerError struct {
	What string // what is wrong with it, such as "has no async_action_id"
}

func (e *ForeignAnswerError) Error() string { return "the answer " + e.What }
