package mapping

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestObjectsAndJSON(t *testing.T) {
	const text = `
name: name
address: {city: [address.city, city]}
metadata:
  object: [metadata]
  traits: [tags, company.size, note, shop]
  all: `
	const where = "\nwhere: [{trait: address.country, is: PL}, {trait: company.seat.city, exists: true}]\n"
	m := parse(t, text+"false"+where)
	want := map[string][]string{"address": {"city", "country"}, "company": {"seat.city", "size"}, "metadata": nil}
	if diff := cmp.Diff(want, m.Objects()); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	for trait, want := range map[string][2]bool{ // without and with all
		"tags": {true, true}, "note": {true, true}, "shop": {true, true},
		"name": {false, false}, "city": {false, false}, "metadata": {false, false}, "other": {false, true},
	} {
		got := [2]bool{m.TakesJSON()(trait), parse(t, text+"true"+where).TakesJSON()(trait)}
		if got != want {
			t.Errorf("%s: %v, want %v", trait, got, want)
		}
	}
}

func TestDamagedTraitsAreWarnings(t *testing.T) {
	_, warnings := Map(Profile{SourceID: "u1", Traits: map[string]any{}, Damaged: []string{"name", "a\u202e"}}, parse(t, "name: name\n"))
	var got []string
	for _, w := range warnings {
		got = append(got, string(w.Kind)+" "+w.String())
	}
	want := []string{
		"damaged traits.name: the value is left out: its text is not valid Unicode, or a name in it or its own comes twice",
		`damaged traits.a\u202e: the value is left out: its text is not valid Unicode, or a name in it or its own comes twice`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}
