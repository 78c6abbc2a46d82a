package function_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"segsync/importer/mapping"
	"segsync/importer/mapping/cases"
	"segsync/internal/function"
	"segsync/internal/settings"
)

// nodeRuntime is Segment's runtime in Node: it calls onIdentify with each line of stdin, and writes a line
// with the body that was sent, or the class of the error.
const nodeRuntime = `
for (const name of ['EventNotSupported', 'InvalidEventPayload', 'ValidationError', 'RetryError']) {
  globalThis[name] = class extends Error { constructor(message) { super(message); this.name = name; } };
}
globalThis.cache = { load: (key, ttl, load) => load() };
const settings = { applicationId: 'app', secretKey: 'key', apiUrl: 'https://api.example.com' };
(async () => {
  for await (const line of require('readline').createInterface({ input: process.stdin })) {
    const [event, schema] = JSON.parse(line);
    let body = '';
    globalThis.fetch = async (url, options) => {
      if (!(options.signal instanceof AbortSignal)) throw new Error('no signal');
      if (options.method === 'POST') body = options.body;
      const answer = options.method === 'POST' ? '{}' : JSON.stringify(schema);
      return { status: answer === 'null' ? 404 : 200, text: async () => answer };
    };
    try { await onIdentify(event, settings); } catch (e) { body = e.name; }
    console.log(body);
  }
})();
`

// nodeCase is an event, and what it is to become: a body, or the class of an error.
type nodeCase struct{ event, schema, want string }

// runInNode calls the function in Node with the cases.
func runInNode(t *testing.T, o function.Options, all []nodeCase) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("there is no node")
	}
	o.Identifiers = []mapping.Identifier{{Type: "user_id"}}
	source, err := function.Source(o)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "function.js")
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(node, "--check", file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.WriteFile(file, []byte(source+nodeRuntime), 0o600); err != nil {
		t.Fatal(err)
	}
	var in, stderr bytes.Buffer
	for _, c := range all {
		schema := c.schema
		if schema == "" {
			schema = "null"
		}
		fmt.Fprintf(&in, "[%s,%s]\n", c.event, strings.Join(strings.Fields(schema), ""))
	}
	cmd := exec.Command(node, file)
	cmd.Stdin, cmd.Stderr = &in, &stderr
	out, err := cmd.Output()
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if err != nil || len(lines) != len(all) {
		t.Fatalf("%v, %d of %d lines: %s", err, len(lines), len(all), stderr.String())
	}
	for i, c := range all {
		if lines[i] != c.want && !sameJSON(c.want, lines[i]) {
			t.Errorf("event  %s\nschema %s\nwant   %s\nnode   %s", c.event, c.schema, c.want, lines[i])
		}
	}
}

func newNodeCase(t *testing.T, m mapping.Mapping, traits map[string]any, policy settings.MetadataPolicy, schema string) nodeCase {
	t.Helper()
	event, err := json.Marshal(map[string]any{"userId": "42", "traits": traits})
	if err != nil {
		t.Fatal(err)
	}
	want := imported(t, m, traits, policy, schema)
	if want == "" {
		want = "EventNotSupported"
	}
	return nodeCase{string(event), schema, want}
}

func TestNodeMappingCases(t *testing.T) {
	all := []nodeCase{
		{`{"userId":"a\ud800"}`, "", "InvalidEventPayload"}, // half a character
		{`{"userId":"a","traits":{"name":"a\udc00","email":"\ud83d\ude00","\ud800":1}}`, "",
			`{"source_id":"a","email":"😀","system_metadata":{"source":"segmentio"}}`},
		{`{"userId":"a","traits":{"metadata":{"n":1e999},"email":9007199254740992,"phone":9007199254740991}}`, "",
			`{"source_id":"a","phone":"9007199254740991","system_metadata":{"source":"segmentio"}}`},
	}
	files, _ := filepath.Glob("../../importer/mapping/testdata/mapping/*.json")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c, err := cases.Parse(file, data)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, newNodeCase(t, mapping.Default(), c.Profile.Traits.Values, settings.AsIs, ""))
	}
	runInNode(t, function.Options{Mapping: mapping.Default(), Policy: settings.AsIs}, all)
}

func TestNodeRandomProfiles(t *testing.T) {
	texts, _ := mappingFiles(t)
	n := 200
	if full {
		n = 4_000
	}
	for i, name := range slices.Sorted(maps.Keys(texts)) {
		if moreMappings[name] == "" && !full {
			continue // Node takes its time to start
		}
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			m := parse(t, texts[name])
			policy := settings.MetadataPolicy(i % 3)
			r := rand.New(rand.NewPCG(uint64(i), 24))
			var all []nodeCase
			for range n {
				schema := []string{"", fmt.Sprintf(everySchema, false), fmt.Sprintf(everySchema, true)}[r.IntN(3)]
				all = append(all, newNodeCase(t, m, randomTraits(r, m), policy, schema))
			}
			runInNode(t, function.Options{Mapping: m, Policy: policy}, all)
		})
	}
}
