package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"segsync/importer"
	"segsync/internal/httpretry"
	"segsync/segmentprofiles"
	"segsync/voucherify"
)

// session is one execution of segsync import: its importer, run once and perhaps
// resumed once, and what it tells people.
type session struct {
	options             *importOptions
	flags               *pflag.FlagSet
	importer            *importer.Importer
	segment, voucherify *httpretry.Transport

	stdout      io.Writer
	console     *console // stderr
	log         *slog.Logger
	interactive bool
	began       time.Time
}

// newSession makes the importer and the clients below it. total is the number of
// profiles, or -1 if it is not known.
func newSession(cmd *cobra.Command, o *importOptions, set *settings, total int64) (*session, error) {
	s := &session{options: o, flags: cmd.Flags(), stdout: cmd.OutOrStdout(), began: time.Now()}
	terminal := term.IsTerminal(int(os.Stderr.Fd()))
	s.interactive = terminal && term.IsTerminal(int(os.Stdin.Fd())) && !o.nonInteractive
	s.console = newConsole(os.Stderr, terminal && !o.quiet && o.logFormat == "text", total)
	s.log = o.newLogger(s.console)

	s.segment = httpretry.New(httpretry.Options{API: "Segment", Rate: set.segmentRate, Secrets: set.secrets(), Log: s.log})
	s.voucherify = httpretry.New(httpretry.Options{API: "Voucherify", Secrets: set.secrets(), Log: s.log})
	segment, err := segmentprofiles.NewClient(s.segment.Client(), set.segmentURL, set.spaceID, set.segmentToken)
	if err != nil {
		return nil, err
	}
	vch, err := voucherify.NewClient(s.voucherify.Client(), set.voucherifyURL, set.appID, set.secretKey)
	if err != nil {
		return nil, err
	}
	s.importer = importer.New(segment, vch, importer.Settings{
		Identifier:  set.identifier,
		PageSize:    set.pageSize,
		TraitsLimit: set.traitsLimit,
		BatchSize:   set.batchSize,
		Readers:     readers(set.segmentRate),
		Dir:         o.dir,
		Mapping:     importer.DefaultMapping(),
	}, s.log)
	return s, nil
}

// readers returns how many profiles to read at once: as many as keep the quota in use
// while an answer takes up to a second.
func readers(rate float64) int { return int(min(max(rate, 16), 256)) }

func (s *session) close() {
	s.segment.CloseIdleConnections()
	s.voucherify.CloseIdleConnections()
}

// run imports, asks after the first error whether to resume, and says how it ended.
func (s *session) run(ctx context.Context) error {
	interrupts := watchInterrupts(ctx, s.importer.Stop, s.log)
	defer interrupts.close()
	if s.options.sandbox {
		s.log.Info("importing from the embedded sandbox", "dir", s.options.dir)
	}
	offset := s.options.offset
	for attempt := 1; ; attempt++ {
		stopProgress := s.console.showProgress(s.importer, s.log)
		resume, err := s.importer.Run(interrupts.ctx, offset)
		stopProgress()
		if err == nil {
			return s.finished()
		}
		offset = resume
		if code := interrupts.exitCode(); code != exitDone {
			s.printUnlessStopped(err)
			return s.stopped(offset, code)
		}
		s.printError(err)
		if attempt == 2 || !s.interactive || !s.askResume(offset, interrupts) {
			return s.stopped(offset, max(interrupts.exitCode(), exitCodeOf(err)))
		}
	}
}

// exitCodeOf tells errors that the operator must mend first from those after which the
// same command can be continued.
func exitCodeOf(err error) int {
	var refused interface{ Refused() bool }
	if errors.As(err, &refused) && refused.Refused() {
		return exitUsage
	}
	return exitFailed
}

// askResume asks whether to go on from the offset. Only "yes" means yes.
func (s *session) askResume(offset string, interrupts *interrupts) bool {
	fmt.Fprintf(s.console, "Do you wish to resume the process from the offset: %s? Type \"yes\" or \"no\": ", offset)
	answer := make(chan string, 1)
	go func() { // ends with the process at the latest: a read of a terminal cannot be called off
		line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
		answer <- line
	}()
	select {
	case line := <-answer:
		if !strings.HasSuffix(line, "\n") {
			fmt.Fprintln(s.console)
		}
		return strings.EqualFold(strings.TrimSpace(line), "yes")
	case <-interrupts.first:
		fmt.Fprintln(s.console)
		return false
	}
}

// finished says that the list was read to its end.
func (s *session) finished() error {
	counts := s.importer.Counts()
	s.printSummary(counts)
	if counts.NotImported > 0 {
		return &exitError{code: exitNotImported}
	}
	return nil
}

// stopped says where the import ended before its time, and how to continue it.
func (s *session) stopped(offset string, code int) error {
	s.printSummary(s.importer.Counts())
	command := s.resumeCommand(offset)
	if s.options.logFormat == "json" {
		s.log.Error("stopped", "offset", offset, "continue", command, "exit_code", code)
	} else {
		fmt.Fprintf(s.console, "Stopped at the offset: %s\nContinue with: %s\n", offset, command)
	}
	return &exitError{code: code}
}

func (s *session) printError(err error) {
	if s.options.logFormat == "json" {
		s.log.Error(err.Error(), "hints", hints(err))
		return
	}
	printError(s.console, err)
}

// printUnlessStopped prints the error of an interrupted run, unless it says no more
// than that.
func (s *session) printUnlessStopped(err error) {
	if !errors.Is(err, importer.ErrStopped) && !errors.Is(err, context.Canceled) {
		s.printError(err)
	}
}

// resumeCommand returns the command that continues from the offset, with the flags
// that were given to this one.
func (s *session) resumeCommand(offset string) string {
	command := "segsync import --offset " + shellQuote(offset)
	s.flags.Visit(func(f *pflag.Flag) {
		switch {
		case f.Name == "offset", f.Name == "dir":
		case f.Value.Type() == "bool":
			command += " --" + f.Name
		default:
			command += " --" + f.Name + " " + shellQuote(f.Value.String())
		}
	})
	if s.options.dir != s.flags.Lookup("dir").DefValue {
		command += " --dir " + shellQuote(s.options.dir)
	}
	return command
}

// shellQuote quotes a word for a POSIX shell, if it needs it.
func shellQuote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./:=@%,", r)
	}
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool { return !plain(r) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
