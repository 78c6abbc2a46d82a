//go:build unix

// Bench measures the program as its users run it: it builds the segsync command, runs
// segsync sandbox in a process of its own, runs segsync import against it, and prints how
// near each figure comes to its limit. Everything stays on loopback.
//
//	go run ./internal/bench [-quick] [-run regexp]
//
// A machine that does something else at the same time makes the figures of CPU time and
// throughput worse; those are medians, and the bare loop that they are compared with runs
// in turn with them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"syscall"
	"text/tabwriter"
	"time"
)

// timeLimit bounds the whole table.
const timeLimit = 40 * time.Minute

func main() {
	quick := flag.Bool("quick", false, "fewer profiles: under a minute, less exact")
	only := flag.String("run", "", "measure only what matches this `regexp`")
	loop := flag.String("loop", "", "for bench's own use: `url` of a sandbox, for the bare loop")
	fill := flag.Bool("people", false, "for bench's own use: make people")
	flag.Parse()
	if *fill {
		exitOn(fillPeople(context.Background(), flag.Args()))
		return
	}
	if *loop != "" {
		exitOn(bareLoop(*loop))
		return
	}
	wanted, err := regexp.Compile(*only)
	exitOn(err)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, timeLimit)
	defer cancel()
	exitOn(run(ctx, os.Stdout, *quick, wanted))
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: error:", err)
		os.Exit(1)
	}
}

// row is a line of the table.
type row struct {
	what, target, measured, ofLimit string
}

// run makes the measurements that are wanted and prints a row for each figure as soon as
// it is known, and all of them as a table at the end.
func run(ctx context.Context, w io.Writer, quick bool, wanted *regexp.Regexp) error {
	dir, err := os.MkdirTemp("", "segsync-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{quick: quick, dir: dir, program: filepath.Join(dir, "segsync")}
	build := exec.CommandContext(ctx, "go", "build", "-o", b.program, "./cmd/segsync")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("building segsync: %w", err)
	}
	began := time.Now()
	var table []row
	for _, m := range measurements {
		if !wanted.MatchString(m.name) {
			continue
		}
		rows, err := m.do(ctx, b)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		for _, r := range rows {
			fmt.Fprintf(os.Stderr, "%s: %s\n", r.what, r.measured)
		}
		table = append(table, rows...)
	}
	if len(table) == 0 {
		return errors.New("nothing matches -run")
	}
	fmt.Fprintf(w, "%s, %s/%s, %d CPUs, %s\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(),
		time.Since(began).Round(time.Second))
	t := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	fmt.Fprintln(t, "| what\t| target\t| measured\t| of the limit\t|")
	fmt.Fprintln(t, "|---\t|---\t|---\t|---\t|")
	for _, r := range table {
		fmt.Fprintf(t, "| %s\t| %s\t| %s\t| %s\t|\n", r.what, r.target, r.measured, r.ofLimit)
	}
	return t.Flush()
}
