package sandbox_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"segsync/internal/sandbox"
)

// listPage, traitsPage and idsPage are the answers, as documented.
type listPage struct {
	Data []struct {
		SegmentID string `json:"segment_id"`
		Metadata  struct {
			CreatedAt time.Time  `json:"created_at"`
			UpdatedAt *time.Time `json:"updated_at"`
		} `json:"metadata"`
	} `json:"data"`
	Cursor cursor `json:"cursor"`
}

type traitsPage struct {
	Traits map[string]any `json:"traits"`
	Cursor cursor         `json:"cursor"`
}

type idsPage struct {
	Data []struct {
		ID        string    `json:"id"`
		Type      string    `json:"type"`
		CreatedAt time.Time `json:"created_at"`
	} `json:"data"`
	Cursor cursor `json:"cursor"`
}

type cursor struct {
	HasMore bool   `json:"has_more"`
	Next    string `json:"next"`
}

// listed reads the whole list, page by page.
func listed(c *client, limit int) (ids []string, updated []*time.Time) {
	c.t.Helper()
	next := ""
	for {
		var p listPage
		c.get(fmt.Sprintf("%s?limit=%d&next=%s", profiles, limit, next), &p)
		for _, d := range p.Data {
			ids = append(ids, d.SegmentID)
			updated = append(updated, d.Metadata.UpdatedAt)
		}
		if !p.Cursor.HasMore {
			return ids, updated
		}
		next = p.Cursor.Next
	}
}

func segmentIDs(s *sandbox.Sandbox) []string {
	var ids []string
	for _, e := range s.Want() {
		ids = append(ids, e.SegmentID)
	}
	return ids
}

func TestListPages(t *testing.T) {
	s, c := start(t, sandbox.Options{Profiles: 123})
	ids, updated := listed(c, 50)
	equal(t, "ids", ids, segmentIDs(s))
	if !slices.IsSortedFunc(updated, func(a, b *time.Time) int { return b.Compare(*a) }) {
		t.Error("updated_at does not fall")
	}
	equal(t, "list requests", s.Stats().ListRequests, 3)

	for query, want := range map[string][2]any{
		"":                    {10, cursor{true, "10"}},
		"?limit=100&next=100": {23, cursor{false, ""}},
		"?next=123":           {0, cursor{false, ""}},
		"?next=99999":         {0, cursor{false, ""}},
	} {
		var p listPage
		c.get(profiles+query, &p)
		equal(t, query, [2]any{len(p.Data), p.Cursor}, want)
	}
}

func TestListRefusals(t *testing.T) {
	_, c := start(t, sandbox.Options{Profiles: 1})
	for _, query := range []string{"?limit=0", "?limit=101", "?limit=x", "?next=-1", "?next=x", "?next=1.5"} {
		_, body := c.do("GET", profiles+query, "", 400)
		if name := query[1:strings.IndexByte(query, '=')]; !strings.Contains(body, `"validation_error"`) || !strings.Contains(body, name) {
			t.Errorf("%s: %s", query, body)
		}
	}
	c.do("GET", "/v1/spaces/spa_other/collections/users/profiles", "", 404)
}

func TestSegmentAnswersHaveTheDocumentedKeys(t *testing.T) {
	s, c := start(t, sandbox.Options{Profiles: 50})
	e := ofShape(t, s, "plain")
	var list, traits, ids struct {
		Data   []map[string]any `json:"data"`
		Cursor map[string]any   `json:"cursor"`
	}
	c.get(profiles, &list)
	c.get(pathOf(e, "traits"), &traits)
	c.get(pathOf(e, "external_ids"), &ids)
	keys := func(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
	full := []string{"has_more", "limit", "next", "url"}
	equal(t, "list cursor", keys(list.Cursor), full)
	equal(t, "list item", keys(list.Data[0]), []string{"metadata", "segment_id"})
	equal(t, "metadata of a list item", keys(list.Data[0]["metadata"].(map[string]any)), []string{"created_at", "updated_at"})
	equal(t, "traits cursor", keys(traits.Cursor), full)
	equal(t, "ids cursor", keys(ids.Cursor), []string{"has_more", "next", "url"})
	equal(t, "external id", keys(ids.Data[0]), []string{"collection", "created_at", "encoding", "first_message_id", "id", "source_id", "type"})

	resp, body := c.do("GET", pathOf(e, "metadata"), "", 200)
	if resp.Header.Get("Request-Id") == "" {
		t.Error("no Request-Id")
	}
	var m map[string]any
	decode(t, body, &m)
	equal(t, "segment_id", m["segment_id"], any(e.SegmentID))
	equal(t, "metadata", keys(m["metadata"].(map[string]any)), []string{
		"created_at", "expires_at", "first_message_id", "first_source_id", "last_message_id", "last_source_id", "updated_at"})
}

func TestTraitsOfAllProfiles(t *testing.T) {
	s, c := start(t, sandbox.Options{Profiles: 100, Seed: 3})
	for _, e := range s.Want() {
		if e.Vanished {
			_, body := c.do("GET", pathOf(e, "traits"), "", 404)
			equal(t, "vanished", body, `{"error":{"code":"not_found","message":"Profile was not found."}}`)
			c.do("GET", pathOf(e, "external_ids"), "", 404)
			continue
		}
		got := map[string]any{}
		next, null := "", false
		for more := true; more; {
			var p traitsPage
			c.get(pathOf(e, "traits")+"?limit=7&next="+url.QueryEscape(next), &p)
			null = p.Traits == nil
			maps.Copy(got, p.Traits)
			next, more = p.Cursor.Next, p.Cursor.HasMore
		}
		if null {
			got = nil
		}
		equal(t, e.Shape, got, e.Traits)
	}
}

func TestTraitsParameters(t *testing.T) {
	s, c := start(t, sandbox.Options{Profiles: 50})
	e := ofShape(t, s, "450 traits")
	size := func(query string) int {
		var p traitsPage
		c.get(pathOf(e, "traits")+query, &p)
		return len(p.Traits)
	}
	equal(t, "default limit", size(""), 10)
	equal(t, "limit 200", size("?limit=200"), 200)
	for _, query := range []string{"?limit=0", "?limit=201", "?class=other"} {
		c.do("GET", pathOf(e, "traits")+query, "", 400)
	}
	var p traitsPage
	c.get(pathOf(e, "traits")+"?include=name,email,absent", &p)
	equal(t, "include", p, traitsPage{Traits: map[string]any{"name": e.Traits["name"], "email": e.Traits["email"]}})
	p = traitsPage{}
	c.get(pathOf(e, "traits")+"?class=audience", &p)
	equal(t, "class", p.Traits, map[string]any{"big_spender": e.Traits["big_spender"]})
	p = traitsPage{}
	c.get(pathOf(e, "traits")+"?include=name&verbose=true", &p)
	equal(t, "verbose", p.Traits["name"].(map[string]any)["value"], e.Traits["name"])
}

// TestExternalIDsOfAllProfiles reads all ids of a type and finds the newest.
func TestExternalIDsOfAllProfiles(t *testing.T) {
	s, c := start(t, sandbox.Options{Profiles: 100, Seed: 3})
	short := false
	for _, e := range s.Want() {
		if e.Vanished {
			continue
		}
		best, at, next := "", time.Time{}, ""
		for more := true; more; {
			var p idsPage
			c.get(pathOf(e, "external_ids")+"?include=user_id&limit=25&next="+next, &p)
			for _, id := range p.Data {
				if order := id.CreatedAt.Compare(at); order > 0 || order == 0 && id.ID < best {
					best, at = id.ID, id.CreatedAt
				}
			}
			next, more = p.Cursor.Next, p.Cursor.HasMore
			short = short || more && len(p.Data) < 25
		}
		equal(t, "source id of "+e.Shape, best, e.SourceID)
	}
	if !short {
		t.Error("no page was short with more to come")
	}
}

func TestExternalIDsParameters(t *testing.T) {
	s, c := start(t, sandbox.Options{Profiles: 50})
	hidden := ofShape(t, s, "user_id beyond 25 ids")
	var p idsPage
	c.get(pathOf(hidden, "external_ids"), &p)
	equal(t, "default limit", len(p.Data), 10)
	c.get(pathOf(hidden, "external_ids")+"?limit=25", &p)
	for _, id := range p.Data {
		if id.Type == "user_id" {
			t.Error("the user_id stands on the first page")
		}
	}
	if !strings.HasPrefix(p.Cursor.Next, "map_") {
		t.Errorf("next is %q", p.Cursor.Next)
	}
	for _, query := range []string{"?limit=26", "?limit=0", "?next=map_x", "?next=10"} {
		c.do("GET", pathOf(hidden, "external_ids")+query, "", 400)
	}
	_, body := c.do("GET", pathOf(hidden, "external_ids")+"?include=phone", "", 200)
	equal(t, "no match", body, `{"data":[]}`)
}

func TestLookUp(t *testing.T) {
	s, c := start(t, sandbox.Options{Profiles: 50})
	e := ofShape(t, s, "plain")
	email := e.Traits["email"].(string)
	escaped := url.QueryEscape(email)
	for identifier, status := range map[string]int{
		"segment_id:" + e.SegmentID:                  200,
		"segment_id%3A" + e.SegmentID:                200,
		"segment_id:" + strings.ToLower(e.SegmentID): 404,
		e.SegmentID:                              200,
		e.SourceID:                               404,
		"user_id:" + e.SourceID:                  200,
		"user_id:" + strings.ToUpper(e.SourceID): 404,
		"user_id:user-9999999":                   404,
		"email:" + escaped:                       200,
		"email:" + email:                         500,
		"email:a+b%40example.com":                500,
	} {
		c.do("GET", profiles+"/"+identifier+"/traits", "", status)
	}
}

func TestMergedProfilesShareTheirUserID(t *testing.T) {
	s := sandbox.New(sandbox.Options{Profiles: 100})
	m := ofShape(t, s, "shared user_id")
	n := 0
	for _, e := range s.Want() {
		if e.SourceID == m.SourceID {
			n++
		}
	}
	equal(t, "profiles with the user_id", n, 2)
}

func TestListMoves(t *testing.T) {
	s, c := start(t, sandbox.Options{Profiles: 40})
	ids := segmentIDs(s)
	before := time.Now().Truncate(time.Millisecond)
	s.Touch(ids[30])
	s.Touch(ids[10])
	s.Touch("use_unknown")
	got, updated := listed(c, 100)
	want := slices.Concat([]string{ids[10], ids[30]}, ids[:10], ids[11:30], ids[31:])
	equal(t, "order", got, want)
	if updated[0].Before(before) || updated[1].Before(before) || !updated[2].Before(before) {
		t.Error("updated_at does not tell which were touched")
	}
}

func TestActivityMovesTheList(t *testing.T) {
	s, c := start(t, sandbox.Options{Profiles: 200, Activity: 3, Seed: 1})
	before := time.Now().Truncate(time.Millisecond)
	listed(c, 100)
	_, updated := listed(c, 100)
	n := 0
	for _, u := range updated {
		if !u.Before(before) {
			n++
		}
	}
	if n < 4 || n > 9 {
		t.Errorf("%d profiles became active, want about 6", n)
	}
	equal(t, "list requests", s.Stats().ListRequests, 4)
}

func TestOtherOrders(t *testing.T) {
	s, c := start(t, sandbox.Options{Profiles: 100, Order: sandbox.Shuffled})
	ids, updated := listed(c, 100)
	if slices.IsSortedFunc(updated, func(a, b *time.Time) int { return b.Compare(*a) }) {
		t.Error("Shuffled: updated_at falls")
	}
	equal(t, "Shuffled: ids", slices.Sorted(slices.Values(ids)), slices.Sorted(slices.Values(segmentIDs(s))))

	_, c = start(t, sandbox.Options{Profiles: 1, Order: sandbox.NoUpdatedAt})
	_, updated = listed(c, 100)
	equal(t, "NoUpdatedAt", updated, []*time.Time{nil})
}

func TestCompression(t *testing.T) {
	for _, plain := range []bool{false, true} {
		_, c := start(t, sandbox.Options{Profiles: 100, Plain: plain})
		r := c.request("GET", profiles+"?limit=100", nil)
		resp, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		equal(t, "compressed", resp.Uncompressed, !plain)
	}
}

func TestRateLimitIsASlidingWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sandbox.New(sandbox.Options{Profiles: 1, RateLimit: 5, Taken: 2})
		status := func() int {
			r := httptest.NewRequest("GET", profiles, nil)
			r.SetBasicAuth("sandbox-access-token", "")
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			return w.Code
		}
		var got []int
		for _, pause := range []time.Duration{0, 400, 400, 199, 1, 0, 399, 1} {
			time.Sleep(pause * time.Millisecond) // of the bubble's clock
			got = append(got, status())
		}
		equal(t, "statuses", got, []int{200, 200, 200, 429, 200, 429, 429, 200})
		equal(t, "Stats.Segment429", s.Stats().Segment429, 3)
	})
}

func TestLatencyHasTheGivenMean(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sandbox.New(sandbox.Options{Latency: 100 * time.Millisecond})
		begin := time.Now()
		const n = 5000
		for range n {
			r := httptest.NewRequest("GET", profiles, nil)
			r.SetBasicAuth("sandbox-access-token", "")
			s.ServeHTTP(httptest.NewRecorder(), r)
		}
		if mean := time.Since(begin) / n; mean < 90*time.Millisecond || mean > 110*time.Millisecond {
			t.Errorf("mean latency is %s, want about 100ms", mean)
		}
	})
}

func TestClockOffset(t *testing.T) {
	s, c := start(t, sandbox.Options{Profiles: 2, Plain: true, ClockOffset: -5 * time.Hour})
	s.Touch(s.Want()[1].SegmentID)
	resp, body := c.do("GET", profiles, "", 200)
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if ago := time.Since(date); err != nil || ago < 5*time.Hour || ago > 5*time.Hour+time.Minute {
		t.Errorf("Date %v, %v", date, err)
	}
	var p listPage
	decode(t, body, &p)
	updated := *p.Data[0].Metadata.UpdatedAt
	if d := updated.Sub(date); d < -time.Minute || d > time.Minute {
		t.Errorf("updated_at %v, Date %v", updated, date)
	}
}
