package importer_test

import (
	filesource "segsync/importer/source/file"
	warehousesource "segsync/importer/source/warehouse"

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

	"segsync/importer/journal"
	"segsync/importer/source"
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
		origin func() newSource
		but    []string // shapes
	}{
		"profiles":  {func() newSource { return fileOf(t, filepath.Join(dir, "profiles"), profileLines(t, box)) }, nil},
		"rows":      {func() newSource { return fileOf(t, filepath.Join(dir, "rows"), rowsCSV(t, box)) }, notInTables},
		"warehouse": {func() newSource { return warehouseOf(t, box) }, notInTables},
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
func customersOf(t *testing.T, w *world, from newSource) map[string]string {
	t.Helper()
	var out bytes.Buffer
	w.settings.DryRun, w.settings.Source = &out, from
	if err := w.importerOf(journal.Start{Identity: fileIdentity(), Mode: journal.Discard}).Run(t.Context()); err != nil {
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

func fileOf(t *testing.T, path string, content []byte) newSource {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return openFile(t, path)
}

// newSource makes the source of a run.
type newSource = func(settings, *journal.State, int) source.Source

func fromFileSource(f *profilessync.File) newSource {
	return func(set settings, _ *journal.State, limit int) source.Source {
		return filesource.New(f, source.QueryFor(set.Identifiers, set.Mapping), set.PageSize, limit)
	}
}

func fromWarehouseSource(warehouse *profilessync.Warehouse) newSource {
	return func(set settings, s *journal.State, limit int) source.Source {
		return warehousesource.New(warehouse, source.QueryFor(set.Identifiers, set.Mapping), s.Since, set.PageSize, limit)
	}
}

func openFile(t *testing.T, path string) newSource {
	t.Helper()
	file, err := profilessync.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return fromFileSource(file)
}

func warehouseOf(t *testing.T, box *sandbox.Sandbox) newSource {
	t.Helper()
	url := pgtest.URL(t)
	schema := pgtest.Schema(t, url)
	pgtest.Fill(t, url, schema, box.People())
	return openWarehouse(t, url, schema)
}

func openWarehouse(t *testing.T, url, schema string) newSource {
	t.Helper()
	warehouse, err := profilessync.Open(t.Context(), url, schema)
	if err != nil {
		t.Fatal(err)
	}
	return fromWarehouseSource(warehouse)
}

// rowsCSV returns the people of the sandbox as the result of the query.
func rowsCSV(t *testing.T, box *sandbox.Sandbox) []byte {
	t.Helper()
	all := slices.SortedFunc(box.People(), func(a, b sandbox.Person) int { return cmp.Compare(a.SegmentID, b.SegmentID) })
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	w.Write([]string{"canonical_segment_id", "kind", "name", "value", "seq"})
	for _, p := range all {
		ids := slices.SortedFunc(slices.Values(p.ExternalIDs), func(a, b sandbox.ExternalID) int {
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
