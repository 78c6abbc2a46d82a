package screen

import (
	"strings"
	"sync"
	"time"
)

const (
	rateWindow = 15 * time.Second // what the rate is measured over
	rateMin    = time.Second      // less than this measures nothing
	shortWait  = 2 * time.Second  // a wait that ends within this is not shown
)

// Numbers are the counts of an import at one moment. A resumed import includes what its
// earlier runs counted.
type Numbers struct {
	Read        int64
	Total       int64 // profiles to read; 0 or less: not known
	Confirmed   int64
	Sent        int64 // accepted, neither confirmed nor rejected yet
	Rejected    int64
	Vanished    int64
	Warnings    int64
	Outstanding int64 // of this import and of earlier ones
	Done        bool  // the import is complete; nothing is read any more
}

// Wait is something an import waits for.
type Wait struct {
	What   string    // "Voucherify's bulk quota"
	Detail string    // "10 calls an hour", "attempt 4"; may be empty
	Since  time.Time // when it began
	Until  time.Time // when it ends at the latest; zero: not known
}

// Text says what is waited for, until when and since when.
func (w Wait) Text(now time.Time) string { return strings.Join(w.parts(now), " ") }

// parts are what Text is made of, the most important first.
func (w Wait) parts(now time.Time) []string {
	parts := []string{"waiting for " + w.What}
	if left := w.Until.Sub(now); w.Until.IsZero() {
		parts[0] += ","
		parts = append(parts, Duration(now.Sub(w.Since))+" so far")
	} else if left < time.Minute {
		parts[0] += ","
		parts = append(parts, Duration((left+time.Second-1).Truncate(time.Second))+" left")
	} else {
		parts = append(parts, "until "+clock(w.Until, now))
	}
	detail := w.Detail
	if now.Sub(w.Since) >= time.Minute {
		if detail != "" {
			detail += ", "
		}
		detail += "since " + clock(w.Since, now)
	}
	if detail != "" {
		parts = append(parts, "("+detail+")")
	}
	return parts
}

// Progress is how far an import is at one moment. The screen, the log line and the
// metrics all show this.
type Progress struct {
	Numbers
	Now     time.Time
	Elapsed time.Duration // since the Meter was made, not since the import began
	Rate    float64       // profiles read per second: over the last 15 s, or over all of a finished run
	Percent int           // 0 to 100; -1: the total is not known
	Left    time.Duration // the time left; -1: not known, as during a wait
	Waits   []Wait        // nil: nothing is waited for
}

// Attrs returns the progress as attributes of a log line.
func (p Progress) Attrs() []any {
	attrs := []any{"read", p.Read, "per_second", float64(int(p.Rate*10+0.5)) / 10}
	if p.Total > 0 {
		attrs = append(attrs, "total", p.Total, "percent", p.Percent)
	}
	if p.Left >= 0 {
		attrs = append(attrs, "left", p.Left.Round(time.Second).String())
	}
	attrs = append(attrs, "confirmed", p.Confirmed, "sent", p.Sent, "rejected", p.Rejected, "vanished", p.Vanished,
		"warnings", p.Warnings, "outstanding", p.Outstanding, "elapsed", p.Elapsed.Round(time.Second).String())
	for _, w := range p.Waits {
		attrs = append(attrs, "waiting", w.Text(p.Now))
	}
	return attrs
}

// Meter makes a Progress of the numbers that it observes. It is safe for concurrent use.
type Meter struct {
	mu      sync.Mutex
	began   time.Time
	base    int64 // read before the first observation
	samples []sample
	last    Numbers
	waits   []Wait
	ended   time.Time // when the import was complete; zero: not yet
}

type sample struct {
	at   time.Time
	read int64
}

// NewMeter returns a Meter of a run that begins now, with the numbers of earlier runs of
// the same import.
func NewMeter(now time.Time, before Numbers) *Meter {
	return &Meter{began: now, base: before.Read, last: before, samples: []sample{{now, before.Read}}}
}

// Observe takes the numbers of now, and what the import waits for. Once they are Done,
// the meter stays there.
func (m *Meter) Observe(now time.Time, n Numbers, waits ...Wait) {
	m.mu.Lock()
	defer m.mu.Unlock()
	waits = longWaits(waits)
	if len(m.waits) > 0 && len(waits) == 0 {
		m.samples = m.samples[:0] // the rate during a wait says nothing about what comes after
	}
	m.waits = waits
	if m.last.Done {
		n.Done, n.Read = true, max(n.Read, m.last.Read)
	}
	if n.Done {
		n.Total, m.waits = n.Read, nil
		if !m.last.Done {
			m.ended = now
		}
	}
	m.last = n
	// A caller may observe ten times a second or more: one sample a second is enough.
	if len(m.samples) == 0 || now.Sub(m.samples[len(m.samples)-1].at) >= time.Second {
		m.samples = append(m.samples, sample{now, n.Read})
	}
	for len(m.samples) > 1 && now.Sub(m.samples[1].at) >= rateWindow {
		m.samples = m.samples[1:]
	}
}

// Progress returns how far the import was at its last observation.
func (m *Meter) Progress(now time.Time) Progress {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := Progress{Numbers: m.last, Now: now, Elapsed: now.Sub(m.began), Percent: -1, Left: -1, Waits: m.waits}
	if p.Done {
		p.Elapsed = m.ended.Sub(m.began)
		p.Percent, p.Left = 100, 0
		p.Rate = float64(p.Read-m.base) / max(p.Elapsed, rateMin).Seconds()
		return p
	}
	p.Rate = m.rate(now)
	if p.Total <= 0 {
		p.Total = 0
		return p
	}
	p.Percent = int(min(p.Read*100/p.Total, 99))
	// Once all is read, how long the rest takes depends on Voucherify.
	if left := p.Total - p.Read; left > 0 && p.Rate > 0 && len(p.Waits) == 0 {
		p.Left = time.Duration(float64(left) / p.Rate * float64(time.Second))
	}
	return p
}

func (m *Meter) rate(now time.Time) float64 {
	if len(m.samples) == 0 {
		return 0
	}
	window := now.Sub(m.samples[0].at)
	if window < rateMin {
		return 0
	}
	return max(float64(m.last.Read-m.samples[0].read)/window.Seconds(), 0)
}

func longWaits(waits []Wait) []Wait {
	var long []Wait
	for _, w := range waits {
		if w.Until.IsZero() || w.Until.Sub(w.Since) > shortWait {
			long = append(long, w)
		}
	}
	return long
}
