package cases

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"segsync/importer/mapping"
	"segsync/segmentprofiles"
)

// Redact replaces the values of the profile by examples of the same form: each letter by x, and each
// digit by 1, which makes a date of a date. Values that the mapping names stay, and so do keys,
// types and booleans.
func (c *Case) Redact(m mapping.Mapping) {
	named := m.NamedValues()
	c.Profile.SegmentID, c.Profile.SourceID = "use_1", ""
	c.Profile.Traits.Values, _ = redact(c.Profile.Traits.Values, named).(map[string]any)
	ids := slices.Clone(c.Profile.ExternalIDs)
	slices.SortStableFunc(ids, func(a, b segmentprofiles.ExternalID) int { return a.CreatedAt.Compare(b.CreatedAt) })
	for i := range ids { // in their order, which decides
		ids[i].ID = redactText(ids[i].ID, named)
		if ids[i].CreatedAt.IsZero() {
			continue
		}
		ids[i].CreatedAt = time.Date(2001, 1, 1, 0, 0, i, 0, time.UTC)
	}
	c.Profile.ExternalIDs = ids
}

func redact(v any, named map[string]bool) any {
	switch v := v.(type) {
	case map[string]any:
		members := make(map[string]any, len(v))
		for key, member := range v {
			members[key] = redact(member, named)
		}
		return members
	case []any:
		all := make([]any, len(v))
		for i, element := range v {
			all[i] = redact(element, named)
		}
		return all
	case string:
		return redactText(v, named)
	case json.Number:
		if text := v.String(); !named[text] {
			mantissa, exponent := text, ""
			if i := strings.IndexAny(text, "eE"); i >= 0 {
				mantissa, exponent = text[:i], text[i:]
			}
			return json.Number(redactText(mantissa, nil) + exponent)
		}
	}
	return v
}

// timeLetters matches text whose only letters are those of a date with a time.
var timeLetters = regexp.MustCompile(`^[^\pL]*\dT?\d[^\pL]*(?:Z|UTC)?$`)

func redactText(s string, named map[string]bool) string {
	if named[s] || s == "true" || s == "false" {
		return s
	}
	isTime := timeLetters.MatchString(s)
	return strings.Map(func(c rune) rune {
		switch {
		case unicode.IsDigit(c):
			return '1'
		case isTime || !unicode.IsLetter(c):
			return c
		case unicode.IsUpper(c):
			return 'X'
		}
		return 'x'
	}, s)
}
