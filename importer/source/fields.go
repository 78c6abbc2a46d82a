package source

import (
	"cmp"
	"slices"

	"segsync/importer/mapping"
	"segsync/profilessync"
)

// FieldsNeeded returns the types of external IDs and the traits that an import reads; traits is nil
// for all of them.
func FieldsNeeded(identifiers []mapping.Identifier, m mapping.Mapping) (types, traits []string) {
	types, traits = []string{}, m.Traits()
	for _, id := range identifiers {
		switch {
		case id.Trait == "":
			types = append(types, id.Type)
		case traits != nil:
			traits = append(traits, id.Trait)
		}
	}
	for _, idType := range m.ExternalIDTypes() { // of conditions
		if !slices.Contains(types, idType) {
			types = append(types, idType)
		}
	}
	slices.Sort(traits)
	return types, slices.Compact(traits)
}

// QueryFor returns what an import reads of a profile in a warehouse or a file.
func QueryFor(identifiers []mapping.Identifier, m mapping.Mapping) profilessync.Query {
	q := profilessync.Query{Traits: m.Named(), AllTraits: m.Metadata.All, IsJSON: m.TakesJSON()}
	q.IdentifierTypes, _ = FieldsNeeded(identifiers, m)
	q.Traits = append(q.Traits, IdentityQuery(identifiers).Traits...)
	for _, id := range identifiers {
		q.Identity = append(q.Identity, cmp.Or(id.Trait, id.Type))
	}
	for key, members := range m.Objects() {
		if members == nil {
			q.Objects = append(q.Objects, []string{key})
		}
		for _, member := range members {
			if path, err := mapping.ParsePath(member); err == nil {
				q.Members = append(q.Members, append([]string{key}, path...))
			}
		}
	}
	slices.SortFunc(q.Objects, slices.Compare[[]string])
	slices.SortFunc(q.Members, slices.Compare[[]string])
	return q
}

// IdentityQuery returns what identifies a profile.
func IdentityQuery(identifiers []mapping.Identifier) profilessync.Query {
	q := profilessync.Query{IdentifierTypes: []string{}, Traits: []string{}}
	for _, id := range identifiers {
		if id.Trait != "" {
			q.Traits = append(q.Traits, id.Trait)
		} else {
			q.IdentifierTypes = append(q.IdentifierTypes, id.Type)
		}
	}
	return q
}
