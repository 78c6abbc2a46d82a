package importer_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"segsync/importer/journal"
	"segsync/internal/sandboxtest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"segsync/importer"
	"segsync/internal/sandbox"
)

// files returns the files of the import, as a crash at this instant would leave them.
func (w *world) files() map[string]string {
	w.t.Helper()
	for {
		before, _ := os.ReadFile(w.statePath())
		all := map[string]string{}
		entries, err := os.ReadDir(w.names.Dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			w.t.Error(err)
		}
		for _, e := range entries {
			if data, err := os.ReadFile(w.names.Path(e.Name())); err == nil {
				all[e.Name()] = string(data)
			}
		}
		// A state that was saved in the meantime would not belong to files read before.
		if after, _ := os.ReadFile(w.statePath()); bytes.Equal(before, after) && string(before) == all[w.names.State] {
			return all
		}
	}
}

// restore makes the directory hold these files and no others.
func (w *world) restore(files map[string]string) {
	w.t.Helper()
	if err := os.RemoveAll(w.names.Dir); err != nil {
		w.t.Error(err)
	}
	if err := os.Mkdir(w.names.Dir, 0o700); err != nil {
		w.t.Error(err)
	}
	for name, data := range files {
		if err := os.WriteFile(w.names.Path(name), []byte(data), 0o600); err != nil {
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

// A new import keeps what it takes the place of, unless that was finished.
func TestNewImportKeepsTheUnfinishedOne(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		old  func(w *world, data []byte) []byte
		kept bool
	}{
		"unfinished": {func(_ *world, data []byte) []byte { return data }, true},
		"damaged":    {func(_ *world, data []byte) []byte { return data[:len(data)/2] }, true},
		"newer": {func(_ *world, data []byte) []byte {
			return bytes.Replace(data, []byte(`"version": 2`), []byte(`"version": 3`), 1)
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
				im := w.importerOf(from(importer.Beginning))
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
		w.On(`next=0$`, sandboxtest.Status(401))
		if err := w.importerOf(from(importer.Beginning)).Run(t.Context()); err == nil {
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
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 200, Latency: time.Second, ActionDelay: 10 * time.Minute})
		w.settings.CatchUp = true
		w.settings.Verify.Timeout = time.Minute
		var states [][]byte
		w.On(".", func(answerWriter, request) bool {
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
		w.Mend()
		files := w.files()
		if len(states) < 2 {
			t.Fatalf("only %d saves", len(states))
		}
		time.Sleep(10 * time.Hour)
		w.settings.Verify.Timeout = 100 * time.Hour
		for i, state := range states {
			files[w.names.State] = string(state)
			files["."+w.names.State+".1234.tmp"] = "half of a sta" // of the crash
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

// A file of the journal that is shorter than the state says has lost something. Nothing is
// done then.
func TestFilesThatWereCut(t *testing.T) {
	for _, name := range []string{"segsync-pending.jsonl", "segsync-profiles.bin", "segsync-source-ids.bin", "segsync-not-imported.jsonl"} {
		for what, damage := range map[string]func(data string) string{
			"by a byte": func(data string) string { return data[:len(data)-1] },
			"missing":   func(string) string { return "" },
		} {
			t.Run(name+", "+what, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w, _ := aState(t)
					files := w.files()
					for other := range files { // what a crash left
						if other != name && other != w.names.State {
							files[other] += "more"
						}
					}
					files[name] = damage(files[name])
					w.restore(files)
					asked := w.Count(".")
					for _, do := range []func(*importer.Importer, context.Context) error{(*importer.Importer).Run, (*importer.Importer).Verify} {
						err := do(w.importer(), t.Context())
						damaged, ok := errors.AsType[*journal.DamagedError](err)
						if !ok || damaged.Path != w.names.Path(name) || *asked != 0 {
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

// The state cannot be saved any more in the middle of an import.
func TestSaveThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sandbox.Options{Profiles: 200, Latency: 200 * time.Millisecond})
		kept := w.statePath() + ".kept"
		w.On(`@101/external_ids`, func(answerWriter, request) bool {
			if err := errors.Join(os.Rename(w.statePath(), kept), os.MkdirAll(filepath.Join(w.statePath(), "full"), 0o700)); err != nil {
				t.Error(err)
			}
			return false
		})
		im := w.importer()
		err := im.Run(t.Context())
		if err == nil || !strings.HasPrefix(err.Error(), "writing "+w.statePath()) {
			t.Errorf("error %v", err)
		}
		if err := errors.Join(os.RemoveAll(w.statePath()), os.Rename(kept, w.statePath())); err != nil {
			t.Fatal(err)
		}
		w.wantCounts(im, im.State().Counts.Read)
		if n := im.State().Counts.Read; n == 0 || n > 110 {
			t.Errorf("%d profiles are claimed to be read", n)
		}
		w.Mend()
		if err := im.Run(t.Context()); err != nil { // the same process: it asked, and was told to go on
			t.Fatal(err)
		}
		w.wantComplete()
		w.wantConfirmed(im, 200)
	})
}
