package profilessync

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode"
)

// use says what becomes of a name; 0: nothing.
type use uint8

const (
	useTrait  use = 1 << iota // as a trait, or as an external ID
	useMember                 // as a member of an object
)

// plan is what a Query wants of a profile.
type plan struct {
	all      bool            // every trait
	allTypes bool            // every type of external IDs
	types    map[string]bool // of external IDs
	only     string          // see Query
	traits   map[string]bool // traits that are kept
	lists    []string
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

func newPlan(q Query) *plan {
	p := &plan{
		all:      q.Traits == nil || q.AllTraits,
		allTypes: q.IdentifierTypes == nil,
		types:    setOf(q.IdentifierTypes),
		only:     q.Only,
		traits:   setOf(q.Traits),
		lists:    q.Lists,
		objects:  map[string][]member{},
		names:    map[string]bool{},
	}
	for _, key := range q.Lists {
		p.traits[key] = true
	}
	for _, path := range q.Members {
		if len(path) < 2 {
			continue
		}
		m := member{path: path[1:], names: flattened(path)}
		p.traits[path[0]] = true
		p.objects[path[0]] = append(p.objects[path[0]], m)
		for _, name := range m.names {
			p.names[name] = true
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
		p.traits[path[0]] = true
		p.objects[path[0]] = append(p.objects[path[0]], m)
		p.prefix = append(p.prefix, m.prefix...)
	}
	slices.Sort(p.prefix)
	p.prefix = slices.Compact(p.prefix)
	return p
}

func setOf(keys []string) map[string]bool {
	set := make(map[string]bool, len(keys))
	for _, key := range keys {
		set[key] = true
	}
	return set
}

// isOnly reports whether an external ID is the one of the profiles that are wanted.
func (p *plan) isOnly(idType, id string) bool {
	t, v, found := strings.Cut(p.only, ":")
	return found && t == idType && v == id
}

func (p *plan) usesIdentifier(name string) use {
	if p.allTypes || p.types[name] {
		return useTrait
	}
	return 0
}

func (p *plan) usesTrait(name string) (u use) {
	if p.all || p.traits[name] {
		u |= useTrait
	}
	if p.names[name] || slices.ContainsFunc(p.prefix, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
		u |= useMember
	}
	return u
}

// expand turns the text of traits that are wanted as objects or lists into these. flat has
// the traits that may be members.
func (p *plan) expand(traits map[string]any, flat map[string]string) {
	for key, members := range p.objects {
		text, _ := traits[key].(string)
		if object, ok := parseJSON(text, '{'); ok {
			traits[key] = object
			continue
		}
		object := map[string]any{}
		for _, m := range members {
			for _, name := range m.collect(object, flat) {
				if p.all && !p.traits[name] {
					delete(traits, name)
				}
			}
		}
		if len(object) > 0 {
			traits[key] = object
		}
	}
	for _, key := range p.lists {
		text, _ := traits[key].(string)
		if list, ok := parseJSON(text, '['); ok {
			traits[key] = list
		}
	}
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

// parseJSON returns the value of text that is JSON and begins with this byte.
func parseJSON(text string, first byte) (any, bool) {
	trimmed := strings.TrimLeft(text, space)
	if trimmed == "" || trimmed[0] != first || !json.Valid([]byte(trimmed)) {
		return nil, false
	}
	return decode([]byte(trimmed)), true
}

// flattened returns the names that a warehouse may give a member: as it is, and in snake
// case.
//
// https://segment.com/docs/connections/storage/warehouses/schema/
func flattened(path []string) []string {
	name := strings.Join(path, "_")
	if snake := snakeCase(name); snake != name {
		return []string{snake, name}
	}
	return []string{name}
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
