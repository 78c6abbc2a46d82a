package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"
)

const (
	barInterval       = 100 * time.Millisecond
	heartbeatInterval = time.Minute // of the lines where there is no bar, and of the metrics
)

// progress shows how far an import is: a bar on a terminal, else a line a minute.
type progress struct {
	*session
	began  time.Time
	before int // profiles read before this run of the import
	start  int // profiles read in this process before
	skip   int // profiles of the list before the --offset of the import

	mu    sync.Mutex
	total int       // 0: not known
	read  int       // profiles read since, when that was looked at last
	at    time.Time // when read rose last
}

// showProgress shows how far the importer is until the returned function is called.
func (s *session) showProgress(ctx context.Context) (stop func()) {
	p := &progress{session: s, began: time.Now(), before: s.importer.State().Counts.Read, start: s.importer.ProfilesRead()}
	if at, err := strconv.Atoi(s.importer.State().Position.Offset); err == nil {
		p.skip = max(at-p.before, 0)
	}
	ctx, cancel := context.WithCancel(ctx)
	var workers sync.WaitGroup
	if s.console.bar != nil {
		workers.Go(func() { every(ctx, barInterval, p.draw) })
	}
	workers.Go(func() { every(ctx, heartbeatInterval, p.beat) })
	if !s.noCount && s.total < 0 {
		workers.Go(func() { p.count(ctx) })
	}
	return func() {
		cancel()
		workers.Wait()
		if s.console.bar != nil {
			p.draw()
			s.console.endBar()
		}
	}
}

// every calls do at each interval until ctx ends.
func every(ctx context.Context, interval time.Duration, do func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			do()
		case <-ctx.Done():
			return
		}
	}
}

func (p *progress) profiles() int { return p.before + p.importer.ProfilesRead() - p.start }

// perSecond returns the rate up to the last profile that was read: afterwards the import
// waits for Voucherify.
func (p *progress) perSecond() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.importer.ProfilesRead() - p.start; n > p.read {
		p.read, p.at = n, time.Now()
	}
	return float64(p.read) / max(p.at.Sub(p.began).Seconds(), 0.1)
}

func (p *progress) draw() {
	p.console.drawBar(p.profiles(), fmt.Sprintf("Importing profiles: %d, %.0f/s", p.profiles(), p.perSecond()))
}

// beat logs a line of progress where there is no bar, and writes the metrics.
func (p *progress) beat() {
	if err := p.writeMetrics(nil); err != nil {
		p.log.Warn("the metrics could not be written", "error", err)
	}
	if p.console.bar != nil {
		return
	}
	perSecond := p.perSecond()
	attrs := []any{"profiles", p.profiles(), "per_second", round1(perSecond), "offset", p.offset(),
		"unconfirmed", p.importer.State().Unconfirmed(), "elapsed", time.Since(p.began).Round(time.Second).String()}
	p.mu.Lock()
	total := p.total
	p.mu.Unlock()
	if left := total - p.profiles(); left > 0 && perSecond > 0 {
		attrs = append(attrs, "total", total,
			"left", time.Duration(float64(left)/perSecond*float64(time.Second)).Round(time.Second).String())
	}
	p.log.Info("importing", attrs...)
}

// count finds out how many profiles there are, so that the time left can be shown.
func (p *progress) count(ctx context.Context) {
	total := p.importer.Count(ctx) - p.skip
	if total <= 0 {
		return
	}
	p.mu.Lock()
	p.total = total
	p.mu.Unlock()
	if p.console.bar != nil {
		p.console.setTotal(total)
	}
}

func round1(f float64) float64 { return float64(int(f*10+0.5)) / 10 }
