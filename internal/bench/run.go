//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// bench is where the measurements are made.
type bench struct {
	quick   bool
	dir     string // for files, removed at the end
	program string // segsync
}

// pick returns the first value, or the second one if it must be quick.
func (b *bench) pick(full, quick int) int {
	if b.quick {
		return quick
	}
	return full
}

// result is what one import, or the bare loop, did and took.
type result struct {
	profiles int
	cost
	served
}

// served is what the sandbox tells of.
type served struct {
	segment, refused int           // requests to Segment, and those of them answered 429
	span             time.Duration // from the first to the last of them
	voucherify, bulk int
	customers        int
}

// accepted returns the requests per second that Segment did not refuse.
func (s served) accepted() float64 { return float64(s.segment-s.refused) / s.span.Seconds() }

func (s served) refusedShare() float64 { return float64(s.refused) / float64(s.segment) }

// cost is what a process used.
type cost struct {
	cpu      time.Duration // user and system
	resident float64       // MB, the most at any time
}

// perProfile returns the microseconds of CPU time per profile.
func (r result) perProfile() float64 { return float64(r.cpu.Microseconds()) / float64(r.profiles) }

func (r result) perSecond() float64 { return float64(r.profiles) / r.span.Seconds() }

// costOf returns what a process that has ended used. On Linux a process begins with the
// peak of the one that started it: bench must stay smaller than what it measures.
func costOf(p *os.ProcessState) cost {
	unit := 1024.0 // Linux and others count in kilobytes
	if runtime.GOOS == "darwin" {
		unit = 1
	}
	usage := p.SysUsage().(*syscall.Rusage)
	return cost{cpu: p.UserTime() + p.SystemTime(), resident: float64(usage.Maxrss) * unit / 1e6}
}

// sandbox is a running segsync sandbox.
type sandbox struct {
	cmd      *exec.Cmd
	settings []string // NAME=value, for the environment
	url      string
	stderr   bytes.Buffer
}

func (b *bench) startSandbox(ctx context.Context, flags ...string) (*sandbox, error) {
	s := &sandbox{cmd: exec.CommandContext(ctx, b.program, append([]string{"sandbox", "--plain"}, flags...)...)}
	file, err := os.CreateTemp(b.dir, "settings-")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	s.cmd.Stdout, s.cmd.Stderr = file, &s.stderr
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	const lines = 6 // the last of them comes when it is serving
	for began := time.Now(); time.Since(began) < 10*time.Second; {
		data, err := os.ReadFile(file.Name())
		if err != nil {
			return nil, err
		}
		if bytes.Count(data, []byte{'\n'}) < lines {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		for line := range strings.Lines(string(data)) {
			setting := strings.TrimSpace(strings.TrimPrefix(line, "export "))
			s.settings = append(s.settings, setting)
			if url, found := strings.CutPrefix(setting, "SEGMENT_API_URL="); found {
				s.url = url
			}
		}
		return s, nil
	}
	s.cmd.Process.Kill()
	return nil, errors.Join(errors.New("the sandbox does not start: "+s.stderr.String()), s.cmd.Wait())
}

// stop ends the sandbox and returns what it tells of itself.
func (s *sandbox) stop() (served, error) {
	s.cmd.Process.Signal(os.Interrupt)
	if err := s.cmd.Wait(); err != nil {
		return served{}, fmt.Errorf("segsync sandbox: %w: %s", err, s.stderr.String())
	}
	lines := strings.Split(strings.TrimSpace(s.stderr.String()), "\n")
	var got served
	var span string
	_, err := fmt.Sscanf(strings.ReplaceAll(lines[len(lines)-1], ",", " ,"),
		"Served %d requests to Segment (%d answered 429) in %s , %d to Voucherify (%d bulk) , %d customers.",
		&got.segment, &got.refused, &span, &got.voucherify, &got.bulk, &got.customers)
	if err == nil {
		got.span, err = time.ParseDuration(span)
	}
	if err != nil {
		return got, fmt.Errorf("the last line of segsync sandbox: %w: %s", err, lines[len(lines)-1])
	}
	return got, nil
}

// setup is one sandbox, and one import from it.
type setup struct {
	profiles int
	sandbox  []string // flags
	env      []string // settings, NAME=value
}

// unlimited is a sandbox that answers at once, to an import that does not hold itself back.
func unlimited(profiles int) setup {
	return setup{profiles, []string{"--rate-limit", "0", "--latency", "0"}, []string{"SEGMENT_RATE_LIMIT=1000000"}}
}

func (s setup) flags() []string {
	return append([]string{"--profiles", fmt.Sprint(s.profiles)}, s.sandbox...)
}

// importAll runs segsync import against a sandbox of its own.
func (b *bench) importAll(ctx context.Context, s setup) (result, error) {
	box, err := b.startSandbox(ctx, s.flags()...)
	if err != nil {
		return result{}, err
	}
	dir, err := os.MkdirTemp(b.dir, "import-")
	if err != nil {
		return result{}, err
	}
	cmd := exec.CommandContext(ctx, b.program, "import", "--dir", dir, "--non-interactive", "--verify-interval", "1s")
	cmd.Dir = dir // without the .env of where bench runs
	cmd.Env = append(append(os.Environ(), box.settings...), s.env...)
	output, runErr := cmd.CombinedOutput()
	got, err := box.stop()
	if runErr != nil {
		return result{}, fmt.Errorf("segsync import: %w: %s", runErr, output)
	}
	if err == nil && !strings.Contains(string(output), "it adds up") {
		err = fmt.Errorf("segsync import did not import everything: %s", output)
	}
	return result{s.profiles, costOf(cmd.ProcessState), got}, err
}

// loopAll runs the bare loop, also in a process of its own.
func (b *bench) loopAll(ctx context.Context, s setup) (result, error) {
	box, err := b.startSandbox(ctx, s.flags()...)
	if err != nil {
		return result{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return result{}, err
	}
	cmd := exec.CommandContext(ctx, self, "-loop", box.url)
	cmd.Env = append(os.Environ(), box.settings...)
	output, runErr := cmd.CombinedOutput()
	got, err := box.stop()
	if runErr != nil {
		return result{}, fmt.Errorf("the bare loop: %w: %s", runErr, output)
	}
	return result{s.profiles, costOf(cmd.ProcessState), got}, err
}
