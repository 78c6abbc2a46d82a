package importer_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"segsync/importer"
	"segsync/importer/journal"
	"segsync/importer/mapping"
	"segsync/internal/sandbox"
	"segsync/internal/sandboxtest"
	"segsync/profilessync"
)

// A plan counts the bulk calls that an import makes, and those of one of changes: batches
// that are full, and those that were sent because they waited too long.
func TestPlanCountsTheBulkCalls(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		profiles, batch, page int
		identified            float64
		every                 int // customer is changed before the plan
	}{
		{500, 20, 10, 1, 1}, {500, 20, 10, 1, 7}, {1500, 20, 10, 1, 300}, {1500, 100, 100, 0.1, 3}, {700, 50, 10, 0.05, 2}, {300, 20, 100, 1, 1000},
		{1000, 10, 7, 0.5, 40},
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
				im := w.importerOf(from("0"))
				im.SendOnlyChanges(w.export(nil))
				if err := im.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				if n := len(w.Bulk()); n != changes.BulkCalls || changes.BulkCalls == 0 || im.State().Count(journal.Confirmed) != changes.Customers {
					t.Errorf("%d bulk calls for %d changes, the plan said %+v", n, im.State().Count(journal.Confirmed), changes)
				}
			})
		})
	}
}

// The customers of profiles that are not sent are not taken for those that only Voucherify
// has; and where a profile could not be read, the read is not complete.
func TestPlanSeesWhatIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 100, Plain: true, Exports: exports(sandbox.ExportOptions{})})
		if err := w.importer().Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.settings.Mapping = withRules(t, `where: [{trait: email, like: "*.000001*@*"}]`)
		existing := w.export(nil)
		plan := w.plan(existing)
		if n := existing.Unseen(); n != 0 || plan.Counts[importer.NotComparable] != 10 {
			t.Errorf("%d customers that only Voucherify has, counts %v", n, plan.Counts)
		}
		w.On(`@7/traits`, sandboxtest.Status(500))
		w.settings.Plan = importer.NewPlan(w.export(nil), nil, nil, 0)
		w.names = journal.NewNames(t.TempDir(), "")
		im := w.importer()
		if err := im.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if im.State().Count(journal.Unreadable) != 1 || im.Complete() {
			t.Errorf("%d profiles that could not be read, complete: %v", im.State().Count(journal.Unreadable), im.Complete())
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
						w := newFromFile(t, sandbox.Options{Profiles: 300, Schema: []byte(schemaKeysOfSandbox), Exports: exports(sandbox.ExportOptions{})}, "")
						w.settings.Mapping, w.settings.MaxClears = withRules(t, lines), 1000
						start := from(importer.Beginning)
						if ofFile {
							w.write(string(ndjson(t, w.Box)))
							start.Identity = fileIdentity()
						}
						run := func(p *importer.Plan) *importer.Importer {
							if ofFile {
								file, err := profilessync.OpenFile(w.path)
								if err != nil {
									t.Fatal(err)
								}
								w.settings.From = importer.FromFile(file)
							}
							w.settings.Plan, w.names = p, journal.NewNames(t.TempDir(), "")
							im := w.importerOf(start)
							im.UseSchema(mapping.NewSchema(sandboxSchema(t)), strict)
							if err := im.Run(t.Context()); err != nil {
								t.Fatal(err)
							}
							return im
						}
						before := importer.NewPlan(w.export(sandboxSchema(t)), nil, nil, 0)
						planned := countsOf(run(before).State())
						imported := countsOf(run(nil).State())
						after := importer.NewPlan(w.export(sandboxSchema(t)), nil, nil, 3)
						run(after)

						sent := before.Counts[importer.Create]
						if len(before.Counts) != 1 || sent != imported.Confirmed {
							t.Errorf("before the import: %v, of which %d arrived", before.Counts, imported.Confirmed)
						}
						same := after.Counts[importer.Unchanged] + after.Counts[importer.NotComparable]
						if same != sent || len(after.Changes) > 0 || after.Counts[importer.Unchanged] == 0 {
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
