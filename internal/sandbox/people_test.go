package sandbox_test

import (
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

func TestDelete(t *testing.T) {
	s, c := start(t, sandbox.Options{Profiles: 3, Plain: true})
	want := s.Want()
	s.Delete(want[1].SegmentID)
	c.do("GET", pathOf(want[1], "traits"), "", 404)
	var people []string
	for p := range s.People() {
		people = append(people, p.SegmentID)
	}
	equal(t, "people", people, []string{want[0].SegmentID, want[2].SegmentID})
	equal(t, "expected", s.Want()[1].Vanished, true)
}
