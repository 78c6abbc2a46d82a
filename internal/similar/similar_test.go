package similar_test

import (
	"slices"
	"strings"
	"testing"

	"segsync/internal/similar"
)

func TestFind(t *testing.T) {
	words := []string{"limit", "PING_URL", "plan", "plans", "plant", "größe"}
	for _, c := range []struct {
		word     string
		maxTypos int
		want     []string
	}{
		{"pingurl", 0, []string{"PING_URL"}},
		{"Ping-Url", 0, []string{"PING_URL"}},
		{"limti", 2, []string{"limit"}},
		{"limti", 1, nil},
		{"plan", 1, []string{"plan", "plans", "plant"}},
		{"plant", 1, []string{"plant", "plan", "plans"}},
		{"grose", 2, []string{"größe"}},
		{"", 0, nil},
		{strings.Repeat("x", 1<<20), 2, nil},
	} {
		if got := similar.Find(c.word, words, c.maxTypos); !slices.Equal(got, c.want) {
			t.Errorf("%.20q with %d typos: %q, want %q", c.word, c.maxTypos, got, c.want)
		}
	}
}
