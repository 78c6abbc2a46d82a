package strictjson_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"segsync/internal/strictjson"
)

type answer struct {
	ID     string            `json:"id"`
	Traits strictjson.Traits `json:"traits"`
}

func TestUnmarshal(t *testing.T) {
	for _, c := range []struct {
		name, data string
		want       answer
		err        error
	}{
		{"exact names", `{"id":"a","ID":"b","Id":"c","traits":{"x":1,"X":2},"TRAITS":{"y":3}}`,
			answer{"a", strictjson.Traits{Present: true, Values: map[string]any{"x": json.Number("1"), "X": json.Number("2")}}}, nil},
		{"null", `{"id":null,"traits":null}`, answer{"", strictjson.Traits{Present: true}}, nil},
		{"every kind of value", `{"traits":{"a":[1.50,true,null,"x",{"b":-1e400}],"c":{},"d":[],"e\u0041":"\u0000"}}`,
			answer{"", strictjson.Traits{Present: true, Values: map[string]any{
				"a": []any{json.Number("1.50"), true, nil, "x", map[string]any{"b": json.Number("-1e400")}},
				"c": map[string]any{}, "d": []any{}, "eA": "\x00",
			}}}, nil},
		{"damaged traits", "{\"id\":\"a\",\"traits\":{\"ok\":\"\U0001F388\",\"a\":\"\xff\",\"b\":\"\\ud800\",\"c\":[{\"d\":\"\\udc00\"}],\"e\":{\"f\":1,\"f\":2},\"g\":1,\"h\":2,\"g\":3,\"g\":4,\"i\xff\":1,\"\\ud800\":2}}",
			answer{"a", strictjson.Traits{Present: true, Values: map[string]any{"ok": "\U0001F388", "h": json.Number("2")},
				Damaged: []string{`\ud800`, "a", "b", "c", "e", "g", `i\xff`}}}, nil},
		{"damage beside the traits", `{"id":"a\ud800","traits":{"x":1}}`, answer{}, strictjson.ErrNotUnicode},
		{"damage in an unknown member", "{\"id\":\"a\",\"x\":{\"y\":\"\xff\"}}", answer{}, strictjson.ErrNotUnicode},
		{"a damaged name beside the traits", "{\"id\":\"a\",\"\xff\":1}", answer{}, strictjson.ErrNotUnicode},
		{"an id twice", `{"id":"a","id":"a"}`, answer{}, strictjson.ErrNameTwice},
		{"traits twice", `{"traits":{},"traits":{}}`, answer{}, strictjson.ErrNameTwice},
		{"a name twice in an unknown member", `{"x":[{"y":1,"y":1}]}`, answer{}, strictjson.ErrNameTwice},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got answer
			err := strictjson.Unmarshal([]byte(c.data), &got, "traits")
			if !errors.Is(err, c.err) || err != nil && c.err == nil {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if diff := cmp.Diff(c.want, got, cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Wants" }, cmp.Ignore())); err == nil && diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestOnlyWantedTraits(t *testing.T) {
	for _, data := range []string{`{"a":1,"b":{"x":[1]},"c":3}`, "{\"a\":1,\"b\":\"\xff\",\"c\":3,\"\xff\":1}"} {
		traits := strictjson.Traits{Wants: func(name []byte) bool { return string(name) == "a" || string(name) == "\ufffd" }}
		if err := strictjson.Unmarshal([]byte(`{"t":`+data+`}`), &struct {
			T *strictjson.Traits `json:"t"`
		}{&traits}, "t"); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]any{"a": json.Number("1")}, traits.Values); diff != "" || traits.Damaged != nil {
			t.Errorf("%s: damaged %q, values (-want +got):\n%s", data, traits.Damaged, diff)
		}
	}
}

func TestObject(t *testing.T) {
	for data, want := range map[string]map[string]any{
		`{"a":1,"b":"x"}`: {"a": json.Number("1"), "b": "x"}, `{"a":1,"b":"\ud800","c":1,"c":2}`: {"a": json.Number("1")}, `null`: nil, `{}`: {},
	} {
		got, err := strictjson.Object([]byte(data))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", data, err, diff)
		}
	}
	for _, data := range []string{``, `[]`, `{"a":`, `{"a":"\ud800",}`, `{} {}`} {
		if got, err := strictjson.Object([]byte(data)); err == nil {
			t.Errorf("%s: %v, want an error", data, got)
		}
	}
}

func TestCause(t *testing.T) {
	for data, want := range map[string]string{
		`<html>`:                "invalid character '<' at start of value",
		``:                      "unexpected EOF",
		`{"id":`:                "unexpected EOF",
		`{} {}`:                 "invalid character '{' after top-level value",
		`[]`:                    "it has another shape than documented",
		`{"traits":[1]}`:        "it has another shape than documented",
		`{"id":"CANARY\ud800"}`: "a text is not valid Unicode",
		"{\"x\":[\"\xff\",":     "unexpected EOF",
	} {
		var got answer
		err := strictjson.Unmarshal([]byte(data), &got, "traits")
		if err == nil || strictjson.Cause(err) != want || strings.Contains(strictjson.Cause(err), "CANARY") {
			t.Errorf("%s: %v, want %s", data, err, want)
		}
	}
}

// Whatever the JSON: what is not damaged is as encoding/json decodes it.
func FuzzValue(f *testing.F) {
	for _, s := range []string{`{"a":[1,"x",null,true]}`, `"\ud83c\udf88"`, `"\ud800"`, "\"\xff\"", `1e9`, `{"a":1,"a":2}`, `[] []`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := strictjson.Value(data)
		if err != nil {
			return
		}
		d := json.NewDecoder(strings.NewReader(string(data)))
		d.UseNumber()
		var want any
		if err := d.Decode(&want); err != nil {
			t.Fatalf("%q: %#v, but encoding/json says %v", data, got, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-encoding/json +strictjson):\n%s", data, diff)
		}
	})
}
