package sandbox_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"segsync/internal/sandbox"
)

const (
	bulk    = "/v1/customers/bulk/async"
	actions = "/v1/async-actions"
)

// upsert sends records and returns the id of the action.
func upsert(c *client, records string) string {
	c.t.Helper()
	_, body := c.do("POST", bulk, records, 202)
	var v map[string]string
	decode(c.t, body, &v)
	equal(c.t, "keys of a 202", keysOf(c.t, body), []string{"async_action_id"})
	return v["async_action_id"]
}

// result returns the result of an action, as JSON.
func result(c *client, id string) map[string]any {
	c.t.Helper()
	var a struct{ Result map[string]any }
	c.get(actions+"/"+id, &a)
	delete(a.Result, "reports")
	delete(a.Result, "reports_available_till")
	return a.Result
}

func customers(t *testing.T, s *sandbox.Sandbox) map[string]any {
	t.Helper()
	m := map[string]any{}
	for id, raw := range s.Customers() {
		var v any
		decode(t, string(raw), &v)
		m[id] = v
	}
	return m
}

func TestUpsertMerges(t *testing.T) {
	s, c := start(t, sandbox.Options{})
	upsert(c, `[{"source_id":"a","name":"Ada","address":{"city":"X","state":"Y"},"metadata":{"k":1}},{"source_id":"b"}]`)
	upsert(c, `[{"source_id":"a","email":"a@example.com","birthdate":null,"address":{"city":null},"metadata":{"l":2}},
		{"source_id":"b","name":"1"},{"source_id":"b","name":"2"}]`)
	equal(t, "customers", customers(t, s), map[string]any{
		"a": map[string]any{
			"source_id": "a", "name": "Ada", "email": "a@example.com", "birthdate": nil,
			"address":  map[string]any{"city": nil, "state": "Y"},
			"metadata": map[string]any{"k": json.Number("1"), "l": json.Number("2")},
		},
		"b": map[string]any{"source_id": "b", "name": "2"},
	})
	got := s.Stats()
	equal(t, "counts", []int{got.BulkRequests, got.BulkAccepted, got.Customers, got.DuplicateInBatch}, []int{2, 2, 5, 1})
}

func TestDiscard(t *testing.T) {
	s, c := start(t, sandbox.Options{Discard: true})
	upsert(c, `[{"source_id":"a"},{"source_id":"b"},{}]`)
	got := s.Stats()
	equal(t, "counts", []int{got.Customers, got.Rejected, len(s.Customers())}, []int{2, 1, 0})
}

func TestBulkRefusals(t *testing.T) {
	s, c := start(t, sandbox.Options{MaxCustomers: 2, MaxBody: 100})
	for body, want := range map[string]string{
		`{"source_id":"a"}`: `invalid_payload`,
		`null`:              `invalid_payload`,
		`["a"]`:             `invalid_payload`,
		`[`:                 `invalid_payload`,
		``:                  `invalid_payload`,
		`[{},{},{}]`:        `too_many_customers`,
	} {
		_, got := c.do("POST", bulk, body, 400)
		if !strings.Contains(got, `"key":"`+want+`"`) {
			t.Errorf("%s: %s", body, got)
		}
		equal(t, "keys", keysOf(t, got), []string{"code", "details", "key", "message", "request_id"})
	}
	_, got := c.do("POST", bulk, `["`+strings.Repeat("x", 100)+`"]`, 413)
	equal(t, "413", got, `{"statusCode":413,"error":"Request Entity Too Large","message":"Payload content length greater than maximum allowed: 100"}`)
	equal(t, "accepted", s.Stats().BulkAccepted, 0)
}

const threeRecords = `[{"source_id":"a"},{"source_id":"bad"},{"source_id":null}]`

func rejectBad(sourceID string) (key, message, details string) {
	if sourceID == "bad" {
		return "metadata_validation_failed", "Metadata validation failed", "k: must be a string"
	}
	return "", "", ""
}

func TestPartialFailure(t *testing.T) {
	failures := []any{
		map[string]any{"message": "Metadata validation failed", "details": "k: must be a string", "key": "metadata_validation_failed", "source_id": "bad"},
		map[string]any{"message": "Invalid payload", "details": "Property .source_id should be a non-empty string", "key": "invalid_payload", "source_id": ""},
	}
	for _, tt := range []struct {
		o      sandbox.Options
		status string // of the operation; "" when absent
		result map[string]any
	}{
		{sandbox.Options{}, "SUCCESS", map[string]any{"done_count": json.Number("1"), "failed_count": json.Number("2"), "errors": failures}},
		{sandbox.Options{OperationStatus: "FAILED", MaxErrors: 1}, "FAILED", map[string]any{"done_count": json.Number("1"), "failed_count": json.Number("2"), "errors": failures[:1]}},
		{sandbox.Options{OperationStatus: "-"}, "", map[string]any{"done_count": json.Number("1"), "failed_count": json.Number("2"), "errors": failures}},
		{sandbox.Options{LegacyResults: true}, "", map[string]any{"done_count": json.Number("1"), "results": []any{
			map[string]any{"source_id": "a", "found": false, "updated": true},
			map[string]any{"source_id": "bad", "found": false, "updated": false},
			map[string]any{"source_id": "", "found": false, "updated": false},
		}}},
	} {
		tt.o.Reject = rejectBad
		s, c := start(t, tt.o)
		id := upsert(c, threeRecords)
		equal(t, "result", result(c, id), tt.result)
		var a map[string]any
		c.get(actions+"/"+id, &a)
		status, _ := a["operation_status"].(string)
		equal(t, "statuses", []any{a["status"], status}, []any{"DONE", tt.status})
		equal(t, "customers", customers(t, s), map[string]any{"a": map[string]any{"source_id": "a"}})
		equal(t, "rejected", s.Stats().Rejected, 2)
	}
}

func TestWronglyTypedRecordsFail(t *testing.T) {
	s, c := start(t, sandbox.Options{})
	bad := []string{`"source_id":1`, `"source_id":""`, `"name":1`, `"email":{}`, `"birthdate":"05/02/1984"`, `"birthdate":"2023-02-29"`, `"address":"x"`, `"metadata":[]`}
	for _, field := range bad {
		upsert(c, `[{"source_id":"a",`+field+`}]`)
	}
	equal(t, "rejected", s.Stats().Rejected, len(bad))
}

func TestActionHasTheDocumentedKeys(t *testing.T) {
	s, c := start(t, sandbox.Options{})
	id := upsert(c, `[{"source_id":"a b","name":"Ada"}]`)
	common := []string{"created_at", "id", "object", "progress", "request_id", "status", "type", "updated_at"}
	all := slices.Sorted(slices.Values(append([]string{"operation_status", "processing_time", "result"}, common...)))
	_, body := c.do("GET", actions+"/"+id, "", 200)
	equal(t, "action", keysOf(t, body), all)

	_, body = c.do("GET", actions, "", 200)
	equal(t, "list", keysOf(t, body), []string{"async_actions", "data_ref", "object"})
	var list struct {
		Actions []json.RawMessage `json:"async_actions"`
	}
	decode(t, body, &list)
	equal(t, "list item", keysOf(t, string(list.Actions[0])), common)

	_, body = c.do("GET", "/v1/customers/a%20b", "", 200)
	equal(t, "customer", keysOf(t, body), []string{"address", "assets", "created_at", "id", "loyalty", "name",
		"object", "referrals", "source_id", "summary", "system_metadata", "updated_at"})
	var cust struct{ ID string }
	decode(t, body, &cust)
	_, again := c.do("GET", "/v1/customers/"+cust.ID, "", 200)
	equal(t, "customer by id", again, body)
	_, body = c.do("GET", "/v1/customers", "", 200)
	equal(t, "customers", keysOf(t, body), []string{"customers", "data_ref", "has_more", "object", "total"})

	for _, path := range []string{actions + "/aa_0", "/v1/customers/nobody", "/v1/metadata-schemas/customer"} {
		_, body = c.do("GET", path, "", 404)
		equal(t, path, keysOf(t, body), []string{"code", "details", "key", "message", "request_id", "resource_id", "resource_type"})
	}
	equal(t, "requests", s.Stats().VoucherifyRequests, 9)
}

// ask sends a request without a network, so that it can be used in a bubble.
func ask(s *sandbox.Sandbox, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("X-App-Id", "sandbox-app-id")
	r.Header.Set("X-App-Token", "sandbox-secret-key")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// statuses returns the statuses of the actions, oldest first.
func statuses(s *sandbox.Sandbox, query string) string {
	var list struct {
		Actions []struct{ Status string } `json:"async_actions"`
	}
	json.Unmarshal(ask(s, "GET", actions+query, "").Body.Bytes(), &list)
	var all []string
	for _, a := range slices.Backward(list.Actions) {
		all = append(all, a.Status)
	}
	return strings.Join(all, " ")
}

func TestActionsRunOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sandbox.New(sandbox.Options{ActionDelay: 10 * time.Second, HideFresh: time.Second})
		ask(s, "POST", bulk, `[{"source_id":"a"}]`)
		ask(s, "POST", bulk, `[{"source_id":"b"}]`)
		equal(t, "fresh ones", statuses(s, ""), "")
		for _, want := range []string{"IN_PROGRESS ENQUEUED 0", "DONE IN_PROGRESS 1", "DONE DONE 2"} {
			time.Sleep(9 * time.Second)
			equal(t, "statuses", fmt.Sprint(statuses(s, ""), " ", len(s.Customers())), want)
		}
	})
}

func TestUnluckyActions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := func(n int) func(int) bool { return func(i int) bool { return i == n } }
		s := sandbox.New(sandbox.Options{FailActions: is(1), StuckActions: is(2), ForgetActions: is(3), ActionDelay: time.Second})
		var forgotten struct {
			ID string `json:"async_action_id"`
		}
		for i := range 4 {
			w := ask(s, "POST", bulk, fmt.Sprintf(`[{"source_id":"%d"}]`, i+1))
			if i == 2 {
				json.Unmarshal(w.Body.Bytes(), &forgotten)
			}
		}
		time.Sleep(time.Hour)
		equal(t, "statuses", statuses(s, ""), "FAILED IN_PROGRESS DONE")
		equal(t, "forgotten", ask(s, "GET", actions+"/"+forgotten.ID, "").Code, 404)
		equal(t, "customers", customers(t, s), map[string]any{
			"3": map[string]any{"source_id": "3"}, "4": map[string]any{"source_id": "4"}})
	})
}

func TestListOfActions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sandbox.New(sandbox.Options{})
		begin := time.Now()
		for range 12 {
			ask(s, "POST", bulk, `[]`)
			time.Sleep(time.Minute)
		}
		count := func(query string) int { return strings.Count(statuses(s, query), "DONE") }
		equal(t, "default limit", count(""), 10)
		equal(t, "limit", count("?limit=100"), 12)
		end := begin.Add(3 * time.Minute).UTC().Format("2006-01-02T15:04:05.000Z")
		equal(t, "end_date, exclusive", count("?end_date="+end), 3)
		for _, query := range []string{"?limit=0", "?limit=101", "?end_date=yesterday"} {
			equal(t, query, ask(s, "GET", actions+query, "").Code, 400)
		}
	})
}

func TestBuckets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sandbox.New(sandbox.Options{
			APICalls:  sandbox.Bucket{Limit: 100},
			BulkCalls: sandbox.Bucket{Limit: 2, Period: 10 * time.Second},
		})
		begin := time.Now().Unix()
		for i, want := range []string{
			fmt.Sprintf("202 limit 2 remaining 1 retry %d after  type ", begin+10),
			fmt.Sprintf("202 limit 2 remaining 0 retry %d after  type ", begin+10),
			fmt.Sprintf("429 limit 2 remaining 0 retry %d after 6 type bulk_api_calls", begin+10),
			fmt.Sprintf("202 limit 2 remaining 1 retry %d after  type ", begin+20),
		} {
			w := ask(s, "POST", bulk, `[]`)
			equal(t, fmt.Sprint("call ", i), headers(w.Code, w.Header()), want)
			time.Sleep([]time.Duration{2, 2, 8, 0}[i] * time.Second)
		}
		w := ask(s, "GET", actions, "")
		equal(t, "GET", headers(w.Code, w.Header()), fmt.Sprintf("200 limit 100 remaining 99 retry %d after  type ", begin+12+3600))
	})
}

func headers(status int, h http.Header) string {
	return fmt.Sprintf("%d limit %s remaining %s retry %s after %s type %s", status, h.Get("X-Rate-Limit-Limit"),
		h.Get("X-Rate-Limit-Remaining"), h.Get("X-Rate-Limit-Retry"), h.Get("Retry-After"), h.Get("X-Rate-Limit-Type"))
}

func TestSchema(t *testing.T) {
	const schema = `{"id":"ms_1","related_object":"customer","allow_defined_only":true,"properties":{
		"lang":{"type":"string","array":false,"optional":false,"eq":["en","de"]},
		"tags":{"type":"string","array":true,"optional":true},
		"old":{"type":"string","array":false,"optional":true,"deleted":true}},"object":"metadata_schema"}`
	s, c := start(t, sandbox.Options{Schema: json.RawMessage(schema), EnforceSchema: true})
	_, body := c.do("GET", "/v1/metadata-schemas/customer", "", 200)
	equal(t, "schema", body, schema)
	_, body = c.do("GET", "/v1/metadata-schemas", "", 200)
	equal(t, "list", body, `{"object":"list","data_ref":"schemas","schemas":[`+schema+`],"total":1}`)
	c.do("GET", "/v1/metadata-schemas/order", "", 404)

	for metadata, want := range map[string]string{
		`{"lang":"en","tags":["x"]}`: "",
		`{}`:                         "lang: property is required",
		`{"lang":"fr"}`:              "lang: must be a string, must be equal to one of en,de (actual value is 'fr')",
		`{"lang":"en","tags":"x"}`:   "tags: must be an array (actual value is 'x')",
		`{"lang":"en","tags":[1]}`:   "tags: must be a string (actual value is '1')",
		`{"lang":"en","old":"x"}`:    "old: is not defined",
	} {
		id := upsert(c, `[{"source_id":"a","metadata":`+metadata+`}]`)
		got := ""
		if failures := result(c, id)["errors"].([]any); len(failures) > 0 {
			got = failures[0].(map[string]any)["details"].(string)
		}
		equal(t, metadata, got, want)
	}
	equal(t, "rejected", s.Stats().Rejected, 5)
}
