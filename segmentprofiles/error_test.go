package segmentprofiles_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"segsync/segmentprofiles"
)

// shown is all that a caller can learn from an Error.
type shown struct {
	Text              string
	NotFound, Refused bool
	Hint              string // its first words
}

func show(e *segmentprofiles.Error, hint string) shown {
	s := shown{e.Error(), e.NotFound(), e.Refused(), e.Hint()}
	if hint != "" && strings.HasPrefix(s.Hint, hint) {
		s.Hint = hint
	}
	return s
}

// routes calls each of the three routes of a client.
func routes() map[string]func(context.Context, *segmentprofiles.Client) error {
	id := segmentprofiles.SegmentID("use_1")
	return map[string]func(context.Context, *segmentprofiles.Client) error{
		"list": func(ctx context.Context, c *segmentprofiles.Client) error {
			_, err := c.Profiles(ctx, "0", 1)
			return err
		},
		"traits": func(ctx context.Context, c *segmentprofiles.Client) error {
			_, err := c.Traits(ctx, id, 1, nil)
			return err
		},
		"external ids": func(ctx context.Context, c *segmentprofiles.Client) error {
			_, err := c.ExternalIDs(ctx, id, nil)
			return err
		},
	}
}

const (
	notFoundBody = `{"error":{"code":"not_found","message":"Profile was not found."}}`
	html         = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\x1b]0;owned\x07"
)

func TestErrors(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, c := range []struct {
		name   string
		route  string
		status int
		body   string
		header []string
		want   segmentprofiles.Error
		shown  shown
	}{
		{
			"400", "list", 400, "{\"error\":{\"code\":\"validation_error\",\"message\":\"The parameter `collection` has invalid character(s) `!`\"}}", nil,
			segmentprofiles.Error{Status: 400, Code: "validation_error", Message: "The parameter `collection` has invalid character(s) `!`"},
			shown{Text: "Segment answered 400: validation_error: The parameter `collection` has invalid character(s) `!`"},
		}, {
			"400 of traits", "traits", 400, `{"error":{"code":"invalid_request_error","message":"limit"}}`, nil,
			segmentprofiles.Error{Status: 400, Code: "invalid_request_error", Message: "limit"},
			shown{Text: "Segment answered 400: invalid_request_error: limit", Hint: "the API may take fewer traits per request: try SEGMENT_TRAITS_LIMIT=100"},
		}, {
			"401", "list", 401, `{"error":{"code":"authentication_error","message":"Failure to properly authenticate yourself in the request."}}`,
			[]string{"Request-Id", "req-1"},
			segmentprofiles.Error{Status: 401, Code: "authentication_error", RequestID: "req-1", Message: "Failure to properly authenticate yourself in the request."},
			shown{
				Text:    "Segment answered 401: authentication_error: Failure to properly authenticate yourself in the request. (request id req-1)",
				Refused: true, Hint: "SEGMENT_ACCESS_TOKEN is wrong, or SEGMENT_API_URL is another region's",
			},
		}, {
			"403", "traits", 403, `{"error":{"code":"forbidden","message":"No."}}`, nil,
			segmentprofiles.Error{Status: 403, Code: "forbidden", Message: "No."},
			shown{Text: "Segment answered 403: forbidden: No.", Refused: true, Hint: "the access token may not read this space"},
		}, {
			"404 of the list", "list", 404, notFoundBody, nil,
			segmentprofiles.Error{Status: 404, Code: "not_found", Message: "Profile was not found."},
			shown{Text: "Segment answered 404: not_found: Profile was not found.", Refused: true, Hint: "SEGMENT_SPACE_ID is wrong"},
		}, {
			"404 of traits", "traits", 404, notFoundBody, nil,
			segmentprofiles.Error{Status: 404, Code: "not_found", Message: "Profile was not found."},
			shown{Text: "Segment answered 404: not_found: Profile was not found.", NotFound: true},
		}, {
			"404 of external ids", "external ids", 404, notFoundBody, nil,
			segmentprofiles.Error{Status: 404, Code: "not_found", Message: "Profile was not found."},
			shown{Text: "Segment answered 404: not_found: Profile was not found.", NotFound: true},
		}, {
			"429 after ten attempts", "external ids", 429, `{"error":{"code":"rate_limit_error","message":"Too many requests hit the API too quickly."}}`,
			[]string{"Request-Id", "req-1", "X-Attempts", "10"},
			segmentprofiles.Error{Status: 429, Code: "rate_limit_error", Message: "Too many requests hit the API too quickly.", RequestID: "req-1", Attempts: 10},
			shown{
				Text: "Segment answered 429: rate_limit_error: Too many requests hit the API too quickly., 10 times (request id req-1)",
				Hint: "somebody else is using up the quota of this space",
			},
		}, {
			"502 HTML", "list", 502, html, nil,
			segmentprofiles.Error{Status: 502, Message: `"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\x1b]0;owned\a"`},
			shown{
				Text: `Segment answered 502: "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\x1b]0;owned\a"`,
				Hint: "Segment has a problem",
			},
		}, {
			"long foreign body", "list", 500, long, nil,
			segmentprofiles.Error{Status: 500, Message: `"` + long[:200] + `"`},
			shown{Text: `Segment answered 500: "` + long[:200] + `"`, Hint: "Segment has a problem"},
		}, {
			"long words of the API", "list", 500, `{"error":{"code":"` + long + `","message":"` + long + `"}}`, []string{"Request-Id", long},
			segmentprofiles.Error{Status: 500, Code: long[:200], Message: long[:200], RequestID: long[:200]},
			shown{Text: "Segment answered 500: " + long[:200] + ": " + long[:200] + " (request id " + long[:200] + ")", Hint: "Segment has a problem"},
		}, {
			"no body", "list", 503, "", nil,
			segmentprofiles.Error{Status: 503},
			shown{Text: "Segment answered 503", Hint: "Segment has a problem"},
		}, {
			"other JSON", "list", 500, `{"error":"oops"}`, nil,
			segmentprofiles.Error{Status: 500, Message: `"{\"error\":\"oops\"}"`},
			shown{Text: `Segment answered 500: "{\"error\":\"oops\"}"`, Hint: "Segment has a problem"},
		}, {
			"message alone", "list", 418, `{"error":{"message":"short and stout"}}`, nil,
			segmentprofiles.Error{Status: 418, Message: "short and stout"},
			shown{Text: "Segment answered 418: short and stout"},
		}, {
			"control characters in the API's words", "list", 400,
			`{"error":{"code":"a\u001b[2J","message":"say \"Zoë\"\n\u202e\u009b \u0000"}}`, []string{"Request-Id", "r\u202e"},
			segmentprofiles.Error{Status: 400, Code: `a\x1b[2J`, Message: `say "Zoë"\n\u202e\u009b \x00`, RequestID: `r\u202e`},
			shown{Text: `Segment answered 400: a\x1b[2J: say "Zoë"\n\u202e\u009b \x00 (request id r\u202e)`},
		}, {
			"redirect", "list", 302, "", []string{"Location", "https://example.com"},
			segmentprofiles.Error{Status: 302},
			shown{Text: "Segment answered 302", Hint: "redirects are not followed; check SEGMENT_API_URL"},
		}, {
			"success that is no 200", "list", 203, `{}`, nil,
			segmentprofiles.Error{Status: 203, Message: `"{}"`},
			shown{Text: `Segment answered 203: "{}"`},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := routes()[c.route](t.Context(), newClient(t, reply(c.status, c.body, c.header...)))
			var got *segmentprofiles.Error
			if !errors.As(err, &got) {
				t.Fatalf("error %v, want an Error", err)
			}
			if diff := cmp.Diff(&c.want, got, cmpopts.IgnoreUnexported(segmentprofiles.Error{})); diff != "" {
				t.Errorf("Error (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.shown, show(got, c.shown.Hint)); diff != "" {
				t.Errorf("what it shows (-want +got):\n%s", diff)
			}
		})
	}
}
