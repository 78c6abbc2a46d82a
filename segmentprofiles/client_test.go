package segmentprofiles_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"segsync/segmentprofiles"
)

// newClient returns a client of an API that is answered by h.
func newClient(t *testing.T, h http.HandlerFunc) *segmentprofiles.Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return clientOf(t, srv.URL, "spa_1", "token-1")
}

func clientOf(t *testing.T, base, spaceID, token string) *segmentprofiles.Client {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	hc := &http.Client{
		Transport:     tr,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	c, err := segmentprofiles.NewClient(hc, u, spaceID, token)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// reply answers every request with the same body.
func reply(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// pagesOf answers with the pages in turn, and notes the cursors it is sent. After the
// last page it answers 500.
func pagesOf(asked *[]string, pages ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		n := len(*asked)
		*asked = append(*asked, r.URL.Query().Get("next"))
		if n >= len(pages) {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		io.WriteString(w, pages[n])
	}
}

// The list as the documentation and the authors of the first importer saw it.
const listPage = `{
  "data": [
    {"segment_id": "use_2KYzS3yqV8w4n6LkTq0cXh1aBcD",
     "metadata": {"created_at": "2023-01-19T21:06:19.745Z", "updated_at": "2023-01-26T14:35:52.944Z"}},
    {"segment_id": "use_2KYkQ9mT1rZb7uWf3dGpN5sEvJ0", "metadata": {"created_at": "2023-01-19T16:15:58.865Z"}}
  ],
  "cursor": {
    "url": "https://profiles.segment.com/v1/spaces/spa_x/collections/users/profiles?limit=2&next=0",
    "has_more": true, "next": "2", "limit": 2
  },
  "a_new_member": {"is": ["ignored"]}
}`

func TestProfiles(t *testing.T) {
	var got string
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		user, password, ok := r.BasicAuth()
		got = fmt.Sprintf("%s %s user %q password %q %t", r.Method, r.RequestURI, user, password, ok)
		w.Header().Set("Date", "Thu, 26 Jan 2023 14:36:00 GMT")
		io.WriteString(w, listPage)
	})
	page, err := c.Profiles(t.Context(), "0", 2)
	if err != nil {
		t.Fatal(err)
	}
	if want := `GET /v1/spaces/spa_1/collections/users/profiles?limit=2&next=0 user "token-1" password "" true`; got != want {
		t.Errorf("request %s\nwant    %s", got, want)
	}
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	want := &segmentprofiles.ProfilesPage{
		Data: []segmentprofiles.Profile{
			{SegmentID: "use_2KYzS3yqV8w4n6LkTq0cXh1aBcD", Metadata: segmentprofiles.Metadata{
				CreatedAt: at("2023-01-19T21:06:19.745Z"), UpdatedAt: at("2023-01-26T14:35:52.944Z"),
			}},
			{SegmentID: "use_2KYkQ9mT1rZb7uWf3dGpN5sEvJ0", Metadata: segmentprofiles.Metadata{
				CreatedAt: at("2023-01-19T16:15:58.865Z"),
			}},
		},
		Cursor: segmentprofiles.Cursor{Next: "2", More: true},
		Date:   at("2023-01-26T14:36:00Z"),
	}
	if diff := cmp.Diff(want, page); diff != "" {
		t.Errorf("page (-want +got):\n%s", diff)
	}
}

func TestSpaceIDIsEscaped(t *testing.T) {
	var uri string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		uri = r.RequestURI
		io.WriteString(w, `{"data":[]}`)
	}))
	t.Cleanup(srv.Close)
	c := clientOf(t, srv.URL+"/proxy", "a/../b?c", "token")
	if _, err := c.Profiles(t.Context(), "0", 1); err != nil {
		t.Fatal(err)
	}
	if want := "/proxy/v1/spaces/a%2F..%2Fb%3Fc/collections/users/profiles?limit=1&next=0"; uri != want {
		t.Errorf("request of %s, want %s", uri, want)
	}
}

func TestNewClientNeedsCredentials(t *testing.T) {
	u := &url.URL{Scheme: "https", Host: "profiles.segment.com"}
	for _, args := range [][2]string{{"", "token"}, {"spa_1", ""}, {"", ""}} {
		c, err := segmentprofiles.NewClient(http.DefaultClient, u, args[0], args[1])
		if err == nil || c != nil {
			t.Errorf("NewClient with space id %q, token %q: %v, %v, want an error", args[0], args[1], c, err)
		}
	}
}

// The API answers 500 to an unescaped special character.
func TestIdentifiersAreEscaped(t *testing.T) {
	for _, c := range []struct {
		id   segmentprofiles.Identifier
		want string
	}{
		{segmentprofiles.SegmentID("use_2KYzS3yqV8w4n6LkTq0cXh1aBcD"), "segment_id:use_2KYzS3yqV8w4n6LkTq0cXh1aBcD"},
		{segmentprofiles.Identifier{Type: "email", Value: "ada+test@example.com"}, "email:ada%2Btest%40example.com"},
		{segmentprofiles.Identifier{Type: "phone", Value: "+1 555"}, "phone:%2B1%20555"},
		{segmentprofiles.Identifier{Type: "user_id", Value: "a/b?c#d"}, "user_id:a%2Fb%3Fc%23d"},
		{segmentprofiles.Identifier{Type: "user_id", Value: "../../x"}, "user_id:..%2F..%2Fx"},
		{segmentprofiles.Identifier{Type: "user_id", Value: "100%&=;,"}, "user_id:100%25%26%3D%3B%2C"},
		{segmentprofiles.Identifier{Type: "user_id", Value: "%2B"}, "user_id:%252B"},
		{segmentprofiles.Identifier{Type: "user_id", Value: "Zoë 🎈"}, "user_id:Zo%C3%AB%20%F0%9F%8E%88"},
		{segmentprofiles.Identifier{Type: "user_id", Value: "a:b"}, "user_id:a%3Ab"},
		{segmentprofiles.Identifier{Type: "user_id", Value: "a\x00\n\xff"}, "user_id:a%00%0A%FF"},
		{segmentprofiles.Identifier{Type: "my id/type", Value: "1"}, "my%20id%2Ftype:1"},
	} {
		t.Run(c.id.String(), func(t *testing.T) {
			var paths, decoded []string
			client := newClient(t, func(w http.ResponseWriter, r *http.Request) {
				path, _, _ := strings.Cut(r.RequestURI, "?")
				paths = append(paths, path)
				decoded = append(decoded, r.URL.Path)
				io.WriteString(w, `{"data":[],"traits":{}}`)
			})
			if _, err := client.ExternalIDs(t.Context(), c.id, nil); err != nil {
				t.Fatal(err)
			}
			if _, _, err := client.Traits(t.Context(), c.id, 10, nil); err != nil {
				t.Fatal(err)
			}
			const list = "/v1/spaces/spa_1/collections/users/profiles/"
			if diff := cmp.Diff([]string{list + c.want + "/external_ids", list + c.want + "/traits"}, paths); diff != "" {
				t.Errorf("paths (-want +got):\n%s", diff)
			}
			id := list + c.id.String()
			if diff := cmp.Diff([]string{id + "/external_ids", id + "/traits"}, decoded); diff != "" {
				t.Errorf("paths as the server decodes them (-want +got):\n%s", diff)
			}
		})
	}
}

func TestQueries(t *testing.T) {
	id := segmentprofiles.SegmentID("use_1")
	for _, c := range []struct {
		name string
		call func(context.Context, *segmentprofiles.Client) error
		want url.Values
	}{
		{"list", func(ctx context.Context, c *segmentprofiles.Client) error {
			_, err := c.Profiles(ctx, "400", 100)
			return err
		}, url.Values{"limit": {"100"}, "next": {"400"}}},
		{"traits", func(ctx context.Context, c *segmentprofiles.Client) error {
			_, _, err := c.Traits(ctx, id, 200, nil)
			return err
		}, url.Values{"limit": {"200"}}},
		{"some traits", func(ctx context.Context, c *segmentprofiles.Client) error {
			_, _, err := c.Traits(ctx, id, 7, []string{"Campaign Name", "Invited User?", "größe", "a+b"})
			return err
		}, url.Values{"limit": {"7"}, "include": {"Campaign Name,Invited User?,größe,a+b"}}},
		{"a page of traits", func(ctx context.Context, c *segmentprofiles.Client) error {
			_, err := c.TraitsPage(ctx, id, "Invited User? 🎈&x=y", 7, nil)
			return err
		}, url.Values{"limit": {"7"}, "next": {"Invited User? 🎈&x=y"}}},
		{"external ids", func(ctx context.Context, c *segmentprofiles.Client) error {
			_, err := c.ExternalIDs(ctx, id, nil)
			return err
		}, url.Values{"limit": {"25"}}},
		{"external ids of some types", func(ctx context.Context, c *segmentprofiles.Client) error {
			_, err := c.ExternalIDs(ctx, id, []string{"user_id", "ios.idfa"})
			return err
		}, url.Values{"limit": {"25"}, "include": {"user_id,ios.idfa"}}},
		{"a page of external ids", func(ctx context.Context, c *segmentprofiles.Client) error {
			_, err := c.ExternalIDsPage(ctx, id, "map_0vKouKs2XyirgwMO4SmnDGaps7j", []string{"user_id"})
			return err
		}, url.Values{"limit": {"25"}, "include": {"user_id"}, "next": {"map_0vKouKs2XyirgwMO4SmnDGaps7j"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got url.Values
			client := newClient(t, func(w http.ResponseWriter, r *http.Request) {
				var err error
				if got, err = url.ParseQuery(r.URL.RawQuery); err != nil {
					t.Error(err)
				}
				io.WriteString(w, `{"data":[],"traits":{}}`)
			})
			if err := c.call(t.Context(), client); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("query (-want +got):\n%s", diff)
			}
		})
	}
}

// Without a header of our own net/http asks for gzip and unpacks it.
func TestCompressionIsLeftToNetHTTP(t *testing.T) {
	var got string
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Accept-Encoding")
		io.WriteString(w, `{"data":[]}`)
	})
	if _, err := c.Profiles(t.Context(), "0", 1); err != nil {
		t.Fatal(err)
	}
	if got != "gzip" {
		t.Errorf("Accept-Encoding: %q, want gzip", got)
	}
}

// lister reads all pages of one of the three routes, and returns what was in them.
type lister struct {
	name string
	item func(n int) string                              // the nth item, as the members of a page
	read func(*segmentprofiles.Client) ([]string, error) // the items, in order
}

func listers(t *testing.T) []lister {
	id := segmentprofiles.SegmentID("use_1")
	return []lister{
		{"list",
			func(n int) string { return fmt.Sprintf(`"data":[{"segment_id":"i%d"}]`, n) },
			func(c *segmentprofiles.Client) (items []string, err error) {
				for page, err := range c.AllProfiles(t.Context(), "0", 1) {
					if err != nil {
						return items, err
					}
					for _, p := range page.Data {
						items = append(items, p.SegmentID)
					}
				}
				return items, nil
			}},
		{"traits",
			func(n int) string { return fmt.Sprintf(`"traits":{"i%d":true}`, n) },
			func(c *segmentprofiles.Client) ([]string, error) {
				traits, _, err := c.Traits(t.Context(), id, 1, nil)
				return slices.Sorted(maps.Keys(traits)), err
			}},
		{"external ids",
			func(n int) string { return fmt.Sprintf(`"data":[{"id":"i%d","type":"user_id"}]`, n) },
			func(c *segmentprofiles.Client) (items []string, err error) {
				ids, err := c.ExternalIDs(t.Context(), id, nil)
				for _, id := range ids {
					items = append(items, id.ID)
				}
				return items, err
			}},
	}
}

// first is the cursor that a lister sends for the first page.
func (l lister) first() string {
	if l.name == "list" {
		return "0"
	}
	return ""
}

func TestPagesAreReadToTheEnd(t *testing.T) {
	for _, c := range []struct {
		name    string
		cursors []string // JSON, of each page
		want    []string // the cursors sent for the pages after the first
	}{
		{"next and has_more", []string{`{"has_more":true,"next":"2"}`, `{"has_more":false,"next":""}`}, []string{"2"}},
		{"short pages", []string{`{"has_more":true,"next":"25","limit":100}`, `{"has_more":true,"next":"31","limit":100}`, `{"has_more":false,"next":""}`}, []string{"25", "31"}},
		{"next as a number", []string{`{"has_more":true,"next":100}`, `{"has_more":true,"next":12345678901234567890}`, `{"next":null}`}, []string{"100", "12345678901234567890"}},
		{"a number is sent back as it was written", []string{`{"next":1e2}`, `{"next":""}`}, []string{"1e2"}},
		{"has_more left out", []string{`{"next":"b"}`, `{"next":""}`}, []string{"b"}},
		{"has_more null", []string{`{"next":"b","has_more":null}`, `{}`}, []string{"b"}},
		{"has_more false beats next", []string{`{"has_more":false,"next":"2"}`}, nil},
		{"blanks around the members", []string{"{ \"has_more\" : true , \"next\" : \"2\" }", "{\n\"has_more\":\nfalse\n}"}, []string{"2"}},
		{"all characters of a token", []string{`{"next":"aZ09_-.=/+:~%"}`, `{}`}, []string{"aZ09_-.=/+:~%"}},
		{"cursor null", []string{`null`}, nil},
		{"any text, of a profile", []string{`{"next":"Invited User? +&=%2B/ü🎈\t#"}`, `{}`}, []string{"Invited User? +&=%2B/ü🎈\t#"}},
		{"blanks, of a profile", []string{`{"next":" "}`, `{}`}, []string{" "}},
		{"opaque cursor", []string{`{"next":"map_0vKouKs2XyirgwMO4SmnDGaps7j"}`, `{}`}, []string{"map_0vKouKs2XyirgwMO4SmnDGaps7j"}},
		{"case of a cursor", []string{`{"next":"aB"}`, `{"next":"Ab"}`, `{}`}, []string{"aB", "Ab"}},
	} {
		for _, l := range listers(t) {
			if strings.HasSuffix(c.name, "of a profile") && l.name == "list" {
				continue // see TestCursorOfTheListIsAToken
			}
			t.Run(c.name+"/"+l.name, func(t *testing.T) {
				var asked, pages, items []string
				for n, cursor := range c.cursors {
					pages = append(pages, `{`+l.item(n)+`,"cursor":`+cursor+`}`)
					items = append(items, "i"+strconv.Itoa(n))
				}
				got, err := l.read(newClient(t, pagesOf(&asked, pages...)))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(items, got); diff != "" {
					t.Errorf("items (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(append([]string{l.first()}, c.want...), asked); diff != "" {
					t.Errorf("cursors that were sent (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestCursorMayBeAbsent(t *testing.T) {
	for _, l := range listers(t) {
		t.Run(l.name, func(t *testing.T) {
			var asked []string
			got, err := l.read(newClient(t, pagesOf(&asked, `{`+l.item(0)+`}`)))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"i0"}, got); diff != "" {
				t.Errorf("items (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRepeatedCursorIsAnError(t *testing.T) {
	for _, c := range []struct {
		name    string
		cursors []string
		want    string
	}{
		{"at once", []string{"a", "a"}, `the cursor "a" came a second time: the pages do not end`},
		{"after another", []string{"a", "b", "a"}, `the cursor "a" came a second time: the pages do not end`},
		{"after many", []string{"a", "b", "c", "d", "b"}, `the cursor "b" came a second time: the pages do not end`},
		{"with control characters, of a profile", []string{"\x1b[2J", "\x1b[2J"}, `the cursor "\x1b[2J" came a second time: the pages do not end`},
	} {
		for _, l := range listers(t) {
			if strings.HasSuffix(c.name, "of a profile") && l.name == "list" {
				continue
			}
			want := c.want
			if l.name != "list" {
				want = "malformed answer: " + want
			}
			t.Run(c.name+"/"+l.name, func(t *testing.T) {
				var asked, pages []string
				for n, next := range c.cursors {
					quoted, err := json.Marshal(next)
					if err != nil {
						t.Fatal(err)
					}
					pages = append(pages, `{`+l.item(n)+`,"cursor":{"has_more":true,"next":`+string(quoted)+`}}`)
				}
				_, err := l.read(newClient(t, pagesOf(&asked, pages...)))
				if err == nil || err.Error() != want {
					t.Errorf("error %v\nwant  %s", err, want)
				}
				if len(asked) != len(pages) {
					t.Errorf("%d requests, want %d", len(asked), len(pages))
				}
			})
		}
	}
}

// The first page's cursor counts as one that came.
func TestCursorOfTheFirstPageIsAnError(t *testing.T) {
	var asked []string
	c := newClient(t, pagesOf(&asked, `{"data":[{"segment_id":"a"}],"cursor":{"has_more":true,"next":"400"}}`))
	var errs []error
	for _, err := range c.AllProfiles(t.Context(), "400", 1) {
		errs = append(errs, err)
	}
	if want := `the cursor "400" came a second time: the pages do not end`; len(errs) != 1 || errs[0] == nil || errs[0].Error() != want {
		t.Errorf("errors %v, want only %s", errs, want)
	}
}

func TestEmptyPageWithANextIsFollowed(t *testing.T) {
	for _, empty := range []string{`[]`, `null`} {
		var asked []string
		c := newClient(t, pagesOf(&asked,
			`{"data":[{"segment_id":"a"}],"cursor":{"has_more":true,"next":"1"}}`,
			`{"data":`+empty+`,"cursor":{"has_more":true,"next":"2"}}`,
			`{"data":`+empty+`,"cursor":{"next":"3"}}`,
			`{"data":[{"segment_id":"b"}],"cursor":{"has_more":false,"next":""}}`))
		var got [][]segmentprofiles.Profile
		for page, err := range c.AllProfiles(t.Context(), "0", 1) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, page.Data)
		}
		want := [][]segmentprofiles.Profile{{{SegmentID: "a"}}, {}, {}, {{SegmentID: "b"}}}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("data %s: pages (-want +got):\n%s", empty, diff)
		}
		if diff := cmp.Diff([]string{"0", "1", "2", "3"}, asked); diff != "" {
			t.Errorf("data %s: cursors that were sent (-want +got):\n%s", empty, diff)
		}
	}
}

// For a profile's own pages the cursor alone decides: none of its data is lost.
func TestEmptyPageOfAProfileIsNotTheEnd(t *testing.T) {
	id := segmentprofiles.SegmentID("use_1")
	var asked []string
	c := newClient(t, pagesOf(&asked,
		`{"data":[],"cursor":{"has_more":true,"next":"map_1"}}`, `{"data":[{"id":"u1","type":"user_id"}]}`,
		`{"traits":{},"cursor":{"has_more":true,"next":"b"}}`, `{"traits":{"b":1}}`))
	ids, err := c.ExternalIDs(t.Context(), id, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]segmentprofiles.ExternalID{{ID: "u1", Type: "user_id"}}, ids); diff != "" {
		t.Errorf("external ids (-want +got):\n%s", diff)
	}
	traits, _, err := c.Traits(t.Context(), id, 10, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"b": json.Number("1")}, traits); diff != "" {
		t.Errorf("traits (-want +got):\n%s", diff)
	}
}

func TestCursorURLIsNeverFollowed(t *testing.T) {
	reached := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	t.Cleanup(elsewhere.Close)
	for _, to := range []string{elsewhere.URL + "/v1/x?next=9", "/elsewhere?next=9", "?%3Acollection=users&next=9", ""} {
		for _, l := range listers(t) {
			var uris []string
			c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
				uris = append(uris, r.RequestURI)
				if len(uris) == 1 {
					io.WriteString(w, `{`+l.item(0)+`,"cursor":{"url":"`+to+`","has_more":true,"next":"2"}}`)
					return
				}
				io.WriteString(w, `{`+l.item(1)+`,"cursor":{"url":"`+to+`","has_more":false,"next":""}}`)
			})
			if _, err := l.read(c); err != nil {
				t.Fatal(err)
			}
			if len(uris) != 2 {
				t.Fatalf("requests %v, want 2", uris)
			}
			first, _, _ := strings.Cut(uris[0], "?")
			second, query, _ := strings.Cut(uris[1], "?")
			if first != second || !strings.Contains(query, "next=2") || !strings.Contains(query, "limit=") {
				t.Errorf("%s, cursor.url %q: the second request is %s, after %s", l.name, to, uris[1], uris[0])
			}
		}
	}
	if reached {
		t.Error("cursor.url was followed to another host")
	}
}

func TestStoppingTheRangeStopsTheRequests(t *testing.T) {
	var asked []string
	c := newClient(t, pagesOf(&asked, listPage))
	for _, err := range c.AllProfiles(t.Context(), "0", 2) {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	if len(asked) != 1 {
		t.Errorf("%d requests, want 1", len(asked))
	}
}

func TestErrorEndsTheRange(t *testing.T) {
	var asked []string
	c := newClient(t, pagesOf(&asked, listPage))
	var ids []string
	var errs []error
	for page, err := range c.AllProfiles(t.Context(), "0", 2) {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, p := range page.Data {
			ids = append(ids, p.SegmentID)
		}
	}
	var e *segmentprofiles.Error
	if len(errs) != 1 || !errors.As(errs[0], &e) || e.Status != 500 {
		t.Errorf("errors %v, want one with status 500", errs)
	}
	if diff := cmp.Diff([]string{"use_2KYzS3yqV8w4n6LkTq0cXh1aBcD", "use_2KYkQ9mT1rZb7uWf3dGpN5sEvJ0"}, ids); diff != "" {
		t.Errorf("profiles before the error (-want +got):\n%s", diff)
	}
}

// An error on a later page must not pass for a profile with few traits or ids.
func TestErrorOnALaterPage(t *testing.T) {
	for _, l := range listers(t)[1:] {
		var asked []string
		got, err := l.read(newClient(t, pagesOf(&asked, `{`+l.item(0)+`,"cursor":{"has_more":true,"next":"2"}}`)))
		var e *segmentprofiles.Error
		if !errors.As(err, &e) || len(got) != 0 {
			t.Errorf("%s: got %v, %v, want an Error alone", l.name, got, err)
		}
	}
}

func TestTraits(t *testing.T) {
	for _, c := range []struct {
		name  string
		pages []string
		want  map[string]any
	}{
		{"null", []string{`{"traits":null,"cursor":{"url":"","has_more":false,"next":""}}`}, map[string]any{}},
		{"none", []string{`{"traits":{},"cursor":{"url":"","has_more":false,"next":""}}`}, map[string]any{}},
		{"null without a cursor", []string{`{"traits":null}`}, map[string]any{}},
		{"left out beside a cursor", []string{`{"cursor":{"has_more":false}}`}, map[string]any{}},
		{"all kinds of values", []string{`{"traits":{
			"3_product_views_in_last_60_days": false,
			"Campaign Name": "Organic",
			"Invited User?": "",
			"größe": null,
			"favorite_brands": ["Fenty", 7, null],
			"company": {"id": 77, "deep": {"plan": "enterprise"}}
		},"cursor":{"has_more":false}}`}, map[string]any{
			"3_product_views_in_last_60_days": false,
			"Campaign Name":                   "Organic",
			"Invited User?":                   "",
			"größe":                           nil,
			"favorite_brands":                 []any{"Fenty", json.Number("7"), nil},
			"company":                         map[string]any{"id": json.Number("77"), "deep": map[string]any{"plan": "enterprise"}},
		}},
		{"no digit of a number is lost", []string{
			`{"traits":{"a":9007199254740993,"b":0.1000000000000000055,"c":1.50,"d":-1e400,"e":{"f":[123456789012345678901234567890]}}}`,
		}, map[string]any{
			"a": json.Number("9007199254740993"), "b": json.Number("0.1000000000000000055"),
			"c": json.Number("1.50"), "d": json.Number("-1e400"),
			"e": map[string]any{"f": []any{json.Number("123456789012345678901234567890")}},
		}},
		{"pages, one of them null", []string{
			`{"traits":{"a":1},"cursor":{"has_more":true,"next":"Campaign Name"}}`,
			`{"traits":null,"cursor":{"has_more":true,"next":"browser"}}`,
			`{"traits":{"browser":"x"},"cursor":{"has_more":false,"next":""}}`,
		}, map[string]any{"a": json.Number("1"), "browser": "x"}},
		{"camelCase and snake_case stay apart", []string{`{"traits":{"firstName":"Ada","first_name":"ADA","FirstName":"A"}}`},
			map[string]any{"firstName": "Ada", "first_name": "ADA", "FirstName": "A"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked []string
			got, _, err := newClient(t, pagesOf(&asked, c.pages...)).Traits(t.Context(), segmentprofiles.SegmentID("use_1"), 200, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("traits (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEveryPageOfTraitsHasTheSameLimitAndInclude(t *testing.T) {
	var queries []url.Values
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		queries = append(queries, r.URL.Query())
		if len(queries) < 3 {
			fmt.Fprintf(w, `{"traits":{},"cursor":{"has_more":true,"next":"p%d"}}`, len(queries))
			return
		}
		io.WriteString(w, `{"traits":{}}`)
	})
	if _, _, err := c.Traits(t.Context(), segmentprofiles.SegmentID("use_1"), 7, []string{"name", "email"}); err != nil {
		t.Fatal(err)
	}
	want := []url.Values{
		{"limit": {"7"}, "include": {"name,email"}},
		{"limit": {"7"}, "include": {"name,email"}, "next": {"p1"}},
		{"limit": {"7"}, "include": {"name,email"}, "next": {"p2"}},
	}
	if diff := cmp.Diff(want, queries); diff != "" {
		t.Errorf("queries (-want +got):\n%s", diff)
	}
}

func TestExternalIDs(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		name  string
		pages []string
		want  []segmentprofiles.ExternalID
	}{
		{"none", []string{`{"data":[]}`}, nil},
		{"null", []string{`{"data":null,"cursor":{"has_more":false}}`}, nil},
		{"in the API's order, with and without a cursor", []string{
			`{"data":[{"source_id":"GFu4AJc2bE","collection":"users","id":"1d1cd931-bc7d-4e39-a1a7-61563296fb15","type":"cross_domain_id",
				"created_at":"2017-11-30T06:05:01.40468Z","encoding":"none","first_message_id":"ajs-0af8675aa114c759210a76b2baea0a03-clean"}],
			  "cursor":{"url":"/v1/spaces/lgJ4AAjFN4/x","has_more":true,"next":"map_0vKouKs2XyirgwMO4SmnDGaps7j"}}`,
			`{"data":[{"id":"+15555550116","type":"phone","created_at":"2023-01-05T15:01:00.367201348Z","encoding":"none"},
				{"id":"ADA@Example.com","type":"email","created_at":"2023-01-05T15:00:00Z"},
				{"id":"u1","type":"user_id"}]}`,
		}, []segmentprofiles.ExternalID{
			{ID: "1d1cd931-bc7d-4e39-a1a7-61563296fb15", Type: "cross_domain_id", CreatedAt: at("2017-11-30T06:05:01.40468Z")},
			{ID: "+15555550116", Type: "phone", CreatedAt: at("2023-01-05T15:01:00.367201348Z")},
			{ID: "ADA@Example.com", Type: "email", CreatedAt: at("2023-01-05T15:00:00Z")},
			{ID: "u1", Type: "user_id"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked []string
			got, err := newClient(t, pagesOf(&asked, c.pages...)).ExternalIDs(t.Context(), segmentprofiles.SegmentID("use_1"), nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("external ids (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnswerThatCannotBeDecoded(t *testing.T) {
	for body, want := range map[string]string{
		`<html>`:     `decoding the answer (request id req\u202e): invalid character '<' at start of value`,
		`{"data":[`:  `decoding the answer (request id req\u202e): unexpected EOF`,
		``:           `decoding the answer (request id req\u202e): unexpected EOF`,
		`[]`:         `decoding the answer (request id req\u202e): it has another shape than documented`,
		`{"data":7}`: `decoding the answer (request id req\u202e): expected a list of profiles`,
		`{"data":[],"cursor":{"next":{"a":"\u009b2J"}}}`: `the cursor has a next that is neither a string nor a number`,
	} {
		_, err := newClient(t, reply(200, strings.ReplaceAll(body, `\u009b`, "\u009b"), "Request-Id", "req\u202e")).Profiles(t.Context(), "0", 1)
		if err == nil || err.Error() != want {
			t.Errorf("body %.100q: error %v\nwant %s", body, err, want)
		}
	}
}

func TestNetworkErrorNamesTheHostAndNotTheURL(t *testing.T) {
	srv := httptest.NewServer(reply(200, `{}`))
	host := strings.TrimPrefix(srv.URL, "http://")
	c := clientOf(t, srv.URL, "spa_1", "token-1")
	srv.Close()
	_, _, err := c.Traits(t.Context(), segmentprofiles.Identifier{Type: "email", Value: "ada@example.com"}, 10, nil)
	if err == nil || !strings.HasPrefix(err.Error(), host+": ") || strings.Contains(err.Error(), "ada") || strings.Contains(err.Error(), "token-1") {
		t.Errorf("error %v, want the host %s and the cause", err, host)
	}
}

func TestCancelledContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
		cancel()
		io.WriteString(w, listPage)
	})
	for range c.AllProfiles(ctx, "0", 2) {
	}
	if _, err := c.Profiles(ctx, "0", 2); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

// What is no list must not pass for an empty space.
func TestProfilesOfNoList(t *testing.T) {
	for body, isList := range map[string]bool{
		`{}`: false, `{"data":null}`: false, `{"profiles":[]}`: false, `{"cursor":{"has_more":false,"next":""}}`: false,
		`{"data":[]}`: true, `{"data":null,"cursor":{"has_more":false,"next":""}}`: true,
	} {
		c := newClient(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, body) })
		if _, err := c.Profiles(t.Context(), "0", 1); (err == nil) != isList {
			t.Errorf("%s: error %v", body, err)
		}
	}
}
