package mapping_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"segsync/importer/mapping"
)

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
		"user_id,email,user_id": `duplicate identifier "user_id"`,
		"trait:a,trait:a":       `duplicate identifier "trait:a"`,
	} {
		if got, err := mapping.ParseIdentifiers(in); err == nil || err.Error() != want {
			t.Errorf("%q: %v, %v, want %s", in, got, err, want)
		}
	}
}
