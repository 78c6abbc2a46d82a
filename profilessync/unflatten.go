package profilessync

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"segsync/internal/strictjson"
)

// role says what a name is read for; 0: nothing.
type role uint8

const (
	roleValue  role = 1 << iota // a trait, or an external ID
	roleMember                  // a member of an object
	roleJSON                    // a trait whose text may be an object or a list
)

// selection is what a Query wants of a profile.
type selection struct {
	all      bool            // every trait
	allTypes bool            // every type of external IDs
	types    map[string]bool // of external IDs
	only     string          // see Query
	traits   map[string]bool // traits that are kept
	isJSON   func(trait string) bool
	// objects are the traits that are wanted as objects.
	objects map[string][]member
	names   map[string]bool // flattened traits by name
	prefix  []string        // and those with these prefixes
}

// member is a place in an object, and the flattened traits that belong there.
type member struct {
	path   []string // below the trait; empty for the object itself
	names  []string // the flattened trait, in its possible spellings
	prefix []string // of the flattened traits, if the place is an object with all of its members
}

func newSelection(q Query) *selection {
	s := &selection{
		all:      q.Traits == nil || q.AllTraits,
		allTypes: q.IdentifierTypes == nil,
		types:    setOf(q.IdentifierTypes),
		only:     q.Only,
		traits:   setOf(q.Traits),
		isJSON:   q.IsJSON,
		objects:  map[string][]member{},
		names:    map[string]bool{},
	}
	for _, path := range q.Members {
		if len(path) < 2 {
			continue
		}
		m := member{path: path[1:], names: flattened(path)}
		s.traits[path[0]] = true
		s.objects[path[0]] = append(s.objects[path[0]], m)
		for _, name := range m.names {
			s.names[name] = true
		}
	}
	for _, path := range q.Objects {
		if len(path) == 0 {
			continue
		}
		m := member{path: path[1:]}
		for _, name := range flattened(path) {
			m.prefix = append(m.prefix, name+"_")
		}
		s.traits[path[0]] = true
		s.objects[path[0]] = append(s.objects[path[0]], m)
		s.prefix = append(s.prefix, m.prefix...)
	}
	slices.Sort(s.prefix)
	s.prefix = slices.Compact(s.prefix)
	return s
}

func setOf(keys []string) map[string]bool {
	set := make(map[string]bool, len(keys))
	for _, key := range keys {
		set[key] = true
	}
	return set
}

// isOnly reports whether an external ID is the one of the profiles that are wanted.
func (s *selection) isOnly(idType, id string) bool {
	t, v, found := strings.Cut(s.only, ":")
	return found && t == idType && v == id
}

func (s *selection) identifierRole(name string) role {
	if s.allTypes || s.types[name] {
		return roleValue
	}
	return 0
}

func (s *selection) traitRole(name string) (r role) {
	if s.all || s.traits[name] {
		r |= roleValue
	}
	if s.names[name] || slices.ContainsFunc(s.prefix, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
		r |= roleMember
	}
	if s.isJSON != nil && s.isJSON(name) {
		r |= roleJSON
	}
	return r
}

// unflatten makes the objects that are wanted: of text that is JSON, or of the flattened
// traits in flat. It returns the traits that were left out as damaged.
func (s *selection) unflatten(traits map[string]any, flat map[string]string) (damaged []string) {
	for key, members := range s.objects {
		text, isText := traits[key].(string)
		if value, err := parseText(text, "{"); err == nil {
			traits[key] = value
			continue
		} else if err != errNotJSON {
			delete(traits, key)
			damaged = append(damaged, key)
			continue
		}
		if !isText && traits[key] != nil {
			continue // it was decoded already
		}
		object := map[string]any{}
		for _, m := range members {
			for _, name := range m.collect(object, flat) {
				if s.all && !s.traits[name] {
					delete(traits, name)
				}
			}
		}
		if len(object) > 0 {
			traits[key] = object
		}
	}
	return damaged
}

var errNotJSON = errors.New("the text is not JSON")

// parseText decodes text that is JSON and begins with one of these characters. Its error is
// errNotJSON for other text, and that of strictjson for what is damaged.
func parseText(text, begin string) (any, error) {
	trimmed := strings.TrimLeft(text, " \t\r\n")
	if trimmed == "" || strings.IndexByte(begin, trimmed[0]) < 0 {
		return nil, errNotJSON
	}
	value, err := strictjson.Value([]byte(trimmed))
	if err != nil && !isDamage(err) {
		return nil, errNotJSON
	}
	return value, err
}

func isDamage(err error) bool {
	return errors.Is(err, strictjson.ErrNotUnicode) || errors.Is(err, strictjson.ErrNameTwice)
}

// collect sets the member of the object, or all of them, from the flattened traits. It
// returns the names of those that it took.
func (m *member) collect(object map[string]any, flat map[string]string) (taken []string) {
	for _, name := range m.names {
		if value, ok := flat[name]; ok {
			setMember(object, m.path, value)
			taken = append(taken, name)
			break
		}
	}
	for _, prefix := range m.prefix {
		for name, value := range flat {
			if key, ok := strings.CutPrefix(name, prefix); ok && key != "" {
				setMember(object, append(slices.Clip(m.path), key), value)
				taken = append(taken, name)
			}
		}
	}
	return taken
}

// setMember sets the member that path leads to, and makes the objects on the way there. A
// member that is there already stays.
func setMember(object map[string]any, path []string, value string) {
	last := len(path) - 1
	for _, key := range path[:last] {
		inner, ok := object[key].(map[string]any)
		if !ok {
			if object[key] != nil {
				return
			}
			inner = map[string]any{}
			object[key] = inner
		}
		object = inner
	}
	if object[path[last]] == nil {
		object[path[last]] = value
	}
}

// appendRemoved appends the trait whose newest row is NULL: by its own name, and as the member of
// an object that it is flattened from.
func (s *selection) appendRemoved(removed []string, latest *latestRow) []string {
	if latest.role&roleValue != 0 {
		removed = append(removed, nameOf(latest.name))
	}
	if latest.role&roleMember == 0 {
		return removed
	}
	for key, members := range s.objects {
		for _, m := range members {
			path := append([]string{key}, m.path...)
			if slices.Contains(m.names, latest.name) {
				removed = append(removed, nameOf(path...))
			}
			for _, prefix := range m.prefix {
				if member, ok := strings.CutPrefix(latest.name, prefix); ok && member != "" {
					removed = append(removed, nameOf(append(path, member)...))
				}
			}
		}
	}
	return removed
}

var nameEscaper = strings.NewReplacer(`\`, `\\`, ".", `\.`)

// nameOf returns the keys of a path, joined by dots.
func nameOf(path ...string) string {
	keys := make([]string, len(path))
	for i, key := range path {
		keys[i] = nameEscaper.Replace(key)
	}
	return strings.Join(keys, ".")
}

// flattened returns the names that a warehouse may give a member: in Segment's snake case, in one
// that keeps what is not ASCII, and as it is.
//
// https://segment.com/docs/connections/storage/warehouses/schema/
func flattened(path []string) []string {
	name := strings.Join(path, "_")
	names := []string{segmentCase(name), snakeCase(name), name}
	names = slices.DeleteFunc(names, func(s string) bool { return s == "" })
	return slices.Compact(names)
}

// segmentWord is a word of a name, to Segment: a run of capitals and digits, then small letters and
// digits. Whatever stands between words, letters outside ASCII included, becomes one underscore.
//
// https://github.com/segmentio/go-snakecase
var segmentWord = regexp.MustCompile(`[A-Z0-9]+[a-z0-9]*|[a-z0-9]+`)

// segmentCase turns postalCode and postal-code into postal_code, and HTTPServer into httpserver.
func segmentCase(s string) string {
	return strings.ToLower(strings.Join(segmentWord.FindAllString(s, -1), "_"))
}

// snakeCase turns postalCode into postal_code.
func snakeCase(s string) string {
	var b strings.Builder
	lower := false // the character before is a lower-case letter or a digit
	for _, r := range s {
		if unicode.IsUpper(r) && lower {
			b.WriteByte('_')
		}
		lower = unicode.IsLower(r) || unicode.IsDigit(r)
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
