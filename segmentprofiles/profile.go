package segmentprofiles

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Bounds of a profile's pages. Segment documents 1,000 external IDs and 6,000 traits per
// profile; half as much again is taken.
//
// https://segment.com/docs/unify/product-limits/
const (
	maxExternalIDs     = 1_500
	maxExternalIDPages = maxExternalIDs / MaxExternalIDsLimit
	maxTraits          = 9_000
	slackOfTraitPages  = 10 // pages that may be short or empty
)

// ExternalID is one of a profile's identifiers.
type ExternalID struct {
	ID        string    `json:"id"`
	Type      string    `json:"type"`
	CreatedAt time.Time `json:"created_at,omitzero"` // zero if the API left it out
}

// UnmarshalJSON returns a *MalformedError or an *InvalidUTF8Error for what is not as
// documented. That includes a created_at that cannot be read: without it nobody knows which
// of several IDs is the newest.
func (e *ExternalID) UnmarshalJSON(data []byte) error {
	*e = ExternalID{}
	var raw struct {
		ID        json.RawMessage `json:"id"`
		Type      json.RawMessage `json:"type"`
		CreatedAt json.RawMessage `json:"created_at"`
	}
	if data[0] != '{' || json.Unmarshal(data, &raw) != nil {
		return &MalformedError{"an external ID is no object"}
	}
	idType, err := idText(raw.Type, "the type of an external ID")
	if err != nil {
		return err
	}
	id, err := idText(raw.ID, "an external ID")
	if err != nil {
		return err
	}
	created, ok := readTime(raw.CreatedAt)
	if !ok {
		return &MalformedError{"created_at of an external ID is no time"}
	}
	*e = ExternalID{ID: id, Type: idType, CreatedAt: created}
	return nil
}

// ExternalIDsPage is one page of a profile's external IDs. The number of entries
// does not tell whether it is the last one.
type ExternalIDsPage struct {
	Data   []ExternalID `json:"data"`
	Cursor Cursor       `json:"cursor"`
}

// ExternalIDsPage returns one page of the external IDs of a profile, 25 at most. next is
// "" for the first page; types limits the answer to external IDs of these types. See
// OfProfile for its errors that concern this profile alone.
func (c *Client) ExternalIDsPage(ctx context.Context, id Identifier, next string, types []string) (*ExternalIDsPage, error) {
	return again(func() (*ExternalIDsPage, error) { return c.externalIDsPage(ctx, id, next, types) })
}

func (c *Client) externalIDsPage(ctx context.Context, id Identifier, next string, types []string) (*ExternalIDsPage, error) {
	query := url.Values{"limit": {strconv.Itoa(MaxExternalIDsLimit)}}
	setNonEmpty(query, "include", strings.Join(types, ","))
	setNonEmpty(query, "next", next)
	a, err := c.get(ctx, RouteExternalIDs, "/"+id.path()+"/external_ids", query)
	if err != nil {
		return nil, err
	}
	var raw struct {
		Data   json.RawMessage
		Cursor *Cursor
	}
	if err := a.decode(&raw); err != nil {
		return nil, ofThisProfile(err)
	}
	if raw.Data == nil || isNull(raw.Data) && raw.Cursor == nil {
		return nil, &IncompleteError{RouteExternalIDs, "data"}
	}
	var ids []ExternalID
	if err := json.Unmarshal(raw.Data, &ids); err != nil {
		if _, ok := OfProfile(err); ok {
			return nil, err
		}
		return nil, &MalformedError{"data of the external IDs is no array"}
	}
	cursor, err := cursorOf(RouteExternalIDs, raw.Cursor)
	if err != nil {
		return nil, err
	}
	return &ExternalIDsPage{ids, cursor}, nil
}

// ExternalIDs returns all external IDs of the given types, in the API's order, which
// means nothing. Several of one type are normal, up to 1,000 in all; far more are a
// *MalformedError.
func (c *Client) ExternalIDs(ctx context.Context, id Identifier, types []string) ([]ExternalID, error) {
	var all []ExternalID
	n := 0
	for page, err := range pages("", func(next string) (*ExternalIDsPage, string, error) {
		page, err := c.ExternalIDsPage(ctx, id, next, types)
		if err != nil {
			return nil, "", err
		}
		return page, page.Cursor.Next, nil
	}) {
		if err != nil {
			return nil, ofThisProfile(err)
		}
		all = append(all, page.Data...)
		if n++; len(all) > maxExternalIDs || n == maxExternalIDPages && page.Cursor.Next != "" {
			return nil, &MalformedError{fmt.Sprintf("more than %d external IDs, or %d pages of them", maxExternalIDs, maxExternalIDPages)}
		}
	}
	return all, nil
}

// TraitsPage is one page of a profile's traits. Numbers are json.Number. Traits is
// nil for a profile without any.
//
// In a text that is no valid Unicode, with half a surrogate pair for example, the damaged
// characters are the byte 0xff, so that utf8.ValidString tells it from one that has U+FFFD.
// In JSON both become U+FFFD.
type TraitsPage struct {
	Traits map[string]any `json:"traits"`
	Cursor Cursor         `json:"cursor"`
}

// TraitsPage returns one page of the traits of a profile. next is "" for the first
// page, limit 1 to 200 traits; include limits the answer to these traits. See OfProfile for
// its errors that concern this profile alone.
func (c *Client) TraitsPage(ctx context.Context, id Identifier, next string, limit int, include []string) (*TraitsPage, error) {
	return again(func() (*TraitsPage, error) { return c.traitsPage(ctx, id, next, limit, include) })
}

func (c *Client) traitsPage(ctx context.Context, id Identifier, next string, limit int, include []string) (*TraitsPage, error) {
	query := url.Values{"limit": {strconv.Itoa(limit)}}
	setNonEmpty(query, "include", strings.Join(include, ","))
	setNonEmpty(query, "next", next)
	a, err := c.get(ctx, RouteTraits, "/"+id.path()+"/traits", query)
	if err != nil {
		return nil, err
	}
	var raw struct {
		Traits map[string]any
		Cursor *Cursor
	}
	if err := a.decode(&raw); err != nil {
		return nil, ofThisProfile(err)
	}
	if raw.Cursor == nil && raw.Traits == nil && !a.has("traits") {
		return nil, &IncompleteError{RouteTraits, "traits"}
	}
	cursor, err := cursorOf(RouteTraits, raw.Cursor)
	if err != nil {
		return nil, err
	}
	if !isUnicode(a.body) {
		markDamage(raw.Traits)
	}
	return &TraitsPage{raw.Traits, cursor}, nil
}

// Traits returns the traits of a profile from all pages of limit traits, up to 6,000
// in all, or only those in include; far more are a *MalformedError. See TraitsPage for the
// values.
func (c *Client) Traits(ctx context.Context, id Identifier, limit int, include []string) (map[string]any, error) {
	all := make(map[string]any)
	n, maxPages := 0, maxTraits/max(limit, 1)+slackOfTraitPages
	for page, err := range pages("", func(next string) (*TraitsPage, string, error) {
		page, err := c.TraitsPage(ctx, id, next, limit, include)
		if err != nil {
			return nil, "", err
		}
		return page, page.Cursor.Next, nil
	}) {
		if err != nil {
			return nil, ofThisProfile(err)
		}
		maps.Copy(all, page.Traits)
		if n++; len(all) > maxTraits || n == maxPages && page.Cursor.Next != "" {
			return nil, &MalformedError{fmt.Sprintf("more than %d traits, or %d pages of them", maxTraits, maxPages)}
		}
	}
	return all, nil
}

// cursorOf returns the cursor of a profile's page, which may have none. One that claims
// more without saying where leaves the profile incomplete.
func cursorOf(route Route, c *Cursor) (Cursor, error) {
	switch {
	case c == nil:
		return Cursor{}, nil
	case c.More && c.Next == "":
		return Cursor{}, &IncompleteError{route, "cursor for the further pages that it claims"}
	}
	return *c, nil
}

// ofThisProfile makes a bad cursor, or a member of another type, an error of the profile
// that was read.
func ofThisProfile(err error) error {
	if e, ok := errors.AsType[*CursorError](err); ok {
		return &MalformedError{e.Error()}
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && e.Field != "" {
		return &MalformedError{strings.ToLower(e.Field) + " is of another type than documented"}
	}
	return err
}

func setNonEmpty(query url.Values, key, value string) {
	if value != "" {
		query.Set(key, value)
	}
}
