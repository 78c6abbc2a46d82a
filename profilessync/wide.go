package profilessync

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"segsync/internal/strictjson"
)

var separatorNames = map[byte]string{',': "a comma", ';': "a semicolon", '\t': "a tab"}

// csvFormat finds out from its header what a CSV file is, and what separates its columns.
func csvFormat(header []byte) (format, byte, error) {
	if !utf8.Valid(header) {
		return 0, 0, errNotUTF8
	}
	if bytes.ContainsRune(bytes.TrimRight(bytes.ReplaceAll(header, []byte("\r\n"), nil), "\r"), '\r') {
		return 0, 0, &errForeign{"the lines of this CSV end with carriage returns alone", `tr '\r' '\n' <FILE | segsync import --from -`}
	}
	splitter, err := splitHeader(header)
	if err != nil {
		return 0, 0, err
	}
	has := func(name string) bool { return splitter.column(name) >= 0 }
	switch {
	case has("canonical_segment_id") && (has("kind") || has("value") || has("seq") || has("entries")), has("kind") && has("value") && has("seq"):
		_, err := newCSVColumns(splitter)
		return formatCSVRows, splitter.separator, err
	case has("external_ids"):
		_, err := newAudienceColumns(splitter)
		return formatAudience, splitter.separator, err
	}
	return formatWide, splitter.separator, nil
}

// splitHeader finds the separator of a header: the one that it has outside of quotes. Of several it is the one
// that makes a column of a name that is known.
func splitHeader(header []byte) (*csvSplitter, error) {
	var found, known []*csvSplitter
	for _, separator := range []byte{',', ';', '\t'} {
		s, err := newCSVSplitter(header, separator)
		if err != nil || len(s.names) < 2 {
			continue
		}
		found = append(found, s)
		if slices.ContainsFunc([]string{"canonical_segment_id", "segment_id", "external_ids", "user_id", "email"}, func(name string) bool { return s.column(name) >= 0 }) {
			known = append(known, s)
		}
	}
	switch {
	case len(known) == 1:
		return known[0], nil
	case len(found) == 0: // one column
		return newCSVSplitter(header, ',')
	case len(found) == 1:
		return found[0], nil
	}
	return nil, errors.New("the header has commas, semicolons or tabs at once: quote the names that contain one that separates no columns")
}

// column returns which column has this name, however it is written; -1 for none.
func (c *csvSplitter) column(plain string) int {
	return slices.IndexFunc(c.names, func(name string) bool { return plainName(name) == plain })
}

// plainName returns a name of a column in small letters, with underscores.
func plainName(name string) string {
	return strings.NewReplacer(" ", "_", "-", "_").Replace(strings.ToLower(name))
}

// wideColumns parses the records of a CSV file with one row a profile: each column is a trait, and some
// are external IDs, too.
type wideColumns struct {
	*csvSplitter
	segmentID int        // the column; -1: none
	paths     [][]string // of columns that are members of objects, such as address.city
	types     []int      // columns that are external IDs
	identity  []int      // columns that identify a profile, in order of preference
	grouper   *grouper
}

func newWideColumns(splitter *csvSplitter, q Query, s *selection) (*wideColumns, error) {
	names := splitter.names
	w := &wideColumns{csvSplitter: splitter, grouper: newGrouper(s, ""), paths: make([][]string, len(names))}
	isID := func(name string) bool {
		return plainName(name) == "segment_id" || plainName(name) == "canonical_segment_id"
	}
	w.segmentID = slices.IndexFunc(names, isID)
	if w.segmentID >= 0 && slices.ContainsFunc(names[w.segmentID+1:], isID) {
		return nil, errors.New("the header has several columns for segment_id: name one of them otherwise")
	}
	for i, name := range names {
		if path := strings.Split(name, "."); len(path) > 1 && !slices.Contains(path, "") && !s.traits[name] {
			if w.paths[i] = path; slices.Contains(names, path[0]) {
				return nil, fmt.Errorf("the header has the columns %s and %s: leave one of them out, or rename it", path[0], clip([]byte(name)))
			}
		}
		if i != w.segmentID && (s.types[name] || s.allTypes && slices.Contains(q.Identity, name)) {
			w.types = append(w.types, i)
		}
	}
	for _, name := range q.Identity {
		if i := slices.Index(names, name); i >= 0 && i != w.segmentID {
			w.identity = append(w.identity, i)
		}
	}
	if w.segmentID < 0 && len(w.identity) == 0 {
		return nil, noIdentity(names, q.Identity)
	}
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return nil, fmt.Errorf("the header has the column %q twice", clip([]byte(name)))
		}
	}
	return w, nil
}

// noIdentity says what a header lacks.
func noIdentity(names, identity []string) error {
	if slices.ContainsFunc(names, func(name string) bool { return plainName(name) == "source_id" }) {
		return &errForeign{"this looks like an export of customers from Voucherify", "segsync plan --existing FILE compares an import with it"}
	}
	for _, name := range names {
		for _, wanted := range identity {
			if plainName(name) == plainName(wanted) || segmentCase(name) == segmentCase(wanted) {
				return fmt.Errorf("the column %q must be called %s, exactly, to be the identifier", clip([]byte(name)), wanted)
			}
		}
	}
	text := "the header has none of the columns that tell what the file is: canonical_segment_id, kind, name, value and seq (rows), or segment_id"
	if len(identity) > 0 {
		text += " or " + strings.Join(identity, " or ") + " (one row a profile)"
	}
	return &errForeign{text, "IDENTIFIER_SAVED_AS_SOURCE_ID names the column that becomes source_id. docs/sources.md has the formats"}
}

// profile returns the profile of a record. Empty means absent.
func (w *wideColumns) profile(record []byte, place string) (*Profile, error) {
	fields, err := w.record(record)
	if err != nil {
		return nil, err
	}
	g := w.grouper
	p := &Profile{Traits: map[string]any{}}
	clear(g.flat)
	for i, value := range fields {
		if i == w.segmentID || len(value) == 0 || w.paths[i] != nil {
			continue
		}
		if role := g.selection.traitRole(w.names[i]); role != 0 {
			g.addTrait(p, &latestRow{name: w.names[i], role: role, value: string(value), damaged: !utf8.Valid(value)})
		}
	}
	p.Truncated = nil // it is a warehouse that cuts texts
	p.Damaged = append(p.Damaged, g.selection.unflatten(p.Traits, g.flat)...)
	w.addMembers(p, fields)
	slices.Sort(p.Damaged)
	p.Damaged = slices.Compact(p.Damaged)
	wanted := g.selection.only == ""
	for _, i := range w.types {
		id := string(fields[i])
		if strings.TrimSpace(id) == "" {
			continue
		}
		if !utf8.ValidString(id) {
			p.Unreadable = damagedID
		}
		p.ExternalIDs = append(p.ExternalIDs, ExternalID{Type: w.names[i], ID: id})
		wanted = wanted || g.selection.isOnly(w.names[i], id)
	}
	w.name(p, fields, place)
	if !wanted && g.selection.only != p.SegmentID {
		return nil, nil
	}
	return p, nil
}

// name gives the profile its id: segment_id, else type:value, else its place.
func (w *wideColumns) name(p *Profile, fields [][]byte, place string) {
	columns := w.identity
	if w.segmentID >= 0 {
		columns = append([]int{w.segmentID}, columns...)
	}
	for _, i := range columns {
		value := string(fields[i]) // with the spaces around it: they are part of the source_id
		if strings.TrimSpace(value) == "" {
			continue
		}
		if p.SegmentID = value; i != w.segmentID {
			p.SegmentID = w.names[i] + ":" + value
		}
		if !utf8.ValidString(value) { // which the journal cannot hold
			break
		}
		return
	}
	p.SegmentID, p.Nameless = place, true
	if p.Unreadable == "" && slices.ContainsFunc(columns, func(i int) bool { return !utf8.Valid(fields[i]) }) {
		p.Unreadable = damagedID
	}
}

const damagedID = "an external ID is not valid Unicode text"

// addMembers makes objects of columns such as address.city.
func (w *wideColumns) addMembers(p *Profile, fields [][]byte) {
	for i, path := range w.paths {
		if path == nil || len(fields[i]) == 0 || !w.grouper.selection.all && !w.grouper.selection.traits[path[0]] {
			continue
		}
		if !utf8.Valid(fields[i]) {
			p.Damaged = append(p.Damaged, path[0])
			continue
		}
		if p.Traits[path[0]] == nil {
			p.Traits[path[0]] = map[string]any{}
		}
		if object, ok := p.Traits[path[0]].(map[string]any); ok {
			setMember(object, path[1:], string(fields[i]))
		}
	}
}

// audienceColumns parses the records of what Engage's Download CSV gives: the key of a profile, its
// external IDs as JSON, and since 2021 its traits as JSON. The documents do not show the names of
// the columns, so spaces and capitals do not matter; the key is the first other column.
//
// https://segment.com/docs/engage/audiences/#download-your-audience-as-a-csv-file
type audienceColumns struct {
	*csvSplitter
	key, ids, traits int // columns; -1: none
}

func newAudienceColumns(splitter *csvSplitter) (*audienceColumns, error) {
	a := &audienceColumns{csvSplitter: splitter, ids: splitter.column("external_ids"), traits: splitter.column("traits")}
	a.key = slices.IndexFunc(a.names, func(name string) bool {
		return plainName(name) != "external_ids" && plainName(name) != "traits"
	})
	if a.key < 0 {
		return nil, errors.New("the header has external_ids, but no column with the key of the profile")
	}
	return a, nil
}

// profile returns the profile of a record, which it makes into a line of NDJSON.
func (a *audienceColumns) profile(record []byte, place string, selected *selection) (*Profile, error) {
	fields, err := a.record(record)
	if err != nil {
		return nil, err
	}
	key := strings.TrimSpace(string(fields[a.key]))
	nameless := key == ""
	if nameless {
		key = place
	}
	ids, err := externalIDs(fields[a.ids])
	if err != nil {
		return nil, fmt.Errorf("external_ids: %w", err)
	}
	traits := []byte("null")
	if a.traits >= 0 && len(bytes.TrimSpace(fields[a.traits])) > 0 {
		traits = fields[a.traits]
	}
	quoted, err := jsontext.AppendQuote(nil, key)
	if err != nil {
		return nil, errNotUTF8
	}
	line := slices.Concat([]byte(`{"segment_id":`), quoted, []byte(`,"external_ids":`), ids, []byte(`,"traits":`), traits, []byte("}"))
	p, err := parseProfile(line, selected)
	if err != nil {
		return nil, errors.New(err.Error()) // its place is in no line of the file
	}
	if p != nil {
		p.Nameless = nameless
	}
	return p, nil
}

// externalIDs returns JSON of external IDs as a list of objects. It may be an object with a value, or a
// list of values, for each type.
func externalIDs(data []byte) ([]byte, error) {
	data = bytes.TrimSpace(data)
	if len(data) == 0 {
		return []byte("[]"), nil
	}
	value, err := strictjson.Value(data)
	if err != nil {
		if isDamage(err) {
			return data, nil // parseProfile decides
		}
		return nil, errors.New("expected JSON")
	}
	byType, ok := value.(map[string]any)
	if !ok {
		return data, nil
	}
	list := []map[string]any{}
	for idType, ids := range byType {
		several, ok := ids.([]any)
		if !ok {
			several = []any{ids}
		}
		for _, id := range several {
			list = append(list, map[string]any{"type": idType, "id": id})
		}
	}
	slices.SortStableFunc(list, func(a, b map[string]any) int { return strings.Compare(a["type"].(string), b["type"].(string)) })
	return json.Marshal(list)
}
