package diagnose

import (
	"maps"
	"strings"

	"segsync/importer/mapping"
	"segsync/importer/mapping/cases"
)

// WriteCase writes a test case of the profile to a new file. With redacted, the values are examples
// of the same form. The project's metadata schema has no part in it.
func (in *Inspection) WriteCase(name string, redacted bool) error {
	var identifiers []string
	for _, id := range in.inspector.Identifiers {
		identifiers = append(identifiers, id.String())
	}
	c := &cases.Case{Identifiers: strings.Join(identifiers, ",")}
	if in.profile.Sparse {
		c.Source = "warehouse"
	}
	c.Profile.SegmentID, c.Profile.ExternalIDs = in.profile.SegmentID, in.ExternalIDs
	c.Profile.Traits.Values = maps.Clone(in.profile.Traits)
	if c.Profile.Traits.Values == nil {
		c.Profile.Traits.Values = make(map[string]any)
	}
	for _, name := range in.profile.Removed {
		if path, err := mapping.ParsePath(name); err == nil && len(path) == 1 {
			c.Profile.Traits.Values[path[0]] = nil
		}
	}
	if redacted {
		c.Redact(in.inspector.Mapping)
	}
	r := cases.Runner{Mapping: in.inspector.Mapping}
	if err := r.Map(c); err != nil {
		return err
	}
	return cases.Create(name, c)
}
