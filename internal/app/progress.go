package app

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"segsync/importer/journal"
	"segsync/importer/outcome"
	"segsync/internal/httpretry"
	"segsync/internal/report"
	"segsync/internal/term"
	"segsync/voucherify"
)

const (
	heartbeatInterval = time.Minute // of the log lines where there is no bar, and of the metrics
	meterInterval     = time.Second
)

// showProgress shows how far the import is until the returned function is called, and writes the metrics.
func showProgress(ctx context.Context, r *result) (stop func(isDone bool)) {
	s := r.opened.State()
	total := r.extent.remaining(r.job) // of this import, with what it has read
	if limit := int64(s.Counts.Read() + r.limitLeft()); r.limit > 0 && (total == 0 || total > limit) {
		total = limit
	}
	before, start := s.Counts.Read(), r.shown()
	numbers := func() term.Numbers { return numbersOf(r.opened.State(), before+r.shown()-start, total) }
	meter := term.NewMeter(time.Now(), numbers())
	status := func() term.Status {
		return meter.Observe(time.Now(), numbers(), waitsOf(r.apis, r.opened.State())...)
	}
	var warned atomic.Bool
	beat := func() {
		if err := writeMetrics(r, nil); err != nil && !warned.Swap(true) {
			r.out.Log.Warn("the metrics could not be written", "error", err)
		}
	}
	beat()
	ctx, cancel := context.WithCancel(ctx)
	var workers sync.WaitGroup
	stopBar := func(term.Status) {}
	if r.dry == nil || term.Columns(r.dry.to) == 0 { // else the customers are on the same screen
		stopBar = r.out.Progress(status)
	}
	workers.Go(func() { every(ctx, meterInterval, func() { status() }) })
	workers.Go(func() {
		every(ctx, heartbeatInterval, func() {
			beat()
			if !r.out.HasBar() {
				r.out.Log.Info(r.options.doing(), append(status().Attrs(), "offset", r.opened.State().Position.String())...)
			}
		})
	})
	return func(isDone bool) {
		cancel()
		workers.Wait()
		s := r.opened.State()
		n := numbersOf(s, s.Counts.Read(), total) // what was read and is not saved will be read again
		n.Done = isDone && (s.Position.Done || r.limit > 0)
		stopBar(meter.Observe(time.Now(), n))
	}
}

func numbersOf(s *journal.State, read int, total int64) term.Numbers {
	return term.Numbers{
		Read: int64(read), Total: total, Confirmed: int64(s.Count(outcome.Confirmed)), Sent: int64(s.Count(outcome.Unconfirmed)),
		Rejected: int64(s.Count(outcome.Rejected)), Vanished: int64(s.Count(outcome.Vanished)),
		Warnings: int64(report.WarningCount(s)), Outstanding: int64(s.Outstanding.Count),
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

// waitsOf are what the import waits for at this moment.
func waitsOf(a *APIs, s *journal.State) []term.Wait {
	var all []term.Wait
	for _, t := range []*httpretry.Transport{a.ToSegment, a.ToVoucherify} {
		if w, waiting := t.Waiting(); waiting {
			all = append(all, waitOf(w))
		}
	}
	if n := s.Unconfirmed(); len(all) == 0 && s.Position.Done && n > 0 {
		all = append(all, term.Wait{What: "Voucherify to confirm " + term.Count(n, "customer"), Short: "confirming"})
	}
	return all
}

// waitOf words a wait of an API.
func waitOf(w httpretry.Wait) term.Wait {
	shown := term.Wait{Since: w.Since, Until: w.Until}
	switch w.Reason {
	case httpretry.WaitQuota:
		shown.What, shown.Short = w.API+"'s quota of calls", "quota"
		per := "a minute"
		if w.Quota == voucherify.BulkQuota {
			shown.What, shown.Short, per = w.API+"'s bulk quota", "bulk quota", "an hour"
		}
		if w.Limit > 0 {
			shown.Detail = term.Count(w.Limit, "call") + " " + per
		}
	case httpretry.WaitPause:
		shown.What, shown.Short = "the pause that "+w.API+" asks for", w.API+" paused"
	default:
		shown.What, shown.Short, shown.Detail = w.API+", which does not answer", w.API+" does not answer", fmt.Sprintf("attempt %d", w.Attempt)
	}
	return shown
}

// writeMetrics writes the file of --metrics-file. exitCode is nil while the import runs.
func writeMetrics(r *result, exitCode *int) error {
	if r.options.Report.MetricsFile == "" {
		return nil
	}
	now := time.Now()
	var m report.Metrics
	m.AddImport(r.opened.State(), now)
	m.AddRequests(r.apis.ToSegment.Stats(), r.apis.ToVoucherify.Stats())
	m.AddRun(r.began, now, exitCode)
	return saveMetrics(&m, r.options.Report.MetricsFile)
}

func saveMetrics(m *report.Metrics, path string) error {
	if err := journal.WriteFile(path, []byte(m.String()), 0o644); err != nil {
		return fmt.Errorf("--metrics-file: %w", err)
	}
	return nil
}
