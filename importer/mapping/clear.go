package mapping

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"segsync/voucherify"
)

const metadataPrefix = "metadata."

// clear lists in c.Clear the fields of m.Clear whose traits are all absent. A trait that is
// present and cannot be used keeps its field from being cleared.
func (r *traitReader) clear(c *voucherify.Customer, m *Mapping) {
	for _, field := range m.Clear {
		key, isMetadata := strings.CutPrefix(field, metadataPrefix)
		switch {
		case !isMetadata && r.anyThere(m.field(field).groups()):
		case isMetadata && r.metadataThere(m, key):
		default:
			c.Clear = append(c.Clear, field)
		}
		if _, isNull := c.Metadata[key]; isMetadata && isNull && c.Metadata[key] == nil {
			c.Metadata = maps.Clone(c.Metadata) // it may be the profile's own
			delete(c.Metadata, key)             // Clear says it
		}
	}
}

func (r *traitReader) anyThere(groups [][]Path) bool {
	return slices.ContainsFunc(groups, func(paths []Path) bool {
		path, _ := r.find(paths)
		return path != nil
	})
}

// metadataThere reports whether a trait is present for the metadata key. Where the trait of
// the whole metadata is not an object, every key counts as present: nothing is known of it.
func (r *traitReader) metadataThere(m *Mapping, key string) bool {
	for _, t := range m.Metadata.Traits {
		if t.Key == key && r.anyThere([][]Path{t.Traits}) {
			return true
		}
	}
	if path, v := r.find(m.Metadata.Object); path != nil {
		object, ok := v.(map[string]any)
		if !ok || object[key] != nil {
			return true
		}
	}
	return m.Metadata.takesOther(m, key) && isThere(r.traits[key])
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
	case len(f.Traits) == 0 && len(f.Join) == 0:
		return fmt.Errorf("%q cannot be cleared: no trait becomes this field", field)
	}
	return nil
}
