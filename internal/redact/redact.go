// Package redact takes secrets out of text that is shown or stored: logs, errors, and what
// servers repeat of what they were sent.
package redact

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Mark stands where a secret was.
const Mark = "[secret]"

// shortestSecret is the length below which a value is no secret: without single letters
// a text would not be readable.
const shortestSecret = 4

// Redactor replaces secrets by Mark. A nil one replaces nothing.
//
// It finds a secret as it is, JSON-escaped (any character as \u00XX, too), escaped as in
// a URL (any byte as %XX), and in base64, standard or URL alphabet, alone or as part of a
// longer text such as "id:secret".
type Redactor struct {
	forms []form    // longest first
	first [256]bool // bytes at which a form may begin
}

// form is a text to find.
type form struct {
	text   string
	base64 bool // letters of the same base64 text may stand on both sides
}

// New returns a Redactor of these secrets. Those shorter than four bytes are ignored.
func New(secrets ...string) *Redactor {
	r := &Redactor{}
	for _, s := range secrets {
		if len(s) < shortestSecret {
			continue
		}
		r.forms = append(r.forms, form{text: s}, form{text: strings.ReplaceAll(s, `\`, `\\`)})
		for offset := range 3 {
			for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
				r.forms = append(r.forms, form{text: inBase64(s, offset, encoding), base64: true})
			}
		}
	}
	slices.SortStableFunc(r.forms, func(a, b form) int { return len(b.text) - len(a.text) })
	r.forms = slices.Compact(r.forms)
	for _, f := range r.forms {
		r.first[f.text[0]] = true
		if f.text[0] == ' ' {
			r.first['+'] = true
		}
	}
	r.first['%'], r.first['\\'] = true, true
	return r
}

// inBase64 returns the letters that s has in the base64 of any text in which offset bytes,
// or three or six more, precede s. Letters that depend on the bytes around s are left out.
func inBase64(s string, offset int, encoding *base64.Encoding) string {
	const bits = 6 // of a letter
	encoded := encoding.EncodeToString(append(make([]byte, offset), s...))
	return encoded[(offset*8+bits-1)/bits : (offset+len(s))*8/bits]
}

// Bytes is String for bytes.
func (r *Redactor) Bytes(b []byte) []byte {
	s := string(b)
	if clean := r.String(s); clean != s {
		return []byte(clean)
	}
	return b
}

// String returns s with each secret replaced by Mark.
func (r *Redactor) String(s string) string {
	if r == nil || len(r.forms) == 0 {
		return s
	}
	var clean strings.Builder
	kept := 0 // s is dealt with up to here
	for i := 0; i < len(s); {
		start, end := r.find(s, kept, i)
		if end == 0 {
			i++
			continue
		}
		clean.WriteString(s[kept:start])
		clean.WriteString(Mark)
		i, kept = end, end
	}
	if kept == 0 {
		return s
	}
	clean.WriteString(s[kept:])
	return clean.String()
}

// find returns where a secret that is found at i starts and ends. It starts before i, but
// not before kept, if it is part of a longer base64 text. An end of 0 means that there is none.
func (r *Redactor) find(s string, kept, i int) (start, end int) {
	if !r.first[s[i]] {
		return 0, 0
	}
	for _, f := range r.forms {
		end := match(s, i, f.text)
		if end == 0 {
			continue
		}
		start := i
		if f.base64 {
			for start > kept && isBase64(s[start-1]) {
				start--
			}
			for end < len(s) && (isBase64(s[end]) || s[end] == '=') {
				end++
			}
		}
		return start, end
	}
	return 0, 0
}

// isBase64 leaves out the slash: a path may stand around the base64.
func isBase64(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '+' || c == '-' || c == '_'
}

// match returns where text ends in s if it stands at i in any of its escaped forms, else 0.
func match(s string, i int, text string) (end int) {
	for text != "" {
		if i == len(s) {
			return 0
		}
		if text[0] == '%' && s[i] == '%' {
			// Escaped once or more often; which one shows only what follows.
			for next := i + 1; strings.HasPrefix(s[next:], "25"); {
				next += len("25")
				if end := match(s, next, text[1:]); end > 0 {
					return end
				}
			}
		}
		if s[i] == text[0] && (s[i] != '\\' && s[i] != '%' || !escaped(s, i, text)) {
			i, text = i+1, text[1:]
			continue
		}
		decoded, width := unescape(s, i)
		if width == 0 || !strings.HasPrefix(text, decoded) {
			return 0
		}
		i, text = i+width, text[len(decoded):]
	}
	return i
}

// escaped reports whether the backslash or percent sign at i begins an escape of what text
// begins with, and does not merely stand for itself.
func escaped(s string, i int, text string) bool {
	decoded, width := unescape(s, i)
	return width > 1 && strings.HasPrefix(text, decoded)
}

// unescape decodes the escape at i, and returns how many bytes of s it takes; 0 if there is
// none. What was escaped several times is decoded at once.
func unescape(s string, i int) (decoded string, width int) {
	rest := s[i:]
	switch rest[0] {
	case '+':
		return " ", 1
	case '%':
		digits := rest[1:]
		for strings.HasPrefix(digits, "25") && len(digits) > 3 && isHex(digits[2:4]) {
			digits = digits[2:] // an escaped percent sign
		}
		if len(digits) < 2 || !isHex(digits[:2]) {
			return "", 0
		}
		b, _ := strconv.ParseUint(digits[:2], 16, 8)
		return string([]byte{byte(b)}), len(rest) - len(digits) + 2
	case '\\':
		return unescapeJSON(rest)
	}
	return "", 0
}

// unescapeJSON decodes an escape of JSON or of Go's %q.
func unescapeJSON(s string) (decoded string, width int) {
	after := strings.TrimLeft(s, `\`)
	slashes := len(s) - len(after)
	if after == "" {
		return `\`, slashes
	}
	digits := 0
	switch after[0] {
	case 'u':
		digits = 4
	case 'U':
		digits = 8
	case 'x':
		digits = 2
	case '"', '\'', '/':
		return after[:1], slashes + 1
	}
	if short := strings.IndexByte("nrtbf", after[0]); short >= 0 {
		return "\n\r\t\b\f"[short : short+1], slashes + 1
	}
	if digits == 0 || len(after) <= digits || !isHex(after[1:1+digits]) {
		if slashes > 1 {
			return `\`, slashes
		}
		return "", 0
	}
	code, _ := strconv.ParseUint(after[1:1+digits], 16, 32)
	width = slashes + 1 + digits
	if digits == 2 {
		return string([]byte{byte(code)}), width
	}
	const surrogates, low = 0xd800, 0xdc00
	if code >= surrogates && code < low { // the first half of a character
		next, more := unescapeLow(s[width:])
		if more > 0 {
			return string(rune(code-surrogates)<<10 + rune(next) - low + 0x10000), width + more
		}
	}
	return string(utf8.AppendRune(nil, rune(code))), width
}

// unescapeLow decodes the second half of a character beyond \uffff.
func unescapeLow(s string) (code uint64, width int) {
	after := strings.TrimLeft(s, `\`)
	slashes := len(s) - len(after)
	if slashes == 0 || len(after) < 5 || after[0] != 'u' || !isHex(after[1:5]) {
		return 0, 0
	}
	code, _ = strconv.ParseUint(after[1:5], 16, 32)
	if code < 0xdc00 || code > 0xdfff {
		return 0, 0
	}
	return code, slashes + 5
}

func isHex(s string) bool {
	for _, c := range []byte(s) {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
			return false
		}
	}
	return true
}
