// Package safetext makes text from outside printable: on a terminal, in a log, in a file
// for people. It is the one place that does so.
//
// What is not printable becomes an escape as in Go's strings: \n, \x1b, \u202e. That holds
// for all control characters (C0, DEL, C1), line and paragraph separators, bidirectional
// controls, zero-width and other invisible format characters, spaces other than U+0020,
// and for each byte that is no UTF-8. A backslash stays as it is: the result is for
// reading, not for decoding.
package safetext

import (
	"strconv"
	"unicode/utf8"
)

const ellipsis = "…"

// Line returns s as one printable line. It returns s itself if there is nothing to escape.
func Line(s string) string { return escape(s, false) }

// Text returns s with its line feeds, and otherwise as Line does.
func Text(s string) string { return escape(s, true) }

// Cut returns Line(s) if that has at most n characters, else at most n characters of it and
// an ellipsis. No escape is cut in two.
func Cut(s string, n int) string {
	return cut(s, n, utf8.RuneCountInString)
}

// CutBytes is Cut with n in bytes; the ellipsis comes on top.
func CutBytes(s string, n int) string {
	return cut(s, n, func(s string) int { return len(s) })
}

// JSON returns JSON with the same value in which all characters are printable but the line
// feeds and tabs between tokens. JSON itself leaves DEL, the C1 controls and the
// bidirectional controls as they are. It returns data itself if there is nothing to escape.
func JSON(data []byte) []byte {
	clean := 0
	for clean < len(data) {
		if c := data[clean]; ' ' <= c && c <= '~' { // nearly all of it
			clean++
			continue
		}
		c, size := utf8.DecodeRune(data[clean:])
		if !plainInJSON(c, size) {
			break
		}
		clean += size
	}
	if clean == len(data) {
		return data
	}
	b := append(make([]byte, 0, len(data)+16), data[:clean]...)
	for rest := data[clean:]; len(rest) > 0; {
		c, size := utf8.DecodeRune(rest)
		switch {
		case plainInJSON(c, size):
			b = append(b, rest[:size]...)
		case c == '\r': // raw only between tokens
			b = append(b, ' ')
		default:
			b = appendJSONEscape(b, c)
		}
		rest = rest[size:]
	}
	return b
}

func plainInJSON(c rune, size int) bool {
	return c == '\n' || c == '\t' || printable(c, size)
}

func appendJSONEscape(b []byte, c rune) []byte {
	if c > 0xffff { // a surrogate pair
		c -= 0x10000
		b = appendJSONEscape(b, 0xd800+c>>10)
		c = 0xdc00 + c&0x3ff
	}
	const digits = "0123456789abcdef"
	return append(b, '\\', 'u', digits[c>>12&0xf], digits[c>>8&0xf], digits[c>>4&0xf], digits[c&0xf])
}

// printable reports whether a rune decoded from size bytes may be shown.
func printable(c rune, size int) bool {
	return strconv.IsPrint(c) && (c != utf8.RuneError || size > 1)
}

func escape(s string, lines bool) string {
	clean := 0
	for clean < len(s) {
		c, size := utf8.DecodeRuneInString(s[clean:])
		if !printable(c, size) && !(lines && c == '\n') {
			break
		}
		clean += size
	}
	if clean == len(s) {
		return s
	}
	b := append(make([]byte, 0, len(s)+16), s[:clean]...)
	for rest := s[clean:]; rest != ""; {
		unit, size := next(rest)
		if lines && rest[0] == '\n' {
			unit = "\n"
		}
		b = append(b, unit...)
		rest = rest[size:]
	}
	return string(b)
}

// cut returns Line(s), up to n by the measure of its parts.
func cut(s string, n int, measure func(string) int) string {
	var b []byte
	for rest := s; rest != ""; {
		unit, size := next(rest)
		if n -= measure(unit); n < 0 {
			return string(b) + ellipsis
		}
		b = append(b, unit...)
		rest = rest[size:]
	}
	return string(b)
}

// next returns the first character of s, escaped if need be, and its size in s.
func next(s string) (unit string, size int) {
	c, size := utf8.DecodeRuneInString(s)
	if printable(c, size) {
		return s[:size], size
	}
	quoted := strconv.Quote(s[:size])
	return quoted[1 : len(quoted)-1], size
}
