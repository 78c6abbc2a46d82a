package mapping

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"segsync/voucherify"
)

const metadataPrefix = "metadata."

// Absent says for each field of m.Clear whose traits are all absent whether one of these is known to
// be removed.
func Absent(p *Profile, m *Mapping) map[string]bool {
	r := traitReader{traits: p.Traits}
	fields := make(map[string]bool)
	for _, field := range m.Clear {
		if absent, removed := r.absent(p, m, field); absent {
			fields[field] = removed
		}
	}
	return fields
}

// clear lists the field in c.Clear if its traits are gone.
func (r *traitReader) clear(c *voucherify.Customer, p *Profile, m *Mapping, field string) {
	if absent, removed := r.absent(p, m, field); absent && (removed || m.ClearAbsent) {
		c.Clear = append(c.Clear, field)
	}
	key, isMetadata := strings.CutPrefix(field, metadataPrefix)
	if v, found := c.Metadata[key]; isMetadata && found && v == nil {
		c.Metadata = maps.Clone(c.Metadata) // it may be the profile's own
		delete(c.Metadata, key)             // Clear says it
	}
}

// absent reports whether the traits of a field are all absent, and whether one of them is known to
// be removed. A trait that is present and cannot be used is not absent.
func (r *traitReader) absent(p *Profile, m *Mapping, field string) (absent, removed bool) {
	var paths []Path
	if key, isMetadata := strings.CutPrefix(field, metadataPrefix); isMetadata {
		if r.metadataPresent(m, key) {
			return false, false
		}
		for _, t := range m.Metadata.Traits {
			if t.Key == key {
				paths = append(paths, t.Traits...)
			}
		}
		for _, path := range m.Metadata.Object {
			paths = append(paths, append(slices.Clip(path), key))
		}
		if m.Metadata.takesOther(m, key) {
			paths = append(paths, Path{key})
		}
	} else {
		groups := m.field(field).groups()
		if r.anyPresent(groups) {
			return false, false
		}
		paths = slices.Concat(groups...)
	}
	for _, path := range paths {
		if slices.Contains(p.Damaged, path[0]) {
			return false, false
		}
		removed = removed || !p.Sparse || p.isRemoved(path)
	}
	return true, removed
}

// isRemoved reports whether the trait, or an object on the way to it, is known to be removed.
func (p *Profile) isRemoved(path Path) bool {
	object := p.Traits
	for i, key := range path {
		v, found := object[key]
		if found && v == nil || len(p.Removed) > 0 && slices.Contains(p.Removed, path[:i+1].String()) {
			return true
		}
		object, _ = v.(map[string]any)
	}
	return false
}

func (r *traitReader) anyPresent(groups []Paths) bool {
	return slices.ContainsFunc(groups, func(paths Paths) bool {
		path, _ := r.find(paths)
		return path != nil
	})
}

// metadataPresent reports whether a trait is present for the metadata key. Where the trait of
// the whole metadata is not an object, every key counts as present: nothing is known of it.
func (r *traitReader) metadataPresent(m *Mapping, key string) bool {
	for _, t := range m.Metadata.Traits {
		if t.Key == key && r.anyPresent([]Paths{t.Traits}) {
			return true
		}
	}
	if path, v := r.find(m.Metadata.Object); path != nil {
		object, ok := v.(map[string]any)
		if !ok || object[key] != nil {
			return true
		}
	}
	return m.Metadata.takesOther(m, key) && isPresent(r.traits[key])
}

// takesOther reports whether All takes the trait of this key.
func (mm *MetadataMapping) takesOther(m *Mapping, key string) bool {
	return mm.All && !slices.Contains(mm.Exclude, key) && !slices.Contains(keys(m.paths()), key)
}

// checkClear says what is wrong with a field to clear, or returns nil. A field without
// traits has nothing whose absence could clear it.
func (m *Mapping) checkClear(field string) error {
	if field == "source_id" {
		return fmt.Errorf("source_id cannot be cleared")
	}
	if key, found := strings.CutPrefix(field, metadataPrefix); found {
		hasKey := func(t MetadataTrait) bool { return t.Key == key }
		if i := slices.IndexFunc(m.Metadata.Traits, hasKey); i >= 0 && m.Metadata.Traits[i].Transform.hasDefault() {
			return fmt.Errorf("%q cannot be cleared: it has a default", field)
		}
		if key == "" || len(m.Metadata.Object) == 0 && !m.Metadata.takesOther(m, key) && !slices.ContainsFunc(m.Metadata.Traits, hasKey) {
			return fmt.Errorf("%q cannot be cleared: no trait becomes this metadata", field)
		}
		return nil
	}
	f := m.field(field)
	switch {
	case f == nil:
		return fmt.Errorf("unknown field %q: it must be a field of a customer, such as phone, address.line_2 or metadata.plan", field)
	case f.Constant != "":
		return fmt.Errorf("%q cannot be cleared: it is a constant", field)
	case f.Transform.hasDefault():
		return fmt.Errorf("%q cannot be cleared: it has a default", field)
	case len(f.Traits) == 0 && len(f.Join) == 0:
		return fmt.Errorf("%q cannot be cleared: no trait becomes this field", field)
	}
	return nil
}
