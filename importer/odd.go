package importer

import (
	"regexp"
	"strings"
)

// oddIdentifier matches what programs write for a value that is not there, and numbers that a spreadsheet
// or pandas has written anew: 42.0, 4.91234E+11. A customer's source_id cannot be changed later.
var oddIdentifier = regexp.MustCompile(`(?i)^(null|undefined|nan|none|nil|\\n|<na>|#n/a|\[object object\]|-?[0-9]+\.0+|[0-9](\.[0-9]+)?e\+[0-9]+)$`)

// isOddIdentifier reports whether an identifier looks like a mistake of the program that wrote it.
func isOddIdentifier(id string) bool { return oddIdentifier.MatchString(strings.TrimSpace(id)) }
