package mapping

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

const textsMapping = `
name: name
address: {city: [address.city, city]}
metadata:
  object: [metadata]
  traits: [tags, company.size, note, shop]
`

// The same profile, as the API and as a warehouse have it.
func TestTextsGiveTheSameCustomer(t *testing.T) {
	api := Profile{SourceID: "u1", Traits: decodeObject(t, []byte(`{"name": "[\"Ada\"]", "address": {"city": "X"}, "city": "no",
		"metadata": {"n": 1.50, "lang": "en"}, "tags": ["a", 9007199254740993], "company": {"size": 7}, "note": "{not JSON", "shop": {"id": 1}}`))}
	warehouse := Profile{SourceID: "u1", Texts: true, Traits: map[string]any{
		"name": `["Ada"]`, "address": ` {"city": "X"}`, "city": "no",
		"metadata": `{"n": 1.50, "lang": "en"}`, "tags": `["a", 9007199254740993]`, "company": `{"size": 7}`, "note": "{not JSON", "shop": `{"id": 1}`,
	}}
	m := parse(t, textsMapping)
	want, wantWarnings := Map(api, m)
	got, gotWarnings := Map(warehouse, m)
	if diff := cmp.Diff(string(marshal(t, want)), string(marshal(t, got))); diff != "" {
		t.Errorf("customer (-API +warehouse):\n%s", diff)
	}
	if diff := cmp.Diff(wantWarnings, gotWarnings); diff != "" {
		t.Errorf("warnings (-API +warehouse):\n%s", diff)
	}
	if diff := cmp.Diff(Explain(api, m), Explain(warehouse, m)); diff != "" {
		t.Errorf("origins (-API +warehouse):\n%s", diff)
	}
	if warehouse.Traits["address"] != ` {"city": "X"}` {
		t.Error("the traits of the profile were changed")
	}
	// The API's own texts are never taken for JSON.
	warehouse.Texts = false
	if got, _ := Map(warehouse, m); got.Address == nil || got.Address.City != "no" || got.Metadata["tags"] != `["a", 9007199254740993]` {
		t.Errorf("without Texts: %+v", got)
	}
}

func TestTextsThatOnlyLookLikeJSONStay(t *testing.T) {
	m := parse(t, "metadata: {traits: [a, b, c], all: true}")
	texts := map[string]any{"a": "[1] and more", "b": "[1", "c": "12", "d": "true"}
	customer, warnings := Map(Profile{Traits: texts, Texts: true}, m)
	if diff := cmp.Diff(texts, customer.Metadata); diff != "" || warnings != nil {
		t.Errorf("metadata (-want +got):\n%s%v", diff, warnings)
	}
}

func TestObjectsAndLists(t *testing.T) {
	m := parse(t, textsMapping+"where: [{trait: address.country, is: PL}, {trait: company.seat.city, exists: true}]\n")
	want := map[string][]string{"address": {"city", "country"}, "company": {"seat.city", "size"}, "metadata": nil}
	if diff := cmp.Diff(want, m.Objects()); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"note", "shop", "tags"}, m.Lists()); diff != "" {
		t.Errorf("lists (-want +got):\n%s", diff)
	}
}
