package importer

import (
	"fmt"
	"maps"
	"slices"
)

// Where Settings.MaxClears does not say otherwise, a field may be cleared in this share of
// the customers sent, and in so many at least.
const (
	clearsShare = 0.05
	clearsLeast = 100
)

// ClearsError is the error of a run that would have cleared a field in more customers than
// allowed: the source may be half filled. Nothing of the batch that would have was sent.
type ClearsError struct {
	Field  string
	Clears int // customers, those of the batch included
	Max    int
}

func (e *ClearsError) Error() string {
	return fmt.Sprintf("the field %s would be cleared in %d customers, more than the %d allowed", e.Field, e.Clears, e.Max)
}

// clears counts the customers of one run that a field is cleared in.
type clears struct {
	max     int // of each field; negative: a share of the customers sent
	sent    int // customers
	byField map[string]int
}

// add counts the customers of a batch, or says that they are not to be sent.
func (c *clears) add(records []*profile) error {
	byField := maps.Clone(c.byField)
	if byField == nil {
		byField = make(map[string]int)
	}
	for _, p := range records {
		for _, field := range p.clears {
			byField[field]++
		}
	}
	sent := c.sent + len(records)
	allowed := c.max
	if allowed < 0 {
		allowed = max(clearsLeast, int(clearsShare*float64(sent)))
	}
	for _, field := range slices.Sorted(maps.Keys(byField)) {
		if n := byField[field]; n > allowed {
			return &ClearsError{field, n, allowed}
		}
	}
	c.sent, c.byField = sent, byField
	return nil
}
