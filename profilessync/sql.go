package profilessync

import (
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"
	"unicode/utf8"
)

// dialect is how a warehouse writes SQL.
type dialect struct {
	name      string
	text      string // the type of text
	timestamp string // the type of a time
	collate   string // behind a text that is to be compared byte by byte, if that is not usual
	clock     string // now, as a timestamp in UTC; only for those that segsync speaks to
	quote     string // around a name
	dots      bool   // dots in the name of a schema separate its parts
	bare      bool   // a simple name is not quoted, for its case would then count
	backslash bool   // escapes in a literal
	escaped   string // a quote in a literal
}

var dialects = []dialect{
	{name: "postgres", text: "text", timestamp: "timestamptz", collate: ` COLLATE "C"`, clock: "now()", quote: `"`, escaped: `''`},
	// CAST AS text cuts at 256 bytes:
	// https://docs.aws.amazon.com/redshift/latest/dg/r_Character_types.html
	{name: "redshift", text: "varchar(65535)", timestamp: "timestamptz", clock: "getdate()", quote: `"`, backslash: true, escaped: `''`},
	{name: "snowflake", text: "varchar", timestamp: "timestamp_tz", quote: `"`, dots: true, bare: true, backslash: true, escaped: `''`},
	{name: "bigquery", text: "string", timestamp: "timestamp", quote: "`", dots: true, backslash: true, escaped: `\'`},
	{name: "databricks", text: "string", timestamp: "timestamp", quote: "`", dots: true, backslash: true, escaped: `\'`},
}

// Dialects are the warehouses that SQL has a query for.
func Dialects() []string {
	names := make([]string, len(dialects))
	for i, d := range dialects {
		names[i] = d.name
	}
	return names
}

// SQL returns the query of a warehouse for the rows that the query wants, ordered by
// profile. Its columns are those of a file of rows: canonical_segment_id, kind, name, value
// and seq. In Snowflake, BigQuery and Databricks dots separate the parts of the schema's
// name.
func SQL(dialect, schema string, q Query) (string, error) {
	for _, d := range dialects {
		if d.name == dialect {
			s, err := newStatement(d, schema, q)
			if err != nil {
				return "", err
			}
			return s.execute("rows")
		}
	}
	return "", fmt.Errorf("no query for the warehouse %q; there is one for %s", dialect, strings.Join(Dialects(), ", "))
}

//go:embed query.sql.tmpl
var queryText string

var queries = template.Must(template.New("").Parse(queryText))

// statement is what the templates of query.sql.tmpl are filled with.
type statement struct {
	dialect     dialect
	schema      string
	Identifiers string // name of the table
	ReceivedAt  bool   // the identifiers have received_at, which is to be read
	Changes     bool   // both tables have uuid_ts
	AllTypes    bool
	Types       []string // of external IDs
	AllTraits   bool
	Traits      []string
	Prefixes    []string
	After       string
	Only        string   // see Query
	IDs         []string // only these profiles, unless empty
	Since       time.Time
	ByTypes     []string // of external IDs that identify a profile, for counting
	ByTraits    []string // likewise
}

// lookback is how much later than its uuid_ts says a row may be seen: Segment's own models
// look back so far.
//
// https://github.com/segmentio/profiles-sync-dbt
const lookback = 28 * time.Hour

func newStatement(d dialect, schema string, q Query) (*statement, error) {
	if schema == "" {
		return nil, errors.New("the name of the schema is empty")
	}
	p := newPlan(q)
	maps.Copy(p.traits, p.names)
	s := &statement{
		dialect:     d,
		schema:      schema,
		Identifiers: tableIdentifiers,
		AllTypes:    p.allTypes,
		Types:       slices.Sorted(maps.Keys(p.types)),
		AllTraits:   p.all,
		Traits:      slices.Sorted(maps.Keys(p.traits)),
		Prefixes:    p.prefix,
		Only:        q.Only,
		After:       q.After,
	}
	if !q.Since.IsZero() {
		s.Since = q.Since.Add(-lookback)
	}
	if !s.AnyIdentifier() && !s.AnyTrait() {
		return nil, errors.New("neither external IDs nor traits are asked for")
	}
	return s, nil
}

// execute returns the text of a template. No part of it may hold a NUL character, which
// ends a statement on its way to Postgres.
func (s *statement) execute(name string) (string, error) {
	var b strings.Builder
	if err := queries.ExecuteTemplate(&b, name, s); err != nil {
		return "", err
	}
	if strings.ContainsRune(b.String(), 0) || !utf8.ValidString(b.String()) {
		return "", errors.New("a name or an id in the query has a NUL character or is not UTF-8")
	}
	return b.String() + "\n", nil
}

// AnyIdentifier reports whether external IDs are read.
func (s *statement) AnyIdentifier() bool { return s.AllTypes || len(s.Types) > 0 }

// OnlyExternalID returns the type and the value of an external ID that Only may be.
func (s *statement) OnlyExternalID() []string {
	idType, value, found := strings.Cut(s.Only, ":")
	if !found {
		return nil
	}
	return []string{idType, value}
}

// AnyTrait reports whether traits are read.
func (s *statement) AnyTrait() bool { return s.AllTraits || len(s.Traits)+len(s.Prefixes) > 0 }

// Collate follows a text that is to be compared byte by byte.
func (s *statement) Collate() string { return s.dialect.collate }

// Text returns the expression as text.
func (s *statement) Text(expression string) string {
	return "CAST(" + expression + " AS " + s.dialect.text + ")"
}

// Time returns a time as a literal.
func (s *statement) Time(t time.Time) string {
	return "CAST(" + s.Literal(t.UTC().Format("2006-01-02 15:04:05.000000")+"+00:00") + " AS " + s.dialect.timestamp + ")"
}

// HasPrefix returns a condition. It is not LIKE, whose escapes differ.
func (s *statement) HasPrefix(column, prefix string) string {
	return "LEFT(" + column + ", " + strconv.Itoa(utf8.RuneCountInString(prefix)) + ") = " + s.Literal(prefix)
}

// List returns literals, separated by commas.
func (s *statement) List(values []string) string {
	literals := make([]string, len(values))
	for i, value := range values {
		literals[i] = s.Literal(value)
	}
	return strings.Join(literals, ", ")
}

// Literal quotes a text. In Postgres a setting says whether a backslash escapes; with E
// before the quote it does in any case.
func (s *statement) Literal(text string) string {
	start := "'"
	if strings.Contains(text, `\`) {
		text = strings.ReplaceAll(text, `\`, `\\`)
		if !s.dialect.backslash {
			start = "E'"
		}
	}
	return start + strings.ReplaceAll(text, "'", s.dialect.escaped) + "'"
}

// Table returns the name of a table of the schema, quoted.
func (s *statement) Table(name string) string {
	parts := []string{s.schema}
	if s.dialect.dots {
		parts = strings.Split(s.schema, ".")
	}
	parts = append(parts, name)
	for i, part := range parts {
		if !s.dialect.bare || !isSimple(part) {
			parts[i] = s.dialect.quoteName(part)
		}
	}
	return strings.Join(parts, ".")
}

// quoteName quotes a name. BigQuery's escapes are those of its literals.
func (d *dialect) quoteName(name string) string {
	if d.name == "bigquery" {
		return d.quote + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(name) + d.quote
	}
	return d.quote + strings.ReplaceAll(name, d.quote, d.quote+d.quote) + d.quote
}

// isSimple reports whether a name means the same with and without quotes, but for its case.
func isSimple(name string) bool {
	for i, r := range name {
		letter := r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}
