package importer_test

import (
	"io"
	"os"
	"testing"

	"segsync/importer"
	"segsync/importer/journal"
	"segsync/internal/sandbox"
	"segsync/profilessync"
)

// BenchmarkFile is a dry run from a file of 20,000 profiles: how many a second are read,
// mapped and accounted for.
func BenchmarkFile(b *testing.B) {
	path := b.TempDir() + "/profiles.ndjson"
	box := sandbox.New(sandbox.Options{Profiles: 20_000, Seed: 1, Plain: true})
	if err := os.WriteFile(path, ndjson(b, box), 0o600); err != nil {
		b.Fatal(err)
	}
	w := newWorld(b, sandbox.Options{})
	w.settings.PageSize, w.settings.BatchSize, w.settings.DryRun = 100, 100, io.Discard
	for b.Loop() {
		file, err := profilessync.OpenFile(path)
		if err != nil {
			b.Fatal(err)
		}
		w.settings.From = importer.FromFile(file)
		im := w.importerOf(journal.Start{Identity: fileIdentity(), Mode: journal.Anew, Offset: importer.Beginning})
		if err := im.Run(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(20_000*float64(b.N)/b.Elapsed().Seconds(), "profiles/s")
}
