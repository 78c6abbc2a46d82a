package main

import (
	"encoding/json"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dop251/goja"

	"segsync/internal/app"
	"segsync/internal/sandbox"
)

// liveEvent is an identify event that is to be delivered.
type liveEvent struct {
	userID string
	traits map[string]any
}

// liveFunction runs what segsync function prints, as Segment does, against a world.
type liveFunction struct {
	vm     *goja.Runtime
	invoke goja.Callable
	w      *world
}

const liveURL = "https://api.example.com"

func newLiveFunction(t *testing.T, w *world, source string) *liveFunction {
	t.Helper()
	prelude, err := os.ReadFile(filepath.Join("../..", "internal/function/testdata/segment.js"))
	if err != nil {
		t.Fatal(err)
	}
	f := &liveFunction{vm: goja.New(), w: w}
	f.vm.Set("fetch", f.fetch)
	if _, err := f.vm.RunString(source + string(prelude)); err != nil {
		t.Fatal(err)
	}
	f.invoke, _ = goja.AssertFunction(f.vm.Get("invoke"))
	return f
}

// fetch sends the request to the world. The function takes https only, and the world has none.
func (f *liveFunction) fetch(url string, options map[string]any) *goja.Promise {
	promise, resolve, reject := f.vm.NewPromise()
	body, _ := options["body"].(string)
	r, err := http.NewRequest(options["method"].(string), strings.Replace(url, liveURL, f.w.server.URL, 1), strings.NewReader(body))
	if err != nil {
		panic(f.vm.NewGoError(err))
	}
	for name, value := range options["headers"].(map[string]any) {
		r.Header.Set(name, value.(string))
	}
	r.Close = true // leaves no connection behind
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		reject(f.vm.NewGoError(err))
		return promise
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	resolve(map[string]any{"status": answer.StatusCode, "text": func() *goja.Promise {
		read, resolve, _ := f.vm.NewPromise()
		resolve(string(text))
		return read
	}})
	return promise
}

// identify delivers an event, and returns the class of the error.
func (f *liveFunction) identify(t *testing.T, e liveEvent) (class string) {
	t.Helper()
	event, err := json.Marshal(map[string]any{"type": "identify", "userId": e.userID, "traits": e.traits, "context": nil})
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]any{"apiUrl": liveURL, "applicationId": "sandbox-app-id", "secretKey": "sandbox-secret-key"}
	class = "none"
	done := func(name, _ string) { class = name }
	if _, err := f.invoke(goja.Undefined(), f.vm.ToValue("onIdentify"), f.vm.ToValue(string(event)), f.vm.ToValue(settings), f.vm.ToValue(done)); err != nil {
		t.Fatal(err)
	}
	return class
}

// newLiveEvents returns events with some of the traits of the profiles, half of them with older values.
func newLiveEvents(r *rand.Rand, profiles []sandbox.Expect, n int) []liveEvent {
	var events []liveEvent
	for range n {
		e := profiles[r.IntN(len(profiles))]
		traits, isOlder := make(map[string]any), r.IntN(2) == 0
		for _, key := range slices.Sorted(maps.Keys(e.Traits)) {
			v := e.Traits[key]
			if text, isText := v.(string); isText && isOlder {
				v = "older " + text
			}
			if r.IntN(2) == 0 {
				traits[key] = v
			}
		}
		events = append(events, liveEvent{e.SourceID, traits})
	}
	return events
}

// Events come in random order, and some again after later ones. The night sets right what they got wrong.
func TestTheNightAfterLiveEvents(t *testing.T) {
	t.Parallel()
	n := 200
	if full {
		n = 2_000
	}
	schema := `{"object":"metadata_schema","id":"ms_1","related_object":"customer","properties":{"lang":{"type":"string"},"n":{"type":"number"}}}`
	w := startWorld(t, sandbox.Options{Profiles: 300, Schema: json.RawMessage(schema), EnforceSchema: true})
	run := func(code int, args ...string) string {
		t.Helper()
		p := startProcess(t, w.dir, w.environ(), nil, args...)
		p.wantExit(t, code)
		return p.stdout.String()
	}
	run(app.ExitDone, "import")
	run(app.ExitDone, "plan", "--exit-code")

	ids := make(map[string]int)
	for _, e := range w.box.Want() {
		ids[e.SourceID]++
	}
	profiles := slices.DeleteFunc(w.box.Want(), func(e sandbox.Expect) bool { return e.SourceID == "" || ids[e.SourceID] > 1 })
	r := rand.New(rand.NewPCG(1, 23))
	w.answer(`^POST /v1/customers\?? `, 5, 5+n/8, status(http.StatusTooManyRequests))
	w.answer(`^POST /v1/customers\?? `, 20, 20+n/8, status(http.StatusServiceUnavailable))
	w.answer(`^GET /v1/metadata-schemas/`, 1, 1, status(http.StatusBadGateway))
	f := newLiveFunction(t, w, run(app.ExitDone, "function"))
	var delivered, repeated int
	for events := newLiveEvents(r, profiles, n); len(events) > 0; delivered++ {
		i := r.IntN(len(events))
		switch class := f.identify(t, events[i]); class {
		case "":
			events = slices.Delete(events, i, i+1)
		case "RetryError":
			repeated++
		default:
			t.Fatalf("%s of %v", class, events[i])
		}
	}
	if repeated < n/8 {
		t.Errorf("only %d of %d deliveries were refused", repeated, delivered)
	}
	run(app.ExitChanges, "plan", "--exit-code")
	for _, e := range profiles {
		w.box.Touch(e.SegmentID)
	}
	run(app.ExitDone, "import", "--since", "last")
	run(app.ExitDone, "plan", "--exit-code")
}
