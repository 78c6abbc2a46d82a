package journal_test

import (
	"errors"
	"io/fs"
	"os"
	"testing"
)

// What a killed run left of a file that it was replacing is removed by the next one;
// files of others stay.
func TestTemporariesAreRemoved(t *testing.T) {
	names := unfinished(t)
	left, others := names.Path("."+names.State+".123.tmp"), names.Path(".other.tmp")
	for _, path := range []string{left, others} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := finish(names); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the temporary file: %v", err)
	}
	if _, err := os.Stat(others); err != nil {
		t.Errorf("the file of others: %v", err)
	}
}
