// Segsync copies the profiles of a Segment space into the customers of a Voucherify
// project. See package importer for how it works, and package app for what a command does.
package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"segsync/internal/app"
	"segsync/internal/term"
)

func main() {
	// net/http logs what a server sends between answers, bodies with personal data
	// included. Nothing else uses this logger.
	log.SetOutput(io.Discard)
	app.Version = buildVersion()
	os.Exit(run(os.Args[1:]))
}

const exitCodes = `Exit codes:
  0    done
  1    failed, or an API did not answer; the last lines say how to continue
  2    wrong usage, settings or credentials
  3    done, but profiles are outstanding; segsync outstanding lists them
  4    everything is sent, but not confirmed; run segsync verify
  5    stopped for a quota; run segsync import --resume later
  6    segsync plan --exit-code, segsync delete: something would change, or be deleted
  11   another import is running in the same directory
  130  interrupted by Ctrl-C (143: by SIGTERM); the last lines say how to continue`

// run runs the program with these arguments and returns its exit code.
func run(args []string) int {
	root, stdout := newRootCommand(), &firstError{file: os.Stdout}
	root.SetArgs(args)
	root.SetOut(stdout)
	command, err := root.ExecuteC()
	var exit *app.Error
	if stdout.err != nil && !errors.As(err, &exit) {
		err = &app.Error{Code: app.ExitFailed, Err: fmt.Errorf("writing the output: %w", stdout.err)}
	}
	if err == nil {
		return app.ExitDone
	}
	if !errors.As(err, &exit) { // cobra's own: a flag or argument it does not know
		exit = &app.Error{Code: app.ExitUsage, Err: app.WithHint(usageError(err), fmt.Sprintf("see %s --help", command.CommandPath()))}
	}
	if exit.Err != nil {
		printError(args, exit.Err)
	}
	return exit.Code
}

// printError prints the error that ends the program, as JSON where the log is.
func printError(args []string, err error) {
	options := term.Options{}
	if slices.Contains(args, "--log-format=json") || isFollowed(args, "--log-format", "json") {
		options.LogFormat = "json"
	}
	out, outErr := term.New(os.Stdout, os.Stderr, options)
	if outErr != nil {
		fmt.Fprintln(os.Stderr, "segsync: error:", err)
		return
	}
	out.PrintError(err, app.Hints(err))
}

// isFollowed reports whether a flag is followed by the value.
func isFollowed(args []string, flag, value string) bool {
	i := slices.Index(args, flag)
	return i >= 0 && i+1 < len(args) && args[i+1] == value
}

// firstError is stdout, and remembers the first error of writing to it: what a command says
// there is what it was run for.
type firstError struct {
	file *os.File
	err  error
}

func (o *firstError) Write(p []byte) (int, error) {
	n, err := o.file.Write(p)
	if o.err == nil {
		o.err = err
	}
	return n, err
}

// Fd lets stdout be told from a pipe.
func (o *firstError) Fd() uintptr { return o.file.Fd() }

// newOutput returns what a command speaks with.
func newOutput(cmd *cobra.Command, options term.Options) (*term.Output, error) {
	options.Stdin = cmd.InOrStdin()
	out, err := term.New(cmd.OutOrStdout(), os.Stderr, options)
	if err != nil {
		return nil, app.Usage(err)
	}
	return out, nil
}

// given returns the flags that were given, for the command that continues.
func given(f *pflag.FlagSet) (flags []app.Flag) {
	f.Visit(func(f *pflag.Flag) {
		flags = append(flags, app.Flag{Name: f.Name, Value: f.Value.String(), IsBool: f.Value.Type() == "bool"})
	})
	return flags
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "segsync",
		Short: "Import Segment profiles into Voucherify as customers",
		Long: `Segsync copies the profiles of a Segment space into the customers of a Voucherify
project. Try it without any settings:

  segsync import --sandbox`,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.AddCommand(newImportCommand(), newPlanCommand(), newVerifyCommand(), newStatusCommand(), newOutstandingCommand(), newDeleteCommand(), newCheckCommand(), newInspectCommand(), newTestCommand(),
		newMappingCommand(), newFunctionCommand(), newSQLCommand(), newSandboxCommand(), newVersionCommand())
	root.AddCommand(developerCommands()...)
	useUsageErrors(root)
	useHelp(root)
	addVersionFlag(root)
	addCompletionCommand(root)
	registerCompletions(root)
	return root
}
