package mapping

import "slices"

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

// TakesJSON returns a function that reports whether a trait may be an object or a list: those
// that become one key of the metadata each, and with Metadata.All every trait that is not read
// for another field. A warehouse holds such a trait as JSON text.
func (m Mapping) TakesJSON() func(trait string) bool {
	others := map[string]bool{} // traits that are read for another field
	for _, key := range keys(m.paths()) {
		others[key] = true
	}
	keysOfMetadata := map[string]bool{}
	for _, t := range m.Metadata.Traits {
		for _, path := range t.Traits {
			if len(path) == 1 {
				keysOfMetadata[path[0]] = true
			}
		}
	}
	return func(trait string) bool {
		return keysOfMetadata[trait] || m.Metadata.All && !others[trait]
	}
}
