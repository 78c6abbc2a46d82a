// Package segmentprofiles is a client of Segment's Profile API: the profiles of a
// space, their traits and their external IDs.
//
// https://segment.com/docs/unify/profile-api/
package segmentprofiles

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
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

// Profile is an entry of the list.
type Profile struct {
	SegmentID string   `json:"segment_id"` // mixed case, significant
	Metadata  Metadata `json:"metadata"`
}

// Metadata says when a profile was created and last active; a time that the API
// leaves out is zero.
type Metadata struct {
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// ProfilesPage is one page of the list.
type ProfilesPage struct {
	Data   []Profile `json:"data"`
	Cursor Cursor    `json:"cursor"`
}

// Cursor points to the page after this one. Its url member is left out on purpose:
// it lacks parameters and must not be followed.
type Cursor struct {
	// Next is sent back unchanged; "" after the last page. In the list it happens
	// to be a decimal offset, in traits a trait key.
	Next string
	// More says that the API claims that there are further pages. It does not say where
	// they are if Next is "".
	More bool
}

// UnmarshalJSON accepts next as a string or a number. A cursor whose has_more is
// false has no next page, whatever else it says.
func (c *Cursor) UnmarshalJSON(data []byte) error {
	var raw struct {
		HasMore *bool           `json:"has_more"`
		Next    json.RawMessage `json:"next"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	next, err := cursorText(raw.Next)
	if err != nil {
		return err
	}
	if raw.HasMore != nil && !*raw.HasMore {
		next = ""
	}
	c.Next, c.More = next, raw.HasMore != nil && *raw.HasMore
	return nil
}

func cursorText(raw json.RawMessage) (string, error) {
	if len(raw) == 0 || string(raw) == "null" || string(raw) == `""` {
		return "", nil
	}
	if raw[0] == '"' {
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err
	}
	var n json.Number
	if err := json.Unmarshal(raw, &n); err != nil {
		return "", fmt.Errorf("cursor next is neither a string nor a number: %.100q", raw)
	}
	return n.String(), nil
}

// Profiles returns one page of the list, which is sorted by recent activity. next
// is the cursor of the page, "0" for the first; limit is 1 to 100 profiles.
func (c *Client) Profiles(ctx context.Context, next string, limit int) (*ProfilesPage, error) {
	var answer struct {
		Data   []Profile
		Cursor *Cursor
	}
	query := url.Values{"limit": {strconv.Itoa(limit)}, "next": {next}}
	if err := c.get(ctx, routeList, "", query, &answer); err != nil {
		return nil, err
	}
	if answer.Cursor == nil {
		if answer.Data == nil {
			return nil, errors.New("the answer has neither data nor a cursor: it is no list of profiles")
		}
		answer.Cursor = new(Cursor)
	}
	return &ProfilesPage{answer.Data, *answer.Cursor}, nil
}

// AllProfiles ranges over the pages of the list from the cursor next to its end,
// which is an empty page or one without a next. It stops at the first error.
func (c *Client) AllProfiles(ctx context.Context, next string, limit int) iter.Seq2[*ProfilesPage, error] {
	return pages(next, func(next string) (*ProfilesPage, string, error) {
		page, err := c.Profiles(ctx, next, limit)
		if err != nil {
			return nil, "", err
		}
		if len(page.Data) == 0 {
			page.Cursor.Next = ""
		}
		return page, page.Cursor.Next, nil
	})
}

// ExternalID is one of a profile's identifiers.
type ExternalID struct {
	ID        string    `json:"id"`
	Type      string    `json:"type"`
	CreatedAt time.Time `json:"created_at,omitzero"` // zero if the API left it out
}

// ExternalIDsPage is one page of a profile's external IDs. The number of entries
// does not tell whether it is the last one.
type ExternalIDsPage struct {
	Data   []ExternalID `json:"data"`
	Cursor Cursor       `json:"cursor"`
}

// ExternalIDsPage returns one page of the external IDs of a profile, 25 at most. next is
// "" for the first page; types limits the answer to external IDs of these types.
func (c *Client) ExternalIDsPage(ctx context.Context, id Identifier, next string, types []string) (*ExternalIDsPage, error) {
	query := url.Values{"limit": {strconv.Itoa(MaxExternalIDsLimit)}}
	setNonEmpty(query, "include", strings.Join(types, ","))
	setNonEmpty(query, "next", next)
	page := new(ExternalIDsPage)
	if err := c.get(ctx, routeExternalIDs, "/"+id.path()+"/external_ids", query, page); err != nil {
		return nil, err
	}
	return page, nil
}

// ExternalIDs returns all external IDs of the given types, in the API's order, which
// means nothing. Several of one type are normal, up to 1,000 in all.
func (c *Client) ExternalIDs(ctx context.Context, id Identifier, types []string) ([]ExternalID, error) {
	var all []ExternalID
	for page, err := range pages("", func(next string) (*ExternalIDsPage, string, error) {
		page, err := c.ExternalIDsPage(ctx, id, next, types)
		if err != nil {
			return nil, "", err
		}
		return page, page.Cursor.Next, nil
	}) {
		if err != nil {
			return nil, err
		}
		all = append(all, page.Data...)
	}
	return all, nil
}

// TraitsPage is one page of a profile's traits. Numbers are json.Number. Traits is
// nil for a profile without any.
type TraitsPage struct {
	Traits map[string]any `json:"traits"`
	Cursor Cursor         `json:"cursor"`
}

// TraitsPage returns one page of the traits of a profile. next is "" for the first
// page, limit 1 to 200 traits; include limits the answer to these traits.
func (c *Client) TraitsPage(ctx context.Context, id Identifier, next string, limit int, include []string) (*TraitsPage, error) {
	query := url.Values{"limit": {strconv.Itoa(limit)}}
	setNonEmpty(query, "include", strings.Join(include, ","))
	setNonEmpty(query, "next", next)
	page := new(TraitsPage)
	if err := c.get(ctx, routeTraits, "/"+id.path()+"/traits", query, page); err != nil {
		return nil, err
	}
	return page, nil
}

// Traits returns the traits of a profile from all pages of limit traits, up to 6,000
// in all, or only those in include. Numbers are json.Number.
func (c *Client) Traits(ctx context.Context, id Identifier, limit int, include []string) (map[string]any, error) {
	all := make(map[string]any)
	for page, err := range pages("", func(next string) (*TraitsPage, string, error) {
		page, err := c.TraitsPage(ctx, id, next, limit, include)
		if err != nil {
			return nil, "", err
		}
		return page, page.Cursor.Next, nil
	}) {
		if err != nil {
			return nil, err
		}
		for key, value := range page.Traits {
			all[key] = value
		}
	}
	return all, nil
}

// pages ranges over pages from the cursor first to the one whose next is "". A
// cursor that comes a second time is an error: its pages would never end.
func pages[P any](first string, get func(next string) (page P, after string, err error)) iter.Seq2[P, error] {
	return func(yield func(P, error) bool) {
		seen := make(map[string]bool)
		for next := first; ; {
			page, after, err := get(next)
			if err != nil {
				yield(page, err)
				return
			}
			seen[next] = true
			if seen[after] && after != "" {
				yield(page, fmt.Errorf("the cursor %q came a second time: the pages do not end", after))
				return
			}
			if !yield(page, nil) || after == "" {
				return
			}
			next = after
		}
	}
}

func setNonEmpty(query url.Values, key, value string) {
	if value != "" {
		query.Set(key, value)
	}
}

// maxAnswer bounds the body of an answer; error bodies are read and quoted less far.
const maxAnswer = 16 << 20

func (c *Client) get(ctx context.Context, route route, path string, query url.Values, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.profiles+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	req.SetBasicAuth(c.token, "")
	resp, err := c.http.Do(req)
	if err != nil {
		return trimURL(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return newError(route, resp)
	}
	decoder := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer))
	decoder.UseNumber()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("decoding the answer (request id %s): %w", printable(resp.Header.Get("Request-Id")), err)
	}
	return nil
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
		return u.Host
	}
	return "the API"
}
