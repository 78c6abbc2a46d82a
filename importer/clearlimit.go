package importer

import (
	"fmt"
	"maps"
	"slices"

	"segsync/importer/journal"
)

const (
	clearsShare = 0.05
	minClears   = 100
)

// ClearsAllowed returns how many of the customers sent may have a field cleared by default.
func ClearsAllowed(sent int) int { return max(minClears, int(clearsShare*float64(sent))) }

// ClearsError says that a batch would have cleared a field in more customers than allowed: the source may be
// incomplete. The batch was not sent.
type ClearsError struct {
	Field  string
	Clears int // customers, those of the batch included
	Max    int
}

func (e *ClearsError) Error() string {
	return fmt.Sprintf("the field %s would be sent as null in %s, more than the %d allowed", e.Field, customers(e.Clears), e.Max)
}

// clearLimiter counts the customers of an import that a field is cleared in.
type clearLimiter struct {
	max     int // of each field; negative: a share of the customers sent
	sent    int // customers
	byField map[string]int
}

// newClearLimiter returns the counts of an import that goes on.
func newClearLimiter(limit int, s *journal.State) clearLimiter {
	return clearLimiter{max: limit, sent: s.SentCustomers(), byField: maps.Clone(s.Details.Cleared)}
}

// add counts the customers of a batch, or says that they are not to be sent. Those that are
// sent again were counted before.
func (c *clearLimiter) add(records []*profile) error {
	byField := maps.Clone(c.byField)
	if byField == nil {
		byField = make(map[string]int)
	}
	sent := c.sent
	for _, p := range records {
		if p.page.isRetry {
			continue
		}
		sent++
		for _, field := range p.entry.Cleared {
			byField[field]++
		}
	}
	allowed := c.max
	if allowed < 0 {
		allowed = ClearsAllowed(sent)
	}
	for _, field := range slices.Sorted(maps.Keys(byField)) {
		if n := byField[field]; n > allowed {
			return &ClearsError{field, n, allowed}
		}
	}
	c.sent, c.byField = sent, byField
	return nil
}

// customers returns a number of customers in words.
func customers(n int) string {
	if n == 1 {
		return "1 customer"
	}
	return fmt.Sprintf("%d customers", n)
}
