package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"segsync/importer/mapping"
	"segsync/internal/sandbox"
)

// world is what segsync finds outside: a sandbox on loopback that can be told to
// answer some requests wrongly.
type world struct {
	box    *sandbox.Sandbox
	server *sandbox.Server
	faulty bool
	dir    string                        // working directory of segsync
	reject atomic.Pointer[regexp.Regexp] // of the source ids of customers that Voucherify rejects, or nil

	mu    sync.Mutex
	rules []*rule
	held  []chan struct{} // to close before the server is closed

	clockOff time.Duration // of the Date of all answers
}

// rule answers the requests that it matches, those in the given range of their
// number.
type rule struct {
	match    *regexp.Regexp // of "METHOD /path?query", and " body" where there is one
	from, to int            // counted from 1
	seen     int
	answer   http.HandlerFunc // nil: the sandbox's own answer, after hold
	reached  chan struct{}    // closed with the first of them
	hold     chan struct{}    // nil, or the request waits until it is closed
}

// newWorld starts a sandbox. It has neither a quota nor latency unless o says so.
func newWorld(o sandbox.Options, dir string) (*world, error) {
	w := &world{dir: dir, faulty: o.Faults > 0}
	o.Seed = 1
	o.Record = true
	o.Intercept = w.intercept
	if o.Reject == nil {
		o.Reject = func(sourceID string) (key, message, details string) {
			if re := w.reject.Load(); re != nil && re.MatchString(sourceID) {
				return "made_up_rule", `=HYPERLINK("made up")`, "for a test"
			}
			return "", "", ""
		}
	}
	w.box = sandbox.New(o)
	var err error
	w.server, err = w.box.Listen("127.0.0.1:0")
	return w, err
}

func startWorld(t *testing.T, o sandbox.Options) *world {
	t.Helper()
	w, err := newWorld(o, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	return w
}

func (w *world) close() {
	w.mend()
	w.server.Close()
}

// mend ends all rules.
func (w *world) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rules = nil
	w.reject.Store(nil)
	for _, hold := range w.held {
		close(hold)
	}
	w.held = nil
}

// answer makes the sandbox answer the requests from number from to number to (0: to
// the end) of those that match in a way of its own.
func (w *world) answer(match string, from, to int, h http.HandlerFunc) {
	w.add(&rule{match: regexp.MustCompile(w.expand(match)), from: from, to: to, answer: h})
}

// answerGone answers 404 to reads of the profiles that are listed from first to below end.
func (w *world) answerGone(first, end int) {
	if first == end {
		return
	}
	var ids []string
	for _, e := range w.box.Want()[first:end] {
		ids = append(ids, e.SegmentID)
	}
	w.answer("/(segment_id:)?("+strings.Join(ids, "|")+")/", 1, 0, status(http.StatusNotFound))
}

// hold keeps the requests that match from being answered until mend. The channel that
// it returns is closed when there is one.
func (w *world) hold(match string, number int) (reached <-chan struct{}) {
	r := &rule{match: regexp.MustCompile(w.expand(match)), from: number, hold: make(chan struct{}), reached: make(chan struct{})}
	w.add(r)
	return r.reached
}

func (w *world) add(r *rule) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rules = append(w.rules, r)
	if r.hold != nil {
		w.held = append(w.held, r.hold)
	}
}

// expand replaces @150 with the segment id of the profile that is listed at 150.
func (w *world) expand(match string) string {
	return regexp.MustCompile(`@\d+`).ReplaceAllStringFunc(match, func(s string) string {
		n, _ := strconv.Atoi(s[1:])
		return w.box.Want()[n].SegmentID
	})
}

func (w *world) intercept(rw http.ResponseWriter, req *http.Request) bool {
	w.mu.Lock()
	off := w.clockOff
	w.mu.Unlock()
	if off != 0 {
		rw.Header().Set("Date", time.Now().Add(off).UTC().Format(http.TimeFormat))
	}
	r := w.ruleFor(req)
	if r == nil {
		return false
	}
	if r.hold != nil {
		select {
		case <-r.hold:
		case <-req.Context().Done():
		}
	}
	if r.answer == nil {
		return false
	}
	r.answer(rw, req)
	return true
}

func (w *world) ruleFor(req *http.Request) *rule {
	line := req.Method + " " + req.URL.RequestURI()
	if body, _ := io.ReadAll(req.Body); len(body) > 0 { // the sandbox has its own copy
		line += " " + string(body)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.rules {
		if !r.match.MatchString(line) {
			continue
		}
		r.seen++
		if r.seen >= r.from && (r.to == 0 || r.seen <= r.to) {
			if r.reached != nil && r.seen == r.from {
				close(r.reached)
			}
			return r
		}
	}
	return nil
}

// status returns an answer with the status and a body in the words of its API.
func status(code int) http.HandlerFunc {
	return func(rw http.ResponseWriter, req *http.Request) {
		rw.WriteHeader(code)
		if strings.HasPrefix(req.URL.Path, "/v1/spaces/") {
			fmt.Fprintf(rw, `{"error":{"code":"made_up","message":"made up for a test"}}`)
		} else {
			fmt.Fprintf(rw, `{"code":%d,"key":"made_up","message":"made up for a test","details":"none","request_id":"v-123"}`, code)
		}
	}
}

// environ returns the settings, as the environment has them, with a quota that does
// not slow the test down. Later ones win.
func (w *world) environ(more ...string) []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir(), "SEGMENT_RATE_LIMIT=100000"}
	for _, s := range w.box.Settings(w.server.URL) {
		env = append(env, s.Name+"="+s.Value)
	}
	return slices.Concat(env, cheapSettings(), more)
}

// createCustomer creates a customer in Voucherify, as another program does.
func (w *world) createCustomer(sourceID string) error {
	id, err := json.Marshal(sourceID)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodPost, w.server.URL+"/v1/customers", strings.NewReader(fmt.Sprintf(`{"source_id":%s}`, id)))
	if err != nil {
		return err
	}
	set := make(map[string]string)
	for _, s := range w.box.Settings(w.server.URL) {
		set[s.Name] = s.Value
	}
	req.Header.Set("X-App-Id", set["VOUCHERIFY_APPLICATION_ID"])
	req.Header.Set("X-App-Token", set["VOUCHERIFY_SECRET_KEY"])
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("creating the customer %q: %s", sourceID, resp.Status)
	}
	return nil
}

// requests returns how many requests match.
func (w *world) requests(match string) int {
	re, n := regexp.MustCompile(w.expand(match)), 0
	for _, r := range w.box.Requests() {
		if re.MatchString(r.Method + " " + r.Path + "?" + r.Query.Encode()) {
			n++
		}
	}
	return n
}

// complete returns how the customers of the project differ from what an import of the
// whole space must leave there: all but those that Voucherify rejects. Of customers that several
// profiles share only the presence is checked, of outstanding ones nothing. The mapping has tests of its own.
func (w *world) complete(outstanding ...string) error {
	want, shared := map[string]any{}, map[string]bool{}
	rejected := w.reject.Load()
	for _, e := range w.box.Want() {
		if e.SourceID == "" || slices.Contains(outstanding, e.SourceID) || rejected != nil && rejected.MatchString(e.SourceID) {
			continue
		}
		_, again := want[e.SourceID]
		shared[e.SourceID] = again
		customer, _ := mapping.Map(mapping.Profile{SegmentID: e.SegmentID, SourceID: e.SourceID, Traits: e.Traits}, mapping.Default())
		data, err := json.Marshal(customer)
		if err != nil {
			return err
		}
		want[e.SourceID] = decoded(data)
	}
	got := map[string]any{}
	for id, data := range w.box.Customers() {
		if slices.Contains(outstanding, id) {
			continue
		}
		got[id] = decoded(data)
		if shared[id] {
			got[id] = want[id]
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("customers (-want +got):\n%.3000s", diff)
	}
	return nil
}

func decoded(data []byte) (v any) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return err.Error()
	}
	return v
}

var spoiled = regexp.MustCompile(`\|Segment answered 404.*?\|`)

var requestID = regexp.MustCompile(` \(request id [0-9a-f]+\)`)

// reportsExact returns how the reports in dir differ from what an import of the whole
// space must write: each profile once, those without identifier in the order of the list.
func (w *world) reportsExact(dir string) error {
	return w.reports(dir, func(s []string) []string { return s })
}

// reportsComplete is reportsExact where the list moves: in any order.
func (w *world) reportsComplete(dir string) error {
	return w.reports(dir, func(s []string) []string { return slices.Sorted(slices.Values(s)) })
}

func (w *world) reports(dir string, order func([]string) []string) error {
	wantIDs, wantRows := []string{}, []string{}
	for _, e := range w.box.Want() {
		switch {
		case e.Vanished:
			wantRows = append(wantRows, e.SegmentID+"||vanished|Segment answered 404: not_found: Profile was not found.||")
		case e.SourceID == "":
			wantIDs = append(wantIDs, e.SegmentID)
		}
	}
	ids, err := os.ReadFile(filepath.Join(dir, "profiles-without-identifier.txt"))
	if err != nil {
		return err
	}
	gotIDs := strings.Split(string(ids), "\n")
	if diff := cmp.Diff(append(order(wantIDs), ""), append(order(gotIDs[:len(gotIDs)-1]), gotIDs[len(gotIDs)-1])); diff != "" {
		return fmt.Errorf("profiles-without-identifier.txt (-want +got):\n%s", diff)
	}
	data, err := os.ReadFile(filepath.Join(dir, "not-imported.csv"))
	if err != nil {
		return err
	}
	records, err := csv.NewReader(strings.NewReader(requestID.ReplaceAllString(string(data), ""))).ReadAll()
	if err != nil {
		return err
	}
	gotRows := []string{}
	for _, record := range records {
		if row := strings.Join(record, "|"); w.faulty { // the words of an answer may be spoiled
			gotRows = append(gotRows, spoiled.ReplaceAllString(row, "|Segment answered 404: not_found: Profile was not found.|"))
		} else {
			gotRows = append(gotRows, row)
		}
	}
	wantRows = append([]string{"segment_id|source_id|reason|detail|async_action_id|request_id"}, slices.Sorted(slices.Values(wantRows))...)
	if len(gotRows) > 0 { // they are in the order in which they were noted first
		slices.Sort(gotRows[1:])
	}
	if diff := cmp.Diff(wantRows, gotRows); diff != "" {
		return fmt.Errorf("not-imported.csv (-want +got):\n%s", diff)
	}
	return nil
}

var (
	sumLine      = regexp.MustCompile(`(?m)^(?:([\d,]+) read = (.+): it adds up|no profile was read)\n\z`)
	tableRow     = regexp.MustCompile(`(?m)^[✓!✗ ] (\S.*?) +([\d,]+)(?:  .*)?$`)
	requestsLine = regexp.MustCompile(`(?m)^([\d,]+) requests? to Segment, ([\d,]+) to Voucherify, ([\d,]+) retried`)
)

// numbersOf reads the numbers of a summary by their labels, and checks its last line, the
// sum of the outcomes. A row of zero is not in the table.
func numbersOf(stdout string) (map[string]int, error) {
	m := sumLine.FindStringSubmatchIndex(stdout)
	if m == nil {
		return nil, fmt.Errorf("the summary has no line that adds up:\n%s", stdout)
	}
	number := func(s string) int {
		n, _ := strconv.Atoi(strings.ReplaceAll(s, ",", ""))
		return n
	}
	numbers := map[string]int{}
	for _, row := range tableRow.FindAllStringSubmatch(stdout[:m[0]], -1) {
		numbers[row[1]] = number(row[2])
	}
	if requests := requestsLine.FindStringSubmatch(stdout); requests != nil {
		for i, label := range []string{"Requests to Segment", "Requests to Voucherify", "Retries"} {
			numbers[label] = number(requests[i+1])
		}
	}
	if m[4] < 0 {
		return numbers, nil
	}
	sum := 0
	for term := range strings.SplitSeq(stdout[m[4]:m[5]], " + ") {
		count, label, _ := strings.Cut(term, " ")
		n, err := strconv.Atoi(strings.ReplaceAll(count, ",", ""))
		if err != nil || label != "" && numbers[strings.ToUpper(label[:1])+label[1:]] != n {
			return nil, fmt.Errorf("%q does not agree with the table:\n%s", term, stdout)
		}
		sum += n
	}
	if read := strings.ReplaceAll(stdout[m[2]:m[3]], ",", ""); itoa(sum) != read || itoa(numbers["Profiles read"]) != read {
		return nil, fmt.Errorf("the terms make %d:\n%s", sum, stdout)
	}
	return numbers, nil
}

// addsUp returns how the summary contradicts itself.
func (w *world) addsUp(stdout string) error {
	n, err := numbersOf(stdout)
	if err != nil {
		return err
	}
	if _, there := n["Profiles read"]; !there {
		return fmt.Errorf("the summary does not say how many profiles were read:\n%s", stdout)
	}
	if sum := n["Confirmed"] + n["Rejected"] + n["Sent, not confirmed"]; sum != n["Customers sent"] {
		return fmt.Errorf("%d customers were sent, but %d are accounted for:\n%s", n["Customers sent"], sum, stdout)
	}
	return nil
}

// printedCommand returns the command in the last line of stderr, and the offset in the
// line before, "" if the import has come to its end.
func printedCommand(stderr string) (command, offset string, err error) {
	m := regexp.MustCompile(`(?:^|\n)(?:Stopped at the offset: (.+)|Stopped [^:]+?\.|Everything is read\.|[\d,]+ customers? sent, not confirmed\.|(?:No customer is waiting to be confirmed, but the|The) import is not finished\.)\nContinue with: ((?:cd \S+ && )?segsync .*)\n$`).FindStringSubmatch(stderr)
	if m == nil {
		return "", "", fmt.Errorf("the last two lines are not the offset and the command:\n%s", stderr)
	}
	return m[2], m[1], nil
}
