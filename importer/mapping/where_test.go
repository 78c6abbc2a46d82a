package mapping

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"segsync/segmentprofiles"
)

func TestMatches(t *testing.T) {
	const traits = `{"consent": true, "plan": "pro", "text": "true", "digits": "100", "ltv": 100.0, "big": 9007199254740993,
		"huge": 1e500, "blank": " ", "null": null, "list": ["pro"], "email": "ada@ourshop.com", "company": {"size": 7, "name": "A*B"}}`
	ids := []segmentprofiles.ExternalID{{Type: "email", ID: "ada@example.com"}, {Type: "phone", ID: " "}}
	for _, c := range []struct {
		where string // conditions
		api   bool   // with the traits of the API
		texts bool   // with Profile.Texts
	}{
		{`{trait: consent, is: true}`, true, true},
		{`{trait: consent, is: false}`, false, false},
		{`{trait: consent, is_not: false}`, true, true},
		{`{trait: consent, is: "true"}`, false, false},
		{`{trait: text, is: true}`, false, true},
		{`{trait: text, is_not: true}`, true, false},
		{`{trait: text, is: "true"}`, true, true},
		{`{trait: plan, is: pro}`, true, true},
		{`{trait: plan, is: Pro}`, false, false},
		{`{trait: plan, is_not: pro}`, false, false},
		{`{trait: plan, in: [free, pro]}`, true, true},
		{`{trait: plan, in: [free, 1]}`, false, false},
		{`{trait: plan, not_in: [free, pro]}`, false, false},
		{`{trait: plan, not_in: [free]}`, true, true},
		{`{trait: list, is: pro}`, false, false},
		{`{trait: ltv, is: 100}`, true, true},
		{`{trait: ltv, is: 100.0}`, true, true},
		{`{trait: ltv, in: [1, 100.00]}`, true, true},
		{`{trait: ltv, at_least: 100}`, true, true},
		{`{trait: ltv, at_least: 100.01}`, false, false},
		{`{trait: ltv, at_least: -5}`, true, true},
		{`{trait: ltv, at_most: 100}`, true, true},
		{`{trait: ltv, at_most: 99.99}`, false, false},
		{`{trait: big, is: 9007199254740992}`, false, false},
		{`{trait: big, at_most: 9007199254740992}`, false, false},
		{`{trait: big, is: 9007199254740993}`, true, true},
		{`{trait: huge, at_least: 5}`, true, true},
		{`{trait: ltv, is: 1e2}`, true, true},
		{`{trait: ltv, at_least: 100000000000000000000000001}`, false, false},
		{`{trait: ltv, at_most: 100000000000000000000000001}`, true, true},
		{`{trait: ltv, in: ["1e2", "100000000000000000000000001"]}`, false, false},
		{`{trait: digits, is: 100}`, false, true},
		{`{trait: digits, at_least: 99}`, false, true},
		{`{trait: digits, is: "100"}`, true, true},
		{`{trait: plan, at_least: 1}`, false, false},
		{`{trait: email, like: "*@ourshop.com"}`, true, true},
		{`{trait: email, not_like: "*@ourshop.com"}`, false, false},
		{`{trait: email, like: "a*@*.com"}`, true, true},
		{`{trait: email, like: "ada"}`, false, false},
		{`{trait: email, like: "ada*ada*"}`, false, false},
		{`{trait: email, like: "*"}`, true, true},
		{`{trait: email, like: "?da*"}`, false, false},
		{`{trait: email, like: "ada@ourshop.com*ourshop.com"}`, false, false},
		{`{trait: ltv, like: "1*"}`, false, false},
		{`{trait: ltv, not_like: "1*"}`, true, true},
		{`{trait: company.size, at_least: 7}`, true, true},
		{`{trait: company.name, like: "A*B"}`, true, true},
		{`{trait: company.gone, exists: true}`, false, false},
		{`{trait: plan, exists: true}`, true, true},
		{`{trait: plan, exists: false}`, false, false},
		{`{external_id: email, exists: true}`, true, true},
		{`{external_id: email, exists: false}`, false, false},
		{`{external_id: phone, exists: true}`, false, false},
		{`{external_id: user_id, exists: false}`, true, true},
		{`{trait: plan, is: pro}, {trait: ltv, at_least: 1000}`, false, false},
		{`any: [{trait: plan, is: free}, {trait: ltv, at_least: 100}]`, true, true},
		{`any: [{trait: plan, is: free}, {trait: ltv, at_least: 101}]`, false, false},
		{`any: [{trait: plan, is: pro}], {trait: plan, is: free}`, false, false},
	} {
		t.Run(c.where, func(t *testing.T) {
			conditions := c.where
			if strings.HasPrefix(conditions, "any") {
				conditions = "{" + strings.Replace(conditions, "]", "]}", 1)
			}
			m := parse(t, "where: ["+conditions+"]")
			for texts, want := range map[bool]bool{false: c.api, true: c.texts} {
				if got := m.Matches(Profile{Traits: decodeObject(t, []byte(traits)), Texts: texts}, ids); got != want {
					t.Errorf("with Texts %v: %v", texts, got)
				}
			}
		})
	}
}

// An absent trait matches is_not, not_in, not_like and exists: false, and nothing else.
func TestMatchesWithoutTheTrait(t *testing.T) {
	p := Profile{Traits: map[string]any{"null": nil, "blank": " \n"}}
	for _, trait := range []string{"missing", "null", "blank", "missing.member"} {
		for condition, want := range map[string]bool{
			"is: x": false, "is: 0": false, "is: false": false, "in: [x]": false, `like: "*"`: false,
			"at_least: 0": false, "at_most: 0": false, "exists: true": false,
			"is_not: x": true, "not_in: [x]": true, `not_like: "*"`: true, "exists: false": true,
		} {
			m := parse(t, "where: [{trait: '"+trait+"', "+condition+"}]")
			if got := m.Matches(p, nil); got != want {
				t.Errorf("%s of %s: %v", condition, trait, got)
			}
		}
	}
	if !(Mapping{}).Matches(Profile{}, nil) {
		t.Error("a mapping without conditions does not match")
	}
}

func TestConditionsAreReadWithTheFields(t *testing.T) {
	m := parse(t, `{email: email, where: [{trait: plan, is: pro}, {external_id: user_id, exists: true},
  {any: [{trait: company.size, at_least: 5}, {external_id: email, exists: false}, {external_id: user_id, exists: false}]}]}`)
	if diff := cmp.Diff([]string{"company", "email", "plan"}, m.Traits()); diff != "" {
		t.Errorf("traits (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"email", "user_id"}, m.ExternalIDTypes()); diff != "" {
		t.Errorf("types (-want +got):\n%s", diff)
	}
	all := parse(t, `{metadata: {all: true}, where: [{trait: plan, is: pro}]}`)
	customer, _ := Map(Profile{Traits: map[string]any{"plan": "pro"}}, all)
	if diff := cmp.Diff(map[string]any{"plan": "pro"}, customer.Metadata); diff != "" {
		t.Errorf("a trait of a condition is not part of all (-want +got):\n%s", diff)
	}
}

func TestConditionCounts(t *testing.T) {
	m := parse(t, `where: [{trait: consent, is: true}, {trait: ltv, exists: true}, {any: [{trait: ltv, in: [5, none]}, {trait: plan, like: "p*"}]}]`)
	counts := m.ConditionCounts()
	for _, traits := range []string{`{"consent": "true", "ltv": 7}`, `{"consent": "false", "ltv": true}`, `{"consent": null, "plan": "free"}`} {
		m.Count(counts, Profile{Traits: decodeObject(t, []byte(traits))})
	}
	got := map[string][2]int{}
	for _, c := range counts {
		got[c.Condition.String()] = [2]int{c.There, c.OtherType}
	}
	want := map[string][2]int{
		`{trait: consent, is: true}`:    {2, 2},
		`{trait: ltv, in: [5, "none"]}`: {2, 1},
		`{trait: plan, like: "p*"}`:     {1, 0},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("there, other type (-want +got):\n%s", diff)
	}
}

func parse(t testing.TB, file string) Mapping {
	t.Helper()
	m, err := Parse("m", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	return m
}
