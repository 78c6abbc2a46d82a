package importer_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"segsync/importer"
	"segsync/importer/journal"
	"segsync/importer/mapping"
	"segsync/internal/sandbox"
	"segsync/internal/sandboxtest"
	"segsync/voucherify"
)

// download downloads from the sandbox, without a network.
func (w *world) download(_ context.Context, req *http.Request, into *os.File) error {
	answer := httptest.NewRecorder()
	w.Box.ServeDownload(answer, req)
	if answer.Code != http.StatusOK {
		return fmt.Errorf("the download host answered %d", answer.Code)
	}
	_, err := into.WriteAt(answer.Body.Bytes(), 0)
	return err
}

const schemaKeysOfSandbox = `{"properties":{"lang":{"type":"string","optional":true},"loyalty":{"type":"string","optional":true},` +
	`"n":{"type":"number","optional":true},"at":{"type":"datetime","optional":true},"ok":{"type":"boolean","optional":true}}}`

func sandboxSchema(t testing.TB) *voucherify.MetadataSchema {
	return parseSchema(t, schemaKeysOfSandbox)
}

func parseSchema(t testing.TB, text string) *voucherify.MetadataSchema {
	t.Helper()
	schema := new(voucherify.MetadataSchema)
	if err := json.Unmarshal([]byte(text), schema); err != nil {
		t.Fatal(err)
	}
	return schema
}

// export takes an export of the sandbox's customers.
func (w *world) export(schema *voucherify.MetadataSchema) *importer.Existing {
	w.t.Helper()
	_, vch := sandboxtest.Clients(w.t, w, sandboxtest.NoNetwork)
	existing, err := importer.TakeExport(w.t.Context(), vch, w.download, schema, slog.New(slog.NewTextHandler(&w.log, nil)))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { existing.Close() })
	return existing
}

// plan returns what an import would do.
func (w *world) plan(existing *importer.Existing) *importer.Plan {
	w.t.Helper()
	_, vch := sandboxtest.Clients(w.t, w, sandboxtest.NoNetwork)
	plan := importer.NewPlan(existing, vch, nil, 3)
	names, settings := w.names, w.settings
	defer func() { w.names, w.settings = names, settings }()
	w.names, w.settings.Plan, w.settings.Verify.Off = journal.NewNames(w.t.TempDir(), ""), plan, true
	im := w.importer()
	if err := im.Run(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.wantCounts(im, len(w.Profiles()))
	return plan
}

func exports(o sandbox.ExportOptions) sandbox.ExportOptions {
	o.DownloadURL = "http://127.0.0.1:9"
	return o
}

// A plan before an import creates all, one after it has nothing to do, for every shape of
// profile and every form of an export; and a second import of changes sends nothing.
func TestPlanImportPlan(t *testing.T) {
	t.Parallel()
	for _, header := range []sandbox.ExportHeader{sandbox.HeaderTitles, sandbox.HeaderFields, sandbox.HeaderMixed} {
		for _, form := range []sandbox.ExportMetadata{sandbox.MetadataJSON, sandbox.MetadataColumns, sandbox.MetadataKeys} {
			t.Run(fmt.Sprintf("header %d, metadata %d", header, form), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, sandbox.Options{Profiles: 300, Schema: []byte(schemaKeysOfSandbox),
						Exports: exports(sandbox.ExportOptions{Header: header, Metadata: form})})
					before := w.plan(w.export(sandboxSchema(t)))
					if len(before.Counts) != 1 || before.Counts[importer.Create] == 0 {
						t.Fatalf("before the import: %v", before.Counts)
					}
					im := w.importer()
					if err := im.Run(t.Context()); err != nil {
						t.Fatal(err)
					}
					after := w.plan(w.export(sandboxSchema(t)))
					sent := before.Counts[importer.Create]
					if n := after.Counts[importer.Unchanged] + after.Counts[importer.NotComparable]; n != sent || len(after.Changes) > 0 ||
						after.Counts[importer.Unchanged] == 0 {
						t.Errorf("after the import: %v, %v, %+v; want %d unchanged", after.Counts, after.Changes, after.Examples, sent)
					}
					w.ForgetBulk()
					im = w.importerOf(from("0"))
					im.SendOnlyChanges(w.export(sandboxSchema(t)))
					if err := im.Run(t.Context()); err != nil {
						t.Fatal(err)
					}
					w.wantConfirmed(im, 300)
					if n := im.State().Count(journal.Unchanged); n != after.Counts[importer.Unchanged] {
						t.Errorf("%d unchanged, want %d", n, after.Counts[importer.Unchanged])
					}
					if after.Counts[importer.NotComparable] == 0 && len(w.Bulk()) > 0 {
						t.Errorf("%d bulk requests of an unchanged space", len(w.Bulk()))
					}
				})
			})
		}
	}
}

// An import of changes leaves Voucherify as a full import does, whatever was there before.
func TestOnlyChangesLeavesTheSameState(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var states [2]map[string]any
				for i := range states {
					w := newWorld(t, sandbox.Options{Profiles: 120, Seed: seed + 1, Schema: []byte(schemaKeysOfSandbox), Exports: exports(sandbox.ExportOptions{})})
					w.settings.Mapping = withRules(t, "clear: [phone, email]")
					w.settings.MaxClears = 1000
					w.putBefore(seed)
					im := w.importer()
					if i == 1 {
						im.SendOnlyChanges(w.export(sandboxSchema(t)))
					}
					if err := im.Run(t.Context()); err != nil {
						t.Fatal(err)
					}
					states[i] = comparableCustomers(w)
				}
				if diff := cmp.Diff(states[0], states[1]); diff != "" {
					t.Errorf("customers (-full import +only changes):\n%.3000s", diff)
				}
			})
		})
	}
}

// comparableCustomers are the customers without what an export does not tell: null from
// absent, and the system metadata.
func comparableCustomers(w *world) map[string]any {
	all := map[string]any{}
	for id, data := range w.Box.Customers() {
		customer := sandboxtest.Decoded(data).(map[string]any)
		delete(customer, "system_metadata")
		for name, value := range customer {
			if value == nil {
				delete(customer, name)
			}
		}
		all[id] = customer
	}
	return all
}

// putBefore gives some profiles a customer that agrees with them, or differs.
func (w *world) putBefore(seed uint64) {
	w.t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	_, vch := sandboxtest.Clients(w.t, w, sandboxtest.NoNetwork)
	for _, e := range w.Profiles() {
		if e.SourceID == "" || r.IntN(4) == 0 {
			continue
		}
		customer, _ := mapping.Map(mapping.Profile{SegmentID: e.SegmentID, SourceID: e.SourceID, Traits: e.Traits}, w.settings.Mapping)
		switch r.IntN(5) {
		case 0:
			customer.Name = "Somebody Else"
		case 1:
			customer.Phone, customer.Clear = "+48 123", nil
		case 2:
			customer.Address = &voucherify.Address{City: "Łódź"}
		case 3:
			customer = voucherify.Customer{SourceID: e.SourceID, Metadata: map[string]any{"lang": "xx"}}
		}
		data, err := customer.JSON()
		if err != nil {
			w.t.Fatal(err)
		}
		if err := vch.UpsertCustomer(w.t.Context(), data); err != nil {
			w.t.Fatal(err)
		}
	}
}

// Each kind of change is told by field, and by value, not by text.
func TestPlanTellsWhatWouldChange(t *testing.T) {
	const export = "source_id,name,phone,birthdate,metadata.n,metadata.ok,metadata.at,metadata.list,metadata.empty\n" +
		`1,Ada,,2001-02-03,1.50,TRUE,2026-01-01T00:00:00.000Z,"[1, 2.0]",` + "\n" +
		"2,Ada,123,,2,false,,,\n3,,,,,,,,\n"
	for _, c := range []struct {
		customer string
		kind     importer.Kind
		fields   []string
	}{
		{`{"source_id":"1","name":"Ada","birthdate":"2001-02-03","metadata":{"n":1.5,"ok":true,"at":"2026-01-01T00:00:00Z","list":[1,2],"empty":null}}`, importer.Unchanged, nil},
		{`{"source_id":"1","phone":null,"metadata":{"n":15e-1}}`, importer.Unchanged, nil},
		{`{"source_id":"2","phone":null}`, importer.ClearFields, []string{"phone: 123 → <nil>"}},
		{`{"source_id":"2","phone":null,"name":"Eve"}`, importer.ChangeFields, []string{"name: Ada → Eve", "phone: 123 → <nil>"}},
		{`{"source_id":"2","metadata":{"n":"two"}}`, importer.ChangeFields, []string{"metadata.n: 2 → two"}},
		{`{"source_id":"2","metadata":{"ok":true}}`, importer.ChangeFields, []string{"metadata.ok: false → true"}},
		{`{"source_id":"2","metadata":{"unknown":1}}`, importer.NotComparable, nil},
		{`{"source_id":"2","email":"a@example.com"}`, importer.NotComparable, nil},
		{`{"source_id":"2","name":"Eve","metadata":{"unknown":1}}`, importer.ChangeFields, []string{"name: Ada → Eve"}},
		{`{"source_id":"3","birthdate":null}`, importer.Unchanged, nil},
		{`{"source_id":"4","name":"Ada","phone":null}`, importer.Create, []string{"name: <nil> → Ada"}},
	} {
		t.Run(c.customer, func(t *testing.T) {
			existing, err := importer.ReadExisting(strings.NewReader(export), nil, false)
			if err != nil {
				t.Fatal(err)
			}
			defer existing.Close()
			d, err := existing.Compare(t.Context(), []byte(c.customer))
			if err != nil {
				t.Fatal(err)
			}
			var fields []string
			for _, change := range d.Changes {
				fields = append(fields, fmt.Sprintf("%s: %v → %v", change.Field, change.Old, change.New))
			}
			if d.Kind != c.kind || !slices.Equal(fields, c.fields) {
				t.Errorf("%s %q, want %s %q", d.Kind, fields, c.kind, c.fields)
			}
		})
	}
}

// Numbers, booleans and dates are compared by value, all other text by its characters.
func TestPlanComparesByValue(t *testing.T) {
	schema := parseSchema(t, `{"properties":{"n":{"type":"number"},"ok":{"type":"boolean"},"at":{"type":"datetime"},"on":{"type":"date"},
		"s":{"type":"string"},"list":{"type":"number","array":true},"times":{"type":"datetime","array":true}}}`)
	for _, c := range []struct {
		field, sent, stored string
		same                bool
	}{
		{"metadata.n", `1`, "1.0", true}, {"metadata.n", `1.0`, "1", true}, {"metadata.n", `1000`, "1e3", true}, {"metadata.n", `1E+3`, "1000.000", true},
		{"metadata.n", `-0`, "0", true}, {"metadata.n", `1`, "1.0000000000000001", false}, {"metadata.n", `16`, "0x10", false},
		{"metadata.n", `0.5`, "1/2", false}, {"metadata.n", `1`, " 1", false}, {"metadata.n", `1`, "true", false}, {"metadata.n", `1`, "one", false},
		{"metadata.n", `9007199254740993`, "9007199254740993", true}, {"metadata.n", `9007199254740993`, "9007199254740992", false},
		{"metadata.n", `9007199254740993`, "9.007199254740993e15", true}, {"metadata.n", `1e999`, "1e999", true}, {"metadata.n", `1e999`, "10e998", false},
		{"metadata.n", `"1"`, "1", true}, {"metadata.n", `"1"`, "1.0", false}, {"metadata.n", `1.10`, "1.1", true},
		{"metadata.ok", `true`, "true", true}, {"metadata.ok", `true`, "TRUE", true}, {"metadata.ok", `false`, "False", true},
		{"metadata.ok", `true`, "1", false}, {"metadata.ok", `true`, "false", false}, {"metadata.ok", `"true"`, "TRUE", false},
		{"metadata.at", `"2026-01-01T00:00:00Z"`, "2026-01-01T00:00:00.000Z", true}, {"metadata.at", `"2026-01-01T01:00:00+01:00"`, "2026-01-01T00:00:00Z", true},
		{"metadata.at", `"2026-01-01T01:00:00.0+0100"`, "2026-01-01T00:00:00Z", true}, {"metadata.at", `"2026-01-01"`, "2026-01-01T00:00:00.000Z", true},
		{"metadata.at", `"2026-01-01T00:00:00.001Z"`, "2026-01-01T00:00:00.000Z", false}, {"metadata.at", `"2026-01-01T00:00:00"`, "2026-01-01T00:00:00Z", false},
		{"metadata.on", `"2026-01-01"`, "2026-01-01T00:00:00Z", true}, {"metadata.on", `"2026-01-01"`, "2026-01-02", false},
		{"metadata.s", `"2026-01-01"`, "2026-01-01T00:00:00Z", false}, {"metadata.s", `"1.0"`, "1", false}, {"metadata.s", `"a"`, "a ", false},
		{"metadata.s", `"A"`, "a", false}, {"metadata.s", `"\u00e9"`, "e\u0301", false}, {"metadata.s", `"a\r\nb"`, "a\r\nb", true}, {"metadata.s", `"a\nb"`, "a\r\nb", false},
		{"metadata.list", `[1,2]`, "[1.0, 2e0]", true}, {"metadata.list", `[1,2]`, "[2,1]", false}, {"metadata.list", `[1]`, "1", false}, {"metadata.list", `[]`, "[]", true},
		{"metadata.times", `["2026-01-01"]`, `["2026-01-01T00:00:00Z"]`, true},
		{"birthdate", `"2001-02-03"`, "2001-02-03T00:00:00.000Z", true}, {"birthdate", `"2001-02-03"`, "2001-02-02T23:00:00Z", false},
		{"description", `"2001-02-03"`, "2001-02-03T00:00:00Z", false}, {"phone", `"+1 5"`, "+15", false}, {"name", `"1"`, "1.0", false},
	} {
		t.Run(fmt.Sprintf("%s %s %s", c.field, c.sent, c.stored), func(t *testing.T) {
			var file strings.Builder
			w := csv.NewWriter(&file)
			w.WriteAll([][]string{{"source_id", c.field}, {"1", c.stored}})
			existing, err := importer.ReadExisting(strings.NewReader(file.String()), schema, false)
			if err != nil {
				t.Fatal(err)
			}
			defer existing.Close()
			customer := fmt.Sprintf(`{"source_id":"1","%s":%s}`, c.field, c.sent)
			if key, isMetadata := strings.CutPrefix(c.field, "metadata."); isMetadata {
				customer = fmt.Sprintf(`{"source_id":"1","metadata":{"%s":%s}}`, key, c.sent)
			}
			d, err := existing.Compare(t.Context(), []byte(customer))
			if err != nil || (d.Kind == importer.Unchanged) != c.same || d.Kind != importer.Unchanged && d.Kind != importer.ChangeFields {
				t.Errorf("%s, %v, want the same: %v", d.Kind, err, c.same)
			}
		})
	}
}

// An export that Voucherify cannot make is an error, and one that it takes long for is
// waited for. One whose download ends in half a row is downloaded again.
func TestTakeExport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Exports: exports(sandbox.ExportOptions{Delay: 100e9})})
		if n := w.export(nil).Unseen(); n != 0 {
			t.Errorf("%d customers of none", n)
		}
		if log := w.log.String(); strings.Count(log, "waiting for Voucherify to make the export") != 1 || !strings.Contains(log, "status=IN_PROGRESS") {
			t.Errorf("log of 100 s:\n%s", log)
		}
		w = newWorld(t, sandbox.Options{Exports: exports(sandbox.ExportOptions{Fails: true})})
		_, vch := sandboxtest.Clients(t, w, sandboxtest.NoNetwork)
		var failed *importer.ExportError
		if _, err := importer.TakeExport(t.Context(), vch, w.download, nil, slog.New(slog.DiscardHandler)); !errors.As(err, &failed) {
			t.Errorf("error %v, want that of an export", err)
		}
		w = newWorld(t, sandbox.Options{Profiles: 20, Plain: true, Identified: 1, Exports: exports(sandbox.ExportOptions{})})
		if err := w.importer().Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, vch = sandboxtest.Clients(t, w, sandboxtest.NoNetwork)
		downloads := 0
		existing, err := importer.TakeExport(t.Context(), vch, func(ctx context.Context, req *http.Request, into *os.File) error {
			err := w.download(ctx, req, into)
			if downloads++; downloads == 1 {
				data, _ := io.ReadAll(into)
				into.Truncate(int64(bytes.LastIndexByte(data, ',')))
			}
			return err
		}, nil, slog.New(slog.DiscardHandler))
		if err != nil || existing.Unseen() != 20 || downloads != 2 {
			t.Fatalf("%v customers after %d downloads, error %v", existing, downloads, err)
		}
		defer existing.Close()
		ids := 0
		for _, err := range existing.UnseenIDs() {
			if ids++; err != nil {
				t.Fatal(err)
			}
		}
		if ids != 20 {
			t.Errorf("%d source ids of customers that were not asked for, want 20", ids)
		}
	})
}

// A metadata key of the schema that the export has no column of is not comparable, and
// a key that no customer of a column of JSON has is empty.
func TestPlanKnowsWhatTheExportHas(t *testing.T) {
	schema := parseSchema(t, `{"properties":{"plan":{"type":"string"},"size":{"type":"number"}}}`)
	for _, c := range []struct {
		name, export, customer string
		kind                   importer.Kind
	}{
		{"no column", "source_id,name\n1,Ada\n", `{"source_id":"1","metadata":{"plan":"pro"}}`, importer.NotComparable},
		{"a column of another key", "source_id,metadata.size\n1,2\n", `{"source_id":"1","metadata":{"plan":"pro"}}`, importer.NotComparable},
		{"an empty column", "source_id,metadata.plan\n1,\n", `{"source_id":"1","metadata":{"plan":"pro"}}`, importer.ChangeFields},
		{"an empty column of JSON", "source_id,metadata\n1,\n", `{"source_id":"1","metadata":{"plan":"pro"}}`, importer.ChangeFields},
		{"not in the schema", "source_id,metadata\n1,{}\n", `{"source_id":"1","metadata":{"other":"pro"}}`, importer.NotComparable},
	} {
		t.Run(c.name, func(t *testing.T) {
			existing, err := importer.ReadExisting(strings.NewReader(c.export), schema, false)
			if err != nil {
				t.Fatal(err)
			}
			defer existing.Close()
			if d, err := existing.Compare(t.Context(), []byte(c.customer)); err != nil || d.Kind != c.kind {
				t.Errorf("%s, %v, want %s", d.Kind, err, c.kind)
			}
		})
	}
}

// Two customers with one source id make an export useless.
func TestReadExistingOfTheSameTwice(t *testing.T) {
	_, err := importer.ReadExisting(strings.NewReader("source_id,name\na,1\nb,2\n,3\na,4\n"), nil, false)
	if want := "the customers 1 and 4 of the export have the same source_id"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}
