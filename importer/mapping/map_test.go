package mapping

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"segsync/voucherify"
)

// mappingCase is the profile of a file of testdata/mapping. Package cases runs these files.
type mappingCase struct {
	Profile struct {
		SegmentID string         `json:"segment_id"`
		SourceID  string         `json:"source_id"`
		Traits    map[string]any `json:"traits"`
	} `json:"profile"`
}

func (c mappingCase) profile() Profile {
	return Profile{SegmentID: c.Profile.SegmentID, SourceID: c.Profile.SourceID, Traits: c.Profile.Traits}
}

func readMappingCases(tb testing.TB) map[string]mappingCase {
	tb.Helper()
	files, err := filepath.Glob("testdata/mapping/*.json")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no cases in testdata/mapping (%v)", err)
	}
	cases := map[string]mappingCase{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		var c mappingCase
		if err := d.Decode(&c); err != nil {
			tb.Fatalf("%s: %v", file, err)
		}
		cases[strings.TrimSuffix(filepath.Base(file), ".json")] = c
	}
	return cases
}

// A traits request with include= returns only what Mapping.Traits names.
func TestMapCustomerReadsOnlyTheTraitsOfTheMapping(t *testing.T) {
	m := Default()
	for name, c := range readMappingCases(t) {
		t.Run(name, func(t *testing.T) {
			all, some := c.profile(), c.profile()
			some.Traits = map[string]any{}
			for _, key := range m.Traits() {
				if v, ok := all.Traits[key]; ok {
					some.Traits[key] = v
				}
			}
			want, wantWarnings := Map(all, m)
			got, gotWarnings := Map(some, m)
			if diff := cmp.Diff(string(marshal(t, want)), string(marshal(t, got))); diff != "" {
				t.Errorf("customer (-all traits +traits of the mapping):\n%s", diff)
			}
			if diff := cmp.Diff(wantWarnings, gotWarnings); diff != "" {
				t.Errorf("warnings (-all traits +traits of the mapping):\n%s", diff)
			}
		})
	}
}

func TestMappingTraits(t *testing.T) {
	want := []string{
		"address", "birthdate", "birthday", "city", "country", "description", "email", "firstName", "first_name",
		"lastName", "last_name", "line_1", "metadata", "name", "phone", "postalCode", "postal_code", "state", "street",
	}
	if diff := cmp.Diff(want, Default().Traits()); diff != "" {
		t.Errorf("Default().Traits() (-want +got):\n%s", diff)
	}
	if got := (Mapping{}).Traits(); got == nil || len(got) != 0 {
		t.Errorf("Mapping{}.Traits() = %#v, want none, not all", got)
	}
	all := Default()
	all.Metadata.All = true
	if got := all.Traits(); got != nil {
		t.Errorf("with Metadata.All, Traits() = %q, want all", got)
	}
	comma := Mapping{Email: Field{Traits: []Path{{"last,first"}}}}
	if got := comma.Traits(); got != nil {
		t.Errorf("with a comma in a key, Traits() = %q, want all", got)
	}
}

func TestMapCustomerWithAnotherMapping(t *testing.T) {
	m := Mapping{
		Email:    Field{Traits: []Path{nil, {"contact", "work", "email"}, {"contact", "email"}, {"email"}}},
		Phone:    Field{Traits: []Path{{"mobile"}, {"contact", "phone"}, {"phone"}}},
		Metadata: MetadataMapping{Object: []Path{{"company"}}},
	}
	p := Profile{SourceID: "u1", Traits: map[string]any{
		"name":    "not mapped",
		"email":   "hidden by the object contact",
		"mobile":  " ",
		"phone":   "hidden by the object contact",
		"contact": map[string]any{"work": "no object", "email": "ada@example.com", "phone": "1815"},
		"company": map[string]any{"plan": "gold"},
	}}
	want := `{"source_id":"u1","email":"ada@example.com","phone":"1815","metadata":{"plan":"gold"},"system_metadata":{"source":"segmentio"}}`
	customer, warnings := Map(p, m)
	if diff := cmp.Diff(want, string(marshal(t, customer))); diff != "" {
		t.Errorf("customer (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Warning(nil), warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"company", "contact", "email", "mobile", "phone"}, m.Traits()); diff != "" {
		t.Errorf("traits (-want +got):\n%s", diff)
	}
}

func TestMapCustomerWithValuesThatNoJSONDecoderReturns(t *testing.T) {
	p := Profile{SourceID: "u1", Traits: map[string]any{
		"name":  func() {},
		"phone": 4.8123456789e10, // UseNumber was forgotten
	}}
	customer, warnings := Map(p, Default())
	want := `{"source_id":"u1","system_metadata":{"source":"segmentio"}}`
	if diff := cmp.Diff(want, string(marshal(t, customer))); diff != "" {
		t.Errorf("customer (-want +got):\n%s", diff)
	}
	wantWarnings := []string{
		"name: (a func()) is a func(), not text",
		"phone: 48123456789 is a float64, not text",
	}
	if diff := cmp.Diff(wantWarnings, texts(warnings)); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestWarningTellsWhatItIsAbout(t *testing.T) {
	p := Profile{Traits: map[string]any{"birthday": "1984", "firstName": []any{"Ada"}}}
	_, got := Map(p, Default())
	want := []Warning{
		{Field: "name", Trait: "firstName", Value: `["Ada"]`, Kind: NotText, Reason: "is an array, not text"},
		{Field: "birthdate", Trait: "birthday", Value: `"1984"`, Kind: NotADate, Reason: "is not a date in the form YYYY-MM-DD"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

// Logs and files that must hold no personal data take the text without the value.
func TestWarningKinds(t *testing.T) {
	m := parse(t, "{name: name, email: email, birthdate: [birthday], metadata: {object: meta, traits: [shop]}}")
	p := Profile{Traits: decodeObject(t, []byte(`{"name": 1e999, "email": {"secret": 1}, "birthday": "secret", "meta": "secret", "shop": {"secret": 1}}`))}
	_, warnings := Map(p, m)
	var got []string
	for _, w := range warnings {
		got = append(got, string(w.Kind)+": "+w.WithoutValue())
	}
	want := []string{
		"too_large: name is a number with an exponent of absurd size",
		"not_text: email is an object, not text",
		"not_a_date: birthdate (trait birthday) is not a date in the form YYYY-MM-DD",
		"not_an_object: metadata (trait meta) is not an object",
		"left_out: metadata.shop (trait shop) is an object, which metadata does not take",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func FuzzMapCustomer(f *testing.F) {
	for _, c := range readMappingCases(f) {
		f.Add(marshal(f, c.Profile.Traits))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		var traits map[string]any
		if d.Decode(&traits) != nil {
			t.Skip("not a JSON object")
		}
		p := Profile{SegmentID: "use_1", SourceID: "u1", Traits: traits}
		customer, warnings := Map(p, Default())
		body := marshal(t, customer)

		invalidBirthdate := false
		for _, w := range warnings {
			invalidBirthdate = invalidBirthdate || w.Field == "birthdate"
			for _, c := range w.String() {
				if !unicode.IsPrint(c) {
					t.Errorf("the warning %q holds %U, which is not printable", w, c)
				}
			}
		}
		if isNull := customer.Birthdate == voucherify.NoBirthdate; isNull != invalidBirthdate {
			t.Errorf("birthdate is null: %v, but warnings are %q", isNull, warnings)
		}

		got := decodeObject(t, body)
		delete(got, "birthdate")
		if metadata, ok := got["metadata"]; ok {
			if diff := cmp.Diff(traits["metadata"], metadata); diff != "" {
				t.Errorf("metadata (-trait +customer):\n%s", diff)
			}
			delete(got, "metadata")
		}
		address, _ := got["address"].(map[string]any)
		delete(got, "address")
		delete(got, "system_metadata")
		for _, object := range []map[string]any{got, address} {
			for key, v := range object {
				if s, ok := v.(string); !ok || strings.TrimSpace(s) == "" {
					t.Errorf("%s is %#v, want a text that is not blank", key, v)
				}
			}
		}

		again, againWarnings := Map(p, Default())
		if !bytes.Equal(body, marshal(t, again)) || !slices.Equal(warnings, againWarnings) {
			t.Errorf("mapped twice, the profile gives two customers:\n%s\n%s", body, marshal(t, again))
		}
	})
}

func BenchmarkMapCustomer(b *testing.B) {
	c := readMappingCases(b)["everything_in_camel_case"]
	p, m := c.profile(), Default()
	b.ReportAllocs()
	for b.Loop() {
		Map(p, m)
	}
}

func marshal(tb testing.TB, v any) []byte {
	tb.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func decodeObject(tb testing.TB, data []byte) map[string]any {
	tb.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var object map[string]any
	if err := d.Decode(&object); err != nil {
		tb.Fatal(err)
	}
	return object
}

func texts(warnings []Warning) []string {
	var s []string
	for _, w := range warnings {
		s = append(s, w.String())
	}
	return s
}
