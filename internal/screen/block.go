package screen

import (
	"io"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
)

const (
	barMin     = 8  // columns; a narrower bar is left out
	barMax     = 24 // columns
	paceMin    = 20 // columns kept for the rate and the time left, or the bar would grow and shrink with them
	lineMax    = 100
	labelWidth = 11 // of "confirmed" and the gap behind it
)

// Head says what an import copies and where to. The texts must be printable.
type Head struct {
	From  string // "spa_4f…"
	To    string // "Voucherify eu, app 9c1…"
	Began time.Time
	Ended time.Time // zero while it runs
}

// Names returns what is copied, and where to.
func (h Head) Names() string { return h.From + "  →  " + h.To }

// piece is a part of a line: its text, and the same text as it is shown.
type piece struct {
	text  string
	style func(string) string // nil: as it is
}

func plain(text string) piece { return piece{text: text} }

func (p piece) show(width int) string {
	text := cut(p.text, width)
	if p.style == nil {
		return text
	}
	return p.style(text)
}

// block draws the lines of a progress, none of them wider than width columns. The last
// block of a run says how long it took instead of what is left.
//
// On a narrow terminal the start time is dropped first; then the bar, the rate and the
// time left go to a line of their own, and the counts are wrapped; then the bar is
// dropped; what is still too wide is cut.
func block(p Progress, head Head, style Style, width int, last bool) []string {
	width = min(width, lineMax)
	lines := []string{headLine(head, p.Now, style, width)}
	lines = append(lines, readLines(p, style, width, last)...)
	lines = append(lines, countLines(p, style, width)...)
	if !last {
		for _, wait := range p.Waits {
			var pieces []piece
			for _, part := range wait.parts(p.Now) {
				pieces = append(pieces, piece{part, style.Yellow})
			}
			lines = append(lines, wrap(pieces, 1, 3, " ", width)...)
		}
	}
	return lines
}

func headLine(head Head, now time.Time, style Style, width int) string {
	names, started := head.Names(), "started "+clock(head.Began, now)
	if gap := width - cellWidth(names) - cellWidth(started); gap >= 2 {
		return style.Bold(names) + strings.Repeat(" ", gap) + style.Dim(started)
	}
	return style.Bold(cut(names, width))
}

func readLines(p Progress, style Style, width int, last bool) []string {
	const gap = 3
	spaces := strings.Repeat(" ", gap)
	count := pad("read") + Number(p.Read)
	if p.Total >= p.Read && p.Total > 0 {
		count += " of " + Number(p.Total)
	}
	known, pace := []piece{plain(count)}, pacePieces(p, style, last)
	if p.Percent < 0 {
		return wrap(append(known, pace...), 1, labelWidth+1, spaces, width)
	}
	known = append(known, plain(Number(int64(p.Percent))+" %"))
	reserved := max(piecesWidth(pace, gap), paceMin)
	if free := width - 1 - piecesWidth(known, gap) - reserved - 2*gap; free >= barMin {
		known = append(known, plain(bar(p.Percent, min(free, barMax))))
		return wrap(append(known, pace...), 1, labelWidth+1, spaces, width)
	}
	lines := wrap(known, 1, labelWidth+1, spaces, width)
	if free := width - 1 - reserved - gap; free >= barMin {
		pace = append([]piece{plain(bar(p.Percent, min(free, barMax)))}, pace...)
	}
	return append(lines, wrap(pace, 1, 1, spaces, width)...)
}

// pacePieces are the rate, and the time left or taken.
func pacePieces(p Progress, style Style, last bool) []piece {
	var pace []piece
	if stalled := p.Elapsed >= rateMin && len(p.Waits) == 0 && !last; p.Rate > 0 || stalled {
		pace = append(pace, plain(perSecond(p.Rate)))
	}
	switch {
	case p.Done:
		pace = append(pace, piece{"in " + Duration(p.Elapsed), style.Green})
	case last:
		pace = append(pace, piece{"stopped after " + Duration(p.Elapsed), style.Yellow})
	case p.Left >= 0:
		pace = append(pace, plain(strings.TrimSuffix(Estimate(p.Left), "in")+" left"))
	}
	return pace
}

// countLines draws the counts that are not zero; while it runs, confirmed and sent are
// shown together.
func countLines(p Progress, style Style, width int) []string {
	var pieces []piece
	add := func(name string, n int64, show bool, style func(string) string) {
		if !show {
			return
		}
		text := name + " " + Number(n)
		if len(pieces) == 0 {
			text = pad(name) + Number(n)
		}
		pieces = append(pieces, piece{text, style})
	}
	add("confirmed", p.Confirmed, p.Confirmed+p.Sent > 0, nil)
	add("sent", p.Sent, p.Sent > 0 || p.Confirmed > 0 && !p.Done, nil)
	add("rejected", p.Rejected, p.Rejected > 0, style.Red)
	add("vanished", p.Vanished, p.Vanished > 0, nil)
	add("warnings", p.Warnings, p.Warnings > 0, style.Yellow)
	add("outstanding", p.Outstanding, p.Outstanding > 0, style.Red)
	return wrap(pieces, 1, labelWidth+1, "   ", width)
}

// wrap puts pieces into lines of at most width columns, with a gap between two pieces,
// and an indent of its own before the first line.
func wrap(pieces []piece, first, indent int, gap string, width int) []string {
	var lines []string
	var line strings.Builder
	used := 0
	for _, p := range pieces {
		w := cellWidth(p.text)
		if used > 0 && used+len(gap)+w > width {
			lines = append(lines, line.String())
			line.Reset()
			used = 0
		}
		if used > 0 {
			line.WriteString(gap)
			used += len(gap)
		} else {
			if len(lines) > 0 {
				first = indent
			}
			used = min(first, max(width-w, 0)) // rather less indent than less text
			line.WriteString(strings.Repeat(" ", used))
		}
		line.WriteString(p.show(width - used))
		used += min(w, width-used)
	}
	if used > 0 {
		lines = append(lines, line.String())
	}
	return lines
}

func piecesWidth(pieces []piece, gap int) int {
	width := 0
	for i, p := range pieces {
		if i > 0 {
			width += gap
		}
		width += cellWidth(p.text)
	}
	return width
}

func pad(label string) string {
	return label + strings.Repeat(" ", max(labelWidth-cellWidth(label), 1))
}

// bar draws so many percent of a bar of so many columns.
func bar(percent, width int) string {
	b := progressbar.NewOptions(100,
		progressbar.OptionSetWriter(io.Discard),
		progressbar.OptionSetWidth(width),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "█", SaucerPadding: "░"}),
	)
	b.RenderBlank() // or 0 % is not drawn
	b.Set(percent)
	_, drawn, _ := strings.Cut(b.String(), "% ") // before it: the percent, in a form that is not ours
	b.Finish()
	return strings.TrimSpace(drawn)
}
