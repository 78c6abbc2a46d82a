// Package report turns what is known of an import or a plan into what people and programs read:
// summaries, metrics, notifications and plans. It reads and sends nothing.
package report

import (
	"encoding/json"
	"runtime"
	"time"

	"segsync/importer/journal"
	"segsync/importer/outcome"
)

// Program is what runs.
type Program struct {
	Segsync string `json:"segsync"`
	Go      string `json:"go"`
}

// ProgramOf returns the program with this version.
func ProgramOf(version string) Program { return Program{version, runtime.Version()} }

// Summary is what --summary writes; docs/summary.schema.json describes it.
type Summary struct {
	Version  int       `json:"version"` // of this format
	Program  Program   `json:"program"`
	Command  string    `json:"command"`
	Settings Settings  `json:"settings"`
	Started  time.Time `json:"started"` // the import, not this run of it
	Began    time.Time `json:"began"`   // this run
	Ended    time.Time `json:"ended"`
	Seconds  float64   `json:"seconds"` // of this run
	Finished bool      `json:"finished"`
	ExitCode int       `json:"exit_code"`
	Error    string    `json:"error,omitempty"`
	Hints    []string  `json:"hints,omitempty"`
	Offset   string    `json:"offset"`
	Continue string    `json:"continue,omitempty"` // the command that goes on
	Counts   Counts    `json:"counts"`
	AddsUp   bool      `json:"adds_up"` // always true: the counts are counted from the outcomes
	Requests Requests  `json:"requests"`
	Costs    *Costs    `json:"costs,omitempty"`
	Files    Files     `json:"files"`
}

// Settings are the settings of an import that a summary shows.
type Settings struct {
	journal.Identity
	SegmentRateLimit float64 `json:"segment_rate_limit"`
	PageSize         int     `json:"page_size"`
	TraitsLimit      int     `json:"traits_limit"`
	BatchSize        int     `json:"batch_size"`
	Verify           string  `json:"verify"`
	CatchUp          bool    `json:"catch_up"`
	DryRun           bool    `json:"dry_run"`
	MappingFile      string  `json:"mapping_file"`
	MetadataPolicy   string  `json:"metadata_policy"`
}

// Requests are those of one process.
type Requests struct {
	Segment    int64 `json:"segment"`
	Voucherify int64 `json:"voucherify"`
	Retries    int64 `json:"retries"`
	Throttled  int64 `json:"throttled"`
}

// Minus returns the requests that came after earlier ones.
func (r Requests) Minus(earlier Requests) Requests {
	return Requests{r.Segment - earlier.Segment, r.Voucherify - earlier.Voucherify, r.Retries - earlier.Retries, r.Throttled - earlier.Throttled}
}

// Cost is what importing some profiles takes.
type Cost struct {
	Profiles   int64   `json:"profiles"`
	Segment    int64   `json:"segment"`    // requests
	Voucherify int64   `json:"voucherify"` // calls
	Seconds    float64 `json:"seconds"`
}

// Costs are what some profiles took, and what all would take.
type Costs struct {
	Run Cost  `json:"run"`
	All *Cost `json:"all"` // nil: it is not known how many there are
}

// Files are the paths of what an import keeps.
type Files struct {
	State             string `json:"state"` // the log
	WithoutIdentifier string `json:"without_identifier"`
	NotImported       string `json:"not_imported"`
	Merged            string `json:"merged"`
	Warnings          string `json:"warnings"`
}

// FilesOf returns the paths of an import's files.
func FilesOf(n journal.Names) Files {
	return Files{
		State: n.LogPath(), WithoutIdentifier: n.Path(n.WithoutIdentifier), NotImported: n.Path(n.NotImported),
		Merged: n.Path(n.Merged), Warnings: n.Path(n.Warnings),
	}
}

// Counts are the counts of an import by name: each outcome, and read, sent, outstanding,
// invalid_birthdates, found_late and created_again.
type Counts struct{ State *journal.State }

// MarshalJSON returns one object with all counts.
func (c Counts) MarshalJSON() ([]byte, error) {
	s := c.State
	all := map[string]any{
		"read": s.Counts.Read(), "invalid_birthdates": s.Details.Birthdates, "found_late": s.Details.Late, "created_again": s.Details.Recreated,
		"sent": s.SentCustomers(), "outstanding": s.Outstanding.Count,
		"identifiers": s.Details.Identifiers, "metadata_left_out": byKey(s.Details.LeftOut), "warnings": byKind(s.Details.Warnings),
	}
	if s.Details.Identifiers == nil {
		all["identifiers"] = map[string]int{}
	}
	for _, o := range outcome.All() {
		all[o.String()] = s.Count(o)
	}
	return json.Marshal(all)
}

// Attrs are the counts for the log.
func (c Counts) Attrs(code int) []any {
	attrs := []any{"exit_code", code, "profiles", c.State.Counts.Read()}
	for _, o := range outcome.All() {
		attrs = append(attrs, o.String(), c.State.Count(o))
	}
	return append(attrs, "outstanding", c.State.Outstanding.Count)
}

// byKey counts the customers by key of the metadata.
func byKey(leftOut map[string]map[string]int) map[string]int {
	counts := make(map[string]int, len(leftOut))
	for key, reasons := range leftOut {
		for _, n := range reasons {
			counts[key] += n
		}
	}
	return counts
}

// byKind counts the warnings by field and reason, as "field: reason".
func byKind(warnings map[string]map[string]int) map[string]int {
	counts := make(map[string]int)
	for field, reasons := range warnings {
		for reason, n := range reasons {
			counts[field+": "+reason] += n
		}
	}
	return counts
}

// WarningCount is the number of values that could not be used.
func WarningCount(s *journal.State) int {
	n := 0
	for _, of := range byKind(s.Details.Warnings) {
		n += of
	}
	return n
}

// Round1 rounds to one digit after the point.
func Round1(f float64) float64 { return float64(int(f*10+0.5)) / 10 }
