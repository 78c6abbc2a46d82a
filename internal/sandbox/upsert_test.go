package sandbox_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"segsync/internal/sandbox"
)

const customersPath = "/v1/customers"

// errorKey returns the key of Voucherify's error body.
func errorKey(c *client, body string) string {
	c.t.Helper()
	var v struct{ Key string }
	decode(c.t, body, &v)
	return v.Key
}

func TestSingleUpsert(t *testing.T) {
	s, c := start(t, sandbox.Options{
		APICalls:  sandbox.Bucket{Limit: 100},
		BulkCalls: sandbox.Bucket{Limit: 1},
		// The single one does not wait for the queue.
		ActionDelay: time.Hour,
	})
	resp, body := c.do("POST", customersPath, `{"source_id":"a","name":"Ada","metadata":{"k":1}}`, 200)
	equal(t, "limit", resp.Header.Get("X-Rate-Limit-Limit"), "100")
	var got struct {
		ID, SourceID, Name, Object string
	}
	decode(t, strings.ReplaceAll(body, "source_id", "SourceID"), &got)
	if !strings.HasPrefix(got.ID, "cust_") || got.SourceID != "a" || got.Name != "Ada" || got.Object != "customer" {
		t.Errorf("answer %s", body)
	}
	c.do("POST", customersPath, `{"source_id":"a","email":"a@example.com"}`, 200)
	_, byID := c.do("GET", customersPath+"/"+got.ID, "", 200)
	_, bySource := c.do("GET", customersPath+"/a", "", 200)
	equal(t, "by source_id", bySource, byID)
	if !strings.Contains(byID, `"name":"Ada"`) || !strings.Contains(byID, `"email":"a@example.com"`) {
		t.Errorf("not merged: %s", byID)
	}
	_, body = c.do("GET", customersPath+"/nobody", "", 404)
	equal(t, "unknown", errorKey(c, body), "not_found")
	stats := s.Stats()
	equal(t, "counts", []int{stats.Upserts, stats.BulkRequests, stats.Customers}, []int{2, 0, 2})
}

func TestSingleUpsertRefuses(t *testing.T) {
	s, c := start(t, sandbox.Options{Reject: func(id string) (string, string, string) {
		if id == "bad" {
			return "metadata_validation_failed", "Metadata validation failed", "age: must be a number"
		}
		return "", "", ""
	}})
	for body, want := range map[string]string{
		`[{"source_id":"a"}]`:               "invalid_payload",
		`{"name":"a"}`:                      "invalid_payload",
		`{"source_id":"a","name":7}`:        "invalid_payload",
		`{"source_id":"a","birthdate":"x"}`: "invalid_payload",
		`{"source_id":"bad"}`:               "metadata_validation_failed",
		`{`:                                 "invalid_payload",
		``:                                  "invalid_payload",
	} {
		_, answer := c.do("POST", customersPath, body, 400)
		equal(t, body, errorKey(c, answer), want)
	}
	equal(t, "customers", len(s.Customers()), 0)
}

func TestRejectShare(t *testing.T) {
	records := func() string {
		var b strings.Builder
		for i := range 1000 {
			fmt.Fprintf(&b, `,{"source_id":"user-%d"}`, i)
		}
		return "[" + b.String()[1:] + "]"
	}
	var first any
	for range 2 {
		s, c := start(t, sandbox.Options{RejectShare: 0.1, Seed: 3})
		got := result(c, upsert(c, records()))
		if n := s.Stats().Rejected; n < 70 || n > 130 {
			t.Errorf("%d of 1000 were rejected, want about 100", n)
		}
		if first == nil {
			first = got
		}
		equal(t, "result of the same seed", got, first)
	}
}
