package profilessync

import (
	"fmt"
	"strings"
)

// rowsSQL returns the statement for the rows of the profiles, ordered by profile.
func (s *statement) rowsSQL() string {
	var b strings.Builder
	write := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	id, also := s.text("canonical_segment_id"), func(expression string) string {
		if !s.receivedAt {
			return ""
		}
		return expression
	}
	columns := "kind, name, value, seq" + also(", received_at")
	entries := s.entries()
	if entries != "" {
		columns = entries + " AS entries"
	}
	write("SELECT canonical_segment_id, %s\nFROM (", columns)
	if s.anyIdentifier() {
		write("\n  SELECT %s AS canonical_segment_id, 'identifier' AS kind, %s AS name, %s AS value, %s AS seq%s\n  FROM %s",
			id, s.text("type"), s.text("value"), s.text("seq"), also(", "+s.text("received_at")+" AS received_at"), s.table(s.identifiers))
		if !s.selected.allTypes {
			write("\n  WHERE type IN (%s)", s.list(s.types))
		}
	}
	if s.anyIdentifier() && s.anyTrait() {
		write("\n  UNION ALL")
	}
	if s.anyTrait() {
		write("\n  SELECT %s AS canonical_segment_id, 'trait' AS kind, %s AS name, %s AS value, %s AS seq%s\n  FROM %s",
			id, s.text("name"), s.traitValue(), s.text("seq"), also(", "+s.text("NULL")+" AS received_at"), s.table(tableTraits))
		if !s.selected.all {
			write("\n  WHERE %s", strings.Join(s.wantedTraits(), " OR "))
		}
	}
	write("\n) AS r\nWHERE canonical_segment_id IS NOT NULL")
	if s.Only != "" {
		write("\n  AND (canonical_segment_id = %s", s.literal(s.Only))
		if idType, value, found := strings.Cut(s.Only, ":"); found {
			write(" OR canonical_segment_id IN (\n    SELECT %s FROM %s WHERE type = %s AND value = %s\n  )", id, s.table(s.identifiers), s.literal(idType), s.literal(value))
		}
		write(")")
	}
	if s.After != "" {
		write("\n  AND canonical_segment_id%s > %s", s.dialect.collate, s.literal(s.After))
	}
	if len(s.ids) > 0 {
		write("\n  AND canonical_segment_id IN (%s)", s.list(s.ids))
	}
	if !s.Since.IsZero() {
		since := s.time(s.Since)
		write("\n  AND canonical_segment_id IN (\n    SELECT %s FROM %s WHERE uuid_ts >= %s OR uuid_ts IS NULL", id, s.table(s.identifiers), since)
		write("\n    UNION ALL\n    SELECT %s FROM %s WHERE uuid_ts >= %s OR uuid_ts IS NULL\n  )", id, s.table(tableTraits), since)
	}
	if entries != "" {
		write("\nGROUP BY canonical_segment_id")
	}
	write("\nORDER BY canonical_segment_id%s", s.dialect.collate)
	return b.String()
}

// wantedTraits returns conditions, of which one holds for each trait that is read.
func (s *statement) wantedTraits() (conditions []string) {
	if len(s.traits) > 0 {
		conditions = append(conditions, "name IN ("+s.list(s.traits)+")")
	}
	for _, prefix := range s.selected.prefix {
		conditions = append(conditions, s.hasPrefix("name", prefix))
	}
	return conditions
}

// countsSQL returns the statement that counts rows and profiles, and tells the newest times.
func (s *statement) countsSQL() string {
	var b strings.Builder
	write := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	id, ids, traits := s.text("canonical_segment_id"), s.table(s.identifiers), s.table(tableTraits)
	write("SELECT\n  (SELECT count(*) FROM %s),\n  (SELECT count(*) FROM %s),", ids, traits)
	write("\n  (SELECT count(*) FROM (\n  SELECT %s AS id FROM %s\n  %s\n  SELECT %s AS id FROM %s\n  ) AS u WHERE id IS NOT NULL),", id, traits, s.union(), id, ids)
	write("\n  (SELECT count(DISTINCT id) FROM (\n    SELECT %s AS id", s.text("NULL"))
	if len(s.by.IdentifierTypes) > 0 {
		write("\n    UNION ALL\n    SELECT %s AS id FROM %s WHERE type IN (%s) AND trim(%s) <> ''", id, ids, s.list(s.by.IdentifierTypes), s.text("value"))
	}
	if len(s.by.Traits) > 0 {
		write("\n    UNION ALL\n    SELECT %s AS id FROM %s WHERE name IN (%s) AND trim(%s) <> ''", id, traits, s.list(s.by.Traits), s.traitValue())
	}
	write("\n  ) AS i)")
	if s.changes {
		newest := s.timeText("max(uuid_ts)")
		write(",\n  (SELECT %s FROM %s),\n  (SELECT %s FROM %s)", newest, ids, newest, traits)
	}
	return b.String()
}

// timesSQL returns the statement for how many tables have rows with a uuid_ts, and how many have rows
// without one.
func (s *statement) timesSQL() string {
	some := func(table, condition string) string {
		return "(SELECT count(*) FROM (SELECT 1 AS c FROM " + s.table(table) + " WHERE uuid_ts " + condition + " LIMIT 1) AS t)"
	}
	return "SELECT\n  " + some(tableTraits, "IS NOT NULL") + " + " + some(s.identifiers, "IS NOT NULL") +
		",\n  " + some(tableTraits, "IS NULL") + " + " + some(s.identifiers, "IS NULL")
}

// namesSQL returns the statement for the names of all traits that have a value.
func (s *statement) namesSQL() string {
	return "SELECT DISTINCT " + s.text("name") + " FROM " + s.table(tableTraits) + " WHERE value IS NOT NULL"
}
