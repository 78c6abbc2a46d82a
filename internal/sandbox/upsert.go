package sandbox

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"
)

// upsert answers POST /v1/customers: the record takes effect at once, or is
// refused with the words that a bulk request finds in its action.
func (s *Sandbox) upsert(c *call) answer {
	raw := json.RawMessage(bytes.TrimSpace(c.Body))
	if !json.Valid(raw) || raw[0] != '{' {
		return s.voucherifyError(c, http.StatusBadRequest, "invalid_payload", "Invalid payload", "Payload should be object")
	}
	sourceID, failed := s.check(raw)
	if failed != nil {
		return s.voucherifyError(c, http.StatusBadRequest, failed.Key, failed.Message, failed.Details)
	}
	return answer{status: http.StatusOK, body: s.store.upsertOne(s, sourceID, raw, time.Now())}
}

// upsertOne applies one record and returns the JSON of its customer.
func (t *store) upsertOne(s *Sandbox, sourceID string, raw json.RawMessage, now time.Time) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settle(now)
	t.applied++
	if s.o.Discard {
		return (&customer{id: token("cust_", s.o.Seed, 0), created: now, updated: now, fields: raw}).json(s.o.FullAddress)
	}
	t.put(&s.o, sourceID, raw, now)
	return t.customers[sourceID].json(s.o.FullAddress)
}
