//go:build !windows

package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"segsync/internal/pgtest"
)

// The first commands of docs/sources.md work as they are.
func TestFirstLinesOfSources(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/sources.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(doc), 2)
	for i, want := range []string{"--ndjson", "--postgres"} {
		t.Run(want, func(t *testing.T) {
			script := blocks[i][1]
			if !strings.Contains(script, want) {
				t.Fatalf("the commands are not those with %s:\n%s", want, script)
			}
			env := append(os.Environ(), "TMPDIR="+t.TempDir())
			if want == "--postgres" {
				const drop = "DROP SCHEMA IF EXISTS profiles CASCADE"
				url := pgtest.URL(t)
				env = append(env, "POSTGRES_URL="+url)
				pgtest.Exec(t, url, drop)
				t.Cleanup(func() { pgtest.Exec(t, url, drop) })
			}
			cmd := exec.Command("sh", "-e", "-c", script)
			cmd.Dir, cmd.Env = t.TempDir(), env
			out, err := cmd.CombinedOutput()
			if err != nil || !regexp.MustCompile(`980 read = .*: it adds up`).Match(out) {
				t.Errorf("%v:\n%s", err, out)
			}
		})
	}
}
