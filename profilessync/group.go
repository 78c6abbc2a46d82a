package profilessync

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"
)

// The kinds of rows.
const (
	kindIdentifier = "identifier"
	kindTrait      = "trait"
)

// row is one external ID or trait. The bytes are valid until the next row is read.
type row struct {
	id         []byte
	kind       []byte
	name       []byte // type of the external ID, or key of the trait
	value      []byte // nil: NULL
	seq        []byte
	receivedAt []byte // nil: not known
}

// truncatedAt is the length, in characters, at which Segment cuts text for warehouses.
const truncatedAt = 512

// maxNames bounds the names that are remembered from one profile to the next.
const maxNames = 10_000

// grouper makes a profile of its rows. Memory for the names, the sequence numbers and the
// places of the rows is used again for the next profile.
type grouper struct {
	plan        *plan
	id          string // of the profile whose rows are being added; "" before the first
	wanted      bool   // it is one of those that the plan is limited to
	identifiers winners
	traits      winners
	flat        map[string]string // values of the traits that may be members of an object
}

func newGrouper(p *plan) *grouper {
	return &grouper{plan: p, identifiers: newWinners(), traits: newWinners(), flat: map[string]string{}}
}

// start begins the profile with this id.
func (g *grouper) start(id []byte) {
	g.id = string(id)
	g.wanted = g.plan.only == "" || g.plan.only == g.id
	g.identifiers.reset()
	g.traits.reset()
}

// add takes a row of the profile.
func (g *grouper) add(r *row) error {
	switch string(r.kind) {
	case kindIdentifier:
		if len(bytes.TrimSpace(r.value)) > 0 {
			g.wanted = g.wanted || g.plan.isOnly(string(r.name), string(r.value))
			g.identifiers.add(r, g.plan.usesIdentifier)
		}
	case kindTrait:
		g.traits.add(r, g.plan.usesTrait)
	default:
		return fmt.Errorf("the kind is %q; it must be %s or %s", clip(r.kind), kindIdentifier, kindTrait)
	}
	return nil
}

// profile returns the profile that the rows since start make.
func (g *grouper) profile() *Profile {
	p := &Profile{SegmentID: g.id, Traits: make(map[string]any, len(g.traits.used)), Position: Position{ID: g.id}}
	for _, i := range g.identifiers.used {
		w := &g.identifiers.slots[i]
		p.ExternalIDs = append(p.ExternalIDs, ExternalID{Type: w.name, ID: w.value})
	}
	if len(p.ExternalIDs) > 1 {
		slices.SortFunc(p.ExternalIDs, func(a, b ExternalID) int { return cmp.Compare(a.Type, b.Type) })
	}
	clear(g.flat)
	for _, i := range g.traits.used {
		w := &g.traits.slots[i]
		if w.null {
			continue
		}
		if w.use&useTrait != 0 {
			p.Traits[w.name] = w.value
		}
		if w.use&useMember != 0 {
			g.flat[w.name] = w.value
		}
		if len(w.value) >= truncatedAt && utf8.RuneCountInString(w.value) == truncatedAt {
			p.Truncated = append(p.Truncated, w.name)
		}
	}
	slices.Sort(p.Truncated)
	g.plan.expand(p.Traits, g.flat)
	return p
}

// winners keeps the winning row of each name.
type winners struct {
	index map[string]int // places in slots
	slots []slot
	used  []int // the slots that have a row of the current profile
	group int   // number of the current profile
}

// slot has the winning row of one name. It is kept for the next profile.
type slot struct {
	name       string
	use        use
	group      int // the profile whose row it holds
	value      string
	null       bool
	seq        []byte
	receivedAt []byte
}

func newWinners() winners { return winners{index: map[string]int{}} }

func (w *winners) reset() {
	if len(w.slots) > maxNames {
		clear(w.index)
		clear(w.slots)
		w.slots = w.slots[:0]
	}
	w.used = w.used[:0]
	w.group++
}

func (w *winners) add(r *row, uses func(name string) use) {
	i, ok := w.index[string(r.name)]
	if !ok {
		i = len(w.slots)
		name := string(r.name)
		w.index[name] = i
		w.slots = append(w.slots, slot{name: name, use: uses(name)})
	}
	s := &w.slots[i]
	switch {
	case s.use == 0:
		return
	case s.group != w.group:
		w.used = append(w.used, i)
	case !s.losesTo(r):
		return
	}
	s.group = w.group
	s.value, s.null = string(r.value), r.value == nil
	s.seq = append(s.seq[:0], r.seq...)
	s.receivedAt = append(s.receivedAt[:0], r.receivedAt...)
}

// losesTo reports whether the row wins: by seq, then by received_at. The rest makes the
// result the same whatever the order of the rows: NULL loses, and the smaller value wins.
func (s *slot) losesTo(r *row) bool {
	if order := cmp.Or(compareSeq(r.seq, s.seq), bytes.Compare(r.receivedAt, s.receivedAt)); order != 0 {
		return order > 0
	}
	if r.value == nil || s.null {
		return s.null && r.value != nil
	}
	return string(r.value) < s.value
}

// compareSeq compares sequence numbers as numbers. What is not a number is less than any
// number, and compared as text.
func compareSeq(a, b []byte) int {
	if isDigits(a) && isDigits(b) {
		a, b = bytes.TrimLeft(a, "0"), bytes.TrimLeft(b, "0")
		return cmp.Or(cmp.Compare(len(a), len(b)), bytes.Compare(a, b))
	}
	x, errX := strconv.ParseFloat(string(a), 64)
	y, errY := strconv.ParseFloat(string(b), 64)
	switch {
	case errX == nil && errY == nil:
		return cmp.Compare(x, y)
	case errX != nil && errY != nil:
		return bytes.Compare(a, b)
	case errX != nil:
		return -1
	}
	return 1
}

func isDigits(s []byte) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(s) > 0
}

// clip returns the first 40 bytes of foreign text, for an error.
func clip(s []byte) []byte { return s[:min(len(s), 40)] }
