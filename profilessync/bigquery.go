package profilessync

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// bigQueryProblems are reasons of errors.
//
// https://cloud.google.com/bigquery/docs/error-messages
var bigQueryProblems = map[string]Problem{
	"notFound": MissingTable, "accessDenied": PermissionDenied, "authError": LoginRefused, "backendError": ConnectionLost,
}

// useBigQuery lets the requests be those of the REST API, version 2.
//
// https://cloud.google.com/bigquery/docs/reference/rest
func useBigQuery(r *rest, c Credentials) (err error) {
	r.problems, r.run = bigQueryProblems, r.runBigQuery
	switch {
	case c.GoogleToken != "":
		r.login = fixedToken(c.GoogleToken)
	case c.GoogleKeyFile != "":
		if r.login, err = googleKey(c.GoogleKeyFile); err != nil {
			return fmt.Errorf("GOOGLE_APPLICATION_CREDENTIALS: %w", err)
		}
	default:
		return r.missingLogin("GOOGLE_APPLICATION_CREDENTIALS or GOOGLE_OAUTH_ACCESS_TOKEN")
	}
	return nil
}

// googleKey returns the login with the key of a service account. A token that the key itself signs is enough,
// with no exchange.
//
// https://cloud.google.com/bigquery/docs/json-web-tokens
func googleKey(path string) (func(context.Context, time.Time, bool) (string, error), error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var account struct {
		Type  string `json:"type"`
		Email string `json:"client_email"`
		KeyID string `json:"private_key_id"`
		Key   string `json:"private_key"`
	}
	if err := json.Unmarshal(data, &account); err != nil || account.Type != "service_account" {
		return nil, errors.New("it is not the key of a service account; gcloud auth print-access-token gives a token for GOOGLE_OAUTH_ACCESS_TOKEN")
	}
	key, err := parseKey([]byte(account.Key), "")
	return func(_ context.Context, now time.Time, _ bool) (string, error) {
		const audience = "https://bigquery.googleapis.com/"
		return signJWT(key, account.KeyID, map[string]any{"iss": account.Email, "sub": account.Email, "aud": audience}, now)
	}, err
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
	Cells []struct {
		Value jsontext.Value `json:"v"`
	} `json:"f"`
}

// runBigQuery inserts a job with an id of our own, so that to send it again is safe: the second one is answered
// with 409.
//
// https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs/insert
func (r *rest) runBigQuery(ctx context.Context, sql string) (*result, error) {
	project := "bigquery/v2/projects/" + url.PathEscape(r.path[0])
	var job bigQueryJob
	job.Reference.Project, job.Reference.ID, job.Reference.Location = r.path[0], applicationName+"-"+randomID(), r.params.Get("location")
	body := map[string]any{"jobReference": job.Reference,
		"configuration": map[string]any{"query": map[string]any{"query": sql, "useLegacySql": false}}}
	_, err := r.call(ctx, http.MethodPost, project+"/jobs", nil, body, &job)
	if answer, ok := errors.AsType[*restError](err); err != nil && !(ok && answer.status == http.StatusConflict) {
		return nil, err
	}
	path, parameters := project+"/queries/"+url.PathEscape(job.Reference.ID), url.Values{"timeoutMs": {"10000"}}
	if job.Reference.Location != "" {
		parameters.Set("location", job.Reference.Location)
	}
	var in bigQueryResult
	read := func(ctx context.Context) (*page, error) {
		in = bigQueryResult{}
		got, err := r.call(ctx, http.MethodGet, path, parameters, nil, &in)
		if err != nil {
			return nil, err
		}
		if in.Token != "" {
			parameters.Set("pageToken", in.Token)
		}
		return got.page(in.Rows), nil
	}
	out := &result{next: func(ctx context.Context) (*page, error) {
		if in.Token == "" {
			return nil, nil
		}
		return read(ctx)
	}}
	err = poll(ctx, func() (bool, error) { // the server waits up to timeoutMs
		out.first, err = read(ctx)
		return in.Complete, err
	})
	for _, f := range in.Schema.Fields {
		out.columns = append(out.columns, column{f.Name, f.Type == "JSON", f.Type == "TIMESTAMP"}) // a DATETIME cannot be compared with one
	}
	return out, err
}
