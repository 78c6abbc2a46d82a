package main

import (
	"fmt"
	"path/filepath"
	"text/tabwriter"
	"time"

	"segsync/importer"
)

// printSummary prints what became of the profiles, to stdout.
func (s *session) printSummary(c importer.Counts) {
	elapsed := time.Since(s.began)
	segment, vch := s.segment.Stats(), s.voucherify.Stats()
	w := tabwriter.NewWriter(s.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(label string, value any, note string) {
		fmt.Fprintf(w, "%s\t%v\t%s\n", label, value, note)
	}
	in := func(n int, file string) string {
		if n == 0 {
			return ""
		}
		return " in " + filepath.Join(s.options.dir, file)
	}
	line("Profiles read", c.Read, "")
	line("Customers sent", c.Sent, "")
	line("Without identifier", c.WithoutIdentifier, in(c.WithoutIdentifier, importer.WithoutIdentifierFile))
	line("Merged into another", c.Merged, "")
	line("Not imported", c.NotImported, in(c.NotImported, importer.NotImportedFile))
	line("Invalid birthdates", c.InvalidBirthdates, "")
	line("Requests to Segment", segment.Requests, "")
	line("Requests to Voucherify", vch.Requests, "")
	line("Retries", segment.Retries+vch.Retries, "")
	line("Time", elapsed.Round(100*time.Millisecond), "")
	line("Profiles per second", fmt.Sprintf("%.1f", float64(c.Read)/elapsed.Seconds()), "")
	w.Flush()
}
