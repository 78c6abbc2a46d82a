package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"

	"segsync/internal/redact"
	"segsync/internal/safetext"
	"segsync/internal/screen"
)

// telling is how a command speaks to people. Everything it says goes through it, so that
// no secret is shown, and nothing that could change a terminal.
type telling struct {
	plain       io.Writer // stdout as it is, for customers
	stdout      *page     // for the summary
	stderr      *page     // for questions, errors and last lines, by way of the screen
	screen      *screen.Screen
	people      bool // stderr is a terminal, and its log is for people
	live        bool // progress is a block there, not lines in the log
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
	t := &telling{plain: stdout, json: o.logFormat == "json", secrets: new(secrets)}
	t.stdout = &page{Writer: &cleanWriter{stdout, t.secrets, asItIs}, columns: columnsOf(os.Stdout), clean: t.secrets.clean}
	t.stderr = &page{columns: columnsOf(os.Stderr), clean: t.secrets.clean}
	terminal := t.stderr.columns() > 0
	t.people = terminal && !t.json
	t.interactive = terminal && screen.Columns(os.Stdin) > 0 && !nonInteractive
	size := screen.Terminal(os.Stderr, os.Getenv)
	if t.json {
		size = nil
	}
	t.live = size != nil
	var err error
	if t.stderr.style, err = screen.NewStyle(o.color, t.people, os.Getenv); err != nil {
		return nil, fmt.Errorf("--color %q: it must be auto, always or never", o.color)
	}
	t.stdout.style, _ = screen.NewStyle(o.color, t.stdout.columns() > 0, os.Getenv) // the flag is right by now
	t.screen = screen.New(os.Stderr, size, t.stderr.style)
	t.stderr.Writer = &cleanWriter{t.screen, t.secrets, asItIs}
	switch {
	case o.quiet:
		t.log = slog.New(&quietHandler{t.handler(slog.LevelWarn)})
	case o.verbose:
		t.log = slog.New(t.handler(slog.LevelDebug))
	default:
		t.log = slog.New(t.handler(slog.LevelInfo))
	}
	return t, nil
}

// aboutSetting is the key of the setting that a warning is about.
const aboutSetting = "setting"

// quietHandler leaves out all warnings but those about settings: some settings cannot be
// corrected any more once an import has begun.
type quietHandler struct{ slog.Handler }

func (h *quietHandler) WithAttrs(a []slog.Attr) slog.Handler {
	return &quietHandler{h.Handler.WithAttrs(a)}
}

func (h *quietHandler) WithGroup(name string) slog.Handler {
	return &quietHandler{h.Handler.WithGroup(name)}
}

func (h *quietHandler) Handle(ctx context.Context, r slog.Record) error {
	shown := r.Level >= slog.LevelError
	r.Attrs(func(a slog.Attr) bool {
		shown = shown || a.Key == aboutSetting
		return !shown
	})
	if !shown {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

func (t *telling) handler(level slog.Level) slog.Handler {
	switch {
	case t.json:
		return slog.NewJSONHandler(&cleanWriter{t.screen, t.secrets, safeJSON}, &slog.HandlerOptions{Level: level})
	case t.people:
		return screen.NewHandler(t.stderr, t.stderr.fold, level, t.stderr.style)
	}
	return slog.NewTextHandler(&cleanWriter{t.screen, t.secrets, safetext.Text}, &slog.HandlerOptions{Level: level})
}

// keepSecret takes the values out of everything that is said from now on.
func (t *telling) keepSecret(values ...string) { t.secrets.redactor.Store(redact.New(values...)) }

// answer tells a person, who waits for it, what becomes of something that they did. Of
// others, it is a warning.
func (t *telling) answer(text string) {
	if t.people {
		t.stderr.line(0, text)
		return
	}
	t.log.Warn(text)
}

func (t *telling) printError(err error) {
	if t.json {
		t.log.Error(err.Error(), "hints", hints(err))
		return
	}
	printError(t.stderr, err)
}

// printError prints the error, and after it the hints of all errors in it.
func printError(to *page, err error) {
	to.linef("segsync: error: %s", strings.ReplaceAll(safetext.Text(to.clean(err.Error())), "\n", "\n  "))
	for _, hint := range hints(err) {
		to.linef("segsync: hint: %s", hint)
	}
}
