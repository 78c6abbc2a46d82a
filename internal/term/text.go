package term

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rivo/uniseg"
)

// Number returns n with its thousands separated: 126,400.
func Number[T int | int64](n T) string {
	digits := strconv.FormatInt(int64(n), 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// Count returns a number of things: 1 bulk call, 3,000 bulk calls.
func Count[T int | int64](n T, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return Number(n) + " " + thing
}

// Duration returns a measured time in its two largest units at most: 41 s, 12 min,
// 1 h 40 min, 3 d 4 h.
func Duration(d time.Duration) string {
	const day = 24 * time.Hour
	two := func(large time.Duration, one string, small time.Duration, other string) string {
		text := fmt.Sprintf("%d %s", d/large, one)
		if rest := d % large / small; rest > 0 {
			text += fmt.Sprintf(" %d %s", rest, other)
		}
		return text
	}
	switch {
	case d < time.Second:
		return "< 1 s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < day:
		return two(time.Hour, "h", time.Minute, "min")
	}
	return two(day, "d", time.Hour, "h")
}

// Estimate returns an expected time, which is never more exact than a minute: < 1 min,
// 58 min, 1 h 40 min.
func Estimate(d time.Duration) string {
	if d < time.Minute {
		return "< 1 min"
	}
	return Duration(d + time.Minute/2)
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
	if cellWidth(s) <= width {
		return s
	}
	used, end := 0, 0
	for clusters := uniseg.NewGraphemes(s); clusters.Next(); {
		if used += clusters.Width(); used >= width {
			break
		}
		_, end = clusters.Positions()
	}
	return s[:end] + "…"
}

// command matches a command to copy, with its flags. What follows its last flag may be that flag's value.
var command = regexp.MustCompile(`\bsegsync [a-z]+( -[-a-z]*([ =]('[^']*'|\\'|[^' -][^' ]*)+)?)*`)

// Wrap breaks a text of one line, between its words, into lines of at most width columns. The lines
// after the first begin with so many spaces. A command to copy, and a word that is wider than a line,
// such as a path, stay whole. A width of 0 is any.
func Wrap(text string, indent, width int) []string {
	const kept = "\x00" // a space that is not broken at
	var lines []string
	text = command.ReplaceAllStringFunc(text, func(s string) string { return strings.ReplaceAll(s, " ", kept) })
	words := strings.Split(text, " ") // an empty one is a further space
	line, hasWord := "", false
	for i, word := range words {
		word = strings.ReplaceAll(word, kept, " ")
		if hasWord && word != "" && width > 0 && cellWidth(line)+1+cellWidth(word) > width {
			lines, line, hasWord = append(lines, strings.TrimRight(line, " ")), strings.Repeat(" ", indent)+word, true
			continue
		}
		if i > 0 {
			line += " "
		}
		line, hasWord = line+word, hasWord || word != ""
	}
	return append(lines, line)
}
