package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"segsync/internal/app"
	"segsync/internal/settings"
	"segsync/internal/term"
)

// tuning is the group of the flags that few people need. The help of a command leaves them out;
// segsync help tuning has them.
const tuning = "Tuning"

// groupAnnotation names the group of a flag in the help.
const groupAnnotation = "segsync_group"

// group puts the flags into a group of the help. Groups are shown in the order in which
// their first flags were added; flags without a group come last.
func group(f *pflag.FlagSet, name string, flags ...string) {
	for _, flag := range flags {
		if err := f.SetAnnotation(flag, groupAnnotation, []string{name}); err != nil {
			panic(err) // there is no such flag
		}
	}
}

// flagGroup is a group of the flags of a command.
type flagGroup struct {
	name  string
	flags *pflag.FlagSet
}

// flagGroups returns the flags of cmd in their groups.
func flagGroups(cmd *cobra.Command) (groups []flagGroup) {
	others := "Flags"
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		name := others
		if names := f.Annotations[groupAnnotation]; len(names) > 0 {
			name, others = names[0], "Other"
		}
		i := slices.IndexFunc(groups, func(g flagGroup) bool { return g.name == name })
		if i < 0 {
			set := pflag.NewFlagSet(name, pflag.ContinueOnError)
			set.SortFlags = false
			i, groups = len(groups), append(groups, flagGroup{name, set})
		}
		groups[i].flags.AddFlag(f)
	})
	return groups
}

// useHelp gives cmd and the commands below it help that has groups and fits the terminal.
func useHelp(root *cobra.Command) {
	root.SetUsageFunc(func(cmd *cobra.Command) error {
		_, err := fmt.Fprint(cmd.OutOrStderr(), usageOf(cmd, helpWidth()))
		return err
	})
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		cmd.InitDefaultHelpFlag() // of a command that is asked for by segsync help
		text := cmd.Long
		if text == "" {
			text = cmd.Short
		}
		fmt.Fprint(cmd.OutOrStdout(), wrap(strings.TrimSpace(text)+"\n", helpWidth()))
		if cmd.Runnable() || cmd.HasSubCommands() {
			fmt.Fprint(cmd.OutOrStdout(), "\n"+usageOf(cmd, helpWidth()))
		}
	})
	root.AddCommand(&cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: exitCodes})
	tuningTopic := &cobra.Command{Use: "tuning", Short: "Flags of segsync import that few people need"}
	tuningTopic.Long = "Flags of segsync import that few people need:\n\n" + tuningFlags(root, helpWidth())
	root.AddCommand(tuningTopic)
	root.AddCommand(&cobra.Command{Use: "settings", Short: "What can be set in .env and in the environment", Long: settingsTopic()})
	root.SetHelpCommand(newHelpCommand())
}

// settingsTopic lists the settings, with what each may be and its default.
func settingsTopic() string {
	var b strings.Builder
	b.WriteString("Settings are read from the environment, and from the file .env of the directory:\n")
	const indent = 6
	for _, s := range settings.Descriptions() {
		fmt.Fprintf(&b, "\n  %s\n", s.Name)
		text := s.Expected
		if s.Default != "" {
			text += "; default: " + s.Default
		}
		for _, line := range term.Wrap(strings.Repeat(" ", indent)+text, indent, helpWidth()) {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// tuningFlags returns the usages of the flags that the help of segsync import leaves out.
func tuningFlags(root *cobra.Command, width int) string {
	cmd, _, err := root.Find([]string{"import"})
	if err != nil {
		panic(err)
	}
	for _, g := range flagGroups(cmd) {
		if g.name == tuning {
			return g.flags.FlagUsagesWrapped(width)
		}
	}
	return ""
}

// newHelpCommand returns cobra's help command, but one that knows what it has no help for.
func newHelpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND or TOPIC]",
		Short: "Help about any command, and about the topics",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			var names []cobra.Completion
			if about, _, err := cmd.Root().Find(args); err == nil {
				for _, sub := range about.Commands() {
					if sub.IsAvailableCommand() || sub.IsAdditionalHelpTopicCommand() {
						names = append(names, cobra.CompletionWithDesc(sub.Name(), sub.Short))
					}
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err == nil && len(rest) > 0 {
				err = unknownCommand(about, rest[0])
			}
			if err != nil {
				return app.Usage(app.WithHint(err, "segsync --help lists the commands and the topics"))
			}
			return about.Help()
		},
	}
}

// helpWidth returns how wide help is: as the terminal that stdout is, 80 columns at most.
func helpWidth() int {
	const maxWidth = 80
	if width := term.Columns(os.Stdout); width > 0 {
		return min(width, maxWidth)
	}
	return maxWidth
}

// wrap makes lines of a width of each paragraph, and of each line of a list that is wider. What follows a
// name in a list stays behind it.
func wrap(text string, width int) string {
	var b strings.Builder
	for line := range strings.Lines(withinParagraph.ReplaceAllString(text, "$1 $2")) {
		b.WriteString(strings.Join(term.Wrap(strings.TrimSuffix(line, "\n"), len(listed.FindString(line)), width), "\n") + "\n")
	}
	return b.String()
}

var (
	listed          = regexp.MustCompile(`^ +\S+ {2,}`)
	withinParagraph = regexp.MustCompile(`(\S)\n(\S)`)
)

// usageOf returns what the help of cmd has behind its description.
func usageOf(cmd *cobra.Command, width int) string {
	var b strings.Builder
	switch {
	case cmd.HasAvailableSubCommands():
		fmt.Fprintf(&b, "Usage:\n  %s COMMAND\n", cmd.CommandPath())
	case cmd.Runnable():
		fmt.Fprintf(&b, "Usage:\n  %s\n", cmd.UseLine())
	}
	if cmd.HasExample() {
		fmt.Fprintf(&b, "\nExamples:\n%s\n", cmd.Example)
	}
	list := func(title string, isListed func(*cobra.Command) bool) {
		for _, sub := range cmd.Commands() {
			if isListed(sub) {
				b.WriteString(title + wrap(fmt.Sprintf("  %-11s  %s\n", sub.Name(), sub.Short), width))
				title = ""
			}
		}
	}
	list("\nCommands:\n", func(sub *cobra.Command) bool { return sub.IsAvailableCommand() || sub.Name() == "help" })
	list("\nTopics, shown by "+cmd.CommandPath()+" help TOPIC:\n", (*cobra.Command).IsAdditionalHelpTopicCommand)
	for _, g := range flagGroups(cmd) {
		if g.name != tuning && g.flags.HasAvailableFlags() {
			fmt.Fprintf(&b, "\n%s:\n%s", g.name, g.flags.FlagUsagesWrapped(width))
		}
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\n%s COMMAND --help tells more about a command.\n", cmd.CommandPath())
	}
	return b.String()
}
