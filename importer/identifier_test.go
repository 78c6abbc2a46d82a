package importer_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

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
				if n := w.Box.Stats().SegmentRequests; n != c.requests {
					t.Errorf("%d requests, want %d", n, c.requests)
				}
				if diff := cmp.Diff(c.taken, im.State().Details.Identifiers, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("identifiers (-want +got):\n%s", diff)
				}
				customers := map[string]bool{}
				for i, e := range w.Profiles() {
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
				for id := range w.Box.Customers() {
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
		w.On(`/external_ids`, func(_ answerWriter, r request) bool { ids = r.URL.Query().Get("include"); return false })
		w.On(`/traits`, func(_ answerWriter, r request) bool { traits = r.URL.Query().Get("include"); return false })
		if err := w.importer().Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if ids != "email,user_id" {
			t.Errorf("external IDs of %q", ids)
		}
		want := slices.Sorted(slices.Values(append(w.settings.Mapping.Traits(), "crm_id")))
		if got := strings.Split(traits, ","); !slices.Equal(got, want) {
			t.Errorf("traits %q, want %q", got, want)
		}
	})
}
