package journal_test

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"segsync/importer/journal"
)

// own are the files that must be as the state says.
var own = []string{
	"segsync-state.json", "segsync-pending.jsonl", "segsync-profiles.bin", "segsync-source-ids.bin", "segsync-not-imported.jsonl",
}

// result is what an import that was finished left: the counts, and the reports.
func result(t *testing.T, names journal.Names, state *journal.State) map[string]string {
	t.Helper()
	counts, err := json.Marshal(state.Counts)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"counts": string(counts)}
	for _, name := range []string{names.WithoutIdentifier, names.Merged, names.Warnings} {
		data, err := os.ReadFile(names.Path(name))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(data)
	}
	data, err := os.ReadFile(names.Path(names.NotImported))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(data), "\n") // of one time, in the order of their ids
	slices.Sort(lines)
	all[names.NotImported] = strings.Join(lines, "\n")
	return all
}

// A file of the journal of which a byte was changed, or the end is missing, is refused, and
// its name is told; or the import comes to the very end that it would have come to.
func TestDamageIsRefusedOrHarmless(t *testing.T) {
	names := unfinished(t)
	files := filesOf(t, names.Dir)
	whole := copyOf(t, files)
	state, err := finish(whole)
	if err != nil {
		t.Fatal(err)
	}
	want := result(t, whole, state)
	for _, name := range own {
		content := files[name]
		if content == "" {
			t.Fatalf("%s is empty", name)
		}
		refused := 0
		try := func(how string, at int, damaged string) {
			changed := maps.Clone(files)
			changed[name] = damaged
			names := copyOf(t, changed)
			state, err := finish(names)
			if e, ok := errors.AsType[*journal.DamagedError](err); ok {
				refused++
				if filepath.Base(e.Path) != name {
					t.Errorf("%s %s at %d: the error names %s", name, how, at, e.Path)
				}
			} else if err != nil {
				t.Errorf("%s %s at %d: error %v", name, how, at, err)
			} else if diff := cmp.Diff(want, result(t, names, state)); diff != "" {
				t.Errorf("%s %s at %d (-want +got):\n%s", name, how, at, diff)
			}
			os.RemoveAll(names.Dir)
		}
		step := max(len(content)/40, 1)
		tries := 0
		for at := 0; at < len(content); at += step {
			for _, bit := range []byte{1, 0x80} {
				flipped := []byte(content)
				flipped[at] ^= bit
				try("flipped", at, string(flipped))
			}
			try("cut", at, content[:at])
			tries += 3
		}
		if refused < tries*9/10 { // a last newline or a space between JSON tokens may go
			t.Errorf("%s: only %d of %d were refused", name, refused, tries)
		}
	}
}

// What is behind the extents was written before a crash, and is written again.
func TestCrashBetweenFilesAndState(t *testing.T) {
	names := unfinished(t)
	files := filesOf(t, names.Dir)
	undisturbed := copyOf(t, files)
	state, err := finish(undisturbed)
	if err != nil {
		t.Fatal(err)
	}
	want := result(t, undisturbed, state)
	for name := range files {
		if name != names.State {
			files[name] += "use_9,half of a li"
		}
	}
	crashed := copyOf(t, files)
	state, err = finish(crashed)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, result(t, crashed, state)); diff != "" {
		t.Errorf("(-undisturbed +crashed):\n%s", diff)
	}
}

// People edit reports: the import goes on, keeps what they wrote, and says so.
func TestReportsThatWereEdited(t *testing.T) {
	edits := map[string]func(string) string{
		"CRLF": func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") },
		"sorted": func(s string) string {
			l := strings.SplitAfter(s, "\n")
			slices.Sort(l)
			slices.Reverse(l)
			return strings.Join(l, "")
		},
		"line removed":   func(s string) string { _, rest, _ := strings.Cut(s, "\n"); return rest },
		"line added":     func(s string) string { return "use_mine\n" + s },
		"cut in a line":  func(s string) string { return s[:len(s)-3] },
		"emptied":        func(string) string { return "" },
		"something else": func(s string) string { return strings.Repeat("x", 2*len(s)) },
	}
	for what, edit := range edits {
		t.Run(what, func(t *testing.T) {
			names := unfinished(t)
			files := filesOf(t, names.Dir)
			want := []string{names.Path(names.WithoutIdentifier), names.Path(names.Merged), names.Path(names.Warnings)}
			notImported := files[names.NotImported]
			edited := map[string]string{}
			for _, name := range []string{names.WithoutIdentifier, names.Merged, names.Warnings, names.NotImported} {
				edited[name] = edit(files[name])
				if err := os.WriteFile(names.Path(name), []byte(edited[name]), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			j := mustOpen(t, names, start(journal.Existing))
			slices.Sort(j.Edited)
			slices.Sort(want)
			if diff := cmp.Diff(want, j.Edited); diff != "" {
				t.Errorf("edited (-want +got):\n%s", diff)
			}
			if err := errors.Join(j.AddPage(page(2, true)), j.Save(), j.Close()); err != nil {
				t.Fatal(err)
			}
			got := filesOf(t, names.Dir)
			for _, name := range []string{names.WithoutIdentifier, names.Merged, names.Warnings} {
				kept := edited[name]
				if kept != "" && !strings.HasSuffix(kept, "\n") {
					kept += "\n"
				}
				added, ok := strings.CutPrefix(got[name], kept)
				if !ok || !strings.Contains("\n"+added, "\nuse_2_") || strings.Count(added, "use_2_") != 1 {
					t.Errorf("%s is\n%s\nit was\n%s", name, got[name], edited[name])
				}
			}
			// Each record is in the report once, with those of the last page.
			lines := strings.Split(strings.TrimSpace(got[names.NotImported]), "\n")
			if len(lines) != 7 || !strings.HasPrefix(got[names.NotImported], notImported[:strings.Index(notImported, "\n")]) {
				t.Errorf("%s is\n%s", names.NotImported, got[names.NotImported])
			}
		})
	}
}
