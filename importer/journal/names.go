package journal

import (
	"os"
	"path/filepath"
	"strings"
)

// Names are the names of the files of an import in its directory.
type Names struct {
	Dir               string
	State             string
	WithoutIdentifier string // segment ids, one per line
	NotImported       string // CSV: what is outstanding, and what has vanished
	Merged            string // CSV: profiles whose source_id another profile was sent with
	Warnings          string // CSV: values that could not be used

	pending              string // JSON lines: the customers that are not confirmed yet
	profiles, sources    string // identities of the profiles read, and of the source ids sent
	records              string // JSON lines: what NotImported is written from
	newRecords           string // takes the place of records once a state speaks of it
	seenTable, sentTable string // to look up profiles and sources; only while an import runs
	v1                   v1Names
}

// NewNames returns the names in dir. suffix is put before the ending of each.
func NewNames(dir, suffix string) Names {
	return Names{
		Dir:               dir,
		State:             "segsync-state" + suffix + ".json",
		WithoutIdentifier: "profiles-without-identifier" + suffix + ".txt",
		NotImported:       "not-imported" + suffix + ".csv",
		Merged:            "merged" + suffix + ".csv",
		Warnings:          "warnings" + suffix + ".csv",
		pending:           "segsync-pending" + suffix + ".jsonl",
		profiles:          "segsync-profiles" + suffix + ".bin",
		sources:           "segsync-source-ids" + suffix + ".bin",
		records:           "segsync-not-imported" + suffix + ".jsonl",
		newRecords:        "segsync-not-imported" + suffix + ".jsonl.new",
		seenTable:         "segsync-profiles" + suffix + ".tmp",
		sentTable:         "segsync-source-ids" + suffix + ".tmp",
		v1: v1Names{
			pending: "segsync-pending" + suffix + ".csv",
			seen:    "segsync-seen" + suffix + ".bin",
			sources: "segsync-sources" + suffix + ".bin",
		},
	}
}

// Path returns the path of one of the names.
func (n Names) Path(name string) string { return filepath.Join(n.Dir, name) }

// Paths returns the paths of all files.
func (n Names) Paths() []string {
	var paths []string
	for _, name := range []string{
		n.State, n.WithoutIdentifier, n.NotImported, n.Merged, n.Warnings, n.pending, n.profiles, n.sources, n.records,
		n.newRecords, n.seenTable, n.sentTable,
	} {
		paths = append(paths, n.Path(name))
	}
	return append(paths, n.Path(lockFile))
}

// removeTemporaries removes what a killed run left of the files that it was replacing.
func (n Names) removeTemporaries() error {
	entries, err := os.ReadDir(n.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		for _, name := range []string{n.State, n.WithoutIdentifier, n.NotImported, n.Merged, n.Warnings, n.pending, n.profiles, n.sources, n.records} {
			if strings.HasPrefix(e.Name(), "."+name+".") && strings.HasSuffix(e.Name(), ".tmp") {
				if err := os.Remove(n.Path(e.Name())); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
