package term

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

const (
	drawInterval = 200 * time.Millisecond
	minBar       = 10 // columns; optional parts of the line leave the bar as many
	maxBar       = 24
	barFrame     = 9 // columns around the bar and its description: " 42% ", spaces, and a last column kept free
)

// Progress draws how far an import is, on one line, until the returned function is called: that
// draws the last status, which stays. It does nothing where there is no bar. status must not use the
// Output.
func (o *Output) Progress(status func() Status) (stop func(last Status)) {
	if !o.HasBar() {
		return func(Status) {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var ticker sync.WaitGroup
	o.draw(status(), false)
	ticker.Go(func() {
		ticks := time.NewTicker(drawInterval)
		defer ticks.Stop()
		for {
			select {
			case <-ticks.C:
				o.draw(status(), false)
			case <-ctx.Done():
				return
			}
		}
	})
	return func(last Status) {
		cancel()
		ticker.Wait()
		o.draw(last, true)
	}
}

// draw draws the bar anew. The last one ends its line.
func (o *Output) draw(s Status, last bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	known := s.Percent >= 0
	if o.bar == nil || o.bar.known != known {
		o.bar = newBar(o, known)
	}
	text, width := layOutBar(s, max(Columns(o.stderr)-barFrame, 1), last)
	percent := s.Percent
	if !last {
		percent = min(percent, 99)
	}
	progressbar.OptionSetDescription(text)(o.bar.ProgressBar)
	progressbar.OptionSetWidth(width)(o.bar.ProgressBar)
	if known && percent != o.bar.percent {
		o.bar.Set(percent) // draws; at 100 it finishes
	} else if last || text != o.bar.text || width != o.bar.width {
		o.bar.Describe(text) // draws, too
	}
	o.bar.percent, o.bar.text, o.bar.width = percent, text, width
	if last {
		if !o.bar.IsFinished() {
			o.bar.Exit()
		}
		o.bar = nil
	}
}

// bar is a progress bar of percents, or a spinner where the total is not known. It has a line of
// the terminal for itself.
type bar struct {
	*progressbar.ProgressBar
	known   bool
	percent int // as drawn, like what follows
	text    string
	width   int
}

func newBar(o *Output, known bool) *bar {
	size := 100
	if !known {
		size = -1
	}
	return &bar{known: known, ProgressBar: progressbar.NewOptions(size,
		progressbar.OptionSetWriter(o.stderr),
		progressbar.OptionUseANSICodes(true),
		progressbar.OptionShowDescriptionAtLineEnd(),
		progressbar.OptionSetPredictTime(false), // it would estimate through waits
		progressbar.OptionSetElapsedTime(false),
		progressbar.OptionSetSpinnerChangeInterval(0), // with each draw, not by a goroutine of its own
		progressbar.OptionSpinnerType(14),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "█", SaucerPadding: "░"}),
		progressbar.OptionOnCompletion(func() { o.stderr.Write([]byte("\n")) }),
	)}
}

// layOutBar returns the description of a bar and the width of the bar, for so many columns. What is
// waited for, or else the count, always stands; the others where the bar has room enough left.
func layOutBar(s Status, columns int, last bool) (text string, width int) {
	parts := s.parts(last)
	text = cut(parts[0], columns)
	for _, part := range parts[1:] {
		longer := text + " · " + part
		if cellWidth(longer)+minBar > columns {
			break
		}
		text = longer
	}
	return text, min(columns-cellWidth(text), maxBar)
}

// parts are what the line of a bar says, the most important first.
func (s Status) parts(last bool) []string {
	var parts []string
	if len(s.Waits) > 0 && !last {
		var waits []string
		for _, w := range s.Waits {
			waits = append(waits, w.Short+w.end(s.Now))
		}
		parts = append(parts, "waiting: "+strings.Join(waits, "; "))
	}
	count := Number(s.Read) + " read"
	if s.Total > s.Read || s.Total == s.Read && s.Total > 0 && !s.Done {
		count = Number(s.Read) + " of " + Number(s.Total)
	}
	parts = append(parts, count)
	switch {
	case s.Done:
		parts = append(parts, "in "+Duration(s.Elapsed))
	case last:
		parts = append(parts, "stopped after "+Duration(s.Elapsed))
	case s.Left >= 0:
		parts = append(parts, Estimate(s.Left)+" left")
	}
	if s.Rate > 0 || s.Elapsed >= minRateWindow && len(s.Waits) == 0 && !last {
		parts = append(parts, perSecond(s.Rate))
	}
	for _, count := range []struct {
		n    int64
		name string
	}{{s.Rejected, "rejected"}, {s.Outstanding, "outstanding"}, {s.Confirmed, "confirmed"}} {
		if count.n > 0 {
			parts = append(parts, Number(count.n)+" "+count.name)
		}
	}
	return parts
}
