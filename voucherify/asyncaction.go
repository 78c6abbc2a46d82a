package voucherify

import (
	"context"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"segsync/internal/safetext"
)

// AsyncAction is a job that Voucherify carries out in its own time, such as a bulk
// upsert of customers.
//
// https://docs.voucherify.io/api-reference/async-actions/get-async-action
type AsyncAction struct {
	ID              string       `json:"id"`
	Type            string       `json:"type"`             // CUSTOMERS.BULK_UPDATE, …
	Status          string       `json:"status"`           // ENQUEUED, IN_PROGRESS, DONE or FAILED
	OperationStatus string       `json:"operation_status"` // SUCCESS, FAILED, UNKNOWN or ""; see Contradiction
	CreatedAt       time.Time    `json:"created_at"`       // zero if it cannot be read
	RequestID       string       `json:"request_id"`
	Result          ActionResult `json:"result"` // zero in lists, and while the action is under way
}

// UnmarshalJSONFrom takes a created_at that cannot be read for absent.
func (a *AsyncAction) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	type Plain AsyncAction
	*a = AsyncAction{}
	raw := struct {
		*Plain
		CreatedAt jsontext.Value `json:"created_at"`
	}{Plain: (*Plain)(a)}
	if err := json.UnmarshalDecode(d, &raw); err != nil {
		return err
	}
	if json.Unmarshal(raw.CreatedAt, &a.CreatedAt) != nil {
		a.CreatedAt = time.Time{}
	}
	return nil
}

// Ended reports whether the action is over, well or not.
func (a *AsyncAction) Ended() bool { return a.Status == "DONE" || a.Status == "FAILED" }

// Contradiction returns what speaks against an action whose counts say that all sent records
// were upserted; "" if nothing does, or if the counts do not say so.
func (a *AsyncAction) Contradiction(sent int) string {
	r := a.Result
	if r.DoneCount == nil || *r.DoneCount != sent || r.FailedCount != nil && *r.FailedCount > 0 {
		return ""
	}
	unnamed := 0
	for _, e := range r.Errors {
		if e.SourceID == "" {
			unnamed++
		}
	}
	switch {
	case unnamed > 0:
		return "its counts are good, but it has " + strconv.Itoa(unnamed) + " errors without a source_id"
	case a.OperationStatus == "FAILED":
		return "its counts are good, but its operation_status is FAILED"
	}
	return ""
}

// ActionResult is the result of each record of a bulk upsert.
type ActionResult struct {
	// DoneCount and FailedCount are nil if the answer has none that can be true of any
	// request: whole numbers from 0 to a billion. Compare them with what was sent.
	DoneCount   *int          `json:"done_count"`
	FailedCount *int          `json:"failed_count"` // nil in the shape used until 2024-08-21
	Errors      []ActionError `json:"errors"`       // may be fewer than FailedCount
	// Results is the shape used until 2024-08-21, instead of FailedCount and Errors.
	Results []RecordResult `json:"results"`
}

// UnmarshalJSONFrom takes what is of another kind than documented for absent, so that the rest
// can be judged. It keeps every entry of Errors and Results, with the members that can be read.
func (r *ActionResult) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	*r = ActionResult{}
	if d.PeekKind() != '{' {
		return d.SkipValue()
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return err
		}
		switch name.String() {
		case "done_count":
			r.DoneCount, err = readCount(d)
		case "failed_count":
			r.FailedCount, err = readCount(d)
		case "errors":
			r.Errors, err = readEntries(d, func(text func(string) string, _ map[string]any) ActionError {
				short := func(name string) string { return safetext.CutBytes(text(name), maxErrorText) }
				return ActionError{text("source_id"), short("key"), short("message"), safetext.CutBytes(withoutValue(text("details")), maxErrorText)}
			})
		case "results":
			r.Results, err = readEntries(d, func(text func(string) string, entry map[string]any) RecordResult {
				return RecordResult{text("source_id"), entry["found"] == true, entry["updated"] == true}
			})
		default:
			err = d.SkipValue()
		}
		if err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return err
}

// readCount returns a count, which may be written as text or as a decimal fraction; nil for
// anything else.
func readCount(d *jsontext.Decoder) (*int, error) {
	raw, err := d.ReadValue()
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseFloat(strings.Trim(string(raw), `"`), 64)
	if err != nil || n != math.Trunc(n) || n < 0 || n > 1e9 {
		return nil, nil
	}
	count := int(n)
	return &count, nil
}

// readEntries returns the entries of an array, or nil if there is no array. text returns a
// member that is a string.
func readEntries[T any](d *jsontext.Decoder, make func(text func(name string) string, entry map[string]any) T) ([]T, error) {
	if d.PeekKind() != '[' {
		return nil, d.SkipValue()
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	all := []T{}
	for d.PeekKind() != ']' {
		var value any
		if err := json.UnmarshalDecode(d, &value); err != nil {
			return nil, err
		}
		entry, _ := value.(map[string]any)
		all = append(all, make(func(name string) string { text, _ := entry[name].(string); return text }, entry))
	}
	_, err := d.ReadToken()
	return all, err
}

// ActionError is why a record was not upserted.
type ActionError struct {
	SourceID string `json:"source_id"`
	Key      string `json:"key"` // such as metadata_validation_failed
	Message  string `json:"message"`
	Details  string `json:"details"`
}

// RecordResult says whether a record was upserted.
type RecordResult struct {
	SourceID string `json:"source_id"`
	Found    bool   `json:"found"`
	Updated  bool   `json:"updated"`
}

// MaxActionsLimit is the largest page of the list of async actions.
const MaxActionsLimit = 100

// AsyncAction returns one async action with its result.
func (c *Client) AsyncAction(ctx context.Context, id string) (*AsyncAction, error) {
	action := new(AsyncAction)
	if err := c.do(ctx, call{method: http.MethodGet, path: "/v1/async-actions/" + url.PathEscape(id)}, action); err != nil {
		return nil, err
	}
	return action, nil
}

// AsyncActions returns the newest async actions of all types, without their results:
// up to limit of them, 1 to 100, that were created before end, if end is not zero. An entry
// without an id or a created_at, which is somebody else's, is left out. full says that the
// answer had limit entries, so that there may be more.
//
// https://docs.voucherify.io/api-reference/async-actions/list-async-actions
func (c *Client) AsyncActions(ctx context.Context, limit int, end time.Time) (actions []AsyncAction, full bool, err error) {
	query := url.Values{"limit": {strconv.Itoa(limit)}}
	if !end.IsZero() {
		query.Set("end_date", end.UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	var list struct {
		AsyncActions []jsontext.Value `json:"async_actions"`
	}
	if err := c.do(ctx, call{method: http.MethodGet, path: "/v1/async-actions?" + query.Encode()}, &list); err != nil {
		return nil, false, err
	}
	if list.AsyncActions == nil {
		return nil, false, &ForeignAnswerError{"is not a list of async actions"}
	}
	for _, raw := range list.AsyncActions {
		var action AsyncAction
		if json.Unmarshal(raw, &action) == nil && action.ID != "" && !action.CreatedAt.IsZero() {
			actions = append(actions, action)
		}
	}
	return actions, len(list.AsyncActions) >= limit, nil
}
