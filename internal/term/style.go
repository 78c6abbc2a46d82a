package term

import (
	"fmt"
	"os"
)

// Marks stand before a line so that colour is never its only sign.
const (
	MarkOK        = "✓"
	MarkAttention = "!"
	MarkFailed    = "✗"
)

// Parameters of SGR, the escape sequence that sets how text looks.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	bold   = "1"
	dim    = "2"
)

// style colours text. The zero value leaves it as it is.
type style struct{ on bool }

// newStyle returns the style for --color: "auto" colours text on a terminal unless
// NO_COLOR is set (https://no-color.org) or TERM is dumb.
func newStyle(when string, terminal bool) (style, error) {
	switch when {
	case "auto", "":
		return style{terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}, nil
	case "always":
		return style{true}, nil
	case "never":
		return style{}, nil
	}
	return style{}, fmt.Errorf("--color %q: it must be auto, always or never", when)
}

func (s style) color(code, text string) string {
	if !s.on || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// mark returns a mark in its colour.
func (s style) mark(mark string) string {
	switch mark {
	case MarkOK:
		return s.color(green, mark)
	case MarkFailed:
		return s.color(red, mark)
	}
	return s.color(yellow, mark)
}

// canErase reports whether the terminal w can erase a line.
func canErase(w any) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("TERM") != "dumb" && enableEscapes(f)
}
