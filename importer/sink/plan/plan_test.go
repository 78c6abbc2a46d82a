package plan_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"segsync/importer/sink/plan"
	"segsync/voucherify"
)

func parseSchema(t testing.TB, text string) *voucherify.MetadataSchema {
	t.Helper()
	schema := new(voucherify.MetadataSchema)
	if err := json.Unmarshal([]byte(text), schema); err != nil {
		t.Fatal(err)
	}
	return schema
}

// Each kind of change is told by field, and by value, not by text.
func TestPlanTellsWhatWouldChange(t *testing.T) {
	const export = "source_id,name,phone,birthdate,metadata.n,metadata.ok,metadata.at,metadata.list,metadata.empty\n" +
		`1,Ada,,2001-02-03,1.50,TRUE,2026-01-01T00:00:00.000Z,"[1, 2.0]",` + "\n" +
		"2,Ada,123,,2,false,,,\n3,,,,,,,,\n"
	for _, c := range []struct {
		customer string
		kind     plan.Kind
		fields   []string
	}{
		{`{"source_id":"1","name":"Ada","birthdate":"2001-02-03","metadata":{"n":1.5,"ok":true,"at":"2026-01-01T00:00:00Z","list":[1,2],"empty":null}}`, plan.Unchanged, nil},
		{`{"source_id":"1","phone":null,"metadata":{"n":15e-1}}`, plan.Unchanged, nil},
		{`{"source_id":"2","phone":null}`, plan.ClearFields, []string{"phone: 123 → <nil>"}},
		{`{"source_id":"2","phone":null,"name":"Eve"}`, plan.ChangeFields, []string{"name: Ada → Eve", "phone: 123 → <nil>"}},
		{`{"source_id":"2","metadata":{"n":"two"}}`, plan.ChangeFields, []string{"metadata.n: 2 → two"}},
		{`{"source_id":"2","metadata":{"ok":true}}`, plan.ChangeFields, []string{"metadata.ok: false → true"}},
		{`{"source_id":"2","metadata":{"unknown":1}}`, plan.NotComparable, nil},
		{`{"source_id":"2","email":"a@example.com"}`, plan.NotComparable, nil},
		{`{"source_id":"2","name":"Eve","metadata":{"unknown":1}}`, plan.ChangeFields, []string{"name: Ada → Eve"}},
		{`{"source_id":"3","birthdate":null}`, plan.Unchanged, nil},
		{`{"source_id":"4","name":"Ada","phone":null}`, plan.Create, []string{"name: <nil> → Ada"}},
	} {
		t.Run(c.customer, func(t *testing.T) {
			existing, err := plan.ReadExisting(nil, false, strings.NewReader(export))
			if err != nil {
				t.Fatal(err)
			}
			defer existing.Close()
			d, err := existing.Compare(t.Context(), []byte(c.customer))
			if err != nil {
				t.Fatal(err)
			}
			var fields []string
			for _, change := range d.Changes {
				fields = append(fields, fmt.Sprintf("%s: %v → %v", change.Field, change.Old, change.New))
			}
			if d.Kind != c.kind || !slices.Equal(fields, c.fields) {
				t.Errorf("%s %q, want %s %q", d.Kind, fields, c.kind, c.fields)
			}
		})
	}
}

// Numbers, booleans and dates are compared by value, all other text by its characters.
func TestPlanComparesByValue(t *testing.T) {
	schema := parseSchema(t, `{"properties":{"n":{"type":"number"},"ok":{"type":"boolean"},"at":{"type":"datetime"},"on":{"type":"date"},
		"s":{"type":"string"},"list":{"type":"number","array":true},"times":{"type":"datetime","array":true}}}`)
	for _, c := range []struct {
		field, sent, stored string
		same                bool
	}{
		{"metadata.n", `1`, "1.0", true}, {"metadata.n", `1.0`, "1", true}, {"metadata.n", `1000`, "1e3", true}, {"metadata.n", `1E+3`, "1000.000", true},
		{"metadata.n", `-0`, "0", true}, {"metadata.n", `1`, "1.0000000000000001", true}, {"metadata.n", `16`, "0x10", false},
		{"metadata.n", `0.5`, "1/2", false}, {"metadata.n", `1`, " 1", false}, {"metadata.n", `1`, "true", false}, {"metadata.n", `1`, "one", false},
		{"metadata.n", `9007199254740993`, "9007199254740993", true}, {"metadata.n", `9007199254740993`, "9007199254740992", true},
		{"metadata.n", `9007199254740993`, "9.007199254740993e15", true}, {"metadata.n", `1e999`, "1e999", true}, {"metadata.n", `1e999`, "10e998", false},
		{"metadata.n", `"1"`, "1", true}, {"metadata.n", `"1"`, "1.0", false}, {"metadata.n", `1.10`, "1.1", true},
		{"metadata.ok", `true`, "true", true}, {"metadata.ok", `true`, "TRUE", true}, {"metadata.ok", `false`, "False", true},
		{"metadata.ok", `true`, "1", false}, {"metadata.ok", `true`, "false", false}, {"metadata.ok", `"true"`, "TRUE", false},
		{"metadata.at", `"2026-01-01T00:00:00Z"`, "2026-01-01T00:00:00.000Z", true}, {"metadata.at", `"2026-01-01T01:00:00+01:00"`, "2026-01-01T00:00:00Z", true},
		{"metadata.at", `"2026-01-01T01:00:00.0+0100"`, "2026-01-01T00:00:00Z", true}, {"metadata.at", `"2026-01-01"`, "2026-01-01T00:00:00.000Z", true},
		{"metadata.at", `"2026-01-01T00:00:00.001Z"`, "2026-01-01T00:00:00.000Z", false}, {"metadata.at", `"2026-01-01T00:00:00"`, "2026-01-01T00:00:00Z", false},
		{"metadata.on", `"2026-01-01"`, "2026-01-01T00:00:00Z", true}, {"metadata.on", `"2026-01-01"`, "2026-01-02", false},
		{"metadata.s", `"2026-01-01"`, "2026-01-01T00:00:00Z", false}, {"metadata.s", `"1.0"`, "1", false}, {"metadata.s", `"a"`, "a ", false},
		{"metadata.s", `"A"`, "a", false}, {"metadata.s", `"\u00e9"`, "e\u0301", false}, {"metadata.s", `"a\r\nb"`, "a\r\nb", true}, {"metadata.s", `"a\nb"`, "a\r\nb", false},
		{"metadata.list", `[1,2]`, "[1.0, 2e0]", true}, {"metadata.list", `[1,2]`, "[2,1]", false}, {"metadata.list", `[1]`, "1", false}, {"metadata.list", `[]`, "[]", true},
		{"metadata.times", `["2026-01-01"]`, `["2026-01-01T00:00:00Z"]`, true},
		{"birthdate", `"2001-02-03"`, "2001-02-03T00:00:00.000Z", true}, {"birthdate", `"2001-02-03"`, "2001-02-02T23:00:00Z", false},
		{"description", `"2001-02-03"`, "2001-02-03T00:00:00Z", false}, {"phone", `"+1 5"`, "+15", false}, {"name", `"1"`, "1.0", false},
	} {
		t.Run(fmt.Sprintf("%s %s %s", c.field, c.sent, c.stored), func(t *testing.T) {
			var file strings.Builder
			w := csv.NewWriter(&file)
			w.WriteAll([][]string{{"source_id", c.field}, {"1", c.stored}})
			existing, err := plan.ReadExisting(schema, false, strings.NewReader(file.String()))
			if err != nil {
				t.Fatal(err)
			}
			defer existing.Close()
			customer := fmt.Sprintf(`{"source_id":"1","%s":%s}`, c.field, c.sent)
			if key, isMetadata := strings.CutPrefix(c.field, "metadata."); isMetadata {
				customer = fmt.Sprintf(`{"source_id":"1","metadata":{"%s":%s}}`, key, c.sent)
			}
			d, err := existing.Compare(t.Context(), []byte(customer))
			if err != nil || (d.Kind == plan.Unchanged) != c.same || d.Kind != plan.Unchanged && d.Kind != plan.ChangeFields {
				t.Errorf("%s, %v, want the same: %v", d.Kind, err, c.same)
			}
		})
	}
}

// A metadata key of the schema that the export has no column of is not comparable, and
// a key that no customer of a column of JSON has is empty.
func TestPlanKnowsWhatTheExportHas(t *testing.T) {
	schema := parseSchema(t, `{"properties":{"plan":{"type":"string"},"size":{"type":"number"}}}`)
	for _, c := range []struct {
		name, export, customer string
		kind                   plan.Kind
	}{
		{"no column", "source_id,name\n1,Ada\n", `{"source_id":"1","metadata":{"plan":"pro"}}`, plan.NotComparable},
		{"a column of another key", "source_id,metadata.size\n1,2\n", `{"source_id":"1","metadata":{"plan":"pro"}}`, plan.NotComparable},
		{"an empty column", "source_id,metadata.plan\n1,\n", `{"source_id":"1","metadata":{"plan":"pro"}}`, plan.ChangeFields},
		{"an empty column of JSON", "source_id,metadata\n1,\n", `{"source_id":"1","metadata":{"plan":"pro"}}`, plan.ChangeFields},
		{"not in the schema", "source_id,metadata\n1,{}\n", `{"source_id":"1","metadata":{"other":"pro"}}`, plan.NotComparable},
	} {
		t.Run(c.name, func(t *testing.T) {
			existing, err := plan.ReadExisting(schema, false, strings.NewReader(c.export))
			if err != nil {
				t.Fatal(err)
			}
			defer existing.Close()
			if d, err := existing.Compare(t.Context(), []byte(c.customer)); err != nil || d.Kind != c.kind {
				t.Errorf("%s, %v, want %s", d.Kind, err, c.kind)
			}
		})
	}
}

// Two customers with one source id make an export useless.
func TestReadExistingOfTheSameTwice(t *testing.T) {
	_, err := plan.ReadExisting(nil, false, strings.NewReader("source_id,name\na,1\nb,2\n,3\na,4\n"))
	if want := "the customers 1 and 4 of the export have the same source_id"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}
