package term_test

import (
	"strings"
	"testing"
	"time"

	"segsync/internal/term"
)

func TestNumbers(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 3000: "3,000", 126400: "126,400", -1234567: "-1,234,567", -100: "-100"} {
		if got := term.Number(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 calls", 1: "1 call", 3000: "3,000 calls"} {
		if got := term.Count(n, "call"); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}

func TestDurations(t *testing.T) {
	for d, want := range map[time.Duration][2]string{
		300 * time.Millisecond: {"< 1 s", "< 1 min"}, 41 * time.Second: {"41 s", "< 1 min"}, 12*time.Minute + 40*time.Second: {"12 min", "13 min"},
		100 * time.Minute: {"1 h 40 min", "1 h 40 min"}, 2 * time.Hour: {"2 h", "2 h"}, 76 * time.Hour: {"3 d 4 h", "3 d 4 h"},
	} {
		if got := [2]string{term.Duration(d), term.Estimate(d)}; got != want {
			t.Errorf("%s: got %q, want %q", d, got, want)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		text          string
		indent, width int
		want          string
	}{
		{"a text that is too long", 2, 10, "a text|  that is|  too long"},
		{"a text that is too long", 2, 0, "a text that is too long"},
		{"    in /srv/segsync/warnings.csv", 4, 12, "    in|    /srv/segsync/warnings.csv"},
		{"/srv/segsync/warnings.csv", 4, 12, "/srv/segsync/warnings.csv"},
		{"", 2, 10, ""},
		{"run segsync import --dir 'my shop' -q --limit 5, then look", 2, 16, "run|  segsync import --dir 'my shop' -q --limit 5,|  then look"},
		{"segsync delete --from - --dir x", 2, 16, "segsync delete --from - --dir x"},
		{`segsync import --from 'it'\''s mine.csv' -q`, 2, 16, `segsync import --from 'it'\''s mine.csv' -q`},
	} {
		if got := strings.Join(term.Wrap(c.text, c.indent, c.width), "|"); got != c.want {
			t.Errorf("%q at %d: got %q, want %q", c.text, c.width, got, c.want)
		}
	}
}

func TestMeter(t *testing.T) {
	began := time.Date(2026, 11, 21, 1, 30, 0, 0, time.UTC)
	after := func(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }
	m := term.NewMeter(began, term.Numbers{Read: 100})
	var s term.Status
	for second := range 31 { // 50 a second
		s = m.Observe(after(second), term.Numbers{Read: int64(100 + 50*second), Total: 10_000})
	}
	if s.Rate != 50 || s.Percent != 16 || s.Left != 168*time.Second {
		t.Errorf("rate %g, %d %%, %s left", s.Rate, s.Percent, s.Left)
	}
	quota := term.Wait{What: "the quota", Since: after(31), Until: after(3631)}
	short := term.Wait{What: "a moment", Since: after(31), Until: after(32)}
	if s = m.Observe(after(40), term.Numbers{Read: 1600, Total: 10_000}, quota, short); s.Left >= 0 || len(s.Waits) != 1 {
		t.Errorf("while it waits, %s are left, and it waits for %v", s.Left, s.Waits)
	}
	m.Observe(after(3640), term.Numbers{Read: 1600, Total: 10_000})
	if s = m.Observe(after(3650), term.Numbers{Read: 2100, Total: 10_000}); s.Rate != 50 {
		t.Errorf("after a wait the rate is %g", s.Rate)
	}
	if s = m.Observe(after(3700), term.Numbers{Read: 2200}); s.Percent >= 0 || s.Left >= 0 {
		t.Errorf("without a total there are %d %% and %s left", s.Percent, s.Left)
	}
	if s = m.Observe(after(4000), term.Numbers{Read: 10_100, Done: true}); s.Percent != 100 || s.Total != 10_100 || s.Rate != 2.5 {
		t.Errorf("at the end: %+v", s)
	}
}
