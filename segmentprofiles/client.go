// Package segmentprofiles is a client of Segment's Profile API: the profiles of a
// space, their traits and their external IDs.
//
// https://segment.com/docs/unify/profile-api/
package segmentprofiles

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/go-json-experiment/json"

	"segsync/internal/safetext"
	"segsync/internal/strictjson"
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
	form     atomic.Int32 // in which a segment id has named a profile
}

// The forms of a segment id in a path. Segment documents the typed one; integration tests of others
// used the bare one against the real API.
const (
	formUnknown int32 = iota
	formTyped         // segment_id:use_…
	formBare          // use_…
)

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

const segmentIDType = "segment_id"

// SegmentID returns the identifier of the profile with this segment_id.
func SegmentID(id string) Identifier { return Identifier{Type: segmentIDType, Value: id} }

func (id Identifier) String() string { return id.Type + ":" + id.Value }

// path returns the identifier as a path segment. The API answers 500 to an
// unescaped special character, + included, which url.PathEscape leaves alone.
func (id Identifier) path() string { return escape(id.Type) + ":" + escape(id.Value) }

func escape(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}

func (c *Client) newRequest(ctx context.Context, path string, query url.Values) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.profiles+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth(c.token, "")
	return req, nil
}

// getProfile reads a part of a profile. Until a segment id has named a profile in one form, a 404
// is asked again in the other form; the one that works is kept.
func (c *Client) getProfile(ctx context.Context, route Route, id Identifier, part string, query url.Values) (*answer, error) {
	form := c.form.Load()
	bare := "/" + escape(id.Value) + part
	if id.Type == segmentIDType && form == formBare {
		return c.get(ctx, route, bare, query)
	}
	a, err := c.get(ctx, route, "/"+id.path()+part, query)
	if id.Type != segmentIDType || form != formUnknown {
		return a, err
	}
	if err == nil {
		c.form.CompareAndSwap(formUnknown, formTyped)
		return a, nil
	}
	if refused, ok := errors.AsType[*Error](err); !ok || !refused.NotFound() {
		return nil, err
	}
	a, errBare := c.get(ctx, route, bare, query)
	if errBare != nil {
		return nil, err
	}
	c.form.CompareAndSwap(formUnknown, formBare)
	return a, nil
}

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
	a.body, err = io.ReadAll(resp.Body)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, a.unreadable(err)
	}
	return a, nil
}

// decode decodes the body. Damage in the members that parts name is left to their types.
// What is wrong with the answer about a profile is an error of that profile.
func (a *answer) decode(into any, parts ...string) error {
	err := strictjson.Unmarshal(a.body, into, parts...)
	if err == nil {
		return nil
	}
	cursor, ok := errors.AsType[*CursorError](err)
	switch {
	case ok && a.route == RouteList:
		return cursor
	case ok:
		return &MalformedError{cursor.Error()}
	case a.route == RouteList:
		return a.unreadable(err)
	case errors.Is(err, strictjson.ErrNotUnicode):
		return &InvalidUTF8Error{"a text"}
	case errors.Is(err, strictjson.ErrNameTwice):
		return &MalformedError{err.Error()}
	}
	if e, ok := errors.AsType[*json.SemanticError](err); ok && e.JSONPointer != "" {
		return &MalformedError{e.JSONPointer.LastToken() + " has another type than documented"}
	}
	return a.unreadable(err)
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
