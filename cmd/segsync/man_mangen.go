//go:build mangen

package main

import (
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"
)

// developerCommands has the generator of the man pages, which needs modules that the
// program does not. SOURCE_DATE_EPOCH is the date of the pages:
//
//	SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) go run -tags mangen ./cmd/segsync man DIR
func developerCommands() []*cobra.Command {
	return []*cobra.Command{{
		Use:    "man DIR",
		Short:  "Write the man pages into an existing directory",
		Args:   cobra.ExactArgs(1),
		Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			root.DisableAutoGenTag = true
			prepareForMan(root)
			return doc.GenManTree(root, &doc.GenManHeader{Source: "segsync " + buildVersion(), Manual: "User Commands"}, args[0])
		},
	}}
}

var (
	block  = regexp.MustCompile(`(?m)^(?:  .*\n?)+`)
	quoted = regexp.MustCompile("`([^`]*)`")
)

// prepareForMan makes Markdown, which cobra/doc expects, of the help texts: what is
// indented becomes a block that is left as it is.
func prepareForMan(cmd *cobra.Command) {
	cmd.Long = block.ReplaceAllStringFunc(cmd.Long, func(lines string) string {
		return "\n  " + strings.ReplaceAll(lines, "\n  ", "\n    ")
	})
	cmd.NonInheritedFlags().VisitAll(func(f *pflag.Flag) { f.Usage = quoted.ReplaceAllString(f.Usage, "*$1*") })
	for _, sub := range cmd.Commands() {
		prepareForMan(sub)
	}
}
