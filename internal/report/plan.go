package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"segsync/importer"
	"segsync/importer/coverage"
	"segsync/importer/journal"
	"segsync/importer/mapping"
	"segsync/importer/outcome"
	"segsync/importer/sink/plan"
	"segsync/internal/safetext"
	"segsync/internal/term"
)

// Plan is what segsync plan prints; docs/plan.schema.json describes its JSON.
type Plan struct {
	Space         string                       `json:"space"`
	Identifier    string                       `json:"identifier"`
	Sample        *Sample                      `json:"sample"` // null: all profiles
	Counts        PlanCounts                   `json:"counts"`
	Changes       map[string]plan.FieldChanges `json:"changes"`               // customers by field
	NotComparable map[string]int               `json:"not_comparable_fields"` // customers by field
	Asked         Asked                        `json:"asked_one_by_one"`      // of those that an export cannot be compared with
	Rejected      map[string]map[string]int    `json:"rejected"`              // customers by metadata key and reason
	LeftOut       map[string]map[string]int    `json:"left_out"`              // likewise, of what is not sent
	BulkCalls     PlanCosts                    `json:"bulk_calls"`
	Customers     PlanCosts                    `json:"customers"`
	Estimate      *Estimate                    `json:"estimate"` // null: of a sample
	Coverage      PlanCoverage                 `json:"coverage"`
	Examples      map[plan.Kind][]plan.Example `json:"examples,omitempty"`

	Facts PlanFacts `json:"-"`
}

// PlanFacts are what the print of a plan needs beside its numbers.
type PlanFacts struct {
	SampleCommand string // that reads all traits of some profiles
	From, To      string
	MappingFile   string // "" for the default mapping
	Mapping       mapping.Mapping
	Reserve       float64 // share of the quotas that is left to others
	ReadsAllTypes bool    // external IDs of every type were read
	BatchAdvice   string  // how a larger batch saves bulk calls, "" for not at all

	cleared    map[string]int // customers that are sent with null for a field, whatever Voucherify has
	birthdates int            // that would be sent as null
}

// Sample says that a plan is of the first profiles only.
type Sample struct {
	Profiles int `json:"profiles"`
}

// PlanCounts add up to the profiles read, without OnlyInVoucherify.
type PlanCounts struct {
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

// Asked says what was found of the customers that were asked for one by one.
type Asked struct{ plan.Asked }

// MarshalJSON has the numbers only.
func (a Asked) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]int{"customers": a.Customers, "differ": a.Differ})
}

// PlanCosts are of an import, and of one with --only-changes.
type PlanCosts struct {
	All         int `json:"all"`
	OnlyChanges int `json:"only_changes"`
}

// PlanCoverage is what the profiles have.
type PlanCoverage struct {
	*coverage.Coverage
	Missing []missing `json:"missing_traits"` // of the mapping
}

// NewPlan returns the report of a plan.
func NewPlan(s *journal.State, p *plan.Plan, seen *coverage.Coverage, facts PlanFacts) *Plan {
	n := p.Counts
	all, changes := p.Cost()
	leftOut := s.Details.LeftOut
	if leftOut == nil {
		leftOut = map[string]map[string]int{}
	}
	facts.cleared, facts.birthdates = s.Details.Cleared, s.Details.Birthdates
	return &Plan{
		Space: s.Space, Identifier: s.Identifier, Changes: p.Changes, NotComparable: p.NotComparable,
		Counts: PlanCounts{
			Create: n[plan.Create], Change: n[plan.ChangeFields], Clear: n[plan.ClearFields],
			Unchanged: n[plan.Unchanged], NotComparable: n[plan.NotComparable], Rejected: n[plan.Rejected],
			WithoutIdentifier: s.Count(outcome.WithoutIdentifier), Filtered: s.Count(outcome.Filtered),
			Vanished: s.Count(outcome.Vanished), Merged: s.Count(outcome.Merged), Unreadable: s.Count(outcome.Unreadable),
		},
		Rejected: p.Rejected, LeftOut: leftOut, Examples: p.Examples,
		BulkCalls: PlanCosts{all.BulkCalls, changes.BulkCalls}, Customers: PlanCosts{all.Customers, changes.Customers},
		Coverage: PlanCoverage{seen, missingTraits(seen, facts.Mapping, facts.MappingFile == "")},
		Facts:    facts,
	}
}

// Differs reports whether an import would create, change or clear something.
func (r *Plan) Differs() bool { return r.Counts.Create+r.Counts.Change+r.Counts.Clear > 0 }

// IsDoubtful reports whether more than one percent of the customers cannot be compared.
func (r *Plan) IsDoubtful() bool {
	c := &r.Counts
	return 100*c.NotComparable > c.Create+c.Change+c.Clear+c.Unchanged+c.NotComparable+c.Rejected
}

// comparability says in one line why customers are not comparable, and what was found of those that were
// asked for; "" where there is nothing to say.
func (r *Plan) comparability() string {
	left, asked := r.Counts.NotComparable, r.Asked
	if left+asked.Customers == 0 {
		return ""
	}
	text := fmt.Sprintf("an export lacks fields of %s, such as metadata that the schema does not define", term.Count(left+asked.Customers, "customer"))
	switch {
	case asked.Refused != nil:
		text += "; the key may not read single customers"
	case asked.Customers > 0:
		text += fmt.Sprintf(": of %s looked at one by one, %s differ", term.Number(asked.Customers), term.Number(asked.Differ))
		if left > 0 {
			each := asked.Took / time.Duration(asked.Customers)
			text += fmt.Sprintf("; --compare-all looks at each, %s more", About(each*time.Duration(left)))
		}
	}
	return text
}

// Print prints the plan for people.
func (r *Plan) Print(to *term.Printer) {
	to.Title(r.Facts.From + "  →  " + r.Facts.To)
	to.Linef("source_id from %s", r.Identifier)
	if r.Sample != nil {
		to.Linef("a sample of the first %s: all numbers are of these", term.Count(r.Sample.Profiles, "profile"))
	}
	to.Linef("")
	r.printCounts(to)
	r.printCost(to)
	r.printCoverage(to)
	r.printExamples(to)
}

func (r *Plan) printCounts(to *term.Printer) {
	var rows []term.Row
	line := func(label string, n int, note string, always bool) {
		if n > 0 || always {
			rows = append(rows, term.Row{Cells: []string{label, term.Number(n), note}})
		}
	}
	c := &r.Counts
	line("create", c.Create, "", true)
	line("change", c.Change, r.byField(func(f plan.FieldChanges) int { return f.Change }), true)
	line("clear", c.Clear, r.byField(func(f plan.FieldChanges) int { return f.Clear }), true)
	line("unchanged", c.Unchanged, "", true)
	line("not comparable", c.NotComparable, largestFirst(r.NotComparable), false)
	line("rejected?", c.Rejected, largestFirst(byReason(r.Rejected, " (schema)")), false)
	line("without id", c.WithoutIdentifier, "", true)
	line("filtered", c.Filtered, "", false)
	line("vanished", c.Vanished, "", false)
	line("merged", c.Merged, "", false)
	line("unreadable", c.Unreadable, "", false)
	if c.OnlyInVoucherify != nil {
		line("only in Voucherify", *c.OnlyInVoucherify, "(--orphans FILE writes their source ids)", false)
	}
	to.Table(nil, rows)
	if n := r.Facts.birthdates; n > 0 {
		to.Linef("\n%s would be sent as null, because they are in another form; to accept it, set formats in the mapping", term.Count(n, "birthdate"))
	}
	if text := r.comparability(); text != "" {
		to.Linef("\n%s", text)
	}
	if text := largestFirst(byReason(r.LeftOut, "")); text != "" {
		to.Linef("\nleft out of what is sent: %s", text)
	}
	if text := largestFirst(r.Coverage.Transformed); text != "" {
		to.Linef("\nchanged by the mapping: %s", text)
	}
	gone := make(map[string]int)
	for field, n := range r.Coverage.Gone {
		gone[field+" removed"], gone[field+" unknown"] = n.Removed, n.Unknown
	}
	if text := largestFirst(gone); text != "" {
		to.Linef("\nclear, where the traits are absent: %s", text)
	}
}

// printLimits names the fields that an import would not clear in as many customers.
func (r *Plan) printLimits(to *term.Printer) {
	allowed := importer.ClearsAllowed(r.Customers.All)
	for _, field := range slices.Sorted(maps.Keys(r.Facts.cleared)) {
		if n := r.Facts.cleared[field]; n > allowed && r.Sample == nil {
			to.Marked(term.MarkAttention, fmt.Sprintf("an import would stop: %s customers are sent with %s cleared, and %s are allowed without --max-clears",
				term.Number(n), safetext.Line(field), term.Number(allowed)))
		}
	}
}

func (r *Plan) printCoverage(to *term.Printer) {
	to.Linef("")
	r.printLimits(to)
	for _, miss := range r.Coverage.Missing {
		to.Marked(term.MarkAttention, fmt.Sprintf("no profile has the trait %s, which %s reads: %s", safetext.Line(miss.Trait), miss.Field, miss.hint()))
	}
	if r.Sample == nil && slices.ContainsFunc(r.Coverage.Missing, func(m missing) bool { return len(m.Near) == 0 }) {
		to.Linef("  %s reads all traits, and proposes names that are similar", r.Facts.SampleCommand)
	}
	for _, text := range wrongTypes(r.Coverage.Coverage) {
		to.Marked(term.MarkAttention, safetext.Line(text))
	}
	to.Linef("%s", identifierAdvice(r.Coverage.Coverage, r.Identifier, r.Facts.ReadsAllTypes))
	printCoverage(to, r.Coverage.Coverage)
}

func (r *Plan) printExamples(to *term.Printer) {
	for _, kind := range slices.Sorted(maps.Keys(r.Examples)) {
		for _, e := range r.Examples[kind] {
			to.Linef("\n%s %s", strings.ReplaceAll(string(kind), "_", " "), safetext.Line(e.SourceID))
			for _, change := range e.Changes {
				PrintField(to, change.Field, InOneLine(change.Old)+" → "+InOneLine(change.New))
			}
			for _, field := range e.NotComparable {
				PrintField(to, field, "not comparable")
			}
		}
	}
}

// byField counts the customers by field.
func (r *Plan) byField(of func(plan.FieldChanges) int) string {
	counts := make(map[string]int)
	for field, n := range r.Changes {
		counts[field] += of(n)
	}
	return largestFirst(counts)
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

// largestFirst lists counts, the largest first: phone 201 · name 4.
func largestFirst(counts map[string]int) string {
	const shown = 8
	var parts []string
	for _, key := range slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(counts[b]-counts[a], strings.Compare(a, b))
	}) {
		if counts[key] > 0 {
			parts = append(parts, safetext.Cut(key, 120)+" "+term.Number(counts[key]))
		}
	}
	if more := len(parts) - shown; more > 0 {
		parts = append(parts[:shown], fmt.Sprintf("and %d more (--json shows all)", more))
	}
	return strings.Join(parts, " · ")
}

// PrintField prints a field of a profile or of a customer.
func PrintField(to *term.Printer, name, value string) { to.Linef("  %-20s %s", name, value) }

// InOneLine returns the JSON of a value, without what could change a terminal, cut to
// what fits a line or two.
func InOneLine(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	return safetext.Cut(string(data), 120)
}
