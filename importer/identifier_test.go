package importer_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"segsync/importer/mapping"
	"segsync/internal/sandbox"
)

func parseIdentifiers(t *testing.T, s string) []mapping.Identifier {
	t.Helper()
	ids, err := mapping.ParseIdentifiers(s)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// The requests to Segment for 100 profiles, and which identifier was taken.
func TestIdentifiers(t *testing.T) {
	for _, c := range []struct {
		identifiers string
		identified  float64 // share of profiles with user_id and email; all have a trait email
		requests    int
		taken       map[string]int
	}{
		{"user_id", 1, 1 + 200, map[string]int{"user_id": 100}},
		{"user_id", 0.2, 1 + 100 + 20, map[string]int{"user_id": 20}},
		{"user_id,email", 0.2, 1 + 100 + 20, map[string]int{"user_id": 20}},
		{"email,user_id", 1, 1 + 200, map[string]int{"email": 100}},
		{"nothing,email", 1, 1 + 200, map[string]int{"email": 100}},
		{"trait:email", 1, 1 + 100, map[string]int{"trait:email": 100}},
		{"trait:email,user_id", 1, 1 + 100, map[string]int{"trait:email": 100}},
		{"trait:nothing,user_id", 1, 1 + 200, map[string]int{"user_id": 100}},
		{"user_id,email,trait:email", 1, 1 + 200, map[string]int{"user_id": 100}},
		{"user_id,email,trait:email", 0.2, 1 + 200, map[string]int{"user_id": 20, "trait:email": 80}},
		{"nothing,trait:nothing", 1, 1 + 200, map[string]int{}},
	} {
		t.Run(fmt.Sprintf("%s, %v", c.identifiers, c.identified), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true, Identified: c.identified})
				w.settings.Identifiers = parseIdentifiers(t, c.identifiers)
				w.settings.PageSize = 100
				im := w.importer()
				if err := im.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				w.wantConfirmed(im, 100)
				if n := w.box.Stats().SegmentRequests; n != c.requests {
					t.Errorf("%d requests, want %d", n, c.requests)
				}
				if diff := cmp.Diff(c.taken, im.State().Identifiers); diff != "" {
					t.Errorf("identifiers (-want +got):\n%s", diff)
				}
				customers := map[string]bool{}
				for i, e := range w.profiles() {
					has := e.SourceID != ""
					for id := range strings.SplitSeq(c.identifiers, ",") {
						switch {
						case id == "user_id" && has:
							customers[e.SourceID] = true
						case id == "email" && has, id == "trait:email":
							customers[fmt.Sprintf("ada.%07d@example.com", i)] = true
						default:
							continue
						}
						break
					}
				}
				got := map[string]bool{}
				for id := range w.box.Customers() {
					got[id] = true
				}
				if diff := cmp.Diff(customers, got); diff != "" {
					t.Errorf("customers (-want +got):\n%.1000s", diff)
				}
			})
		})
	}
}

// One request asks for the external IDs of all types.
func TestIdentifiersAreAskedForTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 1, Plain: true})
		w.settings.Identifiers = parseIdentifiers(t, "email, user_id,trait:crm_id")
		var ids, traits string
		w.on(`/external_ids`, func(_ answerWriter, r request) bool { ids = r.URL.Query().Get("include"); return false })
		w.on(`/traits`, func(_ answerWriter, r request) bool { traits = r.URL.Query().Get("include"); return false })
		if err := w.importer().Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if ids != "email,user_id" {
			t.Errorf("external IDs of %q", ids)
		}
		if include := "," + traits + ","; traits != "" && (strings.Count(include, ",crm_id,") != 1 || strings.Count(include, ",email,") != 1) {
			t.Errorf("traits %q", traits)
		}
	})
}

func TestParseIdentifiers(t *testing.T) {
	for in, want := range map[string][]mapping.Identifier{
		"user_id":                      {{Type: "user_id"}},
		" user_id , trait:email ":      {{Type: "user_id"}, {Trait: "email"}},
		"email,trait:email":            {{Type: "email"}, {Trait: "email"}},
		"ios.idfa,my-type":             {{Type: "ios.idfa"}, {Type: "my-type"}},
		"trait:Customer Number (long)": {{Trait: "Customer Number (long)"}},
	} {
		got, err := mapping.ParseIdentifiers(in)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%q: %v (-want +got):\n%s", in, err, diff)
		}
	}
	neither := " is neither a type of external ID, such as user_id, nor a trait, such as trait:email"
	for in, want := range map[string]string{
		"":                      `""` + neither,
		"user_id,":              `""` + neither,
		"user id":               `"user id"` + neither,
		"trait:":                `"trait:"` + neither,
		"traits:email":          `"traits:email"` + neither,
		"user_id/email":         `"user_id/email"` + neither,
		"user_id,email,user_id": `"user_id" is there twice`,
		"trait:a,trait:a":       `"trait:a" is there twice`,
	} {
		if got, err := mapping.ParseIdentifiers(in); err == nil || err.Error() != want {
			t.Errorf("%q: %v, %v, want %s", in, got, err, want)
		}
	}
}
