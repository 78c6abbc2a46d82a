package screen

import (
	"cmp"
	"slices"
	"sync"
)

// Kind is what warnings have in common. Neither part names a profile or a value.
type Kind struct {
	Field  string // "birthdate"
	Reason string // "not YYYY-MM-DD"
}

// Limiter keeps warnings from flooding the screen: the first of each kind is shown, all
// are counted. It is safe for concurrent use.
type Limiter struct {
	mu     sync.Mutex
	all    bool
	counts map[Kind]int64
	total  int64
}

// NewLimiter returns a Limiter, which shows every warning if all is set.
func NewLimiter(all bool) *Limiter { return &Limiter{all: all, counts: map[Kind]int64{}} }

// Count counts a warning and reports whether to show it.
func (l *Limiter) Count(k Kind) (show bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[k]++
	l.total++
	return l.all || l.counts[k] == 1
}

// Total returns how many warnings there were.
func (l *Limiter) Total() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

// KindCount says how many warnings of a kind there were.
type KindCount struct {
	Kind
	Count int64
}

// Counts returns how many warnings of each kind there were, the most frequent first.
func (l *Limiter) Counts() []KindCount {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := make([]KindCount, 0, len(l.counts))
	for k, n := range l.counts {
		counts = append(counts, KindCount{k, n})
	}
	slices.SortFunc(counts, func(a, b KindCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Field, b.Field), cmp.Compare(a.Reason, b.Reason))
	})
	return counts
}
