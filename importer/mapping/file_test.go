package mapping

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rogpeppe/go-internal/txtar"
)

// mappingFileCase is a file of testdata/mappings. Its name says what it shows. It has
// mapping.yaml and either errors, or
//
//	traits.json    of the profile
//	customer.json  that it becomes, without source_id and system_metadata
//	warnings       if any, one a line
//	include        traits that are asked for, one a line, or all
//	removed        if any, traits that are known to be removed, one a line; others are unknown
//	clear          if any, fields that are cleared, one a line
//	objects        if any, metadata keys that the schema defines as objects, one a line
type mappingFileCase map[string]string

func readMappingFileCases(tb testing.TB) map[string]mappingFileCase {
	tb.Helper()
	files, err := filepath.Glob("testdata/mappings/*.txtar")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no cases in testdata/mappings (%v)", err)
	}
	cases := map[string]mappingFileCase{}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		c := mappingFileCase{}
		for _, f := range archive.Files {
			c[f.Name] = string(f.Data)
		}
		cases[strings.TrimSuffix(filepath.Base(file), ".txtar")] = c
	}
	return cases
}

func TestMappingFiles(t *testing.T) {
	for name, c := range readMappingFileCases(t) {
		t.Run(name, func(t *testing.T) {
			m, err := Parse("mapping.yaml", []byte(c["mapping.yaml"]))
			if want := strings.TrimSuffix(c["errors"], "\n"); want != "" {
				if err == nil {
					t.Fatalf("no error, want\n%s", want)
				}
				if diff := cmp.Diff(want, err.Error()); diff != "" {
					t.Errorf("errors (-want +got):\n%s", diff)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			include := "all\n"
			if traits := m.Traits(); traits != nil {
				include = strings.Join(traits, "\n") + "\n"
			}
			if diff := cmp.Diff(c["include"], include); diff != "" {
				t.Errorf("include (-want +got):\n%s", diff)
			}
			m.Metadata.Objects = map[string]bool{}
			for key := range strings.Lines(c["objects"]) {
				m.Metadata.Objects[strings.TrimSpace(key)] = true
			}
			p := Profile{Traits: decodeObject(t, []byte(c["traits.json"])), Sparse: c["removed"] != ""}
			p.Removed = strings.Fields(c["removed"])
			customer, warnings := Map(p, m)
			got := decodeObject(t, marshal(t, customer))
			delete(got, "source_id")
			delete(got, "system_metadata")
			if diff := cmp.Diff(decodeObject(t, []byte(c["customer.json"])), got); diff != "" {
				t.Errorf("customer (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(strings.Fields(c["clear"]), customer.Clear, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("clear (-want +got):\n%s", diff)
			}
			lines := ""
			for _, w := range warnings {
				lines += w.String() + "\n"
			}
			if diff := cmp.Diff(c["warnings"], lines); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDefaultMappingFileFitsAPage(t *testing.T) {
	for n, line := range strings.Split(DefaultFile(), "\n") {
		if len([]rune(line)) > 90 {
			t.Errorf("line %d is longer than 90 characters", n+1)
		}
	}
}

// The schema and the structs name the same keys, so decoding passes nothing over.
func TestSchemaAndStructsAgree(t *testing.T) {
	document := decodeObject(t, []byte(FileSchema()))
	of := func(v any) []string {
		var keys []string
		for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "-" {
				keys = append(keys, name)
			}
		}
		return keys
	}
	condition := []string{"trait", "external_id", "any"}
	for _, operator := range []Operator{Is, IsNot, In, NotIn, Like, NotLike, AtLeast, AtMost, Exists} {
		condition = append(condition, string(operator))
	}
	without := func(keys []string, key string) []string {
		return slices.DeleteFunc(keys, func(k string) bool { return k == key })
	}
	field := append(without(of(Field{}), "transform"), "trim", "lower", "digits", "formats", "values", "as", "default")
	for path, want := range map[string][]string{
		"properties":                             without(of(Mapping{}), "clear_absent"),
		"properties address anyOf 1 properties":  of(AddressMapping{}),
		"properties metadata anyOf 1 properties": of(fileMetadata{}),
		"definitions field anyOf 1 properties":   field,
		"definitions condition properties":       condition,
	} {
		var v any = document
		for _, key := range strings.Fields(path) {
			if list, ok := v.([]any); ok {
				v = list[len(list)-1]
				continue
			}
			v = v.(map[string]any)[key]
		}
		got := slices.Sorted(maps.Keys(v.(map[string]any)))
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-struct +schema):\n%s", path, diff)
		}
	}
}

func TestDocumentedSchemaIsTheSchema(t *testing.T) {
	data, err := os.ReadFile("../../docs/mapping.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(FileSchema(), string(data)); diff != "" {
		t.Errorf("docs/mapping.schema.json (-want +got):\n%s", diff)
	}
}

// The first line of the default file tells editors the name that it tells people.
func TestDefaultMappingFileIsAMappingFile(t *testing.T) {
	parsed, err := Parse("default-mapping.yaml", []byte(DefaultFile()))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := parsed.Fingerprint(), Default().Fingerprint(); got != want {
		t.Errorf("the file is the mapping %s, the default is %s", got, want)
	}
}

func TestDefaultMappingFileNamesItsSchema(t *testing.T) {
	first, rest, _ := strings.Cut(DefaultFile(), "\n")
	name, found := strings.CutPrefix(first, "# yaml-language-server: $schema=")
	if !found || !strings.Contains(rest, "segsync mapping --schema > "+name+"\n") {
		t.Errorf("first line %s", first)
	}
}

// A state file of today must be continued by the program of tomorrow.
func TestFingerprintIsStable(t *testing.T) {
	const (
		ofDefault = "a11e3698affd3bf5da8febce9caf4f4549d2470a9bf9ff5491df656414217aa9"
		ofAnother = "6eed02ef400f453392d429745a42482da6535e7139ad31d1560bc54050e28b60"
		ofNewKeys = "9897210e61ee8fc4fdca4543b32da01403419a13150e8f4f37c2c6443804cddc"
	)
	if got := Default().Fingerprint(); got != ofDefault {
		t.Errorf("fingerprint of the default mapping: %s, want %s", got, ofDefault)
	}
	m, err := Parse("m", []byte(`{email: {constant: a@b.example}, name: {join: [a.b]}, metadata: {rename: {z: a, b: c}, traits: d, all: true, exclude: [y, x]}}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Fingerprint(); got != ofAnother {
		t.Errorf("fingerprint: %s, want %s", got, ofAnother)
	}
	m = parse(t, `{email: email, clear: [email], where: [{trait: a.b, in: [x, 1.50, true]}, {any: [{external_id: email, exists: false}]}]}`)
	if got := m.Fingerprint(); got != ofNewKeys {
		t.Errorf("fingerprint with where and clear: %s, want %s", got, ofNewKeys)
	}
}

func TestFingerprintSaysWhetherTheMappingIsTheSame(t *testing.T) {
	fingerprint := func(file string) string {
		t.Helper()
		m, err := Parse("m", []byte(file))
		if err != nil {
			t.Fatal(err)
		}
		m.Metadata.Objects = map[string]bool{"of the schema": true}
		return m.Fingerprint()
	}
	const file = "email: [email, mail]\nmetadata:\n  traits: [plan, level]\n  all: true\n  exclude: [x, y]\n"
	for _, same := range []string{
		"# a comment\nmetadata: {exclude: [y, x], all: true, traits: [level, plan]}\nemail: ['email', mail]\nphone: none\n",
		"email: [email, mail]\nmetadata:\n  rename: {level: level, plan: plan}\n  all: true\n  exclude: [x, y]\n",
	} {
		if fingerprint(same) != fingerprint(file) {
			t.Errorf("another fingerprint for\n%s", same)
		}
	}
	for _, other := range []string{
		strings.Replace(file, "[email, mail]", "[mail, email]", 1),
		strings.Replace(file, "true", "false\n", 1)[:strings.Index(file, "  all")],
		strings.Replace(file, "[x, y]", "[x]", 1),
		file + "clear: [email]\n",
		file + "where: [{trait: plan, is: pro}]\n",
		"phone: [email, mail]\n",
	} {
		if fingerprint(other) == fingerprint(file) {
			t.Errorf("the same fingerprint for\n%s", other)
		}
	}
}

// The YAML library takes gigabytes for such files.
func TestDeepNestingTakesLittleMemory(t *testing.T) {
	for _, s := range []string{"[", "{", "a: [", "{a: ", "- ", "? ", "- - [", "\n  - ", "[ \"]\", ", "&a ", "!a ", "*a ", "a: ", ": ", "|\n "} {
		data := []byte(strings.Repeat(s, maxMappingFile/len(s)))
		for _, data := range [][]byte{data, append([]byte("name: "), data[:len(data)-6]...)} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Parse("m", data)
			runtime.ReadMemStats(&after)
			if took := after.TotalAlloc - before.TotalAlloc; took > 64<<20 || err == nil {
				t.Errorf("%.20q takes %d MB (%.100v)", data, took>>20, err)
			}
		}
	}
	if _, err := Parse("m", []byte("name: "+strings.Repeat("[", 200)+strings.Repeat("]", 200))); err == nil || err.Error() != "m:1:8: name: expected a trait, found a list" {
		t.Errorf("200 lists in each other: %v", err)
	}
	_, err := Parse("m", []byte("# a comment\nphone: a\nmetadata: {rename: {"+strings.Repeat("a: [", maxBrackets)))
	if want := "m:3:1: more than 2000 brackets up to here"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestParsePath(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Path // nil for an error
	}{
		{"city", Path{"city"}},
		{"address.city", Path{"address", "city"}},
		{"a.b.c", Path{"a", "b", "c"}},
		{`last\.seen`, Path{"last.seen"}},
		{`a\.b.c\\d`, Path{"a.b", `c\d`}},
		{`Campaign Name`, Path{"Campaign Name"}},
		{"", nil}, {".", nil}, {"a.", nil}, {".a", nil}, {"a..b", nil}, {`a\`, nil}, {`a\b`, nil},
	} {
		got, err := ParsePath(c.in)
		if diff := cmp.Diff(c.want, got); diff != "" || (err == nil) != (c.want != nil) {
			t.Errorf("ParsePath(%q) = %q, %v; want %q", c.in, got, err, c.want)
		}
		if err == nil && got.String() != c.in {
			t.Errorf("%q.String() = %q", c.in, got.String())
		}
	}
}

func TestExplain(t *testing.T) {
	m, err := Parse("m", []byte(`
name: {traits: [name], join: [[firstName], [lastName]]}
email: [mail, email]
phone: [phone]
birthdate: [birthdate]
address: {city: [address.city], country: {constant: PL}}
metadata: {object: [metadata], traits: [plan], rename: {value: ltv}, all: true}
`))
	if err != nil {
		t.Fatal(err)
	}
	traits := decodeObject(t, []byte(`{"firstName":"Ada","lastName":"Oakwell","email":"a@example.com","phone":["no text"],
		"birthdate":"1984-05-02T10:00:00Z","address":{"city":7},"metadata":{"plan":"old","lang":"en"},"plan":"gold","ltv":1.5,
		"other":true,"object":{}}`))
	want := []FieldSource{
		{Field: "name", Trait: "firstName", Value: "Ada"},
		{Field: "name", Trait: "lastName", Value: "Oakwell"},
		{Field: "email", Trait: "email", Value: "a@example.com"},
		{Field: "birthdate", Trait: "birthdate", Value: "1984-05-02T10:00:00Z"},
		{Field: "address.city", Trait: "address.city", Value: json.Number("7")},
		{Field: "address.country", Trait: "", Value: "PL"},
		{Field: "metadata.lang", Trait: "metadata.lang", Value: "en"},
		{Field: "metadata.other", Trait: "other", Value: true},
		{Field: "metadata.plan", Trait: "plan", Value: "gold"},
		{Field: "metadata.value", Trait: "ltv", Value: json.Number("1.5")},
	}
	if diff := cmp.Diff(want, Explain(Profile{Traits: traits}, m)); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
}

func TestExplainSaysWhatIsCleared(t *testing.T) {
	m := parse(t, "{email: email, phone: phone, clear: [phone, email]}")
	want := []FieldSource{{Field: "email", Trait: "email", Value: "a@example.com"}, {Field: "phone", Cleared: true}}
	if diff := cmp.Diff(want, Explain(Profile{Traits: map[string]any{"email": "a@example.com"}}, m)); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
}

func TestExplainSaysWhatTransformsDid(t *testing.T) {
	m := parse(t, `{name: {join: [first, last], lower: true}, phone: {traits: phone, digits: true}, email: {traits: email, trim: true},
      description: {join: [none], default: x}, birthdate: {traits: dob, formats: DD/MM/YYYY},
      metadata: {rename: {tier: {traits: plan, values: {pro: Gold}}, level: {traits: level, default: 1}, bad: {traits: bad, as: number}}}}`)
	traits := map[string]any{"first": "Ada", "last": "Byron", "phone": "1-2", "email": "a@b.c", "dob": "02/05/1984", "plan": "pro", "bad": "x"}
	want := []FieldSource{
		{Field: "name", Trait: "first", Value: "Ada"},
		{Field: "name", Trait: "last", Value: "Byron", Result: "ada byron"},
		{Field: "email", Trait: "email", Value: "a@b.c"},
		{Field: "phone", Trait: "phone", Value: "1-2", Result: "12"},
		{Field: "description", Result: "x"},
		{Field: "birthdate", Trait: "dob", Value: "02/05/1984", Result: "1984-05-02"},
		{Field: "metadata.level", Result: json.Number("1")},
		{Field: "metadata.tier", Trait: "plan", Value: "pro", Result: "Gold"},
	}
	if diff := cmp.Diff(want, Explain(Profile{Traits: traits}, m)); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
}

// The examples of docs/mapping.md are mapping files, but for the one with mistakes, and the test case.
func TestDocumentedMappingFiles(t *testing.T) {
	page, err := os.ReadFile("../../docs/mapping.md")
	if err != nil {
		t.Fatal(err)
	}
	files := regexp.MustCompile("(?s)<!-- file: (\\w+)\\.yaml -->\n```yaml\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(files) < 8 {
		t.Fatalf("%d files are found", len(files))
	}
	for _, file := range files {
		if _, err := Parse(file[1], []byte(file[2])); (err != nil) != (file[1] == "wrong" || file[1] == "case") {
			t.Errorf("%s: %v", file[1], err)
		}
	}
}

// Explain names every field that Map gives the customer, and no other.
func TestExplainAgreesWithMapCustomer(t *testing.T) {
	for name, c := range readMappingCases(t) {
		t.Run(name, func(t *testing.T) {
			customer, _ := Map(c.profile(), Default())
			want := map[string]bool{}
			fields := decodeObject(t, marshal(t, customer))
			for field, value := range fields {
				members, isObject := value.(map[string]any)
				if !isObject && value != nil {
					want[field] = true
				}
				for member := range members {
					want[field+"."+member] = true
				}
			}
			delete(want, "source_id")
			delete(want, "system_metadata.source")
			got := map[string]bool{}
			for _, o := range Explain(c.profile(), Default()) {
				got[o.Field] = true
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("fields (-Map +Explain):\n%s", diff)
			}
		})
	}
}

func FuzzParseMapping(f *testing.F) {
	f.Add([]byte(DefaultFile()))
	for _, c := range readMappingFileCases(f) {
		f.Add([]byte(c["mapping.yaml"]))
	}
	traits, err := os.ReadFile("testdata/mapping/everything_in_camel_case.json")
	if err != nil {
		f.Fatal(err)
	}
	profile := Profile{Traits: decodeObject(f, traits)}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse("m", data)
		if err != nil {
			joined, ok := err.(interface{ Unwrap() []error })
			if !ok {
				return
			}
			for _, e := range joined.Unwrap() {
				if !strings.HasPrefix(e.Error(), "m:") {
					t.Errorf("%q does not say where", e)
				}
			}
			if errors.Join(joined.Unwrap()...) == nil {
				t.Error("an error without a text")
			}
			return
		}
		again, err := Parse("m", data)
		if err != nil || again.Fingerprint() != m.Fingerprint() {
			t.Errorf("parsed twice, the file gives two mappings (%v)", err)
		}
		for _, texts := range []bool{false, true} {
			profile.Texts = texts
			customer, _ := Map(profile, m)
			marshal(t, customer)
			m.Matches(profile, nil)
			m.Count(m.ConditionCounts(), profile)
		}
		m.Unknown(map[string]int{"email": 1})
	})
}
