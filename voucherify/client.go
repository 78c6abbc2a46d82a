// Package voucherify is a client of the parts of Voucherify's API that an import of
// customers needs.
//
// https://docs.voucherify.io/api-reference
package voucherify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"

	"segsync/internal/safetext"
	"segsync/internal/strictjson"
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
	body := append(make([][]byte, 0, 2*len(customers)+1), []byte("["))
	for i, customer := range customers {
		if i > 0 {
			body = append(body, []byte(","))
		}
		body = append(body, customer)
	}
	body = append(body, []byte("]"))
	var answer struct {
		AsyncActionID string `json:"async_action_id"`
	}
	if err := c.do(ctx, call{http.MethodPost, "/v1/customers/bulk/async", body}, &answer); err != nil {
		return "", err
	}
	if !isToken(answer.AsyncActionID) {
		return "", &ForeignAnswerError{"has no async_action_id"}
	}
	return answer.AsyncActionID, nil
}

// isToken reports whether an id that Voucherify made can be kept in files and be part of a
// URL: up to 128 letters, digits, underscores and hyphens.
func isToken(id string) bool {
	for _, c := range id {
		if !(c == '_' || c == '-' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9') {
			return false
		}
	}
	return 0 < len(id) && len(id) <= 128
}

// UpsertCustomer upserts one customer, the JSON of a Customer, by its source_id. It is done
// when it returns. An error of OfRecords means that this customer was refused. It counts as
// an ordinary call, not as a bulk call.
//
// https://docs.voucherify.io/api-reference/customers/create-customer
func (c *Client) UpsertCustomer(ctx context.Context, customer []byte) error {
	var answer struct {
		ID     string `json:"id"`
		Object string `json:"object"`
	}
	if err := c.do(ctx, call{http.MethodPost, "/v1/customers", [][]byte{customer}}, &answer); err != nil {
		return err
	}
	if answer.ID == "" || answer.Object != "customer" {
		return &ForeignAnswerError{"is not a customer"}
	}
	return nil
}

// BulkBytes is the size of the body of a bulk request with these customers.
func BulkBytes(customers [][]byte) int {
	n := len("[]") + max(len(customers)-1, 0)
	for _, c := range customers {
		n += len(c)
	}
	return n
}

// call is one request of the API.
type call struct {
	method, path string
	body         [][]byte // parts of the JSON, which are sent without a copy of them; or nil
}

func (c *Client) newRequest(ctx context.Context, call call) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, call.method, c.base+call.path, nil)
	if err != nil {
		return nil, err
	}
	if call.body != nil {
		req.GetBody = func() (io.ReadCloser, error) {
			parts := net.Buffers(slices.Clone(call.body))
			return io.NopCloser(&parts), nil
		}
		req.Body, _ = req.GetBody()
		for _, part := range call.body {
			req.ContentLength += int64(len(part))
		}
	}
	c.authenticate(req)
	req.Header.Set("Content-Type", "application/json")
	return req, nil
}

func (c *Client) authenticate(req *http.Request) {
	req.Header.Set("X-App-Id", c.appID)
	req.Header.Set("X-App-Token", c.secretKey)
}

// do sends a request and decodes the answer into into, while it is read; nil: it is not read.
func (c *Client) do(ctx context.Context, call call, into any) error {
	req, err := c.newRequest(ctx, call)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // the caller says what was sent
		}
		return fmt.Errorf("%s: %w", safetext.Line(req.URL.Host), err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return newError(resp)
	}
	if into == nil {
		return nil
	}
	err = strictjson.UnmarshalRead(resp.Body, into)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return &AnswerError{err}
	}
	return nil
}
