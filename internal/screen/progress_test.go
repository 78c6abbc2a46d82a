package screen_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"segsync/internal/screen"
)

var began = time.Date(2026, 11, 21, 1, 30, 0, 0, time.UTC)

func after(seconds float64) time.Time {
	return began.Add(time.Duration(seconds * float64(time.Second)))
}

// readAt observes a meter once a second while perSecond profiles are read in each.
func readAt(m *screen.Meter, n screen.Numbers, perSecond int64, from, to int) screen.Numbers {
	for second := from; second <= to; second++ {
		m.Observe(after(float64(second)), n)
		n.Read += perSecond
	}
	n.Read -= perSecond
	return n
}

func TestProgressOfAnImport(t *testing.T) {
	m := screen.NewMeter(began, screen.Numbers{})
	n := readAt(m, screen.Numbers{Total: 3000}, 50, 0, 20)

	want := screen.Progress{Numbers: screen.Numbers{Read: 1000, Total: 3000}, Now: after(20), Elapsed: 20 * time.Second,
		Rate: 50, Percent: 33, Left: 40 * time.Second}
	if diff := cmp.Diff(want, m.Progress(after(20))); diff != "" {
		t.Error("in the middle:", diff)
	}

	n.Read, n.Done = 2999, true // a profile went away
	m.Observe(after(60), n)
	want = screen.Progress{Numbers: screen.Numbers{Read: 2999, Total: 2999, Done: true}, Now: after(65), Elapsed: time.Minute,
		Rate: 2999. / 60, Percent: 100}
	if diff := cmp.Diff(want, m.Progress(after(65))); diff != "" {
		t.Error("at the end:", diff)
	}

	n.Done, n.Read, n.Total = false, 2000, 9000 // numbers that were looked at before the end
	m.Observe(after(66), n)
	if diff := cmp.Diff(want, m.Progress(after(65))); diff != "" {
		t.Error("after the end:", diff)
	}
}

func TestTheRateIsThatOfTheLast15Seconds(t *testing.T) {
	m := screen.NewMeter(began, screen.Numbers{})
	n := readAt(m, screen.Numbers{Total: 100_000}, 100, 0, 60)
	readAt(m, n, 10, 60, 90)
	if p := m.Progress(after(90)); p.Rate != 10 {
		t.Errorf("rate %v, want 10", p.Rate)
	}
}

func TestAResumedImportCountsWhatWasReadBefore(t *testing.T) {
	m := screen.NewMeter(began, screen.Numbers{Read: 8000, Total: 12_000})
	if p := m.Progress(began); p.Percent != 66 || p.Rate != 0 || p.Left != -1 {
		t.Errorf("at its start: %d %%, %v/s, %v left; want 66 %%, no rate, unknown", p.Percent, p.Rate, p.Left)
	}
	n := readAt(m, screen.Numbers{Read: 8000, Total: 12_000}, 100, 0, 10)
	if p := m.Progress(after(10)); p.Percent != 75 || p.Rate != 100 || p.Left != 30*time.Second {
		t.Errorf("after 10 s: %d %%, %v/s, %v left; want 75 %%, 100/s, 30s", p.Percent, p.Rate, p.Left)
	}
	n.Read, n.Done = 12_000, true
	m.Observe(after(40), n)
	if p := m.Progress(after(40)); p.Percent != 100 || p.Rate != 100 {
		t.Errorf("at its end: %d %%, %v/s; want 100 %%, 100/s", p.Percent, p.Rate)
	}
}

func TestPercentAndTimeLeft(t *testing.T) {
	tests := map[string]struct {
		numbers screen.Numbers
		percent int
		left    time.Duration
	}{
		"unknown total":             {screen.Numbers{Read: 500}, -1, -1},
		"unknown total as -1":       {screen.Numbers{Read: 500, Total: -1}, -1, -1},
		"unknown total, done":       {screen.Numbers{Read: 500, Done: true}, 100, 0},
		"nothing to read, done":     {screen.Numbers{Done: true}, 100, 0},
		"nothing read: no ∞":        {screen.Numbers{Total: 500}, 0, -1},
		"all read, not done":        {screen.Numbers{Read: 500, Total: 500}, 99, -1},
		"more read than there were": {screen.Numbers{Read: 600, Total: 500}, 99, -1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := screen.NewMeter(began, screen.Numbers{})
			m.Observe(after(10), test.numbers)
			if p := m.Progress(after(10)); p.Percent != test.percent || p.Left != test.left {
				t.Errorf("%d %%, %v left; want %d %%, %v", p.Percent, p.Left, test.percent, test.left)
			}
		})
	}
}

func TestAWaitHasNoTimeLeft(t *testing.T) {
	m := screen.NewMeter(began, screen.Numbers{})
	n := readAt(m, screen.Numbers{Total: 10_000}, 100, 0, 20)
	quota := screen.Wait{What: "Voucherify's bulk quota", Since: after(20), Until: after(1800)}
	m.Observe(after(25), n, quota)
	if p := m.Progress(after(25)); p.Left != -1 || !cmp.Equal(p.Waits, []screen.Wait{quota}) {
		t.Errorf("during the wait: %v left, waits %v", p.Left, p.Waits)
	}

	// What was not read during the wait does not slow down the rate after it.
	for second := 26; second < 1800; second++ {
		m.Observe(after(float64(second)), n, quota)
	}
	readAt(m, n, 100, 1800, 1803)
	if p := m.Progress(after(1803)); p.Rate != 100 || p.Left != 77*time.Second || p.Waits != nil {
		t.Errorf("after the wait: %v/s, %v left, waits %v; want 100/s, 1m17s, none", p.Rate, p.Left, p.Waits)
	}
}

func TestShortWaitsAreNotShown(t *testing.T) {
	m := screen.NewMeter(began, screen.Numbers{})
	n := readAt(m, screen.Numbers{Total: 10_000}, 100, 0, 20)
	m.Observe(after(20), n, screen.Wait{What: "Segment", Since: after(20), Until: after(21)})
	if p := m.Progress(after(20)); p.Waits != nil || p.Left != 80*time.Second {
		t.Errorf("waits %v, %v left; want none, 1m20s", p.Waits, p.Left)
	}
}

func TestTextOfAWait(t *testing.T) {
	tests := map[string]struct {
		wait screen.Wait
		want string
	}{
		"long":         {screen.Wait{"the bulk quota", "10 calls an hour", after(-60), after(1800)}, "waiting for the bulk quota until 02:00 (10 calls an hour, since 01:29)"},
		"no detail":    {screen.Wait{What: "the bulk quota", Since: began, Until: after(1800)}, "waiting for the bulk quota until 02:00"},
		"to tomorrow":  {screen.Wait{What: "the bulk quota", Since: began, Until: after(86_400)}, "waiting for the bulk quota until 22 Nov 01:30"},
		"seconds":      {screen.Wait{"Segment", "no answer, attempt 4", began, after(7.5)}, "waiting for Segment, 8 s left (no answer, attempt 4)"},
		"over already": {screen.Wait{What: "Segment", Since: began, Until: after(-3)}, "waiting for Segment, < 1 s left"},
		"no end":       {screen.Wait{What: "Segment", Since: after(-30)}, "waiting for Segment, 30 s so far"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := test.wait.Text(began); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestProgressAsAttributesOfALogLine(t *testing.T) {
	m := screen.NewMeter(began, screen.Numbers{})
	n := readAt(m, screen.Numbers{Total: 3000, Confirmed: 400, Warnings: 2}, 50, 0, 20)
	m.Observe(after(20), n)
	want := []any{"read", int64(1000), "per_second", 50., "total", int64(3000), "percent", 33, "left", "40s",
		"confirmed", int64(400), "sent", int64(0), "rejected", int64(0), "vanished", int64(0),
		"warnings", int64(2), "outstanding", int64(0), "elapsed", "20s"}
	if diff := cmp.Diff(want, m.Progress(after(20)).Attrs()); diff != "" {
		t.Error(diff)
	}

	m = screen.NewMeter(began, screen.Numbers{})
	m.Observe(after(10), screen.Numbers{Read: 5}, screen.Wait{What: "Segment", Since: began})
	want = []any{"read", int64(5), "per_second", .5, "confirmed", int64(0), "sent", int64(0), "rejected", int64(0),
		"vanished", int64(0), "warnings", int64(0), "outstanding", int64(0), "elapsed", "10s", "waiting", "waiting for Segment, 10 s so far"}
	if diff := cmp.Diff(want, m.Progress(after(10)).Attrs()); diff != "" {
		t.Error(diff)
	}
}
