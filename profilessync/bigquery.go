package profilessync

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// bigQuery is the REST API, version 2.
//
// https://cloud.google.com/bigquery/docs/reference/rest
type bigQuery struct{ *rest }

// bigQueryProblems are reasons of errors.
//
// https://cloud.google.com/bigquery/docs/error-messages
var bigQueryProblems = map[string]Problem{
	"notFound": MissingTable, "accessDenied": PermissionDenied, "authError": LoginRefused, "backendError": ConnectionLost,
}

func newBigQuery(r *rest, c Credentials) (*bigQuery, error) {
	b := &bigQuery{r}
	r.sign = func(_ context.Context, header http.Header, _ time.Time, _ bool) error {
		header.Set("Authorization", "Bearer "+c.GoogleToken)
		return nil
	}
	if c.GoogleToken != "" {
		return b, nil
	}
	if c.GoogleKeyFile == "" {
		return nil, missingLogin(r, "GOOGLE_APPLICATION_CREDENTIALS or GOOGLE_OAUTH_ACCESS_TOKEN")
	}
	invalid := func(err error) error {
		return &Error{Problem: LoginRefused, Vendor: r.vendor, text: "GOOGLE_APPLICATION_CREDENTIALS: " + err.Error(), cause: err}
	}
	data, err := os.ReadFile(c.GoogleKeyFile)
	if err != nil {
		return nil, invalid(err)
	}
	var account struct {
		Type  string `json:"type"`
		Email string `json:"client_email"`
		KeyID string `json:"private_key_id"`
		Key   string `json:"private_key"`
	}
	if err := json.Unmarshal(data, &account); err != nil || account.Type != "service_account" {
		return nil, invalid(errors.New("it is not the key of a service account; gcloud auth print-access-token gives a token for GOOGLE_OAUTH_ACCESS_TOKEN"))
	}
	key, err := parseKey([]byte(account.Key), "")
	if err != nil {
		return nil, invalid(err)
	}
	// A token that the key itself signs is enough, with no exchange:
	// https://cloud.google.com/bigquery/docs/json-web-tokens
	r.sign = func(_ context.Context, header http.Header, now time.Time, _ bool) error {
		const audience = "https://bigquery.googleapis.com/"
		token, err := signJWT(key, account.KeyID, map[string]any{"iss": account.Email, "sub": account.Email, "aud": audience}, now)
		header.Set("Authorization", "Bearer "+token)
		return err
	}
	return b, nil
}

type bigQueryJob struct {
	Reference struct {
		Project  string `json:"projectId"`
		ID       string `json:"jobId"`
		Location string `json:"location,omitempty"`
	} `json:"jobReference"`
}

// bigQueryResult is a page of the answer of jobs.getQueryResults.
type bigQueryResult struct {
	Complete bool   `json:"jobComplete"`
	Token    string `json:"pageToken"`
	Schema   struct {
		Fields []struct {
			Name string `json:"name"`
			Type string `json:"type"`
		} `json:"fields"`
	} `json:"schema"`
	Rows rowsJSON `json:"rows"`
}

type bigQueryRow struct {
	Fields []struct {
		Value jsontext.Value `json:"v"`
	} `json:"f"`
}

func (r *bigQueryRow) values() (values []jsontext.Value) {
	for _, field := range r.Fields {
		values = append(values, field.Value)
	}
	return values
}

// run inserts a job with an id of our own, so that to send it again is safe: the second one is answered
// with 409.
//
// https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs/insert
func (b *bigQuery) run(ctx context.Context, doing, sql string) ([]column, pages, error) {
	fail := func(err error) error { return b.fail(doing, err, bigQueryProblems) }
	var job bigQueryJob
	job.Reference.Project, job.Reference.ID, job.Reference.Location = b.path[0], applicationName+"-"+randomID(), b.params.Get("location")
	type query struct {
		SQL    string `json:"query"`
		Legacy bool   `json:"useLegacySql"`
	}
	body := map[string]any{"jobReference": job.Reference, "configuration": map[string]any{"query": query{SQL: sql}}}
	inserted := job
	_, err := b.call(ctx, http.MethodPost, "bigquery/v2/projects/"+url.PathEscape(b.path[0])+"/jobs", nil, body, &inserted)
	if answer, ok := errors.AsType[*restError](err); ok && answer.status == http.StatusConflict {
		err = nil
	}
	if err != nil {
		return nil, nil, fail(err)
	}
	path := "bigquery/v2/projects/" + url.PathEscape(b.path[0]) + "/queries/" + url.PathEscape(job.Reference.ID)
	parameters := url.Values{"timeoutMs": {"10000"}}
	if inserted.Reference.Location != "" {
		parameters.Set("location", inserted.Reference.Location)
	}
	var result bigQueryResult
	var got answer
	for n := 1; ; n++ { // the server waits up to timeoutMs
		if got, err = b.call(ctx, http.MethodGet, path, parameters, nil, &result); err != nil {
			return nil, nil, fail(err)
		}
		if result.Complete {
			break
		}
		if err := pollDelay(ctx, n); err != nil {
			return nil, nil, fail(err)
		}
	}
	var columns []column
	for _, f := range result.Schema.Fields {
		columns = append(columns, column{f.Name, f.Type == "JSON", f.Type == "TIMESTAMP"}) // a DATETIME cannot be compared with one
	}
	first, token := got.page(result.Rows), result.Token // the first page came with the answer
	next := func(ctx context.Context) (*page, error) {
		if p := first; p != nil {
			first = nil
			return p, nil
		}
		if token == "" {
			return nil, nil
		}
		parameters.Set("pageToken", token)
		var result bigQueryResult
		got, err := b.call(ctx, http.MethodGet, path, parameters, nil, &result)
		if answer, ok := errors.AsType[*restError](err); ok && (isGone(err) || answer.code == "invalid") {
			return nil, errPaused // "invalid" is a page token that is no longer valid
		}
		if err != nil {
			return nil, fail(err)
		}
		token = result.Token
		return got.page(result.Rows), nil
	}
	return columns, next, nil
}

// isGone reports whether an answer says that a statement or its result is no longer there.
func isGone(err error) bool {
	answer, ok := errors.AsType[*restError](err)
	return ok && (answer.status == http.StatusNotFound || answer.status == http.StatusGone)
}
