package profilessync

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Report is what Check finds in a warehouse.
type Report struct {
	Server      string // what the server says of its version
	Identifiers int64  // rows
	Traits      int64  // rows
	Profiles    int64
	Identified  int64     // profiles that have an external ID or a trait that identifies them
	Newest      time.Time // the newest uuid_ts; zero if there is none
	// Age is how old Newest was by the warehouse's clock; 0 if there is none.
	Age time.Duration
	// Absent has the traits of the query, sorted, that no profile has: neither as they are
	// nor as flattened members.
	Absent []string
}

// Check counts what is in the tables. It reads them to their end several times. The
// IdentifierTypes and Traits of by identify a profile.
func (w *Warehouse) Check(ctx context.Context, q, by Query) (*Report, error) {
	s, err := w.statement(q)
	if err != nil {
		return nil, err
	}
	s.by = by
	conn, now, err := w.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.close()
	version, err := query(ctx, conn, "SELECT "+w.dialect.version)
	if err != nil {
		return nil, err
	}
	r := &Report{Server: version[0][0]}
	counts, err := query(ctx, conn, s.countsSQL())
	if err != nil {
		return nil, err
	}
	if err := r.fill(counts[0], now); err != nil {
		return nil, fmt.Errorf("counting in the warehouse: %w", err)
	}
	names, err := query(ctx, conn, s.namesSQL())
	if err != nil {
		return nil, err
	}
	r.Absent = newSelection(q).absent(slices.Concat(names...))
	return r, nil
}

// fill takes the columns of the statement counts.
func (r *Report) fill(columns []string, now time.Time) (err error) {
	for i, into := range []*int64{&r.Identifiers, &r.Traits, &r.Profiles, &r.Identified} {
		if *into, err = strconv.ParseInt(columns[i], 10, 64); err != nil {
			return err
		}
	}
	for _, text := range columns[4:] {
		if text == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return err
		}
		if t.After(r.Newest) {
			r.Newest, r.Age = t, now.Sub(t)
		}
	}
	return nil
}

// absent returns the traits of the selection that are not among the names.
func (s *selection) absent(names []string) (absent []string) {
	present := setOf(names)
	hasMember := func(m member) bool {
		return slices.ContainsFunc(m.names, func(name string) bool { return present[name] }) ||
			slices.ContainsFunc(m.prefix, func(prefix string) bool {
				return slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, prefix) })
			})
	}
	for _, key := range slices.Sorted(maps.Keys(s.traits)) {
		if !present[key] && !slices.ContainsFunc(s.objects[key], hasMember) {
			absent = append(absent, key)
		}
	}
	return absent
}
