package voucherify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"segsync/internal/httpretry"
	"segsync/internal/sandbox"
	"segsync/voucherify"
)

// newClient returns a client of an API that is answered by h.
func newClient(t *testing.T, h http.HandlerFunc) *voucherify.Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return clientOf(t, srv.URL, "app-1", "key-1")
}

func clientOf(t *testing.T, base, appID, secretKey string) *voucherify.Client {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	hc := &http.Client{
		Transport:     tr,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	c, err := voucherify.NewClient(hc, u, appID, secretKey)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// reply answers every request with the same body.
func reply(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// records are customers as JSON; n of them.
func records(n int) [][]byte {
	var all [][]byte
	for i := range n {
		all = append(all, fmt.Appendf(nil, `{"source_id":"u%d","name":"Zoë, \"Z\" ]"}`, i))
	}
	return all
}

func TestUpsertCustomers(t *testing.T) {
	type request struct {
		Line, AppID, AppToken, ContentType, Authorization string
		Body                                              string
		Length                                            int64
	}
	for _, n := range []int{0, 1, 2, 100, 1000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			var got request
			c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
				b, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				got = request{
					r.Method + " " + r.RequestURI, r.Header.Get("X-App-Id"), r.Header.Get("X-App-Token"),
					r.Header.Get("Content-Type"), r.Header.Get("Authorization"), string(b), r.ContentLength,
				}
				w.WriteHeader(http.StatusAccepted)
				io.WriteString(w, `{"async_action_id":"aa_0a875d56c805df6601","a_new_member":1}`)
			})
			customers := records(n)
			id, err := c.UpsertCustomers(t.Context(), customers)
			if err != nil {
				t.Fatal(err)
			}
			if want := "aa_0a875d56c805df6601"; id != want {
				t.Errorf("async action %q, want %q", id, want)
			}
			body := "[" + string(bytes.Join(customers, []byte(","))) + "]"
			want := request{
				"POST /v1/customers/bulk/async", "app-1", "key-1", "application/json", "", body,
				int64(voucherify.BulkBytes(customers)),
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
			if len(body) != voucherify.BulkBytes(customers) {
				t.Errorf("BulkBytes is %d, but the body has %d", voucherify.BulkBytes(customers), len(body))
			}
			var array []map[string]any
			if err := json.Unmarshal([]byte(got.Body), &array); err != nil || len(array) != n {
				t.Errorf("the body is an array of %d objects, %v; want %d", len(array), err, n)
			}
		})
	}
}

// The caller may send the same records again.
func TestUpsertCustomersLeavesTheRecordsAlone(t *testing.T) {
	backing := []byte(`{"source_id":"u0"}X{"source_id":"u1"}Y`)
	customers := [][]byte{backing[0:18], backing[19:37]}
	c := newClient(t, reply(202, `{"async_action_id":"aa_1"}`))
	if _, err := c.UpsertCustomers(t.Context(), customers); err != nil {
		t.Fatal(err)
	}
	if want := `{"source_id":"u0"}X{"source_id":"u1"}Y`; string(backing) != want {
		t.Errorf("the records became %s, want %s", backing, want)
	}
}

// roundTripper answers in memory.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// The transport below the client needs the body once more for each retry.
func TestUpsertCustomersIsTriedAgainWithItsBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bodies []string
		tr := httpretry.New(httpretry.Options{Base: roundTripper(func(r *http.Request) (*http.Response, error) {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			bodies = append(bodies, string(b))
			answer := httptest.NewRecorder()
			if len(bodies) < 3 {
				reply(502, "<html>")(answer, r)
			} else {
				reply(202, `{"async_action_id":"aa_1"}`)(answer, r)
			}
			return answer.Result(), nil
		})})
		u := &url.URL{Scheme: "https", Host: "api.voucherify.io"}
		c, err := voucherify.NewClient(tr.Client(), u, "app-1", "key-1")
		if err != nil {
			t.Fatal(err)
		}
		if id, err := c.UpsertCustomers(t.Context(), [][]byte{[]byte(`{"source_id":"u0"}`)}); id != "aa_1" || err != nil {
			t.Errorf("%q, %v, want aa_1", id, err)
		}
		if diff := cmp.Diff(slices.Repeat([]string{`[{"source_id":"u0"}]`}, 3), bodies); diff != "" {
			t.Errorf("bodies (-want +got):\n%s", diff)
		}
	})
}

func TestBaseURLWithAPath(t *testing.T) {
	var uri string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		uri = r.RequestURI
		io.WriteString(w, `{"async_action_id":"aa_1"}`)
	}))
	t.Cleanup(srv.Close)
	if _, err := clientOf(t, srv.URL+"/proxy", "app-1", "key-1").UpsertCustomers(t.Context(), records(1)); err != nil {
		t.Fatal(err)
	}
	if want := "/proxy/v1/customers/bulk/async"; uri != want {
		t.Errorf("request of %s, want %s", uri, want)
	}
}

func TestNewClientNeedsCredentials(t *testing.T) {
	u := &url.URL{Scheme: "https", Host: "api.voucherify.io"}
	for _, args := range [][2]string{{"", "key"}, {"app", ""}, {"", ""}} {
		c, err := voucherify.NewClient(http.DefaultClient, u, args[0], args[1])
		if err == nil || c != nil {
			t.Errorf("NewClient with application id %q, secret key %q: %v, %v, want an error", args[0], args[1], c, err)
		}
	}
}

func TestAnswerWithoutAnAsyncAction(t *testing.T) {
	const missing = "the answer has no async_action_id"
	const shape = "decoding Voucherify's answer: it has another shape than documented"
	for body, want := range map[string]string{
		`{}`:                           missing,
		`null`:                         missing,
		`{"async_action_id":null}`:     missing,
		`{"async_action_id":""}`:       missing,
		`{"id":"aa_1"}`:                missing,
		`{"async_action_id":"aa_1\n"}`: missing,
		`{"async_action_id":"../x"}`:   missing,
		`{"async_action_id":"` + strings.Repeat("a", 129) + `"}`: missing,
		`[]`:                          shape,
		`{"async_action_id":7}`:       shape,
		``:                            "decoding Voucherify's answer: unexpected EOF",
		`{"async_action_id":"aa_`:     "decoding Voucherify's answer: unexpected EOF",
		`<html>welcome</html>`:        "decoding Voucherify's answer: invalid character '<'",
		"\x1b[2J" + `{"a":"captive"}`: `decoding Voucherify's answer: invalid character '\x1b'`,
	} {
		for _, status := range []int{200, 202} {
			id, err := newClient(t, reply(status, body)).UpsertCustomers(t.Context(), records(1))
			if err == nil || !strings.HasPrefix(err.Error(), want) || id != "" {
				t.Errorf("%d %.100q: %q, %v, want %s", status, body, id, err, want)
			}
		}
	}
}

func TestUpsertCustomer(t *testing.T) {
	var got []string
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = []string{r.Method + " " + r.RequestURI, r.Header.Get("X-App-Id"), r.Header.Get("X-App-Token"), r.Header.Get("Content-Type"), string(b)}
		io.WriteString(w, `{"id":"cust_1","source_id":"u1","object":"customer"}`)
	})
	if err := c.UpsertCustomer(t.Context(), []byte(`{"source_id":"u1"}`)); err != nil {
		t.Fatal(err)
	}
	want := []string{"POST /v1/customers", "app-1", "key-1", "application/json", `{"source_id":"u1"}`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	for body, want := range map[string]string{
		`{}`:              "the answer is not a customer",
		`{"id":"cust_1"}`: "the answer is not a customer",
		`[]`:              "decoding Voucherify's answer: it has another shape than documented",
	} {
		if err := newClient(t, reply(200, body)).UpsertCustomer(t.Context(), nil); err == nil || err.Error() != want {
			t.Errorf("%s: error %v, want %s", body, err, want)
		}
	}
	refusal := `{"code":400,"key":"metadata_validation_failed","message":"Metadata validation failed","details":"plan: must be a string"}`
	err := newClient(t, reply(400, refusal)).UpsertCustomer(t.Context(), nil)
	if e, ok := errors.AsType[*voucherify.Error](err); !ok || !e.OfRecords() || e.Details != "plan: must be a string" {
		t.Errorf("a customer that is refused: %v, want Voucherify's words", err)
	}
}

func TestNetworkErrorNamesTheHost(t *testing.T) {
	srv := httptest.NewServer(reply(202, `{}`))
	host := strings.TrimPrefix(srv.URL, "http://")
	c := clientOf(t, srv.URL, "app-1", "key-1")
	srv.Close()
	_, err := c.UpsertCustomers(t.Context(), records(1))
	if err == nil || !strings.HasPrefix(err.Error(), host+": ") || strings.Contains(err.Error(), "bulk") {
		t.Errorf("error %v, want the host %s and the cause", err, host)
	}
}

func TestCancelledContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newClient(t, reply(202, `{}`)).UpsertCustomers(ctx, records(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

// The sandbox knows nothing of this package: what it stored is what it understood.
func TestSandboxUpsert(t *testing.T) {
	s := sandbox.New(sandbox.Options{MaxCustomers: 3, MaxBody: 1000, Record: true})
	srv, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	c := clientOf(t, srv.URL, "sandbox-app-id", "sandbox-secret-key")
	customers := [][]byte{
		marshal(t, voucherify.Customer{
			SourceID: "u1", Name: "Zoë <Z> & 🎈", Email: "zoe@example.com", Phone: "+1", Description: "d",
			Birthdate:      voucherify.NewBirthdate("1984-05-02"),
			Address:        &voucherify.Address{City: "c", State: "s", Country: "US", PostalCode: "02818", Line1: "1", Line2: "2"},
			Metadata:       map[string]any{"n": json.Number("9007199254740993"), "null": nil},
			SystemMetadata: map[string]string{"source": "segmentio"},
		}),
		marshal(t, voucherify.Customer{SourceID: "u2", Birthdate: voucherify.NoBirthdate}),
	}
	id, err := c.UpsertCustomers(t.Context(), customers)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(id, "aa_") {
		t.Errorf("async action %q, want aa_…", id)
	}
	if r := s.Requests(); len(r) != 1 || r[0].Status != 202 || len(r[0].Body) != voucherify.BulkBytes(customers) {
		t.Errorf("requests %v, want one with a body of %d bytes", r, voucherify.BulkBytes(customers))
	}
	stats := s.Stats()
	if stats.Customers != 2 || stats.Rejected != 0 {
		t.Errorf("%d customers were applied and %d rejected, want 2 and none", stats.Customers, stats.Rejected)
	}
	got := stored(t, srv.URL, "u1")
	want := map[string]any{
		"name": "Zoë <Z> & 🎈", "email": "zoe@example.com", "phone": "+1", "description": "d", "birthdate": "1984-05-02",
		"address": map[string]any{
			"city": "c", "state": "s", "country": "US", "postal_code": "02818", "line_1": "1", "line_2": "2",
		},
		"metadata": map[string]any{"n": json.Number("9007199254740993"), "null": nil},
	}
	for key, value := range want {
		if diff := cmp.Diff(value, got[key]); diff != "" {
			t.Errorf("%s of the stored customer (-want +got):\n%s", key, diff)
		}
	}

	var e *voucherify.Error
	if _, err := c.UpsertCustomers(t.Context(), records(4)); !errors.As(err, &e) || !e.TooManyCustomers() || e.TooLarge() || e.RequestID == "" {
		t.Errorf("four records: %v, want too_many_customers with a request id", err)
	}
	large := [][]byte{marshal(t, voucherify.Customer{SourceID: "u1", Name: strings.Repeat("x", 1000)})}
	if _, err := c.UpsertCustomers(t.Context(), large); !errors.As(err, &e) || !e.TooLarge() || e.TooManyCustomers() {
		t.Errorf("more than 1000 bytes: %v, want too large", err)
	}
	if _, err := clientOf(t, srv.URL, "sandbox-app-id", "wrong").UpsertCustomers(t.Context(), records(1)); !errors.As(err, &e) || !e.Refused() {
		t.Errorf("wrong key: %v, want refused", err)
	}
}

func TestSandboxQuota(t *testing.T) {
	s := sandbox.New(sandbox.Options{BulkCalls: sandbox.Bucket{Limit: 1}})
	srv, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	c := clientOf(t, srv.URL, "sandbox-app-id", "sandbox-secret-key")
	if _, err := c.UpsertCustomers(t.Context(), records(1)); err != nil {
		t.Fatal(err)
	}
	var e *voucherify.Error
	if _, err := c.UpsertCustomers(t.Context(), records(1)); !errors.As(err, &e) {
		t.Fatalf("second call of one: %v, want an Error", err)
	}
	want := &voucherify.Error{Status: 429, Message: "Too many requests hit the API too quickly.", LimitType: "bulk_api_calls"}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Errorf("Error (-want +got):\n%s", diff)
	}
}

// stored reads a customer back, without the package under test.
func stored(t *testing.T, base, sourceID string) map[string]any {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/v1/customers/"+sourceID, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-App-Id", "sandbox-app-id")
	req.Header.Set("X-App-Token", "sandbox-secret-key")
	tr := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("reading %s: status %d", sourceID, resp.StatusCode)
	}
	d := json.NewDecoder(resp.Body)
	d.UseNumber()
	var customer map[string]any
	if err := d.Decode(&customer); err != nil {
		t.Fatal(err)
	}
	return customer
}

// A bulk request of 100 customers, its answer included, over a transport that costs
// nothing.
func BenchmarkUpsertCustomers(b *testing.B) {
	base, err := url.Parse("http://127.0.0.1")
	if err != nil {
		b.Fatal(err)
	}
	hc := &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
		io.Copy(io.Discard, req.Body)
		return &http.Response{StatusCode: http.StatusAccepted, Body: io.NopCloser(strings.NewReader(`{"async_action_id":"a"}`))}, nil
	})}
	c, err := voucherify.NewClient(hc, base, "id", "key")
	if err != nil {
		b.Fatal(err)
	}
	customers := make([][]byte, 100)
	for i := range customers {
		if customers[i], err = json.Marshal(adaLovelace); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(voucherify.BulkBytes(customers)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.UpsertCustomers(b.Context(), customers); err != nil {
			b.Fatal(err)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
