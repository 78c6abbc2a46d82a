package voucherify

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// Export is a file of customers that Voucherify makes in its own time.
//
// https://docs.voucherify.io/api-reference/exports/get-export
type Export struct {
	Status string // SCHEDULED, IN_PROGRESS, DONE or ERROR
	// URL is where the file is once Status is DONE. It holds a token: it must not be
	// shown, logged or kept.
	URL string `json:"-"`
}

// String leaves the URL out.
func (e Export) String() string { return "export " + e.Status }

// GoString leaves the URL out.
func (e Export) GoString() string { return e.String() }

// CreateExport orders a file of all customers with these fields, in order of source_id, and
// returns the id of the export. The field metadata stands for all keys of the metadata
// schema and belongs last, see ReadExport.
//
// https://docs.voucherify.io/api-reference/exports/create-export
func (c *Client) CreateExport(ctx context.Context, fields []string) (id string, err error) {
	type parameters struct {
		Fields []string `json:"fields"`
		Order  string   `json:"order"`
	}
	body, err := json.Marshal(struct {
		ExportedObject string     `json:"exported_object"`
		Parameters     parameters `json:"parameters"`
	}{"customer", parameters{fields, "source_id"}})
	if err != nil {
		return "", err
	}
	var answer struct{ ID string }
	if err := c.do(ctx, call{http.MethodPost, "/v1/exports", [][]byte{body}, smallAnswer}, &answer); err != nil {
		return "", err
	}
	if !isToken(answer.ID) {
		return "", &ForeignAnswerError{"has no id of an export"}
	}
	return answer.ID, nil
}

// Export returns how far an export is.
func (c *Client) Export(ctx context.Context, id string) (*Export, error) {
	var answer struct {
		Status string
		Result struct{ URL string }
	}
	if err := c.do(ctx, call{method: http.MethodGet, path: "/v1/exports/" + url.PathEscape(id), maxAnswer: smallAnswer}, &answer); err != nil {
		return nil, err
	}
	switch answer.Status {
	case "SCHEDULED", "IN_PROGRESS", "ERROR":
		return &Export{Status: answer.Status}, nil
	case "DONE":
		if answer.Result.URL == "" {
			return nil, &ForeignAnswerError{"has no URL of the export"}
		}
		return &Export{Status: "DONE", URL: answer.Result.URL}, nil
	}
	return nil, &ForeignAnswerError{"is no export"}
}

// DownloadRequest returns the request for the file at the URL of an Export. It carries the
// application's keys only to Voucherify: to the API of this client, to voucherify.io over
// https, or, where the API is on this machine, to this machine. Neither its errors nor the
// request should be shown: the error of an http.Client quotes the URL.
func (c *Client) DownloadRequest(ctx context.Context, exportURL string) (*http.Request, error) {
	u, err := url.Parse(exportURL)
	if err != nil || u.Host == "" || u.User != nil {
		return nil, errors.New("the export's URL cannot be read") // err quotes it
	}
	api, err := url.Parse(c.base)
	if err != nil {
		return nil, err
	}
	ours := u.Scheme == api.Scheme && strings.EqualFold(u.Host, api.Host)
	local := isLoopback(api.Hostname()) && isLoopback(u.Hostname())
	if u.Scheme != "https" && !ours && !local {
		return nil, errors.New("the export's URL is not https")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, errors.New("the export's URL cannot be requested")
	}
	if ours || local || isVoucherify(u.Hostname()) {
		c.authenticate(req)
	}
	return req, nil
}

func isVoucherify(host string) bool {
	host = strings.ToLower(host)
	return host == "voucherify.io" || strings.HasSuffix(host, ".voucherify.io")
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
