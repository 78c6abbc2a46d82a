package profilessync

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// snowflakeProblems are the codes of errors. An object that is not there and one that may not be seen have the
// same code.
//
// https://docs.snowflake.com/en/developer-guide/sql-api/handling-responses
var snowflakeProblems = map[string]Problem{
	"002003": MissingTable,     // does not exist or not authorized
	"000904": MissingColumn,    // invalid identifier
	"003001": PermissionDenied, // insufficient privileges
	"000606": PermissionDenied, // no active warehouse selected
	"390144": LoginRefused,     // JWT token is invalid
	"390201": UnknownDatabase,
}

// useSnowflake lets the requests be those of the SQL API, version 2.
//
// https://docs.snowflake.com/en/developer-guide/sql-api/reference
func useSnowflake(r *rest, c Credentials) error {
	r.problems, r.run = snowflakeProblems, r.runSnowflake
	tokenType := "PROGRAMMATIC_ACCESS_TOKEN"
	switch {
	case c.SnowflakeKeyFile != "":
		tokenType = "KEYPAIR_JWT"
		var err error
		if r.login, err = r.snowflakeKey(c.SnowflakeKeyFile, c.SnowflakePassphrase); err != nil {
			return fmt.Errorf("SNOWFLAKE_PRIVATE_KEY_FILE: %w", err)
		}
	case c.SnowflakeToken != "":
		r.login = fixedToken(c.SnowflakeToken)
	default:
		return r.missingLogin("SNOWFLAKE_PRIVATE_KEY_FILE or SNOWFLAKE_TOKEN")
	}
	r.header = http.Header{"X-Snowflake-Authorization-Token-Type": {tokenType}}
	return nil
}

// snowflakeKey returns the login with the key in the file.
func (n *Native) snowflakeKey(path, passphrase string) (func(context.Context, time.Time, bool) (string, error), error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, err := parseKey(data, passphrase)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	// "Exclude the region information from the account locator", and all of it in capitals:
	// https://docs.snowflake.com/en/developer-guide/sql-api/authenticating
	account, _, _ := strings.Cut(strings.TrimSuffix(n.params.Get("account"), ".snowflakecomputing.com"), ".")
	fingerprint := sha256.Sum256(public)
	subject := strings.ToUpper(account + "." + n.user)
	issuer := subject + ".SHA256:" + base64.StdEncoding.EncodeToString(fingerprint[:])
	return func(_ context.Context, now time.Time, _ bool) (string, error) {
		return signJWT(key, "", map[string]any{"iss": issuer, "sub": subject}, now)
	}, nil
}

// snowflakeResult is a ResultSet, or a page of one.
type snowflakeResult struct {
	Handle   string `json:"statementHandle"`
	Metadata struct {
		Partitions []struct {
			Rows int `json:"rowCount"`
		} `json:"partitionInfo"`
		Columns []struct {
			Name string `json:"name"`
			Type string `json:"type"`
		} `json:"rowType"`
	} `json:"resultSetMetaData"`
	Data rowsJSON `json:"data"`
}

// runSnowflake submits the statement without waiting for it: a request that is answered after 45 seconds looks
// like one that is lost. The requestId makes it safe to send again.
func (r *rest) runSnowflake(ctx context.Context, sql string) (*result, error) {
	body := map[string]any{"statement": sql, "database": r.path[0], "schema": r.path[1],
		"parameters": map[string]string{"timezone": "Etc/UTC", "query_tag": applicationName}}
	for _, name := range []string{"warehouse", "role"} {
		if value := r.params.Get(name); value != "" {
			body[name] = value
		}
	}
	const path = "api/v2/statements"
	var in snowflakeResult
	got, err := r.call(ctx, http.MethodPost, path, url.Values{"requestId": {randomID()}, "retry": {"true"}, "async": {"true"}}, body, &in)
	if err != nil {
		return nil, err
	}
	handle := path + "/" + url.PathEscape(in.Handle)
	if got.status == http.StatusAccepted {
		err = poll(ctx, func() (bool, error) {
			got, err = r.call(ctx, http.MethodGet, handle, nil, nil, &in)
			return got.status != http.StatusAccepted, err
		})
	}
	if err != nil {
		return nil, err
	}
	at, partitions := 0, in.Metadata.Partitions
	partition := func(got answer, in *snowflakeResult) (*page, error) {
		if at < len(partitions) && in.Data.rows != partitions[at].Rows {
			return nil, fmt.Errorf("partition %d has %d rows, not %d", at, in.Data.rows, partitions[at].Rows)
		}
		at++
		return got.page(in.Data), nil
	}
	out := &result{next: func(ctx context.Context) (*page, error) {
		if at >= len(partitions) {
			return nil, nil
		}
		var in snowflakeResult
		got, err := r.call(ctx, http.MethodGet, handle, url.Values{"partition": {strconv.Itoa(at)}}, nil, &in)
		if err != nil {
			return nil, err
		}
		return partition(got, &in)
	}}
	for _, c := range in.Metadata.Columns {
		out.columns = append(out.columns, column{name: c.Name, isTime: isTime(c.Type)}) // a VARIANT is cast to text without its quotes
	}
	out.first, err = partition(got, &in) // it came with the answer
	return out, err
}
