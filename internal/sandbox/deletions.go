package sandbox

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// permanently ends the path of a permanent deletion.
const permanently = "/permanent-deletion"

// deleteCustomer answers DELETE /v1/customers/{id or source_id}.
func (s *Sandbox) deleteCustomer(c *call, id string) answer {
	if s.store.remove(id, time.Now()) == nil {
		return s.notFound(c, "customer", id)
	}
	return answer{status: http.StatusNoContent}
}

// deletePermanently answers POST /v1/customers/{id or source_id}/permanent-deletion.
func (s *Sandbox) deletePermanently(c *call, id string) answer {
	removed := s.store.remove(id, time.Now())
	if removed == nil {
		return s.notFound(c, "customer", id)
	}
	return answer{status: http.StatusOK, body: fmt.Appendf(nil,
		`{"id":"%s","related_object":"customer","related_object_id":"%s","status":"DONE","data_json":{"customer":1,"events":0,"orders":0},"object":"pernament_deletion"}`,
		token("del_", s.o.Seed, c.N), removed.id)}
}

// remove removes the customer with this id or source_id, and returns it; nil: there is none.
func (t *store) remove(id string, now time.Time) *customer {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settle(now)
	sourceID := id
	for other, c := range t.customers {
		if c.id == id && t.customers[id] == nil {
			sourceID = other
		}
	}
	found := t.customers[sourceID]
	if found == nil || strings.HasPrefix(id, nameless) {
		return nil
	}
	delete(t.customers, sourceID)
	t.order = slices.DeleteFunc(t.order, func(other string) bool { return other == sourceID })
	return found
}
