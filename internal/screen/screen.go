// Package screen is what a person sees of an import: a live block of progress on a
// terminal, log lines above it, and the final table.
//
//	importer ─▶ Numbers, Waits ─▶ Meter ─▶ Progress ─┬─▶ Screen: the block, on a terminal
//	                                                 ├─▶ a log line a minute, elsewhere
//	                                                 └─▶ metrics
//	log ─▶ Handler ─▶ Screen.Write: lines above the block
//
// All text that is given to it must be printable already, except that of log records.
package screen

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	mostRedraws  = 10                     // in a second
	tickInterval = 110 * time.Millisecond // leaves a redraw a second for a line above the block
)

// Screen is a terminal: lines, and below them a live block while one is started. On
// anything else it only passes on what is written. It is safe for concurrent use.
type Screen struct {
	w     io.Writer
	size  func() (width, height int) // nil: not a terminal
	style Style

	mu        sync.Mutex
	live      bool // between Start and Stop
	suspended bool
	head      Head
	progress  Progress
	drawn     []string               // the lines of the block above the cursor
	drawnAt   [mostRedraws]time.Time // of the last redraws, in turn
	redraws   int
	width     int // of the terminal when it was last looked at

	cancel  context.CancelFunc
	tickers sync.WaitGroup
}

// New returns a Screen that writes to w. size tells the present size of the terminal, as
// Terminal returns it; nil means that w is not a terminal, and that no block is drawn.
func New(w io.Writer, size func() (width, height int), style Style) *Screen {
	return &Screen{w: w, size: size, style: style}
}

// Start shows the block until Stop, which must come before the next Start. It asks
// progress, which must not use the Screen, for each redraw.
func (s *Screen) Start(head Head, progress func() Progress) {
	if s.size == nil {
		return
	}
	first := progress()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live, s.head, s.progress = true, head, first
	s.width, _ = s.size()
	s.redraw(false)
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.tickers.Go(func() { s.tick(ctx, progress) })
}

func (s *Screen) tick(ctx context.Context, progress func() Progress) {
	ticker := time.NewTicker(tickInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		next := progress()
		s.mu.Lock()
		s.progress = next
		width, _ := s.size()
		// While a window is dragged its width changes at each look. The terminal may have
		// wrapped the lines of the block then, so the fewer redraws the better.
		if steady := width == s.width; steady {
			s.redraw(false)
		}
		s.width = width
		s.mu.Unlock()
	}
}

// Stop ends the block that Start began and waits for its goroutine. The last progress
// stays on the screen if keep is set, else the block is erased. Without a block Stop does
// nothing.
func (s *Screen) Stop(last Progress, keep bool) {
	s.mu.Lock()
	if !s.live {
		s.mu.Unlock()
		return
	}
	s.cancel()
	s.mu.Unlock()
	s.tickers.Wait()

	s.mu.Lock()
	defer s.mu.Unlock()
	s.suspended = false
	s.progress = last
	if keep {
		s.redraw(true)
	} else {
		s.write(s.erasing())
	}
	s.live, s.drawn = false, nil
}

// Suspend takes the block away, so that a question can be asked, until Resume.
func (s *Screen) Suspend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write(s.erasing())
	s.suspended = true
}

// Resume shows the block again.
func (s *Screen) Resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.suspended = false
	s.redraw(false)
}

// Write writes whole lines above the block.
func (s *Screen) Write(lines []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.live || s.suspended {
		return s.w.Write(lines)
	}
	text := s.erasing() + string(lines)
	if !bytes.HasSuffix(lines, []byte("\n")) {
		text += "\n"
	}
	if err := s.write(text); err != nil {
		return 0, err
	}
	s.redraw(false)
	return len(lines), nil
}

// redraw draws the block if it has changed, unless it was drawn ten times within a second.
// The last block of a run is always drawn.
func (s *Screen) redraw(last bool) {
	tenth := &s.drawnAt[s.redraws%mostRedraws]
	if !s.live || s.suspended || (!last && time.Since(*tenth) < time.Second) {
		return
	}
	width, height := s.size()
	// The last column stays free: what a terminal does after it has been written differs.
	lines := fit(block(s.progress, s.head, s.style, width-1, last), height-1)
	if slices.Equal(lines, s.drawn) {
		return
	}
	s.write(s.erasing() + strings.Join(lines, "\n") + "\n")
	s.drawn, *tenth = lines, time.Now()
	s.redraws++
}

// erasing returns what erases the block, which is then no longer drawn. The cursor goes up
// as many lines as were drawn, even if a narrower terminal has wrapped them into more:
// a rest of the block may stay on the screen, but no line of the log is lost.
func (s *Screen) erasing() string {
	n := len(s.drawn)
	s.drawn = nil
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("\r\x1b[%dA\x1b[J", n)
}

func (s *Screen) write(text string) error {
	if text == "" {
		return nil
	}
	_, err := io.WriteString(s.w, text)
	return err
}

// fit drops lines of a block that is higher than the terminal: the head first, then from
// below.
func fit(lines []string, height int) []string {
	if len(lines) > height {
		lines = lines[1:]
	}
	return lines[:min(len(lines), max(height, 1))]
}
