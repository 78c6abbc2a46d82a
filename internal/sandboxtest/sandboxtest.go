// Package sandboxtest is the scene of a test: a sandbox, clients of it, and rules that
// answer chosen requests in its place.
//
// A World is reached without a network, as an http.RoundTripper, so that a test can run in
// a bubble of testing/synctest; or on loopback, see Listen. The rules hold for both.
package sandboxtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"segsync/importer/mapping"
	"segsync/internal/sandbox"
	"segsync/segmentprofiles"
	"segsync/voucherify"
)

// World is what a program under test finds outside.
type World struct {
	Box      *sandbox.Sandbox
	Profiles func() []sandbox.Expect // what there is to import

	mu    sync.Mutex
	rules []rule
	bulk  [][]byte        // bodies of the bulk requests, in order of arrival
	held  []chan struct{} // closed by Mend
}

// Answer may answer a request, and then returns true. Where it returns false, the next
// rule that matches is asked, and at last the sandbox.
type Answer func(w http.ResponseWriter, r *http.Request) bool

type rule struct {
	match  *regexp.Regexp // of "METHOD /path?query", and " body" where there is one
	answer Answer
}

// New returns a world without rules. The seed is 1 unless o says otherwise. o.Intercept
// must not be set: the rules take its place.
func New(o sandbox.Options) *World {
	if o.Seed == 0 {
		o.Seed = 1
	}
	w := new(World)
	o.Intercept = w.intercept
	w.Box = sandbox.New(o)
	w.Profiles = sync.OnceValue(w.Box.Want)
	return w
}

// Listen serves the world on loopback until the test ends.
func (w *World) Listen(t testing.TB) *sandbox.Server {
	t.Helper()
	server, err := w.Box.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return server
}

// Environ returns the settings of the program for the world served at the URL, as an
// environment has them. No quota slows the test down.
func (w *World) Environ(url string) []string {
	env := []string{"SEGMENT_RATE_LIMIT=100000"}
	for _, s := range w.Box.Settings(url) {
		env = append(env, s.Name+"="+s.Value)
	}
	return env
}

// Clients returns clients that send their requests by way of the transport to base.
func Clients(t testing.TB, transport http.RoundTripper, base string) (*segmentprofiles.Client, *voucherify.Client) {
	t.Helper()
	hc := &http.Client{Transport: transport}
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	segment, err := segmentprofiles.NewClient(hc, u, "spa_sandbox", "sandbox-access-token")
	if err != nil {
		t.Fatal(err)
	}
	vch, err := voucherify.NewClient(hc, u, "sandbox-app-id", "sandbox-secret-key")
	if err != nil {
		t.Fatal(err)
	}
	return segment, vch
}

// NoNetwork is the base URL of clients whose transport is a World.
const NoNetwork = "http://127.0.0.1"

// pastRules marks the context of a request that the sandbox is to answer itself.
type pastRules struct{}

// RoundTrip answers the request as a server would, without one.
func (w *World) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && trace.GetConn != nil {
		trace.GetConn(r.URL.Host)
	}
	answer := httptest.NewRecorder()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	err = uncut(func() {
		if !w.intercept(answer, r) {
			r.Body = io.NopCloser(bytes.NewReader(body))
			w.serve(answer, r)
		}
	})
	if err != nil {
		return nil, err
	}
	if err := r.Context().Err(); err != nil { // the client went away while it waited
		return nil, err
	}
	return answer.Result(), nil
}

// Serve lets the sandbox answer, whatever the rules say. Its error says that the
// connection was cut.
func (w *World) Serve(answer http.ResponseWriter, r *http.Request) error {
	return uncut(func() { w.serve(answer, r) })
}

func (w *World) serve(answer http.ResponseWriter, r *http.Request) {
	w.Box.ServeHTTP(answer, r.WithContext(context.WithValue(r.Context(), pastRules{}, true)))
}

// uncut calls the handler. Its error says that the handler cut the connection.
func uncut(handler func()) (err error) {
	defer func() {
		if p := recover(); p == http.ErrAbortHandler {
			err = io.ErrUnexpectedEOF
		} else if p != nil {
			panic(p)
		}
	}()
	handler()
	return nil
}

func (w *World) intercept(rw http.ResponseWriter, r *http.Request) bool {
	if r.Context().Value(pastRules{}) != nil {
		return false
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return false
	}
	for _, rule := range w.rulesFor(r, body) {
		r.Body = io.NopCloser(bytes.NewReader(body))
		if rule.answer(rw, r) {
			return true
		}
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return false
}

func (w *World) rulesFor(r *http.Request, body []byte) (rules []rule) {
	line := r.Method + " " + r.URL.RequestURI()
	if len(body) > 0 {
		line += " " + string(body)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/v1/customers/bulk/") {
		w.bulk = append(w.bulk, body)
	}
	for _, rule := range w.rules {
		if rule.match.MatchString(line) {
			rules = append(rules, rule)
		}
	}
	return rules
}

// On adds a rule for the requests that match, as "METHOD /path?query body"; @15 stands for
// the segment id of profile 15 of the list. An end of the query, such as next=20$, is that
// of requests without a body only.
func (w *World) On(match string, answer Answer) {
	match = regexp.MustCompile(`@\d+`).ReplaceAllStringFunc(match, func(s string) string {
		n, err := strconv.Atoi(s[1:])
		if err != nil {
			panic(err)
		}
		return w.Profiles()[n].SegmentID
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rules = append(w.rules, rule{regexp.MustCompile(match), answer})
}

// Count returns a counter of the requests that match, whoever answers them. It may be read
// when no request is under way.
func (w *World) Count(match string) *int {
	n, mu := new(int), new(sync.Mutex)
	w.On(match, func(http.ResponseWriter, *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		*n++
		return false
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	last := len(w.rules) - 1
	w.rules = append([]rule{w.rules[last]}, w.rules[:last]...)
	return n
}

// Hold keeps the n-th request that matches, counted from 1, from being answered until Mend.
// reached is closed when it is there.
func (w *World) Hold(match string, n int) (reached <-chan struct{}) {
	there, release := make(chan struct{}), make(chan struct{})
	w.On(match, Nth(n, func(_ http.ResponseWriter, r *http.Request) bool {
		close(there)
		select {
		case <-release:
		case <-r.Context().Done():
		}
		return false
	}))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = append(w.held, release)
	return there
}

// Mend ends all rules.
func (w *World) Mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rules = nil
	for _, release := range w.held {
		close(release)
	}
	w.held = nil
}

// Bulk returns the bodies of the bulk requests in the order of their arrival.
func (w *World) Bulk() [][]byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([][]byte(nil), w.bulk...)
}

// ForgetBulk forgets the bulk requests so far.
func (w *World) ForgetBulk() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bulk = nil
}

// Batches returns the number of customers in each bulk request.
func (w *World) Batches(t testing.TB) (sizes []int) {
	t.Helper()
	for _, body := range w.Bulk() {
		var records []json.RawMessage
		if err := json.Unmarshal(body, &records); err != nil {
			t.Error(err)
		}
		sizes = append(sizes, len(records))
	}
	return sizes
}

// Status answers with the status and a body that both APIs might send.
func Status(code int) Answer {
	return func(w http.ResponseWriter, r *http.Request) bool {
		w.WriteHeader(code)
		fmt.Fprint(w, `{"error":{"code":"made_up","message":"made up"},"key":"made_up","message":"made up"}`)
		return true
	}
}

// Body answers 200 with the body.
func Body(body string) Answer {
	return func(w http.ResponseWriter, r *http.Request) bool {
		io.WriteString(w, body)
		return true
	}
}

// Poison refuses each request that holds a customer with such a source_id, as a whole: the
// bulk request, and that of the one customer.
func Poison(isPoison func(sourceID string) bool) Answer {
	return func(w http.ResponseWriter, r *http.Request) bool {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return false
		}
		if !bytes.HasPrefix(body, []byte("[")) {
			body = slices.Concat([]byte("["), body, []byte("]"))
		}
		var records []struct {
			SourceID string `json:"source_id"`
		}
		if json.Unmarshal(body, &records) != nil {
			return false
		}
		for _, record := range records {
			if isPoison(record.SourceID) {
				w.WriteHeader(http.StatusBadRequest)
				io.WriteString(w, `{"code":400,"key":"invalid_payload","message":"Invalid payload","details":"it cannot be processed"}`)
				return true
			}
		}
		return false
	}
}

// Dead answers the reads of such a profile with 500.
func Dead(isDead func(segmentID string) bool) Answer {
	id := regexp.MustCompile(`/profiles/(?:segment_id:)?([^/]+)/`)
	return func(w http.ResponseWriter, r *http.Request) bool {
		m := id.FindStringSubmatch(r.URL.Path)
		return m != nil && isDead(m[1]) && Status(http.StatusInternalServerError)(w, r)
	}
}

// Nth calls answer for the n-th request only, counted from 1.
func Nth(n int, answer Answer) Answer { return Between(n, n, answer) }

// Between calls answer for the requests from number first to number last, counted from 1.
func Between(first, last int, answer Answer) Answer {
	var mu sync.Mutex
	n := 0
	return func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		n++
		now := first <= n && n <= last
		mu.Unlock()
		return now && answer(w, r)
	}
}

// Slowly lets the next one answer after a while, unless the client goes away before.
func Slowly(d time.Duration) Answer {
	return func(_ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-time.After(d):
		case <-r.Context().Done():
		}
		return false
	}
}

// Customers returns how the customers of the project differ from those of the profiles, ""
// if they do not. Of customers that several profiles share only the presence is checked.
func (w *World) Customers(profiles []sandbox.Expect, m mapping.Mapping) string {
	want, seen := map[string]any{}, map[string]int{}
	for _, e := range profiles {
		if e.SourceID == "" {
			continue
		}
		customer, _ := mapping.Map(mapping.Profile{SegmentID: e.SegmentID, SourceID: e.SourceID, Traits: e.Traits}, m)
		data, err := json.Marshal(customer)
		if err != nil {
			return err.Error()
		}
		want[e.SourceID] = Decoded(data)
		seen[e.SourceID]++
	}
	got := map[string]any{}
	for id, data := range w.Box.Customers() {
		got[id] = Decoded(data)
		if seen[id] > 1 {
			got[id] = want[id]
		}
	}
	return cmp.Diff(want, got)
}

// Decoded makes JSON comparable.
func Decoded(data []byte) (v any) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return err.Error()
	}
	return v
}
