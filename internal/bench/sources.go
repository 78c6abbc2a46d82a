//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"segsync/internal/pgtest"
)

// sourcesOf measures imports of so many profiles from a Postgres and from a file, into a
// sandbox without quota or latency.
func sourcesOf(full, quick, identified int, what string) func(context.Context, *bench) ([]row, error) {
	return func(ctx context.Context, b *bench) (rows []row, err error) {
		postgres := os.Getenv("SEGSYNC_TEST_POSTGRES")
		if postgres == "" {
			server, err := pgtest.Start()
			if errors.Is(err, pgtest.ErrNone) {
				return []row{{"imports from a warehouse and from a file", "", "left out: no PostgreSQL", ""}}, nil
			} else if err != nil {
				return nil, err
			}
			defer server.Remove()
			postgres = server.URL
		}
		box, err := b.startSandbox(ctx, "--plain", "--profiles", "1", "--rate-limit", "0", "--latency", "0")
		if err != nil {
			return nil, err
		}
		defer box.stop()
		n := b.pick(full, quick)
		s := &sourceBench{
			bench: b, box: box, postgres: postgres, schema: fmt.Sprintf("bench %d", time.Now().UnixNano()),
			file: filepath.Join(b.dir, "people.ndjson"), profiles: n, customers: n / identified,
		}
		rows, err = s.measure(ctx, identified)
		for i := range rows {
			rows[i].what = fmt.Sprintf("%d profiles, %s: %s", n, what, rows[i].what)
		}
		return rows, err
	}
}

// sourceBench has the same people in a schema and in a file.
type sourceBench struct {
	*bench
	box                 *sandbox
	postgres            string // URL
	schema, file        string
	profiles, customers int
}

func (s *sourceBench) measure(ctx context.Context, identified int) (rows []row, err error) {
	if err := makePeople(ctx, s.profiles, identified, s.postgres, s.schema, s.file); err != nil {
		return nil, err
	}
	defer os.Remove(s.file)
	defer func() { err = errors.Join(err, s.drop()) }()
	for _, part := range []func(context.Context) ([]row, error){s.dryRuns, s.sends} {
		some, err := part(ctx)
		if err != nil {
			return nil, err
		}
		rows = append(rows, some...)
	}
	return rows, nil
}

// dryRuns compares dry runs from Postgres with the plain COPY of the query, in turn.
func (s *sourceBench) dryRuns(ctx context.Context) ([]row, error) {
	query, err := exec.CommandContext(ctx, s.program, "sql", "--dialect", "postgres", "--schema", s.schema, "--env-file", os.DevNull).Output()
	if err != nil {
		return nil, err
	}
	var copies, dry, ofCopy, fromFile, dryMemory, fileMemory, dryCPU, fileCPU []float64
	for range s.pick(3, 1) {
		seconds, err := s.copy(ctx, string(query))
		if err != nil {
			return nil, err
		}
		r, err := s.dryRun(ctx, "warehouse")
		if err != nil {
			return nil, err
		}
		copies, dry, ofCopy = append(copies, seconds), append(dry, r.seconds), append(ofCopy, r.seconds/seconds)
		dryMemory, dryCPU = append(dryMemory, r.resident), append(dryCPU, s.perProfile(r.cost))
		if r, err = s.dryRun(ctx, s.file); err != nil {
			return nil, err
		}
		fromFile, fileMemory = append(fromFile, float64(s.profiles)/r.seconds), append(fileMemory, r.resident)
		fileCPU = append(fileCPU, s.perProfile(r.cost))
	}
	return []row{
		{"plain COPY … TO STDOUT of the query", "", fmt.Sprintf("%.1f s", median(copies)), "the limit"},
		{"dry run from Postgres", "3 × COPY, 64 MB", fmt.Sprintf("%.1f s, %.1f MB, %.0f µs of CPU a profile", median(dry), median(dryMemory), median(dryCPU)),
			fmt.Sprintf("%.2f ×", median(ofCopy))},
		{"dry run from NDJSON", "40000 a second, 64 MB",
			fmt.Sprintf("%.0f a second, %.1f MB, %.0f µs of CPU a profile", median(fromFile), median(fileMemory), median(fileCPU)), ""},
	}, nil
}

func (s *sourceBench) dryRun(ctx context.Context, from string) (timed, error) {
	return s.segsync(ctx, from, "1000", "--dry-run", "--output", os.DevNull)
}

// sends measures whole imports. The sandbox confirms what it takes at once, so that waiting for
// that is a second at most.
func (s *sourceBench) sends(ctx context.Context) ([]row, error) {
	var rows []row
	for _, from := range []struct{ name, value string }{{"Postgres", "warehouse"}, {"NDJSON", s.file}} {
		for _, batch := range []struct{ size, target string }{{"max", "128 MB"}, {"1000", "64 MB"}} {
			sent, err := s.segsync(ctx, from.value, batch.size, "--verify-interval", "1s")
			if err != nil {
				return nil, err
			}
			if s.customers >= 1_000_000 {
				batch.target = "60 s, " + batch.target
			}
			rows = append(rows, row{
				fmt.Sprintf("sent and confirmed from %s, batches of %s", from.name, batch.size), batch.target,
				fmt.Sprintf("%.1f s, %.1f MB, %.0f µs of CPU a profile", sent.seconds, sent.resident, s.perProfile(sent.cost)),
				fmt.Sprintf("%.0f customers/s", float64(s.customers)/sent.seconds),
			})
		}
	}
	return rows, nil
}

// perProfile returns the microseconds of CPU time of segsync per profile.
func (s *sourceBench) perProfile(c cost) float64 {
	return float64(c.cpu.Microseconds()) / float64(s.profiles)
}

// timed is what a process took.
type timed struct {
	cost
	seconds float64
}

// segsync runs an import into a directory of its own. It must read every profile.
func (s *sourceBench) segsync(ctx context.Context, from, batch string, flags ...string) (timed, error) {
	dir, err := os.MkdirTemp(s.dir, "import-")
	if err != nil {
		return timed{}, err
	}
	cmd := exec.CommandContext(ctx, s.program, append([]string{"import", "--from", from, "--dir", dir, "--non-interactive"}, flags...)...)
	cmd.Dir = s.dir // without the .env of where bench runs
	cmd.Env = append(append(os.Environ(), s.box.settings...),
		"SEGSYNC_WAREHOUSE_URL="+s.postgres, "SEGSYNC_WAREHOUSE_SCHEMA="+s.schema, "VOUCHERIFY_BATCH_SIZE="+batch)
	began := time.Now()
	output, err := cmd.CombinedOutput()
	took := timed{seconds: time.Since(began).Seconds()}
	if err != nil {
		return took, fmt.Errorf("segsync import --from %s: %w: %s", from, err, output)
	}
	plain := strings.ReplaceAll(string(output), ",", "") // of the numbers
	if all := fmt.Sprintf("%d read = ", s.profiles); !strings.Contains(plain, all) || !strings.Contains(plain, "it adds up") {
		return took, fmt.Errorf("segsync import --from %s did not read %d profiles: %s", from, s.profiles, output)
	}
	took.cost = costOf(cmd.ProcessState)
	return took, nil
}

// copy takes the time of the plain COPY of the query.
func (s *sourceBench) copy(ctx context.Context, query string) (seconds float64, err error) {
	conn, err := pgconn.Connect(ctx, s.postgres)
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	began := time.Now()
	_, err = conn.CopyTo(ctx, io.Discard, "COPY ("+query+") TO STDOUT")
	return time.Since(began).Seconds(), err
}

func (s *sourceBench) drop() error {
	ctx := context.Background()
	conn, err := pgconn.Connect(ctx, s.postgres)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return conn.Exec(ctx, `DROP SCHEMA "`+s.schema+`" CASCADE`).Close()
}
