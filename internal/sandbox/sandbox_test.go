package sandbox_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"segsync/internal/sandbox"
)

// client asks one sandbox, with its default credentials.
type client struct {
	t   *testing.T
	url string
	*http.Client
}

// start serves a sandbox for the time of the test.
func start(t *testing.T, o sandbox.Options) (*sandbox.Sandbox, *client) {
	t.Helper()
	s := sandbox.New(o)
	srv, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		srv.Close()
	})
	return s, &client{t, srv.URL, &http.Client{Transport: tr}}
}

// request returns a request with credentials for both APIs.
func (c *client) request(method, path string, body []byte) *http.Request {
	c.t.Helper()
	r, err := http.NewRequest(method, c.url+path, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if strings.HasPrefix(path, "/v1/spaces/") {
		r.SetBasicAuth("sandbox-access-token", "")
	} else {
		r.Header.Set("X-App-Id", "sandbox-app-id")
		r.Header.Set("X-App-Token", "sandbox-secret-key")
	}
	return r
}

// do returns the answer and its body, and fails the test on another status.
func (c *client) do(method, path, body string, status int) (*http.Response, string) {
	c.t.Helper()
	resp, err := c.Do(c.request(method, path, []byte(body)))
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if resp.StatusCode != status {
		c.t.Fatalf("%s %s: status %d, want %d; body %.300s", method, path, resp.StatusCode, status, b)
	}
	return resp, string(b)
}

// get decodes the body of a GET that is answered 200 into v.
func (c *client) get(path string, v any) {
	c.t.Helper()
	_, body := c.do("GET", path, "", 200)
	decode(c.t, body, v)
}

func decode(t *testing.T, body string, v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(body))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		t.Fatalf("%v in %.300s", err, body)
	}
}

// equal fails the test when got is not want.
func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

// keysOf returns the sorted keys of the JSON object in body.
func keysOf(t *testing.T, body string) []string {
	t.Helper()
	var m map[string]any
	decode(t, body, &m)
	return slices.Sorted(maps.Keys(m))
}

const profiles = "/v1/spaces/spa_sandbox/collections/users/profiles"

// ofShape returns the first profile of a shape.
func ofShape(t *testing.T, s *sandbox.Sandbox, shape string) sandbox.Expect {
	t.Helper()
	for _, e := range s.Want() {
		if e.Shape == shape {
			return e
		}
	}
	t.Fatalf("no profile has the shape %q", shape)
	return sandbox.Expect{}
}

func pathOf(e sandbox.Expect, what string) string {
	return profiles + "/segment_id:" + e.SegmentID + "/" + what
}

func TestSettings(t *testing.T) {
	s := sandbox.New(sandbox.Options{SpaceID: "spa_1"})
	equal(t, "settings", s.Settings("http://127.0.0.1:1"), []sandbox.Setting{
		{"SEGMENT_ACCESS_TOKEN", "sandbox-access-token"},
		{"SEGMENT_SPACE_ID", "spa_1"},
		{"VOUCHERIFY_APPLICATION_ID", "sandbox-app-id"},
		{"VOUCHERIFY_SECRET_KEY", "sandbox-secret-key"},
		{"SEGMENT_API_URL", "http://127.0.0.1:1"},
		{"VOUCHERIFY_API_URL", "http://127.0.0.1:1"},
	})
}

func TestListenRefusesOtherAddresses(t *testing.T) {
	for _, addr := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:80", "example.com:80", "127.0.0.1"} {
		if srv, err := sandbox.New(sandbox.Options{}).Listen(addr); err == nil {
			srv.Close()
			t.Errorf("Listen(%q) succeeded", addr)
		}
	}
}

func TestWrongCredentials(t *testing.T) {
	_, c := start(t, sandbox.Options{})
	for path, body := range map[string]string{
		profiles:            `{"error":{"code":"authentication_error","message":"Failure to properly authenticate yourself in the request."}}`,
		"/v1/async-actions": `{"code":401,"message":"Unauthorized","key":"unauthorized"}`,
	} {
		r := c.request("GET", path, nil)
		r.SetBasicAuth("sandbox-access-token", "x")
		r.Header.Set("X-App-Token", "x")
		resp, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		equal(t, path, resp.StatusCode, 401)
		equal(t, path, string(got), body)
	}
}

func TestWantHasAllShapesInAny50(t *testing.T) {
	want := sandbox.New(sandbox.Options{Profiles: 175, Seed: 9}).Want()
	all := map[string]bool{}
	for _, e := range want {
		all[e.Shape] = true
	}
	equal(t, "number of shapes", len(all), 38)
	for i := 0; i+50 <= len(want); i++ {
		here := map[string]bool{}
		for _, e := range want[i : i+50] {
			here[e.Shape] = true
		}
		if len(here) != len(all) {
			t.Fatalf("profiles %d to %d have %d of %d shapes", i, i+49, len(here), len(all))
		}
	}
}

func TestSameSeedSameData(t *testing.T) {
	want := sandbox.New(sandbox.Options{Profiles: 100, Seed: 5}).Want()
	equal(t, "same seed", sandbox.New(sandbox.Options{Profiles: 100, Seed: 5}).Want(), want)
	if other := sandbox.New(sandbox.Options{Profiles: 100, Seed: 6}).Want(); reflect.DeepEqual(other, want) {
		t.Error("another seed gives the same data")
	}
}

func TestIdentifiedShare(t *testing.T) {
	for _, tt := range []struct {
		o        sandbox.Options
		min, max int
	}{
		{sandbox.Options{}, 800, 850}, // 84 %, less the vanished
		{sandbox.Options{Identified: 1}, 980, 980},
		{sandbox.Options{Identified: -1}, 0, 0},
		{sandbox.Options{Identified: 0.2}, 150, 250},
		{sandbox.Options{Plain: true}, 1000, 1000},
		{sandbox.Options{Plain: true, Identified: 0.2}, 200, 200},
		{sandbox.Options{Plain: true, Identified: -1}, 0, 0},
	} {
		tt.o.Profiles = 1000
		n := 0
		for _, e := range sandbox.New(tt.o).Want() {
			if e.SourceID != "" {
				n++
			}
		}
		if n < tt.min || n > tt.max {
			t.Errorf("%+v: %d have a user_id, want %d to %d", tt.o.Identified, n, tt.min, tt.max)
		}
	}
}

func TestHooksAndRequests(t *testing.T) {
	var read, answered []sandbox.Request
	s, c := start(t, sandbox.Options{
		Record:    true,
		OnRequest: func(r sandbox.Request) { read = append(read, r) },
		OnAnswer:  func(r sandbox.Request) { answered = append(answered, r) },
		Intercept: func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/v1/teapot" {
				return false
			}
			w.WriteHeader(418)
			return true
		},
	})
	c.do("POST", "/v1/customers/bulk/async?a=b", `[{"source_id":"x"}]`, 202)
	c.do("GET", "/v1/teapot", "", 418)
	got := s.Requests()
	if len(got) != 2 || len(read) != 1 || len(answered) != 1 {
		t.Fatalf("%d recorded, %d read, %d answered, want 2, 1, 1", len(got), len(read), len(answered))
	}
	first := got[0]
	equal(t, "API", first.API, "voucherify")
	equal(t, "Method", first.Method, "POST")
	equal(t, "Path", first.Path, "/v1/customers/bulk/async")
	equal(t, "Query", first.Query, url.Values{"a": {"b"}})
	equal(t, "Body", string(first.Body), `[{"source_id":"x"}]`)
	equal(t, "X-App-Id", first.Header.Get("X-App-Id"), "sandbox-app-id")
	equal(t, "N", []int{first.N, got[1].N}, []int{1, 2})
	equal(t, "Status", []int{first.Status, got[1].Status, read[0].Status, answered[0].Status}, []int{202, 418, 0, 202})
}

func TestCloseEndsStalledAnswers(t *testing.T) {
	stalled := make(chan bool)
	s := sandbox.New(sandbox.Options{Profiles: 1, Faults: 1, Intercept: func(w http.ResponseWriter, r *http.Request) bool {
		close(stalled)
		<-r.Context().Done()
		return true
	}})
	srv, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	go func() {
		_, err := http.Get(srv.URL)
		failed <- err
	}()
	<-stalled
	srv.Close()
	if <-failed == nil {
		t.Error("the stalled request was answered")
	}
}

func TestClean(t *testing.T) {
	want := sandbox.New(sandbox.Options{Profiles: 500, Clean: true}).Want()
	vanished, without, shapes := 0, 0, map[string]bool{}
	for _, e := range want {
		shapes[e.Shape] = true
		if e.Vanished {
			vanished++
		} else if e.SourceID == "" {
			without++
		}
	}
	equal(t, "vanished, without identifier, shapes", []int{vanished, without, len(shapes)}, []int{0, 20, 33})
}
