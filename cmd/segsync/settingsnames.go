package main

import (
	"io"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// settingPrefixes begin names that are ours alone.
var settingPrefixes = []string{"SEGMENT_", "VOUCHERIFY_", "IDENTIFIER_", "METADATA_", "SEGSYNC_"}

// ownNames returns the names of all settings.
func ownNames() []string {
	var names []string
	for _, row := range new(settings).table() {
		names = append(names, row.name)
	}
	return names
}

// nearest returns the one of ours that a name is most like, or "" if it is like none. A
// name with one of our prefixes may differ in more letters, or be a shorter one for ours.
func nearest(name string, ours []string) string {
	for _, own := range ours {
		if hasSettingPrefix(name) && shortens(strings.ToUpper(name), own) {
			return own
		}
	}
	best, least := "", 0
	for _, own := range ours {
		allowed := len(own) / 8
		if hasSettingPrefix(name) {
			allowed = len(own) / 4
		}
		if max(len(name)-len(own), len(own)-len(name)) > allowed {
			continue
		}
		distance := levenshtein.ComputeDistance(strings.ToUpper(name), own)
		if distance <= allowed && (best == "" || distance < least) {
			best, least = own, distance
		}
	}
	return best
}

// shortens reports whether the words of the name are those of the other one, or their first
// letters, with some left out: SEGMENT_TOKEN for SEGMENT_ACCESS_TOKEN.
func shortens(name, own string) bool {
	words := strings.Split(own, "_")
	for _, word := range strings.Split(name, "_") {
		i := slices.IndexFunc(words, func(w string) bool { return len(word) > 1 && strings.HasPrefix(w, word) })
		if i < 0 {
			return false
		}
		words = words[i+1:]
	}
	return strings.Count(name, "_") > 0
}

func hasSettingPrefix(name string) bool {
	return slices.ContainsFunc(settingPrefixes, func(prefix string) bool {
		return strings.HasPrefix(strings.ToUpper(name), prefix)
	})
}

// unknownInFile says what is wrong with a name in a .env file that is none of ours: ""
// if it is another program's.
func unknownInFile(name string, ours []string) string {
	near := nearest(name, ours)
	switch {
	case near != "":
		return quotedName(name, near) + " is not a setting: did you mean " + near + "?"
	case hasSettingPrefix(name):
		return quotedName(name, "") + " is not a setting"
	}
	return ""
}

// settingWarning is what looks wrong about a setting.
type settingWarning struct{ setting, text string }

// misspelledIn returns a warning for each name in the environment that is like one of
// ours. Of the other names with our prefixes it says nothing: they may be anybody's.
func misspelledIn(environ []string) (warnings []settingWarning) {
	ours := ownNames()
	for _, assignment := range environ {
		name, value, _ := strings.Cut(assignment, "=")
		if slices.Contains(ours, name) || value == "" {
			continue
		}
		if near := nearest(name, ours); near != "" {
			text := quotedName(name, near) + " in the environment is not a setting: did you mean " + near + "?"
			warnings = append(warnings, settingWarning{near, text})
		}
	}
	slices.SortFunc(warnings, func(a, b settingWarning) int { return strings.Compare(a.text, b.text) })
	return warnings
}

// printWarnings prints the warnings of a command that has no log.
func (s *settings) printWarnings(stderr io.Writer) {
	for _, warning := range s.warnings {
		newPage(stderr).linef("segsync: warning: %s", warning.text)
	}
}

// quotedName returns the name, unless it may be one with a secret that ran into it, as in
// NAMEsecret=. near is the one that may be meant, or "".
func quotedName(name, near string) string {
	if strings.EqualFold(name, near) {
		return name
	}
	if len(name) > 40 || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") != "" {
		return "this name"
	}
	return name
}
