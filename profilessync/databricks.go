package profilessync

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// databricksProblems are error conditions, which messages begin with, and codes of answers.
//
// https://docs.databricks.com/en/error-messages/error-classes.html
var databricksProblems = map[string]Problem{
	"TABLE_OR_VIEW_NOT_FOUND": MissingTable, "SCHEMA_NOT_FOUND": UnknownSchema, "NO_SUCH_CATALOG_EXCEPTION": UnknownDatabase,
	"UNRESOLVED_COLUMN": MissingColumn, "INSUFFICIENT_PERMISSIONS": PermissionDenied, "PERMISSION_DENIED": PermissionDenied,
	"UNAUTHENTICATED": LoginRefused, "TEMPORARILY_UNAVAILABLE": ConnectionLost,
}

// useDatabricks lets the requests be those of the Statement Execution API.
//
// https://docs.databricks.com/api/workspace/statementexecution
func useDatabricks(r *rest, c Credentials) error {
	r.problems, r.run = databricksProblems, r.runDatabricks
	switch {
	case c.DatabricksToken != "":
		r.login = fixedToken(c.DatabricksToken)
	case c.DatabricksClientID != "" && c.DatabricksClientSecret != "":
		r.login = (&clientLogin{rest: r, id: c.DatabricksClientID, secret: c.DatabricksClientSecret}).login
	default:
		return r.missingLogin("DATABRICKS_TOKEN, or DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET")
	}
	return nil
}

// clientLogin gets tokens for a service principal.
//
// https://docs.databricks.com/en/dev-tools/auth/oauth-m2m.html
type clientLogin struct {
	*rest
	id, secret string
	last       string // token
	ends       time.Time
}

func (l *clientLogin) login(ctx context.Context, now time.Time, anew bool) (string, error) {
	if !anew && now.Before(l.ends) {
		return l.last, nil
	}
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {"all-apis"}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.base.JoinPath("oidc/v1/token").String(), strings.NewReader(form))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(l.id, l.secret)
	resp, err := l.fetch(req)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		refused := answerError(resp)
		refused.status = http.StatusUnauthorized
		return "", refused
	}
	var answer struct {
		Token   string `json:"access_token"`
		Seconds int    `json:"expires_in"`
	}
	if _, err := decodeAnswer(resp, &answer); err != nil || answer.Token == "" {
		return "", errOtherShape
	}
	const early = time.Minute
	l.last, l.ends = answer.Token, now.Add(time.Duration(answer.Seconds)*time.Second-early)
	return l.last, nil
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

// runDatabricks starts the statement and polls it: a wait of the server would look like a request that is lost.
// A request that is sent again starts another statement, which only reads.
func (r *rest) runDatabricks(ctx context.Context, sql string) (*result, error) {
	const path = "api/2.0/sql/statements"
	body := map[string]any{"statement": sql, "warehouse_id": r.params.Get("warehouse"), "catalog": r.path[0], "schema": r.path[1],
		"disposition": "EXTERNAL_LINKS", "format": "JSON_ARRAY", "wait_timeout": "0s"}
	var s databricksStatement
	if _, err := r.call(ctx, http.MethodPost, path, nil, body, &s); err != nil {
		return nil, err
	}
	handle := path + "/" + url.PathEscape(s.ID)
	isDone := func() bool { return s.Status.State != "PENDING" && s.Status.State != "RUNNING" }
	var err error
	if !isDone() {
		err = poll(ctx, func() (bool, error) {
			_, err := r.call(ctx, http.MethodGet, handle, nil, nil, &s)
			return isDone(), err
		})
	}
	switch {
	case err != nil:
		return nil, err
	case s.Status.State == "CLOSED":
		return nil, errPaused
	case s.Status.State != "SUCCEEDED":
		e := &restError{http.StatusOK, s.Status.Error.Code, s.Status.Error.Message}
		if condition, _, found := strings.Cut(strings.TrimPrefix(e.message, "["), "]"); found && strings.HasPrefix(e.message, "[") {
			e.code, _, _ = strings.Cut(condition, ".")
		}
		return nil, e
	case s.Manifest.Truncated:
		return nil, &restError{http.StatusOK, "truncated", "the result is truncated: it is larger than the warehouse gives"}
	}
	out := &result{}
	for _, c := range s.Manifest.Schema.Columns {
		out.columns = append(out.columns, column{name: c.Name, isTime: isTime(c.Type)}) // a VARIANT is cast to text without its quotes
	}
	at := 0
	var ready []*page // of the last chunk
	out.next = func(ctx context.Context) (p *page, err error) {
		for len(ready) == 0 {
			if at >= s.Manifest.Chunks {
				return nil, nil
			}
			if ready, err = r.databricksChunk(ctx, handle+"/result/chunks/"+strconv.Itoa(at)); err != nil {
				return nil, err
			}
			at++
		}
		p, ready = ready[0], ready[1:]
		return p, nil
	}
	return out, nil
}

// databricksChunk reads a chunk. Its links are asked for right before: they live for 15 minutes. Where one does not
// work they are asked for anew, once.
func (r *rest) databricksChunk(ctx context.Context, path string) ([]*page, error) {
	for attempt := 1; ; attempt++ {
		var chunk struct {
			Links []chunkLink `json:"external_links"`
		}
		if _, err := r.call(ctx, http.MethodGet, path, nil, nil, &chunk); err != nil {
			return nil, err
		}
		pages, err := r.follow(ctx, chunk.Links)
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
func (r *rest) follow(ctx context.Context, links []chunkLink) (pages []*page, err error) {
	for _, link := range links {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, link.URL, nil)
		if err != nil {
			return nil, errors.New("the link of a chunk is not a URL")
		}
		for name, value := range link.Headers {
			req.Header.Set(name, value)
		}
		resp, err := r.fetch(req)
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
