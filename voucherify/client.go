// Package voucherify is a client of the parts of Voucherify's API that an import of
// customers needs.
//
// https://docs.voucherify.io/api-reference
package voucherify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// DefaultBaseURL is the API of projects in Europe. Others have
// https://us1.api.voucherify.io, https://as1.api.voucherify.io or one of their own.
const DefaultBaseURL = "https://api.voucherify.io"

// MaxBulkBytes is the largest body of a bulk request.
const MaxBulkBytes = 10 << 20

// Client calls the API for one project. It neither waits nor retries: that is for
// the http.Client it is given. It is safe for concurrent use.
type Client struct {
	http             *http.Client
	base             string
	appID, secretKey string
}

// NewClient returns a client for the project with this application id and secret key
// (Project Settings > Application Keys).
func NewClient(hc *http.Client, base *url.URL, appID, secretKey string) (*Client, error) {
	if appID == "" || secretKey == "" {
		return nil, errors.New("voucherify: application id and secret key are required")
	}
	return &Client{http: hc, base: base.String(), appID: appID, secretKey: secretKey}, nil
}

// UpsertCustomers queues an upsert of the customers, each the JSON of one Customer, and
// returns the id of the async action that will carry it out. Nothing is applied yet
// when it returns. A request takes up to MaxBulkBytes, see BulkBytes.
//
// https://docs.voucherify.io/api-reference/customers/update-customers-in-bulk
func (c *Client) UpsertCustomers(ctx context.Context, customers [][]byte) (asyncActionID string, err error) {
	body := make([]byte, 0, BulkBytes(customers))
	body = append(body, '[')
	for i, customer := range customers {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, customer...)
	}
	body = append(body, ']')
	var answer struct {
		AsyncActionID string `json:"async_action_id"`
	}
	if err := c.do(ctx, http.MethodPost, "/v1/customers/bulk/async", body, &answer); err != nil {
		return "", err
	}
	if answer.AsyncActionID == "" {
		return "", errors.New("the answer has no async_action_id: is VOUCHERIFY_API_URL right?")
	}
	return answer.AsyncActionID, nil
}

// BulkBytes is the size of the body of a bulk request with these customers.
func BulkBytes(customers [][]byte) int {
	n := len("[]") + max(len(customers)-1, 0)
	for _, c := range customers {
		n += len(c)
	}
	return n
}

func (c *Client) do(ctx context.Context, method, path string, body []byte, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("X-App-Id", c.appID)
	req.Header.Set("X-App-Token", c.secretKey)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // the caller says what was sent
		}
		return fmt.Errorf("%s: %w", req.URL.Host, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return newError(resp)
	}
	const maxAnswer = 16 << 20
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("decoding Voucherify's answer: %w", err)
	}
	return nil
}
