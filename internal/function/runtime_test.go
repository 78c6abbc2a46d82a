package function_test

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/dop251/goja"

	"segsync/importer/mapping"
	"segsync/internal/function"
	"segsync/internal/settings"
)

// full says that all random cases are tested, not a sample.
var full = os.Getenv("SEGSYNC_FULL") != ""

// segment is Segment's runtime of one function: the errors that a handler may throw, node-fetch, the
// cache, and a clock that stands still. A promise of fetch is settled by answer.
type segment struct {
	t       testing.TB
	vm      *goja.Runtime
	now     time.Time
	answer  func(*fetched)
	pending []*fetched // where answer is nil
}

// fetched is a call of fetch.
type fetched struct {
	Method, URL, Body string
	Header            http.Header
	Redirect          string
	Timeout           time.Duration
	Signal            int64 // milliseconds, 0 for none
	s                 *segment
	resolve, reject   func(any) error
}

// prelude is what a function finds in Segment's runtime.
//
//go:embed testdata/segment.js
var prelude string

// load starts Segment's runtime with the function.
func load(t testing.TB, o function.Options) *segment {
	t.Helper()
	if o.Identifiers == nil {
		o.Identifiers = []mapping.Identifier{{Type: "user_id"}}
	}
	source, err := function.Source(o)
	if err != nil {
		t.Fatal(err)
	}
	s := &segment{t: t, vm: goja.New(), now: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)}
	s.vm.SetTimeSource(func() time.Time { return s.now })
	if err := s.vm.Set("fetch", s.fetch); err != nil {
		t.Fatal(err)
	}
	if _, err := s.vm.RunString(source + prelude); err != nil {
		t.Fatalf("%v in\n%s", err, source)
	}
	return s
}

func (s *segment) eval(code string) goja.Value {
	s.t.Helper()
	v, err := s.vm.RunString(code)
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

func (s *segment) fetch(url string, options map[string]any) *goja.Promise {
	promise, resolve, reject := s.vm.NewPromise()
	f := &fetched{URL: url, Header: http.Header{}, s: s, resolve: resolve, reject: reject}
	f.Method, _ = options["method"].(string)
	f.Body, _ = options["body"].(string)
	f.Redirect, _ = options["redirect"].(string)
	f.Signal, _ = options["signal"].(int64)
	ms, _ := options["timeout"].(int64)
	f.Timeout = time.Duration(ms) * time.Millisecond
	headers, _ := options["headers"].(map[string]any)
	for name, value := range headers {
		f.Header.Set(name, fmt.Sprint(value))
	}
	if s.answer == nil {
		s.pending = append(s.pending, f)
	} else {
		s.answer(f)
	}
	return promise
}

// reply answers a request.
func (f *fetched) reply(status int, body string) {
	f.resolve(map[string]any{"status": status, "text": func() *goja.Promise {
		promise, resolve, _ := f.s.vm.NewPromise()
		resolve(body)
		return promise
	}})
}

// fail is what node-fetch does where there is no answer. Its message has the URL.
func (f *fetched) fail() {
	f.reject(f.s.vm.NewGoError(errors.New("request to " + f.URL + " failed")))
}

// result is how a handler ended: the class of its error and the message, "" for none.
type result struct{ Class, Message string }

var functionSettings = map[string]any{"applicationId": "app", "secretKey": "key", "apiUrl": "https://api.example.com"}

// call calls a handler, and returns where the result will be.
func (s *segment) call(handler, event string, set map[string]any) *result {
	s.t.Helper()
	r := &result{Class: "pending"}
	invoke, ok := goja.AssertFunction(s.eval("invoke"))
	if !ok {
		s.t.Fatal("invoke is not a function")
	}
	done := func(class, message string) { *r = result{class, message} }
	if _, err := invoke(goja.Undefined(), s.vm.ToValue(handler), s.vm.ToValue(event), s.vm.ToValue(set), s.vm.ToValue(done)); err != nil {
		s.t.Fatal(err)
	}
	return r
}

// settle lets what waits for promises go on.
func (s *segment) settle() { s.eval("0") }

// sent answers 200 to all requests, 404 to those of the schema, or with the schema, and returns the
// body that an identify event sends; "" for none.
func (s *segment) sent(event, schema string) (string, result) {
	body := ""
	s.answer = func(f *fetched) {
		switch {
		case f.Method == http.MethodPost:
			body = f.Body
			f.reply(http.StatusOK, `{"id":"cust_1"}`)
		case schema != "":
			f.reply(http.StatusOK, schema)
		default:
			f.reply(http.StatusNotFound, `{"code":404,"key":"not_found"}`)
		}
	}
	r := s.call("onIdentify", event, functionSettings)
	return body, *r
}

func parse(t testing.TB, text string) mapping.Mapping {
	t.Helper()
	m, err := mapping.Parse("mapping.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func defaultFunction(t testing.TB) *segment {
	return load(t, function.Options{Mapping: mapping.Default()})
}

const identify = `{"type":"identify","userId":"42","traits":{"email":"ada@example.com"},"context":{}}`

func TestIdentifySendsOneUpsert(t *testing.T) {
	s := load(t, function.Options{Mapping: mapping.Default(), Policy: settings.AsIs})
	var got []*fetched
	s.answer = func(f *fetched) { got = append(got, f); f.reply(http.StatusOK, `{}`) }
	set := map[string]any{"applicationId": "app", "secretKey": "key", "apiUrl": "https://us1.api.example.com/"}
	if r := *s.call("onIdentify", identify, set); r != (result{}) {
		t.Fatal(r)
	}
	if len(got) != 1 {
		t.Fatalf("%d requests, want 1", len(got))
	}
	f := got[0]
	if f.Method != "POST" || f.URL != "https://us1.api.example.com/v1/customers" || f.Redirect != "manual" || f.Timeout != 4*time.Second {
		t.Errorf("%s %s, redirect %s, timeout %s", f.Method, f.URL, f.Redirect, f.Timeout)
	}
	for name, want := range map[string]string{"X-App-Id": "app", "X-App-Token": "key", "Content-Type": "application/json"} {
		if f.Header.Get(name) != want {
			t.Errorf("%s: %q", name, f.Header.Get(name))
		}
	}
	want := `{"source_id":"42","email":"ada@example.com","system_metadata":{"source":"segmentio"}}`
	if !sameJSON(want, f.Body) {
		t.Errorf("body %s, want %s", f.Body, want)
	}
}

// Segment's classes decide what is tried again.
func TestAnswersBecomeErrorsOfSegment(t *testing.T) {
	const refusal = `{"code":%d,"key":"made_up_key","message":"ada@example.com","details":"ada@example.com"}`
	for class, statuses := range map[string][]int{
		"":                    {200, 201, 204},
		"RetryError":          {408, 409, 423, 429, 500, 502, 503, 504, 599},
		"ValidationError":     {301, 302, 307, 308, 401, 402, 403},
		"InvalidEventPayload": {400, 404, 405, 413, 422},
	} {
		for _, status := range statuses {
			s := load(t, function.Options{Mapping: mapping.Default(), Policy: settings.AsIs})
			s.answer = func(f *fetched) { f.reply(status, fmt.Sprintf(refusal, status)) }
			want := result{class, fmt.Sprintf("Voucherify answered %d made_up_key", status)}
			if class == "" {
				want.Message = ""
			}
			if r := *s.call("onIdentify", identify, functionSettings); r != want {
				t.Errorf("%d: %v, want %v", status, r, want)
			}
		}
	}
	s := load(t, function.Options{Mapping: mapping.Default(), Policy: settings.AsIs})
	s.answer = (*fetched).fail
	if r := *s.call("onIdentify", identify, functionSettings); r != (result{"RetryError", "Voucherify did not answer"}) {
		t.Errorf("no answer: %v", r)
	}
	for _, body := range []string{"", "<html>ada@example.com</html>", "null", `"ada@example.com"`, `{"key":"ada@example.com","code":"ada@example.com"}`} {
		s.answer = func(f *fetched) { f.reply(http.StatusBadGateway, body) }
		if r := *s.call("onIdentify", identify, functionSettings); r != (result{"RetryError", "Voucherify answered 502"}) {
			t.Errorf("%s: %v", body, r)
		}
	}
}

func TestOnlyIdentifyAndDeleteAreSupported(t *testing.T) {
	s := defaultFunction(t)
	for _, handler := range []string{"onTrack", "onPage", "onScreen", "onGroup", "onAlias"} {
		if r := s.call(handler, `{"userId":"42"}`, functionSettings); r.Class != "EventNotSupported" {
			t.Errorf("%s: %v", handler, r)
		}
	}
	if len(s.pending) > 0 {
		t.Errorf("%d requests", len(s.pending))
	}
}

// A wrong setting is an error before any request: the key must not go to another place.
func TestSettingsOfTheFunction(t *testing.T) {
	for _, c := range []map[string]any{
		{"apiUrl": "http://api.example.com"},
		{"apiUrl": "https://user:word@api.example.com"},
		{"apiUrl": "https://api.example.com/v1"},
		{"apiUrl": "https://api.example.com?x=1"},
		{"apiUrl": "https://api.example.com\\@other.example"},
		{"apiUrl": "ftp://api.example.com"},
		{"apiUrl": ""},
		{"apiUrl": nil},
		{"applicationId": ""},
		{"applicationId": nil},
		{"secretKey": "a b"},
		{"secretKey": "a\r\nX-Other: b"},
		{"secretKey": "kéy"},
	} {
		set := map[string]any{}
		for name, value := range functionSettings {
			set[name] = value
		}
		for name, value := range c {
			set[name] = value
		}
		s := load(t, function.Options{Mapping: mapping.Default(), Policy: settings.AsIs})
		r := s.call("onIdentify", identify, set)
		if r.Class != "ValidationError" || !strings.Contains(r.Message, "setting") || len(s.pending) > 0 {
			t.Errorf("%v: %v, %d requests", c, *r, len(s.pending))
		}
	}
}

func TestOnlyTheFirstIdentifierMakesACustomer(t *testing.T) {
	for _, c := range []struct{ identifiers, event, want string }{
		{"user_id,email", `{"userId":"42"}`, "42"},
		{"user_id,email", `{"userId":" 42 "}`, " 42 "},
		{"user_id,email", `{"userId":7}`, "7"},
		{"user_id,email", `{"userId":9007199254740993}`, ""},
		{"user_id,email", `{"userId":true}`, ""},
		{"user_id,email", `{"userId":" ","anonymousId":"a"}`, ""},
		{"user_id,email", `{"userId":null,"traits":{"email":"a@example.com"},"context":{"externalIds":[{"type":"email","id":"a@example.com"}]}}`, ""},
		{"email,user_id", `{"userId":"42","context":{"externalIds":[{"type":"email","id":"a@example.com","collection":"users","encoding":"none"}]}}`, "a@example.com"},
		{"email", `{"context":{"externalIds":[{"type":"email","id":"b"},null,{"type":"email","id":"a"},{"type":"email","id":""},{"type":"x","id":"0"}]}}`, "a"},
		{"email", `{"context":{"externalIds":[{"type":"email","id":"a","collection":"accounts"}]}}`, ""},
		{"email", `{"userId":"42","context":{"externalIds":{"type":"email"}}}`, ""},
		{"email", `{"userId":"42","context":[]}`, ""},
		{"email", `{"userId":"42","context":null}`, ""},
		{"trait:email", `{"traits":{"email":"a@example.com"}}`, "a@example.com"},
		{"trait:email", `{"userId":"42","traits":null}`, ""},
		{"trait:email", `{"userId":"42","traits":["a"]}`, ""},
		{"trait:number", `{"traits":{"number":12.5}}`, "12.5"},
		{"trait:number", `{"traits":{"number":true}}`, ""},
		{"trait:number", `{"traits":{"number":["a"]}}`, ""},
		{"trait:number", `{"traits":{"number":9007199254740993}}`, ""},
		{"trait:__proto__", `{"traits":{"__proto__":"a"}}`, "a"},
		{"trait:constructor", `{"traits":{}}`, ""},
	} {
		identifiers, err := mapping.ParseIdentifiers(c.identifiers)
		if err != nil {
			t.Fatal(err)
		}
		s := load(t, function.Options{Identifiers: identifiers, Mapping: mapping.Default(), Policy: settings.AsIs})
		body, r := s.sent(c.event, "")
		var customer struct {
			SourceID string `json:"source_id"`
		}
		if c.want == "" {
			if want := (result{"InvalidEventPayload", "the event lacks the identifier " + identifiers[0].String()}); r != want || body != "" {
				t.Errorf("%s of %s: %v, sent %s", c.identifiers, c.event, r, body)
			}
			continue
		}
		if json.Unmarshal([]byte(body), &customer); r != (result{}) || customer.SourceID != c.want {
			t.Errorf("%s of %s: %v, sent %s, want %q", c.identifiers, c.event, r, body, c.want)
		}
	}
}

func TestDelete(t *testing.T) {
	// As Segment sends it.
	const captured = `{"type":"delete","channel":"server","userId":"%s","context":null,"integrations":null,"messageId":"delete-reg-1::job-2",
		"timestamp":"2020-05-09T23:54:49Z","originalTimestamp":"2020-05-09 23:54:49.209808489 +0000 UTC m=+70366.298768264"}`
	on := map[string]any{"applicationId": "app", "secretKey": "key", "apiUrl": "https://api.example.com", "deleteCustomers": true}
	for _, c := range []struct {
		name, identifier, userID string
		set                      map[string]any
		status                   int
		path, class              string
	}{
		{"on", "user_id", "507f", on, 204, "/v1/customers/507f", ""},
		{"already gone", "user_id", "507f", on, 404, "/v1/customers/507f", ""},
		{"escaped", "user_id", "a/b?c d", on, 204, "/v1/customers/a%2Fb%3Fc%20d", ""},
		{"two dots", "user_id", "..", on, 204, "", "InvalidEventPayload"},
		{"busy", "user_id", "507f", on, 429, "/v1/customers/507f", "RetryError"},
		{"forbidden", "user_id", "507f", on, 403, "/v1/customers/507f", "ValidationError"},
		{"off", "user_id", "507f", functionSettings, 204, "", "EventNotSupported"},
		{"another identifier", "email", "507f", on, 204, "", "EventNotSupported"},
		{"no id", "user_id", "", on, 204, "", "InvalidEventPayload"},
		{"an id of Voucherify", "user_id", "cust_1", on, 204, "", "InvalidEventPayload"},
	} {
		s := load(t, function.Options{Identifiers: []mapping.Identifier{{Type: c.identifier}}, Mapping: mapping.Default()})
		var got []string
		s.answer = func(f *fetched) {
			got = append(got, f.Method+" "+f.URL)
			f.reply(c.status, "")
		}
		r := s.call("onDelete", fmt.Sprintf(captured, c.userID), c.set)
		want := []string{"DELETE https://api.example.com" + c.path}
		if c.path == "" {
			want = nil
		}
		if r.Class != c.class || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, %q", c.name, *r, got)
		}
	}
}

// Two events in one process, with settings of their own, each answered late.
func TestTwoEventsAtOnce(t *testing.T) {
	s := load(t, function.Options{Mapping: mapping.Default(), Policy: settings.AsIs})
	other := map[string]any{"applicationId": "other", "secretKey": "other-key", "apiUrl": "https://other.example.com"}
	first := s.call("onIdentify", identify, functionSettings)
	second := s.call("onIdentify", strings.Replace(identify, "42", "43", 1), other)
	if len(s.pending) != 2 || s.pending[0].URL != "https://api.example.com/v1/customers" || s.pending[1].Header.Get("X-App-Token") != "other-key" ||
		!strings.Contains(s.pending[1].Body, `"43"`) {
		t.Fatalf("%+v", s.pending)
	}
	s.pending[1].reply(http.StatusOK, "{}")
	s.settle()
	if first.Class != "pending" || second.Class != "" {
		t.Fatalf("%v, %v", *first, *second)
	}
	s.pending[0].fail()
	if s.settle(); first.Class != "RetryError" {
		t.Fatalf("%v", *first)
	}
}

func TestSchemaIsReadOnceAndKept(t *testing.T) {
	s := defaultFunction(t)
	reads, body := 0, ""
	schema := func(f *fetched) {
		f.reply(http.StatusOK, `{"related_object":"customer","allow_defined_only":true,"properties":{"n":{"type":"number"}}}`)
	}
	s.answer = func(f *fetched) {
		if f.Method == http.MethodPost {
			body = f.Body
			f.reply(http.StatusOK, "{}")
			return
		}
		reads++
		if f.URL != "https://api.example.com/v1/metadata-schemas/customer" || f.Timeout != 1500*time.Millisecond {
			t.Errorf("%s, %s", f.URL, f.Timeout)
		}
		schema(f)
	}
	expect := func(when, metadata string, wantReads int) {
		t.Helper()
		r := s.call("onIdentify", `{"userId":"42","traits":{"metadata":{"n":"7","other":"x"}}}`, functionSettings)
		want := `{"source_id":"42","metadata":` + metadata + `,"system_metadata":{"source":"segmentio"}}`
		if *r != (result{}) || !sameJSON(want, body) || reads != wantReads {
			t.Errorf("%s: %v, sent %s, want %s; %d reads", when, *r, body, want, reads)
		}
	}
	readable := schema
	for i, broken := range []func(*fetched){
		(*fetched).fail,
		func(f *fetched) { f.reply(http.StatusInternalServerError, "") },
		func(f *fetched) { f.reply(http.StatusForbidden, `{"code":403,"key":"forbidden"}`) },
		func(f *fetched) { f.reply(http.StatusOK, `<html>`) },
	} {
		reads, schema = 0, broken
		expect(fmt.Sprint("unreadable ", i), `{"n":"7","other":"x"}`, 1)
		expect("within the minute", `{"n":"7","other":"x"}`, 1)
		s.now = s.now.Add(time.Minute)
	}
	reads, schema = 0, readable
	expect("after the minute", `{"n":7}`, 1)
	s.now = s.now.Add(9 * time.Minute)
	expect("kept", `{"n":7}`, 1)
	s.now = s.now.Add(time.Minute)
	expect("read again", `{"n":7}`, 2)
	s.eval("cache.entries.clear()")
	schema = func(f *fetched) { f.reply(http.StatusNotFound, `{"code":404,"key":"not_found"}`) }
	expect("the project has none", `{"n":"7","other":"x"}`, 3)
	expect("and that is kept", `{"n":"7","other":"x"}`, 3)
}

// Two destinations may share a process: each has the schema of its own project.
func TestEachProjectHasItsSchema(t *testing.T) {
	s := defaultFunction(t)
	for _, app := range []string{"one", "two", "one"} {
		s.call("onIdentify", identify, map[string]any{"applicationId": app, "secretKey": "key", "apiUrl": "https://api.example.com"})
		for _, f := range s.pending {
			f.reply(http.StatusNotFound, "")
			s.settle()
		}
	}
	var got []string
	for _, f := range s.pending {
		if f.Method == http.MethodGet {
			got = append(got, f.Header.Get("X-App-Id"))
		}
	}
	if fmt.Sprint(got) != "[one two]" {
		t.Errorf("schemas were read by %q", got)
	}
}

// What is left of the four seconds is for the upsert.
func TestTheSchemaTakesTimeFromTheUpsert(t *testing.T) {
	s := defaultFunction(t)
	s.call("onIdentify", identify, functionSettings)
	s.now = s.now.Add(1400 * time.Millisecond)
	s.pending[0].reply(http.StatusNotFound, "")
	if s.settle(); len(s.pending) != 2 || s.pending[1].Timeout != 2600*time.Millisecond {
		t.Fatalf("%+v", s.pending[1:])
	}
}

// Where there is an AbortSignal, as in Node's own fetch, it bounds the request.
func TestAbortSignal(t *testing.T) {
	s := load(t, function.Options{Mapping: mapping.Default(), Policy: settings.AsIs})
	s.eval(`globalThis.AbortSignal = class { static timeout(ms) { return ms; } }`)
	s.call("onIdentify", identify, functionSettings)
	if len(s.pending) != 1 || s.pending[0].Signal != 4000 {
		t.Errorf("%+v", s.pending)
	}
}

func TestStrictWithoutASchemaSendsNoMetadata(t *testing.T) {
	s := load(t, function.Options{Mapping: mapping.Default(), Policy: settings.Strict})
	body := ""
	s.answer = func(f *fetched) {
		if f.Method == http.MethodPost {
			body = f.Body
			f.reply(http.StatusOK, "{}")
			return
		}
		f.reply(http.StatusForbidden, "")
	}
	s.call("onIdentify", `{"userId":"42","traits":{"name":"Ada","metadata":{"a":1}}}`, functionSettings)
	if want := `{"source_id":"42","name":"Ada","system_metadata":{"source":"segmentio"}}`; !sameJSON(want, body) {
		t.Errorf("sent %s, want %s", body, want)
	}
}

// What an event lacks is unknown. Each case says what is sent of the traits, without source_id and
// system_metadata; "" for nothing.
func TestWhatAnEventLacksIsLeftAsItIs(t *testing.T) {
	const joined = "name: {traits: name, join: [[first], [last, surname]]}\nclear: [name]"
	const withDefault = "phone: {traits: [phone, mobile], default: none}\nmetadata: {rename: {tier: {traits: plan, values: {pro: Gold}, default: Bronze}}}"
	const cleared = "email: email\nphone: [phone, mobile]\nbirthdate: dob\naddress: {line_2: address.line_2, city: address.city}\n" +
		"metadata: {object: metadata, traits: [plan]}\nclear: {fields: [phone, birthdate, address.line_2, metadata.plan, metadata.lang], absent: true}"
	const where = "email: email\nwhere: [{trait: consent, is: true}, {trait: plan, not_in: [test]}, {trait: gone.at, exists: false}]"
	for _, c := range []struct{ mapping, traits, want string }{
		{joined, `{"first":"Ada"}`, `{}`},
		{joined, `{"last":"Byron"}`, `{}`},
		{joined, `{"first":"Ada","surname":"Byron"}`, `{"name":"Ada Byron"}`},
		{joined, `{"first":"Ada","last":null}`, `{"name":"Ada"}`},
		{joined, `{"first":null,"last":null}`, `{"name":null}`},
		{joined, `{"first":"Ada","name":"Countess"}`, `{"name":"Countess"}`},
		{withDefault, `{}`, `{}`},
		{withDefault, `{"phone":" ","plan":" "}`, `{}`},
		{withDefault, `{"phone":null,"plan":null}`, `{"phone":"none","metadata":{"tier":"Bronze"}}`},
		{withDefault, `{"plan":"other"}`, `{"metadata":{"tier":"Bronze"}}`},
		{cleared, `{}`, `{}`},
		{cleared, `{"phone":"","email":null,"metadata":{"other":null}}`, `{}`},
		{cleared, `{"phone":null,"mobile":"1"}`, `{"phone":"1"}`},
		{cleared, `{"phone":null,"dob":null,"plan":null}`, `{"phone":null,"birthdate":null,"metadata":{"plan":null}}`},
		{cleared, `{"phone":null,"mobile":9007199254740993}`, `{}`},
		{cleared, `{"address":null}`, `{"address":{"line_2":null}}`},
		{cleared, `{"address":{"line_2":null,"city":"X"}}`, `{"address":{"line_2":null,"city":"X"}}`},
		{cleared, `{"metadata":{"lang":null,"a":1,"b":null}}`, `{"metadata":{"lang":null,"a":1}}`},
		{cleared, `{"dob":"02/05/1984"}`, `{"birthdate":null}`},
		{where, `{"email":"a","consent":true,"plan":"pro","gone":{"at":null}}`, `{"email":"a"}`},
		{where, `{"email":"a","consent":true,"plan":null,"gone":null}`, `{"email":"a"}`},
		{where, `{"email":"a","consent":true,"plan":"test","gone":null}`, ``},
		{where, `{"email":"a","plan":"pro","gone":null}`, ``},
		{where, `{"email":"a","consent":true,"gone":null}`, ``},
		{where, `{"email":"a","consent":true,"plan":"pro"}`, ``},
		{where, `{"email":"a","consent":true,"plan":"pro","gone":{}}`, ``},
	} {
		s := load(t, function.Options{Mapping: parse(t, c.mapping), Policy: settings.AsIs})
		body, _ := s.sent(`{"userId":"42","traits":`+c.traits+`}`, "")
		want := ""
		if c.want != "" {
			want = `{"source_id":"42","system_metadata":{"source":"segmentio"},` + strings.TrimPrefix(c.want, "{")
			want = strings.Replace(want, ",}", "}", 1)
		}
		if !sameJSON(want, body) {
			t.Errorf("%s\n%s: sent %s, want %s", c.mapping, c.traits, body, want)
		}
	}
}

// A number that JavaScript has not as it was sent: what is sent says nothing wrong.
func TestNumbersOfJavaScript(t *testing.T) {
	s := load(t, function.Options{Mapping: parse(t, "phone: phone\nmetadata: {all: true, rename: {count: {traits: text, as: number}}}"), Policy: settings.AsIs})
	for traits, want := range map[string]string{
		`{"phone":9007199254740991}`:                    `"phone":"9007199254740991"`,
		`{"phone":9007199254740993}`:                    ``,
		`{"phone":48600100200.50}`:                      `"phone":"48600100200.5"`,
		`{"phone":1e-7}`:                                `"phone":"0.0000001"`,
		`{"id":9007199254740993,"n":1.50}`:              `"metadata":{"n":1.5}`,
		`{"ids":[1,9007199254740993],"m":-1e21,"n":-0}`: `"metadata":{"n":0}`,
		`{"o":1e300,"p":0.1}`:                           `"metadata":{"p":0.1}`,
		`{"text":"9007199254740991"}`:                   `"metadata":{"count":9007199254740991}`,
		`{"text":"9007199254740992"}`:                   ``,
		`{"text":"1e21"}`:                               ``,
		`{"text":"1.50"}`:                               `"metadata":{"count":1.5}`,
	} {
		if want != "" {
			want = "," + want
		}
		body, _ := s.sent(`{"userId":"42","traits":`+traits+`}`, "")
		if !sameJSON(`{"source_id":"42","system_metadata":{"source":"segmentio"}`+want+`}`, body) {
			t.Errorf("%s: sent %s, want %s", traits, body, want)
		}
	}
}
