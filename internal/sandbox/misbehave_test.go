package sandbox_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"segsync/internal/sandbox"
)

func TestGoneAndDead(t *testing.T) {
	all := sandbox.New(sandbox.Options{Profiles: 3, Plain: true}).Want()
	o := sandbox.Options{Profiles: 3, Plain: true, Misbehave: sandbox.Misbehaviour{
		Gone: func(id string) bool { return id == all[0].SegmentID },
		Dead: func(id string) bool { return id == all[1].SegmentID },
	}}
	for _, nonsense := range []bool{false, true} {
		o.Misbehave.DeadNonsense = nonsense
		s, c := start(t, o)
		want := s.Want()
		equal(t, "vanished", []bool{want[0].Vanished, want[1].Vanished}, []bool{true, false})
		for _, what := range []string{"traits", "external_ids"} {
			c.do("GET", pathOf(all[0], what), "", 404)
			c.do("GET", pathOf(all[2], what), "", 200)
			if !nonsense {
				c.do("GET", pathOf(all[1], what), "", 500)
			} else if _, body := c.do("GET", pathOf(all[1], what), "", 200); !strings.HasPrefix(body, "[") {
				t.Errorf("dead: %s", body)
			}
		}
	}
}

// page is a list page as it is on the wire.
type page struct {
	Data []struct {
		SegmentID any `json:"segment_id"`
		Metadata  map[string]string
	}
	Cursor struct {
		HasMore bool `json:"has_more"`
		Next    any
	}
}

func TestEmptyPageLosesNothing(t *testing.T) {
	s, c := start(t, sandbox.Options{Profiles: 25, Plain: true, Misbehave: sandbox.Misbehaviour{
		ListFault: func(offset int) sandbox.ListFault {
			if offset == 10 || offset == 21 {
				return sandbox.ListEmptyPage
			}
			return ""
		},
	}})
	var ids []any
	empty, next := 0, "0"
	for range 20 {
		var p page
		c.get(profiles+"?limit=10&next="+next, &p)
		if len(p.Data) == 0 {
			empty++
		}
		for _, e := range p.Data {
			ids = append(ids, e.SegmentID)
		}
		if !p.Cursor.HasMore {
			break
		}
		next = p.Cursor.Next.(string)
	}
	var want []any
	for _, e := range s.Want() {
		want = append(want, e.SegmentID)
	}
	equal(t, "profiles", ids, want)
	equal(t, "empty pages", empty, 2)
}

func TestListFaults(t *testing.T) {
	for fault, isWrong := range map[sandbox.ListFault]func(page, string) bool{
		sandbox.ListNoNext:       func(p page, _ string) bool { return len(p.Data) == 5 && p.Cursor.HasMore && p.Cursor.Next == "" },
		sandbox.ListDeadEnd:      func(p page, _ string) bool { return len(p.Data) == 0 && p.Cursor.HasMore && p.Cursor.Next == "" },
		sandbox.ListNeverEnds:    func(p page, _ string) bool { return p.Cursor.HasMore && p.Cursor.Next == "25" },
		sandbox.ListOddCursor:    func(p page, _ string) bool { return strings.Contains(p.Cursor.Next.(string), "\x1b[2J\r\n") },
		sandbox.ListObjectCursor: func(p page, _ string) bool { _, ok := p.Cursor.Next.(map[string]any); return ok },
		sandbox.ListNumberID:     func(p page, _ string) bool { _, ok := p.Data[0].SegmentID.(string); return !ok },
		sandbox.ListLoneSurrogate: func(p page, body string) bool {
			return strings.Contains(body, `use_\ud800"`) && utf8.ValidString(body)
		},
		sandbox.ListInvalidUTF8: func(p page, body string) bool { return !utf8.ValidString(body) },
		sandbox.ListEmptyCreated: func(p page, _ string) bool {
			return p.Data[0].Metadata["created_at"] == "" && p.Data[1].Metadata["created_at"] != ""
		},
		sandbox.ListBadCreated: func(p page, _ string) bool { return p.Data[0].Metadata["created_at"] == "yesterday" },
		sandbox.ListBadUpdated: func(p page, _ string) bool { return p.Data[0].Metadata["updated_at"] == "yesterday" },
	} {
		_, c := start(t, sandbox.Options{Profiles: 25, Plain: true, Misbehave: sandbox.Misbehaviour{
			ListFault: func(int) sandbox.ListFault { return fault },
		}})
		_, body := c.do("GET", profiles+"?limit=5&next=20", "", 200)
		var p page
		decode(t, body, &p)
		if !isWrong(p, body) {
			t.Errorf("%s: %s", fault, body)
		}
	}
}

func TestListRepeats(t *testing.T) {
	s, c := start(t, sandbox.Options{Profiles: 9, Misbehave: sandbox.Misbehaviour{
		ListFault: func(int) sandbox.ListFault { return sandbox.ListRepeats },
	}})
	var p page
	c.get(profiles+"?limit=5&next=500", &p)
	equal(t, "first", p.Data[0].SegmentID, any(s.Want()[0].SegmentID))
	equal(t, "cursor", []any{p.Cursor.HasMore, p.Cursor.Next}, []any{true, "505"})
}

func TestProfileFaults(t *testing.T) {
	id := sandbox.New(sandbox.Options{Profiles: 1, Plain: true}).Want()[0]
	for fault, want := range map[sandbox.ProfileFault]string{
		sandbox.IDsNoData:         `{"cursor":`,
		sandbox.IDsNumber:         `"id":42,`,
		sandbox.IDsEmptyCreated:   `"created_at":""`,
		sandbox.IDsBadCreated:     `"created_at":"01/02/2023"`,
		sandbox.IDsLoneSurrogate:  `"id":"user-\ud800"`,
		sandbox.IDsInvalidUTF8:    "\"id\":\"user-\xff\"",
		sandbox.IDsEndless:        `"has_more":true`,
		sandbox.TraitsMissing:     `{}`,
		sandbox.TraitsOnlyCursor:  `{"cursor":`,
		sandbox.TraitsNull:        `{"traits":null`,
		sandbox.TraitsInvalidUTF8: "\"Ada \xff\"",
		sandbox.TraitsEndless:     `"has_more":true`,
	} {
		_, c := start(t, sandbox.Options{Profiles: 1, Plain: true, Misbehave: sandbox.Misbehaviour{
			ProfileFault: func(string) sandbox.ProfileFault { return fault },
		}})
		_, ids := c.do("GET", pathOf(id, "external_ids")+"?include=user_id", "", 200)
		_, traits := c.do("GET", pathOf(id, "traits"), "", 200)
		if !strings.Contains(ids, want) && !strings.Contains(traits, want) {
			t.Errorf("%s: %s\n%s", fault, ids, traits)
		}
	}
}

func TestSwallow(t *testing.T) {
	for _, applies := range []bool{false, true} {
		s, c := start(t, sandbox.Options{Record: true, Misbehave: sandbox.Misbehaviour{
			Swallow:        func(r sandbox.Request) bool { return r.Method == "POST" },
			SwallowApplies: applies,
		}})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err := c.Do(c.request("POST", bulk, []byte(`[{"source_id":"a"}]`)).WithContext(ctx))
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the request ended with %v", err)
		}
		c.do("GET", actions, "", 200)
		if _, applied := s.Customers()["a"]; applied != applies {
			t.Errorf("applied: %t, want %t", applied, applies)
		}
	}
}

func TestOutage(t *testing.T) {
	s, c := start(t, sandbox.Options{Profiles: 1})
	s.SetOutage("segment", true)
	c.do("GET", profiles, "", 503)
	c.do("GET", actions, "", 200)
	s.SetOutage("segment", false)
	c.do("GET", profiles, "", 200)
}

func TestOutageCloses(t *testing.T) {
	_, c := start(t, sandbox.Options{Misbehave: sandbox.Misbehaviour{Outage: sandbox.Outage{For: time.Hour, Close: true}}})
	if _, err := c.Do(c.request("GET", actions, nil)); err == nil {
		t.Error("the request was answered")
	}
}

func TestOutageAfterRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sandbox.New(sandbox.Options{Misbehave: sandbox.Misbehaviour{
			Outage: sandbox.Outage{API: "voucherify", After: 2, For: time.Minute},
		}})
		ask := func() int {
			w, r := httptest.NewRecorder(), httptest.NewRequest("GET", actions, nil)
			r.Header.Set("X-App-Id", "sandbox-app-id")
			r.Header.Set("X-App-Token", "sandbox-secret-key")
			s.ServeHTTP(w, r)
			return w.Code
		}
		got := []int{ask(), ask(), ask()}
		time.Sleep(59 * time.Second)
		got = append(got, ask())
		time.Sleep(time.Second)
		equal(t, "answers", append(got, ask()), []int{200, 200, 503, 503, 200})
	})
}

func TestHostileAnswersItsRouteOnly(t *testing.T) {
	_, c := start(t, sandbox.Options{Profiles: 1, Misbehave: sandbox.Misbehaviour{Hostile: &sandbox.Hostile{
		Route:   "actions",
		Handler: func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ha") },
	}}})
	_, body := c.do("GET", actions, "", 200)
	equal(t, "hostile", body, "ha")
	c.do("GET", actions+"/aa_1", "", 404)
	c.do("GET", profiles, "", 200)
}

func TestClockOffset(t *testing.T) {
	s, c := start(t, sandbox.Options{Profiles: 2, Plain: true, ClockOffset: -5 * time.Hour})
	s.Touch(s.Want()[1].SegmentID)
	resp, body := c.do("GET", profiles, "", 200)
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if ago := time.Since(date); err != nil || ago < 5*time.Hour || ago > 5*time.Hour+time.Minute {
		t.Errorf("Date %v, %v", date, err)
	}
	var p page
	decode(t, body, &p)
	updated, err := time.Parse(time.RFC3339, p.Data[0].Metadata["updated_at"])
	if d := updated.Sub(date); err != nil || d < -time.Minute || d > time.Minute {
		t.Errorf("updated_at %v, Date %v, %v", updated, date, err)
	}
}

func TestClean(t *testing.T) {
	want := sandbox.New(sandbox.Options{Profiles: 500, Clean: true}).Want()
	vanished, without, shapes := 0, 0, map[string]bool{}
	for _, e := range want {
		shapes[e.Shape] = true
		if e.Vanished {
			vanished++
		} else if e.SourceID == "" {
			without++
		}
	}
	equal(t, "vanished, without identifier, shapes", []int{vanished, without, len(shapes)}, []int{0, 20, 33})
}
