package importer

import "testing"

func TestOddIdentifiers(t *testing.T) {
	for _, id := range []string{"42.0", "-7.00", "NULL", "null", `\N`, "undefined", "[object Object]", "nan", "NaN", "None", "<NA>", "#N/A", "4.91234E+11", " null ", "ada ", "\u00a0ada"} {
		if !isOddIdentifier(id) {
			t.Errorf("%q is taken for an identifier", id)
		}
	}
	for _, id := range []string{"42", "42.5", "1.0.0", "v1.0", "nullable", "nan@example.com", "Nanette", `a\N`, "1e5", "e+1", "0", ""} {
		if isOddIdentifier(id) {
			t.Errorf("%q is refused", id)
		}
	}
}
