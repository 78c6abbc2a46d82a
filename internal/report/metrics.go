package report

import (
	"fmt"
	"strings"
	"time"

	"segsync/importer/journal"
	"segsync/importer/outcome"
	"segsync/internal/httpretry"
)

// Metrics is a text in the format of Prometheus, for node_exporter's textfile collector.
type Metrics struct{ strings.Builder }

func (m *Metrics) add(name, kind, help string, samples ...string) {
	fmt.Fprintf(m, "# HELP segsync_%s %s\n# TYPE segsync_%s %s\n", name, help, name, kind)
	for _, sample := range samples {
		fmt.Fprintf(m, "segsync_%s%s\n", name, sample)
	}
}

// by returns a sample with a label.
func by(label, value string, n any) string { return fmt.Sprintf("{%s=%q} %v", label, value, n) }

// AddImport adds what is known of an import.
func (m *Metrics) AddImport(s *journal.State, now time.Time) {
	m.add("profiles_read", "gauge", "Profiles read by the current or last import.", fmt.Sprintf(" %d", s.Counts.Read()))
	var outcomes []string
	for _, o := range outcome.All() {
		outcomes = append(outcomes, by("outcome", o.String(), s.Count(o)))
	}
	m.add("profiles", "gauge", "Profiles read, by outcome.", outcomes...)
	m.add("outstanding", "gauge", "Profiles that are not imported and still should be.", fmt.Sprintf(" %d", s.Outstanding.Count))
	age := 0.0
	if oldest := s.Outstanding.Oldest; !oldest.IsZero() {
		age = now.Sub(oldest).Seconds()
	}
	m.add("outstanding_oldest_age_seconds", "gauge", "How long the oldest of them has been outstanding; 0 if none is.", fmt.Sprintf(" %.0f", age))
	m.add("invalid_birthdates", "gauge", "Customers sent without their birthdate.", fmt.Sprintf(" %d", s.Details.Birthdates))
	m.add("import_start_timestamp_seconds", "gauge", "When the import began.", fmt.Sprintf(" %d", s.Started.Unix()))
	if ended := s.Before.Ended; !ended.IsZero() {
		m.add("import_end_timestamp_seconds", "gauge", "When the last import finished.", fmt.Sprintf(" %d", ended.Unix()))
	}
}

// AddRequests adds the requests of this process to both APIs.
func (m *Metrics) AddRequests(segment, voucherify httpretry.Stats) {
	both := func(segment, voucherify int64) []string {
		return []string{by("api", "segment", segment), by("api", "voucherify", voucherify)}
	}
	m.add("requests_total", "counter", "Requests of this process, retries included.", both(segment.Requests, voucherify.Requests)...)
	m.add("retries_total", "counter", "Requests of this process that were sent again.", both(segment.Retries, voucherify.Retries)...)
	m.add("throttled_total", "counter", "Answers 429 to this process.", both(segment.Throttled, voucherify.Throttled)...)
}

// AddRun adds what is known of a run, however it ended. exitCode is nil while it goes on.
func (m *Metrics) AddRun(began, now time.Time, exitCode *int) {
	running := 0
	if exitCode == nil {
		running = 1
	}
	m.add("run_start_timestamp_seconds", "gauge", "When the current or last run began.", fmt.Sprintf(" %d", began.Unix()))
	m.add("running", "gauge", "1 while an import runs.", fmt.Sprintf(" %d", running))
	m.add("written_timestamp_seconds", "gauge", "When these metrics were written: every minute while an import runs.", fmt.Sprintf(" %d", now.Unix()))
	if exitCode != nil {
		m.add("exit_code", "gauge", "Exit code of the last run.", fmt.Sprintf(" %d", *exitCode))
		m.add("run_end_timestamp_seconds", "gauge", "When the last run ended.", fmt.Sprintf(" %d", now.Unix()))
	}
}
