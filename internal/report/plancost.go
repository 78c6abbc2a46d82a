package report

import (
	"encoding/json"
	"fmt"
	"time"

	"segsync/internal/term"
)

// Estimate is what an import of all profiles takes, as far as a plan can know. Voucherify
// tells its quota of bulk calls only in the answer to one of them.
type Estimate struct {
	SegmentRequests int64 // to read the profiles; 0 where Segment is not asked
	PerSecond       float64
	Took            time.Duration // to read them for the plan
}

// reading is how long it takes to read the profiles: as long as it did, or as the quota wants.
func (e *Estimate) reading() time.Duration {
	return max(e.Took, time.Duration(float64(e.SegmentRequests)/e.PerSecond*float64(time.Second)))
}

// MarshalJSON has the quota of bulk calls, too, which is never known.
func (e *Estimate) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{
		"segment_requests": e.SegmentRequests, "reading_seconds": Round1(e.reading().Seconds()), "bulk_calls_an_hour": nil,
	})
}

// slowestBulk is the smallest quota of bulk calls an hour that Voucherify's plans had.
const slowestBulk = 10

// printCost says what importing the profiles takes.
func (r *Plan) printCost(to *term.Printer) {
	what, takes := "this", ""
	if r.Sample != nil {
		what = "these " + term.Count(r.Sample.Profiles, "profile")
	}
	if r.Estimate != nil {
		takes = "; " + About(r.Estimate.reading())
	}
	to.Linef("\nimporting %s: %s, %s%s", what, term.Count(r.BulkCalls.All, "bulk call"), term.Count(r.Customers.All, "customer"), takes)
	to.Linef("  with --only-changes: %s, %s", term.Count(r.BulkCalls.OnlyChanges, "bulk call"), term.Count(r.Customers.OnlyChanges, "customer"))
	if r.Facts.BatchAdvice != "" {
		to.Linef("  %s", r.Facts.BatchAdvice)
	}
	if r.Estimate == nil {
		return
	}
	reading := "that is the time to read the profiles"
	if r.Estimate.SegmentRequests > 0 {
		reading += fmt.Sprintf(", %s to Segment at %g a second", term.Count(r.Estimate.SegmentRequests, "request"), r.Estimate.PerSecond)
	}
	to.Linef("  %s\n  Voucherify tells its quota of bulk calls only with the first of them;\n  %s", reading, r.bulkTime())
}

// bulkTime says how much longer the bulk calls take with the smallest quota.
func (r *Plan) bulkTime() string {
	usable := slowestBulk - int(slowestBulk*r.Facts.Reserve)
	wait := func(calls int) time.Duration { return time.Duration(max(calls-1, 0)/max(usable, 1)) * time.Hour }
	all, changes := wait(r.BulkCalls.All), wait(r.BulkCalls.OnlyChanges)
	if all == 0 {
		return fmt.Sprintf("%d an hour would be enough", slowestBulk)
	}
	more := "nothing"
	if changes > 0 {
		more = term.Duration(changes)
	}
	return fmt.Sprintf("at %d an hour,\n  of which %.4g%% stay reserved, they add %s, with --only-changes %s", slowestBulk, r.Facts.Reserve*100, term.Duration(all), more)
}
