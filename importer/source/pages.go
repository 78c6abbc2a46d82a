package source

// Limit is the number of profiles that may still be listed. A nil Limit allows any number.
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

// maxPageBytes bounds a page of large profiles.
const maxPageBytes = 4 << 20

// PageBuilder puts profiles into pages of so many profiles, and of maxPageBytes.
type PageBuilder struct {
	Page *Page // that is being filled

	size     int
	limit    *Limit
	yield    func(*Page, error) bool
	n, bytes int // of the page, profiles that were not added included
}

// NewPageBuilder returns a PageBuilder that yields its pages.
func NewPageBuilder(size int, limit *Limit, yield func(*Page, error) bool) *PageBuilder {
	return &PageBuilder{Page: new(Page), size: size, limit: limit, yield: yield}
}

// Add adds a profile to the page.
func (b *PageBuilder) Add(p *Profile) { b.Page.Profiles = append(b.Page.Profiles, p) }

// Count counts a profile of so many bytes, added or not. It reports whether the page is full.
func (b *PageBuilder) Count(bytes int) bool {
	b.n++
	b.bytes += bytes
	b.limit.Take(1)
	return b.n >= b.size || b.bytes >= maxPageBytes || b.limit.IsReached()
}

// End ends the page. It reports whether another one is wanted.
func (b *PageBuilder) End(after Position) bool {
	p := b.Page
	p.After, p.Listed = after, b.n
	b.Page, b.n, b.bytes = new(Page), 0, 0
	return b.yield(p, nil) && !b.limit.IsReached()
}
