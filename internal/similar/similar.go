// Package similar finds the words that a mistyped one may have been meant to be.
package similar

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/agnivade/levenshtein"
)

// Find returns the words that differ from word by at most maxTypos letters, the most similar
// first. Case, underscores, hyphens and spaces make no difference.
func Find(word string, words []string, maxTypos int) []string {
	type candidate struct {
		word     string
		distance int
	}
	var found []candidate
	word = simplify(word)
	letters := utf8.RuneCountInString(word)
	for _, w := range words {
		simple := simplify(w)
		if n := utf8.RuneCountInString(simple); max(letters-n, n-letters) > maxTypos { // without a look at a long text
			continue
		}
		if distance := levenshtein.ComputeDistance(word, simple); distance <= maxTypos {
			found = append(found, candidate{w, distance})
		}
	}
	slices.SortFunc(found, func(a, b candidate) int {
		return cmp.Or(a.distance-b.distance, cmp.Compare(a.word, b.word))
	})
	var all []string
	for _, c := range found {
		all = append(all, c.word)
	}
	return all
}

var ignored = strings.NewReplacer("_", "", "-", "", " ", "")

func simplify(s string) string { return strings.ToLower(ignored.Replace(s)) }
