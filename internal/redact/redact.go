// Package redact takes secrets out of text that is shown or stored: logs, errors, and what
// servers repeat of what they were sent.
package redact

import (
	"cmp"
	"encoding/base64"
	"html"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const Mark = "[secret]" // stands where a secret was

// Redactor replaces secrets by Mark. A nil one replaces nothing. It finds a secret as it is,
// escaped once or twice as in HTML, JSON or a URL, and in base64, alone or as in Basic authentication.
type Redactor struct{ replacer *strings.Replacer }

// New returns a Redactor of the secrets that have four bytes or more.
func New(secrets ...string) *Redactor {
	marks := make(map[string]string)
	for _, s := range slices.DeleteFunc(slices.Clone(secrets), func(s string) bool { return len(s) < 4 }) {
		addForms(marks, s, Mark, 2)
		for offset := range 3 { // its letters in base64, which depend on where it begins, without those shared with its neighbours
			encoded := base64.StdEncoding.EncodeToString(append(make([]byte, offset), s...))
			letters := encoded[(offset*8+5)/6 : (offset+len(s))*8/6]
			addForms(marks, letters, Mark+"\x00", 2)
			addForms(marks, strings.NewReplacer("+", "-", "/", "_").Replace(letters), Mark+"\x00", 0)
		}
	}
	longestFirst := func(a, b string) int { return cmp.Or(len(b)-len(a), cmp.Compare(a, b)) } // a secret may begin like another
	var pairs []string
	for _, form := range slices.SortedFunc(maps.Keys(marks), longestFirst) {
		pairs = append(pairs, form, marks[form])
	}
	return &Redactor{strings.NewReplacer(pairs...)}
}

var (
	percentEscape = regexp.MustCompile(`%[0-9A-F]{2}`)
	unicodeEscape = regexp.MustCompile(`\\+u00[2-7][0-9A-Fa-f]`)
	base64Rest    = regexp.MustCompile(`[\w+-]*\[secret\]\x00(?:[\w+-]|%3[Dd]|=)*`)
)

// addForms adds a text, and its forms in HTML, JSON and URLs, escaped up to depth times.
func addForms(marks map[string]string, s, mark string, depth int) {
	if marks[s] = mark; depth == 0 {
		return
	}
	quoted, query := strconv.Quote(s), url.QueryEscape(s)
	inJSON := quoted[1 : len(quoted)-1]
	for _, form := range []string{html.EscapeString(s), inJSON, strings.ReplaceAll(inJSON, "/", `\/`), url.PathEscape(s), query, strings.ReplaceAll(query, "+", "%20")} {
		addForms(marks, form, mark, depth-1)
		addForms(marks, percentEscape.ReplaceAllStringFunc(form, strings.ToLower), mark, depth-1)
	}
}

func (r *Redactor) Bytes(b []byte) []byte { return []byte(r.String(string(b))) }

// String returns s with each secret replaced by Mark, and then without \u escapes of ASCII.
func (r *Redactor) String(s string) string {
	if r == nil {
		return s
	}
	plain := unicodeEscape.ReplaceAllStringFunc(s, func(escape string) string {
		code, _ := strconv.ParseUint(escape[len(escape)-4:], 16, 16)
		quoted := strconv.Quote(string(rune(code)))
		return quoted[1 : len(quoted)-1]
	})
	if clean := r.replacer.Replace(plain); clean != plain {
		return base64Rest.ReplaceAllString(clean, Mark)
	}
	return s
}
