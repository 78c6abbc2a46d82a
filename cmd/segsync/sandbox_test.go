package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"segsync/internal/app"
)

// Each failure that segsync sandbox offers is one that an import meets.
func TestSandboxFailures(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, flags    string
		code           int
		stdout, stderr string // have this
	}{
		{name: "clean", flags: "--clean"},
		{name: "rejections", flags: "--clean --reject 0.1", code: app.ExitNotImported, stderr: "metadata_validation_failed"},
		{name: "schema", flags: "--clean --strict-schema", stdout: "Metadata left out"},
		{name: "outage", flags: "--clean --outage-after 20 --outage-for 1s", stderr: "503"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			flags := "sandbox --profiles 200 --rate-limit 0 --latency 0 " + c.flags
			box := startProcess(t, dir, os.Environ(), nil, strings.Fields(flags)...)
			box.stdout.await(t, "export VOUCHERIFY_API_URL=", 1) // the last of them
			env := filepath.Join(dir, "sandbox.env")
			check(t, os.WriteFile(env, []byte(box.stdout.String()), 0o600))

			p := startProcess(t, dir, os.Environ(), nil, "import", "-v", "--env-file", env)
			p.wantExit(t, c.code)
			if !strings.Contains(p.stdout.String(), c.stdout) || !strings.Contains(p.stderr.String(), c.stderr) {
				t.Errorf("want %q in stdout and %q in stderr:\n%s\n%s", c.stdout, c.stderr, p.stdout, p.stderr)
			}
		})
	}
}
