package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// Set by the linker for a release: -X main.version=v1.2.3, and so on. Where they are
// empty, what the go command recorded in the program is taken.
var (
	version string
	commit  string
	date    string // of the commit, as in RFC 3339
)

// buildInfo says which build of segsync this is. What is not known is empty.
type buildInfo struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Date    string `json:"date"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

func readBuildInfo() buildInfo {
	b := buildInfo{Version: version, Commit: commit, Date: date, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	if recorded, ok := debug.ReadBuildInfo(); ok && b.Version == "" {
		vcs := map[string]string{}
		for _, s := range recorded.Settings {
			vcs[s.Key] = s.Value
		}
		b.Version, b.Commit, b.Date = recorded.Main.Version, vcs["vcs.revision"], vcs["vcs.time"]
		if vcs["vcs.modified"] == "true" {
			b.Commit += "-dirty"
		}
	}
	b.Version = cmp.Or(b.Version, "(devel)")
	return b
}

// buildVersion returns the version of this build, "(devel)" if it is not known.
func buildVersion() string { return readBuildInfo().Version }

func newVersionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version, the commit and its date, and the version of Go",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return readBuildInfo().print(cmd.OutOrStdout(), asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	return cmd
}

func (b buildInfo) print(w io.Writer, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(b)
	}
	text := fmt.Sprintf("segsync version %s\ncommit: %s\ndate:   %s\ngo:     %s %s/%s",
		b.Version, cmp.Or(b.Commit, "unknown"), cmp.Or(b.Date, "unknown"), b.Go, b.OS, b.Arch)
	_, err := fmt.Fprintln(w, text)
	return err
}

// addVersionFlag adds --version, without the -v that cobra would give it: elsewhere that
// is --verbose.
func addVersionFlag(root *cobra.Command) {
	root.Version = buildVersion()
	root.Flags().Bool("version", false, "print the version")
}
