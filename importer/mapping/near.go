package mapping

import (
	"maps"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// NearMiss is a trait of the mapping that no profile has: perhaps a typing error.
type NearMiss struct {
	Field string   // that the trait becomes, as in the mapping file: name, metadata.plan, where
	Trait string   // key of the trait
	Near  []string // keys that profiles have, and that differ little from it; sorted
}

// Unknown returns the traits of the mapping that none of the profiles has, in the order of
// the mapping. seen counts the profiles that have a trait, by its key. A trait is not
// returned where profiles have one of its alternatives.
func (m Mapping) Unknown(seen map[string]int) []NearMiss {
	read := keys(append(m.paths(), m.conditionPaths()...))
	var misses []NearMiss
	add := func(field string, paths []Path) {
		all := keys(paths)
		isSeen := func(key string) bool { return seen[key] > 0 }
		if slices.ContainsFunc(all, isSeen) {
			return
		}
		for _, key := range all {
			miss := NearMiss{Field: field, Trait: key, Near: near(key, seen, read)}
			same := func(other NearMiss) bool { return other.Field == field && other.Trait == key }
			if !slices.ContainsFunc(misses, same) {
				misses = append(misses, miss)
			}
		}
	}
	for _, name := range fieldNames() {
		add(name, slices.Concat(m.field(name).groups()...))
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

// near returns the keys that were seen and differ from key by case, underscores and
// hyphens, or by two letters at most, without those that the mapping reads on purpose.
func near(key string, seen map[string]int, read []string) []string {
	simplify := func(s string) string {
		return strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "").Replace(s))
	}
	most := min(2, len(key)/2) // any two keys of two letters differ by two
	var all []string
	for _, other := range slices.Sorted(maps.Keys(seen)) {
		if seen[other] == 0 || slices.Contains(read, other) || len(other) > 2*len(key)+10 {
			continue
		}
		if simplify(other) == simplify(key) || levenshtein.ComputeDistance(key, other) <= most {
			all = append(all, other)
		}
	}
	return all
}
