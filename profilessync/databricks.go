package profilessync

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// databricks is the Statement Execution API.
//
// https://docs.databricks.com/api/workspace/statementexecution
type databricks struct{ *rest }

// databricksProblems are error conditions, which messages begin with, and codes of answers.
//
// https://docs.databricks.com/en/error-messages/error-classes.html
var databricksProblems = map[string]Problem{
	"TABLE_OR_VIEW_NOT_FOUND": MissingTable, "SCHEMA_NOT_FOUND": UnknownSchema, "NO_SUCH_CATALOG_EXCEPTION": UnknownDatabase,
	"UNRESOLVED_COLUMN": MissingColumn, "INSUFFICIENT_PERMISSIONS": PermissionDenied, "PERMISSION_DENIED": PermissionDenied,
	"UNAUTHENTICATED": LoginRefused, "TEMPORARILY_UNAVAILABLE": ConnectionLost,
}

func newDatabricks(r *rest, c Credentials) (*databricks, error) {
	d := &databricks{r}
	switch {
	case c.DatabricksToken != "":
		r.sign = func(_ context.Context, header http.Header, _ time.Time, _ bool) error {
			header.Set("Authorization", "Bearer "+c.DatabricksToken)
			return nil
		}
	case c.DatabricksClientID != "" && c.DatabricksClientSecret != "":
		r.sign = (&clientLogin{rest: r, id: c.DatabricksClientID, secret: c.DatabricksClientSecret}).sign
	default:
		return nil, missingLogin(r, "DATABRICKS_TOKEN, or DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET")
	}
	return d, nil
}

// clientLogin gets tokens for a service principal.
//
// https://docs.databricks.com/en/dev-tools/auth/oauth-m2m.html
type clientLogin struct {
	*rest
	id, secret string
	mu         sync.Mutex
	token      string
	ends       time.Time
}

func (l *clientLogin) sign(ctx context.Context, header http.Header, now time.Time, anew bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if anew || now.After(l.ends) {
		form := url.Values{"grant_type": {"client_credentials"}, "scope": {"all-apis"}}.Encode()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.base.JoinPath("oidc/v1/token").String(), strings.NewReader(form))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Authorization", basicAuth(l.id, l.secret))
		resp, err := l.fetch(req)
		if err != nil {
			return err
		}
		var answer struct {
			Token   string `json:"access_token"`
			Seconds int    `json:"expires_in"`
		}
		if resp.StatusCode != http.StatusOK {
			refused := answerError(resp)
			refused.status = http.StatusUnauthorized
			return refused
		}
		if _, err := decodeAnswer(resp, &answer); err != nil || answer.Token == "" {
			return errOtherShape
		}
		const early = time.Minute
		l.token, l.ends = answer.Token, now.Add(time.Duration(answer.Seconds)*time.Second-early)
	}
	header.Set("Authorization", "Bearer "+l.token)
	return nil
}

type databricksStatement struct {
	ID     string `json:"statement_id"`
	Status struct {
		State string `json:"state"`
		Error struct {
			Code    string `json:"error_code"`
			Message string `json:"message"`
		} `json:"error"`
	} `json:"status"`
	Manifest struct {
		Truncated bool `json:"truncated"`
		Chunks    int  `json:"total_chunk_count"`
		Schema    struct {
			Columns []struct {
				Name string `json:"name"`
				Type string `json:"type_name"`
			} `json:"columns"`
		} `json:"schema"`
	} `json:"manifest"`
}

// run starts the statement and polls it: a wait of the server would look like a request that is lost. A
// request that is sent again starts another statement, which only reads.
func (d *databricks) run(ctx context.Context, doing, sql string) ([]column, pages, error) {
	const path = "api/2.0/sql/statements"
	fail := func(err error) error { return d.fail(doing, err, databricksProblems) }
	body := map[string]any{"statement": sql, "warehouse_id": d.params.Get("warehouse"), "catalog": d.path[0], "schema": d.path[1],
		"disposition": "EXTERNAL_LINKS", "format": "JSON_ARRAY", "wait_timeout": "0s"}
	var s databricksStatement
	_, err := d.call(ctx, http.MethodPost, path, nil, body, &s)
	for n := 1; err == nil && (s.Status.State == "PENDING" || s.Status.State == "RUNNING"); n++ {
		if err = pollDelay(ctx, n); err == nil {
			_, err = d.call(ctx, http.MethodGet, path+"/"+url.PathEscape(s.ID), nil, nil, &s)
		}
	}
	switch {
	case err != nil:
		return nil, nil, fail(err)
	case s.Status.State == "CLOSED":
		return nil, nil, errPaused
	case s.Status.State != "SUCCEEDED":
		e := &restError{http.StatusOK, s.Status.Error.Code, s.Status.Error.Message}
		if condition, _, found := strings.Cut(strings.TrimPrefix(e.message, "["), "]"); found && strings.HasPrefix(e.message, "[") {
			e.code, _, _ = strings.Cut(condition, ".")
		}
		return nil, nil, fail(e)
	case s.Manifest.Truncated:
		return nil, nil, fail(&restError{http.StatusOK, "truncated", "the result is truncated: it is larger than the warehouse gives"})
	}
	var columns []column
	for _, c := range s.Manifest.Schema.Columns {
		columns = append(columns, column{name: c.Name, isTime: isTime(c.Type)}) // a VARIANT is cast to text without its quotes
	}
	at := 0
	var ready []*page // of the last chunk
	next := func(ctx context.Context) (*page, error) {
		for len(ready) == 0 {
			if at >= s.Manifest.Chunks {
				return nil, nil
			}
			chunk, err := d.chunk(ctx, path+"/"+url.PathEscape(s.ID)+"/result/chunks/"+strconv.Itoa(at))
			if isGone(err) {
				return nil, errPaused
			}
			if err != nil {
				return nil, fail(err)
			}
			at++
			ready = chunk
		}
		p := ready[0]
		ready = ready[1:]
		return p, nil
	}
	return columns, next, nil
}

// chunk reads a chunk. Its links are asked for right before: they live for 15 minutes. Where one does not
// work they are asked for anew, once.
func (d *databricks) chunk(ctx context.Context, path string) ([]*page, error) {
	for attempt := 1; ; attempt++ {
		var chunk struct {
			Links []chunkLink `json:"external_links"`
		}
		if _, err := d.call(ctx, http.MethodGet, path, nil, nil, &chunk); err != nil {
			return nil, err
		}
		pages, err := d.follow(ctx, chunk.Links)
		switch answer, refused := errors.AsType[*restError](err); {
		case err == nil, ctx.Err() != nil, attempt == 2 && !refused:
			return pages, err
		case attempt == 2: // not as it is: the answer is that of the cloud's storage
			return nil, fmt.Errorf("the link of a chunk does not work (%d)", answer.status)
		}
	}
}

type chunkLink struct {
	URL     string            `json:"external_link"`
	Rows    int               `json:"row_count"`
	Headers map[string]string `json:"http_headers"`
}

// follow reads what links lead to. A link itself is the sign-in: it gets no header of ours, and is in no error.
func (d *databricks) follow(ctx context.Context, links []chunkLink) (pages []*page, err error) {
	for _, link := range links {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, link.URL, nil)
		if err != nil {
			return nil, errors.New("the link of a chunk is not a URL")
		}
		for name, value := range link.Headers {
			req.Header.Set(name, value)
		}
		resp, err := d.fetch(req)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode != http.StatusOK {
			return nil, &restError{status: resp.StatusCode, message: "a chunk cannot be read"}
		}
		var rows rowsJSON
		got, err := decodeAnswer(resp, &rows)
		if err != nil {
			return nil, err
		}
		if rows.rows != link.Rows {
			return nil, fmt.Errorf("a chunk has %d rows, not %d", rows.rows, link.Rows)
		}
		pages = append(pages, got.page(rows))
	}
	return pages, nil
}
