package cases_test

import (
	"fmt"
	"testing"

	"segsync/importer/mapping"
	"segsync/importer/mapping/cases"
)

// The cases of the default mapping are in the form that users write theirs in.
func TestDefaultMapping(t *testing.T) {
	r := cases.Runner{Mapping: mapping.Default()}
	results, err := r.Run([]string{"../testdata/mapping"})
	if err != nil {
		t.Fatal(err)
	}
	if len(results) < 40 {
		t.Errorf("only %d cases", len(results))
	}
	for _, result := range results {
		if !result.Passed {
			t.Errorf("%s: %s %s", result.File, result.Error, fmt.Sprint(result.Differences))
		}
	}
}
