package segmentprofiles

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"segsync/internal/strictjson"
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
		ID        jsontext.Value `json:"id"`
		Type      jsontext.Value `json:"type"`
		CreatedAt jsontext.Value `json:"created_at"`
	}
	if err := unmarshalPart(data, &raw, "an external ID", "id"); err != nil {
		return err
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
		return &MalformedError{"created_at of an external ID is not a timestamp"}
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
	a, err := c.getProfile(ctx, RouteExternalIDs, id, "/external_ids", query)
	if err != nil {
		return nil, err
	}
	var raw struct {
		Data   jsontext.Value `json:"data"`
		Cursor *Cursor        `json:"cursor"`
	}
	if err := a.decode(&raw, "data"); err != nil {
		return nil, err
	}
	if raw.Data == nil { // null is a profile without such IDs, and was seen; no data is half an answer
		return nil, &IncompleteError{RouteExternalIDs, "data"}
	}
	var ids []ExternalID
	if err := json.Unmarshal(raw.Data, &ids, strictjson.Lenient); err != nil {
		if _, ok := OfProfile(err); ok {
			return nil, errors.Unwrap(err) // without the place in the JSON
		}
		return nil, &MalformedError{"expected a list of external IDs"}
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

// HasProfile reports whether an external ID names a profile. Only the API's own 404 means that it does
// not: that of another server is an error.
func (c *Client) HasProfile(ctx context.Context, id Identifier) (bool, error) {
	_, err := c.getProfile(ctx, RouteExternalIDs, id, "/external_ids", url.Values{"limit": {"1"}})
	if answer, ok := errors.AsType[*Error](err); ok && answer.NotFound() && answer.Code == "not_found" {
		return false, nil
	}
	return err == nil, err
}

// TraitsPage is one page of a profile's traits. Numbers are json.Number of encoding/json.
// Traits is nil for a profile without any.
type TraitsPage struct {
	Traits map[string]any
	// Damaged has the names of the traits that were left out: the text of the value is not
	// valid Unicode, with half a surrogate pair for example, or the name comes twice.
	Damaged []string
	Cursor  Cursor
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
	a, err := c.getProfile(ctx, RouteTraits, id, "/traits", query)
	if err != nil {
		return nil, err
	}
	var raw struct {
		Traits strictjson.Traits `json:"traits"`
		Cursor *Cursor           `json:"cursor"`
	}
	if err := a.decode(&raw, "traits"); err != nil {
		return nil, err
	}
	if raw.Cursor == nil && !raw.Traits.Present {
		return nil, &IncompleteError{RouteTraits, "traits"}
	}
	cursor, err := cursorOf(RouteTraits, raw.Cursor)
	if err != nil {
		return nil, err
	}
	return &TraitsPage{raw.Traits.Values, raw.Traits.Damaged, cursor}, nil
}

// Traits returns the traits of a profile from all pages of limit traits, up to 6,000
// in all, or only those in include; far more are a *MalformedError. See TraitsPage for the
// values, and for damaged.
func (c *Client) Traits(ctx context.Context, id Identifier, limit int, include []string) (traits map[string]any, damaged []string, err error) {
	traits = make(map[string]any)
	n, maxPages := 0, maxTraits/max(limit, 1)+slackOfTraitPages
	for page, err := range pages("", func(next string) (*TraitsPage, string, error) {
		page, err := c.TraitsPage(ctx, id, next, limit, include)
		if err != nil {
			return nil, "", err
		}
		return page, page.Cursor.Next, nil
	}) {
		if err != nil {
			return nil, nil, ofThisProfile(err)
		}
		maps.Copy(traits, page.Traits)
		damaged = append(damaged, page.Damaged...)
		if n++; len(traits)+len(damaged) > maxTraits || n == maxPages && page.Cursor.Next != "" {
			return nil, nil, &MalformedError{fmt.Sprintf("more than %d traits, or %d pages of them", maxTraits, maxPages)}
		}
	}
	return traits, damaged, nil
}

// CanonicalID returns the segment_id of the profile that the identifier names, or "" where the
// answer does not have it: it was seen in answers, and is not documented.
func (c *Client) CanonicalID(ctx context.Context, id Identifier) (string, error) {
	a, err := c.getProfile(ctx, RouteMetadata, id, "/metadata", url.Values{})
	if err != nil {
		return "", err
	}
	var raw struct {
		SegmentID jsontext.Value `json:"segment_id"`
	}
	if err := a.decode(&raw); err != nil {
		return "", err
	}
	if len(raw.SegmentID) == 0 || isNull(raw.SegmentID) {
		return "", nil
	}
	segmentID, err := idText(raw.SegmentID, "segment_id")
	if err != nil || strings.Contains(segmentID, ":") {
		return "", &MalformedError{"segment_id is not an id"}
	}
	return segmentID, nil
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

// ofThisProfile makes a bad cursor an error of the profile that was read.
func ofThisProfile(err error) error {
	if e, ok := errors.AsType[*CursorError](err); ok {
		return &MalformedError{e.Error()}
	}
	return err
}

func setNonEmpty(query url.Values, key, value string) {
	if value != "" {
		query.Set(key, value)
	}
}
