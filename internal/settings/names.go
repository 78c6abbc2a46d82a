package settings

import (
	"slices"
	"strings"

	"segsync/internal/similar"
)

// ownPrefixes begin names that are only segsync's.
var ownPrefixes = []string{"SEGMENT_", "VOUCHERIFY_", "IDENTIFIER_", "METADATA_", "SEGSYNC_"}

func hasOwnPrefix(name string) bool {
	return slices.ContainsFunc(ownPrefixes, func(prefix string) bool {
		return strings.HasPrefix(strings.ToUpper(name), prefix)
	})
}

// meant returns the setting that was probably meant by the name, or "". A name with one of
// our prefixes may differ in more letters, or lack words.
func meant(name string, ours []string) string {
	maxTypos := len(name) / 8
	if hasOwnPrefix(name) {
		maxTypos = len(name) / 4
		for _, own := range ours {
			if shortens(strings.ToUpper(name), own) {
				return own
			}
		}
	}
	if found := similar.Find(name, ours, maxTypos); len(found) > 0 {
		return found[0]
	}
	return ""
}

// shortens reports whether the name is the other one with words left out or cut short:
// SEGMENT_TOKEN for SEGMENT_ACCESS_TOKEN.
func shortens(name, own string) bool {
	words := strings.Split(own, "_")
	for word := range strings.SplitSeq(name, "_") {
		i := slices.IndexFunc(words, func(w string) bool { return len(word) > 1 && strings.HasPrefix(w, word) })
		if i < 0 {
			return false
		}
		words = words[i+1:]
	}
	return strings.Contains(name, "_")
}

// unknown says what is wrong with a name that is not a setting: "" if it is another program's.
func unknown(name string, ours []string) string {
	other := meant(name, ours)
	if other == "" && !hasOwnPrefix(name) {
		return ""
	}
	// A secret may have run into the name, as in NAMEsecret=.
	if !strings.EqualFold(name, other) && (len(name) > 40 || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") != "") {
		name = "this name"
	}
	if other == "" {
		return name + " is not a setting"
	}
	return name + " is not a setting: did you mean " + other + "?"
}

// Warning says what looks wrong with a setting.
type Warning struct{ Setting, Text string }

// misspelled returns a warning for each name in the environment that is like one of ours. It
// says nothing of the other names with our prefixes: they may be anybody's.
func misspelled(environ []string) (warnings []Warning) {
	ours := Names()
	for _, assignment := range environ {
		name, value, _ := strings.Cut(assignment, "=")
		if value == "" || slices.Contains(ours, name) {
			continue
		}
		if setting := meant(name, ours); setting != "" {
			text := strings.Replace(unknown(name, ours), " is not", " in the environment is not", 1)
			warnings = append(warnings, Warning{setting, text})
		}
	}
	slices.SortFunc(warnings, func(a, b Warning) int { return strings.Compare(a.Text, b.Text) })
	return warnings
}
