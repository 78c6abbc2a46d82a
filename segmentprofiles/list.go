package segmentprofiles

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"segsync/internal/strictjson"
)

// Profile is an entry of the list.
type Profile struct {
	SegmentID string   `json:"segment_id"` // mixed case, significant
	Metadata  Metadata `json:"metadata"`
	// Err says why the entry does not name a profile: a *MalformedError or an
	// *InvalidUTF8Error. Nil if SegmentID can be used.
	Err error `json:"-"`
}

// UnmarshalJSON accepts every JSON value: what it cannot read is in Err.
func (p *Profile) UnmarshalJSON(data []byte) error {
	*p = Profile{}
	var entry struct {
		SegmentID jsontext.Value `json:"segment_id"`
		Metadata  jsontext.Value `json:"metadata"`
	}
	if p.Err = unmarshalPart(data, &entry, "an entry of the list", "segment_id"); p.Err != nil {
		return nil
	}
	p.SegmentID, p.Err = idText(entry.SegmentID, "segment_id")
	p.Metadata = metadataOf(entry.Metadata)
	return nil
}

// Metadata says when a profile was created and last active. A time that the API leaves
// out, or that cannot be read, is zero.
type Metadata struct {
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	// Unreadable says that there is an updated_at and it is not a timestamp, so that nobody
	// knows when the profile was last active. The profile itself can be read.
	Unreadable bool `json:"-"`
}

func metadataOf(raw jsontext.Value) Metadata {
	if isNull(raw) {
		return Metadata{}
	}
	var times struct {
		CreatedAt jsontext.Value `json:"created_at"`
		UpdatedAt jsontext.Value `json:"updated_at"`
	}
	if strictjson.Unmarshal(raw, &times) != nil {
		return Metadata{Unreadable: true}
	}
	var m Metadata
	m.CreatedAt, _ = readTime(times.CreatedAt)
	var ok bool
	m.UpdatedAt, ok = readTime(times.UpdatedAt)
	m.Unreadable = !ok
	return m
}

// ProfilesPage is one page of the list.
type ProfilesPage struct {
	Data   []Profile `json:"data"`
	Cursor Cursor    `json:"cursor"`
	Date   time.Time `json:"-"` // the server's clock when it answered, in whole seconds; zero if it did not say
}

// Profiles returns one page of the list, which is sorted by recent activity. next
// is the cursor of the page, "0" for the first; limit is 1 to 100 profiles. A cursor that
// is no plain token, see Cursor.Next, is a *CursorError.
func (c *Client) Profiles(ctx context.Context, next string, limit int) (*ProfilesPage, error) {
	return again(func() (*ProfilesPage, error) { return c.profilesPage(ctx, next, limit) })
}

func (c *Client) profilesPage(ctx context.Context, next string, limit int) (*ProfilesPage, error) {
	a, err := c.get(ctx, RouteList, "", url.Values{"limit": {strconv.Itoa(limit)}, "next": {next}})
	if err != nil {
		return nil, err
	}
	var list struct {
		Data   jsontext.Value `json:"data"`
		Cursor *Cursor        `json:"cursor"`
	}
	if err := a.decode(&list, "data", "cursor"); err != nil {
		return nil, err
	}
	if list.Data == nil || isNull(list.Data) && list.Cursor == nil {
		return nil, &IncompleteError{RouteList, "data: expected a list of profiles"}
	}
	page := new(ProfilesPage)
	if err := json.Unmarshal(list.Data, &page.Data, strictjson.Lenient); err != nil {
		return nil, a.unreadable(errors.New("expected a list of profiles"))
	}
	if list.Cursor != nil {
		page.Cursor = *list.Cursor
	}
	if err := checkToken(page.Cursor.Next); err != nil {
		return nil, err
	}
	page.Date, _ = http.ParseTime(a.header.Get("Date"))
	return page, nil
}

// AllProfiles ranges over the pages of the list from the cursor next to its end, which is
// a page without a next that does not claim more; pages may be empty. It stops at the first
// error. A page that claims more without a next is read a second time, then it is an
// *EndError in its place.
func (c *Client) AllProfiles(ctx context.Context, next string, limit int) iter.Seq2[*ProfilesPage, error] {
	read := func(next string) (*ProfilesPage, error) {
		page, err := c.Profiles(ctx, next, limit)
		if err == nil && page.Cursor.More && page.Cursor.Next == "" {
			return nil, &EndError{next}
		}
		return page, err
	}
	return pages(next, func(next string) (*ProfilesPage, string, error) {
		page, err := read(next)
		if _, ok := errors.AsType[*EndError](err); ok {
			page, err = read(next)
		}
		if err != nil {
			return nil, "", err
		}
		return page, page.Cursor.Next, nil
	})
}
