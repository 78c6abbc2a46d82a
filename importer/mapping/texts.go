package mapping

import (
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strings"
)

// Objects returns the traits that the mapping reads as objects: by the key of the trait,
// the members that it wants, sorted, as in Path.String after the key: city of
// address.city. No members means all of them, for an object that becomes metadata. A
// warehouse may hold such a trait as JSON text, or each member as a trait of its own.
func (m Mapping) Objects() map[string][]string {
	objects := make(map[string][]string)
	for _, path := range append(m.paths(), m.conditionPaths()...) {
		if len(path) > 1 {
			objects[path[0]] = append(objects[path[0]], path[1:].String())
		}
	}
	for key, members := range objects {
		slices.Sort(members)
		objects[key] = slices.Compact(members)
	}
	for _, path := range m.Metadata.Object {
		if len(path) == 1 {
			objects[path[0]] = nil
		}
	}
	return objects
}

// Lists returns the keys of the traits that may be lists, sorted: those that become one
// key of the metadata each. With Metadata.All every other trait may be one, too.
func (m Mapping) Lists() []string {
	lists := []string{}
	for _, t := range m.Metadata.Traits {
		for _, path := range t.Traits {
			if len(path) == 1 {
				lists = append(lists, path[0])
			}
		}
	}
	slices.Sort(lists)
	return slices.Compact(lists)
}

// traitsOf returns the traits of the profile. Where they are Texts, JSON is decoded where
// the mapping takes more than text. Text that is not JSON stays as it is.
func (m *Mapping) traitsOf(p Profile) map[string]any {
	if !p.Texts || !hasJSON(p.Traits) {
		return p.Traits
	}
	traits := maps.Clone(p.Traits)
	for key := range m.Objects() {
		decodeText(traits, key, "{")
	}
	for _, key := range m.Lists() {
		decodeText(traits, key, "[{")
	}
	if !m.Metadata.All {
		return traits
	}
	read := keys(m.paths())
	for key := range traits {
		if !slices.Contains(read, key) {
			decodeText(traits, key, "[{")
		}
	}
	return traits
}

// hasJSON reports whether one of the traits may be the text of an object or a list.
func hasJSON(traits map[string]any) bool {
	for _, v := range traits {
		text, _ := v.(string)
		if text = strings.TrimSpace(text); text != "" && (text[0] == '{' || text[0] == '[') {
			return true
		}
	}
	return false
}

// decodeText decodes the trait if it is text that is a JSON value, and begins with one of
// the characters in first.
func decodeText(traits map[string]any, key, first string) {
	text, _ := traits[key].(string)
	if text = strings.TrimSpace(text); text == "" || !strings.Contains(first, text[:1]) {
		return
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return
	}
	if _, err := d.Token(); err == io.EOF {
		traits[key] = v
	}
}
