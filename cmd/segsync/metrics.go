package main

import (
	"fmt"
	"strings"
	"time"

	"segsync/importer"
)

// writeMetrics writes the file of --metrics-file, in the text format of Prometheus, for
// node_exporter's textfile collector. exitCode is nil while the import runs.
func (s *session) writeMetrics(exitCode *int) error {
	if s.options.metricsFile == "" {
		return nil
	}
	var b strings.Builder
	metric := func(name, kind, help string, samples ...string) {
		fmt.Fprintf(&b, "# HELP segsync_%s %s\n# TYPE segsync_%s %s\n", name, help, name, kind)
		for _, sample := range samples {
			fmt.Fprintf(&b, "segsync_%s%s\n", name, sample)
		}
	}
	state := s.importer.State()
	c := state.Counts
	segment, vch := s.segment.Stats(), s.voucherify.Stats()
	by := func(label, value string, n any) string { return fmt.Sprintf("{%s=%q} %v", label, value, n) }

	metric("profiles_read", "gauge", "Profiles read by the current or last import.", fmt.Sprintf(" %d", c.Read))
	metric("profiles", "gauge", "What became of the profiles read.",
		by("outcome", "confirmed", c.Confirmed), by("outcome", "rejected", c.Rejected),
		by("outcome", "unconfirmed", state.Unconfirmed()), by("outcome", "without_identifier", c.WithoutIdentifier),
		by("outcome", "vanished", c.Vanished), by("outcome", "merged", c.Merged), by("outcome", "would_send", c.WouldSend))
	metric("invalid_birthdates", "gauge", "Customers sent without their birthdate.", fmt.Sprintf(" %d", c.InvalidBirthdates))
	metric("requests_total", "counter", "Requests of this process, retries included.",
		by("api", "segment", segment.Requests), by("api", "voucherify", vch.Requests))
	metric("retries_total", "counter", "Requests of this process that were sent again.",
		by("api", "segment", segment.Retries), by("api", "voucherify", vch.Retries))
	metric("throttled_total", "counter", "Answers 429 to this process.",
		by("api", "segment", segment.Throttled), by("api", "voucherify", vch.Throttled))
	metric("import_start_timestamp_seconds", "gauge", "When the import began.", fmt.Sprintf(" %d", state.Started.Unix()))
	metric("run_start_timestamp_seconds", "gauge", "When this run of it began.", fmt.Sprintf(" %d", s.began.Unix()))
	metric("running", "gauge", "1 while an import runs.", fmt.Sprintf(" %d", boolToInt(exitCode == nil)))
	if exitCode != nil {
		metric("exit_code", "gauge", "Exit code of the last run.", fmt.Sprintf(" %d", *exitCode))
		metric("run_end_timestamp_seconds", "gauge", "When the last run ended.", fmt.Sprintf(" %d", time.Now().Unix()))
	}
	if end := state.LastEnded; !end.IsZero() {
		metric("import_end_timestamp_seconds", "gauge", "When the last import finished.", fmt.Sprintf(" %d", end.Unix()))
	}
	if err := importer.WriteFile(s.options.metricsFile, []byte(b.String()), 0o644); err != nil {
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
