// Segsync copies the profiles of a Segment space into the customers of a Voucherify
// project. See package importer for how it works.
package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"slices"

	"github.com/spf13/cobra"
)

func main() {
	// net/http logs what a server sends between answers, bodies with personal data
	// included. Nothing else uses this logger.
	log.SetOutput(io.Discard)
	os.Exit(run(os.Args[1:]))
}

// Exit codes. They are part of the interface: cron jobs and monitoring read them.
const (
	exitDone        = 0
	exitFailed      = 1 // can be continued
	exitUsage       = 2 // wrong usage, settings or credentials
	exitNotImported = 3 // done, but profiles are outstanding
	exitUnconfirmed = 4 // done, but some customers are sent and not confirmed
	exitLater       = 5 // stopped for a quota; continue later
	exitChanges     = 6 // of segsync plan --exit-code: an import would change something
	exitLocked      = 11
	exitInterrupted = 130
	exitTerminated  = 143
)

const exitCodes = `Exit codes:
  0    done
  1    failed, or an API did not answer; the last lines say how to continue
  2    wrong usage, settings or credentials
  3    done, but profiles are outstanding; segsync outstanding lists them
  4    everything is sent, but not confirmed; run segsync verify
  5    stopped for a quota; run segsync import --resume later
  6    segsync plan --exit-code: an import would change something
  11   another import is running in the same directory
  130  interrupted by Ctrl-C (143: by SIGTERM); the last lines say how to continue`

// exitError ends the program with a code. Err is nil if everything was said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// hinted is an error that comes with advice.
type hinted struct {
	error
	hint string
}

func (h *hinted) Hint() string  { return h.hint }
func (h *hinted) Unwrap() error { return h.error }

// run runs the program with these arguments and returns its exit code.
func run(args []string) int {
	root, out := newRootCommand(), &standardOutput{file: os.Stdout}
	root.SetArgs(args)
	root.SetOut(out)
	command, err := root.ExecuteC()
	if err == nil && out.err != nil {
		err = &exitError{exitFailed, fmt.Errorf("writing the output: %w", out.err)}
	}
	if err == nil {
		return exitDone
	}
	var exit *exitError
	if !errors.As(err, &exit) { // cobra's own: a flag or argument it does not know
		exit = &exitError{exitUsage, &hinted{usageError(err), fmt.Sprintf("see %s --help", command.CommandPath())}}
	}
	if exit.err != nil {
		printError(newPage(os.Stderr), exit.err)
	}
	return exit.code
}

// standardOutput is stdout, and remembers the first error of writing to it: what a command says
// there is what it was run for.
type standardOutput struct {
	file *os.File
	err  error
}

func (o *standardOutput) Write(p []byte) (int, error) {
	n, err := o.file.Write(p)
	if o.err == nil {
		o.err = err
	}
	return n, err
}

// hints returns the advice that the error and those it wraps have to give.
func hints(err error) []string {
	var all []string
	if hint := hintOf(err); hint != "" {
		all = append(all, hint)
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			all = append(all, hints(inner)...)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			all = append(all, hints(inner)...)
		}
	}
	return slices.Compact(all) // an error and what it wraps may give the same advice
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
	root.AddCommand(newImportCommand(), newPlanCommand(), newVerifyCommand(), newOutstandingCommand(), newCheckCommand(), newInspectCommand(),
		newMappingCommand(), newSQLCommand(), newSandboxCommand(), newVersionCommand())
	root.AddCommand(developerCommands()...)
	useUsageErrors(root)
	useHelp(root)
	addVersionFlag(root)
	addCompletionCommand(root)
	registerCompletions(root)
	return root
}
