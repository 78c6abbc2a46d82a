package voucherify_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"segsync/voucherify"
)

func TestCreateExport(t *testing.T) {
	var got []string
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = []string{r.Method + " " + r.RequestURI, r.Header.Get("X-App-Id"), r.Header.Get("X-App-Token"), string(b)}
		io.WriteString(w, `{"id":"exp_1","object":"export","status":"SCHEDULED","channel":"API","exported_object":"customer"}`)
	})
	id, err := c.CreateExport(t.Context(), []string{"source_id", "name", "metadata"})
	if id != "exp_1" || err != nil {
		t.Errorf("%q, %v, want exp_1", id, err)
	}
	want := []string{"POST /v1/exports", "app-1", "key-1",
		`{"exported_object":"customer","parameters":{"fields":["source_id","name","metadata"],"order":"source_id"}}`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	for _, body := range []string{`{}`, `{"id":""}`, `{"id":"../x"}`} {
		id, err := newClient(t, reply(200, body)).CreateExport(t.Context(), nil)
		if _, ok := errors.AsType[*voucherify.ForeignAnswerError](err); !ok || id != "" {
			t.Errorf("%s: %q, %v, want an error", body, id, err)
		}
	}
}

func TestExport(t *testing.T) {
	for body, want := range map[string]*voucherify.Export{
		`{"id":"exp_1","status":"SCHEDULED"}`:                                                                   {Status: "SCHEDULED"},
		`{"id":"exp_1","status":"IN_PROGRESS","result":null}`:                                                   {Status: "IN_PROGRESS"},
		`{"id":"exp_1","status":"ERROR","result":{"error":{"message":"x"}}}`:                                    {Status: "ERROR"},
		`{"id":"exp_1","status":"DONE","result":{"url":"https://download.voucherify.io/?t=1"}}`:                 {Status: "DONE", URLs: []string{"https://download.voucherify.io/?t=1"}},
		`{"id":"exp_1","status":"DONE","result":{"urls":["https://a.example/1","https://a.example/2"]}}`:        {Status: "DONE", URLs: []string{"https://a.example/1", "https://a.example/2"}},
		`{"id":"exp_1","status":"DONE","result":[{"url":"https://a.example/1"},{"url":"https://a.example/2"}]}`: {Status: "DONE", URLs: []string{"https://a.example/1", "https://a.example/2"}},
		`{"id":"exp_1","status":"DONE","result":["https://a.example/1"]}`:                                       {Status: "DONE", URLs: []string{"https://a.example/1"}},
		`{"status":"DONE","result":["https://a.example/1",""]}`:                                                 nil,
		`{"status":"DONE","result":[{"url":"https://a.example/1"},{}]}`:                                         nil,
		`{"status":"DONE","result":{}}`:                                                                         nil,
		`{"status":"DONE","result":null}`:                                                                       nil,
		`{"status":"done"}`:                                                                                     nil,
		`{}`:                                                                                                    nil,
	} {
		var uri string
		c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
			uri = r.RequestURI
			io.WriteString(w, body)
		})
		got, err := c.Export(t.Context(), "exp_1")
		_, foreign := errors.AsType[*voucherify.ForeignAnswerError](err)
		if diff := cmp.Diff(want, got); diff != "" || foreign != (want == nil) {
			t.Errorf("%s: %v (-want +got):\n%s", body, err, diff)
		}
		if uri != "/v1/exports/exp_1" {
			t.Errorf("request of %s", uri)
		}
	}
}

// The token in the URL is a secret.
func TestExportIsShownWithoutItsURL(t *testing.T) {
	e := voucherify.Export{Status: "DONE", URLs: []string{"https://download.voucherify.io/v1/exports/exp_1?token=CANARY"}}
	data, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "export", e, "pointer", &e)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "export", e, "pointer", &e)
	for _, shown := range []string{fmt.Sprintf("%v %+v %#v %s %q", e, e, e, e, e), fmt.Sprintf("%v %+v %#v", &e, &e, &e), string(data), log.String()} {
		if strings.Contains(shown, "CANARY") || !strings.Contains(shown, "DONE") {
			t.Errorf("shown as %s", shown)
		}
	}
}

func TestDownloadRequest(t *testing.T) {
	for _, c := range []struct {
		base, url string
		keys      bool
	}{
		{"https://api.voucherify.io", "https://api.voucherify.io/v1/exports/exp_1?token=t", true},
		{"https://api.voucherify.io", "https://download.voucherify.io/v1/exports/exp_1?token=t", true},
		{"https://api.voucherify.io", "https://us1.DOWNLOAD.Voucherify.io/x?token=t", true},
		{"https://api.voucherify.io", "https://s3.example.com/x?token=t", false},
		{"https://api.voucherify.io", "https://voucherify.io.example.com/x", false},
		{"https://api.voucherify.io", "https://evilvoucherify.io/x", false},
		{"https://vouchers.example.com", "https://vouchers.example.com/x", true},
		{"https://vouchers.example.com", "https://vouchers.example.com:8443/x", false},
		{"https://vouchers.example.com", "https://download.example.com/x", false},
		{"https://api.voucherify.io", "https://127.0.0.1:8081/x?token=t", false},
		{"http://127.0.0.1:8080", "http://127.0.0.1:8081/x?token=t", true},
		{"http://127.0.0.1:8080", "http://[::1]:8081/x?token=t", true},
		{"http://127.0.0.1:8080", "http://localhost:8081/x?token=t", true},
	} {
		req, err := clientOf(t, c.base, "app-1", "key-1").DownloadRequest(t.Context(), c.url)
		if err != nil {
			t.Errorf("%s: %v", c.url, err)
			continue
		}
		want := []string{"GET", c.url, "", ""}
		if c.keys {
			want = []string{"GET", c.url, "app-1", "key-1"}
		}
		got := []string{req.Method, req.URL.String(), req.Header.Get("X-App-Id"), req.Header.Get("X-App-Token")}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.url, diff)
		}
	}
	for url, want := range map[string]string{
		"http://download.voucherify.io/x?token=CANARY":        "the export's URL is not https",
		"http://127.0.0.1:8081/x?token=CANARY":                "the export's URL is not https",
		"ftp://download.voucherify.io/x?token=CANARY":         "the export's URL is not https",
		"https://user:CANARY@download.voucherify.io/x":        "the export's URL cannot be read",
		"/v1/exports/exp_1?token=CANARY":                      "the export's URL cannot be read",
		"https://download.voucherify.io/%zz?token=CANARY":     "the export's URL cannot be read",
		"https://download.voucherify.io/\n?token=CANARY":      "the export's URL cannot be read",
		"https://[download.voucherify.io/v1/?token=CANARY":    "the export's URL cannot be read",
		"https://127.0.0.1.example.com@x.example.com/?CANARY": "the export's URL cannot be read",
	} {
		req, err := clientOf(t, "https://api.voucherify.io", "app-1", "key-1").DownloadRequest(t.Context(), url)
		if err == nil || err.Error() != want || req != nil {
			t.Errorf("%q: %v, %v, want %s", url, req, err, want)
		}
	}
}

func TestDeleteExport(t *testing.T) {
	var uri string
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		uri = r.Method + " " + r.RequestURI
		w.WriteHeader(http.StatusNoContent)
	})
	if err := c.DeleteExport(t.Context(), "exp_1/.."); err != nil || uri != "DELETE /v1/exports/exp_1%2F.." {
		t.Errorf("%s: %v", uri, err)
	}
	err := newClient(t, reply(404, `{"key":"not_found","message":"Resource not found"}`)).DeleteExport(t.Context(), "exp_1")
	if e, ok := errors.AsType[*voucherify.Error](err); !ok || !e.NotFound() {
		t.Errorf("an unknown export: %v", err)
	}
}
