package voucherify_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"segsync/voucherify"
)

// shown is all that a caller can learn from an Error beside its fields.
type shown struct {
	Text                                string
	TooManyCustomers, TooLarge, Refused bool
	OfRecords                           bool
	MaxCustomers                        int
}

func TestErrors(t *testing.T) {
	long, balloons := strings.Repeat("x", 300), strings.Repeat("🎈", 300)
	for _, c := range []struct {
		name   string
		status int
		body   string
		header []string
		want   voucherify.Error
		shown  shown
	}{
		{
			"invalid payload", 400,
			`{"code":400,"key":"invalid_payload","message":"Invalid payload","details":"Payload should have required property 'file'","request_id":"74e4bb71-5b6d-49b9-98eb-239691c9d67a"}`, nil,
			voucherify.Error{Status: 400, Key: "invalid_payload", Message: "Invalid payload", Details: "Payload should have required property 'file'", RequestID: "74e4bb71-5b6d-49b9-98eb-239691c9d67a"},
			shown{Text: "Voucherify answered 400: invalid_payload: Invalid payload: Payload should have required property 'file' (request id 74e4bb71-5b6d-49b9-98eb-239691c9d67a)", OfRecords: true},
		}, {
			"invalid query", 400,
			`{"code":400,"key":"invalid_query_params","message":"Invalid query params","details":"Property .end_date cannot be recognized as a ISO-8601 compliant date","request_id":"v-0c54493e444b0f61a6"}`, nil,
			voucherify.Error{Status: 400, Key: "invalid_query_params", Message: "Invalid query params", Details: "Property .end_date cannot be recognized as a ISO-8601 compliant date", RequestID: "v-0c54493e444b0f61a6"},
			shown{Text: "Voucherify answered 400: invalid_query_params: Invalid query params: Property .end_date cannot be recognized as a ISO-8601 compliant date (request id v-0c54493e444b0f61a6)", OfRecords: true},
		}, {
			"metadata validation", 400,
			`{"code":400,"key":"metadata_validation_failed","message":"Metadata validation failed","details":"location_id: must be an array, and every element: must be a string, must be equal to one of L1,L2,L3 (actual value is 'L1')","request_id":"v-0bcced27715305d3fa"}`, nil,
			voucherify.Error{Status: 400, Key: "metadata_validation_failed", Message: "Metadata validation failed", RequestID: "v-0bcced27715305d3fa",
				Details: "location_id: must be an array, and every element: must be a string, must be equal to one of L1,L2,L3"},
			shown{Text: "Voucherify answered 400: metadata_validation_failed: Metadata validation failed: location_id: must be an array, and every element: must be a string, must be equal to one of L1,L2,L3 (request id v-0bcced27715305d3fa)", OfRecords: true},
		}, {
			"too many customers", 400,
			`{"code":400,"key":"too_many_customers","message":"Too many customers","details":"Specify at most 100 customers","request_id":"v-0a885062c80375740f"}`, nil,
			voucherify.Error{Status: 400, Key: "too_many_customers", Message: "Too many customers", Details: "Specify at most 100 customers", RequestID: "v-0a885062c80375740f"},
			shown{
				Text:             "Voucherify answered 400: too_many_customers: Too many customers: Specify at most 100 customers (request id v-0a885062c80375740f)",
				TooManyCustomers: true, MaxCustomers: 100,
			},
		}, {
			"401", 401, `{"code":401,"message":"Unauthorized","key":"unauthorized"}`, nil,
			voucherify.Error{Status: 401, Key: "unauthorized", Message: "Unauthorized"},
			shown{Text: "Voucherify answered 401: Unauthorized", Refused: true},
		}, {
			"402", 402,
			`{"code":402,"message":"Payment required","details":"Your current plan does not include a feature required to perform this operation.","key":"missing_required_feature"}`, nil,
			voucherify.Error{Status: 402, Key: "missing_required_feature", Message: "Payment required", Details: "Your current plan does not include a feature required to perform this operation."},
			shown{
				Text: "Voucherify answered 402: missing_required_feature: Payment required: Your current plan does not include a feature required to perform this operation.",
			},
		}, {
			"403", 403, `{"code":403,"message":"Forbidden"}`, nil,
			voucherify.Error{Status: 403, Message: "Forbidden"},
			shown{Text: "Voucherify answered 403: Forbidden", Refused: true},
		}, {
			"404", 404,
			`{"code":404,"key":"not_found","message":"Resource not found","details":"Cannot find async_action with id aa_0aeb82bd55d5beffb","request_id":"v-0aeb88df54c82af560","resource_id":"aa_0aeb82bd55d5beffb","resource_type":"async_action"}`, nil,
			voucherify.Error{Status: 404, Key: "not_found", Message: "Resource not found", Details: "Cannot find async_action with id aa_0aeb82bd55d5beffb", RequestID: "v-0aeb88df54c82af560"},
			shown{
				Text: "Voucherify answered 404: not_found: Resource not found: Cannot find async_action with id aa_0aeb82bd55d5beffb (request id v-0aeb88df54c82af560)",
			},
		}, {
			"413 in its own shape", 413,
			`{"statusCode":413,"error":"Request Entity Too Large","message":"Payload content length greater than maximum allowed: 10485760"}`, nil,
			voucherify.Error{Status: 413, Message: "Payload content length greater than maximum allowed: 10485760"},
			shown{Text: "Voucherify answered 413: Payload content length greater than maximum allowed: 10485760", TooLarge: true},
		}, {
			"413 of a proxy", 413, "<html>413 Request Entity Too Large</html>", nil,
			voucherify.Error{Status: 413, Message: `"<html>413 Request Entity Too Large</html>"`, Foreign: true},
			shown{Text: `Voucherify answered 413: "<html>413 Request Entity Too Large</html>"`, TooLarge: true},
		}, {
			"too large, by its key", 400, `{"code":400,"key":"query_too_large","message":"Query too large"}`, nil,
			voucherify.Error{Status: 400, Key: "query_too_large", Message: "Query too large"},
			shown{Text: "Voucherify answered 400: query_too_large: Query too large", TooLarge: true},
		}, {
			"429 has no key", 429, `{"code":429,"message":"Too many requests hit the API too quickly."}`,
			[]string{"X-Rate-Limit-Type", "bulk_api_calls", "X-Attempts", "10"},
			voucherify.Error{Status: 429, Message: "Too many requests hit the API too quickly.", LimitType: "bulk_api_calls", Attempts: 10},
			shown{Text: "Voucherify answered 429: Too many requests hit the API too quickly., 10 times"},
		}, {
			"429 of the billing cycle", 429, `{"code":429,"message":"Too many requests hit the API too quickly."}`,
			[]string{"X-Rate-Limit-Type", "api_calls_cycle"},
			voucherify.Error{Status: 429, Message: "Too many requests hit the API too quickly.", LimitType: "api_calls_cycle"},
			shown{Text: "Voucherify answered 429: Too many requests hit the API too quickly."},
		}, {
			"502 HTML", 502, "<html>\r\n\x1b[2J", nil,
			voucherify.Error{Status: 502, Message: `"<html>\r\n\x1b[2J"`, Foreign: true},
			shown{Text: `Voucherify answered 502: "<html>\r\n\x1b[2J"`},
		}, {
			"long foreign body", 500, long, nil,
			voucherify.Error{Status: 500, Message: `"` + long[:200] + `"`, Foreign: true},
			shown{Text: `Voucherify answered 500: "` + long[:200] + `"`},
		}, {
			"long words of the API", 400, `{"key":"` + long + `","message":"a` + long + `","details":"` + long + `","request_id":"` + long + `"}`, nil,
			voucherify.Error{Status: 400, Key: long[:200] + "…", Message: "a" + long[:199] + "…", Details: long[:200] + "…", RequestID: long[:200] + "…"},
			shown{
				Text:      "Voucherify answered 400: " + long[:200] + "…: a" + long[:199] + "…: " + long[:200] + "… (request id " + long[:200] + "…)",
				OfRecords: true,
			},
		}, {
			"long words of four bytes a character", 500, `{"key":"` + balloons + `","message":"abcd` + balloons + `"}`, nil,
			voucherify.Error{Status: 500, Key: balloons[:800] + "…", Message: "abcd" + balloons[:4*196] + "…"},
			shown{Text: "Voucherify answered 500: " + balloons[:800] + "…: abcd" + balloons[:4*41] + "…"}, // 1,000 bytes and the ellipsis
		}, {
			"value with parentheses", 400, `{"message":"m","details":"tags: must be a string (actual value is ['a) b'])"}`, nil,
			voucherify.Error{Status: 400, Message: "m", Details: "tags: must be a string"},
			shown{Text: "Voucherify answered 400: m: tags: must be a string", OfRecords: true},
		}, {
			"two values", 400, `{"message":"m","details":"a: must be a number (actual value is 'x (y)'), b: must be true (actual value is -1.5), at least"}`, nil,
			voucherify.Error{Status: 400, Message: "m", Details: "a: must be a number, b: must be true, at least"},
			shown{Text: "Voucherify answered 400: m: a: must be a number, b: must be true, at least", OfRecords: true},
		}, {
			"value that is cut", 400, `{"message":"m","details":"a: must be a number (actual value is 'x` + long + `"}`, nil,
			voucherify.Error{Status: 400, Message: "m", Details: "a: must be a number"},
			shown{Text: "Voucherify answered 400: m: a: must be a number", OfRecords: true},
		}, {
			"422", 422, `{"code":422,"message":"Unprocessable"}`, nil,
			voucherify.Error{Status: 422, Message: "Unprocessable"},
			shown{Text: "Voucherify answered 422: Unprocessable", OfRecords: true},
		}, {
			"no body", 503, "", nil,
			voucherify.Error{Status: 503},
			shown{Text: "Voucherify answered 503"},
		}, {
			"JSON without a message", 500, `{"key":"oops"}`, nil,
			voucherify.Error{Status: 500, Message: `"{\"key\":\"oops\"}"`},
			shown{Text: `Voucherify answered 500: "{\"key\":\"oops\"}"`},
		}, {
			"details that are no string", 400, `{"message":"Invalid payload","details":["a",{"b":1}]}`, nil,
			voucherify.Error{Status: 400, Message: "Invalid payload", Details: "[a map[b:1]]"},
			shown{Text: "Voucherify answered 400: Invalid payload: [a map[b:1]]", OfRecords: true},
		}, {
			"control characters", 400, `{"key":"a\u001b[2J","message":"say \"Zoë\"\n\u202e","details":"\u0000","request_id":"\u009b"}`,
			[]string{"X-Rate-Limit-Type", "\u202e"},
			voucherify.Error{Status: 400, Key: `a\x1b[2J`, Message: `say "Zoë"\n\u202e`, Details: `\x00`, RequestID: `\u009b`, LimitType: `\u202e`},
			shown{Text: `Voucherify answered 400: a\x1b[2J: say "Zoë"\n\u202e: \x00 (request id \u009b)`, OfRecords: true},
		}, {
			"redirect", 307, "", []string{"Location", "https://example.com"},
			voucherify.Error{Status: 307},
			shown{Text: "Voucherify answered 307"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			id, err := newClient(t, reply(c.status, c.body, c.header...)).UpsertCustomers(t.Context(), records(2))
			var got *voucherify.Error
			if !errors.As(err, &got) || id != "" {
				t.Fatalf("%q, %v, want an Error", id, err)
			}
			if diff := cmp.Diff(&c.want, got); diff != "" {
				t.Errorf("Error (-want +got):\n%s", diff)
			}
			text := shown{got.Error(), got.TooManyCustomers(), got.TooLarge(), got.Refused(), got.OfRecords(), got.MaxCustomers()}
			if diff := cmp.Diff(c.shown, text); diff != "" {
				t.Errorf("what it shows (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMaxCustomers(t *testing.T) {
	for details, want := range map[string]int{
		"Specify at most 100 customers": 100, "specify AT MOST 5": 5, "": 0, "Too many": 0, "at most a few": 0,
		"at most 99999999999999999999 customers": 0, "at most 100x": 0,
	} {
		e := &voucherify.Error{Status: 400, Key: "too_many_customers", Details: details}
		if got := e.MaxCustomers(); got != want {
			t.Errorf("%q: MaxCustomers() = %d, want %d", details, got, want)
		}
	}
}

// The body of 101 Switching Protocols is the connection. It never ends.
func TestSwitchingProtocolsDoesNotHang(t *testing.T) {
	release := make(chan struct{})
	c := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 CANARY\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		<-release
	})
	defer close(release)
	_, err := c.AsyncAction(t.Context(), "aa_1")
	if err == nil || err.Error() != "Voucherify answered 101" {
		t.Errorf("error %v, want Voucherify answered 101", err)
	}
}
