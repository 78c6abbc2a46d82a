package importer_test

import (
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"segsync/importer"
	"segsync/importer/journal"
	"segsync/importer/mapping"
	"segsync/internal/sandbox"
)

// withRules is the default mapping with lines of a mapping file added.
func withRules(t *testing.T, lines string) mapping.Mapping {
	t.Helper()
	return onlyRules(t, mapping.DefaultFile()+"\n"+lines)
}

// onlyRules is the mapping of a file.
func onlyRules(t *testing.T, lines string) mapping.Mapping {
	t.Helper()
	m, err := mapping.Parse("mapping.yaml", []byte(lines+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Profiles that a condition leaves out are not sent, and are counted. A profile without
// identifier counts as such and costs one request, whatever the conditions say.
func TestWhere(t *testing.T) {
	for _, c := range []struct {
		name, identifiers, where string
		identified               float64
		requests                 int
		sent, filtered, without  int
	}{
		{"a trait", "user_id", `[{trait: email, like: "ada.000000*@example.com"}]`, 1, 1 + 200, 10, 90, 0},
		{"a trait that the mapping reads for nothing else", "user_id", `[{trait: nobody_has_it, exists: false}]`, 1, 1 + 200, 100, 0, 0},
		{"no identifier", "user_id", `[{trait: email, like: "nobody*"}]`, 0.2, 1 + 100 + 20, 0, 20, 80},
		{"an external ID rides along", "user_id", `[{external_id: email, exists: true}]`, 0.2, 1 + 100 + 20, 20, 0, 80},
		{"an external ID beside a trait", "trait:email", `[{external_id: user_id, exists: true}]`, 0.2, 1 + 200, 20, 80, 0},
		{"an external ID that nobody has", "trait:email", `[{external_id: nothing, exists: true}]`, 1, 1 + 200, 0, 100, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true, Identified: c.identified})
				w.settings.Identifiers = parseIdentifiers(t, c.identifiers)
				w.settings.Mapping = withRules(t, "where: "+c.where)
				w.settings.PageSize = 100
				im := w.importer()
				if err := im.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				w.wantConfirmed(im, 100)
				state := im.State()
				got := [...]int{w.Box.Stats().SegmentRequests, state.Count(journal.Confirmed), state.Count(journal.Filtered),
					state.Count(journal.WithoutIdentifier), len(w.Box.Customers())}
				if want := [...]int{c.requests, c.sent, c.filtered, c.without, c.sent}; got != want {
					t.Errorf("requests, confirmed, filtered, without identifier, customers: %v, want %v", got, want)
				}
			})
		})
	}
}

// Each condition that a profile does not meet is named, and no other.
func TestInspectNamesUnmetConditions(t *testing.T) {
	m := withRules(t, `where: [{trait: email, exists: true}, {trait: plan, is: pro}]`)
	traits := map[string]any{"user": "42", "email": "ada@example.com", "plan": "free"}
	inspector := &importer.Inspector{Identifiers: parseIdentifiers(t, "trait:user"), Mapping: m}
	in := inspector.Inspect(mapping.Profile{SegmentID: "profile.json", Traits: traits}, nil)
	if diff := cmp.Diff([]string{`{trait: plan, is: "pro"}`}, in.Filtered); diff != "" {
		t.Errorf("unmet conditions (-want +got):\n%s", diff)
	}
}
