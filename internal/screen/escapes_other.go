//go:build !windows

package screen

import "os"

// enableEscapes reports whether the terminal understands escape sequences.
func enableEscapes(*os.File) bool { return true }
