package importer_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"segsync/importer"
	"segsync/internal/sandbox"
)

// files returns the files of the import, as a crash at this instant would leave them.
func (w *world) files() map[string][]byte {
	w.t.Helper()
	for {
		before, _ := os.ReadFile(w.statePath())
		all := map[string][]byte{}
		entries, err := os.ReadDir(w.settings.Files.Dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			w.t.Error(err)
		}
		for _, e := range entries {
			if data, err := os.ReadFile(filepath.Join(w.settings.Files.Dir, e.Name())); err == nil {
				all[e.Name()] = data
			}
		}
		// A state that was saved in the meantime would not belong to files read before.
		if after, _ := os.ReadFile(w.statePath()); bytes.Equal(before, after) && bytes.Equal(before, all[w.settings.Files.State]) {
			return all
		}
	}
}

// restore makes the directory hold these files and no others.
func (w *world) restore(files map[string][]byte) {
	w.t.Helper()
	dir := w.settings.Files.Dir
	if err := os.RemoveAll(dir); err != nil {
		w.t.Error(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		w.t.Error(err)
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			w.t.Error(err)
		}
	}
}

// aState is a world whose import has customers that are not confirmed, and its state
// file.
func aState(t *testing.T) (*world, []byte) {
	t.Helper()
	w := newWorld(t, sandbox.Options{Profiles: 100, ActionDelay: time.Hour})
	if err := w.importer().Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(w.statePath())
	if err != nil {
		t.Fatal(err)
	}
	return w, data
}

func sameState(t *testing.T, want, got *importer.State) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(importer.Action{})); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
}

func TestLoadStateThatWasCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, data := aState(t)
		whole := w.savedState()
		path := filepath.Join(t.TempDir(), "state.json")
		for n := range data {
			if err := os.WriteFile(path, data[:n], 0o600); err != nil {
				t.Fatal(err)
			}
			state, err := importer.LoadState(path)
			if n == len(data)-1 { // nothing but the last newline is missing
				if err != nil {
					t.Error(err)
				}
				sameState(t, whole, state)
				continue
			}
			if !errors.Is(err, importer.ErrState) || !strings.Contains(err.Error(), path+" is damaged") || state != nil {
				t.Errorf("cut after %d bytes: %v, %v", n, state, err)
			}
		}
	})
}

func TestLoadState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, data := aState(t)
		replace := func(old, with string) string {
			if !bytes.Contains(data, []byte(old)) {
				t.Fatalf("there is no %s in\n%s", old, data)
			}
			return strings.Replace(string(data), old, with, 1)
		}
		path := filepath.Join(t.TempDir(), "state.json")
		for name, c := range map[string]struct{ data, err string }{
			"newer":            {replace(`"version": 1`, `"version": 2, "new": true`), path + " was written by a newer segsync (version 2 of the file, this one knows 1)"},
			"no version":       {replace(`"version": 1`, `"version": 0`), path + " is damaged: its version is 0"},
			"not ours":         {`[]`, path + " is damaged: json: cannot unmarshal array into Go value"},
			"null":             {`null`, path + " is damaged: its version is 0"},
			"an unknown field": {replace(`"version": 1`, `"version": 1, "new": true`), path + ` is damaged: json: unknown field "new"`},
			"counts":           {replace(`"confirmed": 0`, `"confirmed": 1`), path + " is damaged: its counts do not add up"},
			"no space":         {replace(`"spa_sandbox"`, `""`), path + " is damaged: it does not say what was imported"},
			"no offset":        {replace(`"done": true`, `"done": false`), path + " is damaged: it has no offset"},
			"an action without an id": {string(regexp.MustCompile(`"id": "[^"]+"`).ReplaceAll(data, []byte(`"id": ""`))),
				path + " is damaged: it has an async action without its customers"},
			"more customers than the file has": {replace(`"pending": `, `"pending": 0, "other": `),
				path + " is damaged: it has an async action without its customers"},
			"a directory in its place": {"", ""},
		} {
			os.RemoveAll(path)
			if c.data == "" {
				if err := os.Mkdir(path, 0o700); err != nil {
					t.Fatal(err)
				}
			} else if err := os.WriteFile(path, []byte(c.data), 0o600); err != nil {
				t.Fatal(err)
			}
			state, err := importer.LoadState(path)
			if state != nil || err == nil || !strings.Contains(err.Error(), c.err) || errors.Is(err, importer.ErrState) != (c.err != "") {
				t.Errorf("%s: %v, %v", name, state, err)
			}
			if after, _ := os.ReadFile(path); string(after) != c.data {
				t.Errorf("%s: the file was changed", name)
			}
		}
		if state, err := importer.LoadState(filepath.Join(t.TempDir(), "none.json")); state != nil || err != nil {
			t.Errorf("no file: %v, %v", state, err)
		}
	})
}

// A new import keeps what it takes the place of, unless that was finished.
func TestNewImportKeepsTheUnfinishedOne(t *testing.T) {
	for name, c := range map[string]struct {
		old  func(w *world, data []byte) []byte
		kept bool
	}{
		"unfinished": {func(_ *world, data []byte) []byte { return data }, true},
		"damaged":    {func(_ *world, data []byte) []byte { return data[:len(data)/2] }, true},
		"newer": {func(_ *world, data []byte) []byte {
			return bytes.Replace(data, []byte(`"version": 1`), []byte(`"version": 2`), 1)
		}, true},
		"finished": {func(w *world, _ []byte) []byte {
			time.Sleep(24 * time.Hour)
			if err := w.importer().Run(w.t.Context()); err != nil {
				w.t.Fatal(err)
			}
			data, _ := os.ReadFile(w.statePath())
			return data
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, data := aState(t)
				old := c.old(w, data)
				if err := os.WriteFile(w.statePath(), old, 0o600); err != nil {
					t.Fatal(err)
				}
				w.settings.Verify.Timeout = 100 * time.Hour
				im := w.importerOf(newState(importer.Beginning))
				if err := im.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				w.wantComplete() // the reports began anew
				w.wantConfirmed(im, 100)
				kept, err := os.ReadFile(w.statePath() + ".bak")
				if c.kept && !bytes.Equal(kept, old) || !c.kept && !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%v, kept\n%s", err, kept)
				}
			})
		})
	}
}

// A run that fails before it has anything to save leaves the old import alone.
func TestNothingIsReplacedBeforeThereIsSomethingToSave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := aState(t)
		before := w.files()
		w.on(`next=0$`, status(401))
		if err := w.importerOf(newState(importer.Beginning)).Run(t.Context()); err == nil {
			t.Error("no error")
		}
		if diff := cmp.Diff(before, w.files()); diff != "" {
			t.Errorf("files (-before +after):\n%s", diff)
		}
	})
}

// The reports are written before the state that speaks of them. After a crash in between
// they have lines that the next run writes again.
func TestCrashBetweenTheReportsAndTheState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 200, Latency: time.Second, ActionDelay: 10 * time.Minute})
		w.settings.CatchUp = true
		w.settings.Verify.Timeout = time.Minute
		var states [][]byte
		w.on(".", func(answerWriter, request) bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			data, err := os.ReadFile(w.statePath())
			if err == nil && (len(states) == 0 || !bytes.Equal(data, states[len(states)-1])) {
				states = append(states, data)
			}
			return false
		})
		if err := w.importer().Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.mend()
		files := w.files()
		if len(states) < 2 {
			t.Fatalf("only %d saves", len(states))
		}
		time.Sleep(10 * time.Hour)
		w.settings.Verify.Timeout = 100 * time.Hour
		for i, state := range states {
			files[w.settings.Files.State] = state
			files[w.settings.Files.State+".tmp"] = []byte("half of a sta") // of the crash
			w.restore(files)
			im := w.importer()
			read := im.State().Counts.Read
			if err := im.Run(t.Context()); err != nil {
				t.Fatalf("from save %d: %v", i, err)
			}
			w.wantComplete()
			w.wantConfirmed(im, 200)
			if im.ProfilesRead() != 200-read {
				t.Errorf("from save %d: %d profiles were read again", i, im.ProfilesRead()-(200-read))
			}
			if t.Failed() {
				return
			}
		}
	})
}

// Reports that are shorter than the state says have lost lines. Nothing is done then.
func TestReportsThatWereCut(t *testing.T) {
	for _, name := range []string{"profiles-without-identifier.txt", "not-imported.csv", "segsync-pending.csv", "segsync-seen.bin"} {
		for what, damage := range map[string]func(data []byte) []byte{
			"by a byte": func(data []byte) []byte { return data[:len(data)-1] },
			"missing":   func([]byte) []byte { return nil },
		} {
			t.Run(name+", "+what, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w, _ := aState(t)
					files := w.files()
					for other := range files { // what a crash left
						if other != name && other != w.settings.Files.State {
							files[other] = append(files[other], "more"...)
						}
					}
					if files[name] = damage(files[name]); files[name] == nil {
						files[name] = []byte{}
					}
					w.restore(files)
					asked := w.count(".")
					for _, do := range []func(*importer.Importer, context.Context) error{(*importer.Importer).Run, (*importer.Importer).Verify} {
						err := do(w.importer(), t.Context())
						if err == nil || !strings.Contains(err.Error(), name+" has ") || *asked != 0 {
							t.Errorf("error %v, %d requests", err, *asked)
						}
						if diff := cmp.Diff(files, w.files()); diff != "" {
							t.Errorf("files (-before +after):\n%s", diff)
						}
					}
				})
			})
		}
	}
}

// The disk fills up in the middle of an import.
func TestDiskThatFillsUp(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("there is no /dev/full")
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 200, Latency: 200 * time.Millisecond})
		w.on(`@101/external_ids`, func(answerWriter, request) bool {
			if err := os.Symlink("/dev/full", w.statePath()+".tmp"); err != nil {
				t.Error(err)
			}
			return false
		})
		im := w.importer()
		err := im.Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), "no space left") || !strings.Contains(err.Error(), w.statePath()) {
			t.Errorf("error %v", err)
		}
		w.wantCounts(im, im.State().Counts.Read)
		if n := im.State().Counts.Read; n == 0 || n > 110 {
			t.Errorf("%d profiles are claimed to be read", n)
		}
		w.mend()
		if err := im.Run(t.Context()); err != nil { // the same process: it asked, and was told to go on
			t.Fatal(err)
		}
		w.wantComplete()
		w.wantConfirmed(im, 200)
	})
}
