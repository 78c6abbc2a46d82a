package main

import (
	"fmt"

	"segsync/internal/safetext"
)

// checkReport is what segsync check --json prints.
type checkReport struct {
	OK       bool           `json:"ok"`
	Checks   []finding      `json:"checks"`
	Settings []shownSetting `json:"settings,omitempty"`
	Advice   []string       `json:"advice"`
	ExitCode int            `json:"exit_code"`
}

// advice is what the checks come to.
func (c *checker) advice() []string {
	if c.failed() {
		return []string{"Fix what is marked with ✗ before you import."}
	}
	return []string{
		"source_id is permanent: once a customer exists it cannot be changed.",
		"Be sure of the identifier before the first import; segsync plan --sample 200 shows what the first 200 profiles would become.",
	}
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
