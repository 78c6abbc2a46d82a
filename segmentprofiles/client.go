// Package segmentprofiles is a client of Segment's Profile API: the profiles of a
// space, their traits and their external IDs.
//
// https://segment.com/docs/unify/profile-api/
package segmentprofiles

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"segsync/internal/safetext"
)

// DefaultBaseURL is the API of workspaces in the United States. Those in the
// European Union have https://profiles.euw1.segment.com.
const DefaultBaseURL = "https://profiles.segment.com"

// Page sizes that the API accepts.
const (
	MaxProfilesLimit    = 100
	MaxTraitsLimit      = 200
	MaxExternalIDsLimit = 25 // more is throttled: segment-docs pull request 3091
)

// Client reads the profiles of one space. It neither waits nor retries: that is
// for the http.Client it is given. It is safe for concurrent use.
type Client struct {
	http     *http.Client
	profiles string // URL of the list
	token    string
}

// NewClient returns a client for the space with the given id. The access token is
// one of Unify > Unify settings > API access.
func NewClient(hc *http.Client, base *url.URL, spaceID, accessToken string) (*Client, error) {
	if spaceID == "" || accessToken == "" {
		return nil, errors.New("segmentprofiles: space id and access token are required")
	}
	return &Client{
		http:     hc,
		profiles: base.String() + "/v1/spaces/" + url.PathEscape(spaceID) + "/collections/users/profiles",
		token:    accessToken,
	}, nil
}

// Identifier names a profile: its segment_id or one of its external IDs.
type Identifier struct {
	Type  string // "segment_id", "user_id", "email", …
	Value string // for external IDs in lower case; never change the case of a segment_id
}

// SegmentID returns the identifier of the profile with this segment_id.
func SegmentID(id string) Identifier { return Identifier{Type: "segment_id", Value: id} }

func (id Identifier) String() string { return id.Type + ":" + id.Value }

// path returns the identifier as a path segment. The API answers 500 to an
// unescaped special character, + included, which url.PathEscape leaves alone.
func (id Identifier) path() string { return escape(id.Type) + ":" + escape(id.Value) }

func escape(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}

// Probe returns a request that costs little and that an API at work answers with 200 if
// the credentials are right: for one profile of the list.
func (c *Client) Probe(ctx context.Context) (*http.Request, error) {
	return c.newRequest(ctx, "", url.Values{"limit": {"1"}, "next": {firstOfList}})
}

func (c *Client) newRequest(ctx context.Context, path string, query url.Values) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.profiles+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth(c.token, "")
	return req, nil
}

// maxAnswer bounds the body of an answer, in bytes after decompression: ten times what the
// largest page as documented takes.
func (r Route) maxAnswer() int64 {
	if r == RouteTraits {
		return 8 << 20
	}
	return 1 << 20
}

// maxValues bounds the JSON values of an answer: an empty object takes three bytes of JSON
// and twenty times as much when it is decoded.
const maxValues = 200_000

// answer is the body of a 200.
type answer struct {
	route  Route
	header http.Header
	body   []byte
}

func (c *Client) get(ctx context.Context, route Route, path string, query url.Values) (*answer, error) {
	req, err := c.newRequest(ctx, path, query)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, trimURL(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, newError(route, resp)
	}
	a := &answer{route: route, header: resp.Header}
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, route.maxAnswer()+1))
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, a.unreadable(err)
	case int64(len(a.body)) > route.maxAnswer():
		return nil, a.unreadable(fmt.Errorf("it is larger than %d bytes", route.maxAnswer()))
	case bytes.Count(a.body, []byte(","))+bytes.Count(a.body, []byte("[")) > maxValues:
		return nil, a.unreadable(fmt.Errorf("it has more than %d values", maxValues))
	}
	return a, nil
}

// decode decodes the first JSON value of the body. Its errors that concern one profile or a
// cursor are returned as they are.
func (a *answer) decode(into any) error {
	decoder := json.NewDecoder(bytes.NewReader(a.body))
	decoder.UseNumber()
	err := decoder.Decode(into)
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*CursorError](err); ok {
		return err
	}
	if _, ok := OfProfile(err); ok {
		return err
	}
	return a.unreadable(err)
}

// has reports whether the answer, a JSON object, has the member.
func (a *answer) has(name string) bool {
	var members map[string]json.RawMessage
	if json.NewDecoder(bytes.NewReader(a.body)).Decode(&members) != nil {
		return false
	}
	_, ok := members[name]
	return ok
}

func (a *answer) unreadable(err error) error {
	return &AnswerError{Route: a.route, RequestID: shorten(a.header.Get("Request-Id")), Err: err}
}

// again reads once more what was incomplete: behind one address there are many servers.
func again[T any](read func() (T, error)) (T, error) {
	v, err := read()
	if _, incomplete := errors.AsType[*IncompleteError](err); incomplete {
		return read()
	}
	return v, err
}

// trimURL takes the URL out of a transport's error: the caller says what was read.
func trimURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return fmt.Errorf("%s: %w", hostOf(u.URL), u.Err)
	}
	return err
}

func hostOf(raw string) string {
	if u, err := url.Parse(raw); err == nil {
		return safetext.Line(u.Host)
	}
	return "the API"
}
