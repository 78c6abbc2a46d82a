//go:build unix

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// measurements are the figures of the table, in its order.
var measurements = []struct {
	name string
	do   func(context.Context, *bench) ([]row, error)
}{
	{"quota", quotaUse},
	{"raised-quota", raisedQuota},
	{"shared-quota", sharedQuota},
	{"start-up", startUp},
	{"segment-requests", segmentRequests},
	{"voucherify-calls", voucherifyCalls},
	{"throughput", throughput},
	{"growth", growth},
	{"slow-voucherify", slowVoucherify},
	{"sources-all", sourcesOf(1_000_000, 20_000, 1, "all identified")},
	{"sources-half", sourcesOf(1_000_000, 20_000, 2, "half identified")},
	{"sources-tenth", sourcesOf(100_000, 2000, 1, "all identified")},
	{"plan", plan},
}

func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }

// quotaUse measures all latencies at the same time: they leave the processor idle, and
// each import has a space of its own.
func quotaUse(ctx context.Context, b *bench) ([]row, error) {
	latencies := []string{"20ms", "100ms", "200ms"}
	results := make([]result, len(latencies))
	g, ctx := errgroup.WithContext(ctx)
	for i, latency := range latencies {
		g.Go(func() (err error) {
			results[i], err = b.importAll(ctx, setup{b.pick(4000, 600), []string{"--rate-limit", "100", "--latency", latency}, nil})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var rows []row
	for i, r := range results {
		use := percent(r.accepted() / 100)
		rows = append(rows,
			row{"quota of 100/s in use, " + latencies[i], "98 %", use, use},
			row{"answered 429, " + latencies[i], "< 0.2 %", fmt.Sprintf("%.2f %%", 100*r.refusedShare()), ""})
	}
	return rows, nil
}

func raisedQuota(ctx context.Context, b *bench) ([]row, error) {
	r, err := b.importAll(ctx, setup{b.pick(20_000, 4000), []string{"--rate-limit", "1000", "--latency", "100ms"},
		[]string{"SEGMENT_RATE_LIMIT=1000"}})
	return []row{
		{"requests/s of a quota of 1,000/s, 100ms", "950", fmt.Sprintf("%.0f", r.accepted()), percent(r.accepted() / 1000)},
		{"answered 429 of 1,000/s, 100ms", "< 0.2 %", fmt.Sprintf("%.2f %%", 100*r.refusedShare()), ""},
	}, err
}

func sharedQuota(ctx context.Context, b *bench) ([]row, error) {
	r, err := b.importAll(ctx, setup{b.pick(1000, 200), []string{"--rate-limit", "100", "--taken", "50", "--latency", "100ms"}, nil})
	return []row{
		{"requests/s where others take 50 of 100/s", "50", fmt.Sprintf("%.1f", r.accepted()), percent(r.accepted() / 50)},
		{"answered 429 there", "", percent(r.refusedShare()), ""},
	}, err
}

// startUp measures the time to the first request, with a server that refuses it.
func startUp(ctx context.Context, b *bench) ([]row, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	var arrived time.Time
	var once sync.Once
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		once.Do(func() { arrived = time.Now() })
		w.WriteHeader(http.StatusUnauthorized)
	})}
	var serving sync.WaitGroup
	serving.Go(func() { server.Serve(listener) })
	defer serving.Wait()
	defer server.Close()
	url := "http://" + listener.Addr().String()
	var times []float64
	for range b.pick(11, 5) {
		once = sync.Once{}
		cmd := exec.CommandContext(ctx, b.program, "import", "--dir", b.dir, "--non-interactive", "--offset", "0")
		cmd.Dir = b.dir
		cmd.Env = append(cmd.Environ(), "SEGMENT_ACCESS_TOKEN=t", "SEGMENT_SPACE_ID=s", "VOUCHERIFY_APPLICATION_ID=a",
			"VOUCHERIFY_SECRET_KEY=k", "SEGMENT_API_URL="+url, "VOUCHERIFY_API_URL="+url)
		began := time.Now()
		if output, err := cmd.CombinedOutput(); err == nil || arrived.Before(began) {
			return nil, fmt.Errorf("segsync import made no request, or took a refusal for success: %s", output)
		}
		times = append(times, arrived.Sub(began).Seconds())
	}
	return []row{{"start-up, to the first request", "0.3 s", fmt.Sprintf("%.3f s", median(times)), ""}}, nil
}

func segmentRequests(ctx context.Context, b *bench) ([]row, error) {
	var rows []row
	for _, c := range []struct {
		what   string
		lowest float64
		flags  []string
		env    []string
	}{
		{"all have a user_id", 201, nil, nil},
		{"20 % have a user_id", 121, []string{"--identified", "0.2"}, nil},
		{"trait:email", 101, nil, []string{"IDENTIFIER_SAVED_AS_SOURCE_ID=trait:email"}},
	} {
		s := unlimited(b.pick(20_000, 5000))
		s.sandbox, s.env = append(s.sandbox, c.flags...), append(s.env, c.env...)
		r, err := b.importAll(ctx, s)
		if err != nil {
			return nil, err
		}
		per100 := float64(r.segment) * 100 / float64(r.profiles)
		rows = append(rows, row{"requests per 100 profiles, " + c.what, fmt.Sprint(c.lowest), fmt.Sprintf("%.1f", per100), percent(per100 / c.lowest)})
	}
	return rows, nil
}

func voucherifyCalls(ctx context.Context, b *bench) ([]row, error) {
	var rows []row
	for _, c := range []struct {
		what  string
		batch int
		flags []string
	}{
		{"batches of 100", 100, nil},
		{"batches of 10,000", 10_000, nil},
		{"batches of 100, 20 % have a user_id", 100, []string{"--identified", "0.2"}},
	} {
		s := unlimited(b.pick(20_000, 10_000))
		s.sandbox = append(s.sandbox, c.flags...)
		s.env = append(s.env, fmt.Sprintf("VOUCHERIFY_BATCH_SIZE=%d", c.batch))
		r, err := b.importAll(ctx, s)
		if err != nil {
			return nil, err
		}
		per1000 := 1000 / float64(r.customers)
		bulk, lowest := float64(r.bulk)*per1000, 1000/float64(c.batch)
		rows = append(rows,
			row{"bulk calls per 1,000 customers, " + c.what, fmt.Sprint(lowest), fmt.Sprintf("%.2f", bulk), percent(bulk / lowest)},
			row{"other calls per 1,000 customers, " + c.what, "", fmt.Sprintf("%.2f", float64(r.voucherify-r.bulk)*per1000), ""})
	}
	return rows, nil
}

// throughput compares the import with the bare loop, in turn, for the machine may be busy
// with something else for a while.
func throughput(ctx context.Context, b *bench) ([]row, error) {
	var perSecond, cpu, loopPerSecond, loopCPU, loopResident, ofLoop, cpuOfLoop []float64
	for range b.pick(3, 1) {
		loop, err := b.loopAll(ctx, unlimited(b.pick(30_000, 10_000)))
		if err != nil {
			return nil, err
		}
		r, err := b.importAll(ctx, unlimited(loop.profiles))
		if err != nil {
			return nil, err
		}
		perSecond, cpu = append(perSecond, r.perSecond()), append(cpu, r.perProfile())
		loopPerSecond, loopCPU = append(loopPerSecond, loop.perSecond()), append(loopCPU, loop.perProfile())
		loopResident = append(loopResident, loop.resident)
		ofLoop, cpuOfLoop = append(ofLoop, r.perSecond()/loop.perSecond()), append(cpuOfLoop, r.perProfile()/loop.perProfile())
	}
	return []row{
		{"profiles/s, no quota, no latency", "6000", fmt.Sprintf("%.0f", median(perSecond)), percent(median(ofLoop))},
		{"CPU per profile", "130 µs", fmt.Sprintf("%.0f µs", median(cpu)), percent(median(cpuOfLoop))},
		{"profiles/s of a bare loop of the same requests", "", fmt.Sprintf("%.0f", median(loopPerSecond)), "the limit"},
		{"CPU per profile of the bare loop", "", fmt.Sprintf("%.0f µs", median(loopCPU)), "the limit"},
		{"resident memory of the bare loop", "", fmt.Sprintf("%.1f MB", median(loopResident)), "the limit"},
	}, nil
}

// growth compares imports of different sizes. The most that a process has ever used of the
// memory differs from run to run, with when the collector came to its turn.
func growth(ctx context.Context, b *bench) ([]row, error) {
	var rows []row
	var of10000 float64
	for _, profiles := range []int{1000, 10_000, b.pick(200_000, 20_000)} {
		var residents, cpu, perSecond []float64
		for range b.pick(3, 1) {
			r, err := b.importAll(ctx, unlimited(profiles))
			if err != nil {
				return nil, err
			}
			residents, cpu, perSecond = append(residents, r.resident), append(cpu, r.perProfile()), append(perSecond, r.perSecond())
		}
		resident := median(residents)
		what := fmt.Sprintf(", %d profiles", profiles)
		change, target := "", "32 MB"
		if profiles == 10_000 {
			of10000 = resident
		} else if profiles > 10_000 {
			change, target = fmt.Sprintf("%+.1f %% to 10,000", 100*(resident/of10000-1)), "32 MB, +10 %"
		}
		rows = append(rows,
			row{"resident memory" + what, target, fmt.Sprintf("%.1f MB", resident), change},
			row{"CPU per profile" + what, "", fmt.Sprintf("%.0f µs", median(cpu)), ""},
			row{"profiles/s" + what, "", fmt.Sprintf("%.0f", median(perSecond)), ""})
	}
	return rows, nil
}

func slowVoucherify(ctx context.Context, b *bench) ([]row, error) {
	r, err := b.importAll(ctx, setup{b.pick(15_000, 4000),
		[]string{"--rate-limit", "2010", "--latency", "20ms", "--voucherify-latency", "1s"}, []string{"SEGMENT_RATE_LIMIT=2010"}})
	return []row{
		{"profiles/s of a quota of 1,000 profiles/s, 1 s a call to Voucherify", "950", fmt.Sprintf("%.0f", r.perSecond()), percent(r.perSecond() / 1000)},
	}, err
}

// median returns the middle value.
func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
