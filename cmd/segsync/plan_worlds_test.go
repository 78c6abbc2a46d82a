package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"segsync/internal/app"
	"segsync/internal/sandbox"
)

// person is a profile of a made-up world. Its traits are the fields of its customer.
type person struct {
	id       string         // of the profile
	userID   string         // "" for none
	fields   map[string]any // of the customer: name, address.city, metadata.plan
	filtered bool
}

// planWorld is a space and a project that people have edited on both sides.
type planWorld struct {
	*world
	r      *rand.Rand
	people []person
	clears []string // fields that are sent as null where a profile lacks them
	all    bool     // more customers have undefined metadata than are asked for
}

const worldPeople = 700

// TestPlansOfWorlds: right after an import a plan has nothing to do. After edits on both sides it says
// what an oracle says that knows neither exports nor the plan; an import of changes sends exactly
// that; and then a plan has nothing to do again.
func TestPlansOfWorlds(t *testing.T) {
	t.Parallel()
	worlds := 1
	if full {
		worlds = 24
	}
	for seed := range worlds {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			w := newPlanWorld(t, uint64(seed))
			w.write(t)
			w.run(t, "import", "--dir", "out", "--max-clears", itoa(worldPeople))
			w.wantPlan(t, "after the import")
			w.editProfiles()
			w.editCustomers(t)
			w.write(t)
			w.wantPlan(t, "after the edits")

			want, _ := w.oracle()
			before := len(w.sentIDs())
			w.run(t, append([]string{"import", "--only-changes", "--dir", "out"}, w.flags()...)...)
			var changed []string
			for _, kind := range []string{"create", "change", "clear"} {
				changed = append(changed, want[kind]...)
			}
			slices.Sort(changed)
			sent := w.sentIDs()[before:]
			slices.Sort(sent)
			if diff := cmp.Diff(changed, sent); diff != "" {
				t.Errorf("sent with --only-changes (-oracle +sent):\n%s", diff)
			}
			w.wantPlan(t, "after the import of changes")
			if n, _ := w.oracle(); len(n["create"])+len(n["change"])+len(n["clear"]) > 0 {
				t.Errorf("something is left to do: %v", n)
			}
		})
	}
}

func newPlanWorld(t *testing.T, seed uint64) *planWorld {
	r := rand.New(rand.NewPCG(seed, 7))
	w := &planWorld{r: r, all: seed%2 == 0}
	for i, field := range []string{"phone", "address.line_2", "metadata.plan", "birthdate"} {
		if r.IntN(2) == 0 || i == 0 {
			w.clears = append(w.clears, field)
		}
	}
	schema := `{"object":"metadata_schema","id":"ms_1","related_object":"customer","properties":{"plan":{"type":"string"},"visits":{"type":"number"},` +
		`"tags":{"type":"string","array":true},"vip":{"type":"boolean"}}}`
	o := sandbox.Options{
		Doubles: r.IntN(2) == 0, FullAddress: r.IntN(2) == 0, Nameless: r.IntN(5), Schema: json.RawMessage(schema),
		Exports: sandbox.ExportOptions{Header: sandbox.ExportHeader(r.IntN(3)), Metadata: sandbox.ExportMetadata(r.IntN(3)), Files: r.IntN(4), FileList: r.IntN(2) == 0},
	}
	if r.IntN(4) == 0 {
		o.Schema, w.all = nil, true
	}
	w.world = startWorld(t, o)
	for i := range worldPeople {
		w.people = append(w.people, w.newPerson(i))
	}
	mapping := "name: name\nemail: email\nphone: phone\nbirthdate: birthdate\naddress:\n  city: city\n  line_2: line_2\n" +
		"metadata:\n  traits: [plan, visits, tags, vip, note, deep]\nwhere:\n  - {trait: hidden, exists: false}\nclear: {fields: [" + strings.Join(w.clears, ", ") + "], absent: true}\n"
	if err := os.WriteFile(filepath.Join(w.dir, "mapping.yaml"), []byte(mapping), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *planWorld) newPerson(i int) person {
	p := person{id: fmt.Sprintf("use_%06d", i), userID: fmt.Sprintf("u-%d,\"é\" %d", i, w.r.IntN(1000)), fields: map[string]any{}}
	switch w.r.IntN(20) {
	case 0:
		p.userID = ""
	case 1:
		p.filtered = true
	}
	for _, field := range worldFields {
		if undefined := field == "metadata.note" || field == "metadata.deep"; undefined && !w.all && i > 400 {
			continue
		}
		if w.r.IntN(3) > 0 {
			p.fields[field] = w.value(field)
		}
	}
	return p
}

var worldFields = []string{"name", "email", "phone", "birthdate", "address.city", "address.line_2", "metadata.plan", "metadata.visits",
	"metadata.tags", "metadata.vip", "metadata.note", "metadata.deep"}

// value returns a value that a field may have.
func (w *planWorld) value(field string) any {
	number := []json.Number{"0", "-1", "7", "33.3333333333333333", "9007199254740993", "1e100", "0.1", "1.50"}[w.r.IntN(8)]
	switch field {
	case "birthdate":
		return fmt.Sprintf("19%02d-0%d-1%d", w.r.IntN(100), 1+w.r.IntN(9), w.r.IntN(10))
	case "metadata.visits":
		return number
	case "metadata.vip":
		return w.r.IntN(2) == 0
	case "metadata.tags":
		return []any{w.text(), w.text()}[:1+w.r.IntN(2)]
	case "metadata.deep":
		return []any{number, w.text(), true}
	}
	return w.text()
}

func (w *planWorld) text() string {
	return []string{"Ada", "Zoë, \"Łąka\"", "two\nlines", "a\r\nb", "007", "true", "1.0", "北京 🎈", "=x", " x ", "\u2028"}[w.r.IntN(11)] + itoa(w.r.IntN(30))
}

// write writes the people as a file of profiles.
func (w *planWorld) write(t *testing.T) {
	var b bytes.Buffer
	for _, p := range w.people {
		traits := map[string]any{}
		for field, value := range p.fields {
			traits[field[strings.LastIndex(field, ".")+1:]] = value
		}
		if p.filtered {
			traits["hidden"] = true
		}
		line := map[string]any{"segment_id": p.id, "external_ids": []any{}, "traits": traits}
		if p.userID != "" {
			line["external_ids"] = []any{map[string]any{"type": "user_id", "id": p.userID}}
		}
		data, err := json.Marshal(line)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(data, '\n'))
	}
	if err := os.WriteFile(filepath.Join(w.dir, "people.ndjson"), b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (w *planWorld) flags() []string {
	if w.all {
		return []string{"--compare-all"}
	}
	return nil
}

// run runs segsync and returns what it printed.
func (w *planWorld) run(t *testing.T, args ...string) string {
	t.Helper()
	args = append(args, "--from", "people.ndjson", "--mapping", "mapping.yaml")
	p := startProcess(t, w.dir, append(w.environ("METADATA_POLICY=as-is"), "SEGMENT_ACCESS_TOKEN=", "SEGMENT_SPACE_ID="), nil, args...)
	p.wantExit(t, app.ExitDone)
	return p.stdout.String()
}

// sentIDs returns the source ids of all bulk requests.
func (w *planWorld) sentIDs() (ids []string) {
	for _, r := range w.box.Requests() {
		if r.Method != http.MethodPost || !strings.HasSuffix(r.Path, "/bulk/async") {
			continue
		}
		var customers []struct {
			SourceID string `json:"source_id"`
		}
		json.Unmarshal(r.Body, &customers)
		for _, c := range customers {
			ids = append(ids, c.SourceID)
		}
	}
	return ids
}

// wantPlan compares a plan with the oracle.
func (w *planWorld) wantPlan(t *testing.T, when string) {
	t.Helper()
	kinds, only := w.oracle()
	var plan struct{ Counts map[string]int }
	out := w.run(t, append([]string{"plan", "--json", "--dir", "out"}, w.flags()...)...)
	if err := json.Unmarshal([]byte(out), &plan); err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"only_in_voucherify": only}
	for kind := range plan.Counts {
		if kind != "only_in_voucherify" {
			want[kind] = len(kinds[kind])
		}
	}
	if diff := cmp.Diff(want, plan.Counts); diff != "" {
		t.Errorf("%s (-oracle +plan):\n%s", when, diff)
	}
}

// oracle says which customers an import would create, change, clear or leave, from what the sandbox has
// stored, and how many customers no profile stands for.
func (w *planWorld) oracle() (kinds map[string][]string, only int) {
	kinds = map[string][]string{}
	stored := w.box.Customers()
	for _, p := range w.people {
		raw, exists := stored[p.userID]
		delete(stored, p.userID)
		kind := "unchanged"
		switch {
		case p.userID == "":
			kind = "without_identifier"
		case p.filtered:
			kind = "filtered"
		case !exists:
			kind = "create"
		default:
			has := storedFields(raw)
			for _, field := range worldFields {
				sent, isSent := p.fields[field]
				switch {
				case isSent && asDoubles(sent) != asDoubles(has[field]):
					kind = "change"
				case !isSent && slices.Contains(w.clears, field) && has[field] != nil && has[field] != "" && kind == "unchanged":
					kind = "clear"
				}
			}
		}
		kinds[kind] = append(kinds[kind], p.userID)
	}
	return kinds, len(stored)
}

// storedFields returns the fields of a customer by name.
func storedFields(raw json.RawMessage) map[string]any {
	var c map[string]any
	json.Unmarshal(raw, &c)
	fields := maps.Clone(c)
	for _, group := range []string{"address", "metadata"} {
		members, _ := c[group].(map[string]any)
		for name, value := range members {
			fields[group+"."+name] = value
		}
	}
	return fields
}

// asDoubles returns the JSON of a value with its numbers as doubles.
func asDoubles(v any) string {
	data, _ := json.Marshal(v)
	var back any
	json.Unmarshal(data, &back)
	data, _ = json.Marshal(back)
	return string(data)
}

// editProfiles changes what Segment has.
func (w *planWorld) editProfiles() {
	for range 40 {
		p, field := &w.people[w.r.IntN(len(w.people))], worldFields[w.r.IntN(len(worldFields))]
		if _, has := p.fields[field]; has && w.r.IntN(3) == 0 {
			delete(p.fields, field)
		} else if has {
			p.fields[field] = w.value(field)
		}
	}
	for i := range 10 {
		w.people = append(w.people, w.newPerson(worldPeople+i))
	}
	for range 5 { // deleted
		w.people = slices.Delete(w.people, 3, 4)
	}
	w.people[w.r.IntN(300)].filtered = true
}

// editCustomers changes what Voucherify has.
func (w *planWorld) editCustomers(t *testing.T) {
	edits := []map[string]any{{"source_id": "of nobody", "name": "x"}}
	for range 30 {
		p, field := w.people[w.r.IntN(len(w.people))], worldFields[w.r.IntN(len(worldFields))]
		var value any
		if w.r.IntN(3) > 0 {
			value = w.value(field)
		}
		edit := map[string]any{"source_id": p.userID}
		if group, name, found := strings.Cut(field, "."); found {
			edit[group] = map[string]any{name: value}
		} else {
			edit[field] = value
		}
		if p.userID != "" {
			edits = append(edits, edit)
		}
	}
	for _, edit := range edits {
		body, _ := json.Marshal(edit)
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, w.server.URL+"/v1/customers", bytes.NewReader(body))
		req.Header.Set("X-App-Id", "sandbox-app-id")
		req.Header.Set("X-App-Token", "sandbox-secret-key")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("editing a customer: %s", resp.Status)
		}
	}
}

// TestForecastIsWhatAnImportMakes: the bulk calls and customers of a plan are those of an import.
func TestForecastIsWhatAnImportMakes(t *testing.T) {
	t.Parallel()
	all := map[string]struct {
		sandbox sandbox.Options
		mapping string
		env     []string
	}{
		"where":              {sandbox.Options{Profiles: 400, Plain: true}, "name: name\nwhere:\n  - {trait: lifetime_value, at_least: 2500}\n", []string{"VOUCHERIFY_BATCH_SIZE=7"}},
		"sparse identifiers": {sandbox.Options{Profiles: 400, Identified: 0.1}, "name: name\n", []string{"VOUCHERIFY_BATCH_SIZE=7"}},
		"max":                {sandbox.Options{Profiles: 400}, "name: name\nmetadata: {all: true}\n", []string{"VOUCHERIFY_BATCH_SIZE=max"}},
		"only changes":       {sandbox.Options{Profiles: 400}, "name: name\n", []string{"VOUCHERIFY_BATCH_SIZE=7"}},
	}
	for _, name := range sample(3, slices.Sorted(maps.Keys(all))) {
		tt := all[name]
		t.Run(name, func(t *testing.T) {
			w := &planWorld{world: startWorld(t, tt.sandbox)}
			if err := os.WriteFile(filepath.Join(w.dir, "mapping.yaml"), []byte(tt.mapping), 0o600); err != nil {
				t.Fatal(err)
			}
			run := func(args ...string) string {
				p := startProcess(t, w.dir, append(w.environ(tt.env...), "SEGSYNC_MAPPING=mapping.yaml"), nil, args...)
				await(t, "the end of segsync", p.exited)
				return p.stdout.String()
			}
			onlyChanges := name == "only changes"
			importing := []string{"import"}
			if onlyChanges {
				run("import", "--limit", "130")
				importing = append(importing, "--restart", "--only-changes")
			}
			var plan struct {
				BulkCalls, Customers struct {
					All         int
					OnlyChanges int `json:"only_changes"`
				}
			}
			out := run("plan", "--json")
			if err := json.Unmarshal([]byte(strings.ReplaceAll(out, "bulk_calls", "bulkcalls")), &plan); err != nil {
				t.Fatalf("%v in %s", err, out)
			}
			calls, customers := w.requests("^POST /v1/customers/bulk"), len(w.sentIDs())
			run(importing...)
			calls, customers = w.requests("^POST /v1/customers/bulk")-calls, len(w.sentIDs())-customers
			wantCalls, wantCustomers := plan.BulkCalls.All, plan.Customers.All
			if onlyChanges {
				wantCalls, wantCustomers = plan.BulkCalls.OnlyChanges, plan.Customers.OnlyChanges
			}
			if calls != wantCalls || customers != wantCustomers || calls == 0 {
				t.Errorf("%d calls, %d customers, want %d and %d as planned", calls, customers, wantCalls, wantCustomers)
			}
		})
	}
}
