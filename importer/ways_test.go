package importer_test

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"segsync/importer"
	"segsync/importer/journal"
	"segsync/internal/pgtest"
	"segsync/internal/sandbox"
	"segsync/profilessync"
)

// notInTables has the shapes of profiles whose customers differ where the profiles come from
// tables, which hold text: docs/sources.md has the same list.
var notInTables = []string{"exponents, boolean", "name array", "shared user_id"}

// The same people give the same customers, byte by byte, whatever way they come.
func TestTheSamePeopleEveryWay(t *testing.T) {
	t.Parallel()
	options := sandbox.Options{Profiles: 300}
	box := newWorld(t, options).Box
	shapes := map[string]string{} // by source_id
	for _, e := range box.Want() {
		if shapes[e.SourceID] == "" {
			shapes[e.SourceID] = e.Shape
		}
	}
	want := customersOf(t, newWorld(t, options), nil)
	if len(want) < 200 {
		t.Fatalf("%d customers from the API", len(want))
	}
	dir := t.TempDir()
	for way, test := range map[string]struct {
		origin func() importer.Origin
		but    []string // shapes
	}{
		"profiles":  {func() importer.Origin { return fileOf(t, filepath.Join(dir, "profiles"), ndjson(t, box)) }, nil},
		"rows":      {func() importer.Origin { return fileOf(t, filepath.Join(dir, "rows"), rowsCSV(t, box)) }, notInTables},
		"warehouse": {func() importer.Origin { return warehouseOf(t, box) }, notInTables},
	} {
		t.Run(way, func(t *testing.T) {
			got := customersOf(t, newWorld(t, sandbox.Options{}), test.origin())
			if len(got) != len(want) {
				t.Errorf("%d customers, want %d", len(got), len(want))
			}
			differ := map[string]bool{}
			for id := range want {
				if want[id] == got[id] {
					continue
				}
				differ[shapes[id]] = true
				if !slices.Contains(test.but, shapes[id]) {
					t.Errorf("%s: a customer differs:\nAPI:  %s\nhere: %s", shapes[id], want[id], got[id])
				}
			}
			if diff := gocmp.Diff(slices.Sorted(slices.Values(test.but)), slices.Sorted(maps.Keys(differ))); diff != "" {
				t.Errorf("shapes that differ (-want +got):\n%s", diff)
			}
		})
	}
}

// customersOf returns the customers of a dry run, by source_id.
func customersOf(t *testing.T, w *world, from importer.Origin) map[string]string {
	t.Helper()
	var out bytes.Buffer
	w.settings.DryRun, w.settings.From = &out, from
	if err := w.importerOf(journal.Start{Identity: fileIdentity(), Mode: journal.Anew, Offset: importer.Beginning}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	customers := map[string]string{}
	for line := range bytes.Lines(out.Bytes()) {
		var c struct{ Source_id string }
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		customers[c.Source_id] = string(line)
	}
	return customers
}

func fileOf(t *testing.T, path string, content []byte) importer.Origin {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return openFile(t, path)
}

func openFile(t *testing.T, path string) importer.Origin {
	t.Helper()
	file, err := profilessync.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return importer.FromFile(file)
}

func warehouseOf(t *testing.T, box *sandbox.Sandbox) importer.Origin {
	t.Helper()
	url := pgtest.URL(t)
	schema := pgtest.Schema(t, url)
	if err := profilessync.Fill(t.Context(), url, schema, people(box)); err != nil {
		t.Fatal(err)
	}
	return openWarehouse(t, url, schema)
}

func openWarehouse(t *testing.T, url, schema string) importer.Origin {
	t.Helper()
	warehouse, err := profilessync.Open(t.Context(), url, schema)
	if err != nil {
		t.Fatal(err)
	}
	return importer.FromWarehouse(warehouse)
}

// rowsCSV returns the people of the sandbox as the result of the query.
func rowsCSV(t *testing.T, box *sandbox.Sandbox) []byte {
	t.Helper()
	all := slices.SortedFunc(people(box), func(a, b profilessync.Profile) int { return cmp.Compare(a.SegmentID, b.SegmentID) })
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	w.Write([]string{"canonical_segment_id", "kind", "name", "value", "seq"})
	for _, p := range all {
		ids := slices.SortedFunc(slices.Values(p.ExternalIDs), func(a, b profilessync.ExternalID) int {
			return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(b.ID, a.ID))
		})
		for seq, id := range ids {
			w.Write([]string{p.SegmentID, "identifier", id.Type, id.ID, strconv.Itoa(seq)})
		}
		for key, value := range p.Traits {
			text, isText := value.(string)
			if !isText && value != nil {
				data, err := json.Marshal(value)
				if err != nil {
					t.Fatal(err)
				}
				text = string(data)
			}
			w.Write([]string{p.SegmentID, "trait", key, text, "1"})
		}
	}
	w.Flush()
	return out.Bytes()
}
