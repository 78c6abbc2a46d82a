// Package warehousetest fakes the REST APIs of Snowflake, BigQuery and Databricks for tests. It is written from
// their documents, and shares nothing with the client, so that it does not agree with its mistakes:
//
//	https://docs.snowflake.com/en/developer-guide/sql-api/reference
//	https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs
//	https://docs.databricks.com/api/workspace/statementexecution
//
// It knows no SQL. It recognizes the statements of segsync by parts of their text.
package warehousetest

import (
	"cmp"
	"compress/gzip"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"segsync/internal/sandbox"
)

// Row is a row of the query: an id, and the values behind it; nil is NULL.
type Row struct {
	ID     string
	Values []any // kind, name, value, seq
}

// PersonRows returns the rows of a profile. Objects and lists among its traits become JSON text. Of several
// external IDs of a type the newest one has the greatest seq.
func PersonRows(p sandbox.Person) []Row {
	var rows []Row
	add := func(kind, name string, value any) {
		rows = append(rows, Row{p.SegmentID, []any{kind, name, value, strconv.Itoa(len(rows) + 1)}})
	}
	for _, id := range slices.SortedFunc(slices.Values(p.ExternalIDs), func(a, b sandbox.ExternalID) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(b.ID, a.ID))
	}) {
		add("identifier", id.Type, id.ID)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Traits)) {
		switch value := p.Traits[name].(type) {
		case nil, string:
			add("trait", name, value)
		default:
			text, _ := json.Marshal(value) // it came from JSON
			add("trait", name, string(text))
		}
	}
	return rows
}

// Switches are what the fake does beside the ordinary. Those that count go down to zero.
type Switches struct {
	Pending     int           // looks at a statement until it is done
	Throttled   int           // answers 429
	RetryAfter  bool          // which say when to come again
	GonePage    int           // the result is gone when this page is asked for, once
	AlwaysGone  bool          // and each time
	ShortPage   bool          // pages behind the first lack a row
	ExpiredLink int           // links that have expired when they are followed
	Truncated   bool          // the result is not all of it
	CutGzip     int           // bodies of pages that are cut
	Skew        time.Duration // the fake's clock is before ours
	Denied      bool          // the tables may not be seen
	JSONValues  bool          // user_traits.value is JSON
	TextTimes   bool          // uuid_ts is text
	NullTimes   bool          // uuid_ts is NULL in every row
}

// Fake is one vendor's API.
type Fake struct {
	Switches
	Vendor   string
	Profiles int               // how many there are
	Rows     func(i int) []Row // of the ith profile, in the byte order of ids; made anew for each page
	Written  time.Time         // the uuid_ts of all rows; zero: now
	PageRows int               // profiles in a page
	Server   *httptest.Server
	Dir      string // with the key

	mu         sync.Mutex
	Statements []string // all that were run
	Leaked     int      // links that were followed with a header that is for the API
	key        *rsa.PrivateKey
	results    map[string]*result
	requests   map[string]string // handles by requestId
}

type result struct {
	columns []string
	count   int               // of the rows
	row     func(i int) []any // the ith
	pending int
	gone    bool
}

// set gives the result these rows.
func (r *result) set(rows ...[]any) {
	for len(rows) > 0 && len(r.columns) < len(rows[0]) {
		r.columns = append(r.columns, "c"+strconv.Itoa(len(r.columns)))
	}
	r.count, r.row = len(rows), func(i int) []any { return rows[i] }
}

var sharedKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// New starts a fake of snowflake, bigquery or databricks with so many profiles.
func New(t testing.TB, vendor string, profiles int, rows func(i int) []Row) *Fake {
	t.Helper()
	key, err := sharedKey()
	if err != nil {
		t.Fatal(err)
	}
	f := &Fake{Vendor: vendor, Profiles: profiles, Rows: rows, PageRows: 1000, Dir: t.TempDir(), key: key, results: map[string]*result{}, requests: map[string]string{}}
	mux := http.NewServeMux()
	switch vendor {
	case "snowflake":
		mux.HandleFunc("POST /api/v2/statements", f.snowflakeSubmit)
		mux.HandleFunc("GET /api/v2/statements/{handle}", f.snowflakeResult)
	case "bigquery":
		mux.HandleFunc("POST /bigquery/v2/projects/acme/jobs", f.bigQueryInsert)
		mux.HandleFunc("GET /bigquery/v2/projects/acme/queries/{job}", f.bigQueryResults)
	case "databricks":
		mux.HandleFunc("POST /oidc/v1/token", f.databricksToken)
		mux.HandleFunc("POST /api/2.0/sql/statements", f.databricksSubmit)
		mux.HandleFunc("GET /api/2.0/sql/statements/{id}", f.databricksStatus)
		mux.HandleFunc("GET /api/2.0/sql/statements/{id}/result/chunks/{chunk}", f.databricksChunk)
		mux.HandleFunc("GET /storage/{id}/{chunk}", f.storage)
	}
	f.Server = httptest.NewServer(f.gate(mux))
	t.Cleanup(f.Server.Close)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	account, _ := json.Marshal(map[string]string{"type": "service_account", "client_email": "segsync@acme.iam.gserviceaccount.com", "private_key_id": "k1", "private_key": string(text)})
	for name, data := range map[string][]byte{"key.p8": text, "account.json": account} {
		if err := os.WriteFile(filepath.Join(f.Dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// Secret is the one of what Settings returns that must be nowhere.
const Secret = "dapi-s3cret-of-the-test"

// URL returns the URL of the warehouse for SEGSYNC_WAREHOUSE_URL.
func (f *Fake) URL() string {
	endpoint := "endpoint=" + f.Server.URL
	switch f.Vendor {
	case "snowflake":
		return "snowflake://segsync@acme-eu1.eu-central-1/DB/PROFILES?warehouse=W&role=R&" + endpoint
	case "bigquery":
		return "bigquery://acme/profiles?location=EU&" + endpoint
	}
	return "databricks://dbc-1.cloud.databricks.com/main/profiles?warehouse=w1&" + endpoint
}

// Settings returns the settings of the sign-in.
func (f *Fake) Settings() map[string]string {
	switch f.Vendor {
	case "snowflake":
		return map[string]string{"SNOWFLAKE_PRIVATE_KEY_FILE": filepath.Join(f.Dir, "key.p8")}
	case "bigquery":
		return map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": filepath.Join(f.Dir, "account.json")}
	}
	return map[string]string{"DATABRICKS_CLIENT_ID": "c1", "DATABRICKS_CLIENT_SECRET": Secret}
}

// Do calls do while no request is answered. A test whose segsync is another process sets and
// reads the fields so.
func (f *Fake) Do(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

func (f *Fake) now() time.Time { return time.Now().Add(-f.Skew) }

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

// fail answers in the form of the vendor.
func (f *Fake) fail(w http.ResponseWriter, status int, code, message string) {
	switch f.Vendor {
	case "bigquery":
		reply(w, status, map[string]any{"error": map[string]any{"code": status, "message": message, "errors": []any{map[string]any{"reason": code, "domain": "global", "message": message}}}})
	case "databricks":
		reply(w, status, map[string]any{"error_code": code, "message": message})
	default:
		reply(w, status, map[string]any{"code": code, "message": message, "sqlState": "00000"})
	}
}

// gate signs in, and counts the quota.
func (f *Fake) gate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		w.Header().Set("Date", f.now().UTC().Format(http.TimeFormat))
		if f.Throttled > 0 {
			f.Throttled--
			if f.RetryAfter {
				w.Header().Set("Retry-After", "1")
			}
			f.fail(w, http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", "too many requests")
			return
		}
		open := strings.HasPrefix(r.URL.Path, "/storage/") || strings.HasPrefix(r.URL.Path, "/oidc/")
		if problem := f.login(r); problem != "" && !open {
			f.fail(w, http.StatusUnauthorized, map[string]string{"snowflake": "390144", "bigquery": "authError", "databricks": "UNAUTHENTICATED"}[f.Vendor], problem)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// login returns what is wrong with the sign-in.
func (f *Fake) login(r *http.Request) string {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if f.Vendor == "databricks" {
		if !ok || token != "t-"+Secret {
			return "Invalid access token"
		}
		return ""
	}
	if f.Vendor == "snowflake" && r.Header.Get("X-Snowflake-Authorization-Token-Type") != "KEYPAIR_JWT" {
		return "no token type"
	}
	parts := strings.Split(token, ".")
	if !ok || len(parts) != 3 {
		return "no JWT"
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	signature, _ := base64.RawURLEncoding.DecodeString(parts[2])
	if rsa.VerifyPKCS1v15(&f.key.PublicKey, crypto.SHA256, digest[:], signature) != nil {
		return "signature"
	}
	var claims struct {
		Iss, Sub, Aud string
		Iat, Exp      int64
	}
	data, _ := base64.RawURLEncoding.DecodeString(parts[1])
	json.Unmarshal(data, &claims)
	now := f.now().Unix()
	if claims.Iat > now || claims.Exp < now || claims.Exp-claims.Iat > 3600 {
		return "JWT token is invalid: time"
	}
	if f.Vendor == "bigquery" {
		if claims.Iss != "segsync@acme.iam.gserviceaccount.com" || claims.Sub != claims.Iss || claims.Aud != "https://bigquery.googleapis.com/" {
			return "claims"
		}
		return ""
	}
	public, _ := x509.MarshalPKIXPublicKey(&f.key.PublicKey)
	fingerprint := sha256.Sum256(public)
	if claims.Iss != "ACME-EU1.SEGSYNC.SHA256:"+base64.StdEncoding.EncodeToString(fingerprint[:]) || claims.Sub != "ACME-EU1.SEGSYNC" {
		return "issuer"
	}
	return ""
}

var (
	afterID = regexp.MustCompile(`canonical_segment_id > '([^']*)'`)
	someIDs = regexp.MustCompile(`canonical_segment_id IN \(('[^)]*)\)`)
	sinceAt = regexp.MustCompile(`uuid_ts >= CAST\('([^']*)'`)
)

// evaluate returns the result of a statement, or what is wrong with it.
func (f *Fake) evaluate(sql string) (*result, string) {
	f.Statements = append(f.Statements, sql)
	r := &result{columns: []string{"c"}, pending: f.Pending}
	const micros = "2006-01-02T15:04:05.000000Z"
	now := f.now().UTC()
	written := f.Written
	if written.IsZero() {
		written = now
	}
	switch {
	case f.Denied && strings.Contains(sql, "user_traits"):
		return nil, "user_traits does not exist or not authorized"
	case strings.Contains(sql, "LIMIT 0"):
		r.columns = []string{"canonical_segment_id", "name", "type", "value", "seq", "received_at", "uuid_ts"}
	case strings.Contains(sql, "uuid_ts IS NOT NULL"):
		r.set([]any{"2", "0"})
		if f.NullTimes {
			r.set([]any{"0", "2"})
		}
	case strings.Contains(sql, "count(*)"):
		rows, profiles := 0, strconv.Itoa(f.Profiles)
		for i := range f.Profiles {
			rows += len(f.Rows(i))
		}
		n, at := strconv.Itoa(rows), written.UTC().Format(micros)
		r.set([]any{n, n, profiles, profiles, at, at})
	case strings.Contains(sql, "SELECT DISTINCT"):
		r.set([]any{"email"})
	case strings.Contains(sql, "ORDER BY"):
		if !f.grouped(sql) {
			return nil, "a statement that does not ask for one row a profile"
		}
		r.columns = []string{"canonical_segment_id", "entries"}
		f.selectProfiles(r, sql, written)
	case strings.Contains(sql, "current_timestamp"):
		r.set([]any{now.Format(micros)})
	default:
		r.set([]any{"Fake 1.0"})
	}
	return r, ""
}

// selectProfiles gives the result the profiles that the statement asks for, one row each.
func (f *Fake) selectProfiles(r *result, sql string, written time.Time) {
	from := func(id string) int { // the first profile that does not come before this id
		return sort.Search(f.Profiles, func(i int) bool { return f.Rows(i)[0].ID >= id })
	}
	start := 0
	if m := afterID.FindStringSubmatch(sql); m != nil {
		start = from(m[1] + "\x00")
	}
	r.count, r.row = f.Profiles-start, func(i int) []any { return f.group(f.Rows(start + i)) }
	if m := sinceAt.FindStringSubmatch(sql); m != nil {
		if since, err := time.Parse("2006-01-02 15:04:05.000000-07:00", m[1]); err != nil || written.Before(since) {
			r.set()
		}
	}
	if m := someIDs.FindStringSubmatch(sql); m != nil {
		var rows [][]any
		for id := range strings.SplitSeq(m[1], ", ") {
			id = strings.Trim(id, "'")
			if i := from(id); i < f.Profiles && f.Rows(i)[0].ID == id {
				rows = append(rows, f.group(f.Rows(i)))
			}
		}
		r.set(rows...)
	}
}

// typeOf returns the type of a column.
func (f *Fake) typeOf(name, text, timestamp string) string {
	if name == "uuid_ts" && !f.TextTimes {
		return timestamp
	}
	return text
}

// grouped reports whether a statement asks for one row a profile, with the functions of the vendor.
func (f *Fake) grouped(sql string) bool {
	return strings.Contains(sql, map[string]string{"snowflake": "array_agg(object_construct_keep_null(", "bigquery": "to_json_string(array_agg(struct(", "databricks": "to_json(collect_list(struct("}[f.Vendor]) &&
		strings.Contains(sql, "GROUP BY canonical_segment_id")
}

type entry struct {
	Kind       any    `json:"kind"`
	Name       any    `json:"name"`
	Value      any    `json:"value"`
	Seq        any    `json:"seq"`
	ReceivedAt string `json:"received_at"`
}

// sparseEntry is an entry of Databricks, whose JSON leaves out what is NULL.
type sparseEntry struct {
	Kind       any    `json:"kind"`
	Name       any    `json:"name"`
	Value      any    `json:"value,omitempty"`
	Seq        any    `json:"seq"`
	ReceivedAt string `json:"received_at"`
}

// group returns the row of a profile.
func (f *Fake) group(rows []Row) []any {
	entries := make([]any, len(rows))
	for i, row := range rows {
		e := entry{row.Values[0], row.Values[1], row.Values[2], row.Values[3], "2026-01-01"}
		if entries[i] = e; f.Vendor == "databricks" {
			entries[i] = sparseEntry(e)
		}
	}
	text, _ := json.Marshal(entries)
	return []any{rows[0].ID, string(text)}
}

// RowBytes returns how many bytes of a page the ith profile takes.
func (f *Fake) RowBytes(i int) int {
	text, _ := json.Marshal(f.group(f.Rows(i))) // of strings
	return len(text)
}

// span returns which rows a page has; not ok if the result is gone.
func (f *Fake) span(r *result, n int) (start, end int, ok bool) {
	if n > 0 && (n == f.GonePage || f.AlwaysGone) {
		f.GonePage, r.gone = 0, true
	}
	start = min(n*f.PageRows, r.count)
	end = min(start+f.PageRows, r.count)
	if f.ShortPage && n > 0 && start < end {
		start++
	}
	return start, end, !r.gone
}

// page returns the rows of a page; not ok if the result is gone.
func (f *Fake) page(r *result, n int) (rows [][]any, ok bool) {
	start, end, ok := f.span(r, n)
	rows = [][]any{}
	for i := start; i < end && ok; i++ {
		rows = append(rows, r.row(i))
	}
	return rows, ok
}

func (f *Fake) pages(r *result) int { return (r.count + f.PageRows - 1) / f.PageRows }

// zipped answers with gzip, which may be cut.
func (f *Fake) zipped(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Encoding", "gzip")
	var b strings.Builder
	z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed) // the level is valid
	json.NewEncoder(z).Encode(body)
	z.Close()
	text := b.String()
	if f.CutGzip > 0 {
		f.CutGzip--
		text = text[:len(text)/2]
	}
	io.WriteString(w, text)
}

func (f *Fake) add(r *result) string {
	id := fmt.Sprintf("01b%05d-h", len(f.results))
	f.results[id] = r
	return id
}

func (f *Fake) snowflakeSubmit(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Statement, Database, Schema, Warehouse, Role string
		Parameters                                   map[string]string
	}
	json.NewDecoder(r.Body).Decode(&body)
	if body.Database != "DB" || body.Schema != "PROFILES" || body.Warehouse != "W" || body.Role != "R" || r.URL.Query().Get("requestId") == "" || r.Header.Get("User-Agent") == "" {
		f.fail(w, http.StatusBadRequest, "390000", "bad request")
		return
	}
	handle := f.requests[r.URL.Query().Get("requestId")]
	if handle == "" {
		found, problem := f.evaluate(body.Statement)
		if problem != "" {
			f.fail(w, http.StatusUnprocessableEntity, "002003", "SQL compilation error:\nObject '"+problem+".")
			return
		}
		handle = f.add(found)
		f.requests[r.URL.Query().Get("requestId")] = handle
	}
	reply(w, http.StatusAccepted, map[string]any{"code": "333334", "message": "Asynchronous execution in progress.", "statementHandle": handle, "statementStatusUrl": "/api/v2/statements/" + handle})
}

func (f *Fake) snowflakeResult(w http.ResponseWriter, r *http.Request) {
	found := f.results[r.PathValue("handle")]
	n, _ := strconv.Atoi(r.URL.Query().Get("partition"))
	if found != nil && found.pending > 0 {
		found.pending--
		reply(w, http.StatusAccepted, map[string]any{"code": "333333", "message": "Statement executing", "statementHandle": r.PathValue("handle")})
		return
	}
	if found == nil {
		f.fail(w, http.StatusNotFound, "000709", "Statement not found")
		return
	}
	rows, ok := f.page(found, n)
	if !ok {
		f.fail(w, http.StatusNotFound, "000709", "Statement not found")
		return
	}
	if n > 0 {
		f.zipped(w, map[string]any{"data": rows})
		return
	}
	partitions, columns := []any{}, []any{}
	for i := range max(f.pages(found), 1) {
		partitions = append(partitions, map[string]any{"rowCount": min(f.PageRows, found.count-i*f.PageRows), "uncompressedSize": 1})
	}
	for _, name := range found.columns {
		columns = append(columns, map[string]any{"name": strings.ToUpper(name), "type": f.typeOf(name, "text", "timestamp_tz"), "nullable": true})
	}
	reply(w, http.StatusOK, map[string]any{"code": "090001", "statementHandle": r.PathValue("handle"), "data": rows,
		"resultSetMetaData": map[string]any{"numRows": found.count, "format": "jsonv2", "partitionInfo": partitions, "rowType": columns}})
}

func (f *Fake) bigQueryInsert(w http.ResponseWriter, r *http.Request) {
	var body struct {
		JobReference  struct{ ProjectId, JobId, Location string }
		Configuration struct {
			Query struct {
				Query        string
				UseLegacySql *bool
			}
		}
	}
	json.NewDecoder(r.Body).Decode(&body)
	id := body.JobReference.JobId
	if body.Configuration.Query.UseLegacySql == nil || *body.Configuration.Query.UseLegacySql || id == "" || body.JobReference.Location != "EU" {
		f.fail(w, http.StatusBadRequest, "invalidQuery", "legacy SQL")
		return
	}
	if f.results[id] != nil {
		f.fail(w, http.StatusConflict, "duplicate", "Already Exists: Job "+id)
		return
	}
	found, problem := f.evaluate(body.Configuration.Query.Query)
	if problem != "" {
		f.fail(w, http.StatusForbidden, "accessDenied", "Access Denied: Table "+problem)
		return
	}
	f.results[id] = found
	reply(w, http.StatusOK, map[string]any{"kind": "bigquery#job", "jobReference": body.JobReference, "status": map[string]any{"state": "RUNNING"}})
}

func (f *Fake) bigQueryResults(w http.ResponseWriter, r *http.Request) {
	found := f.results[r.PathValue("job")]
	if found == nil || r.URL.Query().Get("location") != "EU" {
		f.fail(w, http.StatusNotFound, "notFound", "Not found: Job")
		return
	}
	if found.pending > 0 {
		found.pending--
		reply(w, http.StatusOK, map[string]any{"jobComplete": false, "jobReference": map[string]any{}})
		return
	}
	n := 0
	if token := r.URL.Query().Get("pageToken"); token != "" {
		n, _ = strconv.Atoi(strings.TrimPrefix(token, "P"))
	}
	page, ok := f.page(found, n)
	if !ok {
		f.fail(w, http.StatusBadRequest, "invalid", "Invalid page token")
		return
	}
	rows, fields := []any{}, []any{}
	for _, row := range page {
		cells := []any{}
		for _, v := range row {
			cells = append(cells, map[string]any{"v": v})
		}
		rows = append(rows, map[string]any{"f": cells})
	}
	for _, name := range found.columns {
		kind := f.typeOf(name, "STRING", "TIMESTAMP")
		if name == "value" && f.JSONValues {
			kind = "JSON"
		}
		fields = append(fields, map[string]any{"name": name, "type": kind})
	}
	answer := map[string]any{"jobComplete": true, "schema": map[string]any{"fields": fields}, "rows": rows, "totalRows": strconv.Itoa(found.count)}
	if n+1 < f.pages(found) {
		answer["pageToken"] = "P" + strconv.Itoa(n+1)
	}
	f.zipped(w, answer)
}

func (f *Fake) databricksToken(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	if id != "c1" || secret != Secret || r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "all-apis" {
		reply(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client", "error_description": "Client authentication failed"})
		return
	}
	reply(w, http.StatusOK, map[string]any{"access_token": "t-" + Secret, "token_type": "Bearer", "expires_in": 3600})
}

func (f *Fake) databricksSubmit(w http.ResponseWriter, r *http.Request) {
	var body map[string]string
	json.NewDecoder(r.Body).Decode(&body)
	if body["warehouse_id"] != "w1" || body["catalog"] != "main" || body["disposition"] != "EXTERNAL_LINKS" || body["format"] != "JSON_ARRAY" || body["wait_timeout"] != "0s" {
		f.fail(w, http.StatusBadRequest, "INVALID_PARAMETER_VALUE", "bad request")
		return
	}
	found, problem := f.evaluate(body["statement"])
	if problem != "" {
		reply(w, http.StatusOK, map[string]any{"statement_id": "x", "status": map[string]any{"state": "FAILED",
			"error": map[string]any{"error_code": "BAD_REQUEST", "message": "[INSUFFICIENT_PERMISSIONS] Insufficient privileges: " + problem}}})
		return
	}
	reply(w, http.StatusOK, map[string]any{"statement_id": f.add(found), "status": map[string]any{"state": "PENDING"}})
}

func (f *Fake) databricksStatus(w http.ResponseWriter, r *http.Request) {
	found := f.results[r.PathValue("id")]
	if found == nil {
		f.fail(w, http.StatusNotFound, "NOT_FOUND", "The statement was not found")
		return
	}
	if found.pending > 0 {
		found.pending--
		reply(w, http.StatusOK, map[string]any{"statement_id": r.PathValue("id"), "status": map[string]any{"state": "RUNNING"}})
		return
	}
	columns := []any{}
	for i, name := range found.columns {
		columns = append(columns, map[string]any{"name": name, "type_name": f.typeOf(name, "STRING", "TIMESTAMP"), "position": i})
	}
	reply(w, http.StatusOK, map[string]any{"statement_id": r.PathValue("id"), "status": map[string]any{"state": "SUCCEEDED"},
		"manifest": map[string]any{"format": "JSON_ARRAY", "schema": map[string]any{"column_count": len(columns), "columns": columns},
			"total_chunk_count": f.pages(found), "total_row_count": found.count, "truncated": f.Truncated}})
}

func (f *Fake) databricksChunk(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.PathValue("chunk"))
	found := f.results[r.PathValue("id")]
	start, end, ok := f.span(found, n)
	if !ok {
		f.fail(w, http.StatusNotFound, "NOT_FOUND", "The statement was not found")
		return
	}
	reply(w, http.StatusOK, map[string]any{"external_links": []any{map[string]any{"chunk_index": n, "row_offset": n * f.PageRows, "row_count": min(f.PageRows, found.count-n*f.PageRows),
		"external_link": f.Server.URL + "/storage/" + r.PathValue("id") + "/" + r.PathValue("chunk") + "?sig=" + Secret, "expiration": f.now().Add(15 * time.Minute).UTC().Format(time.RFC3339),
		"http_headers": map[string]any{"X-Key": strconv.Itoa(end - start)}}}})
}

// storage is the cloud's, which refuses a request that signs in twice.
func (f *Fake) storage(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.PathValue("chunk"))
	if r.Header.Get("Authorization") != "" {
		f.Leaked++
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if f.ExpiredLink > 0 || r.URL.Query().Get("sig") != Secret || r.Header.Get("X-Key") == "" {
		f.ExpiredLink--
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>")
		return
	}
	rows, _ := f.page(f.results[r.PathValue("id")], n)
	f.zipped(w, rows)
}
