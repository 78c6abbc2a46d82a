package voucherify

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"segsync/internal/safetext"
	"strconv"
	"time"
)

// AsyncAction is a job that Voucherify carries out in its own time, such as a bulk
// upsert of customers.
//
// https://docs.voucherify.io/api-reference/async-actions/get-async-action
type AsyncAction struct {
	ID              string       `json:"id"`
	Type            string       `json:"type"`             // CUSTOMERS.BULK_UPDATE, …
	Status          string       `json:"status"`           // ENQUEUED, IN_PROGRESS, DONE or FAILED
	OperationStatus string       `json:"operation_status"` // SUCCESS, FAILED, UNKNOWN or ""; says nothing about the records
	CreatedAt       time.Time    `json:"created_at"`       // zero if it cannot be read
	RequestID       string       `json:"request_id"`
	Result          ActionResult `json:"result"` // zero in lists, and while the action is under way
}

// UnmarshalJSON takes a created_at that cannot be read for absent.
func (a *AsyncAction) UnmarshalJSON(data []byte) error {
	type plain AsyncAction
	*a = AsyncAction{}
	raw := struct {
		*plain
		CreatedAt json.RawMessage `json:"created_at"`
	}{plain: (*plain)(a)}
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	if json.Unmarshal(raw.CreatedAt, &a.CreatedAt) != nil {
		a.CreatedAt = time.Time{}
	}
	return nil
}

// Ended reports whether the action is over, well or not.
func (a *AsyncAction) Ended() bool { return a.Status == "DONE" || a.Status == "FAILED" }

// ActionResult is what became of the records of a bulk upsert.
type ActionResult struct {
	// DoneCount and FailedCount are nil if the answer has none that can be true of any
	// request: whole numbers from 0 to a billion. Compare them with what was sent.
	DoneCount   *int          `json:"done_count"`
	FailedCount *int          `json:"failed_count"` // nil in the shape used until 2024-08-21
	Errors      []ActionError `json:"errors"`       // may be fewer than FailedCount
	// Results is the shape used until 2024-08-21, instead of FailedCount and Errors.
	Results []RecordResult `json:"results"`
}

// UnmarshalJSON takes what is of another kind than documented for absent, so that the rest
// can be judged. An entry of Errors or Results keeps the members that can be read.
func (r *ActionResult) UnmarshalJSON(data []byte) error {
	*r = ActionResult{}
	var raw struct {
		DoneCount   json.RawMessage `json:"done_count"`
		FailedCount json.RawMessage `json:"failed_count"`
		Errors      json.RawMessage `json:"errors"`
		Results     json.RawMessage `json:"results"`
	}
	if json.Unmarshal(data, &raw) != nil {
		return nil
	}
	r.DoneCount, r.FailedCount = count(raw.DoneCount), count(raw.FailedCount)
	r.Errors, r.Results = entries[ActionError](raw.Errors), entries[RecordResult](raw.Results)
	for i := range r.Errors {
		e := &r.Errors[i]
		e.Key, e.Message, e.Details = safetext.CutBytes(e.Key, maxErrorText), safetext.CutBytes(e.Message, maxErrorText), safetext.CutBytes(e.Details, maxErrorText)
	}
	return nil
}

func count(raw json.RawMessage) *int {
	n, err := strconv.Atoi(string(raw))
	if err != nil || n < 0 || n > 1_000_000_000 {
		return nil
	}
	return &n
}

// entries returns the entries of an array that have something to say, or nil if there is
// no array.
func entries[T comparable](raw json.RawMessage) []T {
	var array []json.RawMessage
	if json.Unmarshal(raw, &array) != nil || array == nil {
		return nil
	}
	all := make([]T, 0, len(array))
	var nothing T
	for _, entry := range array {
		var v T
		_ = json.Unmarshal(entry, &v) // fills in what is of the right type
		if v != nothing {
			all = append(all, v)
		}
	}
	return all
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
	if err := c.do(ctx, call{method: http.MethodGet, path: "/v1/async-actions/" + url.PathEscape(id), maxAnswer: resultAnswer}, action); err != nil {
		return nil, err
	}
	return action, nil
}

// AsyncActions returns the newest async actions of all types, without their results:
// up to limit of them, 1 to 100, that were created before end, if end is not zero. Without
// its created_at nobody can tell where the next page begins: a *MalformedError.
//
// https://docs.voucherify.io/api-reference/async-actions/list-async-actions
func (c *Client) AsyncActions(ctx context.Context, limit int, end time.Time) ([]AsyncAction, error) {
	query := url.Values{"limit": {strconv.Itoa(limit)}}
	if !end.IsZero() {
		query.Set("end_date", end.UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	var list struct {
		AsyncActions []AsyncAction `json:"async_actions"`
	}
	if err := c.do(ctx, call{method: http.MethodGet, path: "/v1/async-actions?" + query.Encode(), maxAnswer: smallAnswer}, &list); err != nil {
		return nil, err
	}
	for i := range list.AsyncActions {
		if list.AsyncActions[i].CreatedAt.IsZero() {
			return nil, &MalformedError{"created_at of an async action is no time"}
		}
	}
	return list.AsyncActions, nil
}
