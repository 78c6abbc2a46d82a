package screen

import (
	"fmt"
	"os"

	"golang.org/x/term"
)

// Marks stand before a line so that colour is never its only sign.
const (
	MarkOK        = "✓"
	MarkAttention = "!"
	MarkFailed    = "✗"
)

// Style colours text. The zero value leaves it as it is.
type Style struct{ color bool }

// NewStyle returns the Style for --color: "auto" colours text on a terminal unless
// NO_COLOR is set (https://no-color.org) or TERM is dumb, "always" and "never" do what
// they say. terminal is whether the text goes to one.
func NewStyle(when string, terminal bool, getenv func(string) string) (Style, error) {
	switch when {
	case "auto":
		return Style{terminal && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"}, nil
	case "always":
		return Style{true}, nil
	case "never":
		return Style{}, nil
	}
	return Style{}, fmt.Errorf("invalid color %q: want auto, always or never", when)
}

func (s Style) Red(text string) string    { return s.sgr("31", text) }
func (s Style) Green(text string) string  { return s.sgr("32", text) }
func (s Style) Yellow(text string) string { return s.sgr("33", text) }
func (s Style) Bold(text string) string   { return s.sgr("1", text) }
func (s Style) Dim(text string) string    { return s.sgr("2", text) }

// Mark returns one of the marks in its colour.
func (s Style) Mark(mark string) string {
	switch mark {
	case MarkOK:
		return s.Green(mark)
	case MarkFailed:
		return s.Red(mark)
	default:
		return s.Yellow(mark)
	}
}

func (s Style) sgr(code, text string) string {
	if !s.color || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Terminal returns a function that tells the present width and height of the terminal f.
// It returns nil if f is no terminal, or one that cannot move its cursor.
func Terminal(f *os.File, getenv func(string) string) func() (width, height int) {
	if Columns(f) == 0 || getenv("TERM") == "dumb" || !enableEscapes(f) {
		return nil
	}
	return func() (width, height int) { return terminalSize(f) }
}

// Columns returns how wide the terminal f is at present, or 0 if it is none.
func Columns(f *os.File) int {
	if !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	width, _ := terminalSize(f)
	return width
}

func terminalSize(f *os.File) (width, height int) {
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24 // it does not say
	}
	return width, height
}
