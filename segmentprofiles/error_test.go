package segmentprofiles_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"segsync/segmentprofiles"
)

// shown is all that a caller can learn from an Error.
type shown struct {
	Text              string
	NotFound, Refused bool
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
			_, _, err := c.Traits(ctx, id, 1, nil)
			return err
		},
		"external ids": func(ctx context.Context, c *segmentprofiles.Client) error {
			_, err := c.ExternalIDs(ctx, id, nil)
			return err
		},
	}
}

var routeOf = map[string]segmentprofiles.Route{
	"list": segmentprofiles.RouteList, "traits": segmentprofiles.RouteTraits, "external ids": segmentprofiles.RouteExternalIDs,
}

const (
	notFoundBody = `{"error":{"code":"not_found","message":"Profile was not found."}}`
	html         = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\x1b]0;owned\x07"
)

func TestErrors(t *testing.T) {
	long, balloons := strings.Repeat("x", 300), strings.Repeat("🎈", 300)
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
			shown{Text: "Segment answered 400: invalid_request_error: limit"},
		}, {
			"401", "list", 401, `{"error":{"code":"authentication_error","message":"Failure to properly authenticate yourself in the request."}}`,
			[]string{"Request-Id", "req-1"},
			segmentprofiles.Error{Status: 401, Code: "authentication_error", RequestID: "req-1", Message: "Failure to properly authenticate yourself in the request."},
			shown{
				Text:    "Segment answered 401: authentication_error: Failure to properly authenticate yourself in the request. (request id req-1)",
				Refused: true,
			},
		}, {
			"403", "traits", 403, `{"error":{"code":"forbidden","message":"No."}}`, nil,
			segmentprofiles.Error{Status: 403, Code: "forbidden", Message: "No."},
			shown{Text: "Segment answered 403: forbidden: No.", Refused: true},
		}, {
			"404 of the list", "list", 404, notFoundBody, nil,
			segmentprofiles.Error{Status: 404, Code: "not_found", Message: "Profile was not found."},
			shown{Text: "Segment answered 404: not_found: Profile was not found.", Refused: true},
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
			},
		}, {
			"502 HTML", "list", 502, html, nil,
			segmentprofiles.Error{Status: 502, Message: `"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\x1b]0;owned\a"`},
			shown{
				Text: `Segment answered 502: "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\x1b]0;owned\a"`,
			},
		}, {
			"long foreign body", "list", 500, long, nil,
			segmentprofiles.Error{Status: 500, Message: `"` + long[:200] + `"`},
			shown{Text: `Segment answered 500: "` + long[:200] + `"`},
		}, {
			"long words of the API", "list", 500, `{"error":{"code":"` + long + `","message":"` + long + `"}}`, []string{"Request-Id", long},
			segmentprofiles.Error{Status: 500, Code: long[:200] + "…", Message: long[:200] + "…", RequestID: long[:200] + "…"},
			shown{Text: "Segment answered 500: " + long[:200] + "…: " + long[:200] + "… (request id " + long[:200] + "…)"},
		}, {
			"long words of four bytes a character", "list", 500, `{"error":{"code":"` + balloons + `","message":"` + balloons + `"}}`, nil,
			segmentprofiles.Error{Status: 500, Code: balloons[:800] + "…", Message: balloons[:800] + "…"},
			shown{Text: "Segment answered 500: " + balloons[:800] + "…: " + balloons[:4*43] + "…"}, // 1,000 bytes and the ellipsis
		}, {
			"no body", "list", 503, "", nil,
			segmentprofiles.Error{Status: 503},
			shown{Text: "Segment answered 503"},
		}, {
			"other JSON", "list", 500, `{"error":"oops"}`, nil,
			segmentprofiles.Error{Status: 500, Message: `"{\"error\":\"oops\"}"`},
			shown{Text: `Segment answered 500: "{\"error\":\"oops\"}"`},
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
			shown{Text: "Segment answered 302"},
		}, {
			"success that is no 200", "list", 203, `{}`, nil,
			segmentprofiles.Error{Status: 203, Message: `"{}"`},
			shown{Text: `Segment answered 203: "{}"`},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := routes()[c.route](t.Context(), newClient(t, reply(c.status, c.body, c.header...)))
			c.want.Route = routeOf[c.route]
			var got *segmentprofiles.Error
			if !errors.As(err, &got) {
				t.Fatalf("error %v, want an Error", err)
			}
			if diff := cmp.Diff(&c.want, got); diff != "" {
				t.Errorf("Error (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.shown, shown{got.Error(), got.NotFound(), got.Refused()}); diff != "" {
				t.Errorf("what it shows (-want +got):\n%s", diff)
			}
		})
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
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		<-release
	})
	defer close(release)
	_, err := c.Profiles(t.Context(), "0", 1)
	want := &segmentprofiles.Error{Status: 101}
	if got, _ := errors.AsType[*segmentprofiles.Error](err); !cmp.Equal(want, got) {
		t.Errorf("error %#v, want %#v", err, want)
	}
}

func TestReasonPhraseIsNotShown(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 418 CANARY\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	})
	if _, err := c.Profiles(t.Context(), "0", 1); err == nil || err.Error() != "Segment answered 418" {
		t.Errorf("error %v, want Segment answered 418", err)
	}
}

func TestOfProfile(t *testing.T) {
	for _, c := range []struct {
		err    error
		reason string
		ok     bool
	}{
		{&segmentprofiles.MalformedError{What: "x"}, "malformed", true},
		{fmt.Errorf("reading it: %w", &segmentprofiles.InvalidUTF8Error{What: "x"}), "invalid_utf8", true},
		{&segmentprofiles.IncompleteError{Route: segmentprofiles.RouteExternalIDs}, "incomplete", true},
		{&segmentprofiles.IncompleteError{Route: segmentprofiles.RouteList}, "", false},
		{&segmentprofiles.CursorError{What: "x"}, "", false},
		{&segmentprofiles.EndError{Cursor: "100"}, "", false},
		{&segmentprofiles.AnswerError{Err: io.ErrUnexpectedEOF}, "", false},
		{&segmentprofiles.Error{Status: 404, Route: segmentprofiles.RouteTraits}, "", false},
		{nil, "", false},
	} {
		if reason, ok := segmentprofiles.OfProfile(c.err); reason != c.reason || ok != c.ok {
			t.Errorf("OfProfile(%#v) = %q, %t, want %q, %t", c.err, reason, ok, c.reason, c.ok)
		}
	}
}
