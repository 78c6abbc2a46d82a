package settings

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// SourceKind is a kind of place that profiles come from.
type SourceKind int

// The kinds of sources.
const (
	FromAPI SourceKind = iota // Segment's Profile API
	FromWarehouse
	FromStdin
	FromFile
)

// sourceWords are the values of --from that are not files.
var sourceWords = map[SourceKind]string{FromAPI: "api", FromWarehouse: "warehouse", FromStdin: "-"}

// Source is where the profiles come from: the values of --from. The zero value is the Profile
// API.
type Source struct {
	Kind  SourceKind
	paths []string // of FromFile: files, folders and patterns, as they were given
}

// Set parses a value of --from. More values add files. A *Source is a pflag.Value.
func (s *Source) Set(from string) error {
	if from == "" {
		return errors.New("it must be api, warehouse, - or the name of a file")
	}
	if scheme, _, found := strings.Cut(from, "://"); found && downloads[scheme] != "" {
		return fmt.Errorf("%s:// is not read; pipe it: %s", scheme, fmt.Sprintf(downloads[scheme], "URL"))
	}
	for kind, word := range sourceWords {
		if from == word && s.paths == nil {
			*s = Source{Kind: kind}
			return nil
		}
		if from == word {
			return fmt.Errorf("%s goes alone, not with files", from)
		}
	}
	if s.Kind != FromAPI && s.Kind != FromFile {
		return fmt.Errorf("%s goes alone, not with files", sourceWords[s.Kind])
	}
	*s = Source{FromFile, append(s.paths, from)}
	return nil
}

// downloads are the commands that read what is not a file here.
var downloads = map[string]string{
	"s3":    "aws s3 cp %s - | segsync import --from -",
	"gs":    "gcloud storage cat %s | segsync import --from -",
	"https": "curl -fsS %s | segsync import --from -",
	"http":  "curl -fsS %s | segsync import --from -",
	"abfss": "azcopy cp %s --from-to BlobPipe | segsync import --from -",
}

// Values returns the values of --from: several where there are several files.
func (s Source) Values() []string {
	if s.Kind == FromFile {
		return s.paths
	}
	return []string{sourceWords[s.Kind]}
}

// String returns the values of --from as one text.
func (s Source) String() string { return strings.Join(s.Values(), ", ") }

// Files returns the files that the profiles come from, in the byte order of their names: those in
// folders, and those that match patterns, included. In folders those that begin with a dot or an
// underscore are left out: what writes many parts leaves marks such as _SUCCESS there.
func (s Source) Files() (files []string, err error) {
	for _, path := range s.paths {
		some := []string{path}
		info, err := os.Stat(path)
		if err == nil && info.IsDir() {
			some, err = filesIn(path)
		} else if err != nil && strings.ContainsAny(path, "*?[") {
			some, err = filepath.Glob(path)
			some = slices.DeleteFunc(some, func(file string) bool { info, err := os.Stat(file); return err == nil && info.IsDir() })
		} else {
			err = nil // opening the file reports what is wrong with it
		}
		if err != nil {
			return nil, err
		}
		if len(some) == 0 {
			return nil, fmt.Errorf("no file is in %q or matches it", path)
		}
		files = append(files, some...)
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

func filesIn(folder string) (files []string, err error) {
	entries, err := os.ReadDir(folder)
	for _, entry := range entries {
		if !entry.IsDir() && !strings.HasPrefix(entry.Name(), ".") && !strings.HasPrefix(entry.Name(), "_") {
			files = append(files, filepath.Join(folder, entry.Name()))
		}
	}
	return files, err
}

// Type tells pflag that the value is a text.
func (s Source) Type() string { return "string" }

// Name is what messages call the source.
func (s Source) Name() string {
	switch {
	case s.Kind == FromStdin:
		return "standard input"
	case len(s.paths) > 2:
		return fmt.Sprintf("%s and %d more", s.paths[0], len(s.paths)-1)
	}
	return s.String()
}

// Needs returns the services that a command with this source needs.
func (s Source) Needs(voucherify bool) Needs {
	return Needs{Segment: s.Kind == FromAPI, Voucherify: voucherify, Warehouse: s.Kind == FromWarehouse}
}

// ReadOnce reports whether the source can be read only once: standard input, or another pipe.
func (s Source) ReadOnce() bool {
	if s.Kind != FromFile {
		return s.Kind == FromStdin
	}
	if len(s.paths) != 1 {
		return false
	}
	info, err := os.Stat(s.paths[0])
	return err == nil && !info.Mode().IsRegular() && !info.IsDir()
}

// ID returns what the state of an import calls the source: "" for the Profile API. A file may
// be moved: a resumed import compares what it has read of it. A warehouse is known by its
// host, port, database and schema.
func (s Source) ID(w Warehouse) string {
	switch s.Kind {
	case FromAPI:
		return ""
	case FromWarehouse:
		if w.native != nil {
			return "warehouse " + w.native.Name()
		}
		if w.config == nil {
			return "warehouse"
		}
		return fmt.Sprintf("warehouse %s:%d/%s %s", w.config.Host, w.config.Port, w.config.Database, w.Schema)
	case FromStdin:
		return s.Name()
	}
	return "file"
}
