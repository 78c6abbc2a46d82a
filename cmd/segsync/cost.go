package main

import (
	"context"
	"math"
	"time"

	"segsync/importer"
	"segsync/importer/journal"
)

// extent is how much there is to import, as far as that is known.
type extent struct {
	limit    int   // profiles that are imported at most; 0: all
	total    int64 // profiles that there are, or -1
	counting int64 // requests that counting them took
}

// count finds out how many profiles there are, where that takes requests.
func (s *session) count(ctx context.Context) {
	e := &s.extent
	state := s.importer.State()
	if e.total >= 0 || !s.run.settings.fromAPI() || !state.Since.IsZero() || state.Position.Done {
		return
	}
	before := s.apis.toSegment.Stats().Requests
	if n := importer.CountProfiles(ctx, s.apis.segment, s.tell.log); n > 0 {
		e.total = int64(n)
	}
	e.counting += s.apis.toSegment.Stats().Requests - before
}

// total returns how many profiles there are for the import, or 0 if it is not known: of those
// that have changed it never is.
func (s *session) total() int64 {
	if !s.importer.State().Since.IsZero() {
		return 0
	}
	return max(s.extent.total, 0)
}

// requestsEach returns how many requests to Segment a profile takes at the most: its external
// IDs, where they are needed, and its traits.
func (s *settings) requestsEach() float64 {
	for _, id := range s.identifiers {
		if id.Trait == "" {
			return 2
		}
	}
	if len(s.mapping.ExternalIDTypes()) > 0 {
		return 2
	}
	return 1
}

// requests returns how many requests to Segment it takes to read so many profiles, and to
// list them.
func (s *settings) requests(profiles int64, each float64) int64 {
	return int64(math.Round(float64(profiles)*each)) + parts(profiles, s.pageSize)
}

// duration returns how long so many requests to Segment take.
func (s *settings) duration(requests int64) time.Duration {
	return time.Duration(float64(requests) / s.segmentRate * float64(time.Second))
}

// bulkCalls returns how many bulk requests take so many customers.
func (s *settings) bulkCalls(customers int64) int64 { return parts(customers, s.batchSize) }

// parts returns how many parts of a size n makes.
func parts(n int64, size int) int64 { return (n + int64(size) - 1) / int64(size) }

// cost is what importing some profiles takes.
type cost struct {
	Profiles   int64   `json:"profiles"`
	Segment    int64   `json:"segment"`    // requests
	Voucherify int64   `json:"voucherify"` // calls
	Seconds    float64 `json:"seconds"`
}

// costs are what some profiles took, and what all would take.
type costs struct {
	Run cost  `json:"run"`
	All *cost `json:"all"` // nil: it is not known how many there are
}

// costs returns what the run of an import with --limit took, and what all profiles would
// take; nil for any other import.
func (s *session) costs(requests summaryRequests, seconds float64) *costs {
	read, total := int64(s.importer.ProfilesRead()), s.total()
	if s.extent.limit == 0 {
		return nil
	}
	requests.Segment -= s.extent.counting
	c := &costs{Run: cost{read, requests.Segment, requests.Voucherify, seconds}}
	if total < read || read == 0 {
		return c
	}
	set, state := s.apis.settings, s.importer.State()
	each := max(float64(requests.Segment-parts(read, set.pageSize))/float64(read), 0)
	all := set.requests(total, each)
	sent := state.Count(journal.Confirmed) + state.Count(journal.Rejected) + state.Count(journal.Unconfirmed) + state.Count(journal.WouldSend)
	bulk := set.bulkCalls(int64(math.Round(float64(total) * float64(sent) / float64(max(state.Counts.Read, 1)))))
	calls := bulk
	if s.run.confirm.verify == "on" {
		calls += bulk + 1 // each bulk request has an async action, and there is a list of them
	}
	c.All = &cost{total, all, calls, round1(set.duration(all).Seconds())}
	return c
}
