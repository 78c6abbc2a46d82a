package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"segsync/internal/similar"
)

// maxTypos is how many letters a name may be off from the one that was meant.
const maxTypos = 2

// useUsageErrors makes the mistakes in the arguments of root, and of the commands below
// it, say what is wrong in words of this program.
func useUsageErrors(root *cobra.Command) {
	root.SuggestionsMinimumDistance = maxTypos
	root.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownCommand(cmd, args[0])
		}
		return nil
	}
	root.SetFlagErrorFunc(flagError)
}

// noArgs refuses all arguments. One may have been meant as a flag.
func noArgs(cmd *cobra.Command, args []string) error { return maxArgs(0)(cmd, args) }

// maxArgs refuses more arguments than n.
func maxArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) <= n {
			return nil
		}
		if near := nearestFlag(cmd.Flags(), args[n]); near != "" {
			return fmt.Errorf("unexpected argument %q: did you mean --%s?", args[n], near)
		}
		if _, err := strconv.ParseUint(args[n], 10, 64); err == nil && cmd.Flags().Lookup("offset") != nil {
			return fmt.Errorf("unexpected argument %q: did you mean --offset %s?", args[n], args[n])
		}
		if flag := cmd.Flags().Lookup("from"); flag != nil && flag.Changed {
			if _, err := os.Stat(args[n]); err == nil {
				return fmt.Errorf("unexpected argument %q: write a pattern of several files in quotes, or --from before each", args[n])
			}
		}
		if flag := cmd.Flags().Lookup("plan"); flag != nil && strings.Contains(args[n], "/") {
			return fmt.Errorf("unexpected argument %q: did you mean --plan %s?", args[n], args[n])
		}
		return fmt.Errorf("unexpected argument %q", args[n])
	}
}

// unknownCommand returns the error of a command that is not below cmd.
func unknownCommand(cmd *cobra.Command, name string) error {
	near := cmd.SuggestionsFor(name)
	for _, sub := range cmd.Commands() {
		switch {
		case similar.Find(name, []string{sub.Name()}, maxTypos) == nil:
		case sub.Name() == "help":
			near = append(near, "help")
		case sub.IsAdditionalHelpTopicCommand():
			near = append(near, cmd.CommandPath()+" help "+sub.Name())
		}
	}
	if len(near) > 0 {
		return fmt.Errorf("unknown command %q: did you mean %s?", name, strings.Join(near, " or "))
	}
	return fmt.Errorf("unknown command %q", name)
}

// flagError says what is wrong with a flag, where pflag's own error does not.
func flagError(cmd *cobra.Command, err error) error {
	if args := cmd.Flags().Args(); !cmd.HasParent() && len(args) > 0 {
		return unknownCommand(cmd, args[0]) // its flags are unknown because it is
	}
	var unknown *pflag.NotExistError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown):
		name := unknown.GetSpecifiedName()
		if letters := unknown.GetSpecifiedShortnames(); len(letters) > maxTypos { // -resume
			name = letters
		}
		if near := nearestFlag(cmd.Flags(), name); near != "" {
			return fmt.Errorf("%w: did you mean --%s?", err, near)
		}
	case errors.As(err, &invalid):
		flag := invalid.GetFlag()
		return fmt.Errorf("--%s %q: %w", flag.Name, invalid.GetValue(), valueError(flag, invalid.Unwrap()))
	}
	return err
}

// nearestFlag returns the flag that was probably meant, or "".
func nearestFlag(f *pflag.FlagSet, name string) string {
	var names []string
	f.VisitAll(func(flag *pflag.Flag) {
		if !flag.Hidden {
			names = append(names, flag.Name)
		}
	})
	if found := similar.Find(name, names, min(maxTypos, len(name)-1)); len(found) > 0 {
		return found[0]
	}
	i := slices.IndexFunc(names, func(flag string) bool { return len(name) > maxTypos && strings.HasPrefix(flag, strings.ToLower(name)) })
	if i < 0 {
		return ""
	}
	return names[i] // the rest is missing
}

// valueError says what the value of a flag must be. Of Go's own types of values, the cause
// speaks of functions of Go.
func valueError(flag *pflag.Flag, cause error) error {
	if errors.Is(cause, strconv.ErrRange) {
		return errors.New("it is too large")
	}
	switch flag.Value.Type() {
	case "int", "int64":
		return errors.New("it must be a whole number")
	case "uint", "uint64":
		return errors.New("it must be a whole number from 0 on")
	case "float64":
		return errors.New("it must be a number, such as 0.5")
	case "duration":
		return errors.New("it must be a time with a unit, such as 30s, 5m or 1h30m")
	case "bool":
		return errors.New("it must be true or false")
	}
	return cause
}

// exclusive matches cobra's error about flags that exclude each other, which has no type.
var exclusive = regexp.MustCompile(`^if any flags in the group \[(.*)\] are set none of the others can be`)

// usageError returns err, which cobra found, in words of this program.
func usageError(err error) error {
	if m := exclusive.FindStringSubmatch(err.Error()); m != nil {
		return fmt.Errorf("--%s exclude each other", strings.Join(strings.Fields(m[1]), " and --"))
	}
	return err
}
