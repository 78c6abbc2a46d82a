package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"segsync/internal/pgtest"
)

// full says that matrices of like cases are tested whole, as .ci/run does. By default a
// sample of them is.
var full = os.Getenv("SEGSYNC_FULL") != ""

// sample returns each n-th of the cases, or all of them with SEGSYNC_FULL.
func sample[T any](n int, cases []T) []T {
	if full {
		return cases
	}
	var some []T
	for i := 0; i < len(cases); i += n {
		some = append(some, cases[i])
	}
	return some
}

// TestMain makes the test binary be segsync where it is called by that name: the
// tests run the true program in a process of its own.
func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){"segsync": main})
}

// leakChecked fails tests that leave goroutines behind.
type leakChecked struct{ m *testing.M }

func (l leakChecked) Run() int {
	if signal.Ignored(syscall.SIGHUP) { // under nohup; segsync would inherit that
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
	defer useProgram()()
	code := pgtest.Main(l.m)
	if code == 0 {
		if err := goleak.Find(goleak.IgnoreTopFunction("os/signal.loop")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

// useProgram builds segsync for all tests: it starts faster than the test binary, which has
// the libraries of the tests in it. Without a Go command the test binary is used.
func useProgram() (remove func()) {
	dir, err := os.MkdirTemp("", "segsync-test-")
	if err != nil {
		panic(err)
	}
	program := filepath.Join(dir, "segsync")
	if runtime.GOOS == "windows" {
		program += ".exe"
	}
	args := append([]string{"build", "-buildvcs=false", "-ldflags=-s -w", "-o", program}, buildFlags...)
	build := exec.Command("go", append(args, ".")...)
	if len(buildFlags) == 0 {
		build.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is released
	}
	if build.Run() == nil {
		os.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	}
	return func() { os.RemoveAll(dir) }
}

// cheapSettings are environment variables that make segsync cheaper where many of them run at once.
func cheapSettings() []string {
	if full {
		return nil
	}
	return []string{"GOMAXPROCS=1", "GOGC=400"}
}
