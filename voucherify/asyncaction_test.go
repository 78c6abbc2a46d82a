package voucherify_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"segsync/voucherify"
)

func TestAsyncAction(t *testing.T) {
	const head = `{"id":"aa_1","type":"CUSTOMERS.BULK_UPDATE","status":"DONE","operation_status":"SUCCESS",
		"created_at":"2023-01-20T07:58:25.144Z","updated_at":null,"request_id":"v-1","object":"async_action","result":`
	n := func(n int) *int { return &n }
	rejected := voucherify.ActionError{SourceID: "u1", Key: "metadata_validation_failed", Message: "m", Details: "d"}
	for _, c := range []struct {
		name, result string
		want         voucherify.ActionResult
	}{
		{"none yet", `null`, voucherify.ActionResult{}},
		{"done", `{"done_count":3,"failed_count":0,"reports":["x"],"errors":[]}`,
			voucherify.ActionResult{DoneCount: n(3), FailedCount: n(0), Errors: []voucherify.ActionError{}}},
		{"partly", `{"done_count":2,"failed_count":1,"errors":[{"message":"m","details":"d","key":"metadata_validation_failed","source_id":"u1"}]}`,
			voucherify.ActionResult{DoneCount: n(2), FailedCount: n(1), Errors: []voucherify.ActionError{rejected}}},
		{"the old shape", `{"results":[{"source_id":"u1","updated":true,"found":false},{"source_id":"u2"}],"done_count":1}`,
			voucherify.ActionResult{DoneCount: n(1), Results: []voucherify.RecordResult{{SourceID: "u1", Updated: true}, {SourceID: "u2"}}}},
		{"negative", `{"done_count":-9223372036854775808,"failed_count":-1}`, voucherify.ActionResult{}},
		{"absurd", `{"done_count":1000000001,"failed_count":1e10}`, voucherify.ActionResult{}},
		{"more than 64 bits", `{"done_count":18446744073709551617,"failed_count":1000000000}`, voucherify.ActionResult{FailedCount: n(1_000_000_000)}},
		{"fractions", `{"done_count":2.5,"failed_count":"0.1"}`, voucherify.ActionResult{}},
		{"whole numbers as text and as fractions", `{"done_count":"10","failed_count":10.0}`, voucherify.ActionResult{DoneCount: n(10), FailedCount: n(10)}},
		{"text that is not a number", `{"done_count":"ten","failed_count":true}`, voucherify.ActionResult{}},
		{"a long value", `{"done_count":0,"failed_count":1,"errors":[{"source_id":"u1","details":"a: must be a number (actual value is '` + strings.Repeat("x", 2000) + `')"}]}`,
			voucherify.ActionResult{DoneCount: n(0), FailedCount: n(1), Errors: []voucherify.ActionError{{SourceID: "u1", Details: "a: must be a number"}}}},
		{"errors of other kinds", `{"done_count":1,"errors":["x",7,null,{},{"source_id":"u1","key":"metadata_validation_failed","message":"m","details":["d"]},
			{"source_id":{"a":1},"message":"m"}]}`,
			voucherify.ActionResult{DoneCount: n(1), Errors: []voucherify.ActionError{{}, {}, {}, {}, {SourceID: "u1", Key: "metadata_validation_failed", Message: "m"}, {Message: "m"}}}},
		{"errors that are no array", `{"done_count":1,"failed_count":0,"errors":"none"}`, voucherify.ActionResult{DoneCount: n(1), FailedCount: n(0)}},
		{"another kind of result", `"done"`, voucherify.ActionResult{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var uri string
			client := newClient(t, func(w http.ResponseWriter, r *http.Request) {
				uri = r.RequestURI
				io.WriteString(w, head+c.result+`}`)
			})
			got, err := client.AsyncAction(t.Context(), "aa_1/..")
			if err != nil {
				t.Fatal(err)
			}
			want := &voucherify.AsyncAction{
				ID: "aa_1", Type: "CUSTOMERS.BULK_UPDATE", Status: "DONE", OperationStatus: "SUCCESS", RequestID: "v-1",
				CreatedAt: time.Date(2023, 1, 20, 7, 58, 25, 144e6, time.UTC), Result: c.want,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("action (-want +got):\n%s", diff)
			}
			if want := "/v1/async-actions/aa_1%2F.."; uri != want {
				t.Errorf("request of %s, want %s", uri, want)
			}
		})
	}
}

// The result counts even if nobody can tell when the action was created.
func TestAsyncActionWithoutATime(t *testing.T) {
	for _, created := range []string{`""`, `null`, `7`, `"yesterday"`} {
		got, err := newClient(t, reply(200, `{"id":"aa_1","status":"FAILED","created_at":`+created+`}`)).AsyncAction(t.Context(), "aa_1")
		if diff := cmp.Diff(&voucherify.AsyncAction{ID: "aa_1", Status: "FAILED"}, got); err != nil || diff != "" {
			t.Errorf("created_at %s: %v (-want +got):\n%s", created, err, diff)
		}
	}
}

func TestAsyncActions(t *testing.T) {
	var uri string
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		uri = r.RequestURI
		io.WriteString(w, `{"object":"list","data_ref":"async_actions","async_actions":[
			{"id":"aa_2","type":"CUSTOMERS.BULK_UPDATE","status":"DONE","created_at":"2022-09-05T11:40:17.098Z"},
			{"id":"aa_1","type":"X","status":"ENQUEUED","created_at":"2022-09-05T10:37:56.051Z"}]}`)
	})
	end := time.Date(2022, 9, 6, 2, 0, 0, 5e6, time.FixedZone("", 2*3600))
	got, full, err := c.AsyncActions(t.Context(), 50, end)
	if err != nil {
		t.Fatal(err)
	}
	want := []voucherify.AsyncAction{
		{ID: "aa_2", Type: "CUSTOMERS.BULK_UPDATE", Status: "DONE", CreatedAt: time.Date(2022, 9, 5, 11, 40, 17, 98e6, time.UTC)},
		{ID: "aa_1", Type: "X", Status: "ENQUEUED", CreatedAt: time.Date(2022, 9, 5, 10, 37, 56, 51e6, time.UTC)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
	if full {
		t.Error("a page of 2 of 50 is full")
	}
	if want := "/v1/async-actions?end_date=2022-09-06T00%3A00%3A00.005Z&limit=50"; uri != want {
		t.Errorf("request of %s, want %s", uri, want)
	}
}

// What is somebody else's, and odd, does not hide our actions.
func TestOddAsyncActionsAreLeftOut(t *testing.T) {
	for _, odd := range []string{`null`, `7`, `[]`, `{}`, `{"id":null,"created_at":"2022-09-05T11:40:17.098Z"}`, `{"id":"aa_1","created_at":""}`,
		`{"id":"aa_1","created_at":null}`, `{"id":"aa_1","created_at":7}`, `{"id":{},"created_at":"2022-09-05T11:40:17.098Z"}`, `{"ID":"aa_1","created_at":"2022-09-05T11:40:17.098Z"}`} {
		body := `{"async_actions":[` + odd + `,{"id":"aa_2","created_at":"2022-09-05T11:40:17.098Z","result":"odd"}]}`
		got, full, err := newClient(t, reply(200, body)).AsyncActions(t.Context(), 2, time.Time{})
		want := []voucherify.AsyncAction{{ID: "aa_2", CreatedAt: time.Date(2022, 9, 5, 11, 40, 17, 98e6, time.UTC)}}
		if diff := cmp.Diff(want, got); err != nil || !full || diff != "" {
			t.Errorf("%s: full %t, %v, actions (-want +got):\n%s", odd, full, err, diff)
		}
	}
}

func TestWhatIsNotAListOfAsyncActions(t *testing.T) {
	for _, body := range []string{`{}`, `{"async_actions":null}`, `{"async_actions":{}}`, `{"async_actions":7}`, `[]`, `{"ASYNC_ACTIONS":[]}`} {
		if got, _, err := newClient(t, reply(200, body)).AsyncActions(t.Context(), 2, time.Time{}); err == nil || got != nil {
			t.Errorf("%s: %v, %v, want an error", body, got, err)
		}
	}
}

func TestContradiction(t *testing.T) {
	for _, c := range []struct{ name, action, want string }{
		{"good", `"operation_status":"SUCCESS","result":{"done_count":3,"failed_count":0,"errors":[]}`, ""},
		{"unknown", `"operation_status":"UNKNOWN","result":{"done_count":3}`, ""},
		{"an error that names a customer", `"result":{"done_count":3,"errors":[{"source_id":"u1"}]}`, ""},
		{"fewer done", `"operation_status":"FAILED","result":{"done_count":2,"errors":[{}]}`, ""},
		{"some failed", `"operation_status":"FAILED","result":{"done_count":3,"failed_count":1}`, ""},
		{"no counts", `"operation_status":"FAILED"`, ""},
		{"failed", `"operation_status":"FAILED","result":{"done_count":3,"failed_count":0}`, "its counts are good, but its operation_status is FAILED"},
		{"errors without a name", `"operation_status":"SUCCESS","result":{"done_count":3,"failed_count":0,"errors":[{"key":"k"},null,{"source_id":"u1"}]}`,
			"its counts are good, but it has 2 errors without a source_id"},
	} {
		action, err := newClient(t, reply(200, `{"id":"aa_1","status":"DONE",`+c.action+`}`)).AsyncAction(t.Context(), "aa_1")
		if err != nil {
			t.Fatal(err)
		}
		if got := action.Contradiction(3); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// The result of the largest request, all of it rejected, is read.
func TestLargeAsyncAction(t *testing.T) {
	const rejected = 28_000
	c := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"id":"aa_1","status":"DONE","result":{"done_count":0,"failed_count":%d,"errors":[`, rejected)
		for i := range rejected {
			if i > 0 {
				io.WriteString(w, ",")
			}
			fmt.Fprintf(w, `{"source_id":"user-%d","key":"metadata_validation_failed","message":"m","details":"%0600d"}`, i, i)
		}
		io.WriteString(w, "]}}")
	})
	action, err := c.AsyncAction(t.Context(), "aa_1")
	if err != nil || len(action.Result.Errors) != rejected || action.Result.Errors[rejected-1].SourceID != "user-27999" {
		t.Errorf("%v, %d errors, want %d", err, len(action.Result.Errors), rejected)
	}
}
