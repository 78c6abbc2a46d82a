package function_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"segsync/importer/mapping"
	"segsync/importer/mapping/cases"
	"segsync/importer/metadata"
	"segsync/internal/function"
	"segsync/internal/settings"
	"segsync/segmentprofiles"
	"segsync/voucherify"
)

// decode decodes JSON with all digits.
func decode(t testing.TB, text string) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// sameJSON compares two texts, numbers by value.
func sameJSON(a, b string) bool {
	if a == "" || b == "" {
		return a == b
	}
	var x, y any
	for text, v := range map[string]*any{a: &x, b: &y} {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if d.Decode(v) != nil {
			return false
		}
	}
	if a == b {
		return true
	}
	return reflect.DeepEqual(byValue(x), byValue(y))
}

// byValue writes each number in one form.
func byValue(v any) any {
	return eachNumber(v, func(n json.Number) any {
		f, err := n.Float64()
		if err != nil {
			return "number " + n.String()
		}
		return f
	})
}

// asRead writes numbers without exponent as JavaScript does, which does not know that 0.10 was written so.
func asRead(v any) any {
	return eachNumber(v, func(n json.Number) any {
		f, err := n.Float64()
		switch {
		case err != nil || strings.ContainsAny(n.String(), "eE") || hasUnsafeInteger(n):
			return n
		case f == 0:
			return json.Number("0") // not -0
		}
		return json.Number(strconv.FormatFloat(f, 'f', -1, 64))
	})
}

// eachNumber returns the value with each number replaced.
func eachNumber(v any, by func(json.Number) any) any {
	switch v := v.(type) {
	case json.Number:
		return by(v)
	case []any:
		all := make([]any, len(v))
		for i, e := range v {
			all[i] = eachNumber(e, by)
		}
		return all
	case map[string]any:
		all := make(map[string]any, len(v))
		for key, e := range v {
			all[key] = eachNumber(e, by)
		}
		return all
	}
	return v
}

// imported returns the customer that Go's mapping makes of the traits of an event, "" for one that is
// not sent. The traits that the event lacks are unknown, which an import does not know of a profile.
func imported(t testing.TB, m mapping.Mapping, traits map[string]any, policy settings.MetadataPolicy, schema string) string {
	t.Helper()
	p := mapping.Profile{SourceID: "42", Traits: asRead(traits).(map[string]any), Sparse: true}
	for key, v := range traits {
		if hasUnsafeInteger(v) {
			delete(p.Traits, key)
			p.Damaged = append(p.Damaged, key)
		}
	}
	if !knownToMatch(m, p) {
		return ""
	}
	var fits *metadata.Schema
	if schema != "" && policy != settings.AsIs {
		var s voucherify.MetadataSchema
		if err := json.Unmarshal([]byte(schema), &s); err != nil {
			t.Fatal(err)
		}
		fits = metadata.NewSchema(&s)
		fits.DefinedOnly = fits.DefinedOnly || policy == settings.Strict
		m.Metadata.Objects = fits.Objects()
	}
	m.ClearAbsent = false
	m.Metadata.Traits = slices.DeleteFunc(slices.Clone(m.Metadata.Traits), func(mt mapping.MetadataTrait) bool {
		return mt.Transform != nil && mt.Transform.Default != nil && isUnknown(p, mapping.Field{Traits: mt.Traits})
	})
	c, _ := mapping.Map(p, m)
	leaveUnknown(&c, p, m)
	c.Metadata = maps.Clone(c.Metadata)
	maps.DeleteFunc(c.Metadata, func(_ string, v any) bool { return v == nil })
	if fits != nil {
		fits.FitCustomer(&c)
	}
	data, err := c.JSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func leaveUnknown(c *voucherify.Customer, p mapping.Profile, m mapping.Mapping) {
	address := voucherify.Address{}
	if c.Address != nil {
		address = *c.Address
	}
	for _, f := range []struct {
		mapping.Field
		to *string
	}{
		{m.Name, &c.Name}, {m.Email, &c.Email}, {m.Phone, &c.Phone}, {m.Description, &c.Description},
		{m.Address.City, &address.City}, {m.Address.State, &address.State}, {m.Address.Country, &address.Country},
		{m.Address.PostalCode, &address.PostalCode}, {m.Address.Line1, &address.Line1}, {m.Address.Line2, &address.Line2},
	} {
		if isUnknown(p, f.Field) {
			*f.to = ""
		}
	}
	if c.Address = nil; address != (voucherify.Address{}) {
		c.Address = &address
	}
	if isUnknown(p, m.Birthdate) && !slices.Contains(c.Clear, "birthdate") {
		c.Birthdate = voucherify.Birthdate{}
	}
}

// isUnknown reports whether the traits of an event alone do not tell what a field is: they have none of
// its traits, or not all parts of what is joined, and no null in their place.
func isUnknown(p mapping.Profile, f mapping.Field) bool {
	p.Damaged = nil
	unknown := func(paths mapping.Paths) bool {
		removed, absent := mapping.Absent(&p, &mapping.Mapping{Name: mapping.Field{Traits: paths}, Clear: []string{"name"}})["name"]
		return absent && !removed
	}
	_, absent := mapping.Absent(&p, &mapping.Mapping{Name: mapping.Field{Traits: f.Traits}, Clear: []string{"name"}})["name"]
	switch {
	case f.Constant != "" || !absent:
		return false
	case len(f.Join) > 0:
		return slices.ContainsFunc(f.Join, unknown)
	}
	return unknown(f.Traits)
}

// knownToMatch reports whether the conditions hold whatever the traits are that the event lacks.
func knownToMatch(m mapping.Mapping, p mapping.Profile) bool {
	holds := func(c mapping.Condition) bool {
		return (c.ExternalID != "" || isGiven(p.Traits, c.Trait)) &&
			mapping.Mapping{Where: []mapping.Condition{c}}.Matches(p, []segmentprofiles.ExternalID{{Type: "user_id", ID: "42"}})
	}
	for _, c := range m.Where {
		if len(c.Any) > 0 && !slices.ContainsFunc(c.Any, holds) || len(c.Any) == 0 && !holds(c) {
			return false
		}
	}
	return true
}

// isGiven reports whether the traits have the trait, or null in the place of it or of an object around it.
func isGiven(traits map[string]any, path mapping.Path) bool {
	object := traits
	for _, key := range path {
		v, found := object[key]
		if !found || v == nil {
			return found
		}
		object, _ = v.(map[string]any)
	}
	return true
}

// hasUnsafeInteger reports whether JavaScript would lose digits of the value.
func hasUnsafeInteger(v any) bool {
	switch v := v.(type) {
	case json.Number:
		f, err := v.Float64()
		return err != nil || f == float64(int64(f)) && (f > 1<<53-1 || f < -(1<<53-1)) || f >= 1<<63 || f <= -(1<<63)
	case []any:
		return slices.ContainsFunc(v, hasUnsafeInteger)
	case map[string]any:
		return slices.ContainsFunc(slices.Collect(maps.Values(v)), hasUnsafeInteger)
	}
	return false
}

// live returns the customer that the function sends for an identify event with these traits, "" for
// none.
func live(t testing.TB, s *segment, traits map[string]any, schema string) string {
	t.Helper()
	event, err := json.Marshal(map[string]any{"type": "identify", "userId": "42", "traits": traits})
	if err != nil {
		t.Fatal(err)
	}
	body, r := s.sent(string(event), schema)
	if body == "" && r.Class != "EventNotSupported" || body != "" && r != (result{}) {
		t.Fatalf("%s: %v, sent %s", event, r, body)
	}
	return body
}

func check(t *testing.T, s *segment, m mapping.Mapping, traits map[string]any, policy settings.MetadataPolicy, schema string) {
	t.Helper()
	want, got := imported(t, m, traits, policy, schema), live(t, s, traits, schema)
	if !sameJSON(want, got) {
		text, _ := json.Marshal(traits)
		t.Errorf("traits  %s\nimport  %s\nlive    %s", text, want, got)
	}
}

func TestMappingCases(t *testing.T) {
	s := load(t, function.Options{Mapping: mapping.Default(), Policy: settings.AsIs})
	files, _ := filepath.Glob("../../importer/mapping/testdata/mapping/*.json")
	if len(files) < 40 {
		t.Fatalf("only %d cases", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c, err := cases.Parse(file, data)
			if err != nil {
				t.Fatal(err)
			}
			if regexp.MustCompile(`\de\d{3}`).Match(data) {
				t.Skip("goja does not parse numbers beyond 1e308, node does")
			}
			check(t, s, mapping.Default(), c.Profile.Traits.Values, settings.AsIs, "")
		})
	}
}

// mappingFiles are the mappings of package mapping's tests, by name, and the traits for them.
func mappingFiles(t testing.TB) (texts map[string]string, traits map[string]map[string]any) {
	t.Helper()
	files, _ := filepath.Glob("../../importer/mapping/testdata/mappings/*.txtar")
	texts, traits = make(map[string]string), make(map[string]map[string]any)
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		for _, f := range archive.Files {
			switch f.Name {
			case "mapping.yaml":
				texts[name] = string(f.Data)
			case "traits.json":
				traits[name], _ = decode(t, string(f.Data)).(map[string]any)
			}
		}
		if traits[name] == nil {
			delete(texts, name)
		}
	}
	maps.Copy(texts, moreMappings)
	if len(texts) < 15 {
		t.Fatalf("only %d mappings", len(texts))
	}
	return texts, traits
}

var moreMappings = map[string]string{
	"default": mapping.DefaultFile(),
	"conditions": `
email: email
where:
  - {trait: plan, in: [pro, 7, true]}
  - {trait: email, not_like: "*@*.example.com"}
  - any: [{trait: ltv, at_least: 100}, {trait: vip.level, is: true}, {trait: gone, exists: false}, {external_id: user_id, exists: true}]
  - any: [{trait: ltv, at_most: 1000}, {trait: name, like: "a*b*c"}, {trait: city, not_in: [x, y]}, {trait: city, exists: true}]
`,
	"all and clear": `
name: {traits: name, join: [[first], [last]]}
birthdate: {traits: dob, formats: [D.M.YYYY, "YYYYMMDD", "DD-MM-YYYY hh:mm:ss Z", "hhmmss YYYY/MM/DD", warehouse], default: 1999-12-31}
address: {city: [address.city, city], line_2: address.line_2, country: {constant: PL}}
metadata: {all: true, object: [extra, more.extra], exclude: [secret], rename: {plan: {traits: [plan], trim: true, values: {a: A, "7": 7}, default: B}}}
clear: [name, address.city, address.line_2, metadata.other, metadata.secret]
`,
	"every conversion": `
metadata:
  object: object
  traits: [string, number, boolean, date, datetime, geopoint, image, strings, numbers, objects, defined]
  rename:
    d: {traits: date, as: date}
    dt: {traits: datetime, as: datetime}
    n: {traits: number, as: number}
    b: {traits: boolean, as: boolean}
    x: {traits: string, lower: true, trim: true, as: text}
    w: {traits: datetime, formats: warehouse}
    phone: {traits: phone, digits: true}
`,
}

const everySchema = `{"related_object":"customer","allow_defined_only":%t,"properties":{
	"string":{"type":"string","minLength":2,"maxLength":6},"number":{"type":"number","gte":-5,"lt":1000,"ne":[7]},
	"boolean":{"type":"boolean"},"date":{"type":"date"},"datetime":{"type":"datetime","optional":false},"geopoint":{"type":"geopoint"},
	"image":{"type":"image_url"},"strings":{"type":"string","array":true,"eq":["a","b"]},"numbers":{"type":"number","array":true,"gt":0,"lte":12.5},
	"objects":{"type":"object"},"gone":{"type":"string","deleted":true},"plan":{"type":"string","optional":false},"other":{"type":"string"},
	"n":{"type":"string","exactLength":2},"level":{"type":"new"},"city":null}}`

// Each value becomes the same as each field, with and without a schema.
func TestEachValue(t *testing.T) {
	schemas := []string{"", fmt.Sprintf(everySchema, false)}
	for name, text := range moreMappings {
		m := parse(t, text)
		for _, schema := range schemas {
			s := load(t, function.Options{Mapping: m})
			for _, value := range values {
				traits := make(map[string]any)
				for _, path := range pathsOf(m) {
					put(traits, path, decode(t, value))
				}
				if check(t, s, m, traits, settings.Fit, schema); t.Failed() {
					t.Fatal(name)
				}
			}
		}
	}
}

// Random traits become the same customer by an import and live, with every policy and schema.
func TestRandomProfiles(t *testing.T) {
	texts, known := mappingFiles(t)
	n := 2_000
	if full && !underRace {
		n = 100_000
	}
	for i, name := range slices.Sorted(maps.Keys(texts)) {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			m, err := mapping.Parse("mapping.yaml", []byte(texts[name]))
			if err != nil {
				t.Fatal(err)
			}
			policies := []settings.MetadataPolicy{settings.Fit, settings.Strict, settings.AsIs}
			var runtimes []*segment
			for _, policy := range policies {
				runtimes = append(runtimes, load(t, function.Options{Mapping: m, Policy: policy}))
			}
			schemas := []string{"", fmt.Sprintf(everySchema, false), fmt.Sprintf(everySchema, true)}
			r := rand.New(rand.NewPCG(uint64(i), 23))
			for k := range n / len(texts) {
				traits := randomTraits(r, m)
				if k == 0 && known[name] != nil {
					traits = known[name]
				}
				i := r.IntN(len(policies))
				runtimes[i].eval("cache.entries.clear()")
				if check(t, runtimes[i], m, traits, policies[i], schemas[r.IntN(len(schemas))]); t.Failed() {
					return
				}
			}
		})
	}
}

// randomTraits returns traits of the names that a mapping reads, and others.
func randomTraits(r *rand.Rand, m mapping.Mapping) map[string]any {
	traits := make(map[string]any)
	share := r.Float64()
	for _, path := range pathsOf(m) {
		if r.Float64() < share {
			put(traits, path, randomValue(r, path[len(path)-1], 0))
		}
	}
	return traits
}

// pathsOf returns the paths of the traits that a mapping reads, and of others, sorted.
func pathsOf(m mapping.Mapping) []mapping.Path {
	paths := []mapping.Path{{"other"}, {"secret"}, {"plan"}, {"metadata", "plan"}, {"extra", "other"}, {"object", "number"}, {"__proto__"}, {"toString"}, {"name"}}
	for _, key := range m.Named() {
		paths = append(paths, mapping.Path{key})
	}
	for key, members := range m.Objects() {
		for _, member := range members {
			path, _ := mapping.ParsePath(member)
			paths = append(paths, append(mapping.Path{key}, path...))
		}
	}
	slices.SortFunc(paths, func(a, b mapping.Path) int { return strings.Compare(a.String(), b.String()) })
	return paths
}

func put(object map[string]any, path mapping.Path, v any) {
	for _, key := range path[:len(path)-1] {
		inner, isObject := object[key].(map[string]any)
		if !isObject {
			inner = make(map[string]any)
			object[key] = inner
		}
		object = inner
	}
	object[path[len(path)-1]] = v
}

// values are those that some rule treats in a way of its own. No number is written otherwise than by
// JavaScript, which does not know how it was written.
var values = []string{
	`null`, `""`, `" "`, `"\u0085\u00a0\u2003"`, `"\ufeff"`, `true`, `false`, `"true"`, `"false"`, `[]`, `{}`, `{"a":1,"b":null}`, `["a","b"]`, `["a",null]`, `[1,12.5]`,
	`[true,"x",7]`, `[{"a":1}]`, `[["a"]]`, `"a"`, `"b"`, `"pro"`, `"A"`, `" a "`, `"axbyc"`, `"abc"`, `"acb"`, `"x@y.example.com"`, `0`, `1`, `7`, `-3`, `12.5`, `100`, `1000`,
	`0.1`, `1e-7`, `1.5e-9`, `2e-101`, `9007199254740991`, `9007199254740992`, `9007199254740993`, `-9007199254740993`, `1e21`, `1e300`, `[9007199254740993]`,
	`"7"`, `"12.50"`, `"1e3"`, `"007"`, `"9007199254740993"`, `"0.1000000000000000055"`, `"1e999"`, `"-0.5"`, `" 1"`, `"0"`, `"100"`,
	`"1984-05-02"`, `"2023-02-29"`, `"2024-02-29"`, `"0000-01-01"`, `"0001-01-01T00:30:00+02:00"`, `"9999-12-31T23:30:00-02:00"`, `"1984-05-02T10:30:00Z"`,
	`"1984-05-02T10:30:00.123456789+05:30"`, `"1984-05-02T10:30:00:123Z"`, `"1984-05-02T10:30:00-0330"`, `"1984-05-02T10:30:00+02"`, `"1984-05-02T24:00:00Z"`,
	`"1984-05-02 10:30:00"`, `"1984-05-02 10:30:00.250 UTC"`, `"1984-05-02   9:30:00,5 +02:00"`, `"1984-05-02 10:30:00+00"`, `"1984-05-02 10:30:00-00:30"`, `"1984-05-02 10:30:00 "`,
	`"2.5.1984"`, `"02.05.1984"`, `"31.4.1984"`, `"19840502"`, `19840502`, `"02/05/1984"`, `"5/2/1984"`, `"02-05-1984 10:30:00 Z"`, `"103000 1984/05/02"`, `"93000 1984/05/02"`,
	`"02-05-1984 10:30:00.120000 +24:00"`, `"02-05-1984 10:30:00 +2:00"`, `"37.786971, -122.399677"`, `"91,0"`, `"90.0,180"`, `"https://example.com/a.png"`,
	`"http://example.com/a.JPEG?x=1"`, `"https://example.com/a.gif"`, `"https://example.com"`, `"ftp://example.com/a.png"`,
	`"+48 (600) 100-200"`, `"tel. 1+2"`, `"++"`, `"no digits"`, `"İSTANBUL"`, `"ΑΣ"`, `"ŁÓDŹ 🙂"`, `"日本語"`, `"a\u0000\n\u2028b"`, `"<&>\"\\"`, `"🙂🙂🙂🙂"`,
	`"1984-05-02 10:30:00.1234567891 UTC"`, `"1984-05-02 10:30:00.0 UTC"`,
}

func randomValue(r *rand.Rand, key string, depth int) any {
	switch n := r.IntN(20); {
	case n == 0 && depth < 2:
		return map[string]any{key: randomValue(r, key, depth+1), "a": randomValue(r, key, depth+1)}
	case n == 1 && depth < 2:
		return []any{randomValue(r, key, depth+1), randomValue(r, key, depth+1)}
	case n == 2:
		return json.Number(strconv.Itoa(r.IntN(2000) - 1000))
	}
	d := json.NewDecoder(bytes.NewReader([]byte(values[r.IntN(len(values))])))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		panic(err)
	}
	return v
}
