package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"segsync/internal/app"
	"segsync/internal/sandbox"
)

var (
	metricComment = regexp.MustCompile(`^# (HELP|TYPE) (segsync_[a-z_]+) (\S.*)$`)
	metricSample  = regexp.MustCompile(`^((segsync_[a-z_]+)(?:\{[a-z_]+="[^"\\]*"(?:,[a-z_]+="[^"\\]*")*\})?) (\S+)$`)
)

// parseMetrics reads Prometheus' text format: for each metric HELP, TYPE, and its samples,
// all in one place. The numbers are by name and labels.
//
// https://prometheus.io/docs/instrumenting/exposition_formats/
func parseMetrics(text string) (map[string]float64, error) {
	if !strings.HasSuffix(text, "\n") {
		return nil, fmt.Errorf("the last line does not end: %q", text)
	}
	samples, seen := map[string]float64{}, map[string]bool{}
	current, expect := "", "HELP"
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if m := metricComment.FindStringSubmatch(line); m != nil {
			switch {
			case m[1] != expect && !(m[1] == "HELP" && expect == "samples"):
				return nil, fmt.Errorf("%q, want %s of %s", line, expect, current)
			case m[1] == "HELP" && seen[m[2]]:
				return nil, fmt.Errorf("%s is there twice", m[2])
			case m[1] == "HELP":
				current, expect = m[2], "TYPE"
				seen[current] = true
			case m[2] != current || m[3] != "gauge" && m[3] != "counter":
				return nil, fmt.Errorf("%q after HELP of %s", line, current)
			case m[3] == "counter" && !strings.HasSuffix(current, "_total"):
				return nil, fmt.Errorf("the counter %s does not end in _total", current)
			default:
				expect = "sample"
			}
			continue
		}
		m := metricSample.FindStringSubmatch(line)
		if m == nil || m[2] != current || expect == "TYPE" || expect == "HELP" {
			return nil, fmt.Errorf("no sample of %s: %q", current, line)
		}
		n, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			return nil, err
		}
		if _, again := samples[m[1]]; again {
			return nil, fmt.Errorf("%s is there twice", m[1])
		}
		samples[m[1]], expect = n, "samples"
	}
	if expect != "samples" {
		return nil, fmt.Errorf("%s has no sample", current)
	}
	return samples, nil
}

func TestMetricsAgreeWithTheSummary(t *testing.T) {
	t.Parallel()
	w := startWorld(t, sandbox.Options{Profiles: 500})
	w.reject.Store(regexp.MustCompile(`7$`))
	p := w.start(t, "import", "--summary", "sum.json", "--metrics-file", "m.prom")
	p.wantExit(t, 3)
	sum := readSummary(t, filepath.Join(w.dir, "sum.json"))
	data, err := os.ReadFile(filepath.Join(w.dir, "m.prom"))
	check(t, err)
	got, err := parseMetrics(string(data))
	check(t, err)
	maps.DeleteFunc(got, func(name string, n float64) bool {
		if strings.HasSuffix(name, "_timestamp_seconds") {
			if at := float64(sum.Ended.Unix()); n < at-60 || n > at+60 {
				t.Errorf("%s is %f, the end was at %f", name, n, at)
			}
			return true
		}
		return false
	})
	c := sum.Counts
	if age := got["segsync_outstanding_oldest_age_seconds"]; age < 0 || age > 60 {
		t.Errorf("the oldest is outstanding for %v s", age)
	}
	delete(got, "segsync_outstanding_oldest_age_seconds")
	want := map[string]float64{
		"segsync_profiles_read":                          float64(c.Read),
		"segsync_outstanding":                            float64(c.Rejected),
		`segsync_profiles{outcome="confirmed"}`:          float64(c.Confirmed),
		`segsync_profiles{outcome="rejected"}`:           float64(c.Rejected),
		`segsync_profiles{outcome="unreadable"}`:         0,
		`segsync_profiles{outcome="unconfirmed"}`:        float64(c.Unconfirmed),
		`segsync_profiles{outcome="without_identifier"}`: float64(c.WithoutIdentifier),
		`segsync_profiles{outcome="vanished"}`:           float64(c.Vanished),
		`segsync_profiles{outcome="merged"}`:             float64(c.Merged),
		`segsync_profiles{outcome="filtered"}`:           0,
		`segsync_profiles{outcome="unchanged"}`:          0,
		`segsync_profiles{outcome="would_send"}`:         0,
		"segsync_invalid_birthdates":                     float64(c.InvalidBirthdates),
		`segsync_requests_total{api="segment"}`:          float64(sum.Requests.Segment),
		`segsync_requests_total{api="voucherify"}`:       float64(sum.Requests.Voucherify),
		`segsync_retries_total{api="segment"}`:           float64(sum.Requests.Retries),
		`segsync_retries_total{api="voucherify"}`:        0,
		`segsync_throttled_total{api="segment"}`:         float64(sum.Requests.Throttled),
		`segsync_throttled_total{api="voucherify"}`:      0,
		"segsync_running":                                0,
		"segsync_exit_code":                              3,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	if c.Rejected == 0 || c.Confirmed == 0 || c.Merged == 0 || c.Vanished == 0 {
		t.Errorf("counts that prove little: %+v", c)
	}
	total := 0.0
	for name, n := range got {
		if strings.HasPrefix(name, "segsync_profiles{") {
			total += n
		}
	}
	if total != got["segsync_profiles_read"] {
		t.Errorf("%v outcomes of %v profiles", total, got["segsync_profiles_read"])
	}
}

// A run that is killed leaves metrics that say that it runs, and when they were written: they
// are not those of the run before.
func TestMetricsOfARunThatIsKilled(t *testing.T) {
	t.Parallel()
	w := startWorld(t, sandbox.Options{Profiles: 20, Plain: true})
	file := filepath.Join(w.dir, "m.prom")
	check(t, os.WriteFile(file, []byte("segsync_running 0\nsegsync_exit_code 0\n"), 0o600))
	reached := w.hold(`/traits`, 1)
	p := w.start(t, "import", "--metrics-file", "m.prom")
	await(t, "the request", reached)
	check(t, p.cmd.Process.Kill())
	p.wantExit(t, -1)
	data, err := os.ReadFile(file)
	check(t, err)
	got, err := parseMetrics(string(data))
	check(t, err)
	_, hasEnded := got["segsync_exit_code"]
	start, written := got["segsync_run_start_timestamp_seconds"], got["segsync_written_timestamp_seconds"]
	if got["segsync_running"] != 1 || hasEnded || start == 0 || written < start {
		t.Errorf("metrics of a run that was killed:\n%s", data)
	}
}

// Where the files for monitoring cannot be written at the end, that is said, everything else
// is done, and what could be written knows of it.
func TestFilesForMonitoringThatAreLost(t *testing.T) {
	t.Parallel()
	for lost, kept := range map[string]string{"metrics-file": "summary", "summary": "metrics-file"} {
		t.Run(lost, func(t *testing.T) {
			t.Parallel()
			w := startWorld(t, sandbox.Options{Profiles: 200, Plain: true})
			check(t, os.Mkdir(filepath.Join(w.dir, "gone"), 0o700))
			reached := w.hold(`@150/traits`, 1)
			p := w.start(t, "import", "--"+lost, "gone/file", "--"+kept, "kept")
			await(t, "the request", reached)
			check(t, os.RemoveAll(filepath.Join(w.dir, "gone")))
			w.mend()
			p.wantExit(t, app.ExitFailed)
			wantMatch(t, p.stderr.String(), `segsync: error: --`+lost+`: .*gone`)
			data, err := os.ReadFile(filepath.Join(w.dir, "kept"))
			check(t, err, w.addsUp(p.stdout.String()), w.complete())
			wantMatch(t, string(data), `exit_code(":)? 1\b`)
		})
	}
}

func TestParseMetricsFindsMistakes(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "segsync_a 1\n", "# HELP segsync_a x\nsegsync_a 1\n", "# TYPE segsync_a gauge\n",
		"# HELP segsync_a x\n# TYPE segsync_a gauge\nsegsync_a one\n",
		"# HELP segsync_a x\n# TYPE segsync_a gauge\nsegsync_a 1\nsegsync_a 1\n",
		"# HELP segsync_a x\n# TYPE segsync_a gauge\nsegsync_a 1",
		"# HELP segsync_a x\n# TYPE segsync_a gauge\nsegsync_a 1\n# HELP segsync_a x\n# TYPE segsync_a gauge\nsegsync_a{b=\"c\"} 1\n",
		"# HELP segsync_a x\n# TYPE segsync_a gauge\nsegsync_b 1\n",
		"# HELP segsync_a x\n# TYPE segsync_a gauge\n",
	} {
		if got, err := parseMetrics(text); err == nil {
			t.Errorf("no mistake in %q: %v", text, got)
		}
	}
}
