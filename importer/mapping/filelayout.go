package mapping

import "strings"

const (
	maxBrackets = 2000 // in the file
	maxIndent   = 80   // columns before the first word of a line
)

// checkLayout looks for what the YAML library must not see. For deep nesting it takes
// memory that grows with the square of the depth: gigabytes for 64 KiB. A tab as
// indentation it reports as another mistake.
func (r *fileReader) checkLayout(data string) {
	brackets, number := 0, 0
	for line := range strings.Lines(data) {
		number++
		content := strings.TrimLeft(line, " \t")
		if content = strings.TrimRight(content, "\r\n"); content == "" || content[0] == '#' {
			continue
		}
		if tab := strings.IndexByte(line[:strings.Index(line, content)], '\t'); tab >= 0 {
			r.bad(position{number, tab + 1}, "a tab as indentation: use spaces")
		}
		if len(line)-len(strings.TrimLeft(line, " \t-?:")) > maxIndent {
			r.bad(position{number, maxIndent + 1}, "indented by more than %d columns", maxIndent)
			return
		}
		if brackets += strings.Count(line, "[") + strings.Count(line, "{"); brackets > maxBrackets {
			r.bad(position{number, 1}, "more than %d brackets up to here: write lists and mappings on lines of their own", maxBrackets)
			return
		}
	}
}
