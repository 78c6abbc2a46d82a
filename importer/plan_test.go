package importer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"segsync/importer/journal"
	"segsync/importer/mapping"
	"segsync/importer/outcome"
	"segsync/importer/sink"
	"segsync/importer/sink/bulk"
	"segsync/importer/sink/plan"
	"segsync/internal/sandbox"
	"segsync/internal/sandboxtest"
	"segsync/profilessync"
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

const schemaKeysOfSandbox = `{"related_object":"customer","properties":{"lang":{"type":"string","optional":true},"loyalty":{"type":"string","optional":true},` +
	`"n":{"type":"number","optional":true},"at":{"type":"datetime","optional":true},"ok":{"type":"boolean","optional":true}}}`

func sandboxSchema(t testing.TB) *voucherify.MetadataSchema {
	t.Helper()
	schema := new(voucherify.MetadataSchema)
	if err := json.Unmarshal([]byte(schemaKeysOfSandbox), schema); err != nil {
		t.Fatal(err)
	}
	return schema
}

// export takes an export of the sandbox's customers.
func (w *world) export(schema *voucherify.MetadataSchema) *plan.Existing {
	w.t.Helper()
	_, vch := sandboxtest.Clients(w.t, w, sandboxtest.NoNetwork)
	existing, err := (&plan.Exporter{Voucherify: vch, Download: w.download, Schema: schema, Log: slog.New(slog.NewTextHandler(&w.log, nil))}).Take(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { existing.Close() })
	return existing
}

func (w *world) limits() *sink.BatchLimits {
	return sink.NewBatchLimits(w.settings.BatchSize, bulk.MaxBytes)
}

// plan returns what an import would do.
func (w *world) plan(existing *plan.Existing) *plan.Plan {
	w.t.Helper()
	names, set := w.names, w.settings
	defer func() { w.names, w.settings = names, set }()
	w.names, w.settings.Plan = journal.NewNames(w.t.TempDir(), ""), plan.New(existing, nil, nil, 3, w.limits(), false)
	im := w.importer()
	if err := im.Run(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.wantCounts(im, len(w.Profiles()))
	return w.settings.Plan
}

func exports(o sandbox.ExportOptions) sandbox.ExportOptions {
	o.DownloadURL = "http://127.0.0.1:9"
	return o
}

// A plan counts the bulk calls that an import makes, and those of one of changes: batches
// that are full, and those that were sent because they waited too long.
func TestPlanCountsTheBulkCalls(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		profiles, batch, page int
		identified            float64
		every                 int // customer is changed before the plan
	}{
		{300, 20, 10, 1, 1}, {300, 20, 10, 1, 40}, {600, 100, 100, 0.3, 3}, {400, 10, 7, 0.05, 2},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sandbox.Options{Profiles: c.profiles, Identified: c.identified, Exports: exports(sandbox.ExportOptions{}),
					Schema: []byte(schemaKeysOfSandbox)})
				w.settings.BatchSize, w.settings.PageSize = c.batch, c.page
				w.settings.Mapping = onlyRules(t, "name: name\nemail: email")
				all, _ := w.plan(w.export(nil)).Cost()
				if err := w.importer().Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				if n := len(w.Bulk()); n != all.BulkCalls || w.Box.Stats().Customers != all.Customers {
					t.Errorf("%d bulk calls for %d customers, the plan said %+v", n, w.Box.Stats().Customers, all)
				}
				_, vch := sandboxtest.Clients(t, w, sandboxtest.NoNetwork)
				for i, id := range slices.Sorted(maps.Keys(w.Box.Customers())) {
					if i%c.every == 0 {
						if err := vch.UpsertCustomer(t.Context(), fmt.Appendf(nil, `{"source_id":%q,"name":"somebody else"}`, id)); err != nil {
							t.Fatal(err)
						}
					}
				}
				_, changes := w.plan(w.export(nil)).Cost()
				w.ForgetBulk()
				im := w.importerOf(from(""))
				im.options.Existing = w.export(nil)
				if err := im.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				if n := len(w.Bulk()); n != changes.BulkCalls || changes.BulkCalls == 0 || im.State().Count(outcome.Confirmed) != changes.Customers {
					t.Errorf("%d bulk calls for %d changes, the plan said %+v", n, im.State().Count(outcome.Confirmed), changes)
				}
			})
		})
	}
}

// The customers of profiles that are not sent are not taken for those that only Voucherify
// has.
func TestPlanSeesWhatIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true, Exports: exports(sandbox.ExportOptions{})})
		if err := w.importer().Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.settings.Mapping = withRules(t, `where: [{trait: email, like: "*.000001*@*"}]`)
		existing := w.export(nil)
		found := w.plan(existing)
		if n := existing.Unseen(); n != 0 || found.Counts[plan.NotComparable] != 10 {
			t.Errorf("%d customers that only Voucherify has, counts %v", n, found.Counts)
		}
		w.On(`@7/traits`, sandboxtest.Status(500))
		w.settings.Plan = plan.New(w.export(nil), nil, nil, 0, w.limits(), false)
		w.names = journal.NewNames(t.TempDir(), "")
		im := w.importer()
		if err := im.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if im.State().Count(outcome.Unreadable) != 1 {
			t.Errorf("%d profiles that could not be read", im.State().Count(outcome.Unreadable))
		}
	})
}

// Before an import a plan creates all that it sends, after it there is nothing left to do but
// what cannot be compared, from wherever, whatever the mapping and the policy; and both count
// the same profiles in the same way.
func TestPlanImportPlanEveryWay(t *testing.T) {
	t.Parallel()
	const rules = `where: [{trait: email, not_like: "*7@*"}]` + "\n" + `clear: [phone, description, address.line_1, metadata.loyalty]`
	for _, ofFile := range []bool{false, true} {
		for _, strict := range []bool{false, true} {
			for _, lines := range []string{"", rules} {
				t.Run(fmt.Sprintf("file %v, strict %v, rules %v", ofFile, strict, lines != ""), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						w := newFromFile(t, sandbox.Options{Profiles: 150, Schema: []byte(schemaKeysOfSandbox), Exports: exports(sandbox.ExportOptions{})}, "")
						w.settings.Mapping, w.settings.MaxClears = withRules(t, lines), 1000
						start := from("")
						if ofFile {
							w.write(string(profileLines(t, w.Box)))
							start.Identity = fileIdentity()
						}
						run := func(p *plan.Plan) *process {
							if ofFile {
								file, err := profilessync.OpenFile(w.path)
								if err != nil {
									t.Fatal(err)
								}
								w.settings.Source = fromFileSource(file)
							}
							w.settings.Plan, w.names = p, journal.NewNames(t.TempDir(), "")
							im := w.importerOf(start)
							im.UseSchema(strict)
							if err := im.Run(t.Context()); err != nil {
								t.Fatal(err)
							}
							return im
						}
						before := plan.New(w.export(sandboxSchema(t)), nil, nil, 0, w.limits(), false)
						planned := countsOf(run(before).State())
						imported := countsOf(run(nil).State())
						after := plan.New(w.export(sandboxSchema(t)), nil, nil, 3, w.limits(), false)
						run(after)

						sent := before.Counts[plan.Create]
						if len(before.Counts) != 1 || sent != imported.Confirmed {
							t.Errorf("before the import: %v, of which %d arrived", before.Counts, imported.Confirmed)
						}
						same := after.Counts[plan.Unchanged] + after.Counts[plan.NotComparable]
						if same != sent || len(after.Changes) > 0 || after.Counts[plan.Unchanged] == 0 {
							t.Errorf("after the import: %v, %v, %+v; want %d unchanged", after.Counts, after.Changes, after.Examples, sent)
						}
						planned.Confirmed, planned.WouldSend = planned.WouldSend, 0
						if diff := cmp.Diff(imported, planned); diff != "" {
							t.Errorf("counts (-import +plan):\n%s", diff)
						}
					})
				})
			}
		}
	}
}

// A plan before an import creates all, one after it has nothing to do, for every shape of
// profile and every form of an export; and a second import of changes sends nothing.
func TestPlanImportPlan(t *testing.T) {
	t.Parallel()
	for i, header := range []sandbox.ExportHeader{sandbox.HeaderTitles, sandbox.HeaderFields, sandbox.HeaderMixed} {
		for j, form := range []sandbox.ExportMetadata{sandbox.MetadataJSON, sandbox.MetadataColumns, sandbox.MetadataKeys} {
			if i != j && !thorough() {
				continue
			}
			t.Run(fmt.Sprintf("header %d, metadata %d", header, form), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, sandbox.Options{Profiles: 150, Schema: []byte(schemaKeysOfSandbox),
						Exports: exports(sandbox.ExportOptions{Header: header, Metadata: form})})
					before := w.plan(w.export(sandboxSchema(t)))
					if len(before.Counts) != 1 || before.Counts[plan.Create] == 0 {
						t.Fatalf("before the import: %v", before.Counts)
					}
					im := w.importer()
					if err := im.Run(t.Context()); err != nil {
						t.Fatal(err)
					}
					after := w.plan(w.export(sandboxSchema(t)))
					sent := before.Counts[plan.Create]
					if n := after.Counts[plan.Unchanged] + after.Counts[plan.NotComparable]; n != sent || len(after.Changes) > 0 ||
						after.Counts[plan.Unchanged] == 0 {
						t.Errorf("after the import: %v, %v, %+v; want %d unchanged", after.Counts, after.Changes, after.Examples, sent)
					}
					w.ForgetBulk()
					im = w.importerOf(from(""))
					im.options.Existing = w.export(sandboxSchema(t))
					if err := im.Run(t.Context()); err != nil {
						t.Fatal(err)
					}
					w.wantConfirmed(im, 150)
					if n := im.State().Count(outcome.Unchanged); n != after.Counts[plan.Unchanged] {
						t.Errorf("%d unchanged, want %d", n, after.Counts[plan.Unchanged])
					}
					if after.Counts[plan.NotComparable] == 0 && len(w.Bulk()) > 0 {
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
	for seed := range seeds(6, 1) {
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
						im.options.Existing = w.export(sandboxSchema(t))
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
		var failed *plan.ExportError
		if _, err := (&plan.Exporter{Voucherify: vch, Download: w.download, Log: slog.New(slog.DiscardHandler)}).Take(t.Context()); !errors.As(err, &failed) {
			t.Errorf("error %v, want that of an export", err)
		}
		w = newWorld(t, sandbox.Options{Profiles: 20, Plain: true, Identified: 1, Exports: exports(sandbox.ExportOptions{})})
		if err := w.importer().Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, vch = sandboxtest.Clients(t, w, sandboxtest.NoNetwork)
		downloads := 0
		download := func(ctx context.Context, req *http.Request, into *os.File) error {
			err := w.download(ctx, req, into)
			if downloads++; downloads == 1 {
				data, _ := io.ReadAll(into)
				into.Truncate(int64(bytes.LastIndexByte(data, ',')))
			}
			return err
		}
		existing, err := (&plan.Exporter{Voucherify: vch, Download: download, Log: slog.New(slog.DiscardHandler)}).Take(t.Context())
		if err != nil || existing.Unseen() != 20 || downloads != 2 {
			t.Fatalf("%v customers after %d downloads, error %v", existing, downloads, err)
		}
		defer existing.Close()
		ids := 0
		for _, err := range existing.Orphans() {
			if ids++; err != nil {
				t.Fatal(err)
			}
		}
		if ids != 20 {
			t.Errorf("%d source ids of customers that were not asked for, want 20", ids)
		}
	})
}
