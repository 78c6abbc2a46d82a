package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// admitVoucherify returns the answer that refuses c, or nil, and the headers
// of every answer.
func (s *Sandbox) admitVoucherify(c *call) (*answer, http.Header) {
	if c.Header.Get("X-App-Id") != s.o.AppID || c.Header.Get("X-App-Token") != s.o.SecretKey {
		return &answer{status: http.StatusUnauthorized, body: []byte(`{"code":401,"message":"Unauthorized","key":"unauthorized"}`)}, nil
	}
	b := s.api
	if c.route == routeBulk {
		b = s.bulk
	}
	header, ok := b.take(time.Now())
	if !ok {
		a := voucherifyTooMany()
		a.header = header
		return &a, header
	}
	return nil, header
}

// answerVoucherify answers a request to the Voucherify API.
func (s *Sandbox) answerVoucherify(c *call) answer {
	switch {
	case c.tooLarge && s.o.TooLargeKey:
		return s.voucherifyError(c, http.StatusBadRequest, "query_too_large", "Request body payload too large or query string too large", "")
	case c.tooLarge:
		return answer{status: http.StatusRequestEntityTooLarge, body: fmt.Appendf(nil,
			`{"statusCode":413,"error":"Request Entity Too Large","message":"Payload content length greater than maximum allowed: %d"}`, s.o.MaxBody)}
	case c.route == "" && c.Method != http.MethodGet:
		return s.voucherifyError(c, http.StatusMethodNotAllowed, "method_not_allowed", "Method not allowed", c.Method+" is not supported")
	}
	id, err := url.PathUnescape(c.last)
	if err != nil {
		return s.voucherifyError(c, http.StatusBadRequest, "invalid_query_params", "Invalid query params", "The path is not well escaped")
	}
	switch c.route {
	case routeBulk:
		return s.bulkUpsert(c)
	case routeUpsert:
		return s.upsert(c)
	case routeActions:
		return s.listActions(c)
	case routeAction:
		return s.getAction(c, id)
	case routeCustomers:
		return s.listCustomers(c)
	case routeCustomer:
		return s.getCustomer(c, id)
	case routeDelete:
		return s.deleteCustomer(c, id)
	case routePermanent:
		return s.deletePermanently(c, id)
	case routeExports:
		return s.createExport(c)
	case routeExportList:
		return s.listExports()
	case routeExportDelete:
		return s.deleteExport(c, id)
	case routeExport:
		return s.getExport(c, id)
	case routeSchemas:
		return s.listSchemas()
	case routeSchema:
		return s.getSchema(c, id)
	default:
		return s.voucherifyError(c, http.StatusNotFound, "not_found", "Resource not found", "Cannot find "+c.Path)
	}
}

// bulkUpsert answers POST /v1/customers/bulk/async: the records are queued,
// not checked.
func (s *Sandbox) bulkUpsert(c *call) answer {
	var records []json.RawMessage
	if err := json.Unmarshal(c.Body, &records); err != nil || records == nil {
		return s.voucherifyError(c, http.StatusBadRequest, "invalid_payload", "Invalid payload", "Payload should be array")
	}
	for _, record := range records {
		if record[0] != '{' {
			return s.voucherifyError(c, http.StatusBadRequest, "invalid_payload", "Invalid payload", "Every item should be object")
		}
	}
	if s.o.MaxCustomers > 0 && len(records) > s.o.MaxCustomers {
		return s.voucherifyError(c, http.StatusBadRequest, "too_many_customers", "Too many customers",
			fmt.Sprintf("Specify at most %d customers", s.o.MaxCustomers))
	}
	a := s.store.enqueue(s, records, requestID(s.o.Seed, c), time.Now())
	s.count.bulkAccepted.Add(1)
	return answer{status: http.StatusAccepted, body: []byte(`{"async_action_id":"` + a.id + `"}`)}
}

// listActions answers GET /v1/async-actions.
func (s *Sandbox) listActions(c *call) answer {
	limit, ok := intParam(c.Query, "limit", 10)
	if !ok || limit < 1 || limit > 100 {
		return s.invalidQuery(c, "Property .limit should be integer between 1 and 100")
	}
	var before time.Time
	if v := c.Query.Get("end_date"); v != "" {
		if before, ok = parseDate(v); !ok {
			return s.invalidQuery(c, "Property .end_date cannot be recognized as a ISO-8601 compliant date")
		}
	}
	return answer{status: http.StatusOK, body: s.store.listActions(limit, before, s.o.HideFresh, time.Now())}
}

// getAction answers GET /v1/async-actions/{id}.
func (s *Sandbox) getAction(c *call, id string) answer {
	body := s.store.action(&s.o, id, time.Now())
	if body == nil {
		return s.notFound(c, "async_action", id)
	}
	return answer{status: http.StatusOK, body: body}
}

// listCustomers answers GET /v1/customers, in order of creation.
func (s *Sandbox) listCustomers(c *call) answer {
	limit, ok := intParam(c.Query, "limit", 10)
	if !ok || limit < 1 || limit > 100 {
		return s.invalidQuery(c, "Property .limit should be integer between 1 and 100")
	}
	page, ok := intParam(c.Query, "page", 1)
	if !ok || page < 1 || page > 99 {
		return s.invalidQuery(c, "Property .page should be integer between 1 and 99")
	}
	return answer{status: http.StatusOK, body: s.store.listCustomers((page-1)*limit, limit, time.Now())}
}

// getCustomer answers GET /v1/customers/{id or source_id}.
func (s *Sandbox) getCustomer(c *call, id string) answer {
	body := s.store.customer(id, time.Now())
	if body == nil {
		return s.notFound(c, "customer", id)
	}
	return answer{status: http.StatusOK, body: body}
}

// listSchemas answers GET /v1/metadata-schemas.
func (s *Sandbox) listSchemas() answer {
	return answer{status: http.StatusOK, body: fmt.Appendf(nil,
		`{"object":"list","data_ref":"schemas","schemas":[%s],"total":%d}`, s.o.Schema, min(1, len(s.o.Schema)))}
}

// getSchema answers GET /v1/metadata-schemas/{resource}.
func (s *Sandbox) getSchema(c *call, resource string) answer {
	if resource != "customer" || s.o.Schema == nil {
		return s.notFound(c, "metadata schema", resource)
	}
	return answer{status: http.StatusOK, body: s.o.Schema}
}

// parseDate parses an ISO date or date-time.
func parseDate(v string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, v); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

func (s *Sandbox) voucherifyError(c *call, status int, key, message, details string) answer {
	return answer{status: status, body: fmt.Appendf(nil, `{"code":%d,"key":%s,"message":%s,"details":%s,"request_id":"%s"}`,
		status, quoted(key), quoted(message), quoted(details), requestID(s.o.Seed, c))}
}

func (s *Sandbox) invalidQuery(c *call, details string) answer {
	return s.voucherifyError(c, http.StatusBadRequest, "invalid_query_params", "Invalid query params", details)
}

func (s *Sandbox) notFound(c *call, resource, id string) answer {
	return answer{status: http.StatusNotFound, body: fmt.Appendf(nil,
		`{"code":404,"key":"not_found","message":"Resource not found","details":%s,"request_id":"%s","resource_id":%s,"resource_type":"%s"}`,
		quoted("Cannot find "+resource+" with id "+id), requestID(s.o.Seed, c), quoted(id), resource)}
}

func voucherifyTooMany() answer {
	return answer{status: http.StatusTooManyRequests, body: []byte(`{"code":429,"message":"Too many requests hit the API too quickly."}`)}
}

// requestID is the request_id of the answer to c.
func requestID(seed uint64, c *call) string { return "v-0" + hexID(seed, uint64(c.N)) }
