package profilessync

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"segsync/internal/strictjson"
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
	unknown    bool   // the value is an empty cell, which may be another thing than NULL
	damaged    bool   // the value is not valid Unicode
	entries    []byte // all rows of the profile, as a JSON array; nil: it is one row
	// nameDamaged says that something else than the value and the id is not.
	nameDamaged bool
	size        int // bytes that it was read from
}

// columns returns the parts of the row in the order of columnNames.
func (r *row) columns() [len(columnNames)]*[]byte {
	return [...]*[]byte{&r.id, &r.kind, &r.name, &r.value, &r.seq, &r.receivedAt, &r.entries}
}

// truncatedAt is the length, in characters, at which Segment cuts text for warehouses.
const truncatedAt = 512

// maxNames bounds the names that are remembered from one profile to the next.
const maxNames = 10_000

// grouper makes a profile of its rows. Memory for the names, the sequence numbers and the
// places of the rows is used again for the next profile.
type grouper struct {
	selection   *selection
	id          string // of the profile whose rows are being added; "" before the first
	after       string // ids are greater than this
	wanted      bool   // it is one of those that the selection is limited to
	damaged     bool   // a name in the rows is not valid Unicode
	size        int    // bytes of the rows
	identifiers latestRows
	traits      latestRows
	flat        map[string]string // values of the traits that may be members of an object
}

func newGrouper(s *selection, after string) *grouper {
	return &grouper{selection: s, after: after, identifiers: newLatestRows(), traits: newLatestRows(), flat: map[string]string{}}
}

// start begins the profile with this id, which must come after those before it.
func (g *grouper) start(id []byte) error {
	if last := max(g.id, g.after); string(id) <= last {
		return fmt.Errorf("the id %q comes after %q: the rows must be ordered by canonical_segment_id, byte by byte", clip(id), clip([]byte(last)))
	}
	g.id, g.size, g.damaged = string(id), 0, false
	g.wanted = g.selection.only == "" || g.selection.only == g.id
	g.identifiers.reset()
	g.traits.reset()
	return nil
}

// end calls do for the profile, if there is one that is wanted.
func (g *grouper) end(do func(*Profile) error) error {
	if !g.wanted {
		return nil
	}
	return do(g.profile())
}

// add takes a row of the profile.
func (g *grouper) add(r *row) error {
	g.size += r.size
	if r.entries != nil {
		return g.addEntries(r.entries)
	}
	if r.nameDamaged {
		g.damaged = true
		return nil
	}
	switch string(r.kind) {
	case kindIdentifier:
		if len(bytes.TrimSpace(r.value)) > 0 {
			g.wanted = g.wanted || g.selection.isOnly(string(r.name), string(r.value))
			g.identifiers.add(r, g.selection.identifierRole)
		}
	case kindTrait:
		g.traits.add(r, g.selection.traitRole)
	default:
		return fmt.Errorf("the kind is %q; it must be %s or %s", clip(r.kind), kindIdentifier, kindTrait)
	}
	return nil
}

// addEntries takes all rows of the profile, which are a JSON array of objects.
func (g *grouper) addEntries(entries []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(entries), strictjson.Lenient)
	if d.PeekKind() != '[' {
		return errors.New("entries must be a JSON array of rows")
	}
	d.ReadToken() // its kind is known
	for d.PeekKind() != ']' {
		entry, err := d.ReadValue()
		if err != nil {
			return errors.New("entries must be a JSON array of rows: it is cut")
		}
		var r row
		if err := parseJSONRow(entry, &r); err != nil {
			return fmt.Errorf("entries: %w", err)
		}
		if err := g.add(&r); err != nil {
			return err
		}
	}
	return nil
}

// profile returns the profile that the rows since start make.
func (g *grouper) profile() *Profile {
	p := &Profile{SegmentID: g.id, Traits: make(map[string]any, len(g.traits.used)), Position: Position{ID: g.id}, Bytes: g.size}
	if g.damaged {
		p.Unreadable = "the name of a trait or of an external ID is not valid Unicode text"
	}
	for _, i := range g.identifiers.used {
		latest := &g.identifiers.rows[i]
		if latest.damaged {
			p.Unreadable = damagedID
		}
		p.ExternalIDs = append(p.ExternalIDs, ExternalID{Type: latest.name, ID: latest.value})
	}
	if len(p.ExternalIDs) > 1 {
		slices.SortFunc(p.ExternalIDs, func(a, b ExternalID) int { return cmp.Compare(a.Type, b.Type) })
	}
	clear(g.flat)
	for _, i := range g.traits.used {
		latest := &g.traits.rows[i]
		if latest.unknown {
			continue
		}
		if latest.null {
			p.Removed = g.selection.appendRemoved(p.Removed, latest)
			continue
		}
		g.addTrait(p, latest)
	}
	slices.Sort(p.Removed)
	p.Removed = slices.Compact(p.Removed) // a member has several spellings
	p.Damaged = append(p.Damaged, g.selection.unflatten(p.Traits, g.flat)...)
	slices.Sort(p.Damaged)
	slices.Sort(p.Truncated)
	return p
}

// addTrait gives the profile what is wanted of a trait.
func (g *grouper) addTrait(p *Profile, latest *latestRow) {
	if latest.damaged {
		p.Damaged = append(p.Damaged, latest.name)
		return
	}
	if latest.role&roleValue != 0 {
		p.Traits[latest.name] = latest.value
	}
	if latest.role&roleJSON != 0 {
		if value, err := parseText(latest.value, "{["); err == nil {
			p.Traits[latest.name] = value
		} else if err != errNotJSON {
			delete(p.Traits, latest.name)
			p.Damaged = append(p.Damaged, latest.name)
		}
	}
	if latest.role&roleMember != 0 {
		g.flat[latest.name] = latest.value
	}
	if len(latest.value) >= truncatedAt && utf8.RuneCountInString(latest.value) == truncatedAt {
		p.Truncated = append(p.Truncated, latest.name)
	}
}

// latestRows keeps the latest row of each name.
type latestRows struct {
	index map[string]int // places in rows
	rows  []latestRow
	used  []int // places of the rows of the current profile
	group int   // number of the current profile
}

// latestRow is the latest row of one name. It is kept for the next profile.
type latestRow struct {
	name       string
	role       role
	group      int // the profile whose row it is
	value      string
	null       bool
	unknown    bool // null, and perhaps not removed
	damaged    bool
	seq        []byte
	receivedAt []byte
}

func newLatestRows() latestRows { return latestRows{index: map[string]int{}} }

func (l *latestRows) reset() {
	if len(l.rows) > maxNames {
		clear(l.index)
		clear(l.rows)
		l.rows = l.rows[:0]
	}
	l.used = l.used[:0]
	l.group++
}

func (l *latestRows) add(r *row, roleOf func(name string) role) {
	i, ok := l.index[string(r.name)]
	if !ok {
		i = len(l.rows)
		name := string(r.name)
		l.index[name] = i
		l.rows = append(l.rows, latestRow{name: name, role: roleOf(name)})
	}
	latest := &l.rows[i]
	switch {
	case latest.role&(roleValue|roleMember) == 0:
		return
	case latest.group != l.group:
		l.used = append(l.used, i)
	case !latest.olderThan(r):
		return
	}
	latest.group = l.group
	latest.value, latest.null, latest.unknown, latest.damaged = string(r.value), r.value == nil, r.unknown, r.damaged
	latest.seq = append(latest.seq[:0], r.seq...)
	latest.receivedAt = append(latest.receivedAt[:0], r.receivedAt...)
}

// olderThan compares by seq, then by received_at. The rest makes the result the same whatever
// the order of the rows: NULL is older, and the greater value is.
func (l *latestRow) olderThan(r *row) bool {
	if order := cmp.Or(compareSeq(r.seq, l.seq), bytes.Compare(r.receivedAt, l.receivedAt)); order != 0 {
		return order > 0
	}
	if r.value == nil || l.null {
		return l.null && r.value != nil
	}
	return string(r.value) < l.value
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
