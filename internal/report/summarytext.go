package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"segsync/importer/journal"
	"segsync/importer/outcome"
	"segsync/internal/safetext"
	"segsync/internal/term"
)

// Shown is what a summary for people needs beside the Summary.
type Shown struct {
	From, To    string   // where profiles come from and customers go to
	Identifiers []string // all of them, in order
	Read        int      // profiles, in this run
	Saved       int      // of the profiles of this run those that are saved; negative: this is the only run
	Outstanding string   // the command that lists what is outstanding
	Rate        float64  // requests to Segment a second
}

// PrintSummary prints the outcomes of the profiles.
func PrintSummary(out *term.Printer, sum *Summary, shown Shown) {
	s := sum.Counts.State
	out.Title(shown.From + "  →  " + shown.To)
	out.Linef("started %s, ended %s, %s", sum.Began.Local().Format("2 Jan 2006 15:04"), sum.Ended.Local().Format("15:04"),
		term.Duration(sum.Ended.Sub(sum.Began)))
	out.Table(nil, summaryRows(sum, shown))
	rate := ""
	if shown.Read > 0 {
		rate = fmt.Sprintf("; %.1f profiles/s", float64(shown.Read)/max(sum.Ended.Sub(sum.Began).Seconds(), 0.001))
	}
	out.Linef("%s to Segment, %s to Voucherify, %s retried%s", term.Count(sum.Requests.Segment, "request"),
		term.Number(sum.Requests.Voucherify), term.Number(sum.Requests.Retries), rate)
	if sum.Costs != nil && sum.Costs.All != nil {
		all := sum.Costs.All
		out.Linef("All %s would take some %s to Segment, %s to Voucherify and %s, at %g requests/s", term.Count(all.Profiles, "profile"),
			term.Count(all.Segment, "request"), term.Number(all.Voucherify), strings.TrimPrefix(About(time.Duration(all.Seconds*float64(time.Second))), "about "), shown.Rate)
	}
	if text := leftOutText(s.Details.LeftOut); text != "" {
		out.Linef("Metadata left out: %s", text)
	}
	if s.Counts.Read() == 0 && !s.Since.IsZero() && s.Position.Done {
		out.Linef("Nothing changed since %s.", s.Since.Add(journal.ClockMargin).Local().Format("2 Jan 2006 15:04"))
	}
	out.Linef("%s", sumText(s))
}

// summaryRows are the rows of the table: how many profiles have each outcome, and what else
// people want to know.
func summaryRows(sum *Summary, shown Shown) []term.Row {
	s, dry := sum.Counts.State, sum.Settings.DryRun
	var rows []term.Row
	row := func(mark, name string, n int, note string, always bool) {
		if n > 0 || always {
			rows = append(rows, term.Row{Mark: mark, Cells: []string{name, term.Number(n), note}})
		}
	}
	thisRun := ""
	if shown.Saved >= 0 {
		thisRun = term.Number(shown.Saved) + " of them in this run"
	}
	row("", "Profiles read", s.Counts.Read(), thisRun, true)
	if !dry {
		row("", "Customers sent", s.SentCustomers(), "", false)
	}
	if len(shown.Identifiers) > 1 {
		for _, id := range shown.Identifiers {
			row("", "by "+id, s.Details.Identifiers[id], "", false)
		}
	}
	for _, o := range outcome.All() {
		n, mark := s.Count(o), ""
		switch {
		case o == outcome.Confirmed && n > 0:
			mark = term.MarkOK
		case o == outcome.Rejected, o == outcome.Unreadable:
			mark = term.MarkFailed
		case o == outcome.Unconfirmed:
			mark = term.MarkAttention
		}
		note := ""
		if file := fileOf(o, sum.Files); file != "" && !dry {
			note = "in " + file
		}
		row(mark, outcomeLabel(o), n, note, o == outcome.Confirmed && !dry)
	}
	row("", "Outstanding", s.Outstanding.Count, shown.Outstanding+" lists them", false)
	row("", "Invalid birthdates", s.Details.Birthdates, "sent as null; to accept other forms, set formats in the mapping", false)
	row("", "Found late", s.Details.Late, "", false)
	row(term.MarkAttention, "Created again", s.Details.Recreated, "after a deletion: a profile has the source id again", false)
	note := "in " + sum.Files.Warnings
	if dry {
		note = ""
	}
	row("", "Warnings", WarningCount(s), note, false)
	return rows
}

// outcomeLabel is what people read for an outcome.
func outcomeLabel(o outcome.Outcome) string {
	switch o {
	case outcome.Unconfirmed:
		return "Sent, not confirmed"
	case outcome.WithoutIdentifier:
		return "Without identifier"
	case outcome.Merged:
		return "Merged into another"
	case outcome.WouldSend:
		return "Would send"
	}
	name := o.String()
	return strings.ToUpper(name[:1]) + name[1:]
}

// fileOf returns the report that has the profiles with the outcome, "" for none.
func fileOf(o outcome.Outcome, files Files) string {
	switch o {
	case outcome.WithoutIdentifier:
		return files.WithoutIdentifier
	case outcome.Rejected, outcome.Unreadable, outcome.Vanished:
		return files.NotImported
	case outcome.Merged:
		return files.Merged
	}
	return ""
}

// sumText is the sum that the outcomes make.
func sumText(s *journal.State) string {
	var terms []string
	for _, o := range outcome.All() {
		if n := s.Count(o); n > 0 {
			terms = append(terms, term.Number(n)+" "+strings.ToLower(outcomeLabel(o)))
		}
	}
	if len(terms) == 0 {
		return "no profile was read"
	}
	return fmt.Sprintf("%s read = %s: it adds up", term.Number(s.Counts.Read()), strings.Join(terms, " + "))
}

// maxLeftOutShown is how many keys the summary for people names.
const maxLeftOutShown = 8

// leftOutText lists the keys left out of the metadata, those of most customers first:
// colour (unknown) 12, age (not a number) 3.
func leftOutText(leftOut map[string]map[string]int) string {
	type entry struct {
		text string
		n    int
	}
	var entries []entry
	for key, reasons := range leftOut {
		for reason, n := range reasons {
			entries = append(entries, entry{fmt.Sprintf("%s (%s) %s", safetext.Cut(key, 40), safetext.Cut(reason, 40), term.Number(n)), n})
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.text, b.text)) })
	var shown []string
	for _, e := range entries[:min(len(entries), maxLeftOutShown)] {
		shown = append(shown, e.text)
	}
	if more := len(entries) - maxLeftOutShown; more > 0 {
		shown = append(shown, fmt.Sprintf("and %d more (--summary FILE has all)", more))
	}
	return strings.Join(shown, ", ")
}

// About words an expected time.
func About(d time.Duration) string {
	return strings.Replace("about "+term.Estimate(d), "about <", "less than", 1)
}
