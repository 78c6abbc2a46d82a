package main

import (
	"encoding/json"
	"fmt"
	"time"

	"segsync/internal/screen"
)

// planEstimate is what an import of all profiles takes, as far as a plan can know. Voucherify
// tells its quota of bulk calls only in the answer to one of them.
type planEstimate struct {
	SegmentRequests int64 // to read the profiles; 0 where Segment is not asked
	perSecond       float64
	took            time.Duration // to read them for the plan
}

// reading is how long it takes to read the profiles: as long as it did, or as the quota wants.
func (e *planEstimate) reading() time.Duration {
	return max(e.took, time.Duration(float64(e.SegmentRequests)/e.perSecond*float64(time.Second)))
}

// MarshalJSON has the quota of bulk calls, too, which is never known.
func (e *planEstimate) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{
		"segment_requests": e.SegmentRequests, "reading_seconds": round1(e.reading().Seconds()), "bulk_calls_an_hour": nil,
	})
}

// slowestBulk is the smallest quota of bulk calls an hour that Voucherify's plans had.
const slowestBulk = 10

// printCost says what importing the profiles takes.
func (r *planReport) printCost(to *page) {
	what, takes := "this", ""
	if r.Sample != nil {
		what = fmt.Sprintf("these %s profiles", number(r.Sample.Profiles))
	}
	if r.Estimate != nil {
		takes = "; " + about(r.Estimate.reading())
	}
	to.linef("\nimporting %s: %s bulk calls, %s customers; with --only-changes %s calls, %s customers%s", what,
		number(r.BulkCalls.All), number(r.Customers.All), number(r.BulkCalls.OnlyChanges), number(r.Customers.OnlyChanges), takes)
	if r.Estimate == nil {
		return
	}
	reading := "that is the time to read the profiles"
	if r.Estimate.SegmentRequests > 0 {
		reading += fmt.Sprintf(", %s requests to Segment at %g a second", screen.Number(r.Estimate.SegmentRequests), r.Estimate.perSecond)
	}
	to.linef("  %s\n  Voucherify tells its quota of bulk calls only with the first of them; %s", reading, r.bulkTime())
}

// bulkTime says how much longer the bulk calls take with the smallest quota.
func (r *planReport) bulkTime() string {
	usable := slowestBulk - int(slowestBulk*r.reserve)
	wait := func(calls int) time.Duration { return time.Duration(max(calls-1, 0)/max(usable, 1)) * time.Hour }
	all, changes := wait(r.BulkCalls.All), wait(r.BulkCalls.OnlyChanges)
	if all == 0 {
		return fmt.Sprintf("%d an hour would be enough", slowestBulk)
	}
	more := "nothing"
	if changes > 0 {
		more = screen.Duration(changes)
	}
	return fmt.Sprintf("at %d an hour,\n  of which %.4g%% stay reserved, they add %s, with --only-changes %s", slowestBulk, r.reserve*100, screen.Duration(all), more)
}
