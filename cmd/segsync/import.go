package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"segsync/importer"
	"segsync/internal/sandbox"
)

// importOptions are the flags of segsync import.
type importOptions struct {
	offset         string
	dir            string
	envFile        string
	sandbox        bool
	nonInteractive bool
	logFormat      string
	verbose, quiet bool
}

func newImportCommand() *cobra.Command {
	var o importOptions
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Import the profiles of a Segment space into Voucherify",
		Long: `Import reads all profiles of a Segment space and upserts them as customers of a
Voucherify project. When it fails or is interrupted, its last lines are the offset
up to which everything was accepted, and the command that continues from there.

Settings are read from the environment, and from the file .env where the
environment has none; .env-example explains them. With --sandbox no settings are
needed.

` + exitCodes,
		Example: `  segsync import --sandbox
  segsync import
  segsync import --offset 400`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(cmd.Flags()); err != nil {
				return o.logged(&exitError{exitUsage, &hinted{err, "see segsync import --help"}})
			}
			return o.logged(runImport(cmd, &o))
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.offset, "offset", importer.Beginning, "start at this `offset` of the profile list")
	f.StringVar(&o.dir, "dir", ".", "`directory` for the files of the run")
	f.StringVar(&o.envFile, "env-file", ".env", "`file` with settings")
	f.BoolVar(&o.sandbox, "sandbox", false, "import 500 made-up profiles from an embedded sandbox of both APIs")
	f.BoolVar(&o.nonInteractive, "non-interactive", false, "never ask whether to resume")
	f.StringVar(&o.logFormat, "log-format", "text", "`format` of the log on stderr: text or json")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "log every retry and bulk request")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "log nothing but errors; the summary is printed all the same")
	return cmd
}

func (o *importOptions) check(flags *pflag.FlagSet) error {
	var errs []error
	if !plausibleOffset(o.offset) {
		errs = append(errs, fmt.Errorf("--offset %q is no offset: use the number that an earlier run printed", o.offset))
	}
	if o.logFormat != "text" && o.logFormat != "json" {
		errs = append(errs, fmt.Errorf("--log-format %q: it must be text or json", o.logFormat))
	}
	if o.verbose && o.quiet {
		errs = append(errs, errors.New("--verbose and --quiet exclude each other"))
	}
	for _, name := range []string{"dir", "env-file"} {
		if flags.Changed(name) && flags.Lookup(name).Value.String() == "" {
			errs = append(errs, fmt.Errorf("--%s is empty", name))
		}
	}
	return errors.Join(errs...)
}

// plausibleOffset tells an offset, which is whatever Segment's list gave as its cursor,
// from what a slip of the fingers gives: a sign, a fraction, a word.
func plausibleOffset(s string) bool {
	return strings.ContainsFunc(s, unicode.IsDigit) && !strings.HasPrefix(s, "-") &&
		!strings.ContainsFunc(s, func(r rune) bool {
			return r > unicode.MaxASCII || !unicode.IsPrint(r) || strings.ContainsRune(" .,+\"'`$\\", r)
		})
}

func runImport(cmd *cobra.Command, o *importOptions) error {
	fromEnv := lookupIn(nil)
	if !o.sandbox || cmd.Flags().Changed("env-file") {
		file, err := readEnvFile(o.envFile, cmd.Flags().Changed("env-file"))
		if err != nil {
			return &exitError{exitUsage, err}
		}
		fromEnv = lookupIn(file)
	}
	total := int64(-1)
	if o.sandbox {
		box := sandbox.New(sandbox.Options{Profiles: 500, Seed: 1, RateLimit: 100, Latency: 50 * time.Millisecond})
		server, err := box.Listen("127.0.0.1:0")
		if err != nil {
			return &exitError{exitFailed, err}
		}
		defer server.Close()
		total = 500
		fromEnv = lookupFirst(box.Settings(server.URL), fromEnv)
		if !cmd.Flags().Changed("dir") {
			if o.dir, err = os.MkdirTemp("", "segsync-"); err != nil {
				return &exitError{exitFailed, err}
			}
		}
	}
	settings, err := loadSettings(fromEnv)
	if err != nil {
		return &exitError{exitUsage, err}
	}

	s, err := newSession(cmd, o, settings, total)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	defer s.close()
	return s.run(cmd.Context())
}

// logged turns an error into a line of the log where that is JSON, so that every line
// of stderr is.
func (o *importOptions) logged(err error) error {
	var exit *exitError
	if o.logFormat != "json" || !errors.As(err, &exit) || exit.err == nil {
		return err
	}
	o.newLogger(os.Stderr).Error(exit.err.Error(), "hints", hints(exit.err))
	return &exitError{code: exit.code}
}

// lookupFirst returns a lookup in the sandbox's own settings, then in rest.
func lookupFirst(own []sandbox.Setting, rest func(string) string) func(string) string {
	return func(name string) string {
		for _, s := range own {
			if s.Name == name {
				return s.Value
			}
		}
		return rest(name)
	}
}

func (o *importOptions) newLogger(w io.Writer) *slog.Logger {
	level := slog.LevelInfo
	switch {
	case o.verbose:
		level = slog.LevelDebug
	case o.quiet:
		level = slog.LevelError
	}
	options := &slog.HandlerOptions{Level: level}
	if o.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
