package importer_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"segsync/importer"
	"segsync/importer/journal"
	"segsync/internal/sandbox"
	"segsync/profilessync"
)

func fileIdentity() journal.Identity {
	return journal.Identity{Source: "file", Identifier: "user_id"}
}

// profileLines returns the people of the sandbox as a file of profiles.
func profileLines(tb testing.TB, box *sandbox.Sandbox) []byte {
	tb.Helper()
	var out bytes.Buffer
	if err := sandbox.WriteNDJSON(&out, box.People()); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// fromFile is a world that imports from a file.
type fromFile struct {
	*world
	path string
}

func newFromFile(t *testing.T, o sandbox.Options, content string) *fromFile {
	t.Helper()
	w := &fromFile{newWorld(t, o), filepath.Join(t.TempDir(), "profiles")}
	w.write(content)
	return w
}

func (w *fromFile) write(content string) {
	w.t.Helper()
	if err := os.WriteFile(w.path, []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// continued continues the import of the directory, or begins it.
func (w *fromFile) continued(t *testing.T) *process {
	t.Helper()
	w.settings.Source = openFile(t, w.path)
	return w.importerOf(journal.Start{Identity: fileIdentity(), Mode: journal.Resume})
}

// lines returns profiles, one a line, numbered from one number to another.
func lines(from, to int) string {
	var b strings.Builder
	for i := from; i <= to; i++ {
		fmt.Fprintf(&b, `{"segment_id":"use_%03d","external_ids":[{"type":"user_id","id":"u%03d"}],"traits":{"name":"N%d"}}`+"\n", i, i, i)
	}
	return b.String()
}

func (w *fromFile) wantNames(want map[string]string) {
	w.t.Helper()
	got := map[string]string{}
	for id, data := range w.Box.Customers() {
		var c struct{ Name string }
		if err := json.Unmarshal(data, &c); err != nil {
			w.t.Fatal(err)
		}
		got[id] = c.Name
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("customers (-want +got):\n%s", diff)
	}
}

func names(from, to int) map[string]string {
	all := map[string]string{}
	for i := from; i <= to; i++ {
		all[fmt.Sprintf("u%03d", i)] = fmt.Sprintf("N%d", i)
	}
	return all
}

func TestFileWrongLineIsMendedAndContinued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFromFile(t, sandbox.Options{}, lines(1, 34)+"{\"segment_id\":\"use_035\",\n"+lines(36, 50))
		err := w.continued(t).Run(t.Context())
		var at *profilessync.FileError
		if !errors.As(err, &at) || at.Line != 35 || at.Column == 0 {
			t.Fatalf("error %v, want one of line 35", err)
		}
		w.wantNames(names(1, 30)) // the pages before
		w.write(lines(1, 50))
		im := w.continued(t)
		if err := im.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.wantNames(names(1, 50))
		w.wantConfirmed(im, 50)
	})
}

func TestFileAnotherFileIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFromFile(t, sandbox.Options{}, lines(1, 30)+"nonsense\n")
		if err := w.continued(t).Run(t.Context()); err == nil {
			t.Fatal("the wrong line was imported")
		}
		before := w.savedState().Position
		if before.At != "line 30" {
			t.Fatalf("position %+v, want one after line 30", before)
		}
		for name, other := range map[string]string{"changed before": lines(2, 51), "shorter": lines(1, 5)} {
			w.write(other)
			if err := w.continued(t).Run(t.Context()); !errors.Is(err, profilessync.ErrOtherFile) {
				t.Errorf("%s: error %v, want ErrOtherFile", name, err)
			}
		}
		if after := w.savedState().Position; after.At != before.At {
			t.Errorf("position %+v, was %+v", after, before)
		}
		w.path += " was moved"
		w.write(lines(1, 50))
		if err := w.continued(t).Run(t.Context()); err != nil {
			t.Errorf("a file that was moved, and goes on otherwise: %v", err)
		}
		w.wantNames(names(1, 50))
	})
}

func TestFileTheFirstOfTwoCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFromFile(t, sandbox.Options{}, lines(1, 40)+
			`{"segment_id":"use_900","external_ids":[{"type":"user_id","id":"u007"}],"traits":{"name":"another"}}`+"\n"+
			`{"segment_id":"use_008","external_ids":[{"type":"user_id","id":"u008"}],"traits":{"name":"again"}}`+"\n")
		im := w.continued(t)
		if err := im.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.wantNames(names(1, 40))
		w.wantConfirmed(im, 41)
		if got, want := w.report(w.names.Merged), "segment_id,source_id\nuse_900,u007\n"; got != want {
			t.Errorf("merged.csv is %q, want %q", got, want)
		}
	})
}

func TestFileLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFromFile(t, sandbox.Options{}, lines(1, 40))
		w.settings.Limit = 13
		for _, want := range []int{13, 26, 39, 40} {
			im := w.continued(t)
			if err := im.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.wantNames(names(1, want))
			if done := im.State().Position.Done; done != (want == 40) {
				t.Errorf("after %d profiles: done is %v", want, done)
			}
		}
	})
}

func TestFileCustomersOfAFailedActionAreReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFromFile(t, sandbox.Options{FailActions: func(n int) bool { return n == 2 }}, lines(1, 60))
		im := w.continued(t)
		if err := im.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.wantNames(names(1, 60))
		w.wantConfirmed(im, 60)
	})
}

// What can be read only once gives nothing to send again: it is left to the next import.
func TestStdinCustomersOfAFailedActionAreLeftToTheNextImport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFromFile(t, sandbox.Options{FailActions: func(n int) bool { return n == 2 }}, "")
		file, err := profilessync.OpenOnce("standard input", strings.NewReader(lines(1, 60)))
		if err != nil {
			t.Fatal(err)
		}
		w.settings.Source = fromFileSource(file)
		im := w.importerOf(journal.Start{Identity: fileIdentity(), Mode: journal.Discard})
		if err := im.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		rows := w.notImported()
		if len(rows) != 20 || rows[0][1] == "" || rows[0][2] != "action_failed" {
			t.Errorf("not-imported.csv: %v", rows)
		}
		w.wantConfirmed(im, 60)
		if im.State().Outstanding.Count != 20 {
			t.Errorf("%d are outstanding, want 20", im.State().Outstanding.Count)
		}
	})
}

func TestStdinIsNotContinued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFromFile(t, sandbox.Options{}, lines(1, 30)+"nonsense\n")
		if err := w.continued(t).Run(t.Context()); err == nil {
			t.Fatal("the wrong line was imported")
		}
		file, err := profilessync.OpenOnce("standard input", strings.NewReader(lines(1, 60)))
		if err != nil {
			t.Fatal(err)
		}
		w.settings.Source = fromFileSource(file)
		im := w.importerOf(journal.Start{Identity: fileIdentity(), Mode: journal.Resume})
		if err := im.Run(t.Context()); !errors.Is(err, profilessync.ErrReadOnce) {
			t.Errorf("error %v, want ErrReadOnce", err)
		}
	})
}

func TestFileStopsGently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFromFile(t, sandbox.Options{}, lines(1, 4000))
		im := w.continued(t)
		w.On("POST .*/bulk", func(http.ResponseWriter, *http.Request) bool { im.Stop(); return false })
		if err := im.Run(t.Context()); !errors.Is(err, importer.ErrStopped) {
			t.Fatalf("error %v, want ErrStopped", err)
		}
		if n := im.State().Counts.Read(); n < 20 || n == 4000 {
			t.Errorf("%d profiles were read before the end", n)
		}
		if err := w.continued(t).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.wantNames(names(1, 4000))
	})
}

// Batches without a number of customers to speak of are filled to what a request takes.
func TestBatchesAreFilledByBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var content strings.Builder
		for i := range 300 {
			fmt.Fprintf(&content, `{"segment_id":"use_%03d","external_ids":[{"type":"user_id","id":"u%03d"}],"traits":{"description":%q}}`+"\n",
				i, i, strings.Repeat("d", 50_000))
		}
		w := newFromFile(t, sandbox.Options{VoucherifyLatency: time.Second}, content.String())
		w.settings.BatchSize = 100_000
		var mu sync.Mutex
		sent := map[time.Time]int{}
		w.On("POST .*/bulk", func(http.ResponseWriter, *http.Request) bool {
			mu.Lock()
			defer mu.Unlock()
			sent[time.Now()]++
			return false
		})
		im := w.continued(t)
		if err := im.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.wantConfirmed(im, 300)
		for _, n := range sent {
			if n > 2 {
				t.Errorf("%d of them are under way at the same time, want two at most", n)
			}
		}
		bulk := w.Bulk()
		if len(bulk) != 2 {
			t.Errorf("%d bulk requests, want 2", len(bulk))
		}
		largest := 0
		for _, body := range bulk {
			largest = max(largest, len(body))
		}
		if largest > 10<<20-64<<10 || largest < 9<<20 {
			t.Errorf("the largest bulk request has %d bytes", largest)
		}
	})
}
