package main

import (
	"os/exec"
	"path/filepath"
	"testing"

	"segsync/importer/journal"
)

// What an import writes, and the files of settings, are never committed by accident.
func TestGitIgnoresWhatIsPrivate(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	if err := exec.Command("git", "-C", root, "rev-parse").Run(); err != nil {
		t.Skip("this is not a git repository, or there is no git")
	}
	ignored := func(name string) bool {
		return exec.Command("git", "-C", root, "check-ignore", "--quiet", "--no-index", name).Run() == nil
	}
	names := []string{".env", ".env.production", "warnings.csv", "merged.csv", "merged-retry.csv"}
	for _, dir := range []string{"", "out"} {
		for _, suffix := range []string{"", "-dry-run", "-retry", "-retry-retry-dry-run"} {
			files := journal.NewNames(dir, suffix)
			names = append(names, files.Paths()...)
		}
	}
	for _, name := range names {
		if !ignored(name) {
			t.Errorf("git does not ignore %s", name)
		}
	}
	for _, name := range []string{".env-example", "cmd/segsync/main.go", "deploy/segsync.service"} {
		if ignored(name) {
			t.Errorf("git ignores %s", name)
		}
	}
}
