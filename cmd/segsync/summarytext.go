package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"segsync/importer/journal"
	"segsync/internal/safetext"
	"segsync/internal/screen"
	"slices"
	"strings"
	"time"
)

// leftOutShown is how many keys the summary for people names.
const leftOutShown = 8

// leftOutText lists the keys left out of the metadata, those of most customers first:
// colour (unknown) 12, age (not a number) 3.
func leftOutText(leftOut map[string]map[string]int) string {
	type line struct {
		text string
		n    int
	}
	var lines []line
	for key, reasons := range leftOut {
		for reason, n := range reasons {
			lines = append(lines, line{fmt.Sprintf("%s (%s) %d", safetext.Cut(key, 40), safetext.Cut(reason, 40), n), n})
		}
	}
	slices.SortFunc(lines, func(a, b line) int {
		return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.text, b.text))
	})
	var shown []string
	for _, l := range lines[:min(len(lines), leftOutShown)] {
		shown = append(shown, l.text)
	}
	if more := len(lines) - leftOutShown; more > 0 {
		shown = append(shown, fmt.Sprintf("and %d more (--summary FILE has all)", more))
	}
	return strings.Join(shown, ", ")
}

// printSummary prints what became of the profiles.
func (s *session) printSummary(sum summary) {
	if s.tell.stdout == s.tell.stderr && s.tell.json {
		slog.New(slog.NewJSONHandler(s.tell.stdout, nil)).Info("summary", "summary", sum)
		return
	}
	state := sum.Counts.state
	head := s.head()
	head.Began, head.Ended = sum.Began.Local(), sum.Ended.Local()
	out := s.tell.stdout
	screen.Table(out, out.columns(), out.style, head, s.summaryRows(sum))
	elapsed := sum.Ended.Sub(sum.Began).Seconds()
	out.linef("%s requests to Segment, %s to Voucherify, %s retried; %.1f profiles/s", screen.Number(sum.Requests.Segment),
		screen.Number(sum.Requests.Voucherify), screen.Number(sum.Requests.Retries), float64(s.importer.ProfilesRead())/elapsed)
	if sum.Costs != nil && sum.Costs.All != nil {
		all := sum.Costs.All
		out.linef("All %s profiles would take some %s requests to Segment, %s to Voucherify and %s, at %g requests/s", screen.Number(all.Profiles),
			screen.Number(all.Segment), screen.Number(all.Voucherify), strings.TrimPrefix(about(time.Duration(all.Seconds*float64(time.Second))), "about "), s.apis.settings.segmentRate)
	}
	if text := leftOutText(state.Details.LeftOut); text != "" {
		out.linef("Metadata left out: %s", text)
	}
	if state.Counts.Read == 0 && !state.Since.IsZero() && state.Position.Done {
		out.linef("Nothing changed since %s.", state.Since.Add(journal.ClockMargin).Local().Format("2 Jan 2006 15:04"))
	}
	s.printSum(sum)
}

// summaryRows are the rows of the table: how many profiles have each outcome, and what else
// people want to know.
func (s *session) summaryRows(sum summary) []screen.Row {
	c, state := sum.Counts, sum.Counts.state
	row := func(name string, n int, note string) screen.Row {
		return screen.Row{Name: name, Number: int64(n), Note: note}
	}
	rows := []screen.Row{{Name: "Profiles read", Number: int64(state.Counts.Read), Always: true}}
	if !s.dry.run {
		rows = append(rows, row("Customers sent", c.sent(), ""))
	}
	if len(s.apis.settings.identifiers) > 1 {
		for _, id := range s.apis.settings.identifiers {
			rows = append(rows, row("by "+id.String(), state.Details.Identifiers[id.String()], ""))
		}
	}
	for _, o := range journal.Outcomes() {
		r := row(outcomeLabel(o), c.of(o), s.noteOf(o, c.of(o)))
		switch o {
		case journal.Confirmed:
			r.Always = !s.dry.run
			if r.Number > 0 {
				r.Mark = screen.MarkOK
			}
		case journal.Rejected, journal.Unreadable:
			r.Mark = screen.MarkFailed
		case journal.Unconfirmed:
			r.Mark = screen.MarkAttention
		}
		rows = append(rows, r)
	}
	names := s.journal.Names()
	return append(rows, row("Outstanding", state.Outstanding.Count, s.outstandingCommand()+" lists them"),
		row("Invalid birthdates", state.Counts.InvalidBirthdates, ""), row("Found late", state.Counts.FoundLate, ""),
		row("Warnings", warningCount(state), "in "+names.Path(names.Warnings)))
}

// warningCount is the number of values that could not be used.
func warningCount(state *journal.State) int {
	n := 0
	for _, reasons := range state.Details.Warnings {
		for _, of := range reasons {
			n += of
		}
	}
	return n
}

// outcomeLabel is what people read for an outcome.
func outcomeLabel(o journal.Outcome) string {
	switch o {
	case journal.Unconfirmed:
		return "Sent, not confirmed"
	case journal.WithoutIdentifier:
		return "Without identifier"
	case journal.Merged:
		return "Merged into another"
	case journal.WouldSend:
		return "Would send"
	}
	name := o.String()
	return strings.ToUpper(name[:1]) + name[1:]
}

// noteOf names the file that has the profiles with the outcome.
func (s *session) noteOf(o journal.Outcome, n int) string {
	names := s.journal.Names()
	file := map[journal.Outcome]string{
		journal.WithoutIdentifier: names.WithoutIdentifier, journal.Rejected: names.NotImported,
		journal.Unreadable: names.NotImported, journal.Vanished: names.NotImported, journal.Merged: names.Merged,
	}[o]
	if n == 0 || file == "" {
		return ""
	}
	return "in " + names.Path(file)
}

// printSum prints the sum that the outcomes must add up to.
func (s *session) printSum(sum summary) {
	var terms []string
	for _, o := range journal.Outcomes() {
		if n := sum.Counts.of(o); n > 0 {
			terms = append(terms, fmt.Sprintf("%d %s", n, strings.ToLower(outcomeLabel(o))))
		}
	}
	if len(terms) == 0 {
		terms = []string{"0"}
	}
	verdict := "it adds up"
	if !sum.AddsUp {
		verdict = "IT DOES NOT ADD UP"
	}
	s.tell.stdout.linef("%d read = %s: %s", sum.Counts.state.Counts.Read, strings.Join(terms, " + "), verdict)
	if sum.AddsUp {
		return
	}
	s.tell.printError(&hinted{errors.New("the counts do not add up: this is a bug in segsync"), "please report it, with this summary"})
}
