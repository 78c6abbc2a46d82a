// Package sandbox fakes the Segment Profile API and the Voucherify API, over
// real HTTP on loopback, from their documents.
//
// One Sandbox is both APIs: paths below /v1/spaces/ are Segment's, all others
// Voucherify's. It shares no code with the clients it is used with, so that a
// client with a wrong field name fails here as it would in production.
//
// Profiles are not stored. Each is computed from the seed and its index when
// it is read (space.go, shapes.go), so a space of any size starts at once.
package sandbox

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Sandbox answers for one Segment space and one Voucherify project. It is
// safe for concurrent use.
type Sandbox struct {
	o       Options
	basic   string // the Authorization header that is accepted
	space   *space
	list    *listing
	quota   *window // nil: none
	api     *bucket // nil: none
	bulk    *bucket // nil: none
	store   *store
	rules   *schema // nil: nothing is enforced
	defined *schema // as Options.Schema
	exports exports
	count   counters
	log     requestLog
	outage  outage
	draws   atomic.Uint64
	zips    sync.Pool
}

// New returns a sandbox. Nothing runs until it is asked something.
func New(o Options) *Sandbox {
	o = o.withDefaults()
	s := &Sandbox{
		o:     o,
		basic: "Basic " + base64.StdEncoding.EncodeToString([]byte(o.AccessToken+":")),
		space: newSpace(o),
		list:  newListing(o),
		quota: newWindow(o.RateLimit, o.Taken),
		api:   newBucket("api_calls", o.APICalls),
		bulk:  newBucket("bulk_api_calls", o.BulkCalls),
		store: newStore(),
	}
	s.store.fullAddress = o.FullAddress
	s.store.putNameless(&s.o)
	s.outage.Outage = o.Outage
	s.exports.host = o.Exports.DownloadURL
	s.defined = parseSchema(o.Schema)
	if o.EnforceSchema {
		s.rules = s.defined
	}
	return s
}

// Settings returns the settings with which segsync uses this sandbox, served
// at url.
func (s *Sandbox) Settings(url string) []Setting {
	return []Setting{
		{"SEGMENT_ACCESS_TOKEN", s.o.AccessToken},
		{"SEGMENT_SPACE_ID", s.o.SpaceID},
		{"VOUCHERIFY_APPLICATION_ID", s.o.AppID},
		{"VOUCHERIFY_SECRET_KEY", s.o.SecretKey},
		{"SEGMENT_API_URL", url},
		{"VOUCHERIFY_API_URL", url},
	}
}

// call is a request on its way to its answer.
type call struct {
	*Request
	r        *http.Request
	segment  bool
	route    string // "" for a path that is none of the routes
	last     string // what stands behind the last slash of the path
	tooLarge bool
	fault    fault // the one it is answered with
}

// answer is what a request is answered with.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// ServeHTTP answers for both APIs.
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, err := s.receive(r, "")
	if err != nil {
		return // the client went away while it sent the request
	}
	if c.segment {
		w.Header().Set("Date", time.Now().Add(s.o.ClockOffset).UTC().Format(http.TimeFormat))
	}
	if s.o.Intercept != nil {
		seen := &statusWriter{ResponseWriter: w}
		if s.o.Intercept(seen, r) {
			s.log.finish(c, seen.status)
			return
		}
	}
	if s.o.OnRequest != nil {
		s.o.OnRequest(*c.Request)
	}
	if s.outage.isOn(c.Time) {
		c.fault = "outage"
		s.reply(w, c, faultAnswer(c, http.StatusServiceUnavailable, nil))
		return
	}
	refusal, header := s.admit(c)
	if refusal != nil {
		s.reply(w, c, *refusal)
		return
	}
	if f := s.drawFault(); f != noFault {
		s.answerWithFault(w, c, f, header)
		return
	}
	if !wait(r.Context(), s.latency(c)) {
		return
	}
	a := s.answer(c)
	a.header = header
	s.reply(w, c, a)
}

// receive reads the request and takes note of it. route is "" where the path
// tells it.
func (s *Sandbox) receive(r *http.Request, route string) (*call, error) {
	c := &call{
		Request: &Request{
			API:    "voucherify",
			Method: r.Method,
			Path:   r.URL.EscapedPath(),
			Query:  r.URL.Query(),
			Header: r.Header,
			Time:   time.Now(),
		},
		r: r,
	}
	c.route, c.last = routeOf(c.Method, c.Path)
	if route != "" {
		c.API, c.route = route, route
	} else if strings.HasPrefix(c.Path, segmentPrefix) {
		c.API, c.segment = "segment", true
	}
	if err := s.readBody(c); err != nil {
		return nil, err
	}
	s.count.received(c)
	c.N = int(s.count.requests.Add(1))
	if s.o.Record {
		s.log.add(c.Request)
	}
	return c, nil
}

// readBody reads the body of c, to its end even where it is too large: a
// client that is still sending would not see the answer.
func (s *Sandbox) readBody(c *call) error {
	if c.r.Body == nil || c.r.Body == http.NoBody {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(c.r.Body, int64(s.o.MaxBody)+1))
	if err != nil {
		return err
	}
	if len(body) > s.o.MaxBody {
		c.tooLarge = true
		_, err = io.Copy(io.Discard, c.r.Body)
		return err
	}
	if len(body) > 0 {
		c.Body = body
	}
	c.r.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

// admit checks the credentials and the quotas. It returns the answer that
// refuses the request, if any, and the headers that every answer carries.
func (s *Sandbox) admit(c *call) (*answer, http.Header) {
	if c.segment {
		return s.admitSegment(c), nil
	}
	return s.admitVoucherify(c)
}

// answer does what the request asks for.
func (s *Sandbox) answer(c *call) answer {
	if c.segment {
		return s.answerSegment(c)
	}
	return s.answerVoucherify(c)
}

// latency is the time that the answer to c takes.
func (s *Sandbox) latency(c *call) time.Duration {
	if !c.segment {
		return s.o.VoucherifyLatency
	}
	if s.o.Latency == 0 {
		return 0
	}
	// The mean of this distribution is 1.
	switch u := s.draw(); {
	case u < 0.90:
		return s.o.Latency * 8 / 10
	case u < 0.99:
		return s.o.Latency * 2
	default:
		return s.o.Latency * 10
	}
}

// draw returns the next pseudo-random number in [0, 1).
func (s *Sandbox) draw() float64 {
	return fraction(mix(s.o.Seed, 0x5eed, s.draws.Add(1)))
}

// wait waits for d and reports whether ctx was still alive at its end.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
