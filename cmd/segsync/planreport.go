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
	Space         string                               `json:"space"`
	Identifier    string                               `json:"identifier"`
	Sample        *planSample                          `json:"sample"` // null: all profiles
	Counts        planCounts                           `json:"counts"`
	Changes       map[string]importer.FieldChanges     `json:"changes"`               // customers by field
	NotComparable map[string]int                       `json:"not_comparable_fields"` // customers by field
	Rejected      map[string]map[string]int            `json:"rejected"`              // customers by metadata key and reason
	LeftOut       map[string]map[string]int            `json:"left_out"`              // likewise, of what is not sent
	BulkCalls     planCosts                            `json:"bulk_calls"`
	Customers     planCosts                            `json:"customers"`
	Estimate      *planEstimate                        `json:"estimate"` // null: of a sample
	Coverage      planCoverage                         `json:"coverage"`
	Examples      map[importer.Kind][]importer.Example `json:"examples,omitempty"`

	from, target string
	reserve      float64
	allTypes     bool
	cleared      map[string]int // customers that are sent with null for a field, whatever Voucherify has
}

// planSample says that a plan is of the first profiles only.
type planSample struct {
	Profiles int `json:"profiles"`
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

// planCosts are of an import, and of one with --only-changes.
type planCosts struct {
	All         int `json:"all"`
	OnlyChanges int `json:"only_changes"`
}

// planCoverage is what the profiles have.
type planCoverage struct {
	*importer.Coverage
	Missing []missing `json:"missing_traits"` // of the mapping
}

func newPlanReport(s *session, plan *importer.Plan) *planReport {
	state, n, set := s.importer.State(), plan.Counts, s.apis.settings
	c := planCounts{
		Create: n[importer.Create], Change: n[importer.ChangeFields], Clear: n[importer.ClearFields],
		Unchanged: n[importer.Unchanged], NotComparable: n[importer.NotComparable], Rejected: n[importer.Rejected],
		WithoutIdentifier: state.Count(journal.WithoutIdentifier), Filtered: state.Count(journal.Filtered),
		Vanished: state.Count(journal.Vanished), Merged: state.Count(journal.Merged), Unreadable: state.Count(journal.Unreadable),
	}
	all, changes := plan.Cost()
	coverage := plan.Coverage()
	leftOut := state.Details.LeftOut
	if leftOut == nil {
		leftOut = map[string]map[string]int{}
	}
	return &planReport{
		Space: state.Space, Identifier: set.identifier(), Counts: c, Changes: plan.Changes, NotComparable: plan.NotComparable,
		Rejected: plan.Rejected, LeftOut: leftOut, Examples: plan.Examples,
		BulkCalls: planCosts{all.BulkCalls, changes.BulkCalls}, Customers: planCosts{all.Customers, changes.Customers},
		Coverage: planCoverage{coverage, missingTraits(coverage, set.mapping, set.mappingFile == "")},
		cleared:  state.Details.Cleared,
		from:     s.source(), target: s.target(), reserve: set.reserve, allTypes: s.extent.limit > 0 && s.run.settings.fromAPI(),
	}
}

// differs reports whether an import would create, change or clear something.
func (r *planReport) differs() bool { return r.Counts.Create+r.Counts.Change+r.Counts.Clear > 0 }

// show prints the report.
func (r *planReport) show(to *page, asJSON bool) error {
	if asJSON {
		return printJSON(to, r)
	}
	to.linef("%s  →  %s", safetext.Text(r.from), safetext.Text(r.target))
	to.linef("source_id from %s", safetext.Text(r.Identifier))
	if r.Sample != nil {
		to.linef("a sample of the first %s profiles: all numbers are of these", number(r.Sample.Profiles))
	}
	fmt.Fprintln(to)
	r.printCounts(to)
	r.printCost(to)
	r.printCoverage(to)
	r.printExamples(to)
	return nil
}

func (r *planReport) printCounts(to *page) {
	var rows []screen.Row
	line := func(label string, n int, note string, always bool) {
		rows = append(rows, screen.Row{Name: label, Number: int64(n), Note: note, Always: always})
	}
	c := &r.Counts
	line("create", c.Create, "", true)
	line("change", c.Change, r.byField(func(f importer.FieldChanges) int { return f.Change }), true)
	line("clear", c.Clear, r.byField(func(f importer.FieldChanges) int { return f.Clear }), true)
	line("unchanged", c.Unchanged, "", true)
	line("not comparable", c.NotComparable, mostFirst(r.NotComparable), false)
	line("rejected?", c.Rejected, mostFirst(byReason(r.Rejected, " (schema)")), false)
	line("without id", c.WithoutIdentifier, "", true)
	line("filtered", c.Filtered, "", false)
	line("vanished", c.Vanished, "", false)
	line("merged", c.Merged, "", false)
	line("unreadable", c.Unreadable, "", false)
	if c.OnlyInVoucherify != nil {
		line("only in Voucherify", *c.OnlyInVoucherify, "(--orphans FILE lists them)", false)
	}
	screen.Table(to, to.columns(), to.style, screen.Head{}, rows)
	if text := mostFirst(byReason(r.LeftOut, "")); text != "" {
		to.linef("\nleft out of what is sent: %s", text)
	}
}

// printLimits names the fields that an import would not clear in as many customers.
func (r *planReport) printLimits(to *page) {
	allowed := importer.ClearsAllowed(r.Customers.All)
	for _, field := range slices.Sorted(maps.Keys(r.cleared)) {
		if n := r.cleared[field]; n > allowed && r.Sample == nil {
			to.marked(screen.MarkAttention, 2, fmt.Sprintf("an import would stop: %s customers are sent with %s cleared, and %s are allowed without --max-clears",
				number(n), safetext.Line(field), number(allowed)))
		}
	}
}

func (r *planReport) printCoverage(to *page) {
	fmt.Fprintln(to)
	r.printLimits(to)
	for _, miss := range r.Coverage.Missing {
		to.marked(screen.MarkAttention, 2, fmt.Sprintf("no profile has the trait %s, which %s reads: %s", safetext.Line(miss.Trait), miss.Field, miss.hint()))
	}
	for _, text := range wrongTypes(r.Coverage.Coverage) {
		to.marked(screen.MarkAttention, 2, safetext.Line(text))
	}
	to.line(2, identifierAdvice(r.Coverage.Coverage, r.Identifier, r.allTypes))
	printCoverage(to, r.Coverage.Coverage)
}

func (r *planReport) printExamples(to *page) {
	for _, kind := range slices.Sorted(maps.Keys(r.Examples)) {
		for _, e := range r.Examples[kind] {
			to.linef("\n%s %s", strings.ReplaceAll(string(kind), "_", " "), safetext.Line(e.SourceID))
			for _, change := range e.Changes {
				printField(to, change.Field, inOneLine(change.Old)+" → "+inOneLine(change.New))
			}
			for _, field := range e.NotComparable {
				printField(to, field, "not comparable")
			}
		}
	}
}

// byField counts the customers by field.
func (r *planReport) byField(of func(importer.FieldChanges) int) string {
	counts := make(map[string]int)
	for field, n := range r.Changes {
		counts[field] += of(n)
	}
	return mostFirst(counts)
}

// byReason makes one count of those of metadata keys by reason.
func byReason(keys map[string]map[string]int, end string) map[string]int {
	counts := make(map[string]int)
	for key, reasons := range keys {
		for reason, n := range reasons {
			counts["metadata."+safetext.Cut(key, 40)+": "+safetext.Cut(reason, 60)+end] += n
		}
	}
	return counts
}

// mostFirst lists counts, the largest first: phone 201 · name 4.
func mostFirst(counts map[string]int) string {
	const shown = 8
	var parts []string
	for _, key := range slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(counts[b]-counts[a], strings.Compare(a, b))
	}) {
		if counts[key] > 0 {
			parts = append(parts, safetext.Cut(key, 120)+" "+number(counts[key]))
		}
	}
	if more := len(parts) - shown; more > 0 {
		parts = append(parts[:shown], fmt.Sprintf("and %d more (--json shows all)", more))
	}
	return strings.Join(parts, " · ")
}

func number(n int) string { return screen.Number(int64(n)) }
