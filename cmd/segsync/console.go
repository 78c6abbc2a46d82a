package main

import (
	"io"
	"sync"

	"github.com/schollz/progressbar/v3"
)

// console is stderr: lines, and below them a progress bar if it is a terminal. A line
// takes the place of the bar, which is drawn again at its next change.
type console struct {
	mu  sync.Mutex
	w   io.Writer
	bar *progressbar.ProgressBar // nil without a bar

	drawn bool // the bar is in the last line
}

// newConsole returns a console that writes to w.
func newConsole(w io.Writer, bar bool) *console {
	c := &console{w: w}
	if bar {
		c.bar = progressbar.NewOptions64(-1,
			progressbar.OptionSetWriter(w),
			progressbar.OptionSetWidth(20),
			progressbar.OptionSetElapsedTime(true),
			progressbar.OptionSetSpinnerChangeInterval(0), // or it starts a goroutine of its own
		)
	}
	return c
}

// Write writes whole lines.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drawn {
		c.bar.Clear()
		c.drawn = false
	}
	return c.w.Write(p)
}

// drawBar draws the bar, with a text before it.
func (c *console) drawBar(profiles int, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bar.Describe(text)
	c.bar.Set(profiles)
	c.drawn = true
}

// setTotal makes the bar one of so many profiles.
func (c *console) setTotal(profiles int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bar.ChangeMax(profiles)
}

// endBar leaves the bar as it is, on a line of its own.
func (c *console) endBar() {
	c.mu.Lock()
	defer c.mu.Unlock()
	io.WriteString(c.w, "\n")
	c.drawn = false
}
