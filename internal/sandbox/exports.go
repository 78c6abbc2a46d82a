package sandbox

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ExportOptions says how exports of customers behave. The zero value: each is
// done at once, with titles and a column for each metadata key.
type ExportOptions struct {
	// Delay is the time an export takes: SCHEDULED for a third of it, then
	// IN_PROGRESS.
	Delay time.Duration
	// Fails makes every export end with ERROR.
	Fails bool
	// Header is the form of the header row, Metadata that of the metadata.
	Header   ExportHeader
	Metadata ExportMetadata
	// Missing is how many customers at its end an export lacks.
	Missing int
	// Files is how many files an export has: above 1 its result has urls, or, with
	// FileList, is a list of objects with one url each.
	Files    int
	FileList bool
	// DownloadURL is the base URL of the download host where the sandbox is not
	// served by Listen, which serves that host itself. It answers there with
	// Sandbox.ServeDownload.
	DownloadURL string
}

// ExportHeader is the form of the header row.
type ExportHeader int

const (
	// HeaderTitles has titles, such as "Source ID", "City", "Line 1".
	HeaderTitles ExportHeader = iota
	// HeaderFields has the names of the fields, such as "source_id".
	HeaderFields
	// HeaderMixed has by turns titles in capitals, names of fields, and titles
	// that nobody knows.
	HeaderMixed
)

// ExportMetadata is the form of the metadata, of which only keys defined in
// Options.Schema are exported.
type ExportMetadata int

const (
	// MetadataKeys is a column "KEY" for each key.
	MetadataKeys ExportMetadata = iota
	// MetadataColumns is a column "metadata.KEY" for each key.
	MetadataColumns
	// MetadataJSON is one column with a JSON object.
	MetadataJSON
)

// exportTitles has the title of each field that can be exported. Those of the two times were seen
// in production, in exports of vouchers.
var exportTitles = map[string]string{
	"id": "ID", "name": "Name", "description": "Description", "email": "Email", "source_id": "Source ID",
	"created_at": "Creation Date", "updated_at": "Last Update Date", "phone": "Phone", "birthday": "Birthday", "birthdate": "Birthdate",
	"address_city": "City", "address_state": "State", "address_line_1": "Line 1", "address_line_2": "Line 2",
	"address_country": "Country", "address_postal_code": "Postal Code", "metadata": "Metadata",
}

// exports holds the exports of a sandbox.
type exports struct {
	mu   sync.Mutex
	byID map[string]*export
	made int
	host string // base URL of the download host
}

// export is one export: the customers as they were when it was asked for.
type export struct {
	id, token     string
	created, done time.Time
	parameters    exportParameters
	customers     []customer
}

type exportParameters struct {
	Order   string                     `json:"order,omitempty"`
	Fields  []string                   `json:"fields"`
	Filters map[string]json.RawMessage `json:"filters,omitempty"`
}

// createExport answers POST /v1/exports.
func (s *Sandbox) createExport(c *call) answer {
	var asked struct {
		ExportedObject string           `json:"exported_object"`
		Parameters     exportParameters `json:"parameters"`
	}
	refuse := func(details string) answer {
		return s.voucherifyError(c, http.StatusBadRequest, "invalid_export_params", "Invalid export params", details)
	}
	if err := json.Unmarshal(c.Body, &asked); err != nil {
		return refuse("Payload should be object")
	}
	p := asked.Parameters
	if asked.ExportedObject != "customer" {
		return refuse("Property .exported_object is not supported: " + asked.ExportedObject)
	}
	if len(p.Fields) == 0 {
		p.Fields = []string{"name", "source_id"}
	}
	for _, f := range p.Fields {
		if _, ok := exportTitles[f]; !ok {
			return refuse("Property .parameters.fields has the unknown field " + f)
		}
	}
	if len(p.Filters) > 0 {
		return refuse("The sandbox has no filters")
	}
	now := time.Now()
	e := &export{created: now, done: now.Add(s.o.Exports.Delay), parameters: p}
	if e.customers = s.store.sorted(p.Order, now); e.customers == nil {
		return refuse("Property .parameters.order is not supported: " + p.Order)
	}
	e.customers = e.customers[:max(len(e.customers)-s.o.Exports.Missing, 0)]
	s.exports.mu.Lock()
	defer s.exports.mu.Unlock()
	n := s.exports.made
	s.exports.made++
	e.id, e.token = token("exp_", s.o.Seed, n), token("", s.o.Seed+1, n)
	if s.exports.byID == nil {
		s.exports.byID = map[string]*export{}
	}
	s.exports.byID[e.id] = e
	return answer{status: http.StatusOK, body: s.exportJSON(e, now)}
}

// getExport answers GET /v1/exports/{id}.
func (s *Sandbox) getExport(c *call, id string) answer {
	s.exports.mu.Lock()
	defer s.exports.mu.Unlock()
	e := s.exports.byID[id]
	if e == nil {
		return s.notFound(c, "export", id)
	}
	return answer{status: http.StatusOK, body: s.exportJSON(e, time.Now())}
}

// exportJSON returns e as the API gives it. s.exports.mu must be held.
func (s *Sandbox) exportJSON(e *export, now time.Time) []byte {
	status, result := "DONE", "null"
	switch delay := e.done.Sub(e.created); {
	case now.Sub(e.created) < delay/3:
		status = "SCHEDULED"
	case now.Before(e.done):
		status = "IN_PROGRESS"
	case s.o.Exports.Fails:
		status = "ERROR"
	default:
		result = s.exportResult(e)
	}
	parameters, _ := json.Marshal(e.parameters) // strings only
	return fmt.Appendf(nil, `{"id":"%s","object":"export","created_at":"%s","status":"%s","channel":"API","exported_object":"customer","parameters":%s,"result":%s,"user_id":null}`,
		e.id, formatMillis(e.created), status, parameters, result)
}

// exportResult says where the files of e are.
func (s *Sandbox) exportResult(e *export) string {
	url := s.exports.host + "/v1/exports/" + e.id + "?token=" + e.token
	if s.o.Exports.Files <= 1 {
		return `{"url":` + quoted(url) + `}`
	}
	var parts []string
	for i := range s.o.Exports.Files {
		part := quoted(url + "&file=" + strconv.Itoa(i))
		if s.o.Exports.FileList {
			part = `{"url":` + part + `}`
		}
		parts = append(parts, part)
	}
	list := "[" + strings.Join(parts, ",") + "]"
	if s.o.Exports.FileList {
		return list
	}
	return `{"urls":` + list + `}`
}

// listExports answers GET /v1/exports, the newest first.
func (s *Sandbox) listExports() answer {
	s.exports.mu.Lock()
	defer s.exports.mu.Unlock()
	list := slices.SortedFunc(maps.Values(s.exports.byID), func(a, b *export) int { return b.created.Compare(a.created) })
	b := []byte(`{"object":"list","data_ref":"exports","exports":[`)
	for i, e := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, s.exportJSON(e, time.Now())...)
	}
	return answer{status: http.StatusOK, body: fmt.Appendf(b, `],"total":%d}`, len(list))}
}

// deleteExport answers DELETE /v1/exports/{id}.
func (s *Sandbox) deleteExport(c *call, id string) answer {
	s.exports.mu.Lock()
	defer s.exports.mu.Unlock()
	if s.exports.byID[id] == nil {
		return s.notFound(c, "export", id)
	}
	delete(s.exports.byID, id)
	return answer{status: http.StatusNoContent}
}

// sorted returns a copy of the customers in an order, nil when it is unknown.
func (t *store) sorted(order string, now time.Time) []customer {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settle(now)
	list := make([]customer, len(t.order))
	for i, sourceID := range t.order {
		list[i] = *t.customers[sourceID]
		list[i].sourceID = sourceID
	}
	name, descending := strings.CutPrefix(order, "-")
	var compare func(a, b customer) int
	switch name {
	case "", "created_at":
		compare = func(a, b customer) int { return a.created.Compare(b.created) }
	case "updated_at":
		compare = func(a, b customer) int { return a.updated.Compare(b.updated) }
	case "source_id":
		compare = func(a, b customer) int { return cmp.Compare(a.sourceID, b.sourceID) }
	default:
		return nil
	}
	slices.SortStableFunc(list, func(a, b customer) int {
		if descending {
			return compare(b, a)
		}
		return compare(a, b)
	})
	return list
}

// exportColumns returns the header of e, and the keys of the metadata.
func (s *Sandbox) exportColumns(e *export) (header, keys []string) {
	if s.defined != nil {
		keys = slices.Sorted(maps.Keys(s.defined.Properties))
	}
	for i, field := range e.parameters.Fields {
		if field == "metadata" && s.o.Exports.Metadata != MetadataJSON {
			for _, key := range keys {
				if s.o.Exports.Metadata == MetadataColumns {
					key = "metadata." + key
				}
				header = append(header, key)
			}
			continue
		}
		title := exportTitles[field]
		switch {
		case s.o.Exports.Header == HeaderFields, s.o.Exports.Header == HeaderMixed && i%3 == 1:
			title = field
		case s.o.Exports.Header == HeaderMixed && i%3 == 0:
			title = strings.ToUpper(title)
		case s.o.Exports.Header == HeaderMixed:
			title = fmt.Sprintf("Column %d", i+1)
		}
		header = append(header, title)
	}
	return header, keys
}
