package voucherify

import (
	"context"
	"net/http"
	"net/url"
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
	CreatedAt       time.Time    `json:"created_at"`
	RequestID       string       `json:"request_id"`
	Result          ActionResult `json:"result"` // zero in lists, and while the action is under way
}

// Ended reports whether the action is over, well or not.
func (a *AsyncAction) Ended() bool { return a.Status == "DONE" || a.Status == "FAILED" }

// ActionResult is what became of the records of a bulk upsert.
type ActionResult struct {
	DoneCount   *int          `json:"done_count"`   // nil if the answer has none
	FailedCount *int          `json:"failed_count"` // nil in the shape used until 2024-08-21
	Errors      []ActionError `json:"errors"`       // may be fewer than FailedCount
	// Results is the shape used until 2024-08-21, instead of FailedCount and Errors.
	Results []RecordResult `json:"results"`
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
	if err := c.do(ctx, http.MethodGet, "/v1/async-actions/"+url.PathEscape(id), nil, action); err != nil {
		return nil, err
	}
	return action, nil
}

// AsyncActions returns the newest async actions of all types, without their results:
// up to limit of them, 1 to 100, that were created before end, if end is not zero.
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
	if err := c.do(ctx, http.MethodGet, "/v1/async-actions?"+query.Encode(), nil, &list); err != nil {
		return nil, err
	}
	return list.AsyncActions, nil
}
