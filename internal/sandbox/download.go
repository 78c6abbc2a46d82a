package sandbox

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// ServeDownload answers for the host from which exports are downloaded.
func (s *Sandbox) ServeDownload(w http.ResponseWriter, r *http.Request) {
	c, err := s.receive(r, routeDownload)
	if err != nil {
		return
	}
	if s.o.OnRequest != nil {
		s.o.OnRequest(*c.Request)
	}
	s.exports.mu.Lock()
	e := s.exports.byID[c.last]
	s.exports.mu.Unlock()
	known := c.Header.Get("X-App-Id") == s.o.AppID && c.Header.Get("X-App-Token") == s.o.SecretKey
	if e == nil || !known || c.Query.Get("token") != e.token || c.Time.Before(e.done) {
		s.reply(w, c, answer{status: http.StatusUnauthorized, body: []byte(`{"code":401,"message":"Unauthorized","key":"unauthorized"}`)})
		return
	}
	s.done(c, http.StatusOK)
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	part := *e
	if n := s.o.Exports.Files; n > 1 {
		i, _ := strconv.Atoi(c.Query.Get("file"))
		size := (len(e.customers) + n - 1) / n
		part.customers = e.customers[min(i*size, len(e.customers)):min((i+1)*size, len(e.customers))]
	}
	s.writeCSV(w, &part) // an error means that the client is gone
}

// writeCSV writes the file of e.
func (s *Sandbox) writeCSV(w io.Writer, e *export) error {
	header, keys := s.exportColumns(e)
	out := csv.NewWriter(w)
	if err := out.Write(header); err != nil {
		return err
	}
	row := make([]string, 0, len(header))
	for i := range e.customers {
		row = s.appendRow(row[:0], &e.customers[i], e.parameters.Fields, keys)
		if err := out.Write(row); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// appendRow appends the cells of one customer.
func (s *Sandbox) appendRow(row []string, c *customer, fields, keys []string) []string {
	values := object(c.fields)
	address := object(values["address"])
	for _, field := range fields {
		switch part, ok := strings.CutPrefix(field, "address_"); {
		case ok:
			row = append(row, cell(address[part]))
		case field == "id":
			row = append(row, c.id)
		case field == "created_at":
			row = append(row, formatMillis(c.created))
		case field == "updated_at":
			row = append(row, formatMillis(c.updated))
		case field == "metadata":
			row = s.appendMetadata(row, object(values["metadata"]), keys)
		default:
			row = append(row, cell(values[field]))
		}
	}
	return row
}

// appendMetadata appends the cells of the defined keys.
func (s *Sandbox) appendMetadata(row []string, metadata map[string]json.RawMessage, keys []string) []string {
	if s.o.Exports.Metadata != MetadataJSON {
		for _, key := range keys {
			row = append(row, cell(metadata[key]))
		}
		return row
	}
	defined := map[string]json.RawMessage{}
	for _, key := range keys {
		if v, ok := metadata[key]; ok {
			defined[key] = v
		}
	}
	return append(row, string(marshal(defined)))
}

// cell writes a JSON value as a cell: null and absent ones are empty, a text
// stands without its quotes, all others are JSON.
func cell(raw json.RawMessage) string {
	var text string
	if len(raw) == 0 || string(raw) == "null" {
		return ""
	}
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}
