package main

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/rivo/uniseg"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"segsync/internal/screen"
)

// helpWidth is the most columns that help has.
const helpWidth = 100

// groupAnnotation names the group of a flag in the help.
const groupAnnotation = "segsync_group"

// group puts the flags into a group of the help. Groups are shown in the order in which
// their first flags were added; flags without a group come last, as "Other".
func group(f *pflag.FlagSet, name string, flags ...string) {
	for _, flag := range flags {
		if err := f.SetAnnotation(flag, groupAnnotation, []string{name}); err != nil {
			panic(err) // there is no such flag
		}
	}
}

// groupOf returns the name of the flag's group, or "".
func groupOf(f *pflag.Flag) string {
	if names := f.Annotations[groupAnnotation]; len(names) > 0 {
		return names[0]
	}
	return ""
}

// useHelp gives cmd and the commands below it help that has groups and fits the terminal.
func useHelp(root *cobra.Command) {
	root.SetUsageFunc(func(cmd *cobra.Command) error {
		_, err := fmt.Fprint(cmd.OutOrStderr(), usageOf(cmd, terminalColumns()))
		return err
	})
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		cmd.InitDefaultHelpFlag() // of a command that is asked for by segsync help
		fmt.Fprint(cmd.OutOrStdout(), helpOf(cmd, terminalColumns()))
	})
	root.AddCommand(newExitCodesTopic())
	root.SetHelpCommand(newHelpCommand())
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
				return &exitError{exitUsage, &hinted{err, "see segsync --help"}}
			}
			return about.Help()
		},
	}
}

// helpOf returns the help of cmd.
func helpOf(cmd *cobra.Command, width int) string {
	text := foldText(cmp.Or(cmd.Long, cmd.Short), width)
	if cmd.Runnable() || cmd.HasSubCommands() {
		text += "\n" + usageOf(cmd, width)
	}
	return text
}

// foldText folds a text that has lines of its own: those of a paragraph become one, those
// that are indented stay as they are, and are folded to where their text begins.
func foldText(text string, width int) string {
	var lines []string
	open := false // the last line may go on
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		prose := line != "" && !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "\t")
		if prose && open {
			lines[len(lines)-1] += " " + line
		} else {
			lines = append(lines, line)
		}
		open = prose
	}
	for i, line := range lines {
		lines[i] = foldLine(line, width)
	}
	return strings.Join(lines, "\n") + "\n"
}

// entry is a line of a list: "  130  interrupted".
var entry = regexp.MustCompile(`^ +\S+ {2,}`)

func foldLine(line string, width int) string {
	return strings.Join(screen.Fold(line, len(entry.FindString(line)), width), "\n")
}

// foldExample returns the lines of an example: a comment goes before its command where both
// are too wide, and a command is never folded.
func foldExample(line string, width int) string {
	command, comment, _ := strings.Cut(line, " # ")
	if comment == "" || uniseg.StringWidth(line) <= width {
		return line
	}
	return foldLine("  # "+comment, width) + "\n" + strings.TrimRight(command, " ")
}

// newExitCodesTopic returns the help topic of the exit codes.
func newExitCodesTopic() *cobra.Command {
	return &cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: exitCodes}
}

// terminalColumns returns how wide help may be: the width of the terminal that stdout is,
// helpWidth at most.
func terminalColumns() int {
	if width := screen.Columns(os.Stdout); width > 0 {
		return min(width, helpWidth)
	}
	return helpWidth
}

// usageOf returns what the help of cmd has behind its description. No line is wider than
// width, but one whose first words are.
func usageOf(cmd *cobra.Command, width int) string {
	var b strings.Builder
	if cmd.Runnable() {
		fmt.Fprintf(&b, "Usage:\n%s\n", foldLine("  "+cmd.UseLine(), width))
	} else if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "Usage:\n  %s COMMAND\n", cmd.CommandPath())
	}
	if cmd.HasExample() {
		b.WriteString("\nExamples:\n")
		for line := range strings.SplitSeq(strings.TrimRight(cmd.Example, "\n"), "\n") {
			b.WriteString(foldExample(line, width) + "\n")
		}
	}
	b.WriteString(commandList(cmd, width))
	b.WriteString(flagsOf(cmd, width))
	if cmd.HasAvailableSubCommands() {
		b.WriteString("\n" + foldLine(cmd.CommandPath()+" COMMAND --help tells more about a command.", width) + "\n")
	}
	return b.String()
}

// commandList returns the list of the commands below cmd, and that of its help topics.
func commandList(cmd *cobra.Command, width int) string {
	var commands, topics []string
	for _, sub := range cmd.Commands() {
		line := foldLine(fmt.Sprintf("  %-11s  %s", sub.Name(), sub.Short), width) + "\n"
		switch {
		case sub.IsAdditionalHelpTopicCommand():
			topics = append(topics, line)
		case sub.IsAvailableCommand() || sub.Name() == "help":
			commands = append(commands, line)
		}
	}
	text := ""
	if len(commands) > 0 {
		text += "\nCommands:\n" + strings.Join(commands, "")
	}
	if len(topics) > 0 {
		text += "\n" + foldLine("Topics, shown by "+cmd.CommandPath()+" help TOPIC:", width) + "\n" + strings.Join(topics, "")
	}
	return text
}

// flagGroup is a group of the flags of a command.
type flagGroup struct {
	name  string // "" if the command has no groups
	flags []*pflag.Flag
}

// flagGroups returns the flags of cmd in their groups.
func flagGroups(cmd *cobra.Command) []flagGroup {
	var groups []flagGroup
	var others flagGroup
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		name := groupOf(f)
		if name == "" {
			others.flags = append(others.flags, f)
			return
		}
		i := slices.IndexFunc(groups, func(g flagGroup) bool { return g.name == name })
		if i < 0 {
			i, groups = len(groups), append(groups, flagGroup{name: name})
		}
		groups[i].flags = append(groups[i].flags, f)
	})
	if len(others.flags) == 0 {
		return groups
	}
	if len(groups) > 0 {
		others.name = "Other"
	}
	return append(groups, others)
}

// flagsOf returns the flags of cmd in their groups.
func flagsOf(cmd *cobra.Command, width int) string {
	text := ""
	for _, g := range flagGroups(cmd) {
		text += "\n" + cmp.Or(g.name, "Flags") + ":\n"
		for _, f := range g.flags {
			text += flagHelp(f, width)
		}
	}
	return text
}

// usageColumn is where the descriptions of flags begin. A longer flag has a line of its own.
const usageColumn = 30

// flagHelp returns the lines of a flag.
func flagHelp(f *pflag.Flag, width int) string {
	left, text := flagLeft(f), flagText(f)
	indent, below := usageColumn, uniseg.StringWidth(left) > usageColumn-2
	if width < usageColumn+30 {
		indent, below = 8, true
	}
	lines := strings.Join(screen.Fold(strings.Repeat(" ", indent)+text, indent, width), "\n") + "\n"
	if below {
		return foldLine(left, width) + "\n" + lines
	}
	return left + lines[uniseg.StringWidth(left):]
}

// flagLeft returns the flag as it is typed.
func flagLeft(f *pflag.Flag) string {
	left := "      --" + f.Name
	if f.Shorthand != "" {
		left = "  -" + f.Shorthand + ", --" + f.Name
	}
	if value, _ := pflag.UnquoteUsage(f); value != "" {
		left += " " + value
	}
	return left
}

// flagText returns the description of the flag, with its default where that says something.
func flagText(f *pflag.Flag) string {
	_, text := pflag.UnquoteUsage(f)
	switch f.DefValue {
	case "", "0", "0s", "false", "[]":
		return text
	}
	if strings.Contains(text, "(default") {
		return text
	}
	value := f.DefValue
	if strings.HasSuffix(value, "m0s") {
		value = strings.TrimSuffix(value, "0s")
	}
	return text + " (default " + value + ")"
}
