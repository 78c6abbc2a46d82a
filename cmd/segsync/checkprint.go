package main

import (
	"fmt"

	"segsync/importer"
	"segsync/internal/safetext"
)

// checkReport is what segsync check --json prints.
type checkReport struct {
	OK       bool             `json:"ok"`
	Checks   []finding        `json:"checks"`
	Settings []shownSetting   `json:"settings,omitempty"`
	Sample   *importer.Sample `json:"sample,omitempty"`
	Advice   []string         `json:"advice"`
	ExitCode int              `json:"exit_code"`
}

// advice is what the checks come to.
func (c *checker) advice() []string {
	if c.failed() {
		return []string{"Fix what is marked with ✗ before you import."}
	}
	var lines []string
	if c.sample != nil && c.sample.Profiles > 0 {
		lines = append(lines, identifierAdvice(&c.sample.Coverage, c.settings.identifier(), c.options.settings.fromAPI()),
			"segsync plan shows what an import would change in Voucherify.")
	}
	return append(lines,
		"source_id is permanent: once a customer exists it cannot be changed.",
		"Be sure of the identifier before the first import; segsync import --dry-run shows all customers without sending them.")
}

// printSettings prints each setting, and where it comes from.
func (c *checker) printSettings(to *page) {
	if len(c.settingsShown) == 0 {
		return
	}
	var rows [][]string
	for _, s := range c.settingsShown {
		rows = append(rows, []string{s.Name, safetext.Cut(s.Value, 60), safetext.Line(s.From)})
	}
	fmt.Fprintln(to)
	to.list(2, []string{"setting", "value", "from"}, rows)
}

func (c *checker) printSample(to *page) {
	s := c.sample
	fmt.Fprintln(to)
	filtered := ""
	if s.Filtered > 0 {
		filtered = fmt.Sprintf("%d filtered, ", s.Filtered)
	}
	to.linef("Sample of %d profiles: %d without identifier, %s%d vanished, %d with an invalid birthdate",
		s.Profiles, s.WithoutIdentifier, filtered, s.Vanished, s.InvalidBirthdates)
	printCoverage(to, &s.Coverage)
	refusals := make(map[string]int)
	for key, reasons := range s.SchemaRefusals {
		for reason, n := range reasons {
			refusals[key+" ("+reason+")"] = n
		}
	}
	printCounts(to, "metadata the schema refuses", refusals, 30)
	if len(s.Warnings) > 0 {
		fmt.Fprintf(to, "\n  warnings\n")
	}
	for i, warning := range s.Warnings {
		if i == 10 {
			to.linef("  … and %d more (--json shows all)", len(s.Warnings)-i)
			break
		}
		to.line(4, fmt.Sprintf("  %s: %s", safetext.Text(warning.SourceID), safetext.Text(warning.Warning)))
	}
}
