package voucherify

import (
	"context"
	"net/http"
	"time"
)

// StoredCustomer is what Voucherify tells of a customer that may be deleted.
type StoredCustomer struct {
	ID, SourceID string
	Source       string // system_metadata.source, "" for none
	CreatedAt    time.Time
	HasHistory   bool // orders, redemptions or points
}

// StoredCustomer returns the customer that has this source_id or, as the API takes those, too, this id: the
// caller compares SourceID. There is an Error that is NotFound.
//
// https://docs.voucherify.io/api-reference/customers/get-customer
func (c *Client) StoredCustomer(ctx context.Context, sourceID string) (*StoredCustomer, error) {
	var answer struct {
		ID             string    `json:"id"`
		SourceID       string    `json:"source_id"`
		Object         string    `json:"object"`
		CreatedAt      time.Time `json:"created_at"`
		SystemMetadata struct {
			Source any `json:"source"`
		} `json:"system_metadata"`
		Summary struct {
			Redemptions struct {
				Total float64 `json:"total_redeemed"`
			} `json:"redemptions"`
			Orders struct {
				Total float64 `json:"total_count"`
			} `json:"orders"`
		} `json:"summary"`
		Loyalty struct {
			Points float64 `json:"points"`
		} `json:"loyalty"`
	}
	if err := c.do(ctx, call{method: http.MethodGet, path: customerPath(sourceID)}, &answer); err != nil {
		return nil, err
	}
	if !isToken(answer.ID) || answer.Object != "customer" {
		return nil, &ForeignAnswerError{"is not a customer"}
	}
	source, _ := answer.SystemMetadata.Source.(string)
	return &StoredCustomer{
		ID: answer.ID, SourceID: answer.SourceID, Source: source, CreatedAt: answer.CreatedAt,
		HasHistory: answer.Summary.Redemptions.Total > 0 || answer.Summary.Orders.Total > 0 || answer.Loyalty.Points != 0,
	}, nil
}

// DeleteCustomer deletes the customer with this source_id. Its orders, events and segment memberships go, too.
//
// https://docs.voucherify.io/api-reference/customers/delete-customer
func (c *Client) DeleteCustomer(ctx context.Context, sourceID string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: customerPath(sourceID)}, nil)
}

// DeletePermanently deletes the customer with this id, which is Voucherify's own, with all data about it. It
// returns the id of the deletion, and whether it is done already.
//
// https://docs.voucherify.io/api-reference/customers/delete-customer-permanently
func (c *Client) DeletePermanently(ctx context.Context, id string) (deletionID string, isDone bool, err error) {
	var answer struct {
		ID     string `json:"id"`
		Status string `json:"status"`
	}
	if err := c.do(ctx, call{method: http.MethodPost, path: customerPath(id) + "/permanent-deletion"}, &answer); err != nil {
		return "", false, err
	}
	if answer.Status != "DONE" && answer.Status != "IN_PROGRESS" {
		return "", false, &ForeignAnswerError{"does not say that the permanent deletion has begun"}
	}
	return answer.ID, answer.Status == "DONE", nil
}
