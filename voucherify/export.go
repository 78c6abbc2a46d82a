package voucherify

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"segsync/internal/strictjson"
)

// Export is a file of customers that Voucherify makes in its own time.
//
// https://docs.voucherify.io/api-reference/exports/get-export
type Export struct {
	Status string // SCHEDULED, IN_PROGRESS, DONE or ERROR
	// URLs are where its files are once Status is DONE: one, or several of a large export. They
	// hold a token: they must not be shown, logged or kept.
	URLs []string `json:"-"`
}

// String leaves the URLs out.
func (e Export) String() string { return "export " + e.Status }

// GoString leaves the URLs out.
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
	var answer struct {
		ID string `json:"id"`
	}
	if err := c.do(ctx, call{http.MethodPost, "/v1/exports", [][]byte{body}}, &answer); err != nil {
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
		Status string         `json:"status"`
		Result jsontext.Value `json:"result"`
	}
	if err := c.do(ctx, call{method: http.MethodGet, path: "/v1/exports/" + url.PathEscape(id)}, &answer); err != nil {
		return nil, err
	}
	switch answer.Status {
	case "SCHEDULED", "IN_PROGRESS", "ERROR":
		return &Export{Status: answer.Status}, nil
	case "DONE":
		urls := exportURLs(answer.Result)
		if len(urls) == 0 || slices.Contains(urls, "") {
			return nil, &ForeignAnswerError{"has no URL of the export"}
		}
		return &Export{Status: "DONE", URLs: urls}, nil
	}
	return nil, &ForeignAnswerError{"is not an export"}
}

// exportURLs returns the URLs of a result. Today's guide has one file of any size; until 2023 the
// documents said that a large export may have several, without their form. So a result with urls
// and a list, of texts or of objects with a url, are taken, too.
func exportURLs(result jsontext.Value) []string {
	type file struct {
		URL  string         `json:"url"`
		URLs jsontext.Value `json:"urls"`
	}
	var texts []string
	if strictjson.Unmarshal(result, &texts) == nil && len(texts) > 0 {
		return texts
	}
	texts = nil
	var files []file
	if strictjson.Unmarshal(result, &files) == nil {
		for _, f := range files {
			texts = append(texts, f.URL)
		}
		return texts
	}
	var one file
	if strictjson.Unmarshal(result, &one) != nil {
		return nil
	}
	if len(one.URLs) > 0 && one.URLs.Kind() == '[' {
		return exportURLs(one.URLs)
	}
	return []string{one.URL}
}

// ExportOrder is an export as the list of exports has it.
type ExportOrder struct {
	ID         string    `json:"id"`
	CreatedAt  time.Time `json:"created_at"`
	Object     string    `json:"exported_object"`
	Parameters struct {
		Fields []string `json:"fields"`
		Order  string   `json:"order"`
	} `json:"parameters"`
}

// Exports returns the newest exports of the project, 100 at most.
//
// https://docs.voucherify.io/api-reference/exports/list-exports
func (c *Client) Exports(ctx context.Context) ([]ExportOrder, error) {
	var answer struct {
		Exports []ExportOrder `json:"exports"`
	}
	if err := c.do(ctx, call{method: http.MethodGet, path: "/v1/exports?limit=100"}, &answer); err != nil {
		return nil, err
	}
	if answer.Exports == nil {
		return nil, &ForeignAnswerError{"is not a list of exports"}
	}
	return answer.Exports, nil
}

// DeleteExport deletes an export with its file. The customers stay.
//
// https://docs.voucherify.io/api-reference/exports/delete-export
func (c *Client) DeleteExport(ctx context.Context, id string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: "/v1/exports/" + url.PathEscape(id)}, nil)
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
