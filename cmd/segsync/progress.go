package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"segsync/importer/journal"
	"segsync/internal/httpretry"
	"segsync/internal/screen"
)

const (
	heartbeatInterval = time.Minute // of the lines where there is no block, and of the metrics
	feedInterval      = time.Second // of the meter where there is no block
)

// progress measures how far an import is: for the screen, the log line and the metrics.
type progress struct {
	session *session
	meter   *screen.Meter
	before  int // profiles read before this run of the import
	start   int // profiles read in this process before
	total   atomic.Int64
}

// showProgress shows how far the import is until the returned function is called.
func (s *session) showProgress(ctx context.Context) (stop func(finished bool)) {
	state := s.importer.State()
	p := &progress{session: s, before: state.Counts.Read, start: s.importer.ProfilesRead()}
	skip := s.skipped()
	p.total.Store(max(s.total()-skip, 0))
	if most := int64(p.before + s.importer.LimitLeft()); s.extent.limit > 0 && (p.total.Load() == 0 || p.total.Load() > most) {
		p.total.Store(most)
	}
	p.meter = screen.NewMeter(time.Now(), p.numbers())
	ctx, cancel := context.WithCancel(ctx)
	var workers sync.WaitGroup
	if s.tell.live {
		s.tell.screen.Start(s.head(), func() screen.Progress { return p.observe() })
	}
	workers.Go(func() { every(ctx, feedInterval, func() { p.observe() }) })
	workers.Go(func() { every(ctx, heartbeatInterval, p.beat) })
	return func(finished bool) {
		cancel()
		workers.Wait()
		if s.tell.live {
			s.tell.screen.Stop(p.last(finished), true)
		}
	}
}

// skipped returns how many profiles of the list are before the --offset of the import.
func (s *session) skipped() int64 {
	state := s.importer.State()
	at, err := strconv.Atoi(state.Position.Offset)
	if err != nil {
		return 0
	}
	return int64(max(at-state.Counts.Read, 0))
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

// head names what the import is from and to.
func (s *session) head() screen.Head {
	return screen.Head{From: s.source(), To: s.target(), Began: s.importer.State().Started.Local()}
}

// source names where the profiles come from.
func (s *session) source() string {
	if s.run.settings.sandbox && s.run.settings.fromAPI() {
		return "sandbox"
	}
	if !s.run.settings.fromAPI() {
		return s.run.settings.source()
	}
	return "Segment space " + shorten(s.apis.settings.spaceID, 12)
}

// target names the project that the customers go to.
func (s *session) target() string {
	switch host := s.apis.settings.voucherifyURL.Host; {
	case s.dry.run:
		return "a dry run"
	case s.run.settings.sandbox:
		return "sandbox"
	case host == "api.voucherify.io":
		return "Voucherify eu, app " + shorten(s.apis.settings.appID, 3)
	default:
		return "Voucherify " + strings.TrimSuffix(host, ".api.voucherify.io") + ", app " + shorten(s.apis.settings.appID, 3)
	}
}

// shorten returns the beginning of an id, enough for a person to know it by.
func shorten(id string, n int) string {
	if len(id) <= n {
		return id
	}
	return id[:n] + "…"
}

// numbers are the counts at this moment.
func (p *progress) numbers() screen.Numbers {
	state := p.session.importer.State()
	return screen.Numbers{
		Read:        int64(p.before + p.session.importer.ProfilesRead() - p.start),
		Total:       p.total.Load(),
		Confirmed:   int64(state.Count(journal.Confirmed)),
		Sent:        int64(state.Count(journal.Unconfirmed)),
		Rejected:    int64(state.Count(journal.Rejected)),
		Vanished:    int64(state.Count(journal.Vanished)),
		Warnings:    int64(warningCount(state)),
		Outstanding: int64(state.Outstanding.Count),
	}
}

func (p *progress) observe() screen.Progress {
	now := time.Now()
	p.meter.Observe(now, p.numbers(), p.session.waits()...)
	return p.meter.Progress(now)
}

// last returns the progress with which a run ends. Profiles that were read, and are to be read
// again because their page is not complete, no longer count: the summary lacks them, too.
func (p *progress) last(finished bool) screen.Progress {
	now, n := time.Now(), p.numbers()
	n.Read, n.Done = int64(p.session.importer.State().Counts.Read), finished
	p.meter.Observe(now, n)
	return p.meter.Progress(now)
}

// waits are what the import waits for at this moment.
func (s *session) waits() []screen.Wait {
	var all []screen.Wait
	for _, t := range []*httpretry.Transport{s.apis.toSegment, s.apis.toVoucherify} {
		if w, waiting := t.Waiting(); waiting {
			all = append(all, waitOf(w))
		}
	}
	return all
}

// waitOf words a wait of an API.
func waitOf(w httpretry.Wait) screen.Wait {
	shown := screen.Wait{Since: w.Since, Until: w.Until}
	switch w.Reason {
	case httpretry.WaitQuota:
		shown.What = w.API + "'s quota of calls"
		per := "a minute"
		if w.Quota == bulkQuota {
			shown.What, per = w.API+"'s bulk quota", "an hour"
		}
		if w.Limit > 0 {
			shown.Detail = fmt.Sprintf("%d calls %s", w.Limit, per)
		}
	case httpretry.WaitPause:
		shown.What = "the pause that " + w.API + " asks for"
	default:
		shown.What, shown.Detail = w.API+", which does not answer", fmt.Sprintf("attempt %d", w.Attempt)
	}
	return shown
}

// beat logs a line of progress where there is no block, and writes the metrics.
func (p *progress) beat() {
	if err := p.session.writeMetrics(nil); err != nil {
		p.session.tell.log.Warn("the metrics could not be written", "error", err)
	}
	if p.session.tell.live {
		return
	}
	p.session.tell.log.Info(p.session.doing(), append(p.observe().Attrs(), "offset", p.session.offset())...)
}

func round1(f float64) float64 { return float64(int(f*10+0.5)) / 10 }
