package screen

import (
	"fmt"
	"strconv"
	"time"

	"github.com/rivo/uniseg"
)

// Number returns n with its thousands separated: 126,400.
func Number(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// Duration returns a measured time in its two largest units at most: 41 s, 12 min,
// 1 h 40 min, 3 d 4 h.
func Duration(d time.Duration) string {
	two := func(large time.Duration, one string, small time.Duration, other string) string {
		text := fmt.Sprintf("%d %s", d/large, one)
		if rest := d % large / small; rest > 0 {
			text += fmt.Sprintf(" %d %s", rest, other)
		}
		return text
	}
	const day = 24 * time.Hour
	switch {
	case d < time.Second:
		return "< 1 s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < day:
		return two(time.Hour, "h", time.Minute, "min")
	default:
		return two(day, "d", time.Hour, "h")
	}
}

// Estimate returns an expected time, which is never more exact than a minute: < 1 min,
// 58 min, 1 h 40 min.
func Estimate(d time.Duration) string {
	if d < time.Minute {
		return "< 1 min"
	}
	return Duration(d + time.Minute/2)
}

// clock returns when t is, with the date unless it is today's.
func clock(t, now time.Time) string {
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format("15:04")
	}
	return t.Format("2 Jan 15:04")
}

// perSecond returns a rate: 50/s, 4.2/s.
func perSecond(rate float64) string {
	if rate >= 10 || rate == 0 {
		return Number(int64(rate+0.5)) + "/s"
	}
	return fmt.Sprintf("%.1f/s", rate)
}

// cellWidth returns how many columns of a terminal s takes. It knows no escape sequences.
func cellWidth(s string) int { return uniseg.StringWidth(s) }

// cut shortens s to so many columns.
func cut(s string, width int) string {
	switch {
	case cellWidth(s) <= width:
		return s
	case width <= 0:
		return ""
	default:
		return takeWidth(s, width-1) + "…"
	}
}

// takeWidth returns as much of the beginning of s as fits into so many columns.
func takeWidth(s string, width int) string {
	used, end := 0, 0
	for clusters := uniseg.NewGraphemes(s); clusters.Next(); {
		if used += clusters.Width(); used > width {
			break
		}
		_, end = clusters.Positions()
	}
	return s[:end]
}
