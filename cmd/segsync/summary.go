package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"segsync/importer"
)

// summary is what --summary writes; docs/summary.schema.json describes it.
type summary struct {
	Version  int             `json:"version"` // of this format
	Program  programVersion  `json:"program"`
	Command  string          `json:"command"`
	Settings summarySettings `json:"settings"`
	Started  time.Time       `json:"started"` // the import, not this run of it
	Began    time.Time       `json:"began"`   // this run
	Ended    time.Time       `json:"ended"`
	Seconds  float64         `json:"seconds"` // of this run
	Finished bool            `json:"finished"`
	ExitCode int             `json:"exit_code"`
	Error    string          `json:"error,omitempty"`
	Hints    []string        `json:"hints,omitempty"`
	Offset   string          `json:"offset"`
	Continue string          `json:"continue,omitempty"` // the command that goes on
	Counts   summaryCounts   `json:"counts"`
	AddsUp   bool            `json:"adds_up"`
	Requests summaryRequests `json:"requests"`
	Files    summaryFiles    `json:"files"`
}

type programVersion struct {
	Segsync string `json:"segsync"`
	Go      string `json:"go"`
}

type summarySettings struct {
	importer.Identity
	SegmentRateLimit float64 `json:"segment_rate_limit"`
	PageSize         int     `json:"page_size"`
	TraitsLimit      int     `json:"traits_limit"`
	BatchSize        int     `json:"batch_size"`
	Verify           string  `json:"verify"`
	CatchUp          bool    `json:"catch_up"`
	DryRun           bool    `json:"dry_run"`
	MappingFile      string  `json:"mapping_file"`
	MetadataPolicy   string  `json:"metadata_policy"` // as it is set
}

type summaryCounts struct {
	importer.Counts
	Sent        int `json:"sent"`
	Unconfirmed int `json:"unconfirmed"`
	// Identifiers counts the customers sent by the identifier that was taken.
	Identifiers map[string]int `json:"identifiers"`
	// MetadataLeftOut counts the customers sent without a key of their metadata.
	MetadataLeftOut map[string]int `json:"metadata_left_out"`
}

type summaryRequests struct {
	Segment    int64 `json:"segment"`
	Voucherify int64 `json:"voucherify"`
	Retries    int64 `json:"retries"`
	Throttled  int64 `json:"throttled"`
}

type summaryFiles struct {
	State             string `json:"state"`
	WithoutIdentifier string `json:"without_identifier"`
	NotImported       string `json:"not_imported"`
}

func (s *session) summary(code int, cause error) summary {
	state, now := s.importer.State(), time.Now()
	segment, vch := s.segment.Stats(), s.voucherify.Stats()
	unconfirmed := state.Unconfirmed()
	sum := summary{
		Version: 1,
		Program: programVersion{buildVersion(), runtime.Version()},
		Command: s.command,
		Settings: summarySettings{
			Identity:         state.Identity,
			SegmentRateLimit: s.settings.segmentRate,
			PageSize:         s.settings.pageSize,
			TraitsLimit:      s.settings.traitsLimit,
			BatchSize:        s.settings.batchSize,
			Verify:           s.options.verify,
			CatchUp:          !s.options.noCatchUp,
			DryRun:           s.options.dryRun,
			MappingFile:      s.settings.mappingFile,
			MetadataPolicy:   s.settings.metadataPolicy,
		},
		Started:  state.Started,
		Began:    s.began.UTC(),
		Ended:    now.UTC(),
		Seconds:  round1(now.Sub(s.began).Seconds()),
		Finished: !state.Unfinished(),
		ExitCode: code,
		Offset:   s.offset(),
		Counts: summaryCounts{
			Counts:      state.Counts,
			Sent:        state.Counts.Confirmed + state.Counts.Rejected + unconfirmed,
			Unconfirmed: unconfirmed,
			Identifiers: state.Identifiers,

			MetadataLeftOut: leftOutByKey(state.MetadataLeftOut),
		},
		AddsUp: state.AddsUp(),
		Requests: summaryRequests{
			Segment: segment.Requests, Voucherify: vch.Requests,
			Retries: segment.Retries + vch.Retries, Throttled: segment.Throttled + vch.Throttled,
		},
		Files: summaryFiles{
			State:             s.files.Path(s.files.State),
			WithoutIdentifier: s.files.Path(s.files.WithoutIdentifier),
			NotImported:       s.files.Path(s.files.NotImported),
		},
	}
	if cause != nil {
		sum.Error, sum.Hints = cause.Error(), hints(cause)
	}
	switch {
	case !state.Position.Done, state.HasFailed():
		sum.Continue = s.continueCommand(cause)
	case unconfirmed > 0:
		sum.Continue = s.verifyCommand()
	}
	return sum
}

func leftOutByKey(leftOut map[string]map[string]int) map[string]int {
	byKey := make(map[string]int, len(leftOut))
	for key, reasons := range leftOut {
		for _, n := range reasons {
			byKey[key] += n
		}
	}
	return byKey
}

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
			lines = append(lines, line{fmt.Sprintf("%s (%s) %d", oneLine(key), oneLine(reason), n), n})
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

// oneLine shortens a text from outside, and replaces what could change a terminal.
func oneLine(s string) string {
	s = strings.ReplaceAll(printable(s), "\n", "\ufffd")
	if runes := []rune(s); len(runes) > 40 {
		return string(runes[:40]) + "…"
	}
	return s
}

// printSummary prints what became of the profiles.
func (s *session) printSummary(sum summary) {
	if s.stdout == s.console && s.options.logFormat == "json" {
		slog.New(slog.NewJSONHandler(s.stdout, nil)).Info("summary", "summary", sum)
		return
	}
	c := sum.Counts
	w := tabwriter.NewWriter(s.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(label string, value any, note string) { fmt.Fprintf(w, "%s\t%v\t%s\n", label, value, note) }
	line("Profiles read", c.Read, "")
	if s.options.dryRun {
		line("Would send", c.WouldSend, "")
	} else {
		line("Customers sent", c.Sent, "")
	}
	if len(s.settings.identifiers) > 1 {
		for _, id := range s.settings.identifiers {
			line("by "+id.String(), c.Identifiers[id.String()], "")
		}
	}
	if s.customers == nil {
		line("Confirmed", c.Confirmed, "")
		line("Rejected", c.Rejected, "")
		line("Sent, not confirmed", c.Unconfirmed, "")
	}
	without := ""
	if c.WithoutIdentifier > 0 {
		without = " in " + sum.Files.WithoutIdentifier
	}
	line("Without identifier", c.WithoutIdentifier, without)
	line("Vanished", c.Vanished, "")
	line("Merged into another", c.Merged, "")
	if s.options.verify == "on" && s.customers == nil {
		notImported := ""
		if c.Rejected+c.Vanished > 0 {
			notImported = " in " + sum.Files.NotImported
		}
		line("Not imported", c.Rejected+c.Vanished, notImported)
	}
	line("Invalid birthdates", c.InvalidBirthdates, "")
	line("Found late", c.FoundLate, "")
	line("Requests to Segment", sum.Requests.Segment, "")
	line("Requests to Voucherify", sum.Requests.Voucherify, "")
	line("Retries", sum.Requests.Retries, "")
	elapsed := sum.Ended.Sub(sum.Began)
	line("Time", elapsed.Round(100*time.Millisecond), "")
	line("Profiles per second", fmt.Sprintf("%.1f", float64(s.importer.ProfilesRead())/elapsed.Seconds()), "")
	w.Flush()
	if text := leftOutText(s.importer.State().MetadataLeftOut); text != "" {
		fmt.Fprintf(s.stdout, "Metadata left out: %s\n", text)
	}
	sent := fmt.Sprintf("%d confirmed + %d rejected + %d sent, not confirmed", c.Confirmed, c.Rejected, c.Unconfirmed)
	if s.options.dryRun {
		sent = fmt.Sprintf("%d would be sent", c.WouldSend)
	}
	fmt.Fprintf(s.stdout, "%d read = %s\n  + %d without identifier + %d vanished + %d merged into another: ",
		c.Read, sent, c.WithoutIdentifier, c.Vanished, c.Merged)
	if sum.AddsUp {
		fmt.Fprintln(s.stdout, "it adds up")
	} else {
		fmt.Fprintln(s.stdout, "IT DOES NOT ADD UP")
		s.printError(&hinted{errors.New("the counts do not add up: this is a bug in segsync"), "please report it, with this summary"})
	}
}

// writeSummary writes the file of --summary.
func (s *session) writeSummary(sum summary) error {
	if s.options.summary == "" {
		return nil
	}
	data, err := json.MarshalIndent(sum, "", "  ")
	if err == nil {
		err = importer.WriteFile(s.options.summary, append(data, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("--summary: %w", err)
	}
	return nil
}
