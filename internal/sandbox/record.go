package sandbox

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// requestLog keeps the requests for tests that look at them.
type requestLog struct {
	mu   sync.Mutex
	list []*Request
}

func (l *requestLog) add(r *Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, r)
}

// finish completes the record of c and returns it.
func (l *requestLog) finish(c *call, status int) Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.Status, c.Fault = status, string(c.fault)
	return *c.Request
}

// Requests returns the requests so far, in order of arrival. It needs
// Options.Record.
func (s *Sandbox) Requests() []Request {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	list := make([]Request, len(s.log.list))
	for i, r := range s.log.list {
		list[i] = *r
	}
	return list
}

// counters is the live form of Stats.
type counters struct {
	requests atomic.Int64
	segment, segment429, list, traits, externalIDs,
	voucherify, voucherify429, bulk, bulkAccepted, upserts, downloads, faults atomic.Int64
	first, last atomic.Int64 // unix nanoseconds
}

func (n *counters) received(c *call) {
	if c.route == routeDownload {
		n.downloads.Add(1)
		return
	}
	if !c.segment {
		n.voucherify.Add(1)
		switch c.route {
		case routeBulk:
			n.bulk.Add(1)
		case routeUpsert:
			n.upserts.Add(1)
		}
		return
	}
	n.segment.Add(1)
	at := c.Time.UnixNano()
	n.first.CompareAndSwap(0, at)
	for {
		last := n.last.Load()
		if last >= at || n.last.CompareAndSwap(last, at) {
			break
		}
	}
	switch c.route {
	case routeTraits:
		n.traits.Add(1)
	case routeExternalIDs:
		n.externalIDs.Add(1)
	case routeList:
		n.list.Add(1)
	}
}

func (n *counters) answered(c *call, status int) {
	if c.fault != noFault {
		n.faults.Add(1)
	}
	if status != http.StatusTooManyRequests {
		return
	}
	if c.segment {
		n.segment429.Add(1)
	} else {
		n.voucherify429.Add(1)
	}
}

// Stats returns the counts so far.
func (s *Sandbox) Stats() Stats {
	n := &s.count
	customers, rejected, duplicates := s.store.totals(time.Now())
	return Stats{
		SegmentRequests:     int(n.segment.Load()),
		Segment429:          int(n.segment429.Load()),
		ListRequests:        int(n.list.Load()),
		TraitsRequests:      int(n.traits.Load()),
		ExternalIDsRequests: int(n.externalIDs.Load()),
		FirstSegment:        unixTime(n.first.Load()),
		LastSegment:         unixTime(n.last.Load()),
		VoucherifyRequests:  int(n.voucherify.Load()),
		Voucherify429:       int(n.voucherify429.Load()),
		BulkRequests:        int(n.bulk.Load()),
		BulkAccepted:        int(n.bulkAccepted.Load()),
		Upserts:             int(n.upserts.Load()),
		Downloads:           int(n.downloads.Load()),
		Customers:           customers,
		Rejected:            rejected,
		DuplicateInBatch:    duplicates,
		Faults:              int(n.faults.Load()),
	}
}

// unixTime returns the time of the nanoseconds, the zero time for 0.
func unixTime(nanoseconds int64) time.Time {
	if nanoseconds == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanoseconds)
}
