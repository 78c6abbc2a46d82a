package source

// PageBuilder makes complete profiles into pages of so many profiles and bytes.
type PageBuilder struct {
	Page *Page // that is being filled

	size, maxBytes int
	limit          *Limit
	yield          func(*Page, error) bool
	n, bytes       int // profiles that were taken into the page, or passed over
}

// NewPageBuilder returns a PageBuilder that yields its pages.
func NewPageBuilder(size, maxBytes int, limit *Limit, yield func(*Page, error) bool) *PageBuilder {
	return &PageBuilder{Page: new(Page), size: size, maxBytes: maxBytes, limit: limit, yield: yield}
}

// Add adds a profile to the page.
func (b *PageBuilder) Add(p *Profile) { b.Page.Profiles = append(b.Page.Profiles, p) }

// Count takes note of a profile of so many bytes. It reports whether the page ends with it.
func (b *PageBuilder) Count(bytes int) bool {
	b.n++
	b.bytes += bytes
	b.limit.Take(1)
	return b.n >= b.size || b.bytes >= b.maxBytes || b.limit.IsReached()
}

// End ends the page. It reports whether another one is wanted.
func (b *PageBuilder) End(after Position) bool {
	p := b.Page
	p.After, p.Listed = after, b.n
	b.Page, b.n, b.bytes = new(Page), 0, 0
	return b.yield(p, nil) && !b.limit.IsReached()
}

// FoundPage returns a page of the profiles with these ids, of which those that were not found have
// vanished.
func FoundPage(ids []string, found map[string]*Profile) *Page {
	p := &Page{Listed: len(ids)}
	for _, id := range ids {
		profile := found[id]
		if profile == nil {
			profile = &Profile{ID: id}
			profile.Vanish("it is no longer there")
		}
		p.Profiles = append(p.Profiles, profile)
	}
	return p
}
