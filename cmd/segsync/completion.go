package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"segsync/internal/settings"
	"segsync/profilessync"
)

// flagValues are the values that a shell offers for the flags with these names.
var flagValues = map[string][]cobra.Completion{
	"color":      {"auto", "always", "never"},
	"dialect":    profilessync.Dialects(),
	"from":       {"api", "warehouse"},
	"log-format": {"text", "json"},
	"verify":     {"on", "off"},
	"since":      {"last"},
}

// addCompletionCommand adds cobra's completion command, and lets it refuse a shell that it
// does not know: by itself it would print its help into the file meant for the script.
func addCompletionCommand(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	cmd, _, err := root.Find([]string{"completion"})
	if err != nil {
		panic(err)
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) > 0 {
			return fmt.Errorf("unknown shell %q: it must be bash, zsh, fish or powershell", args[0])
		}
		return nil
	}
}

// registerCompletions says what a shell offers for the arguments and for the values of
// the flags of cmd and the commands below it: those of flagValues, files or directories
// for a flag whose usage names its value so (`file`), both for --from, and nothing for any
// other.
func registerCompletions(cmd *cobra.Command) {
	if cmd.ValidArgsFunction == nil && cmd.ValidArgs == nil {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.NoOptDefVal != "" { // a switch, which takes no value
			return
		}
		if err := cmd.RegisterFlagCompletionFunc(f.Name, flagCompletion(f)); err != nil {
			panic(err) // registered twice
		}
	})
	for _, sub := range cmd.Commands() {
		registerCompletions(sub)
	}
}

func flagCompletion(f *pflag.Flag) cobra.CompletionFunc {
	values := flagValues[f.Name]
	if _, isSource := f.Value.(*settings.Source); f.Name == "from" && !isSource { // a list
		values = nil
	}
	switch value, _ := pflag.UnquoteUsage(f); value {
	case "file":
		return cobra.FixedCompletions(values, cobra.ShellCompDirectiveDefault)
	case "directory":
		return cobra.FixedCompletions(values, cobra.ShellCompDirectiveFilterDirs)
	}
	return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
}
