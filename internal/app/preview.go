package app

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"segsync/importer/outcome"
	"segsync/importer/source/profileapi"
	"segsync/internal/report"
	"segsync/internal/settings"
	"segsync/internal/term"
)

// extent is how much there is to import, as far as that is known.
type extent struct {
	total    int64 // profiles that there are, or -1
	counting int64 // requests that counting them took
}

// announce says what is about to be done and, where a person looks, how long it takes and what cannot be
// changed later. It gives time to stop it before anything is written.
func announce(i *interrupts, b *job, o *ImportOptions) *extent {
	s, log := b.opened.State(), b.out.Log
	isNew := !b.opened.isContinued
	if o.Send.DryRun {
		log.Info("dry run: nothing is sent to Voucherify")
	}
	if b.apis.IsSandbox && b.input.isAPI() {
		log.Info("importing from the embedded sandbox", "dir", o.Dir)
	}
	if !b.out.IsTerminal() {
		log.Info(o.what()+" begins", "space", s.Identity.Space, "identifier", s.Identity.Identifier, "dir", o.Dir)
	}
	if n := s.Counts.Read(); n > 0 {
		log.Info("continuing the import in this directory", "offset", s.Position.String(), "profiles", n, "unconfirmed", s.Unconfirmed())
	}
	e := knownExtent(b)
	isShown := b.out.IsTerminal() && !b.out.IsQuiet() && !o.Send.DryRun
	if isShown || b.limit > 0 {
		e.count(i.ctx, b)
	}
	if isShown && isNew && o.what() == "import" {
		showPreview(i, b, e)
	}
	return e
}

// knownExtent returns what is known without a request.
func knownExtent(b *job) *extent {
	e := &extent{total: -1}
	switch {
	case b.input.Profiles != nil:
		e.total = int64(len(b.input.Profiles))
	case b.apis.IsSandbox && b.input.isAPI():
		e.total = int64(b.apis.SandboxProfiles)
	}
	return e
}

// count finds out how many profiles there are, where that takes requests.
func (e *extent) count(ctx context.Context, b *job) {
	s := b.opened.State()
	if e.total >= 0 || !b.input.isAPI() || !s.Since.IsZero() || s.Position.Done {
		return
	}
	before := b.apis.ToSegment.Stats().Requests
	if n := profileapi.CountProfiles(ctx, b.apis.Segment, b.out.Log); n > 0 {
		e.total = int64(n)
	}
	e.counting += b.apis.ToSegment.Stats().Requests - before
}

// remaining returns how many profiles are left to read, or 0 if it is not known: of those that have
// changed it never is.
func (e *extent) remaining(b *job) int64 {
	if !b.opened.State().Since.IsZero() || e.total < 0 {
		return 0
	}
	return max(e.total-skipped(b), 0)
}

// skipped returns how many profiles of the list are before the offset that the import began at.
func skipped(b *job) int64 {
	s := b.opened.State()
	at, err := strconv.Atoi(cmp.Or(s.Position.At, s.From))
	if err != nil || s.Position.Tail {
		return 0
	}
	return int64(max(at-s.Counts.Read(), 0))
}

// abortWindow is how long a person has to read what is about to be done, and to stop it.
const abortWindow = 2 * time.Second

// showPreview says, before anything is written, what is imported, how long that takes, and what
// cannot be changed later.
func showPreview(i *interrupts, b *job, e *extent) {
	set, to := b.apis.Settings, b.out.Err
	rows := []term.Row{{Cells: []string{"from", b.input.describe(b.apis)}}, {Cells: []string{"to", describeTarget(b.apis, false)}}}
	if n := e.remaining(b); n > 0 && b.input.From.Kind == settings.FromAPI {
		what := term.Count(n, "profile")
		if limit := int64(b.limit); limit > 0 && limit < n {
			what, n = term.Number(limit)+" of "+what, limit
		}
		rows = append(rows, term.Row{Cells: []string{"profiles", fmt.Sprintf("%s, %s at %g requests/s",
			what, report.About(durationOf(set, requestsFor(set, n, requestsEach(set)))), set.Segment.Rate)}})
	}
	to.Table(nil, append(rows,
		term.Row{Cells: []string{"source_id", "from " + set.Identifier() + ": permanent"}},
		term.Row{Cells: []string{"mapping", cmp.Or(set.MappingFile, "the default")}}))
	to.Linef("Ctrl-C within %d seconds writes nothing.", abortWindow/time.Second)
	select {
	case <-time.After(abortWindow):
	case <-i.stop.Done():
	}
}

// requestsEach returns how many requests to Segment a profile takes at most: its external
// IDs, where they are needed, and its traits.
func requestsEach(s *settings.Settings) float64 {
	for _, id := range s.Identifiers {
		if id.Trait == "" {
			return 2
		}
	}
	if len(s.Mapping.ExternalIDTypes()) > 0 {
		return 2
	}
	return 1
}

// requestsFor returns how many requests to Segment it takes to read so many profiles, and to
// list them.
func requestsFor(s *settings.Settings, profiles int64, each float64) int64 {
	return int64(math.Round(float64(profiles)*each)) + parts(profiles, s.Segment.PageSize)
}

// Effort is what an import takes at most.
type Effort struct {
	Requests  int64 // to Segment
	Duration  time.Duration
	BulkCalls int64
}

// EffortOf returns what it takes to import so many profiles of the Profile API.
func EffortOf(s *settings.Settings, profiles int64) Effort {
	requests := requestsFor(s, profiles, requestsEach(s))
	return Effort{requests, durationOf(s, requests), parts(profiles, s.Voucherify.BatchSize)}
}

// durationOf returns how long so many requests to Segment take.
func durationOf(s *settings.Settings, requests int64) time.Duration {
	return time.Duration(float64(requests) / s.Segment.Rate * float64(time.Second))
}

// parts returns how many parts of a size n makes.
func parts(n int64, size int) int64 { return (n + int64(size) - 1) / int64(size) }

// costsOf returns what the run of an import with a limit took, and what all profiles would
// take; nil for any other import.
func costsOf(r *result, requests report.Requests, seconds float64) *report.Costs {
	read, total := int64(r.read()), r.extent.total
	if r.limit == 0 || r.plan != nil {
		return nil
	}
	requests.Segment -= r.extent.counting
	c := &report.Costs{Run: report.Cost{Profiles: read, Segment: requests.Segment, Voucherify: requests.Voucherify, Seconds: seconds}}
	if total < read || read == 0 || !r.opened.State().Since.IsZero() {
		return c
	}
	set, s := r.apis.Settings, r.opened.State()
	each := max(float64(requests.Segment-parts(read, set.Segment.PageSize))/float64(read), 0)
	all := requestsFor(set, total, each)
	share := float64(s.SentCustomers()+s.Count(outcome.WouldSend)) / float64(max(s.Counts.Read(), 1))
	bulk := parts(int64(math.Round(float64(total)*share)), set.Voucherify.BatchSize)
	calls := bulk
	if !r.options.Confirm.Off {
		calls += bulk + 1 // each bulk request has an async action, and there is a list of them
	}
	c.All = &report.Cost{Profiles: total, Segment: all, Voucherify: calls, Seconds: report.Round1(durationOf(set, all).Seconds())}
	return c
}

// CallsSaved words how many bulk calls a larger VOUCHERIFY_BATCH_SIZE would save for so many customers,
// "" for none.
func CallsSaved(customers, batchSize int) string {
	const larger = 10_000
	now, then := parts(int64(customers), batchSize), parts(int64(customers), larger)
	if now <= then || batchSize >= larger {
		return ""
	}
	return fmt.Sprintf("VOUCHERIFY_BATCH_SIZE=%d would take %s instead of %s", larger, term.Count(then, "bulk call"), term.Number(now))
}
