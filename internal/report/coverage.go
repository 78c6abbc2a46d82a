package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"segsync/importer/coverage"
	"segsync/importer/mapping"
	"segsync/internal/safetext"
	"segsync/internal/similar"
	"segsync/internal/term"
)

// missing is a trait of the mapping that no profile has.
type missing struct {
	Trait string   `json:"trait"`
	Field string   `json:"field"` // that it becomes
	Near  []string `json:"near"`  // traits of nearly the same name that profiles have
}

func (m missing) hint() string {
	if len(m.Near) == 0 {
		return "is the name right?"
	}
	return "did you mean " + safetext.Line(strings.Join(m.Near, ", ")) + "?"
}

// missingTraits returns the traits of the mapping that no profile has. Of the default
// mapping, which knows many names, only those count that are near one that profiles have.
func missingTraits(c *coverage.Coverage, m mapping.Mapping, isDefault bool) []missing {
	all := []missing{}
	for _, miss := range c.Unknown(m) {
		if isDefault && len(miss.Near) == 0 {
			continue
		}
		all = append(all, missing{miss.Trait, miss.Field, append([]string{}, miss.Near...)})
	}
	return all
}

// wrongTypes says which conditions of the mapping never hold, or always, because the trait
// has values of another type.
func wrongTypes(c *coverage.Coverage) []string {
	var all []string
	for _, condition := range c.Conditions {
		if condition.Present == 0 || condition.OtherType < condition.Present {
			continue
		}
		holds := "never holds"
		if condition.Negative {
			holds = "always holds"
		}
		all = append(all, fmt.Sprintf("the condition %s %s: all %s profiles that have the trait have a value of another type",
			condition.Condition, holds, term.Number(condition.Present)))
	}
	return all
}

// identifierAdvice compares the identifiers that are set with the type of external ID that
// most profiles have. allTypes says that external IDs of every type were read.
func identifierAdvice(c *coverage.Coverage, set string, allTypes bool) string {
	best := ""
	for _, idType := range slices.Sorted(maps.Keys(c.Types)) {
		if idType != "anonymous_id" && (best == "" || c.Types[idType].Have > c.Types[best].Have) {
			best = idType
		}
	}
	advice := fmt.Sprintf("IDENTIFIER_SAVED_AS_SOURCE_ID=%s gives %s of %s profiles a source_id", set, term.Number(c.Identified()), term.Number(c.Profiles))
	if near := similar.Find(set, slices.Sorted(maps.Keys(c.Types)), 1); len(near) > 0 && c.Identified() == 0 && near[0] != set {
		return fmt.Sprintf("%s; did you mean %s, which %s have?", advice, safetext.Text(near[0]), term.Number(c.Types[near[0]].Have))
	}
	switch {
	case c.Types[best].Have > c.Identified():
		return fmt.Sprintf("%s; %s would give %s one.", advice, safetext.Text(best), term.Number(c.Types[best].Have))
	case allTypes:
		return advice + "; no other type of external ID gives more."
	}
	return advice + "."
}

// printCoverage prints what profiles have, and what the mapping makes of it.
func printCoverage(to *term.Printer, c *coverage.Coverage) {
	var types []counted
	for _, idType := range slices.Sorted(maps.Keys(c.Types)) {
		types = append(types, counted{safetext.Line(idType), []int{c.Types[idType].Have, c.Types[idType].Several}})
	}
	listCounted(to, "external ID type", []string{"have", "several"}, types)
	printCounts(to, "field of the customers", c.Fields, 30)
	printCounts(to, "trait that the mapping reads", c.Mapped, 30)
	printCounts(to, "trait that it leaves out", c.LeftOut, 15)
	printCounts(to, "warning", c.Kinds, 30)
}

// printCounts prints the most frequent of the counts.
func printCounts(to *term.Printer, title string, counts map[string]int, limit int) {
	keys := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(counts[b]-counts[a], strings.Compare(a, b))
	})
	if len(keys) == 0 {
		return
	}
	var rows []counted
	for _, key := range keys[:min(len(keys), limit)] {
		rows = append(rows, counted{safetext.Cut(key, 100), []int{counts[key]}})
	}
	listCounted(to, title, []string{"have"}, rows)
	if more := len(keys) - len(rows); more > 0 {
		to.Linef("  … and %s more (--json shows all)", term.Number(more))
	}
}

// counted is a name with its counts.
type counted struct {
	name   string
	counts []int
}

// listCounted writes a list of names with their counts.
func listCounted(to *term.Printer, title string, heads []string, all []counted) {
	rows := make([]term.Row, len(all))
	for i, c := range all {
		rows[i].Cells = []string{c.name}
		for _, n := range c.counts {
			rows[i].Cells = append(rows[i].Cells, term.Number(n))
		}
	}
	to.Linef("")
	to.Table(append([]string{title}, heads...), rows)
}
