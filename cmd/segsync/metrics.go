package main

import (
	"fmt"
	"segsync/importer/journal"
	"strings"
	"time"
)

// writeMetrics writes the file of --metrics-file, in the text format of Prometheus, for
// node_exporter's textfile collector. exitCode is nil while the import runs.
func (s *session) writeMetrics(exitCode *int) error {
	if s.run.report.metricsFile == "" {
		return nil
	}
	var m metrics
	m.addImport(s.importer.State())
	segment, vch := s.apis.toSegment.Stats(), s.apis.toVoucherify.Stats()
	m.add("requests_total", "counter", "Requests of this process, retries included.",
		by("api", "segment", segment.Requests), by("api", "voucherify", vch.Requests))
	m.add("retries_total", "counter", "Requests of this process that were sent again.",
		by("api", "segment", segment.Retries), by("api", "voucherify", vch.Retries))
	m.add("throttled_total", "counter", "Answers 429 to this process.",
		by("api", "segment", segment.Throttled), by("api", "voucherify", vch.Throttled))
	m.addRun(s.began, exitCode)
	if end := s.importer.State().Last.Ended; !end.IsZero() {
		m.add("import_end_timestamp_seconds", "gauge", "When the last import finished.", fmt.Sprintf(" %d", end.Unix()))
	}
	return m.writeTo(s.run.report.metricsFile)
}

// by returns a sample with a label.
func by(label, value string, n any) string { return fmt.Sprintf("{%s=%q} %v", label, value, n) }

// metrics is a text in the format of Prometheus.
type metrics struct{ strings.Builder }

func (m *metrics) add(name, kind, help string, samples ...string) {
	fmt.Fprintf(m, "# HELP segsync_%s %s\n# TYPE segsync_%s %s\n", name, help, name, kind)
	for _, sample := range samples {
		fmt.Fprintf(m, "segsync_%s%s\n", name, sample)
	}
}

// addImport adds what is known of an import.
func (m *metrics) addImport(state *journal.State) {
	m.add("profiles_read", "gauge", "Profiles read by the current or last import.", fmt.Sprintf(" %d", state.Counts.Read))
	var outcomes []string
	for _, o := range journal.Outcomes() {
		outcomes = append(outcomes, by("outcome", o.String(), state.Count(o)))
	}
	m.add("profiles", "gauge", "What became of the profiles read.", outcomes...)
	m.add("outstanding", "gauge", "Profiles that are not imported and still should be.", fmt.Sprintf(" %d", state.Outstanding.Count))
	age := 0.0
	if oldest := state.Outstanding.Oldest; !oldest.IsZero() {
		age = time.Since(oldest).Seconds()
	}
	m.add("outstanding_oldest_age_seconds", "gauge", "How long the oldest of them has been outstanding; 0 if none is.", fmt.Sprintf(" %.0f", age))
	m.add("invalid_birthdates", "gauge", "Customers sent without their birthdate.", fmt.Sprintf(" %d", state.Counts.InvalidBirthdates))
	m.add("import_start_timestamp_seconds", "gauge", "When the import began.", fmt.Sprintf(" %d", state.Started.Unix()))
}

// addRun adds what is known of a run whatever became of it. exitCode is nil while it
// goes on.
func (m *metrics) addRun(began time.Time, exitCode *int) {
	m.add("run_start_timestamp_seconds", "gauge", "When this run of it began.", fmt.Sprintf(" %d", began.Unix()))
	m.add("running", "gauge", "1 while an import runs.", fmt.Sprintf(" %d", boolToInt(exitCode == nil)))
	if exitCode != nil {
		m.add("exit_code", "gauge", "Exit code of the last run.", fmt.Sprintf(" %d", *exitCode))
		m.add("run_end_timestamp_seconds", "gauge", "When the last run ended.", fmt.Sprintf(" %d", time.Now().Unix()))
	}
}

func (m *metrics) writeTo(file string) error {
	if err := journal.WriteFile(file, []byte(m.String()), 0o644); err != nil {
		return fmt.Errorf("--metrics-file: %w", err)
	}
	return nil
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
