package profilessync

import (
	"context"
	"crypto/rsa"
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

// snowflake is the SQL API, version 2.
//
// https://docs.snowflake.com/en/developer-guide/sql-api/reference
type snowflake struct {
	*rest
	key *rsa.PrivateKey // nil: a token
	iss string
}

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

func newSnowflake(r *rest, c Credentials) (*snowflake, error) {
	s := &snowflake{rest: r}
	r.sign = func(_ context.Context, header http.Header, _ time.Time, _ bool) error {
		header.Set("Authorization", "Bearer "+c.SnowflakeToken)
		header.Set("X-Snowflake-Authorization-Token-Type", "PROGRAMMATIC_ACCESS_TOKEN")
		return nil
	}
	if c.SnowflakeKeyFile == "" {
		if c.SnowflakeToken == "" {
			return nil, missingLogin(r, "SNOWFLAKE_PRIVATE_KEY_FILE or SNOWFLAKE_TOKEN")
		}
		return s, nil
	}
	data, err := os.ReadFile(c.SnowflakeKeyFile)
	if err == nil {
		s.key, err = parseKey(data, c.SnowflakePassphrase)
	}
	if err != nil {
		return nil, &Error{Problem: LoginRefused, Vendor: r.vendor, text: "SNOWFLAKE_PRIVATE_KEY_FILE: " + err.Error(), cause: err}
	}
	public, err := x509.MarshalPKIXPublicKey(&s.key.PublicKey)
	if err != nil {
		return nil, err
	}
	// "Exclude the region information from the account locator", and all of it in capitals:
	// https://docs.snowflake.com/en/developer-guide/sql-api/authenticating
	account, _, _ := strings.Cut(strings.TrimSuffix(r.params.Get("account"), ".snowflakecomputing.com"), ".")
	fingerprint := sha256.Sum256(public)
	subject := strings.ToUpper(account + "." + r.user)
	s.iss = subject + ".SHA256:" + base64.StdEncoding.EncodeToString(fingerprint[:])
	r.sign = func(_ context.Context, header http.Header, now time.Time, _ bool) error {
		token, err := signJWT(s.key, "", map[string]any{"iss": s.iss, "sub": subject}, now)
		header.Set("Authorization", "Bearer "+token)
		header.Set("X-Snowflake-Authorization-Token-Type", "KEYPAIR_JWT")
		return err
	}
	return s, nil
}

func missingLogin(r *rest, names string) error {
	return &Error{Problem: LoginRefused, Vendor: r.vendor, text: "no sign-in for " + r.vendor + " is set: " + names}
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

// run submits the statement without waiting for it: a request that is answered after 45 seconds looks
// like one that is lost. The requestId makes it safe to send again.
func (s *snowflake) run(ctx context.Context, doing, sql string) ([]column, pages, error) {
	fail := func(err error) error { return s.fail(doing, err, snowflakeProblems) }
	body := map[string]any{"statement": sql, "database": s.path[0], "schema": s.path[1],
		"parameters": map[string]string{"timezone": "Etc/UTC", "query_tag": applicationName}}
	for _, name := range []string{"warehouse", "role"} {
		if value := s.params.Get(name); value != "" {
			body[name] = value
		}
	}
	const path = "api/v2/statements"
	var result snowflakeResult
	got, err := s.call(ctx, http.MethodPost, path, url.Values{"requestId": {randomID()}, "retry": {"true"}, "async": {"true"}}, body, &result)
	handle := path + "/" + url.PathEscape(result.Handle)
	for n := 1; err == nil && got.status == http.StatusAccepted; n++ {
		if err = pollDelay(ctx, n); err == nil {
			got, err = s.call(ctx, http.MethodGet, handle, nil, nil, &result)
		}
	}
	if err != nil {
		return nil, nil, fail(err)
	}
	var columns []column
	for _, c := range result.Metadata.Columns {
		columns = append(columns, column{name: c.Name, isTime: isTime(c.Type)}) // a VARIANT is cast to text without its quotes
	}
	partitions := result.Metadata.Partitions
	at, first := 0, got.page(result.Data) // the first one came with the answer
	next := func(ctx context.Context) (*page, error) {
		if at >= max(len(partitions), 1) {
			return nil, nil
		}
		p := first
		if first = nil; at > 0 {
			var partition snowflakeResult
			got, err := s.call(ctx, http.MethodGet, handle, url.Values{"partition": {strconv.Itoa(at)}}, nil, &partition)
			if isGone(err) {
				return nil, errPaused
			}
			if err != nil {
				return nil, fail(err)
			}
			p = got.page(partition.Data)
		}
		if at < len(partitions) && p.rows != partitions[at].Rows {
			return nil, fail(fmt.Errorf("partition %d has %d rows, not %d", at, p.rows, partitions[at].Rows))
		}
		at++
		return p, nil
	}
	return columns, next, nil
}
