package main

import (
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"segsync/importer"
)

// console is stderr: lines, and below them a progress bar if it is a terminal. A line
// takes the place of the bar, which is drawn again at its next change.
type console struct {
	mu  sync.Mutex
	w   io.Writer
	bar *progressbar.ProgressBar // nil without a bar

	drawn bool // the bar is in the last line
}

const (
	barInterval  = 100 * time.Millisecond
	lineInterval = 10 * time.Second // between lines of progress where there is no bar
)

// newConsole returns a console that writes to w; total is the number of profiles, or
// -1 if it is not known.
func newConsole(w io.Writer, bar bool, total int64) *console {
	c := &console{w: w}
	if bar {
		c.bar = progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(w),
			progressbar.OptionSetDescription("Importing profiles"),
			progressbar.OptionSetWidth(20),
			progressbar.OptionShowCount(),
			progressbar.OptionShowIts(),
			progressbar.OptionSetItsString("profiles"),
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

// showProgress shows how far the importer is until the returned function is called.
func (c *console) showProgress(im *importer.Importer, log *slog.Logger) (stop func()) {
	interval := lineInterval
	if c.bar != nil {
		interval = barInterval
	}
	began, before := time.Now(), im.ProfilesRead()
	show := func() {
		if c.bar != nil {
			c.drawBar(im.ProfilesRead())
			return
		}
		n := im.ProfilesRead()
		perSecond := float64(n-before) / time.Since(began).Seconds()
		log.Info("importing", "profiles", n, "per_second", round1(perSecond), "elapsed", time.Since(began).Round(time.Second).String())
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				show()
			case <-quit:
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-done
		c.endBar(im.ProfilesRead())
	}
}

func (c *console) drawBar(profiles int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bar.Set(profiles)
	c.drawn = true
}

// endBar leaves the bar as it is, on a line of its own.
func (c *console) endBar(profiles int) {
	if c.bar == nil {
		return
	}
	c.drawBar(profiles)
	c.mu.Lock()
	defer c.mu.Unlock()
	io.WriteString(c.w, "\n")
	c.drawn = false
}

func round1(f float64) float64 { return float64(int(f*10+0.5)) / 10 }
