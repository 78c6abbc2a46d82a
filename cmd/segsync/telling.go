package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"

	"golang.org/x/term"

	"segsync/internal/redact"
	"segsync/internal/safetext"
	"segsync/internal/screen"
)

// telling is how a command speaks to people. Everything it says goes through it, so that
// no secret is shown, and nothing that could change a terminal.
type telling struct {
	plain       io.Writer // stdout as it is, for customers
	stdout      io.Writer // for the summary
	stderr      io.Writer // for questions and last lines: the screen
	screen      *screen.Screen
	width       int  // of the terminal that stdout is; 0: it is none
	live        bool // progress is a block on the terminal, not lines in the log
	stdoutStyle screen.Style
	stderrStyle screen.Style
	log         *slog.Logger
	json        bool // the log is JSON, and so is every line of stderr
	interactive bool
	lines       <-chan string // of stdin, once something was asked
	secrets     *secrets
}

// secrets are what must not be shown. They are known once the settings are.
type secrets struct {
	redactor atomic.Pointer[redact.Redactor]
}

func (s *secrets) clean(text string) string { return s.redactor.Load().String(text) }

// cleanWriter takes the secrets out of what is written, line by line, and makes foreign
// text in it printable.
type cleanWriter struct {
	to      io.Writer
	secrets *secrets
	safe    func(string) string
}

func (w *cleanWriter) Write(p []byte) (int, error) {
	if _, err := io.WriteString(w.to, w.safe(w.secrets.clean(string(p)))); err != nil {
		return 0, err
	}
	return len(p), nil
}

func safeJSON(s string) string { return string(safetext.JSON([]byte(s))) }

// newTelling returns what a command speaks with. The flags must be in order.
func newTelling(stdout io.Writer, o *reportFlags, nonInteractive bool) (*telling, error) {
	size := screen.Terminal(os.Stderr, os.Getenv)
	t := &telling{plain: stdout, json: o.logFormat == "json", secrets: new(secrets)}
	t.live = size != nil && !t.json
	if !t.live {
		size = nil
	}
	sizeOfStdout := screen.Terminal(os.Stdout, os.Getenv)
	if sizeOfStdout != nil {
		t.width, _ = sizeOfStdout()
	}
	var err error
	if t.stderrStyle, err = screen.NewStyle(o.color, t.live, os.Getenv); err != nil {
		return nil, fmt.Errorf("--color %q: it must be auto, always or never", o.color)
	}
	t.stdoutStyle, _ = screen.NewStyle(o.color, sizeOfStdout != nil, os.Getenv) // the flag is right by now
	t.screen = screen.New(os.Stderr, size, t.stderrStyle)
	t.stderr = &cleanWriter{t.screen, t.secrets, func(s string) string { return s }}
	t.stdout = &cleanWriter{stdout, t.secrets, func(s string) string { return s }}
	terminal := term.IsTerminal(int(os.Stderr.Fd()))
	t.interactive = terminal && term.IsTerminal(int(os.Stdin.Fd())) && !nonInteractive
	t.log = slog.New(t.handler(o.level()))
	return t, nil
}

// level is that of the log.
func (o *reportFlags) level() slog.Level {
	switch {
	case o.verbose:
		return slog.LevelDebug
	case o.quiet:
		return slog.LevelError
	}
	return slog.LevelInfo
}

func (t *telling) handler(level slog.Level) slog.Handler {
	switch {
	case t.json:
		return slog.NewJSONHandler(&cleanWriter{t.screen, t.secrets, safeJSON}, &slog.HandlerOptions{Level: level})
	case t.live:
		return screen.NewHandler(t.stderr, level, t.stderrStyle)
	}
	return slog.NewTextHandler(&cleanWriter{t.screen, t.secrets, safetext.Text}, &slog.HandlerOptions{Level: level})
}

// keepSecret takes the values out of everything that is said from now on.
func (t *telling) keepSecret(values ...string) { t.secrets.redactor.Store(redact.New(values...)) }

func (t *telling) printError(err error) {
	if t.json {
		t.log.Error(err.Error(), "hints", hints(err))
		return
	}
	printError(t.screen, err, t.secrets.clean)
}

// printError prints the error, and after it the hints of all errors in it.
// The hints are this program's own words: there is nothing to clean in them.
func printError(w io.Writer, err error, clean func(string) string) {
	fmt.Fprintf(w, "segsync: error: %s\n", strings.ReplaceAll(safetext.Text(clean(err.Error())), "\n", "\n  "))
	for _, hint := range hints(err) {
		fmt.Fprintf(w, "segsync: hint: %s\n", hint)
	}
}
