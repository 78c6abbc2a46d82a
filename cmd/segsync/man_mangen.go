//go:build mangen

package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// developerCommands has the generator of the man pages, which needs a module that the
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
				date = time.Unix(epoch, 0)
			}
			return writeMan(cmd.Root(), date.UTC().Format("Jan 2006"), args[0])
		},
	}}
}

// writeMan writes the pages of cmd and the commands below it.
func writeMan(cmd *cobra.Command, date, dir string) error {
	for _, sub := range cmd.Commands() {
		if !sub.IsAvailableCommand() || sub.IsAdditionalHelpTopicCommand() {
			continue
		}
		if err := writeMan(sub, date, dir); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, pageName(cmd)+".1"), md2man.Render([]byte(manPage(cmd, date))), 0o644)
}

// pageName returns the name of the command's page, such as segsync-import.
func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// manPage returns the page of a command as Markdown.
func manPage(cmd *cobra.Command, date string) string {
	cmd.InitDefaultHelpFlag()
	var b strings.Builder
	fmt.Fprintf(&b, "%% %q \"1\" %q %q \"User Commands\"\n", strings.ToUpper(pageName(cmd)), date, "segsync "+buildVersion())
	fmt.Fprintf(&b, "# NAME\n%s - %s\n\n# SYNOPSIS\n**%s**\n\n", pageName(cmd), cmd.Short, cmd.UseLine())
	long, _, _ := strings.Cut(cmp.Or(cmd.Long, cmd.Short), "\n\n"+exitCodes)
	fmt.Fprintf(&b, "# DESCRIPTION\n%s\n\n", blocks(long))
	b.WriteString(manOptions(cmd))
	if !cmd.HasParent() {
		b.WriteString(manSettings())
		fmt.Fprintf(&b, "# EXIT STATUS\n%s\n\n", blocks(strings.TrimPrefix(exitCodes, "Exit codes:\n")))
	}
	if cmd.HasExample() {
		fmt.Fprintf(&b, "# EXAMPLES\n%s\n\n", blocks(cmd.Example))
	}
	b.WriteString(manSeeAlso(cmd))
	return b.String()
}

var block = regexp.MustCompile(`(?m)^(?:  .*\n?)+`)

// blocks makes blocks of code of the lines that are indented.
func blocks(text string) string {
	return block.ReplaceAllStringFunc(text, func(lines string) string {
		return "\n```\n" + regexp.MustCompile(`(?m)^  `).ReplaceAllString(strings.TrimRight(lines, "\n"), "") + "\n```\n"
	})
}

// manOptions returns the section of the flags, in the groups of the help.
func manOptions(cmd *cobra.Command) string {
	text := "# OPTIONS\n"
	for _, g := range flagGroups(cmd) {
		if g.name != "" {
			text += "### " + g.name + "\n"
		}
		for _, f := range g.flags {
			flag := "**--" + f.Name + "**"
			if f.Shorthand != "" {
				flag = "**-" + f.Shorthand + "**, " + flag
			}
			if value, _ := pflag.UnquoteUsage(f); value != "" {
				flag += " *" + value + "*"
			}
			text += flag + "\n: " + literal(flagText(f)) + "\n\n"
		}
	}
	return text
}

// manSettings returns the section of the settings.
func manSettings() string {
	text := "# SETTINGS\nSettings are environment variables. Where the environment has none, they are read from the file\n" +
		".env, or that of **--env-file**. The package installs /etc/segsync/segsync.env, which explains each, for\n" +
		"the import that systemd runs.\n\n"
	for _, row := range new(settings).table() {
		meaning := row.expected
		if unset := cmp.Or(row.fallback, row.unset); unset != "" {
			meaning += " (default: " + unset + ")"
		}
		text += fmt.Sprintf("**%s**\n: %s\n\n", literal(row.name), literal(meaning))
	}
	return text
}

// literal keeps the underscores of a text from being Markdown.
func literal(text string) string { return strings.ReplaceAll(text, "_", `\_`) }

// manSeeAlso returns the section that names the pages above and below.
func manSeeAlso(cmd *cobra.Command) string {
	var pages []string
	if cmd.HasParent() {
		pages = append(pages, "**"+pageName(cmd.Parent())+"**(1)")
	}
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() && !sub.IsAdditionalHelpTopicCommand() {
			pages = append(pages, "**"+pageName(sub)+"**(1)")
		}
	}
	text := "# SEE ALSO\n" + strings.Join(pages, ", ") + "\n"
	if cmd.HasParent() {
		text += "\nThe settings and the exit codes are in **segsync**(1).\n"
	}
	return text
}
