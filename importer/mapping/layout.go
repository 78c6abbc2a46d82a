package mapping

import "strings"

const (
	maxOpen   = 20 // lists and mappings in brackets that are open at once
	maxIndent = 80 // columns before the first word of a line
)

// checkLayout looks for what the YAML library must not see. For deep nesting it takes
// memory that grows with the square of the depth: gigabytes for 64 KiB. A tab as
// indentation it reports as another mistake.
func (p *yamlReader) checkLayout(data string) {
	var open openBrackets
	number := 0
	for line := range strings.Lines(data) {
		number++
		line = strings.TrimRight(line, "\r\n")
		content := strings.TrimLeft(line, " \t")
		if content == "" || content[0] == '#' {
			continue
		}
		if tab := strings.IndexByte(line[:len(line)-len(content)], '\t'); tab >= 0 {
			p.badLine(number, tab+1, "a tab as indentation: use spaces")
		}
		if len(line)-len(strings.TrimLeft(line, " \t-?:")) > maxIndent {
			p.badLine(number, maxIndent+1, "indented by more than %d columns", maxIndent)
			return
		}
		if column := open.read(line); column > 0 {
			p.badLine(number, column, "more than %d lists and mappings in each other", maxOpen)
			return
		}
	}
}

// openBrackets counts the brackets that are open.
type openBrackets int

// read counts those of a line, and returns the column of the first that is too deep, or 0.
// Brackets in quotes and comments do not count. It ends a quoted text with the line.
func (open *openBrackets) read(line string) int {
	var quote, before byte = 0, ' '
	for i := range len(line) {
		c := line[i]
		startsWord := strings.IndexByte(" \t[{,:", before) >= 0
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '#' && (before == ' ' || before == '\t'):
			return 0
		case startsWord && (c == '"' || c == '\''):
			quote = c
		case c == '[' || c == '{':
			if *open++; *open > maxOpen {
				return i + 1
			}
		case (c == ']' || c == '}') && *open > 0:
			*open--
		}
		before = c
	}
	return 0
}
