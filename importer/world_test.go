package importer_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"segsync/importer"
	"segsync/importer/mapping"
	"segsync/internal/httpretry"
	"segsync/internal/sandbox"
	"segsync/segmentprofiles"
	"segsync/voucherify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is an importer and what it imports from and to: the sandbox without a network,
// so that a test can run in a bubble of testing/synctest.
type world struct {
	t        *testing.T
	box      *sandbox.Sandbox
	settings importer.Settings
	log      bytes.Buffer

	profiles func() []sandbox.Expect // what there is to import

	retrying bool // a httpretry.Transport stands between the clients and the sandbox

	mu    sync.Mutex
	rules []rule
	posts [][]byte // bodies of the bulk requests, in order of arrival
}

// rule answers the requests that match by itself, where answer returns true.
type rule struct {
	match  *regexp.Regexp // of "METHOD /path?query"
	answer func(w http.ResponseWriter, r *http.Request) bool
}

func newWorld(t *testing.T, o sandbox.Options) *world {
	if o.Seed == 0 {
		o.Seed = 1
	}
	box := sandbox.New(o)
	return &world{t: t, box: box, profiles: sync.OnceValue(box.Want), settings: importer.Settings{
		Identifiers: []mapping.Identifier{{Type: "user_id"}},
		PageSize:    10,
		TraitsLimit: 200,
		BatchSize:   20,
		Readers:     4,
		Files:       importer.NewFiles(t.TempDir(), ""),
		Mapping:     mapping.Default(),
		Verify:      importer.Verify{Interval: 30 * time.Second, Timeout: 10 * time.Minute},
		MaxRejects:  -1,
	}}
}

// RoundTrip hands the request to the sandbox.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if r.Method == http.MethodPost {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		w.mu.Lock()
		w.posts = append(w.posts, body)
		w.mu.Unlock()
	}
	answer := httptest.NewRecorder()
	for _, rule := range w.rulesFor(r) {
		if rule.answer(answer, r) {
			return answered(r, answer)
		}
	}
	if err := w.serve(answer, r); err != nil {
		return nil, err
	}
	return answered(r, answer)
}

// serve lets the sandbox answer; it panics where a server would cut the connection.
func (w *world) serve(answer http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		if p := recover(); p == http.ErrAbortHandler {
			err = io.ErrUnexpectedEOF
		} else if p != nil {
			panic(p)
		}
	}()
	w.box.ServeHTTP(answer, r)
	return nil
}

// answered returns the answer, unless the client went away while it waited for it.
func answered(r *http.Request, answer *httptest.ResponseRecorder) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return answer.Result(), nil
}

func (w *world) rulesFor(r *http.Request) (rules []rule) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, rule := range w.rules {
		if rule.match.MatchString(r.Method + " " + r.URL.RequestURI()) {
			rules = append(rules, rule)
		}
	}
	return rules
}

// on lets answer decide about the requests that match; @15 is the segment id of
// profile 15. Where it returns false the sandbox answers.
func (w *world) on(match string, answer func(http.ResponseWriter, *http.Request) bool) {
	match = regexp.MustCompile(`@\d+`).ReplaceAllStringFunc(match, func(s string) string {
		var n int
		fmt.Sscanf(s, "@%d", &n)
		return w.profiles()[n].SegmentID
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rules = append(w.rules, rule{regexp.MustCompile(match), answer})
}

func (w *world) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rules = nil
}

// status answers with the status.
func status(code int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"error":{"code":"made_up","message":"made up"},"key":"made_up","message":"made up"}`)
		return true
	}
}

// nth calls answer for the n-th request only.
func nth(n int, answer func(http.ResponseWriter, *http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
	var mu sync.Mutex
	return func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		n--
		now := n == 0
		mu.Unlock()
		return now && answer(w, r)
	}
}

// statePath is where the state file is.
func (w *world) statePath() string { return w.settings.Files.Path(w.settings.Files.State) }

// savedState returns the state on the disk, or nil.
func (w *world) savedState() *importer.State {
	w.t.Helper()
	state, err := importer.LoadState(w.statePath())
	if err != nil {
		w.t.Fatal(err)
	}
	return state
}

// importer returns an importer that continues what the directory has, or begins anew,
// as a new process would.
func (w *world) importer() *importer.Importer {
	w.t.Helper()
	state := w.savedState()
	if state == nil || !state.Unfinished() {
		state = newState(importer.Beginning)
	}
	return w.importerOf(state)
}

// newState returns the state of an import that begins at the offset.
func newState(offset string) *importer.State {
	return importer.NewState(importer.Identity{Space: "spa_sandbox", Identifier: "user_id"}, offset)
}

// importerOf returns an importer that continues from the state.
func (w *world) importerOf(state *importer.State) *importer.Importer {
	w.t.Helper()
	hc := &http.Client{Transport: w}
	if w.retrying {
		hc.Transport = httpretry.New(httpretry.Options{Base: w})
	}
	base := &url.URL{Scheme: "http", Host: "127.0.0.1"}
	segment, err := segmentprofiles.NewClient(hc, base, "spa_sandbox", "sandbox-access-token")
	if err != nil {
		w.t.Fatal(err)
	}
	vch, err := voucherify.NewClient(hc, base, "sandbox-app-id", "sandbox-secret-key")
	if err != nil {
		w.t.Fatal(err)
	}
	return importer.New(segment, vch, w.settings, state, slog.New(slog.NewTextHandler(&w.log, nil)))
}

// run runs the importer, and returns the offset that it has reached.
func run(ctx context.Context, im *importer.Importer) (offset string, err error) {
	err = im.Run(ctx)
	return im.State().Position.Offset, err
}

// wantComplete checks that the project has exactly the customers of the space, and that
// the reports have each of the other profiles once, in the order of the list.
func (w *world) wantComplete() {
	w.t.Helper()
	w.wantCustomers(len(w.profiles()))
	w.wantReports(len(w.profiles()))
}

// wantCustomers checks that the project has exactly the customers of the first n
// profiles. Of those that several profiles share only the presence is checked.
func (w *world) wantCustomers(n int) {
	w.t.Helper()
	want, seen := map[string]string{}, map[string]int{}
	for _, e := range w.profiles()[:n] {
		if e.SourceID == "" {
			continue
		}
		customer, _ := mapping.Map(mapping.Profile{SegmentID: e.SegmentID, SourceID: e.SourceID, Traits: e.Traits}, w.settings.Mapping)
		data, err := json.Marshal(customer)
		if err != nil {
			w.t.Fatal(err)
		}
		want[e.SourceID] = string(data)
		seen[e.SourceID]++
	}
	got := map[string]string{}
	for id, data := range w.box.Customers() {
		got[id] = string(data)
		if seen[id] > 1 {
			got[id] = want[id]
		}
	}
	wanted, is := normal(want), normal(got)
	if reflect.DeepEqual(wanted, is) {
		return // cmp takes long to find no difference
	}
	if diff := cmp.Diff(wanted, is); diff != "" {
		w.t.Errorf("customers (-want +got):\n%.2000s", diff)
	}
}

// normal makes JSON comparable.
func normal(m map[string]string) map[string]any {
	n := map[string]any{}
	for id, data := range m {
		d := json.NewDecoder(strings.NewReader(data))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			v = err.Error()
		}
		n[id] = v
	}
	return n
}

// wantReports checks that the reports speak of exactly the first n profiles.
func (w *world) wantReports(n int) {
	w.t.Helper()
	var wantTxt, gotTxt []string
	var wantRows [][]string
	if w.savedState() != nil {
		wantRows = [][]string{{"segment_id", "source_id", "reason"}}
	}
	for _, e := range w.profiles()[:n] {
		switch {
		case e.Vanished:
			wantRows = append(wantRows, []string{e.SegmentID, "", "vanished"})
		case e.SourceID == "":
			wantTxt = append(wantTxt, e.SegmentID)
		}
	}
	for line := range strings.Lines(w.report(w.settings.Files.WithoutIdentifier)) {
		gotTxt = append(gotTxt, strings.TrimSuffix(line, "\n"))
	}
	if diff := cmp.Diff(wantTxt, gotTxt); diff != "" {
		w.t.Errorf("profiles without identifier (-want +got):\n%s", diff)
	}
	var gotRows [][]string
	for _, row := range w.notImported() {
		gotRows = append(gotRows, row[:3])
	}
	if diff := cmp.Diff(wantRows, gotRows); diff != "" {
		w.t.Errorf("not imported (-want +got):\n%s", diff)
	}
}

func (w *world) notImported() [][]string {
	w.t.Helper()
	rows, err := csv.NewReader(strings.NewReader(w.report(w.settings.Files.NotImported))).ReadAll()
	if err != nil {
		w.t.Fatal(err)
	}
	return rows
}

func (w *world) report(name string) string {
	w.t.Helper()
	data, err := os.ReadFile(w.settings.Files.Path(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Fatal(err)
	}
	return string(data)
}

// batches returns the number of customers in each bulk request.
func (w *world) batches() (sizes []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, body := range w.posts {
		var records []json.RawMessage
		if err := json.Unmarshal(body, &records); err != nil {
			w.t.Error(err)
		}
		sizes = append(sizes, len(records))
	}
	return sizes
}

// wantCounts checks that the counts are those of n profiles, that they add up, and that
// the state on the disk is that in memory.
func (w *world) wantCounts(im *importer.Importer, n int) {
	w.t.Helper()
	state := im.State()
	if state.Counts.Read != n || !state.AddsUp() {
		w.t.Errorf("counts of %d profiles, want %d; %d unconfirmed: %+v", state.Counts.Read, n, state.Unconfirmed(), state.Counts)
	}
	saved := w.savedState()
	if saved == nil && n == 0 {
		return
	}
	if diff := cmp.Diff(state, saved, cmpopts.IgnoreUnexported(importer.Action{})); diff != "" {
		w.t.Errorf("the state in memory and on the disk (-memory +disk):\n%s", diff)
	}
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
