package sandbox_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"segsync/internal/sandbox"
)

const exportsPath = "/v1/exports"

// exportState is an export as it is on the wire.
type exportState struct {
	ID, Status string
	Result     *struct{ URL string }
}

// export asks for the fields and returns the URL of the file.
func export(c *client, fields string) string {
	c.t.Helper()
	_, body := c.do("POST", exportsPath, `{"exported_object":"customer","parameters":{"order":"source_id","fields":`+fields+`}}`, 200)
	var e exportState
	decode(c.t, body, &e)
	c.get(exportsPath+"/"+e.ID, &e)
	if e.Status != "DONE" || e.Result == nil {
		c.t.Fatalf("%+v", e)
	}
	return e.Result.URL
}

// download returns the status and the body of the file.
func download(c *client, link string, header http.Header) (*http.Response, string, error) {
	c.t.Helper()
	r, err := http.NewRequest("GET", link, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header = header
	resp, err := c.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), err
}

func keys() http.Header {
	return http.Header{"X-App-Id": {"sandbox-app-id"}, "X-App-Token": {"sandbox-secret-key"}}
}

const schemaJSON = `{"properties":{"plan":{"type":"string"},"age":{"type":"number"},"old":{"type":"string","deleted":true}}}`

const twoCustomers = `[{"source_id":"b","name":"Ada \"A\", B","address":{"city":"Riverton","line_1":"1 Main Street"},"birthdate":null,"metadata":{"plan":"pro","age":7,"other":"x"}},
	{"source_id":"a","metadata":{"age":null}}]`

func TestExportForms(t *testing.T) {
	for _, tt := range []struct {
		header   sandbox.ExportHeader
		metadata sandbox.ExportMetadata
		want     string
	}{
		{sandbox.HeaderTitles, sandbox.MetadataKeys,
			"Source ID,City,Name,Birthdate,age,plan\na,,,,,\nb,Riverton,\"Ada \"\"A\"\", B\",,7,pro\n"},
		{sandbox.HeaderTitles, sandbox.MetadataJSON,
			"Source ID,City,Name,Birthdate,Metadata\na,,,,\"{\"\"age\"\":null}\"\nb,Riverton,\"Ada \"\"A\"\", B\",,\"{\"\"age\"\":7,\"\"plan\"\":\"\"pro\"\"}\"\n"},
		{sandbox.HeaderFields, sandbox.MetadataColumns,
			"source_id,address_city,name,birthdate,metadata.age,metadata.plan\na,,,,,\nb,Riverton,\"Ada \"\"A\"\", B\",,7,pro\n"},
		{sandbox.HeaderMixed, sandbox.MetadataKeys,
			"SOURCE ID,address_city,Column 3,BIRTHDATE,age,plan\na,,,,,\nb,Riverton,\"Ada \"\"A\"\", B\",,7,pro\n"},
	} {
		_, c := start(t, sandbox.Options{Schema: json.RawMessage(schemaJSON), Exports: sandbox.ExportOptions{Header: tt.header, Metadata: tt.metadata}})
		upsert(c, twoCustomers)
		link := export(c, `["source_id","address_city","name","birthdate","metadata"]`)
		resp, body, err := download(c, link, keys())
		equal(t, "file", body, tt.want)
		equal(t, "error, status", []any{err, resp.StatusCode}, []any{error(nil), 200})
		if strings.HasPrefix(link, c.url) || !strings.HasPrefix(link, "http://127.0.0.1:") {
			t.Errorf("the file is at %s", link)
		}
	}
}

func TestExportRefusals(t *testing.T) {
	s, c := start(t, sandbox.Options{APICalls: sandbox.Bucket{Limit: 5}})
	for _, body := range []string{`[]`, `{}`, `{"exported_object":"customer","parameters":{"fields":["shoe_size"]}}`,
		`{"exported_object":"customer","parameters":{"fields":["name"],"order":"name"}}`} {
		_, answer := c.do("POST", exportsPath, body, 400)
		equal(t, body, errorKey(c, answer), "invalid_export_params")
	}
	c.do("GET", exportsPath+"/exp_1", "", 404)
	c.do("POST", exportsPath, `{}`, 429)
	equal(t, "downloads", s.Stats().Downloads, 0)
}

func TestDownloadNeedsTokenAndKeys(t *testing.T) {
	s, c := start(t, sandbox.Options{Record: true})
	link := export(c, `["source_id"]`)
	without, _, _ := strings.Cut(link, "?")
	for _, tt := range []struct {
		link   string
		header http.Header
	}{{link, http.Header{}}, {without, keys()}, {link + "x", keys()}} {
		resp, _, _ := download(c, tt.link, tt.header)
		equal(t, tt.link, resp.StatusCode, 401)
	}
	all := s.Requests()
	last := all[len(all)-1]
	equal(t, "recorded", []any{last.API, last.Status, s.Stats().Downloads}, []any{"download", 401, 3})
}

func TestExportTakesTime(t *testing.T) {
	for _, fails := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := sandbox.New(sandbox.Options{Exports: sandbox.ExportOptions{Delay: 30 * time.Second, Fails: fails, DownloadURL: "http://127.0.0.1:1"}})
			ask := func(method, path, body string) (e exportState) {
				w, r := httptest.NewRecorder(), httptest.NewRequest(method, path, strings.NewReader(body))
				r.Header = keys()
				s.ServeHTTP(w, r)
				decode(t, w.Body.String(), &e)
				return e
			}
			e := ask("POST", exportsPath, `{"exported_object":"customer"}`)
			got := []string{e.Status}
			for range 3 {
				time.Sleep(10 * time.Second)
				e = ask("GET", exportsPath+"/"+e.ID, "")
				got = append(got, e.Status)
			}
			end := "DONE"
			if fails {
				end = "ERROR"
			}
			equal(t, "statuses", got, []string{"SCHEDULED", "IN_PROGRESS", "IN_PROGRESS", end})
			equal(t, "has a URL", e.Result != nil, !fails)
			if e.Result != nil {
				u, err := url.Parse(e.Result.URL)
				equal(t, "host, error", []any{u.Host, err}, []any{"127.0.0.1:1", error(nil)})
			}
		})
	}
}
