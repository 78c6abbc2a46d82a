package profilessync_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"segsync/internal/pgtest"
	"segsync/profilessync"
)

const benchProfiles = 20_000

// benchPeople have 12 rows each.
func benchPeople() []profilessync.Profile {
	profiles := people(benchProfiles)
	for i := range profiles {
		for n := range 10 {
			profiles[i].Traits[fmt.Sprint("trait_", n)] = fmt.Sprint("value ", i, " of ", n)
		}
	}
	return profiles
}

var benchQuery = profilessync.Query{IdentifierTypes: []string{"user_id"}}

func BenchmarkWarehouse(b *testing.B) {
	url := pgtest.URL(b)
	schema := pgtest.Schema(b, url)
	pgtest.Fill(b, url, schema, persons(benchPeople()))
	w, err := profilessync.Open(b.Context(), url, schema)
	if err != nil {
		b.Fatal(err)
	}
	sql, err := profilessync.SQL("postgres", schema, benchQuery)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("copy", func(b *testing.B) { // the limit
		for b.Loop() {
			pgtest.Copy(b, url, io.Discard, "COPY ("+sql+") TO STDOUT")
		}
	})
	b.Run("profiles", func(b *testing.B) {
		for b.Loop() {
			for _, err := range w.Profiles(b.Context(), benchQuery) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(b.N*benchProfiles)/b.Elapsed().Seconds(), "profiles/s")
		b.ReportMetric(float64(b.N*benchProfiles*12)/b.Elapsed().Seconds(), "rows/s")
	})
}

func BenchmarkFile(b *testing.B) {
	profiles, rows := benchFiles(b)
	for name, path := range map[string]string{"profiles": profiles, "rows": rows} {
		b.Run(name, func(b *testing.B) {
			f, err := profilessync.OpenFile(path)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				for _, err := range f.Profiles(b.Context(), benchQuery, profilessync.Position{}) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.N*benchProfiles)/b.Elapsed().Seconds(), "profiles/s")
		})
	}
}

// benchFiles writes a file of profiles and one of rows.
func benchFiles(b *testing.B) (profiles, rows string) {
	var p, r []byte
	r = append(r, "canonical_segment_id,kind,name,value,seq\n"...)
	for _, person := range benchPeople() {
		id := person.ExternalIDs[0].ID
		p = fmt.Appendf(p, `{"segment_id":%q,"external_ids":[{"type":"user_id","id":%q,"created_at":"2026-05-01T10:00:00Z"}],"traits":{"email":%q`,
			person.SegmentID, id, person.Traits["email"])
		r = fmt.Appendf(r, "%s,identifier,user_id,%s,1\n%s,trait,email,%s,2\n", person.SegmentID, id, person.SegmentID, person.Traits["email"])
		for n := range 10 {
			key := fmt.Sprint("trait_", n)
			p = fmt.Appendf(p, `,%q:%q`, key, person.Traits[key])
			r = fmt.Appendf(r, "%s,trait,%s,%s,%d\n", person.SegmentID, key, person.Traits[key], n)
		}
		p = append(p, "}}\n"...)
	}
	dir := b.TempDir()
	profiles, rows = filepath.Join(dir, "profiles"), filepath.Join(dir, "rows")
	if err := os.WriteFile(profiles, p, 0o600); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(rows, r, 0o600); err != nil {
		b.Fatal(err)
	}
	return profiles, rows
}
