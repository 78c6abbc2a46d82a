//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// plan measures segsync plan of a file of profiles against an export of as many customers.
func plan(ctx context.Context, b *bench) ([]row, error) {
	customers := b.pick(1_000_000, 50_000)
	profiles, export := filepath.Join(b.dir, "profiles.ndjson"), filepath.Join(b.dir, "export.csv")
	defer os.Remove(profiles)
	defer os.Remove(export)
	fill := exec.CommandContext(ctx, b.program, "sandbox", "--plain", "--profiles", fmt.Sprint(customers), "--ndjson", profiles)
	if output, err := fill.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("segsync sandbox --ndjson: %w: %s", err, output)
	}
	if err := writeExport(export, customers); err != nil {
		return nil, err
	}
	box, err := b.startSandbox(ctx, "--profiles", "0") // for its settings
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, b.program, "plan", "-q", "--json", "--from", profiles, "--existing", export)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), box.settings...)
	began := time.Now()
	output, runErr := cmd.CombinedOutput()
	took := time.Since(began)
	if _, err := box.stop(); err != nil {
		return nil, err
	}
	var planned struct{ Counts struct{ Change int } }
	if err := errors.Join(runErr, json.Unmarshal(output, &planned)); err != nil || planned.Counts.Change != customers {
		return nil, fmt.Errorf("segsync plan did not find %d changes: %w: %.1000s", customers, err, output)
	}
	used := result{profiles: customers, cost: costOf(cmd.ProcessState)}
	what := fmt.Sprintf(" of a plan, %d customers", customers)
	return []row{
		{"resident memory" + what, "160 MB", fmt.Sprintf("%.1f MB", used.resident), fmt.Sprintf("%.0f bytes each", 1e6*used.resident/float64(customers))},
		{"CPU per profile" + what, "", fmt.Sprintf("%.0f µs", used.perProfile()), ""},
		{"time" + what, "", fmt.Sprintf("%.1f s", took.Seconds()), ""},
	}, nil
}

// writeExport writes an export of the customers of the sandbox.
func writeExport(path string, customers int) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	out := bufio.NewWriter(file)
	fmt.Fprintln(out, "Source ID,Name,Email,Phone,Birthdate,City,Country,Postal Code,Line 1,Metadata")
	for i := range customers {
		fmt.Fprintf(out, "user-%07d,Ada Oakwell,ada.%07d@example.com,+1555%07d,1984-05-02,Hillview,US,00000,775 Main Street,\"{\"\"lang\"\":\"\"en\"\"}\"\n", i, i, i)
	}
	return out.Flush()
}
