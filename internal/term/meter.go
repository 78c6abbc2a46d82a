package term

import (
	"sync"
	"time"
)

const (
	rateWindow    = 15 * time.Second // what the rate is measured over
	minRateWindow = time.Second      // less than this measures nothing
	minWait       = 2 * time.Second  // a wait that ends within this is not shown
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
	Short  string    // "quota", for the bar
	Detail string    // "10 calls an hour", "attempt 4"; may be empty
	Since  time.Time // when it began; zero: not known
	Until  time.Time // when it ends at the latest; zero: not known
}

// end says until when it is waited, or for how long so far.
func (w Wait) end(now time.Time) string {
	switch left := w.Until.Sub(now); {
	case w.Until.IsZero() && w.Since.IsZero():
		return ""
	case w.Until.IsZero():
		return ", " + Duration(now.Sub(w.Since)) + " so far"
	case left < time.Minute:
		return ", " + Duration((left + time.Second - 1).Truncate(time.Second)) + " left"
	case w.Until.Format(time.DateOnly) != now.Format(time.DateOnly):
		return " until " + w.Until.Format("2 Jan 15:04")
	}
	return " until " + w.Until.Format("15:04")
}

// Status is how far an import is at one moment. The bar, the log line and the metrics show it.
type Status struct {
	Numbers
	Now     time.Time
	Elapsed time.Duration // since the Meter was made, not since the import began
	Rate    float64       // profiles read per second: over the last 15 s, or over all of a finished run
	Percent int           // 0 to 100; -1: the total is not known
	Left    time.Duration // the time left; -1: not known, as during a wait
	Waits   []Wait        // nil: nothing is waited for
}

// Attrs returns the status as attributes of a log line.
func (s Status) Attrs() []any {
	attrs := []any{"read", s.Read, "per_second", float64(int(s.Rate*10+0.5)) / 10}
	if s.Total > 0 {
		attrs = append(attrs, "total", s.Total, "percent", s.Percent)
	}
	if s.Left >= 0 {
		attrs = append(attrs, "left", s.Left.Round(time.Second).String())
	}
	attrs = append(attrs, "confirmed", s.Confirmed, "sent", s.Sent, "rejected", s.Rejected, "vanished", s.Vanished,
		"warnings", s.Warnings, "outstanding", s.Outstanding, "elapsed", s.Elapsed.Round(time.Second).String())
	for _, w := range s.Waits {
		text := "waiting for " + w.What + w.end(s.Now)
		if w.Detail != "" {
			text += " (" + w.Detail + ")"
		}
		attrs = append(attrs, "waiting", text)
	}
	return attrs
}

// Meter makes a Status of the numbers that it observes. It is safe for concurrent use.
type Meter struct {
	mu      sync.Mutex
	began   time.Time
	base    int64 // read before the first observation
	samples []sample
}

type sample struct {
	at   time.Time
	read int64
}

// NewMeter returns a Meter of a run that begins now, with the numbers of earlier runs of
// the same import.
func NewMeter(now time.Time, before Numbers) *Meter {
	return &Meter{began: now, base: before.Read, samples: []sample{{now, before.Read}}}
}

// Observe takes the numbers of now, and what the import waits for, and returns how far it is.
func (m *Meter) Observe(now time.Time, n Numbers, waits ...Wait) Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := Status{Numbers: n, Now: now, Elapsed: now.Sub(m.began), Percent: -1, Left: -1}
	if n.Done {
		s.Total, s.Percent, s.Left = n.Read, 100, 0
		s.Rate = float64(n.Read-m.base) / max(s.Elapsed, minRateWindow).Seconds()
		return s
	}
	for _, w := range waits {
		if w.Until.IsZero() || w.Until.Sub(w.Since) > minWait {
			s.Waits = append(s.Waits, w)
		}
	}
	// The bar observes several times a second: one sample a second is enough.
	if k := len(m.samples); k == 0 || now.Sub(m.samples[k-1].at) >= time.Second {
		m.samples = append(m.samples, sample{now, n.Read})
	}
	for len(m.samples) > 1 && now.Sub(m.samples[1].at) >= rateWindow {
		m.samples = m.samples[1:]
	}
	first := m.samples[0]
	if window := now.Sub(first.at); window >= minRateWindow {
		s.Rate = max(float64(n.Read-first.read)/window.Seconds(), 0)
	}
	if len(s.Waits) > 0 {
		m.samples = nil // the rate during a wait says nothing about what comes after
	}
	if n.Total <= 0 {
		s.Total = 0
		return s
	}
	s.Percent = int(min(n.Read*100/n.Total, 99))
	// Once all is read, how long the rest takes depends on Voucherify.
	if left := n.Total - n.Read; left > 0 && s.Rate > 0 && len(s.Waits) == 0 {
		s.Left = time.Duration(float64(left) / s.Rate * float64(time.Second))
	}
	return s
}
