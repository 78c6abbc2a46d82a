//go:build !windows

package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"segsync/internal/app"
	"segsync/internal/pgtest"
	"segsync/internal/sandbox"
	"segsync/internal/warehousetest"
)

// Wherever segsync is killed while it imports from a file or a warehouse, the next runs
// account for every profile.
func TestKilledImportFromElsewhereIsContinued(t *testing.T) {
	t.Parallel()
	points := []point{{post, 2, answered}, {post, 5, arrives}, {post, 9, after}, {look, 1, after}}
	all := map[string]func(t *testing.T, k *killer) (args, env []string){
		"file": func(t *testing.T, k *killer) ([]string, []string) {
			path := filepath.Join(k.dir, "people.ndjson")
			if err := writeNDJSON(path, os.Stdout, k.box.People()); err != nil {
				t.Fatal(err)
			}
			return []string{"--from", "people.ndjson"}, nil
		},
		"warehouse": func(t *testing.T, k *killer) ([]string, []string) {
			url := pgtest.URL(t)
			schema := pgtest.Schema(t, url)
			pgtest.Fill(t, url, schema, k.box.People())
			return []string{"--from", "warehouse"}, []string{"SEGSYNC_WAREHOUSE_URL=" + url, "SEGSYNC_WAREHOUSE_SCHEMA=" + schema}
		},
		"snowflake":  fromFake("snowflake"),
		"bigquery":   fromFake("bigquery"),
		"databricks": fromFake("databricks"),
	}
	for _, from := range sample(2, slices.Sorted(maps.Keys(all))) { // bigquery, file and warehouse
		t.Run(from, func(t *testing.T) {
			t.Parallel()
			k := newKiller(t, sandbox.Options{Profiles: 200, Plain: true, Identified: 0.5}, kill, points...)
			args, env := all[from](t, k)
			env = append(k.environ(append(env, small...)...), "SEGMENT_ACCESS_TOKEN=", "SEGMENT_SPACE_ID=")
			args = append([]string{"import", "--resume", "--dir", "out", "--verify-interval", "1s"}, args...)
			for killed := 0; ; killed++ {
				k.mu.Lock()
				k.running = startProcess(t, k.dir, env, nil, args...)
				p := k.running
				k.mu.Unlock()
				await(t, "the end of segsync", p.exited)
				if p.cmd.ProcessState.ExitCode() == -1 {
					continue
				}
				p.wantExit(t, app.ExitDone)
				if killed < len(points)-1 { // there may be no request after the last one
					t.Errorf("segsync was killed %d times", killed)
				}
				check(t, k.complete())
				if !strings.HasSuffix(p.stdout.String(), ": it adds up\n") {
					t.Errorf("the summary:\n%s", p.stdout)
				}
				break
			}
			if n := k.requests(`^GET /v1/spaces/`); n != 0 {
				t.Errorf("%d requests to Segment", n)
			}
		})
	}
}

// fromFake prepares a fake vendor, whose result is gone once while it is read.
func fromFake(vendor string) func(t *testing.T, k *killer) (args, env []string) {
	return func(t *testing.T, k *killer) (args, env []string) {
		f := newVendor(t, vendor, slices.Collect(k.box.People())...)
		f.Do(func() { f.PageRows, f.GonePage = 40, 2 })
		t.Cleanup(func() { f.Do(func() { wantGone(t, f) }) })
		return []string{"--from", "warehouse"}, fakeSettings(f)
	}
}

// wantGone checks that a result was gone once.
func wantGone(t *testing.T, f *warehousetest.Fake) {
	if f.GonePage != 0 {
		t.Error("no result was gone")
	}
}

// An interrupt also ends an import that waits for more from stdin, or from another pipe.
func TestInterruptWhileAPipeIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := startWorld(t, sandbox.Options{Profiles: 200, Plain: true})
	var people strings.Builder
	if err := writeNDJSON("-", &people, w.box.People()); err != nil {
		t.Fatal(err)
	}
	for name, from := range map[string]string{"stdin": "-", "pipe": "/dev/fd/0"} {
		t.Run(name, func(t *testing.T) {
			read, write, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer read.Close()
			defer write.Close()
			p := startProcess(t, w.dir, w.environ("VOUCHERIFY_BATCH_SIZE=50", "SEGMENT_REQUEST_LIMIT=10"), read, "import", "--from", from, "-v", "--dir", name)
			if _, err := write.WriteString(people.String()); err != nil {
				t.Fatal(err)
			}
			p.stderr.await(t, "customers sent", 2)
			p.signal(t, os.Interrupt)
			p.wantExit(t, app.ExitInterrupted)
			wantMatch(t, p.stderr.String(), `^Stopped after line \d+\. It cannot be read again from there: start anew with the same input\.\n`+
				`Continue with: segsync import --restart --from `+from+` --verbose --dir `+name+`\n$`)
		})
	}
}
