package main

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"segsync/internal/safetext"
	"segsync/internal/sandbox"
)

// A dry run writes what an import sends: each customer once, in the order of the list, with
// the same bytes.
func TestDryRunWritesWhatAnImportSends(t *testing.T) {
	t.Parallel()
	w := startWorld(t, sandbox.Options{Profiles: 500})
	p := w.start(t, "import", "--dry-run", "--dir", "out")
	p.wantExit(t, 0)
	for _, r := range w.box.Requests() {
		if r.Method != http.MethodGet {
			t.Errorf("a dry run sent %s %s", r.Method, r.Path)
		}
	}
	place := map[string]int{}
	for i, e := range w.box.Want() {
		if _, again := place[e.SourceID]; !again {
			place[e.SourceID] = i
		}
	}
	var dry []string
	last := -1
	for line := range strings.Lines(p.stdout.String()) {
		var c struct {
			SourceID string `json:"source_id"`
		}
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		if at, known := place[c.SourceID]; !known || at <= last {
			t.Errorf("%s is at %d of the list (known: %v), after %d", c.SourceID, at, known, last)
		} else {
			last = at
		}
		dry = append(dry, strings.TrimSuffix(line, "\n"))
	}

	w.start(t, "import", "--dir", "real").wantExit(t, 0)
	at := map[string]int{}
	for i, line := range dry {
		at[line] = i
	}
	sent := make([]string, len(dry))
	for _, r := range w.box.Requests() {
		if r.Method != http.MethodPost {
			continue
		}
		var customers []json.RawMessage
		if err := json.Unmarshal(r.Body, &customers); err != nil {
			t.Fatal(err)
		}
		first := at[string(safetext.JSON(customers[0]))]
		for i, raw := range customers {
			c := safetext.JSON(raw) // the same JSON
			if first+i >= len(sent) || sent[first+i] != "" {
				t.Fatalf("an import sends more than the dry run has: %s", c)
			}
			sent[first+i] = string(c)
		}
	}
	if diff := cmp.Diff(sent, dry); diff != "" {
		t.Errorf("customers (-sent +dry run):\n%.3000s", diff)
	}
}

// What an unfinished import has in the directory is not touched by a dry run in it.
func TestDryRunLeavesTheFilesOfAnImportAlone(t *testing.T) {
	t.Parallel()
	w := startWorld(t, sandbox.Options{Profiles: 500})
	w.answer(`next=300$`, 1, 0, status(http.StatusBadRequest))
	p := w.start(t, "import", "--dir", "out")
	p.wantExit(t, 1)
	w.mend()
	before := filesIn(t, filepath.Join(w.dir, "out"))
	w.start(t, "import", "--dry-run", "--dir", "out").wantExit(t, 0)
	after := filesIn(t, filepath.Join(w.dir, "out"))
	for name, data := range before {
		if filepath.Base(name) != "lock" && after[name] != data {
			t.Errorf("%s has changed:\n%s", name, cmp.Diff(data, after[name]))
		}
	}
	for name := range after {
		if _, there := before[name]; !there && !strings.Contains(name, "-dry-run") {
			t.Errorf("a dry run wrote %s", name)
		}
	}
	w.resume(t, p, 0)
	check(t, w.complete(), w.reportsExact(filepath.Join(w.dir, "out")))
}

// filesIn returns the files below dir, by their paths.
func filesIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		check(t, err)
		data, err := os.ReadFile(path)
		files[name] = string(data)
		return err
	})
	check(t, err)
	return files
}
