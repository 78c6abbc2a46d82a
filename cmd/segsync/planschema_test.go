package main

import (
	"bytes"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// The JSON of a plan, with examples, is what docs/plan.schema.json says.
func TestPlanKeepsItsSchema(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("../../docs/plan.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"plan", "--sandbox", "--json", "-q", "--sample", "30", "--show", "2"},
		{"plan", "--sandbox", "--json", "-q", "--profiles-from", "testdata/plan-profiles.txt"},
	} {
		var out bytes.Buffer
		root := newRootCommand()
		root.SetArgs(args)
		root.SetOut(&out)
		if err := root.ExecuteContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		value, err := jsonschema.UnmarshalJSON(&out)
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(value); err != nil {
			t.Errorf("%q: %v", args, err)
		}
	}
}
