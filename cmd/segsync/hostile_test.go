//go:build linux

package main

import (
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"segsync/internal/app"
	"segsync/internal/sandbox"
	"segsync/internal/sandboxtest"
)

// hostileSecrets are the secrets of the hostile servers' victim; none may be in any output.
var hostileSecrets = []string{"CANARYtoken0123456789", "CANARYsecret9876543210", "CANARYapp555555"}

// slowHostiles are the kinds of hostile servers that keep an import busy until its time limits end
// it. They are left out unless SEGSYNC_FULL is set.
var slowHostiles = regexp.MustCompile(`no answer|trickl|never|without end|spaces|silence|bomb|47 MB|64 MB|9 MB|hang|one byte|1 byte|in Request-Id`)

// TestHostileServers imports from and to servers that mean harm on one route: the import
// must end, with an exit code of its own, in bounded memory, and without telling a secret.
// By default it is one in thirty.
func TestHostileServers(t *testing.T) {
	t.Parallel()
	at := make(chan struct{}, 4)
	tried := 0
	for i, h := range sandboxtest.Hostiles(hostileSecrets) {
		if !full && (slowHostiles.MatchString(h.Name) || i%30 != 0) {
			continue
		}
		tried++
		t.Run(h.Route+"/"+h.Name, func(t *testing.T) {
			t.Parallel()
			at <- struct{}{}
			defer func() { <-at }()
			importFrom(t, h)
		})
	}
	if tried < 4 {
		t.Errorf("only %d hostile servers were tried", tried)
	}
}

func importFrom(t *testing.T, h sandboxtest.Hostile) {
	var asked atomic.Bool
	intercept := func(w http.ResponseWriter, r *http.Request) bool {
		if h.Answers(r) {
			asked.Store(true) // before the answer, which may last longer than the import
		}
		return h.Intercept(w, r)
	}
	box := sandbox.New(sandbox.Options{
		Profiles: 30, Seed: 1, Plain: true, Intercept: intercept,
		AccessToken: hostileSecrets[0], SecretKey: hostileSecrets[1], AppID: hostileSecrets[2],
	})
	server, err := box.Listen("127.0.0.1:0")
	check(t, err)
	defer server.Close()
	dir := t.TempDir()
	cmd := exec.Command("segsync", "import", "--dir", dir, "--retry-for", "1s", "--verify-timeout", "4s", "--max-wait", "1s", "--summary", dir+"/summary.json")
	cmd.Dir = dir
	cmd.Env = os.Environ()
	for _, s := range box.Settings(server.URL) {
		cmd.Env = append(cmd.Env, s.Name+"="+s.Value)
	}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	began := time.Now()
	check(t, cmd.Start())
	ended, peak := make(chan struct{}), make(chan int)
	go func() { peak <- peakMemory(cmd.Process.Pid, ended) }()
	kill := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer kill.Stop()
	cmd.Wait()
	close(ended)
	megabytes := <-peak
	if !asked.Load() {
		t.Error("the hostile server was asked nothing")
	}
	took := time.Since(began)
	state := cmd.ProcessState
	maxMegabytes := 200
	if len(buildFlags) > 0 {
		maxMegabytes *= 3 // the race detector has memory of its own
	}
	if megabytes > maxMegabytes {
		t.Errorf("it took %d MB", megabytes)
	}
	switch code := state.ExitCode(); code {
	case app.ExitDone, app.ExitFailed, app.ExitUsage, app.ExitNotImported, app.ExitUnconfirmed, app.ExitLater:
	default:
		t.Errorf("exit code %d", code)
	}
	if took > patience {
		t.Errorf("it took %s", took)
	}
	if full {
		t.Logf("%s: exit %d after %s, %d MB\n%s", h.Name, state.ExitCode(), took.Round(100*time.Millisecond), megabytes, out.String())
	}
	texts := filesIn(t, dir)
	texts["output"] = out.String()
	for name, text := range texts {
		if strings.Contains(text, "CANARY") || strings.Contains(text, "Q0FOQVJZ") {
			t.Errorf("%s tells a secret:\n%.2000s", name, text)
		}
		if !strings.HasSuffix(name, ".bin") && strings.ContainsAny(text, "\x1b\u202e\u009b") {
			t.Errorf("%s has characters that change a terminal:\n%.2000q", name, text)
		}
	}
	if len(out.String()) > 64<<10 {
		t.Errorf("%d bytes of output", out.Len())
	}
}

var highWater = regexp.MustCompile(`(?m)^VmHWM:\s+(\d+) kB$`)

// peakMemory returns how many megabytes a process had at most, until it has ended. The
// maximum of its rusage would not do: that begins with the size of its parent.
func peakMemory(pid int, ended <-chan struct{}) (megabytes int) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ended:
			return megabytes
		case <-ticker.C:
		}
		status, err := os.ReadFile("/proc/" + itoa(pid) + "/status")
		if m := highWater.FindSubmatch(status); err == nil && m != nil {
			kilobytes, _ := strconv.Atoi(string(m[1]))
			megabytes = max(megabytes, kilobytes>>10)
		}
	}
}
