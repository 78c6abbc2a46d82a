package importer_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"segsync/importer"
	"segsync/importer/mapping"
	"segsync/importer/outcome"
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
				got := [...]int{w.Box.Stats().SegmentRequests, state.Count(outcome.Confirmed), state.Count(outcome.Filtered),
					state.Count(outcome.WithoutIdentifier), len(w.Box.Customers())}
				if want := [...]int{c.requests, c.sent, c.filtered, c.without, c.sent}; got != want {
					t.Errorf("requests, confirmed, filtered, without identifier, customers: %v, want %v", got, want)
				}
			})
		})
	}
}

// A mistyped condition filters everybody: its trait is looked for in filtered profiles, too.
func TestConditionThatNobodyMeetsIsWarnedOf(t *testing.T) {
	t.Parallel()
	var lines strings.Builder
	for i := range 1001 {
		fmt.Fprintf(&lines, `{"segment_id":"use_%d","external_ids":[{"type":"user_id","id":"%d"}],"traits":{"plan":"pro"}}`+"\n", i, i)
	}
	for _, c := range []struct {
		file string
		want []string
	}{
		{"metadata: {all: true}\nwhere: [{trait: paln, is: pro}]", []string{`trait=paln field=where did_you_mean=plan profiles=1000`,
			`msg="the conditions of the mapping let none of the first profiles through: are they right?" profiles=1000`}},
		{"metadata: {all: true}\nwhere: [{trait: plan, is: gold}]", []string{"let none of the first profiles through"}},
		{"metadata: {all: true}\nwhere: [{trait: plan, is: pro}]", nil},
	} {
		w := newFromFile(t, sandbox.Options{Profiles: 1}, lines.String())
		w.settings.Mapping = onlyRules(t, c.file)
		p := w.continued(t)
		if err := p.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		log := w.log.String()
		if n := strings.Count(log, "level=WARN"); n != len(c.want) {
			t.Errorf("%s: %d warnings, want %d:\n%s", c.file, n, len(c.want), log)
		}
		for _, want := range c.want {
			if !strings.Contains(log, want) {
				t.Errorf("%s: the log lacks %s:\n%s", c.file, want, log)
			}
		}
		if got := importer.NoneMatched(p.State()); got != (c.want != nil) {
			t.Errorf("%s: NoneMatched is %v", c.file, got)
		}
	}
}
