//go:build mangen

package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"segsync/internal/app"
	"segsync/internal/settings"
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
			date := time.Now()
			if epoch, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64); err == nil {
				date = time.Unix(epoch, 0).UTC()
			}
			root := cmd.Root()
			root.Long = manLong(root) + "\n\n" + strings.TrimSpace(manSettings()) + "\n\n" + literal(exitCodes)
			for _, sub := range root.Commands() {
				sub.Long = manLong(sub)
			}
			root.DisableAutoGenTag = true
			header := &doc.GenManHeader{Section: "1", Date: &date, Source: "segsync " + app.Version, Manual: "User Commands"}
			if err := doc.GenManTree(root, header, args[0]); err != nil {
				return err
			}
			return finishPages(args[0], date)
		},
	}}
}

// flagUsage matches a flag and its usage, which cobra puts behind a tab.
var flagUsage = regexp.MustCompile(`(?m)^(?:\.PP\n)?(\\fB-.*)\n\t`)

// finishPages writes the day into the pages, for cobra's "Nov 2026" is not a date to mandoc, and makes a
// tagged paragraph of each flag.
func finishPages(dir string, date time.Time) error {
	pages, err := filepath.Glob(filepath.Join(dir, "*.1"))
	for _, page := range pages {
		text, readErr := os.ReadFile(page)
		title, rest, _ := strings.Cut(string(text), "\n.SH ")
		title = strings.Replace(title, date.Format("Jan 2006"), date.Format(time.DateOnly), 1)
		err = errors.Join(err, readErr, os.WriteFile(page, []byte(title+"\n.SH "+flagUsage.ReplaceAllString(rest, ".TP\n$1\n")), 0o644))
	}
	return err
}

// manLong returns the description of a command: help is text, a page is Markdown.
func manLong(cmd *cobra.Command) string { return literal(cmp.Or(cmd.Long, cmd.Short)) }

// manSettings returns the part about the settings.
func manSettings() string {
	text := "Settings are environment variables. Where the environment has none, they are read from the file\n" +
		".env, or that of **--env-file**. The import that systemd runs reads them from /etc/segsync/segsync.env.\n" +
		"/usr/share/doc/segsync/segsync.env.example explains each.\n\n"
	for _, setting := range settings.Descriptions() {
		meaning := setting.Expected
		if setting.Default != "" {
			meaning += " (default: " + setting.Default + ")"
		}
		text += fmt.Sprintf("**%s**\n: %s\n\n", literal(setting.Name), literal(meaning))
	}
	return text
}

// literal keeps the underscores of a text from being Markdown, and its indented lines as they are.
func literal(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "_", `\_`), "\n  ", "\n    ")
}
