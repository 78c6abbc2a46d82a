package source

import "segsync/importer/mapping"

// Warnings returns what is to be said about the traits of a profile that the warehouse may have cut.
func Warnings(p *Profile) (warnings []mapping.Warning) {
	for _, key := range p.Cut {
		warnings = append(warnings, mapping.Warning{
			Field: key, Trait: key, Value: "the text", Kind: "maybe_cut", Reason: "has exactly 512 characters: the warehouse may have cut it",
		})
	}
	return warnings
}
