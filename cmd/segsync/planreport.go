package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"segsync/importer"
	"segsync/importer/journal"
	"segsync/internal/safetext"
	"segsync/internal/screen"
)

// planReport is what segsync plan prints; docs/plan.schema.json describes its JSON.
type planReport struct {
	Space      string                               `json:"space"`
	Identifier string                               `json:"identifier"`
	Counts     planCounts                           `json:"counts"`
	Changes    map[string]importer.FieldChanges     `json:"changes"`  // customers by field
	Rejected   map[string]map[string]int            `json:"rejected"` // customers by metadata key and reason
	BulkCalls  planCalls                            `json:"bulk_calls"`
	Examples   map[importer.Kind][]importer.Example `json:"examples,omitempty"`

	from, target string
}

// planCounts add up to the profiles read, without OnlyInVoucherify.
type planCounts struct {
	Create            int  `json:"create"`
	Change            int  `json:"change"`
	Clear             int  `json:"clear"`
	Unchanged         int  `json:"unchanged"`
	NotComparable     int  `json:"not_comparable"`
	Rejected          int  `json:"rejected"`
	WithoutIdentifier int  `json:"without_identifier"`
	Filtered          int  `json:"filtered"`
	Vanished          int  `json:"vanished"`
	Merged            int  `json:"merged"`
	Unreadable        int  `json:"unreadable"`
	OnlyInVoucherify  *int `json:"only_in_voucherify"` // null: not all profiles were read
}

// planCalls are the bulk calls that an import takes at least.
type planCalls struct {
	All         int `json:"all"`
	OnlyChanges int `json:"only_changes"`
}

func newPlanReport(s *session, plan *importer.Plan) *planReport {
	state, n := s.importer.State(), plan.Counts
	c := planCounts{
		Create: n[importer.Create], Change: n[importer.ChangeFields], Clear: n[importer.ClearFields],
		Unchanged: n[importer.Unchanged], NotComparable: n[importer.NotComparable], Rejected: n[importer.Rejected],
		WithoutIdentifier: state.Count(journal.WithoutIdentifier), Filtered: state.Count(journal.Filtered),
		Vanished: state.Count(journal.Vanished), Merged: state.Count(journal.Merged), Unreadable: state.Count(journal.Unreadable),
	}
	calls := func(customers int) int { return int(s.apis.settings.bulkCalls(int64(customers))) }
	all := c.sent()
	return &planReport{
		Space: state.Space, Identifier: s.apis.settings.identifier(), Counts: c, Changes: plan.Changes, Rejected: plan.Rejected,
		BulkCalls: planCalls{calls(all), calls(all - c.Unchanged)}, Examples: plan.Examples, from: s.source(), target: s.target(),
	}
}

// sent are the customers that an import sends.
func (c *planCounts) sent() int {
	return c.Create + c.Change + c.Clear + c.Unchanged + c.NotComparable + c.Rejected
}

// differs reports whether an import would create, change or clear something.
func (r *planReport) differs() bool { return r.Counts.Create+r.Counts.Change+r.Counts.Clear > 0 }

func (r *planReport) print(to *page) {
	to.linef("%s  →  %s", safetext.Text(r.from), safetext.Text(r.target))
	to.linef("source_id from %s\n", safetext.Text(r.Identifier))
	var rows []screen.Row
	line := func(label string, n int, note string, always bool) {
		rows = append(rows, screen.Row{Name: label, Number: int64(n), Note: note, Always: always})
	}
	c := &r.Counts
	line("create", c.Create, "", true)
	line("change", c.Change, r.byField(func(f importer.FieldChanges) int { return f.Change }), true)
	line("clear", c.Clear, r.byField(func(f importer.FieldChanges) int { return f.Clear }), true)
	line("unchanged", c.Unchanged, "", true)
	line("not comparable", c.NotComparable, "metadata that the project's schema does not define", false)
	line("rejected?", c.Rejected, r.rejected(), false)
	line("without id", c.WithoutIdentifier, "", true)
	line("filtered", c.Filtered, "", false)
	line("vanished", c.Vanished, "", false)
	line("merged", c.Merged, "", false)
	line("unreadable", c.Unreadable, "", false)
	if c.OnlyInVoucherify != nil {
		line("only in Voucherify", *c.OnlyInVoucherify, "(--orphans FILE lists them)", false)
	}
	screen.Table(to, to.columns(), to.style, screen.Head{}, rows)
	number := func(n int) string { return screen.Number(int64(n)) }
	to.linef("\nimporting this: %s bulk calls, %s customers; with --only-changes %s calls, %s customers",
		number(r.BulkCalls.All), number(c.sent()), number(r.BulkCalls.OnlyChanges), number(c.sent()-c.Unchanged))
	for _, kind := range slices.Sorted(maps.Keys(r.Examples)) {
		for _, e := range r.Examples[kind] {
			to.linef("\n%s %s", kind, safetext.Text(e.SourceID))
			for _, change := range e.Changes {
				printField(to, change.Field, inOneLine(change.Old)+" → "+inOneLine(change.New))
			}
		}
	}
}

// byField lists the fields with the most customers first: phone 201 · name 4.
func (r *planReport) byField(of func(importer.FieldChanges) int) string {
	counts := make(map[string]int)
	for field, n := range r.Changes {
		counts[safetext.Cut(field, 40)] += of(n)
	}
	return mostFirst(counts, " ")
}

func (r *planReport) rejected() string {
	counts := make(map[string]int)
	for key, reasons := range r.Rejected {
		for reason, n := range reasons {
			counts["metadata."+safetext.Cut(key, 40)+": "+safetext.Cut(reason, 60)+" (schema)"] += n
		}
	}
	return mostFirst(counts, " ")
}

func mostFirst(counts map[string]int, between string) string {
	const shown = 8
	var parts []string
	for _, key := range slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(counts[b]-counts[a], strings.Compare(a, b))
	}) {
		if counts[key] > 0 && len(parts) < shown {
			parts = append(parts, key+between+fmt.Sprint(counts[key]))
		}
	}
	return strings.Join(parts, " · ")
}
