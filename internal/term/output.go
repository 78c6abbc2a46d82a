// Package term is the one place that writes to the terminal: results to stdout; progress,
// warnings, errors and questions to stderr. It takes secrets out of all of it, and makes
// text from outside printable.
//
//	log records ─┐
//	errors      ─┼─▶ Output ─▶ clear the bar, write, let the bar draw again
//	progress    ─┘
package term

import (
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/term"

	"segsync/internal/redact"
	"segsync/internal/safetext"
)

// Options say how an Output behaves. The zero value is that of a command without flags for it.
type Options struct {
	Quiet          bool   // log errors only, and draw no bar
	Verbose        bool   // log debug records, too
	LogFormat      string // json: each line of stderr is JSON
	Color          string // auto (or empty), always or never
	NonInteractive bool   // never ask
	Stdin          io.Reader
}

// Output is how a command speaks to people. It is safe for concurrent use.
type Output struct {
	Log *slog.Logger
	Out *Printer // stdout
	Err *Printer // stderr

	options  Options
	redactor atomic.Pointer[redact.Redactor]
	terminal bool // stderr is one
	escapes  bool // and can erase a line

	mu     sync.Mutex // of everything below
	stderr io.Writer
	bar    *bar          // nil: none is shown
	lines  <-chan string // of stdin, once something was asked
}

// New returns an Output. Whether a writer is a terminal is told by its method Fd, which files have.
func New(stdout, stderr io.Writer, options Options) (*Output, error) {
	o := &Output{options: options, stderr: stderr, terminal: Columns(stderr) > 0}
	o.escapes = o.terminal && canErase(stderr)
	o.Out = &Printer{clean: o.clean, columns: func() int { return Columns(stdout) }, write: func(text string) { io.WriteString(stdout, text) }}
	o.Err = &Printer{clean: o.clean, columns: func() int { return Columns(stderr) }, write: func(text string) { o.writeLines(text) }}
	var err error
	if o.Out.style, err = newStyle(options.Color, Columns(stdout) > 0); err != nil {
		return nil, err
	}
	o.Err.style, _ = newStyle(options.Color, o.IsTerminal())
	level := slog.LevelInfo
	switch {
	case options.Quiet:
		level = slog.LevelError
	case options.Verbose:
		level = slog.LevelDebug
	}
	switch {
	case o.IsJSON():
		clean := func(text string) string { return string(o.CleanJSON([]byte(text))) }
		o.Log = slog.New(slog.NewJSONHandler(lineWriter{o, clean}, &slog.HandlerOptions{Level: level}))
	case o.terminal:
		o.Log = slog.New(&handler{out: o, level: level})
	default:
		o.Log = slog.New(slog.NewTextHandler(lineWriter{o, o.clean}, &slog.HandlerOptions{Level: level}))
	}
	return o, nil
}

// IsTerminal reports whether a person reads stderr: it is a terminal, and not JSON.
func (o *Output) IsTerminal() bool { return o.terminal && !o.IsJSON() }

// IsJSON reports whether stderr is JSON, line by line.
func (o *Output) IsJSON() bool { return o.options.LogFormat == "json" }

// IsQuiet reports whether nothing is printed where all is well.
func (o *Output) IsQuiet() bool { return o.options.Quiet }

// HasBar reports whether Progress draws a bar.
func (o *Output) HasBar() bool { return o.IsTerminal() && o.escapes && !o.options.Quiet }

// CanAsk reports whether a person reads questions and can answer them.
func (o *Output) CanAsk() bool {
	return o.terminal && Columns(o.options.Stdin) > 0 && !o.options.NonInteractive
}

// KeepSecret takes these values, instead of earlier ones, out of everything written from now on.
func (o *Output) KeepSecret(values ...string) { o.redactor.Store(redact.New(values...)) }

// clean returns text without secrets, and printable. Lines stay.
func (o *Output) clean(text string) string {
	return safetext.Text(o.redactor.Load().String(text))
}

// CleanJSON returns JSON without secrets, and printable.
func (o *Output) CleanJSON(data []byte) []byte {
	return safetext.JSON(o.redactor.Load().Bytes(data))
}

// PrintError prints an error and what to do about it: as lines, or as a record of the log.
func (o *Output) PrintError(err error, hints []string) {
	if o.IsJSON() {
		o.Log.Error(err.Error(), "hints", hints)
		return
	}
	o.Err.Linef("segsync: error: %s", strings.ReplaceAll(err.Error(), "\n", "\n  "))
	for _, hint := range hints {
		o.Err.Linef("segsync: hint: %s", hint)
	}
}

// writeLines writes whole lines to stderr. A bar is erased first; the next tick draws it again.
func (o *Output) writeLines(text string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.bar != nil {
		o.bar.Clear()
		o.bar.text = ""
	}
	_, err := io.WriteString(o.stderr, text)
	return err
}

// lineWriter cleans the lines that a log handler writes.
type lineWriter struct {
	out   *Output
	clean func(string) string
}

func (w lineWriter) Write(line []byte) (int, error) {
	return len(line), w.out.writeLines(w.clean(string(line)))
}

// Columns returns how wide the terminal is that file writes to or reads from, or 0 if it is none.
func Columns(file any) int {
	f, ok := file.(interface{ Fd() uintptr })
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		return 80 // it does not say
	}
	return width
}
