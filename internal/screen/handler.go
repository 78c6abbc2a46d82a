package screen

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// Handler writes log records for people: no time, and of the level only a word.
//
//	warning  birthdate "05/02/1984" of user-0000428 is not YYYY-MM-DD
//	warning  the metrics could not be written: open /srv/m.prom: permission denied
//	         hint: …
//	imported (profiles 1200, from page 4)
//
// An attribute whose value the message already has is left out; "error" follows a colon,
// "hint" is a line of its own, and all others follow in parentheses. What is wider than the
// terminal is folded.
type Handler struct {
	w     io.Writer
	fold  func(text string, indent int) string
	mu    *sync.Mutex // one line after another
	level slog.Leveler
	style Style
	group string      // the prefix of keys: "request "
	attrs []attribute // of WithAttrs
}

type attribute struct{ key, value string }

// NewHandler returns a Handler that writes each record to w with one Write, in lines that
// fold makes of it.
func NewHandler(w io.Writer, fold func(text string, indent int) string, level slog.Leveler, style Style) *Handler {
	return &Handler{w: w, fold: fold, mu: new(sync.Mutex), level: level, style: style}
}

func (h *Handler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level.Level() }

func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.attrs = slices.Clone(h.attrs)
	for _, a := range attrs {
		with.attrs = appendAttr(with.attrs, h.group, a)
	}
	return &with
}

func (h *Handler) WithGroup(name string) slog.Handler {
	with := *h
	if name != "" {
		with.group += name + " "
	}
	return &with
}

func (h *Handler) Handle(_ context.Context, r slog.Record) error {
	attrs := slices.Clone(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		attrs = appendAttr(attrs, h.group, a)
		return true
	})
	text, hint := r.Message, ""
	var others []string
	for _, a := range attrs {
		switch {
		case a.key == "hint":
			hint = a.value
		case a.value == "" || hasWord(r.Message, a.value):
		case a.key == "error":
			text += ": " + a.value
		default:
			others = append(others, strings.ReplaceAll(a.key, "_", " ")+" "+a.value)
		}
	}
	if len(others) > 0 {
		text += " (" + strings.Join(others, ", ") + ")"
	}
	if hint != "" {
		text += "\nhint: " + hint
	}
	word, style := h.word(r.Level)
	indent := 2
	if word != "" {
		indent = len("warning  ")
		text = fmt.Sprintf("%-*s%s", indent, word, text)
	}
	text = strings.ReplaceAll(printable(strings.TrimRight(text, "\n")), "\n", "\n"+strings.Repeat(" ", indent))
	text = style(word) + strings.TrimPrefix(h.fold(text, indent), word) + "\n"
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := io.WriteString(h.w, text)
	return err
}

// word returns what a line of the level begins with, and its style.
func (h *Handler) word(level slog.Level) (string, func(string) string) {
	switch {
	case level >= slog.LevelError:
		return "error", h.style.Red
	case level >= slog.LevelWarn:
		return "warning", h.style.Yellow
	case level >= slog.LevelInfo:
		return "", func(text string) string { return text }
	default:
		return "debug", h.style.Dim
	}
}

func appendAttr(attrs []attribute, group string, a slog.Attr) []attribute {
	value := a.Value.Resolve()
	switch value.Kind() {
	case slog.KindGroup:
		if a.Key != "" {
			group += a.Key + " "
		}
		for _, member := range value.Group() {
			attrs = appendAttr(attrs, group, member)
		}
		return attrs
	case slog.KindTime:
		return append(attrs, attribute{group + a.Key, value.Time().Format(time.DateTime)})
	}
	if a.Key == "" {
		return attrs
	}
	return append(attrs, attribute{group + a.Key, value.String()})
}

// hasWord reports whether text has value in it, not as part of a longer word or number.
func hasWord(text, value string) bool {
	inWord := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_' }
	for from := 0; ; from++ {
		at := strings.Index(text[from:], value)
		if at < 0 {
			return false
		}
		from += at
		before, _ := utf8.DecodeLastRuneInString(text[:from])
		after, _ := utf8.DecodeRuneInString(text[from+len(value):])
		if !inWord(before) && !inWord(after) {
			return true
		}
	}
}

// printable replaces what could move the cursor or change the terminal. Line ends stay.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			return r
		case r == '\t':
			return ' '
		default:
			return unicode.ReplacementChar
		}
	}, s)
}
