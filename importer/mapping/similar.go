package mapping

import (
	"maps"
	"slices"

	"segsync/internal/similar"
)

// NearMiss is a trait of the mapping that no profile has: perhaps a typing error.
type NearMiss struct {
	Field string   // that the trait becomes, as in the mapping file: name, metadata.plan, where
	Trait string   // key of the trait
	Near  []string // keys that profiles have, and that differ little from it; the most similar first
}

// Unknown returns the traits of the mapping that none of the profiles has, in the order of
// the mapping. seen counts the profiles that have a trait, by its key. A trait is not
// returned where profiles have one of its alternatives.
func (m Mapping) Unknown(seen map[string]int) []NearMiss {
	read := keys(append(m.paths(), m.conditionPaths()...))
	var unread []string // keys that the mapping does not read on purpose
	for _, key := range slices.Sorted(maps.Keys(seen)) {
		if seen[key] > 0 && !slices.Contains(read, key) {
			unread = append(unread, key)
		}
	}
	var misses []NearMiss
	add := func(field string, paths []Path) {
		all := keys(paths)
		isSeen := func(key string) bool { return seen[key] > 0 }
		if slices.ContainsFunc(all, isSeen) {
			return
		}
		for _, key := range all {
			miss := NearMiss{Field: field, Trait: key, Near: similarKeys(key, unread)}
			same := func(other NearMiss) bool { return other.Field == field && other.Trait == key }
			if !slices.ContainsFunc(misses, same) {
				misses = append(misses, miss)
			}
		}
	}
	for _, f := range m.fields() {
		add(f.name, slices.Concat(f.groups()...))
	}
	add("metadata", m.Metadata.Object)
	for _, t := range m.Metadata.Traits {
		add(metadataPrefix+t.Key, t.Traits)
	}
	for _, path := range m.conditionPaths() {
		add("where", []Path{path})
	}
	return misses
}

// similarKeys returns those of the known keys that key may have been meant to be.
func similarKeys(key string, known []string) []string {
	return similar.Find(key, known, min(2, len(key)/2)) // any two keys of two letters differ by two
}
