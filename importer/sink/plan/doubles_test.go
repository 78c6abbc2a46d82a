package plan

import "testing"

// TestNumbersAreDoubles: two numbers are equal when they are the same double, wherever they stand.
func TestNumbersAreDoubles(t *testing.T) {
	for _, tt := range []struct {
		sent, stored string // of metadata.n
		want         Kind
	}{
		{`33.3333333333333333`, `33.333333333333336`, Unchanged},
		{`9007199254740993`, `9007199254740992`, Unchanged},
		{`1e100`, `1e+100`, Unchanged},
		{`1e100`, `"1e+100"`, Unchanged}, // a column of an export
		{`-0`, `0`, Unchanged},
		{`1e400`, `1e400`, Unchanged},
		{`1e400`, `1e401`, ChangeFields},
		{`33.333333333333336`, `33.33333333333334`, ChangeFields},
		{`9007199254740993`, `9007199254740994`, ChangeFields},
		{`[9007199254740993]`, `[9007199254740992]`, Unchanged},
		{`{"a":[{"b":1e100}]}`, `{"a":[{"b":1e+100}]}`, Unchanged},
		{`{"a":1e100}`, `"{\"a\":1e+100}"`, Unchanged}, // a column of an export
		{`[1]`, `[2]`, ChangeFields},
		{`"1.0"`, `"1"`, ChangeFields}, // texts are texts
		{`1`, `"0x1"`, ChangeFields},
	} {
		stored, err := decode([]byte(tt.stored))
		if err != nil {
			t.Fatal(err)
		}
		now := &storedCustomer{map[string]any{"metadata.n": stored}, func(string) bool { return true }, nil}
		d, err := compare([]byte(`{"source_id":"a","metadata":{"n":`+tt.sent+`}}`), now)
		if err != nil || d.Kind != tt.want {
			t.Errorf("%s against %s: %s, %v, want %s", tt.sent, tt.stored, d.Kind, err, tt.want)
		}
	}
}
