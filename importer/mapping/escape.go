package mapping

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
)

// Escape returns s with escapes for the characters that are not printable.
func Escape(s string) string {
	notPrintable := func(c rune) bool { return !strconv.IsPrint(c) }
	if strings.IndexFunc(s, notPrintable) < 0 {
		return s
	}
	var b strings.Builder
	for _, c := range s {
		if notPrintable(c) {
			b.WriteString(strings.Trim(strconv.QuoteRune(c), "'"))
		} else {
			b.WriteRune(c)
		}
	}
	return b.String()
}

// EscapeJSON returns the same JSON with escapes for the characters that could change a
// terminal: JSON leaves DEL, the C1 controls and the bidirectional controls as they are.
// Line ends are kept.
func EscapeJSON(data []byte) []byte {
	var b []byte
	for _, c := range string(data) {
		if c == '\n' || strconv.IsPrint(c) {
			b = append(b, string(c)...)
			continue
		}
		for _, unit := range utf16.Encode([]rune{c}) {
			b = fmt.Appendf(b, "\\u%04x", unit)
		}
	}
	return b
}
