package mapping

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUnknown(t *testing.T) {
	m := parse(t, `
name: {traits: [name], join: [[firstName, first_name], [lastName]]}
email: e_mail
phone: [phonenumber, mobile]
description: [desc]
birthdate: [birthday]
address: {city: [adress.city], state: [adress.state]}
metadata: {object: [meta], traits: [plan, ltv, tier], rename: {a: cat1, b: cat2}}
where: [{trait: consnet, is: true}, {trait: plan, exists: true}]
`)
	seen := map[string]int{"first_name": 1, "email": 9, "phoneNumber": 3, "Phone_Number": 1, "description": 2, "address": 1,
		"plan": 1, "clv": 4, "Tier": 1, "cat2": 5, "consent": 1, "meta": 1, "birthdai": 0}
	want := []NearMiss{
		{"email", "e_mail", []string{"email"}},
		{"phone", "phonenumber", []string{"Phone_Number", "phoneNumber"}},
		{"phone", "mobile", nil},
		{"description", "desc", nil},
		{"birthdate", "birthday", nil},
		{"address.city", "adress", []string{"address"}},
		{"address.state", "adress", []string{"address"}},
		{"metadata.a", "cat1", nil},
		{"metadata.ltv", "ltv", nil},
		{"metadata.tier", "tier", []string{"Tier"}},
		{"where", "consnet", []string{"consent"}},
	}
	if diff := cmp.Diff(want, m.Unknown(seen)); diff != "" {
		t.Errorf("unknown (-want +got):\n%s", diff)
	}
	if got := (Mapping{}).Unknown(seen); got != nil {
		t.Errorf("of an empty mapping: %v", got)
	}
}
