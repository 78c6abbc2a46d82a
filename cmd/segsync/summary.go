package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"segsync/importer/journal"
	"time"
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
	Costs    *costs          `json:"costs,omitempty"`
	Files    summaryFiles    `json:"files"`
}

type programVersion struct {
	Segsync string `json:"segsync"`
	Go      string `json:"go"`
}

func programOf() programVersion { return programVersion{buildVersion(), runtime.Version()} }

type summarySettings struct {
	journal.Identity
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

// summaryCounts are the counts of the import by name: each outcome, and read, sent,
// outstanding, invalid_birthdates and found_late.
type summaryCounts struct {
	state *journal.State
	byKey map[string]int // metadata left out
}

// MarshalJSON returns one object with all counts.
func (c summaryCounts) MarshalJSON() ([]byte, error) {
	all := map[string]any{
		"read": c.state.Counts.Read, "invalid_birthdates": c.state.Counts.InvalidBirthdates, "found_late": c.state.Counts.FoundLate,
		"sent": c.sent(), "outstanding": c.state.Outstanding.Count,
		"identifiers": c.state.Details.Identifiers, "metadata_left_out": c.byKey,
		"warnings": warningsByKind(c.state.Details.Warnings),
	}
	for _, o := range journal.Outcomes() {
		all[o.String()] = c.of(o)
	}
	return json.Marshal(all)
}

func (c summaryCounts) of(o journal.Outcome) int { return c.state.Count(o) }

// sent is the number of customers that Voucherify was sent.
func (c summaryCounts) sent() int { return c.state.Sent() }

// attrs are the counts for the log.
func (c summaryCounts) attrs(code int) []any {
	attrs := []any{"exit_code", code, "profiles", c.state.Counts.Read}
	for _, o := range journal.Outcomes() {
		attrs = append(attrs, o.String(), c.of(o))
	}
	return append(attrs, "outstanding", c.state.Outstanding.Count)
}

// warningsByKind counts the warnings by field and reason, as "field: reason".
func warningsByKind(warnings map[string]map[string]int) map[string]int {
	byKind := make(map[string]int)
	for field, reasons := range warnings {
		for reason, n := range reasons {
			byKind[field+": "+reason] += n
		}
	}
	return byKind
}

type summaryRequests struct {
	Segment    int64 `json:"segment"`
	Voucherify int64 `json:"voucherify"`
	Retries    int64 `json:"retries"`
	Throttled  int64 `json:"throttled"`
}

// requests returns the requests of this process so far.
func (s *session) requests() summaryRequests {
	segment, vch := s.apis.toSegment.Stats(), s.apis.toVoucherify.Stats()
	return summaryRequests{
		Segment: segment.Requests, Voucherify: vch.Requests,
		Retries: segment.Retries + vch.Retries, Throttled: segment.Throttled + vch.Throttled,
	}
}

func (r *summaryRequests) subtract(earlier summaryRequests) {
	r.Segment -= earlier.Segment
	r.Voucherify -= earlier.Voucherify
	r.Retries -= earlier.Retries
	r.Throttled -= earlier.Throttled
}

type summaryFiles struct {
	State             string `json:"state"`
	WithoutIdentifier string `json:"without_identifier"`
	NotImported       string `json:"not_imported"`
	Merged            string `json:"merged"`
	Warnings          string `json:"warnings"`
}

func (s *session) summary(code int, cause error) summary {
	state, now := s.importer.State(), time.Now()
	requests, seconds := s.requests(), round1(now.Sub(s.began).Seconds())
	requests.subtract(s.earlier)
	sum := summary{
		Version: 1,
		Program: programOf(),
		Command: s.command,
		Settings: summarySettings{
			Identity:         state.Identity,
			SegmentRateLimit: s.apis.settings.segmentRate,
			PageSize:         s.apis.settings.pageSize,
			TraitsLimit:      s.apis.settings.traitsLimit,
			BatchSize:        s.apis.settings.batchSize,
			Verify:           s.run.confirm.verify,
			CatchUp:          s.catchUp,
			DryRun:           s.dry.run,
			MappingFile:      s.apis.settings.mappingFile,
			MetadataPolicy:   s.apis.settings.metadataPolicy,
		},
		Started:  state.Started,
		Began:    s.began.UTC(),
		Ended:    now.UTC(),
		Seconds:  seconds,
		Finished: !state.Unfinished(),
		ExitCode: code,
		Offset:   s.offset(),
		Counts:   summaryCounts{state, leftOutByKey(state.Details.LeftOut)},
		AddsUp:   state.AddsUp(),
		Requests: requests,
		Costs:    s.costs(requests, seconds),
		Files:    summaryFilesOf(s.journal.Names()),
	}
	if cause != nil {
		sum.Error, sum.Hints = cause.Error(), hints(cause)
	}
	switch {
	case s.dry.run && cause == nil: // nothing was begun that could be continued
	case !state.Position.Done, state.HasFailed():
		sum.Continue = s.continueCommand(cause)
	case state.Unconfirmed() > 0:
		sum.Continue = s.verifyCommand()
	}
	return sum
}

func summaryFilesOf(n journal.Names) summaryFiles {
	return summaryFiles{
		State: n.Path(n.State), WithoutIdentifier: n.Path(n.WithoutIdentifier), NotImported: n.Path(n.NotImported),
		Merged: n.Path(n.Merged), Warnings: n.Path(n.Warnings),
	}
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

// writeSummary writes the file of --summary.
func (s *session) writeSummary(sum summary) error {
	if s.run.report.summary == "" {
		return nil
	}
	data, err := json.MarshalIndent(sum, "", "  ")
	if err == nil {
		data = []byte(safeJSON(s.tell.secrets.clean(string(data))))
		err = journal.WriteFile(s.run.report.summary, append(data, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("--summary: %w", err)
	}
	return nil
}
