package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"
)

// customer is one customer of the project.
type customer struct {
	id               string
	created, updated time.Time
	sourceID         string          // only in an export
	fields           json.RawMessage // an object, as sent and merged
}

// record is the part of a bulk record that is checked.
type record struct {
	SourceID    json.RawMessage `json:"source_id"`
	Name        json.RawMessage `json:"name"`
	Description json.RawMessage `json:"description"`
	Email       json.RawMessage `json:"email"`
	Phone       json.RawMessage `json:"phone"`
	Birthdate   json.RawMessage `json:"birthdate"`
	Address     json.RawMessage `json:"address"`
	Metadata    json.RawMessage `json:"metadata"`
}

// upsert applies the records of a in their order. t.mu must be held.
func (t *store) upsert(s *Sandbox, a *action, records []json.RawMessage) {
	seen := make(map[string]bool, len(records))
	for _, raw := range records {
		sourceID, failed := s.check(raw)
		_, found := t.customers[sourceID]
		if s.o.LegacyResults {
			a.results = append(a.results, legacyResult{sourceID, found, failed == nil})
		}
		if failed != nil {
			t.rejected++
			a.failedCount++
			if s.o.MaxErrors == 0 || len(a.errors) < s.o.MaxErrors {
				a.errors = append(a.errors, *failed)
			}
			continue
		}
		if seen[sourceID] {
			t.duplicate++
		}
		seen[sourceID] = true
		t.applied++
		a.doneCount++
		if !s.o.Discard {
			t.put(&s.o, sourceID, raw, a.done)
		}
	}
}

// check returns the source_id of a record, and why it fails, nil if it does
// not.
func (s *Sandbox) check(raw json.RawMessage) (string, *failure) {
	var r record
	if err := json.Unmarshal(raw, &r); err != nil {
		return "", invalidRecord("", err.Error())
	}
	var sourceID string
	if json.Unmarshal(r.SourceID, &sourceID) != nil || sourceID == "" {
		return "", invalidRecord("", "Property .source_id should be a non-empty string")
	}
	for _, f := range []struct {
		name  string
		value json.RawMessage
		first byte
		kind  string
	}{
		{"name", r.Name, '"', "string"},
		{"description", r.Description, '"', "string"},
		{"email", r.Email, '"', "string"},
		{"phone", r.Phone, '"', "string"},
		{"birthdate", r.Birthdate, '"', "string"},
		{"address", r.Address, '{', "object"},
		{"metadata", r.Metadata, '{', "object"},
	} {
		if len(f.value) > 0 && f.value[0] != f.first && f.value[0] != 'n' {
			return sourceID, invalidRecord(sourceID, "Property ."+f.name+" should be "+f.kind)
		}
	}
	if !validBirthdate(r.Birthdate) {
		return sourceID, invalidRecord(sourceID, "Property .birthdate cannot be recognized as a ISO-8601 compliant date")
	}
	if details := s.rules.check(r.Metadata); details != "" {
		return sourceID, &failure{"Metadata validation failed", details, "metadata_validation_failed", sourceID}
	}
	if s.o.Reject != nil {
		if key, message, details := s.o.Reject(sourceID); key != "" {
			return sourceID, &failure{message, details, key, sourceID}
		}
	}
	if s.o.RejectShare > 0 && fraction(mix(s.o.Seed, hash(sourceID), 0x4e3)) < s.o.RejectShare {
		return sourceID, &failure{"Metadata validation failed", "loyalty_tier: must be a string, must be equal to one of bronze,silver,gold (actual value is 'none')",
			"metadata_validation_failed", sourceID}
	}
	return sourceID, nil
}

func invalidRecord(sourceID, details string) *failure {
	return &failure{"Invalid payload", details, "invalid_payload", sourceID}
}

// validBirthdate reports whether raw is absent, null, or an ISO date.
func validBirthdate(raw json.RawMessage) bool {
	if len(raw) == 0 || raw[0] == 'n' {
		return true
	}
	var v string
	if json.Unmarshal(raw, &v) != nil {
		return false
	}
	_, ok := parseDate(v)
	return ok
}

// put upserts one customer. t.mu must be held.
func (t *store) put(o *Options, sourceID string, raw json.RawMessage, now time.Time) {
	if o.Doubles {
		raw = withDoubles(raw)
	}
	c, ok := t.customers[sourceID]
	if !ok {
		c = &customer{id: token("cust_", o.Seed, t.created), created: now, fields: raw}
		t.created++
		t.customers[sourceID] = c
		t.order = append(t.order, sourceID)
	} else {
		c.fields = merge(c.fields, raw)
	}
	c.updated = now
}

// withDoubles returns the JSON with each number as the double that it is kept as.
func withDoubles(raw json.RawMessage) json.RawMessage {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return raw // with a number that no double can hold
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic("sandbox: " + err.Error())
	}
	return b
}

// nameless begins the keys of customers without a source_id.
const nameless = "\x00nameless "

// putNameless puts n customers without a source_id into the project.
func (t *store) putNameless(o *Options) {
	for i := range o.Nameless {
		t.put(o, fmt.Sprint(nameless, i), json.RawMessage(`{"source_id":null,"name":"Somebody"}`), time.Now())
	}
}

// merge lays the fields of newer over those of older: an absent field keeps
// its value, address and metadata are merged one level down.
func merge(older, newer json.RawMessage) json.RawMessage {
	dst, src := object(older), object(newer)
	for _, key := range []string{"address", "metadata"} {
		if inner, add := object(dst[key]), object(src[key]); inner != nil && add != nil {
			maps.Copy(inner, add)
			src[key] = marshal(inner)
		}
	}
	maps.Copy(dst, src)
	return marshal(dst)
}

// object decodes a JSON object; nil when raw is something else.
func object(raw json.RawMessage) map[string]json.RawMessage {
	var m map[string]json.RawMessage
	if len(raw) == 0 || json.Unmarshal(raw, &m) != nil {
		return nil
	}
	return m
}

func marshal(m map[string]json.RawMessage) json.RawMessage {
	b, err := json.Marshal(m)
	if err != nil {
		panic("sandbox: stored JSON is invalid: " + err.Error())
	}
	return b
}

// Customers returns the customers by source_id, each with the fields that were
// sent, after the actions that are done: an absent field keeps its old value,
// null is stored, address and metadata are merged.
func (s *Sandbox) Customers() map[string]json.RawMessage {
	t := s.store
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settle(time.Now())
	m := make(map[string]json.RawMessage, len(t.customers))
	for sourceID, c := range t.customers {
		if !strings.HasPrefix(sourceID, nameless) {
			m[sourceID] = bytes.Clone(c.fields)
		}
	}
	return m
}

// customer returns the JSON of the customer with this id or source_id, nil
// when there is none.
func (t *store) customer(id string, now time.Time) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settle(now)
	c, ok := t.customers[id]
	if ok {
		return c.json(t.fullAddress)
	}
	for _, c := range t.customers {
		if c.id == id {
			return c.json(t.fullAddress)
		}
	}
	return nil
}

// json returns the customer as the API gives it.
func (c *customer) json(fullAddress bool) []byte {
	m := map[string]json.RawMessage{
		"address":         json.RawMessage(`null`),
		"system_metadata": json.RawMessage(`{}`),
		"summary":         json.RawMessage(`{"redemptions":{"total_redeemed":0,"total_failed":0,"total_succeeded":0,"total_rolled_back":0,"total_rollback_failed":0,"total_rollback_succeeded":0,"gift":{"redeemed_amount":0,"amount_to_go":0},"loyalty_card":{"redeemed_points":0,"points_to_go":0}},"orders":{"total_amount":0,"total_count":0,"average_amount":0,"last_order_amount":0,"last_order_date":null}}`),
		"loyalty":         json.RawMessage(`{"points":0,"referred_customers":0,"campaigns":{}}`),
		"referrals":       json.RawMessage(`{"total":0,"campaigns":[]}`),
		"assets":          json.RawMessage(`{"cockpit_url":"https://app.example.com"}`),
		"object":          json.RawMessage(`"customer"`),
	}
	maps.Copy(m, object(c.fields))
	if address := object(m["address"]); fullAddress && address != nil {
		full := map[string]json.RawMessage{}
		for _, member := range []string{"city", "state", "line_1", "line_2", "country", "postal_code"} {
			full[member] = json.RawMessage(`null`)
		}
		maps.Copy(full, address)
		m["address"] = marshal(full)
	}
	m["id"] = json.RawMessage(quoted(c.id))
	m["created_at"] = json.RawMessage(quoted(formatMillis(c.created)))
	m["updated_at"] = json.RawMessage(quoted(formatMillis(c.updated)))
	return marshal(m)
}

// listCustomers returns the JSON of one page of the list.
func (t *store) listCustomers(offset, limit int, now time.Time) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settle(now)
	b := []byte(`{"object":"list","data_ref":"customers","customers":[`)
	start := min(offset, len(t.order))
	end := min(start+limit, len(t.order))
	for k, sourceID := range t.order[start:end] {
		if k > 0 {
			b = append(b, ',')
		}
		b = append(b, t.customers[sourceID].json(t.fullAddress)...)
	}
	return fmt.Appendf(b, `],"total":%d,"has_more":%t}`, len(t.order), end < len(t.order))
}
