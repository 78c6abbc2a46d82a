package term

import (
	"context"
	"log/slog"
	"regexp"
	"slices"
	"strings"
)

// handler writes log records for people: no time, and of the level only a word.
//
//	warning  birthdate "05/02/1984" of user-0000428 is not YYYY-MM-DD
//	warning  the metrics could not be written: open /srv/m.prom: permission denied
//	         hint: …
//	imported (profiles 1200, from page 4)
//
// An attribute whose value the message already has is left out; "error" follows a colon,
// "hint" is a line of its own, and all others follow in parentheses.
type handler struct {
	out   *Output
	level slog.Level
	group string      // the prefix of keys: "request "
	attrs []slog.Attr // of WithAttrs
}

func (h *handler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level }

// Handle writes the record with one Write.
func (h *handler) Handle(_ context.Context, r slog.Record) error {
	word, color := "", ""
	switch {
	case r.Level >= slog.LevelError:
		word, color = "error", red
	case r.Level >= slog.LevelWarn:
		word, color = "warning", yellow
	case r.Level < slog.LevelInfo:
		word, color = "debug", dim
	}
	indent, margin := 2, "" // of further lines, and of the first
	if word != "" {
		indent = len("warning  ")
		margin = strings.Repeat(" ", indent)
		word = h.out.Err.style.color(color, word) + margin[len(word):]
	}
	text := h.out.clean(strings.TrimRight(h.text(r), "\n"))
	text = fold(margin+strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", indent)), h.out.Err.columns())
	return h.out.writeLines(word + text[len(margin):] + "\n")
}

// WithAttrs returns a handler that adds the attributes to each record.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.attrs = slices.Clone(h.attrs)
	for _, a := range attrs {
		a.Key = h.group + a.Key
		with.attrs = append(with.attrs, a)
	}
	return &with
}

// WithGroup returns a handler that puts the name before the keys of attributes.
func (h *handler) WithGroup(name string) slog.Handler {
	with := *h
	if name != "" {
		with.group += name + " "
	}
	return &with
}

// text returns the message of a record with its attributes.
func (h *handler) text(r slog.Record) string {
	text, hint := r.Message, ""
	var others []string
	add := func(a slog.Attr) bool {
		switch value := a.Value.Resolve().String(); {
		case a.Key == "hint":
			hint = "\nhint: " + value
		case value == "" || hasWord(r.Message, value):
		case a.Key == "error":
			text += ": " + value
		default:
			others = append(others, strings.ReplaceAll(a.Key, "_", " ")+" "+value)
		}
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(func(a slog.Attr) bool { a.Key = h.group + a.Key; return add(a) })
	if len(others) > 0 {
		text += " (" + strings.Join(others, ", ") + ")"
	}
	return text + hint
}

// hasWord reports whether text has value in it, not as part of a longer word or number.
func hasWord(text, value string) bool {
	const border = `[^\pL\pN_-]`
	found, err := regexp.MatchString("(^|"+border+")"+regexp.QuoteMeta(value)+"($|"+border+")", text)
	return err == nil && found
}
