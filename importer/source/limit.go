package source

// Limit is how many profiles may still be listed. A nil one is no limit.
type Limit struct{ left int }

// NewLimit returns a limit of n profiles, nil for 0.
func NewLimit(n int) *Limit {
	if n <= 0 {
		return nil
	}
	return &Limit{n}
}

// IsReached reports whether no profile may be listed any more.
func (l *Limit) IsReached() bool { return l != nil && l.left <= 0 }

// AtMost returns how many of n profiles may be listed, and 1 at least.
func (l *Limit) AtMost(n int) int {
	if l == nil {
		return n
	}
	return max(min(n, l.left), 1)
}

// Take notes that n profiles were listed.
func (l *Limit) Take(n int) {
	if l != nil {
		l.left -= n
	}
}
