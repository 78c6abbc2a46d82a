package sandbox

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// segmentPrefix begins the path of every request to Segment.
const segmentPrefix = "/v1/spaces/"

// millis is the time format of the list.
const millis = "2006-01-02T15:04:05.000Z07:00"

// segmentSource is the source_id that all data of the space came from.
const segmentSource = "GFu4AJc2bE"

// admitSegment returns the answer that refuses c, or nil.
func (s *Sandbox) admitSegment(c *call) *answer {
	if c.Header.Get("Authorization") != s.basic {
		a := segmentError(http.StatusUnauthorized, "authentication_error", "Failure to properly authenticate yourself in the request.")
		return &a
	}
	if !s.quota.allow() {
		a := segmentTooMany()
		return &a
	}
	return nil
}

// answerSegment answers a request to the Profile API.
func (s *Sandbox) answerSegment(c *call) answer {
	if c.Method != http.MethodGet {
		return segmentError(http.StatusMethodNotAllowed, "invalid_request_error", "Only GET is supported.")
	}
	rest, ok := strings.CutPrefix(c.Path, segmentPrefix+s.o.SpaceID+"/collections/users/profiles")
	if !ok {
		return segmentError(http.StatusNotFound, "not_found", "The resource was not found.")
	}
	if rest == "" {
		return s.listProfiles(c)
	}
	escaped, what, _ := strings.Cut(strings.TrimPrefix(rest, "/"), "/")
	// An unescaped special character in an identifier is a server error.
	if strings.ContainsAny(escaped, "+@?#") {
		return segmentError(http.StatusInternalServerError, "internal_error", "Internal Server Error")
	}
	identifier, err := url.PathUnescape(escaped)
	if err != nil {
		return segmentError(http.StatusBadRequest, "invalid_request_error", "The identifier is not well escaped.")
	}
	i, ok := s.space.lookUp(identifier)
	if !ok {
		return profileNotFound()
	}
	switch what {
	case "traits":
		return s.traits(c, i)
	case "external_ids":
		return s.externalIDs(c, i)
	case "metadata":
		return s.metadata(i)
	case "links":
		return answer{status: http.StatusOK, body: []byte(`{"data":[]}`)}
	default:
		return segmentError(http.StatusNotFound, "not_found", "The resource was not found.")
	}
}

// listProfiles answers GET .../profiles.
func (s *Sandbox) listProfiles(c *call) answer {
	limit, ok := intParam(c.Query, "limit", 10)
	if !ok || limit < 1 || limit > 100 {
		return invalidParam("limit", c.Query)
	}
	offset, ok := intParam(c.Query, "next", 0)
	if !ok {
		return invalidParam("next", c.Query)
	}
	page, next := s.list.page(offset, limit), ""
	more := len(page) > 0 && offset+len(page) < s.o.Profiles
	if more {
		next = strconv.Itoa(offset + len(page))
	}
	b := make([]byte, 0, 128*len(page)+512)
	b = append(b, `{"data":[`...)
	for k, p := range page {
		if k > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"segment_id":"`+s.space.segmentID(p.index)+`","metadata":{"created_at":"`...)
		b = append(p.created.AppendFormat(b, millis), '"')
		if s.o.Order != NoUpdatedAt {
			b = append(b, `,"updated_at":"`...)
			b = append(p.updated.AppendFormat(b, millis), '"')
		}
		b = append(b, `}}`...)
	}
	b = fmt.Appendf(b, `],"cursor":{"url":"https://profiles.example.com%s?limit=%d&next=%d","has_more":%t,"next":"%s","limit":%d}}`,
		c.Path, limit, offset, more, next, limit)
	s.stir()
	return answer{status: http.StatusOK, body: b}
}

// traits answers GET .../traits for profile i.
func (s *Sandbox) traits(c *call, i int) answer {
	limit, ok := intParam(c.Query, "limit", 10)
	if !ok || limit < 1 || limit > 200 {
		return invalidParam("limit", c.Query)
	}
	class := c.Query.Get("class")
	if class != "" && class != "audience" && class != "computed_trait" {
		return invalidParam("class", c.Query)
	}
	list, null := s.space.traits(i)
	if include, next := c.Query.Get("include"), c.Query.Get("next"); include != "" || next != "" || class != "" {
		wanted := strings.Split(include, ",")
		list = slices.DeleteFunc(list, func(t trait) bool {
			return t.key < next || include != "" && !slices.Contains(wanted, t.key) || class != "" && traitClass(t.key) != class
		})
	}
	next := ""
	if len(list) > limit {
		next = list[limit].key
		list = list[:limit]
	}
	b := make([]byte, 0, 64*len(list)+256)
	b = append(b, `{"traits":`...)
	if null {
		b = append(b, `null`...)
	} else {
		b = appendTraits(b, list, c.Query.Get("verbose") == "true")
	}
	b = append(b, `,"cursor":{"url":"`...)
	if next != "" {
		b = append(b, "https://profiles.example.com"+c.Path+"?%3Acollection=users&next="+url.QueryEscape(next)...)
	}
	b = append(b, `","has_more":`...)
	b = strconv.AppendBool(b, next != "")
	b = append(b, `,"next":`...)
	b = append(b, quoted(next)...)
	b = append(b, `,"limit":`...)
	b = strconv.AppendInt(b, int64(limit), 10)
	b = append(b, `}}`...)
	return answer{status: http.StatusOK, body: b}
}

func appendTraits(b []byte, list traitList, verbose bool) []byte {
	b = append(b, '{')
	for k, t := range list {
		if k > 0 {
			b = append(b, ',')
		}
		b = append(b, quoted(t.key)...)
		b = append(b, ':')
		if !verbose {
			b = append(b, t.value...)
			continue
		}
		b = append(b, `{"value":`...)
		b = append(b, t.value...)
		b = append(b, `,"source_id":"`+segmentSource+`","updated_at":"2023-01-26T14:35:52.944Z"}`...)
	}
	return append(b, '}')
}

// externalIDs answers GET .../external_ids for profile i.
func (s *Sandbox) externalIDs(c *call, i int) answer {
	limit, ok := intParam(c.Query, "limit", 10)
	if !ok || limit < 1 || limit > 25 {
		return invalidParam("limit", c.Query)
	}
	ids := s.space.externalIDs(i)
	if include := c.Query.Get("include"); include != "" {
		types := strings.Split(include, ",")
		ids = slices.DeleteFunc(ids, func(id externalID) bool { return !slices.Contains(types, id.typ) })
	}
	cursorSeed := mix(s.o.Seed, uint64(i), 0xc0)
	offset := 0
	if next := c.Query.Get("next"); next != "" {
		if offset, ok = parseToken("map_", cursorSeed, next); !ok || offset > len(ids) {
			return invalidParam("next", c.Query)
		}
	}
	if len(ids) == 0 {
		if s.o.NullIDs {
			return answer{status: http.StatusOK, body: []byte(`{"data":null}`)}
		}
		return answer{status: http.StatusOK, body: []byte(`{"data":[]}`)}
	}
	page := ids[offset:]
	// The first page of a profile with many ids is short although more follow.
	if s.space.shape(i) == manyIDs && offset == 0 && limit > 1 {
		limit /= 2
	}
	next := ""
	if len(page) > limit {
		page = page[:limit]
		next = token("map_", cursorSeed, offset+limit)
	}
	b := make([]byte, 0, 256*len(page)+256)
	b = append(b, `{"data":[`...)
	for k, id := range page {
		if k > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"source_id":"`+segmentSource+`","collection":"users","id":"`...)
		b = append(b, id.value...)
		b = append(b, `","type":"`...)
		b = append(b, id.typ...)
		b = append(b, `","created_at":"`...)
		b = id.created.AppendFormat(b, time.RFC3339Nano)
		b = append(b, `","encoding":"none"`...)
		if k%2 == 0 { // it may be missing
			b = append(b, `,"first_message_id":"ajs-`...)
			b = append(b, hexID(uint64(i), uint64(k))...)
			b = append(b, '"')
		}
		b = append(b, '}')
	}
	b = append(b, `],"cursor":{"url":"`...)
	b = append(b, c.Path...)
	b = append(b, `","has_more":`...)
	b = strconv.AppendBool(b, next != "")
	b = append(b, `,"next":"`...)
	b = append(b, next...)
	b = append(b, `"}}`...)
	return answer{status: http.StatusOK, body: b}
}

// metadata answers GET .../metadata for profile i.
func (s *Sandbox) metadata(i int) answer {
	p, canonical := s.list.line(i), ""
	if !s.o.NoCanonicalID {
		canonical = `"segment_id":"` + s.space.segmentID(i) + `",`
	}
	return answer{status: http.StatusOK, body: fmt.Appendf(nil,
		`{`+canonical+`"metadata":{"created_at":"%s","updated_at":"%s","expires_at":null,"first_message_id":"ajs-%s","first_source_id":"%s","last_message_id":"ajs-%s","last_source_id":"%[4]s"}}`,
		p.created.Format(millis), p.updated.Format(millis), hexID(uint64(i), 1), segmentSource, hexID(uint64(i), 2))}
}

// intParam returns a parameter that is a decimal number without a sign, or
// def when it is absent or empty.
func intParam(q url.Values, name string, def int) (n int, ok bool) {
	v := q.Get(name)
	if v == "" {
		return def, true
	}
	u, err := strconv.ParseUint(v, 10, 31)
	return int(u), err == nil
}

func segmentError(status int, code, message string) answer {
	return answer{status: status, body: []byte(`{"error":{"code":` + quoted(code) + `,"message":` + quoted(message) + `}}`)}
}

func segmentTooMany() answer {
	return segmentError(http.StatusTooManyRequests, "rate_limit_error", "Too many requests hit the API too quickly.")
}

func profileNotFound() answer {
	return segmentError(http.StatusNotFound, "not_found", "Profile was not found.")
}

func invalidParam(name string, q url.Values) answer {
	return segmentError(http.StatusBadRequest, "validation_error", fmt.Sprintf("The parameter `%s` has the invalid value `%s`", name, q.Get(name)))
}
