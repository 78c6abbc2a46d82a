package function

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"segsync/internal/term"
)

// quotas are those that Voucherify documents.
//
// https://docs.voucherify.io/guides/limits
var quotas = []struct {
	plan   string
	calls  int
	period time.Duration
	name   string
}{
	{"Sandbox project", 100, time.Hour, "API calls an hour"},
	{"Business", 100, time.Minute, "API calls a minute"},
	{"Business", 100_000, cycle, "API calls a cycle"},
	{"Organization", 2_000, time.Minute, "API calls a minute"},
	{"Organization", 300_000, cycle, "API calls a cycle"},
	{"Business", 144_000, 24 * time.Hour, "webhook calls a day *"},
	{"Organization", 288_000, 24 * time.Hour, "webhook calls a day *"},
}

const cycle = 30 * 24 * time.Hour

// Plan returns what a rate of identify events takes of Voucherify's quotas, for people.
func Plan(perSecond float64) string {
	in := func(period time.Duration) string { return term.Number(int64(math.Ceil(perSecond * period.Seconds()))) }
	var b strings.Builder
	events := "events"
	if perSecond == 1 {
		events = "event"
	}
	fmt.Fprintf(&b, "%s identify %s a second, one API call each:\n%s calls a minute, %s an hour, %s a cycle of 30 days\n\n",
		short(perSecond), events, in(time.Minute), in(time.Hour), in(cycle))
	fmt.Fprintf(&b, "  %-16s %-30s %s\n", "plan", "quota", "events")
	for _, q := range quotas {
		most, verdict := float64(q.calls)/q.period.Seconds(), "enough"
		if most < perSecond {
			verdict = short(100*most/perSecond) + " % of these"
		}
		fmt.Fprintf(&b, "  %-16s %-30s %s a second, %s\n", q.plan, term.Number(int64(q.calls))+" "+q.name, short(most), verdict)
	}
	b.WriteString(`
The shop and the nightly import use the same API calls: segsync check shows the
quota of your project. A refused event is tried again for four hours, so a short
peak is no loss.

* Voucherify's own destination in Segment takes webhook calls instead of API
  calls. It does not send the profiles from before it was added, address.line_2,
  and metadata that the project's schema does not define, and it does not delete
  customers. It has a mapping of its own.
`)
	return b.String()
}

func short(f float64) string { return strconv.FormatFloat(f, 'g', 2, 64) }
