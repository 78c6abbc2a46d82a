package metadata

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"segsync/voucherify"
)

// schemaOf parses the properties of a schema.
func schemaOf(t *testing.T, properties string) *Schema {
	t.Helper()
	var s voucherify.MetadataSchema
	if err := json.Unmarshal([]byte(`{"related_object":"customer","properties":`+properties+`}`), &s); err != nil {
		t.Fatal(err)
	}
	s.AllowDefinedOnly = true
	return NewSchema(&s)
}

func TestFitValue(t *testing.T) {
	for _, c := range []struct {
		property, value string
		want            string // JSON, or "" for a value that is left out
		reason          string
	}{
		{`{"type":"string"}`, `"x"`, `"x"`, ""},
		{`{"type":"string"}`, `""`, `""`, ""},
		{`{"type":"string"}`, `1.50`, `"1.50"`, ""},
		{`{"type":"string"}`, `4.8e10`, `"48000000000"`, ""},
		{`{"type":"string"}`, `1e999`, "", "not a string"},
		{`{"type":"string"}`, `true`, `"true"`, ""},
		{`{"type":"string"}`, `null`, "", "null"},
		{`{"type":"string"}`, `["x"]`, "", "an array"},
		{`{"type":"string"}`, `{"x":1}`, "", "not a string"},

		{`{"type":"number"}`, `1.50`, `1.50`, ""},
		{`{"type":"number"}`, `9007199254740993`, `9007199254740993`, ""},
		{`{"type":"number"}`, `"41"`, `41`, ""},
		{`{"type":"number"}`, `"-0.50"`, `-0.50`, ""},
		{`{"type":"number"}`, `"4.8e10"`, `4.8e10`, ""},
		{`{"type":"number"}`, `"0.1"`, `0.1`, ""},
		{`{"type":"number"}`, `"9007199254740993"`, "", "a number with too many digits"},
		{`{"type":"number"}`, `"0.1000000000000000055"`, "", "a number with too many digits"},
		{`{"type":"number"}`, `"1e999"`, "", "a number with too many digits"},
		{`{"type":"number"}`, `"007"`, "", "not a number"},
		{`{"type":"number"}`, `"+1"`, "", "not a number"},
		{`{"type":"number"}`, `" 1"`, "", "not a number"},
		{`{"type":"number"}`, `"0x10"`, "", "not a number"},
		{`{"type":"number"}`, `"NaN"`, "", "not a number"},
		{`{"type":"number"}`, `""`, "", "not a number"},
		{`{"type":"number"}`, `true`, "", "not a number"},

		{`{"type":"boolean"}`, `true`, `true`, ""},
		{`{"type":"boolean"}`, `"false"`, `false`, ""},
		{`{"type":"boolean"}`, `"True"`, "", "not a boolean"},
		{`{"type":"boolean"}`, `1`, "", "not a boolean"},
		{`{"type":"boolean"}`, `{}`, "", "not a boolean"},

		{`{"type":"date"}`, `"2020-03-11"`, `"2020-03-11"`, ""},
		{`{"type":"date"}`, `"2020-03-11T23:00:00-05:00"`, `"2020-03-11"`, ""},
		{`{"type":"date"}`, `"03/11/2020"`, "", "not a date"},
		{`{"type":"date"}`, `"2023-02-29"`, "", "not a date"},
		{`{"type":"date"}`, `20200311`, "", "not a date"},

		{`{"type":"datetime"}`, `"2020-03-11T09:00:00.000Z"`, `"2020-03-11T09:00:00.000Z"`, ""},
		{`{"type":"datetime"}`, `"2020-03-11T09:00:00Z"`, `"2020-03-11T09:00:00.000Z"`, ""},
		{`{"type":"datetime"}`, `"2020-03-11T23:30:00.1234-05:00"`, `"2020-03-12T04:30:00.123Z"`, ""},
		{`{"type":"datetime"}`, `"2020-03-11T09:00:00:123+0200"`, `"2020-03-11T07:00:00.123Z"`, ""},
		{`{"type":"datetime"}`, `"2020-03-11T09:00:00+02"`, `"2020-03-11T07:00:00.000Z"`, ""},
		{`{"type":"datetime"}`, `"2020-03-11"`, "", "not a date-time"},
		{`{"type":"datetime"}`, `"2020-03-11T09:00:00"`, "", "not a date-time"},
		{`{"type":"datetime"}`, `"0000-01-01T00:00:00+14:00"`, "", "not a date-time"},
		{`{"type":"datetime"}`, `1583917200`, "", "not a date-time"},

		{`{"type":"geopoint"}`, `"37.786971,-122.399677"`, `"37.786971,-122.399677"`, ""},
		{`{"type":"geopoint"}`, `"37.786971, -122.399677"`, `"37.786971,-122.399677"`, ""},
		{`{"type":"geopoint"}`, `"91,0"`, "", "not a geopoint"},
		{`{"type":"geopoint"}`, `"0,-181"`, "", "not a geopoint"},
		{`{"type":"geopoint"}`, `"37.786971"`, "", "not a geopoint"},
		{`{"type":"geopoint"}`, `{"lat":1}`, "", "not a geopoint"},

		{`{"type":"image_url"}`, `"https://example.com/a.PNG?w=1"`, `"https://example.com/a.PNG?w=1"`, ""},
		{`{"type":"image_url"}`, `"http://example.com/a.jpeg"`, `"http://example.com/a.jpeg"`, ""},
		{`{"type":"image_url"}`, `"https://example.com/a.gif"`, "", "not an image URL"},
		{`{"type":"image_url"}`, `"a.png"`, "", "not an image URL"},
		{`{"type":"image_url"}`, `7`, "", "not an image URL"},

		{`{"type":"object","objectType":"store"}`, `{"id":1}`, `{"id":1}`, ""},
		{`{"type":"object","objectType":"store"}`, `"x"`, "", "not an object"},
		{`{"type":"object","array":true}`, `[{"id":1},{}]`, `[{"id":1},{}]`, ""},
		{`{"type":"object","array":true}`, `{"id":1}`, `[{"id":1}]`, ""},
		{`{"type":"of the future"}`, `{"id":1}`, `{"id":1}`, ""},

		{`{"type":"string","array":true}`, `["a","b"]`, `["a","b"]`, ""},
		{`{"type":"string","array":true}`, `["a",1,true]`, `["a","1","true"]`, ""},
		{`{"type":"string","array":true}`, `"a"`, `["a"]`, ""},
		{`{"type":"string","array":true}`, `[]`, `[]`, ""},
		{`{"type":"number","array":true}`, `["1","x"]`, "", "not a number"},
		{`{"type":"string","array":true}`, `["a",null]`, "", "not a string"},
		{`{"type":"string","array":true}`, `[["a"]]`, "", "not a string"},

		{`{"type":"string","eq":["gold","silver"]}`, `"gold"`, `"gold"`, ""},
		{`{"type":"string","eq":["gold","silver"]}`, `"Gold"`, "", "not one of the values allowed"},
		{`{"type":"number","eq":[1,2.50]}`, `2.5`, `2.5`, ""},
		{`{"type":"number","eq":[1,2]}`, `"2"`, `2`, ""},
		{`{"type":"number","eq":["1","2"]}`, `2`, "", "not one of the values allowed"},
		{`{"type":"number","eq":[9007199254740993]}`, `9007199254740992`, "", "not one of the values allowed"},
		{`{"type":"number","eq":[1,2]}`, `3`, "", "not one of the values allowed"},
		{`{"type":"boolean","eq":[true]}`, `false`, "", "not one of the values allowed"},
		{`{"type":"string","array":true,"eq":["a"]}`, `["a","b"]`, "", "not one of the values allowed"},
		{`{"type":"string","ne":["x"]}`, `"x"`, "", "a value that is not allowed"},
		{`{"type":"number","ne":[0]}`, `1`, `1`, ""},
		{`{"type":"number","lt":10}`, `10`, "", "not below 10"},
		{`{"type":"number","lt":10}`, `9.99`, `9.99`, ""},
		{`{"type":"number","lte":10}`, `10`, `10`, ""},
		{`{"type":"number","lte":10}`, `10.5`, "", "above 10"},
		{`{"type":"number","gt":10}`, `"10"`, "", "not above 10"},
		{`{"type":"number","gte":10}`, `9`, "", "below 10"},
		{`{"type":"number","gte":"NaN"}`, `9`, `9`, ""},
		{`{"type":"date","gt":"2020-01-01"}`, `"2019-12-31"`, `"2019-12-31"`, ""},
		{`{"type":"string","gt":5}`, `"1"`, `"1"`, ""},
		{`{"type":"string","minLength":3}`, `"ab"`, "", "shorter than 3 characters"},
		{`{"type":"string","maxLength":3}`, `"Zoë"`, `"Zoë"`, ""},
		{`{"type":"string","maxLength":1}`, `"🎈"`, `"🎈"`, ""},
		{`{"type":"string","maxLength":1}`, `"ab"`, "", "longer than 1 characters"},
		{`{"type":"string","exactLength":3}`, `1234`, "", "not of 3 characters"},
	} {
		t.Run(c.property+" "+c.value, func(t *testing.T) {
			schema := schemaOf(t, `{"key":`+c.property+`}`)
			metadata := decodeObject(t, []byte(`{"key":`+c.value+`}`))
			before := string(marshal(t, metadata))
			fitted, leftOut := schema.Fit(metadata)
			got := ""
			if v, ok := fitted["key"]; ok {
				got = string(marshal(t, v))
			}
			var want []LeftOut
			if c.reason != "" {
				want = []LeftOut{{"key", c.reason}}
			}
			if got != c.want {
				t.Errorf("fitted: %s, want %s", got, c.want)
			}
			if diff := cmp.Diff(want, leftOut); diff != "" {
				t.Errorf("left out (-want +got):\n%s", diff)
			}
			if after := string(marshal(t, metadata)); after != before {
				t.Errorf("Fit changed its argument from %s to %s", before, after)
			}
		})
	}
}

func TestFitLeavesOutWhatIsNotDefined(t *testing.T) {
	schema := schemaOf(t, `{"plan":{"type":"string","optional":false},"age":{"type":"number"},"old":{"type":"string","deleted":true,"optional":false},
		"tier":{"type":"string","optional":false},"shop":{"type":"object"},"shops":{"type":"object","array":true}}`)
	metadata := decodeObject(t, []byte(`{"plan":"gold","age":"old","old":"x","colour":"red"}`))
	fitted, leftOut := schema.Fit(metadata)
	if diff := cmp.Diff(map[string]any{"plan": "gold"}, fitted); diff != "" {
		t.Errorf("fitted (-want +got):\n%s", diff)
	}
	want := []LeftOut{{"age", "not a number"}, {"colour", "unknown"}, {"old", "unknown"}}
	if diff := cmp.Diff(want, leftOut); diff != "" {
		t.Errorf("left out (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"tier"}, schema.Missing(fitted)); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"shop", "shops"}, slices.Sorted(maps.Keys(schema.Objects()))); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	if fitted, _ := schema.Fit(map[string]any{"colour": "red"}); fitted != nil {
		t.Errorf("fitted = %v, want nil where nothing is left", fitted)
	}
}

func TestFitKeepsWhatIsNotDefinedWhereTheProjectTakesIt(t *testing.T) {
	schema := schemaOf(t, `{"plan":{"type":"string"},"age":{"type":"number"},"tier":{"type":"string","optional":false}}`)
	schema.DefinedOnly = false
	c := voucherify.Customer{
		Metadata: decodeObject(t, []byte(`{"plan":1,"age":"old","colour":"red"}`)),
		Clear:    []string{"metadata.tier", "metadata.other"},
	}
	leftOut := schema.FitCustomer(&c)
	if diff := cmp.Diff(map[string]any{"plan": "1", "colour": "red"}, c.Metadata); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"metadata.other"}, c.Clear); diff != "" {
		t.Errorf("clear (-want +got):\n%s", diff)
	}
	want := []LeftOut{{"age", "not a number"}, {"tier", "required, and not to be cleared"}}
	if diff := cmp.Diff(want, leftOut); diff != "" {
		t.Errorf("left out (-want +got):\n%s", diff)
	}
}

func TestFitClear(t *testing.T) {
	schema := schemaOf(t, `{"plan":{"type":"string"},"tier":{"type":"string","optional":false},"old":{"type":"string","deleted":true}}`)
	fitted, leftOut := schema.FitClear([]string{"metadata.old", "metadata.plan", "metadata.tier", "metadata.x", "phone"})
	if diff := cmp.Diff([]string{"metadata.plan", "phone"}, fitted); diff != "" {
		t.Errorf("fitted (-want +got):\n%s", diff)
	}
	want := []LeftOut{{"old", "unknown"}, {"tier", "required, and not to be cleared"}, {"x", "unknown"}}
	if diff := cmp.Diff(want, leftOut); diff != "" {
		t.Errorf("left out (-want +got):\n%s", diff)
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

func decodeObject(tb testing.TB, data []byte) (object map[string]any) {
	tb.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&object); err != nil {
		tb.Fatal(err)
	}
	return object
}
