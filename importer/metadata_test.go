package importer_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"segsync/importer/journal"
	"segsync/importer/outcome"

	"github.com/google/go-cmp/cmp"

	"segsync/importer/mapping"
	"segsync/internal/sandbox"
	"segsync/internal/sandboxtest"
)

// projectSchema allows only what it defines.
const projectSchema = `{"id":"ms_1","related_object":"customer","allow_defined_only":true,"object":"metadata_schema","properties":{
	"lang":{"type":"boolean","array":false,"optional":true},
	"test":{"type":"string","array":false,"optional":true},
	"value":{"type":"string","array":false,"optional":true},
	"favorite_brands":{"type":"string","array":true,"optional":true},
	"big_spender":{"type":"boolean","array":true,"optional":true},
	"createdAt":{"type":"date","array":false,"optional":true},
	"place":{"type":"object","array":false,"optional":true},
	"store":{"type":"object","objectType":"store","array":false,"optional":true},
	"visits":{"type":"number","array":false,"optional":true,"eq":[1,2]},
	"gone":{"type":"string","array":false,"optional":true},
	"tags":{"type":"string","array":false,"optional":true,"deleted":true}}}`

const projectMapping = `
email: [email]
metadata: {object: metadata, rename: {value: lifetime_value, place: address}, all: true, exclude: [phone, name, birthdate]}
`

// project is a world with a mapping of its own.
type project struct{ *world }

func newProject(t *testing.T, o sandbox.Options, file string) *project {
	t.Helper()
	p := &project{newWorld(t, o)}
	p.settings.Mapping = onlyRules(t, file)
	p.settings.BatchSize = 10
	return p
}

// run imports what is left to import, with the schema as it is read from the project, and
// returns the state after it.
func (p *project) run(strict bool) (*journal.State, error) {
	p.t.Helper()
	im := p.importer()
	im.UseSchema(strict)
	err := im.Run(p.t.Context())
	return im.State(), err
}

func TestStrictToSchemaIsNeverRejected(t *testing.T) {
	t.Parallel()
	o := sandbox.Options{Profiles: 150, Schema: json.RawMessage(projectSchema), EnforceSchema: true}
	p := newProject(t, o, projectMapping)
	state, err := p.run(true)
	if err != nil {
		t.Fatal(err)
	}
	if state.Count(outcome.Rejected) != 0 || state.Count(outcome.Confirmed) < 100 {
		t.Errorf("strict-to-schema: %+v", state.Counts)
	}
	if strings.Contains(p.log.String(), "left out") {
		t.Errorf("the log has a line for what is only counted:\n%s", p.log.String())
	}
	for key, reason := range map[string]string{"lang": "not a boolean", "visits": "not one of the values allowed", "gone": "null",
		"tags": "unknown", "description": "unknown"} {
		if state.Details.LeftOut[key][reason] == 0 {
			t.Errorf("%s (%s) is not counted in %v", key, reason, state.Details.LeftOut[key])
		}
	}
	if n := len(state.Details.LeftOut); n > 201 || state.Details.LeftOut["other keys"]["unknown"] == 0 {
		t.Errorf("%d keys are counted, and %v others", n, state.Details.LeftOut["other keys"])
	}
	nested := 0
	for _, fields := range p.Box.Customers() {
		var c struct {
			Metadata struct{ Store map[string]any }
		}
		if err := json.Unmarshal(fields, &c); err != nil {
			t.Fatal(err)
		}
		if c.Metadata.Store != nil {
			nested++
		}
	}
	if nested == 0 {
		t.Error("no customer has the object that the schema defines")
	}

	asIs := newProject(t, o, projectMapping)
	state, err = asIs.run(false)
	if err != nil {
		t.Fatal(err)
	}
	if state.Count(outcome.Rejected) == 0 {
		t.Errorf("as-is: %+v, want rejected customers", state.Counts)
	}
}

func TestMetadataOfACustomer(t *testing.T) {
	t.Parallel()
	p := newProject(t, sandbox.Options{Profiles: 1, Plain: true, Schema: json.RawMessage(projectSchema), EnforceSchema: true}, projectMapping)
	if _, err := p.run(true); err != nil {
		t.Fatal(err)
	}
	if n := len(p.Box.Customers()); n != 1 {
		t.Fatalf("%d customers, want 1", n)
	}
	for _, fields := range p.Box.Customers() {
		var got struct{ Metadata map[string]any }
		if err := json.Unmarshal(fields, &got); err != nil {
			t.Fatal(err)
		}
		value, _ := got.Metadata["value"].(string)
		if !strings.HasSuffix(value, ".5") {
			t.Errorf("value = %v, want the text of a number", got.Metadata["value"])
		}
		delete(got.Metadata, "value")
		spender, _ := got.Metadata["big_spender"].([]any)
		if len(spender) != 1 {
			t.Errorf("big_spender = %v, want an array of one boolean", got.Metadata["big_spender"])
		}
		delete(got.Metadata, "big_spender")
		place, _ := got.Metadata["place"].(map[string]any)
		if place["country"] != "US" {
			t.Errorf("place = %v, want the object that the trait address is", got.Metadata["place"])
		}
		delete(got.Metadata, "place")
		want := map[string]any{"test": "true", "favorite_brands": []any{"Acme", "Globex"}, "createdAt": "2022-11-02"}
		if diff := cmp.Diff(want, got.Metadata); diff != "" {
			t.Errorf("metadata (-want +got):\n%s", diff)
		}
	}
}

// What was left out is counted once for each customer, over all runs of an import.
func TestLeftOutIsSummedUpOverRuns(t *testing.T) {
	t.Parallel()
	p := newProject(t, sandbox.Options{Profiles: 40, Plain: true, Schema: json.RawMessage(projectSchema), EnforceSchema: true}, projectMapping)
	p.On(`next=20$`, sandboxtest.Status(http.StatusInternalServerError))
	state, err := p.run(true)
	if err == nil {
		t.Fatal("the first run did not fail")
	}
	if n := state.Details.LeftOut["lang"]["not a boolean"]; n != 20 {
		t.Errorf("after the first run: %d, want 20", n)
	}
	p.Mend()
	state, err = p.run(true)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]map[string]int{"lang": {"not a boolean": 40}, "description": {"unknown": 40}}
	if diff := cmp.Diff(want, state.Details.LeftOut); diff != "" {
		t.Errorf("left out (-want +got):\n%s", diff)
	}
}

func TestCustomerThatLacksRequiredMetadataIsNotSent(t *testing.T) {
	t.Parallel()
	schema := `{"related_object":"customer","allow_defined_only":true,"properties":{"tier":{"type":"string","optional":false}}}`
	p := newProject(t, sandbox.Options{Profiles: 20, Plain: true, Schema: json.RawMessage(schema), EnforceSchema: true}, projectMapping)
	state, err := p.run(true)
	if err != nil {
		t.Fatal(err)
	}
	if state.Count(outcome.Rejected) != 20 {
		t.Errorf("%+v, want 20 rejected", state.Counts)
	}
	const line = `reason=metadata_required detail="the project's metadata schema requires what the customer lacks: tier"`
	if n := strings.Count(p.log.String(), line); n != 1 {
		t.Errorf("%d warnings, want 1:\n%s", n, p.log.String())
	}
}

// Every trait of a profile with 450 of them is metadata, and include= is not sent.
func TestMappingOfAllTraitsReadsAllPages(t *testing.T) {
	t.Parallel()
	o := sandbox.Options{Profiles: 50, Record: true, Schema: json.RawMessage(`{"related_object":"customer","properties":{}}`)}
	p := newProject(t, o, "metadata: {all: true}")
	p.settings.Identifiers = []mapping.Identifier{{Type: "user_id"}, {Trait: "email"}}
	if _, err := p.run(false); err != nil {
		t.Fatal(err)
	}
	peak := 0
	for _, fields := range p.Box.Customers() {
		var c struct{ Metadata map[string]any }
		if err := json.Unmarshal(fields, &c); err != nil {
			t.Fatal(err)
		}
		peak = max(peak, len(c.Metadata))
	}
	if peak < 440 {
		t.Errorf("no customer has more than %d metadata keys", peak)
	}
	for _, r := range p.Box.Requests() {
		if strings.HasSuffix(r.Path, "/traits") && r.Query.Has("include") {
			t.Fatalf("traits were asked for with include=%s", r.Query.Get("include"))
		}
	}
}

// A mapping of constants needs no trait, and asks for none.
func TestMappingOfConstantsReadsNoTraits(t *testing.T) {
	t.Parallel()
	o := sandbox.Options{Profiles: 10, Plain: true, Record: true, Schema: json.RawMessage(`{"related_object":"customer","properties":{}}`)}
	p := newProject(t, o, "description: {constant: of Segment}")
	if _, err := p.run(false); err != nil {
		t.Fatal(err)
	}
	if n := len(p.Box.Customers()); n != 10 {
		t.Errorf("%d customers, want 10", n)
	}
	if n := p.Box.Stats().TraitsRequests; n != 0 {
		t.Errorf("%d requests for traits", n)
	}
}
