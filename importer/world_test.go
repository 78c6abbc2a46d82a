package importer_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"segsync/importer"
	"segsync/importer/journal"
	"segsync/importer/mapping"
	"segsync/internal/httpretry"
	"segsync/internal/pgtest"
	"segsync/internal/sandbox"
	"segsync/internal/sandboxtest"
)

func TestMain(m *testing.M) {
	code := pgtest.Main(m)
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// world is an importer and what it imports from and to, without a network.
type world struct {
	*sandboxtest.World
	t        testing.TB
	settings importer.Settings
	names    journal.Names
	log      bytes.Buffer
	mu       sync.Mutex // for what rules share
	retrying bool       // a httpretry.Transport stands between the clients and the sandbox
}

type (
	answerWriter = http.ResponseWriter
	request      = *http.Request
)

func newWorld(t testing.TB, o sandbox.Options) *world {
	return &world{World: sandboxtest.New(o), t: t, names: journal.NewNames(t.TempDir(), ""), settings: importer.Settings{
		Identifiers: []mapping.Identifier{{Type: "user_id"}},
		PageSize:    10,
		TraitsLimit: 200,
		BatchSize:   20,
		Readers:     4,
		Mapping:     mapping.Default(),
		Verify:      importer.Verify{Interval: 30 * time.Second, Timeout: 10 * time.Minute},
		MaxRejects:  -1,
		MaxClears:   -1,
	}}
}

// statePath is where the state file is.
func (w *world) statePath() string { return w.names.Path(w.names.State) }

// savedState returns the state on the disk, or nil.
func (w *world) savedState() *journal.State {
	w.t.Helper()
	state, err := journal.Load(w.names)
	if err != nil {
		w.t.Fatal(err)
	}
	return state
}

func identity() journal.Identity {
	return journal.Identity{Space: "spa_sandbox", Identifier: "user_id"}
}

// from begins a new import at the offset, whatever is in the directory.
func from(offset string) journal.Start {
	return journal.Start{Identity: identity(), Mode: journal.Anew, Offset: offset}
}

// importer returns an importer that continues what the directory has, or begins anew,
// as a new process would.
func (w *world) importer() *importer.Importer {
	w.t.Helper()
	return w.importerOf(journal.Start{Identity: identity(), Mode: journal.Resume, Offset: importer.Beginning})
}

// importerOf returns an importer that begins, or goes on, as start says.
func (w *world) importerOf(start journal.Start) *importer.Importer {
	w.t.Helper()
	j, _, err := journal.Open(w.names, start)
	if err != nil {
		w.t.Fatal(err)
	}
	segment, vch := sandboxtest.Clients(w.t, w, sandboxtest.NoNetwork)
	if w.retrying {
		plain, plainVoucherify := segment, vch // for the probes
		segment, _ = sandboxtest.Clients(w.t, httpretry.New(httpretry.Options{API: "Segment", Base: w, Probe: plain.Probe}), sandboxtest.NoNetwork)
		_, vch = sandboxtest.Clients(w.t, httpretry.New(httpretry.Options{API: "Voucherify", Base: w, Probe: plainVoucherify.Probe}), sandboxtest.NoNetwork)
	}
	return importer.New(segment, vch, w.settings, j, slog.New(slog.NewTextHandler(&w.log, nil)))
}

// run runs the importer, and returns the offset that it has reached.
func run(ctx context.Context, im *importer.Importer) (offset string, err error) {
	err = im.Run(ctx)
	return im.State().Position.Offset, err
}

// counts are the counts of an import in a form that tests compare.
type counts struct {
	Read, Confirmed, Rejected, Unreadable, Unconfirmed, WithoutIdentifier, Vanished, Merged, WouldSend int
	InvalidBirthdates, FoundLate                                                                       int
}

func countsOf(s *journal.State) counts {
	return counts{
		Read: s.Counts.Read, InvalidBirthdates: s.Counts.InvalidBirthdates, FoundLate: s.Counts.FoundLate,
		Confirmed: s.Count(journal.Confirmed), Rejected: s.Count(journal.Rejected), Unreadable: s.Count(journal.Unreadable),
		Unconfirmed: s.Count(journal.Unconfirmed), WithoutIdentifier: s.Count(journal.WithoutIdentifier),
		Vanished: s.Count(journal.Vanished), Merged: s.Count(journal.Merged), WouldSend: s.Count(journal.WouldSend),
	}
}

// wantComplete checks that the project has exactly the customers of the space, and that
// the reports have each of the other profiles once, in the order of the list.
func (w *world) wantComplete() {
	w.t.Helper()
	w.wantCustomers(len(w.Profiles()))
	w.wantReports(len(w.Profiles()))
}

// wantCustomers checks that the project has exactly the customers of the first n
// profiles. Of those that several profiles share only the presence is checked.
func (w *world) wantCustomers(n int) {
	w.t.Helper()
	if diff := w.Customers(w.Profiles()[:n], w.settings.Mapping); diff != "" {
		w.t.Errorf("customers (-want +got):\n%.2000s", diff)
	}
}

// wantReports checks that the reports speak of exactly the first n profiles. The records
// of what was not imported are in the order of their first time, which is no order here.
func (w *world) wantReports(n int) {
	w.t.Helper()
	var wantTxt, gotTxt []string
	wantRows := map[string][]string{}
	for _, e := range w.Profiles()[:n] {
		switch {
		case e.Vanished:
			wantRows[e.SegmentID] = []string{"", "vanished"}
		case e.SourceID == "":
			wantTxt = append(wantTxt, e.SegmentID)
		}
	}
	for line := range strings.Lines(w.report(w.names.WithoutIdentifier)) {
		gotTxt = append(gotTxt, strings.TrimSuffix(line, "\n"))
	}
	if diff := cmp.Diff(wantTxt, gotTxt); diff != "" {
		w.t.Errorf("profiles without identifier (-want +got):\n%s", diff)
	}
	gotRows := map[string][]string{}
	for _, row := range w.rejected() {
		if gotRows[row[0]] != nil {
			w.t.Errorf("%s has two lines", row[0])
		}
		gotRows[row[0]] = row[1:3]
	}
	if diff := cmp.Diff(wantRows, gotRows); diff != "" {
		w.t.Errorf("not imported (-want +got):\n%s", diff)
	}
}

// notImported returns the rows of not-imported.csv, the header included.
func (w *world) notImported() [][]string {
	w.t.Helper()
	rows, err := csv.NewReader(strings.NewReader(w.report(w.names.NotImported))).ReadAll()
	if err != nil {
		w.t.Fatal(err)
	}
	return rows
}

// rejected returns the rows of not-imported.csv without the header.
func (w *world) rejected() [][]string {
	w.t.Helper()
	rows := w.notImported()
	return rows[min(1, len(rows)):]
}

func (w *world) report(name string) string {
	w.t.Helper()
	data, err := os.ReadFile(w.names.Path(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Fatal(err)
	}
	return string(data)
}

// wantCounts checks that the counts are those of n profiles, that they add up, and that
// the state on the disk is that in memory.
func (w *world) wantCounts(im *importer.Importer, n int) {
	w.t.Helper()
	state := im.State()
	if state.Counts.Read != n || !state.AddsUp() {
		w.t.Errorf("counts of %d profiles, want %d: %+v", state.Counts.Read, n, countsOf(state))
	}
	saved := w.savedState()
	if saved == nil && n == 0 {
		return
	}
	if diff := cmp.Diff(asJSON(w.t, state), asJSON(w.t, saved)); diff != "" {
		w.t.Errorf("the state in memory and on the disk (-memory +disk):\n%s", diff)
	}
}

func asJSON(t testing.TB, s *journal.State) string {
	t.Helper()
	data, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// wantConfirmed checks that the import has come to its end: everything is confirmed,
// rejected, or accounted for otherwise.
func (w *world) wantConfirmed(im *importer.Importer, n int) {
	w.t.Helper()
	w.wantCounts(im, n)
	state := im.State()
	if state.Unfinished() || !state.Position.Done || len(state.Actions) != 0 {
		w.t.Errorf("not finished: %+v", state)
	}
}
