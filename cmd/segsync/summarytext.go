package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"segsync/importer/journal"
	"segsync/internal/safetext"
	"slices"
	"strings"
	"text/tabwriter"
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
	if s.stdout == s.stderr && s.json {
		slog.New(slog.NewJSONHandler(s.stdout, nil)).Info("summary", "summary", sum)
		return
	}
	c, state := sum.Counts, sum.Counts.state
	w := tabwriter.NewWriter(s.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(label string, value any, note string) { fmt.Fprintf(w, "%s\t%v\t%s\n", label, value, note) }
	line("Profiles read", state.Counts.Read, "")
	if !s.dry.run {
		line("Customers sent", c.sent(), "")
	}
	if len(s.settings.identifiers) > 1 {
		for _, id := range s.settings.identifiers {
			line("by "+id.String(), state.Details.Identifiers[id.String()], "")
		}
	}
	for _, o := range journal.Outcomes() {
		if label := outcomeLabel(o); c.of(o) > 0 || s.always(o) {
			line(label, c.of(o), s.noteOf(o, c.of(o)))
		}
	}
	if s.run.confirm.verify == "on" && !s.dry.run {
		line("Outstanding", state.Outstanding.Count, "")
	}
	line("Invalid birthdates", state.Counts.InvalidBirthdates, "")
	line("Found late", state.Counts.FoundLate, "")
	line("Requests to Segment", sum.Requests.Segment, "")
	line("Requests to Voucherify", sum.Requests.Voucherify, "")
	line("Retries", sum.Requests.Retries, "")
	elapsed := sum.Ended.Sub(sum.Began)
	line("Time", elapsed.Round(100*time.Millisecond), "")
	line("Profiles per second", fmt.Sprintf("%.1f", float64(s.importer.ProfilesRead())/elapsed.Seconds()), "")
	w.Flush()
	if text := leftOutText(state.Details.LeftOut); text != "" {
		fmt.Fprintf(s.stdout, "Metadata left out: %s\n", text)
	}
	s.printSum(sum)
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

// always reports whether the outcome is shown even where it is zero.
func (s *session) always(o journal.Outcome) bool {
	switch o {
	case journal.Confirmed, journal.Rejected, journal.Unconfirmed:
		return !s.dry.run
	case journal.WouldSend:
		return s.dry.run
	case journal.WithoutIdentifier, journal.Vanished, journal.Merged:
		return true
	}
	return false
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
	return " in " + names.Path(file)
}

// printSum prints the sum that the outcomes must add up to.
func (s *session) printSum(sum summary) {
	var terms []string
	for _, o := range journal.Outcomes() {
		if n := sum.Counts.of(o); n > 0 || s.always(o) {
			terms = append(terms, fmt.Sprintf("%d %s", n, strings.ToLower(outcomeLabel(o))))
		}
	}
	fmt.Fprintf(s.stdout, "%d read = %s: ", sum.Counts.state.Counts.Read, strings.Join(terms, " + "))
	if sum.AddsUp {
		fmt.Fprintln(s.stdout, "it adds up")
		return
	}
	fmt.Fprintln(s.stdout, "IT DOES NOT ADD UP")
	s.printError(&hinted{errors.New("the counts do not add up: this is a bug in segsync"), "please report it, with this summary"})
}
