package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"segsync/internal/screen"
)

// page is what a command writes for people. On a terminal no line of it is wider than that,
// but for commands, which stay whole so that they can be copied.
type page struct {
	io.Writer
	columns func() int // of the terminal at present; 0: it is none, and lines have any width
	style   screen.Style
	clean   func(string) string // takes out secrets
}

// newPage returns the page of a command that has no flags for how it looks.
func newPage(w io.Writer) *page {
	file, _ := w.(*os.File)
	if out, ok := w.(*standardOutput); ok {
		file = out.file
	}
	p := &page{Writer: w, columns: columnsOf(file), clean: asItIs}
	p.style, _ = screen.NewStyle("auto", p.columns() > 0, os.Getenv)
	return p
}

func asItIs(text string) string { return text }

// columnsOf returns a function that tells how wide the terminal is; file may be nil.
func columnsOf(file *os.File) func() int {
	return func() int {
		if file == nil {
			return 0
		}
		return screen.Columns(file)
	}
}

// fold returns the text in lines that fit. Secrets go first, while they are whole.
func (p *page) fold(text string, indent int) string {
	return strings.Join(screen.Fold(p.clean(text), indent, p.columns()), "\n")
}

// line writes text, whose lines are folded with this indent.
func (p *page) line(indent int, text string) { fmt.Fprintln(p, p.fold(text, indent)) }

// linef is line for a formatted text, with a small indent.
func (p *page) linef(format string, args ...any) { p.line(2, fmt.Sprintf(format, args...)) }

// marked writes text behind a mark, in its colour.
func (p *page) marked(mark string, indent int, text string) {
	fmt.Fprintln(p, p.style.Mark(mark)+strings.TrimPrefix(p.fold(mark+" "+text, indent), mark))
}

// list writes rows of cells in columns.
func (p *page) list(indent int, head []string, rows [][]string) error {
	return screen.List(p, p.columns(), indent, head, rows)
}

// command writes a command to copy: behind what is said of it, or on a line of its own where
// that is too wide.
func (p *page) command(what, command string) {
	line := what + " " + command
	if strings.Contains(p.fold(line, 0), "\n") {
		line = what + "\n" + command
	}
	fmt.Fprintln(p, line)
}
