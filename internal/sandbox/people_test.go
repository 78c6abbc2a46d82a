package sandbox_test

import (
	"encoding/json"
	"testing"

	"segsync/internal/sandbox"
)

func TestPeopleAreWhatTheAPISays(t *testing.T) {
	s, c := start(t, sandbox.Options{Profiles: 120})
	var want []string
	for _, e := range s.Want() {
		if !e.Vanished {
			want = append(want, e.SegmentID)
		}
	}
	var got []string
	for p := range s.People() {
		got = append(got, p.SegmentID)
		e := sandbox.Expect{SegmentID: p.SegmentID}
		var traits struct{ Traits map[string]any }
		c.get(pathOf(e, "traits")+"?limit=200", &traits)
		for key, value := range traits.Traits {
			equal(t, p.SegmentID+" "+key, p.Traits[key], value)
		}
		var ids struct{ Data []struct{ ID, Type string } }
		c.get(pathOf(e, "external_ids")+"?limit=2", &ids)
		for k, id := range ids.Data {
			equal(t, "external ID", []string{p.ExternalIDs[k].Type, p.ExternalIDs[k].ID}, []string{id.Type, id.ID})
		}
	}
	equal(t, "people", got, want)
}

func TestChanges(t *testing.T) {
	s, c := start(t, sandbox.Options{Profiles: 5, Plain: true})
	want := s.Want()
	s.SetTrait(want[3].SegmentID, "phone", json.RawMessage(`7`))
	s.SetTrait(want[3].SegmentID, "email", nil)
	s.Delete(want[1].SegmentID)
	c.do("GET", pathOf(want[1], "traits"), "", 404)
	var got struct{ Traits map[string]any }
	c.get(pathOf(want[3], "traits")+"?limit=200", &got)
	delete(want[3].Traits, "email")
	want[3].Traits["phone"] = json.Number("7")
	equal(t, "traits", got.Traits, want[3].Traits)
	var order []string
	for p := range s.People() {
		order = append(order, p.SegmentID)
	}
	equal(t, "order", order, []string{want[3].SegmentID, want[0].SegmentID, want[2].SegmentID, want[4].SegmentID})
	equal(t, "expected", s.Want()[3].Traits, want[3].Traits)
}

func TestMerge(t *testing.T) {
	s, c := start(t, sandbox.Options{Profiles: 3, Plain: true})
	want := s.Want()
	s.Merge(want[0].SegmentID, want[1].SegmentID)
	s.Merge(want[1].SegmentID, want[2].SegmentID)
	_, survivor := c.do("GET", pathOf(want[2], "traits"), "", 200)
	for _, e := range want[:2] {
		_, body := c.do("GET", pathOf(e, "traits"), "", 200)
		var got, same struct{ Traits map[string]any }
		decode(t, body, &got)
		decode(t, survivor, &same)
		equal(t, "traits", got, same)
	}
	var ids struct{ Data []struct{ ID string } }
	c.get(pathOf(want[2], "external_ids")+"?include=user_id", &ids)
	equal(t, "user_ids", len(ids.Data), 3)
	n := 0
	for p := range s.People() {
		n++
		equal(t, "external IDs", len(p.ExternalIDs), 9)
	}
	equal(t, "people", n, 1)
	now := s.Want()
	equal(t, "same customer", []string{now[0].SourceID, now[1].SourceID}, []string{now[2].SourceID, now[2].SourceID})
}
