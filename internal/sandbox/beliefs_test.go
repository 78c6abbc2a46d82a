package sandbox_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"segsync/internal/sandbox"
)

// TestIDForms: which forms of a segment id name a profile.
func TestIDForms(t *testing.T) {
	for form, want := range map[sandbox.IDForm][2]int{
		sandbox.AnyForm: {200, 200}, sandbox.TypedForm: {200, 404}, sandbox.BareForm: {404, 200},
	} {
		s, c := start(t, sandbox.Options{Profiles: 1, Plain: true, IDForm: form})
		id := s.Want()[0].SegmentID
		path := "/v1/spaces/spa_sandbox/collections/users/profiles/"
		c.do("GET", path+"segment_id:"+id+"/traits", "", want[0])
		c.do("GET", path+id+"/traits", "", want[1])
		c.do("GET", path+"user_id:user-0000000/traits", "", 200)
	}
}

// TestMetadataAnswer: the answer about a profile has its canonical id, or not.
func TestMetadataAnswer(t *testing.T) {
	for _, without := range []bool{false, true} {
		s, c := start(t, sandbox.Options{Profiles: 1, Plain: true, NoCanonicalID: without})
		var answer struct {
			SegmentID string `json:"segment_id"`
		}
		c.get("/v1/spaces/spa_sandbox/collections/users/profiles/user_id:user-0000000/metadata", &answer)
		equal(t, "segment_id", answer.SegmentID == s.Want()[0].SegmentID, !without)
	}
}

// TestExportFiles: a large export may have several files, and may lack rows.
func TestExportFiles(t *testing.T) {
	for _, asList := range []bool{false, true} {
		s, c := start(t, sandbox.Options{Exports: sandbox.ExportOptions{Files: 2, FileList: asList, Missing: 1}})
		upsert(c, `[{"source_id":"a"},{"source_id":"b"},{"source_id":"c"},{"source_id":"d"}]`)
		_, body := c.do("POST", exportsPath, `{"exported_object":"customer","parameters":{"order":"source_id","fields":["source_id"]}}`, 200)
		var e struct {
			ID     string
			Result json.RawMessage
		}
		decode(t, body, &e)
		var urls []string
		if asList {
			var files []struct{ URL string }
			decode(t, string(e.Result), &files)
			for _, f := range files {
				urls = append(urls, f.URL)
			}
		} else {
			var result struct{ URLs []string }
			decode(t, string(e.Result), &result)
			urls = result.URLs
		}
		var all []string
		for _, url := range urls {
			_, file, err := download(c, url, keys())
			equal(t, "error", err, nil)
			all = append(all, file)
		}
		equal(t, "files", strings.Join(all, "|"), "Source ID\na\nb\n|Source ID\nc\n")
		_, body = c.do("GET", exportsPath, "", 200)
		equal(t, "listed", strings.Contains(string(body), e.ID), true)
		c.do("DELETE", exportsPath+"/"+e.ID, "", http.StatusNoContent)
		c.do("GET", exportsPath+"/"+e.ID, "", 404)
		c.do("DELETE", exportsPath+"/"+e.ID, "", 404)
		equal(t, "customers", len(s.Customers()), 4)
	}
}

// TestWhatIsStored: numbers may be doubles, addresses may have nulls, and customers may have no source_id.
func TestWhatIsStored(t *testing.T) {
	s, c := start(t, sandbox.Options{Doubles: true, FullAddress: true, Nameless: 2})
	upsert(c, `[{"source_id":"a","address":{"city":"C"},"metadata":{"n":9007199254740993,"m":[1e100]}}]`)
	equal(t, "customers", string(s.Customers()["a"]), `{"address":{"city":"C"},"metadata":{"m":[1e+100],"n":9007199254740992},"source_id":"a"}`)
	var got struct{ Address map[string]any }
	c.get("/v1/customers/a", &got)
	equal(t, "address", got.Address, map[string]any{"city": "C", "state": nil, "country": nil, "postal_code": nil, "line_1": nil, "line_2": nil})
	var list struct{ Total int }
	c.get("/v1/customers?limit=1", &list)
	equal(t, "total", list.Total, 3)
	_, file, _ := download(c, export(c, `["source_id","name"]`), keys())
	equal(t, "export", file, "Source ID,Name\n,Somebody\n,Somebody\na,\n")
}

// TestTooLargeKey: a body that is too large may be told by a key alone.
func TestTooLargeKey(t *testing.T) {
	_, c := start(t, sandbox.Options{MaxBody: 10, TooLargeKey: true})
	_, answer := c.do("POST", "/v1/customers/bulk/async", `[{"source_id":"a"}]`, 400)
	equal(t, "key", errorKey(c, answer), "query_too_large")
}
