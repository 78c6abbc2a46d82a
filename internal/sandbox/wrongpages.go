package sandbox

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// ListFault is a way in which a list page is wrong. "" is none.
type ListFault string

const (
	// ListEmptyPage is a page without data and with has_more and a valid next.
	// It loses nothing: the profiles follow one offset later.
	ListEmptyPage ListFault = "empty page"
	// ListNoNext has data and has_more, but no next; ListDeadEnd no data either.
	ListNoNext  ListFault = "no next"
	ListDeadEnd ListFault = "dead end"
	// ListRepeats gives the first profiles again, with has_more and a new next.
	ListRepeats ListFault = "repeats"
	// ListNeverEnds has has_more and a new next, also behind the last profile.
	ListNeverEnds ListFault = "never ends"
	// ListOddCursor has a next with escapes and newlines, ListObjectCursor an
	// object.
	ListOddCursor    ListFault = "odd cursor"
	ListObjectCursor ListFault = "object as cursor"
	// The rest is about the first entry of the page.
	ListNumberID      ListFault = "segment_id is a number"
	ListLoneSurrogate ListFault = "segment_id with a lone surrogate"
	ListInvalidUTF8   ListFault = "segment_id with invalid UTF-8"
	ListEmptyCreated  ListFault = "created_at is empty"
	ListBadCreated    ListFault = "created_at is unreadable"
	ListBadUpdated    ListFault = "updated_at is unreadable"
)

// listEntry is one entry of a list page, each field as JSON.
type listEntry struct{ id, created, updated string }

// listPage is a list page. next is JSON.
type listPage struct {
	entries []listEntry
	more    bool
	next    string
}

// holesBefore returns how many empty pages were put in before offset, and
// notes that there is one at offset where empty says so.
func (l *listing) holesBefore(offset int, empty bool) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if empty {
		if l.holes == nil {
			l.holes = map[int]bool{}
		}
		l.holes[offset] = true
	}
	n := 0
	for at := range l.holes {
		if at < offset {
			n++
		}
	}
	return n
}

// spoil makes the page at offset, of at most limit entries, wrong. first
// returns the first page of the list.
func (p *listPage) spoil(f ListFault, offset, limit int, first func() []listEntry) {
	on := func(n int) string { return `"` + strconv.Itoa(n) + `"` }
	switch f {
	case ListEmptyPage:
		p.entries, p.more, p.next = nil, true, on(offset+1)
	case ListNoNext:
		p.more, p.next = true, `""`
	case ListDeadEnd:
		p.entries, p.more, p.next = nil, true, `""`
	case ListRepeats:
		p.entries, p.more, p.next = first(), true, on(offset+limit)
	case ListNeverEnds:
		p.more, p.next = true, on(offset+limit)
	case ListOddCursor:
		p.more, p.next = true, quoted("7\x1b[2J\r\n\u009b31m\u202eContinue with: rm")
	case ListObjectCursor:
		p.more, p.next = true, `{"offset":7}`
	}
	if len(p.entries) == 0 {
		return
	}
	e := &p.entries[0]
	switch f {
	case ListNumberID:
		e.id = "12345"
	case ListLoneSurrogate:
		e.id = `"use_\ud800"`
	case ListInvalidUTF8:
		e.id = "\"use_\xff\xfe\""
	case ListEmptyCreated:
		e.created = `""`
	case ListBadCreated:
		e.created = `"yesterday"`
	case ListBadUpdated:
		e.updated = `"yesterday"`
	}
}

// ProfileFault is a way in which the external IDs or the traits of a profile
// are wrong. "" is none.
type ProfileFault string

// The faults of external IDs concern the first type that is asked for.
const (
	IDsNoData         ProfileFault = "external IDs without data"
	IDsNumber         ProfileFault = "id is a number"
	IDsEmptyCreated   ProfileFault = "created_at of an id is empty"
	IDsBadCreated     ProfileFault = "created_at of an id is unreadable"
	IDsLoneSurrogate  ProfileFault = "id with a lone surrogate"
	IDsInvalidUTF8    ProfileFault = "id with invalid UTF-8"
	IDsEndless        ProfileFault = "external IDs without end"
	TraitsMissing     ProfileFault = "traits and cursor missing"
	TraitsOnlyCursor  ProfileFault = "traits missing beside a cursor"
	TraitsNull        ProfileFault = "traits are null"
	TraitsInvalidUTF8 ProfileFault = "trait with invalid UTF-8"
	TraitsEndless     ProfileFault = "traits without end"
)

// wrongExternalIDs returns the answer of f to GET .../external_ids, nil when f
// does not concern it.
func (s *Sandbox) wrongExternalIDs(c *call, f ProfileFault, i int) *answer {
	id, created, cursor := quoted(s.space.userID(i)), `"2023-01-02T03:04:05Z"`, `{"url":"","has_more":false,"next":""}`
	switch f {
	case IDsNoData:
		return &answer{status: http.StatusOK, body: []byte(`{"cursor":` + cursor + `}`)}
	case IDsNumber:
		id = "42"
	case IDsEmptyCreated:
		created = `""`
	case IDsBadCreated:
		created = `"01/02/2023"`
	case IDsLoneSurrogate:
		id = `"user-\ud800"`
	case IDsInvalidUTF8:
		id = "\"user-\xff\""
	case IDsEndless:
		n := hash(c.Query.Get("next"))
		id, cursor = fmt.Sprintf(`"user-%x"`, n), fmt.Sprintf(`{"url":"","has_more":true,"next":"map_%x"}`, n)
	default:
		return nil
	}
	typ, _, _ := strings.Cut(c.Query.Get("include"), ",")
	if typ == "" {
		typ = "user_id"
	}
	return &answer{status: http.StatusOK, body: fmt.Appendf(nil,
		`{"data":[{"source_id":"%s","collection":"users","id":%s,"type":%s,"created_at":%s,"encoding":"none"}],"cursor":%s}`,
		segmentSource, id, quoted(typ), created, cursor)}
}

// wrongTraits returns the answer of f to GET .../traits, nil when f does not
// concern it.
func wrongTraits(c *call, f ProfileFault) *answer {
	body := ""
	switch f {
	case TraitsMissing:
		body = `{}`
	case TraitsOnlyCursor:
		body = `{"cursor":{"url":"","has_more":false,"next":"","limit":200}}`
	case TraitsNull:
		body = `{"traits":null,"cursor":{"url":"","has_more":false,"next":"","limit":200}}`
	case TraitsInvalidUTF8:
		body = "{\"traits\":{\"name\":\"Ada \xff\"},\"cursor\":{\"url\":\"\",\"has_more\":false,\"next\":\"\",\"limit\":200}}"
	case TraitsEndless:
		n := hash(c.Query.Get("next"))
		body = fmt.Sprintf(`{"traits":{"trait_%x":1},"cursor":{"url":"","has_more":true,"next":"trait_%x","limit":200}}`, n, n)
	default:
		return nil
	}
	return &answer{status: http.StatusOK, body: []byte(body)}
}
