package profilessync

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sync/errgroup"

	"segsync/internal/strictjson"
)

// restIdleTimeout is how long a result is kept while nobody takes its profiles: vendors keep it for a day.
const restIdleTimeout = 12 * time.Hour

// maxSilentRestarts is how often a statement is started again that gave no row before its result was
// gone.
const maxSilentRestarts = 2

// MaxAnswer is the size of an answer, decompressed, that a client for Native must allow. Vendors make pages
// of some 10 to 20 MB.
const MaxAnswer = 128 << 20

// Native is a warehouse with a REST API, as its URL names it.
type Native struct {
	Schema string // with what it is in, as SQL takes it: DATABASE.SCHEMA
	vendor string // the scheme of the URL
	base   *url.URL
	user   string
	path   []string // of the URL
	params url.Values
}

// Credentials are the secrets of the vendors, by the names that these have given to them.
type Credentials struct {
	SnowflakeKeyFile, SnowflakePassphrase, SnowflakeToken       string
	GoogleKeyFile, GoogleToken                                  string
	DatabricksToken, DatabricksClientID, DatabricksClientSecret string
}

// natives are the forms of the URLs, and where the API is.
var natives = map[string]struct {
	form, host string // %s is the host of the URL
	required   string // a parameter
}{
	"snowflake":  {"snowflake://USER@ACCOUNT/DATABASE/SCHEMA?warehouse=W&role=R", "%s.snowflakecomputing.com", ""},
	"bigquery":   {"bigquery://PROJECT/DATASET?location=EU", "bigquery.googleapis.com", ""},
	"databricks": {"databricks://HOST/CATALOG/SCHEMA?warehouse=ID", "%s", "warehouse"},
}

// IsNative reports whether a URL is one of a warehouse with a REST API.
func IsNative(raw string) bool {
	scheme, _, _ := strings.Cut(raw, "://")
	return natives[scheme].form != ""
}

// ParseNative parses the URL of a warehouse with a REST API. Secrets do not belong there. Its errors do not
// quote the URL. The parameter endpoint is another place of the API, such as an emulator.
func ParseNative(raw string) (*Native, error) {
	scheme, _, _ := strings.Cut(raw, "://")
	vendor := natives[scheme]
	invalid := func(text string) error {
		return &Error{Problem: InvalidURL, text: "the URL of the warehouse must be " + vendor.form + text}
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Fragment != "" {
		return nil, invalid("")
	}
	if _, secret := u.User.Password(); secret {
		return nil, invalid(": it has a password, which belongs in a setting of its own")
	}
	n := &Native{vendor: scheme, user: u.User.Username(), path: strings.Split(strings.Trim(u.Path, "/"), "/"), params: u.Query()}
	if parts := strings.Count(vendor.form, "/") - 2; len(n.path) != parts || n.path[0] == "" || n.params.Get(vendor.required) == "" && vendor.required != "" {
		return nil, invalid("")
	}
	n.Schema = strings.Join(n.path, ".")
	if scheme == "bigquery" {
		n.path = append([]string{u.Host}, n.path...)
		n.Schema = strings.Join(n.path, ".")
	}
	endpoint := n.params.Get("endpoint")
	if endpoint == "" {
		host := vendor.host
		if strings.Contains(host, "%s") {
			host = fmt.Sprintf(host, u.Host)
		}
		if scheme == "snowflake" && strings.HasSuffix(u.Host, ".snowflakecomputing.com") {
			host = u.Host
		}
		endpoint = "https://" + host
	}
	if n.base, err = url.Parse(strings.TrimRight(endpoint, "/")); err != nil || n.base.Hostname() == "" || strings.ContainsAny(endpoint, "@?#") {
		return nil, invalid(": its endpoint is not a URL such as https://api.example.com")
	}
	n.base.Host = strings.ToLower(n.base.Host) // Go's proxy settings know only "localhost"
	if n.base.Scheme != "https" && (n.base.Scheme != "http" || isRemoteHost(n.base.Hostname())) {
		return nil, invalid(": its endpoint must be https")
	}
	if account := n.params.Get("account"); scheme == "snowflake" && account == "" {
		n.params.Set("account", u.Hostname())
	}
	return n, nil
}

// Name is what the warehouse is known by. It has no user, for another one reads the same.
func (n *Native) Name() string { return n.vendor + " " + n.base.Host + " " + n.Schema }

// OpenNative looks at the tables of a warehouse with a REST API. All requests go through the client,
// which must wait for the server and keep secrets out of errors; the bodies of its good answers must be
// io.Seekers, which can be read twice. Errors are *Error.
func OpenNative(ctx context.Context, n *Native, c Credentials, client *http.Client) (*Warehouse, error) {
	r := &rest{Native: n, client: client}
	var err error
	switch n.vendor {
	case "snowflake":
		err = useSnowflake(r, c)
	case "bigquery":
		err = useBigQuery(r, c)
	default:
		err = useDatabricks(r, c)
	}
	if err != nil {
		return nil, &Error{Problem: LoginRefused, Vendor: n.vendor, text: err.Error(), cause: err}
	}
	return open(ctx, r, n.Schema, restIdleTimeout)
}

// missingLogin says which settings are missing.
func (n *Native) missingLogin(names string) error {
	return errors.New("no sign-in for " + n.vendor + " is set: " + names)
}

// rest sends requests to a vendor's API. It is the server, and each connection to it: there is nothing to
// connect to, or to begin.
type rest struct {
	*Native
	client *http.Client
	// run starts a statement and waits until it has a result.
	run      func(ctx context.Context, sql string) (*result, error)
	problems map[string]Problem // by the vendor's codes
	// login returns a token for this time by the clock of the server; anew: the last one was refused.
	login  func(ctx context.Context, now time.Time, anew bool) (string, error)
	header http.Header // of each request

	mu   sync.Mutex    // held by login
	skew time.Duration // of the server's clock, where its answer 401 has shown it
}

// result is the result of a statement.
type result struct {
	columns []column
	first   *page                                    // nil: next returns it
	next    func(ctx context.Context) (*page, error) // the next page; nil behind the last one
}

func (r *rest) connect(context.Context) (connection, error) { return r, nil }
func (r *rest) dialect() dialect                            { return dialectOf(r.vendor) }
func (r *rest) begin(context.Context) error                 { return nil }
func (r *rest) close()                                      {}

// rows runs the statement again where its result was gone before it gave a row.
func (r *rest) rows(ctx context.Context, doing, sql string, columns func([]column), each func([][]byte) error) error {
	for attempt := 1; ; attempt++ {
		given := false
		err := r.read(ctx, doing, sql, columns, func(values [][]byte) error {
			given = true
			return each(values)
		})
		if !errors.Is(err, errPaused) || given {
			return err
		}
		if attempt > maxSilentRestarts {
			return &Error{Problem: ConnectionLost, text: doing + ": the result of the statement is gone each time before it can be read"}
		}
	}
}

// read reads a page ahead of the one whose rows are taken.
func (r *rest) read(ctx context.Context, doing, sql string, columns func([]column), each func([][]byte) error) error {
	result, err := r.run(ctx, sql)
	if err != nil {
		return r.fail(doing, err)
	}
	if columns != nil {
		columns(result.columns)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ahead := make(chan *page)
	var group errgroup.Group
	group.Go(func() (err error) {
		defer close(ahead)
		page := result.first
		result.first = nil // it is not needed as long as the others
		for {
			if page == nil {
				if page, err = result.next(ctx); isGone(err) {
					return errPaused
				} else if err != nil {
					return r.fail(doing, err)
				} else if page == nil {
					return nil
				}
			}
			select {
			case ahead <- page:
				page = nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	for page := range ahead {
		if err := page.each(len(result.columns), each); err != nil {
			cancel()
			group.Wait() // its error is that of the cancelled context
			if err == errOtherShape {
				return r.fail(doing, err)
			}
			return err
		}
	}
	return group.Wait()
}

// isGone reports whether an answer says that a result is no longer there. In BigQuery it is the page token that
// is "invalid" then.
func isGone(err error) bool {
	answer, ok := errors.AsType[*restError](err)
	return ok && (answer.status == http.StatusNotFound || answer.status == http.StatusGone || answer.code == "invalid")
}

// page is a page of a result. Its rows are decoded one by one, from a body that may be compressed: those of a
// page of 20 MB would take several times as much memory.
type page struct {
	answer io.ReadSeeker
	rowsJSON
}

// rowsJSON is the array of rows in an answer.
type rowsJSON struct {
	start int64 // its offset
	rows  int
}

// UnmarshalJSONFrom passes over the array, and counts.
func (r *rowsJSON) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	*r = rowsJSON{}
	switch d.PeekKind() {
	case 'n':
		return d.SkipValue()
	case '[':
	default:
		return errOtherShape
	}
	d.ReadToken() // it was looked at
	for r.start = d.InputOffset() - 1; d.PeekKind() != ']'; r.rows++ {
		if err := d.SkipValue(); err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return err
}

// each calls do for the values of each row, as connection.rows does. A row is a list, in BigQuery an object.
func (p *page) each(columns int, do func(values [][]byte) error) error {
	if p.rows == 0 {
		return nil
	}
	if _, err := p.answer.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if _, err := io.CopyN(io.Discard, p.answer, p.start); err != nil {
		return err
	}
	d := jsontext.NewDecoder(p.answer, strictjson.Lenient)
	d.ReadToken() // the bracket
	for range p.rows {
		var row []jsontext.Value
		var object bigQueryRow
		if d.PeekKind() != '{' {
			if err := json.UnmarshalDecode(d, &row, strictjson.Lenient); err != nil {
				return errOtherShape
			}
		} else if err := json.UnmarshalDecode(d, &object, strictjson.Lenient); err != nil {
			return errOtherShape
		}
		for _, cell := range object.Cells {
			row = append(row, cell.Value)
		}
		if len(row) != columns {
			return errOtherShape
		}
		if err := do(texts(row)); err != nil {
			return err
		}
	}
	return nil
}

var errOtherShape = errors.New("the answer has another shape than documented")

// isTime reports whether a type is DATE, TIMESTAMP, or one of its kinds, such as timestamp_ntz.
func isTime(name string) bool {
	name = strings.ToLower(name)
	return name == "date" || strings.HasPrefix(name, "timestamp")
}

// texts returns the values of a row. One that is not valid Unicode stays invalid, so that it is known to be
// damaged.
func texts(row []jsontext.Value) [][]byte {
	values := make([][]byte, len(row))
	for i, value := range row {
		if value.Kind() == 'n' {
			continue
		}
		text, ok := textOf(value)
		if values[i] = text; !ok {
			values[i] = append(text[:len(text):len(text)], 0xff)
		}
	}
	return values
}

// restError is an answer that is an error.
type restError struct {
	status        int
	code, message string // as the vendor says
}

func (e *restError) Error() string {
	return fmt.Sprintf("%q (%s)", e.message[:min(len(e.message), 400)], strings.TrimSpace(strconv.Itoa(e.status)+" "+e.code))
}

// answer is one that is not an error.
type answer struct {
	status int
	body   io.ReadSeeker
}

func (a *answer) page(rows rowsJSON) *page { return &page{a.body, rows} }

// call sends a request and decodes the answer, which must be one that is not an error. After a 401 it signs in
// anew, once: the token may have ended, or our clock be wrong.
func (r *rest) call(ctx context.Context, method, path string, query url.Values, body, into any) (a answer, err error) {
	for attempt := 1; ; attempt++ {
		a, err = r.send(ctx, method, path, query, body, into, attempt > 1)
		if refused, ok := errors.AsType[*restError](err); !ok || refused.status != http.StatusUnauthorized || attempt == 2 {
			return a, err
		}
	}
}

func (r *rest) send(ctx context.Context, method, path string, query url.Values, body, into any, anew bool) (a answer, err error) {
	var content io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return a, err
		}
		content = bytes.NewReader(data)
	}
	target := r.base.JoinPath(path)
	target.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, target.String(), content)
	if err != nil {
		return a, err
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	req.Header.Set("Accept", "application/json")
	// Google compresses only where the user agent says so:
	// https://developers.google.com/authorized-buyers/apis/guides/performance
	req.Header.Set("User-Agent", applicationName+"/1 (gzip)")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	token, err := r.token(ctx, anew)
	if err != nil {
		return a, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := r.fetch(req)
	if err != nil {
		return a, err
	}
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil && resp.StatusCode == http.StatusUnauthorized {
		r.mu.Lock()
		r.skew = time.Until(at)
		r.mu.Unlock()
	}
	if resp.StatusCode/100 != 2 {
		return a, answerError(resp)
	}
	return decodeAnswer(resp, into)
}

func (r *rest) token(ctx context.Context, anew bool) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.login(ctx, time.Now().Add(r.skew), anew)
}

// fixedToken is a login with a token that was given.
func fixedToken(token string) func(context.Context, time.Time, bool) (string, error) {
	return func(context.Context, time.Time, bool) (string, error) { return token, nil }
}

// decodeAnswer decodes a good answer. Its body is in memory and stays there.
func decodeAnswer(resp *http.Response, into any) (a answer, err error) {
	body, ok := resp.Body.(io.ReadSeeker)
	if !ok {
		return a, errors.New("the body of an answer cannot be read twice")
	}
	if err := json.UnmarshalRead(body, into, strictjson.Lenient); err != nil {
		return a, errOtherShape
	}
	return answer{resp.StatusCode, body}, nil
}

// fetch returns an answer. Its error lacks the URL, which can be a secret.
func (r *rest) fetch(req *http.Request) (*http.Response, error) {
	resp, err := r.client.Do(req)
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err
	}
	return resp, err
}

// answerError takes what the three vendors say of an error: Snowflake and Databricks at the top, Google in an
// object.
func answerError(resp *http.Response) *restError {
	data, _ := io.ReadAll(resp.Body) // from memory
	var parsed struct {
		Code      jsontext.Value `json:"code"`
		ErrorCode string         `json:"error_code"`
		Message   string         `json:"message"`
		Error     jsontext.Value `json:"error"`
		ErrorText string         `json:"error_description"`
	}
	json.Unmarshal(data, &parsed, strictjson.Lenient) // else it has none of them
	e := &restError{resp.StatusCode, parsed.ErrorCode, parsed.Message}
	if parsed.Code.Kind() == '"' {
		e.code = strings.Trim(parsed.Code.String(), `"`)
	}
	var google struct {
		Message string `json:"message"`
		Errors  []struct {
			Reason string `json:"reason"`
		} `json:"errors"`
	}
	if parsed.Error.Kind() == '{' && json.Unmarshal(parsed.Error, &google, strictjson.Lenient) == nil {
		e.message = google.Message
		for _, one := range google.Errors {
			e.code = one.Reason
		}
	}
	if e.message == "" {
		e.message = parsed.ErrorText
	}
	return e
}

// fail makes an *Error of what a vendor says.
func (r *rest) fail(doing string, err error) error {
	if errors.Is(err, errPaused) {
		return err
	}
	if ended := endedError(doing, err); ended != nil {
		return ended
	}
	answer, ok := errors.AsType[*restError](err)
	if !ok {
		return &Error{Problem: Unreachable, Vendor: r.vendor, text: doing + ": " + err.Error(), cause: err}
	}
	problem := r.problems[answer.code]
	switch {
	case problem != 0:
	case answer.status == http.StatusUnauthorized:
		problem = LoginRefused
	case answer.status == http.StatusForbidden:
		problem = PermissionDenied
	default:
		problem = Refused
	}
	return &Error{Problem: problem, Vendor: r.vendor, Code: answer.code, text: doing + ": " + answer.Error()}
}

// poll calls isDone until it is, each time after a longer pause.
func poll(ctx context.Context, isDone func() (bool, error)) error {
	for n := 1; ; n++ {
		timer := time.NewTimer(min(time.Duration(n*n)*50*time.Millisecond, 5*time.Second))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		if done, err := isDone(); done || err != nil {
			return err
		}
	}
}

// randomID returns a version 4 UUID.
func randomID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
